# SPDX-License-Identifier: MIT
"""A segment of C3 patches: frames -> cells -> patches, each overfit alone -> bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.loop import FittedPatch, fit_patch
from c3video.c3.patches import PatchGrid
from c3video.c3.payload import encode_patch
from c3video.c3.synthesis import synthesise
from c3video.c3.weight_coding import NETWORKS, WeightCode, choose_code
from c3video.errors import ConfigError
from c3video.progress import Progress
from c3video.segment_model import EncodedSegment, EncodingOptions
from c3video.video import Frame, VideoFormat, cells_to_planes, planes_to_cells


@dataclass(frozen=True)
class PatchEncoder:
    """Segments of one clip, patch by patch."""

    video: VideoFormat
    config: C3Config
    fit_config: C3FitConfig
    grid: PatchGrid
    seed: int
    device: torch.device
    num_threads: int

    @property
    def patch_rows(self) -> int:
        return self.grid.rows

    @property
    def patch_columns(self) -> int:
        return self.grid.columns

    def encode(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        """Fit and code frames; `report` is told the patch and the step. Raises FitError."""
        torch.set_num_threads(self.num_threads)
        video = self.video
        cells = np.stack([planes_to_cells(frame.planes, video) for frame in frames], axis=1)  # (C, T, Hc, Wc)
        fitted = fit_patches(self.grid.cut(cells), video, self.config, self.fit_config, self.seed, self.device, report)
        coded = [encode_patch(patch.model, _codes(patch), patch.symbols) for patch in fitted]
        decoded = self.grid.assemble(
            [
                synthesise(patch.model, patch.symbols, shape, video.layout.max_value)
                for patch, shape in zip(fitted, self.grid.shapes(len(frames)), strict=True)
            ]
        ).astype(video.layout.dtype)
        parts: dict[str, float] = {}
        for _, bits in coded:
            for name, value in bits.by_part().items():
                parts[name] = parts.get(name, 0.0) + value
        return EncodedSegment(
            patches=tuple(data for data, _ in coded),
            decoded=[cells_to_planes(decoded[:, index], video) for index in range(len(frames))],
            estimated_bits=sum(patch.estimated_bits for patch in fitted),
            bits=parts,
            notes=tuple(note for patch in fitted for note in patch.notes),
        )


def open_patch_encoder(
    video: VideoFormat, config: C3Config, fit_config: C3FitConfig, options: EncodingOptions, num_threads: int
) -> PatchEncoder:
    """What makes segments of a clip. Raises ConfigError for a patch size or a device that cannot be used."""
    grid = PatchGrid.for_patch_size(options.patch_size, (video.height, video.width), video.cell_shape)
    return PatchEncoder(video, config, fit_config, grid, options.seed, _device(options.device), num_threads)


def fit_patches(
    patches: Iterable[NDArray[np.generic]],
    video: VideoFormat,
    config: C3Config,
    fit_config: C3FitConfig,
    seed: int,
    device: torch.device,
    report: Callable[[int, Progress], None],
) -> list[FittedPatch]:
    """Fit patches (C, T, H, W) one after the other."""
    fitted = []
    for index, patch in enumerate(patches):
        samples = torch.from_numpy(patch.astype(np.float32) / video.layout.max_value).to(device)
        cell_area = video.layout.cell_height * video.layout.cell_width
        num_pixels = patch[0].size * cell_area

        def fit_report(progress: Progress, index: int = index) -> None:
            report(index, progress)

        fitted.append(fit_patch(samples, num_pixels, config, fit_config, seed, fit_report))
    return fitted


def _codes(patch: FittedPatch) -> dict[str, WeightCode]:
    layers = patch.model.layers
    return {network: choose_code([x for x in layers if x.spec.network == network]) for network in NETWORKS}


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).cpu()  # some devices make tensors that hold nothing
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise ConfigError(f"device {name!r} cannot be used: {reason}; try --device cpu") from error
    return device
