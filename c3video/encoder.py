# SPDX-License-Identifier: MIT
"""The encoding story: source -> scenes -> patches -> fit -> code -> stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from c3video.c3.fit.loop import FittedPatch, fit_patch
from c3video.c3.patches import PatchGrid
from c3video.c3.payload import PatchBits, encode_patch
from c3video.c3.synthesis import synthesise
from c3video.c3.weight_coding import NETWORKS, WeightCode, choose_code
from c3video.config import C3Config, C3FitConfig, HybridConfig, HybridFitConfig
from c3video.engine import choose_engine
from c3video.errors import ConfigError, SourceError
from c3video.hybrid.fit.segment import fit_segment
from c3video.hybrid.payload import HybridBits, encode_payload
from c3video.hybrid.subbands import slice_layouts
from c3video.media.scene_cuts import split_at_cuts
from c3video.progress import Progress
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Frame, Planes, VideoFormat, cells_to_planes, frame_crc32, planes_to_cells


class FrameSource(Protocol):
    """What the encoder reads: a Source, an ArraySource or anything like them."""

    @property
    def format(self) -> VideoFormat: ...

    @property
    def num_frames(self) -> int | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(frozen=True)
class EncodeProgress:
    """Where an encode stands.

    Args:
        segment, patch: the ones being fitted, from 0.
        num_segments: as far as is known: scene cuts ahead add to it. None where the length of the source is not known.
        fit: the step.
    """

    segment: int
    num_segments: int | None
    patch: int
    num_patches: int
    fit: Progress


@dataclass(frozen=True)
class SegmentReport:
    """What one segment came to.

    Args:
        size_bytes: all of its bytes in the file.
        estimated_bits: what the fits promised for its patches.
        bits: accounting of each patch, or of the hybrid model.
        mse: over all coded samples on [0, 1], exact reconstruction.
        notes: what the fits had to mend.
    """

    number: int
    num_frames: int
    size_bytes: int
    estimated_bits: float
    bits: tuple[PatchBits, ...] | HybridBits
    mse: float
    fit_seconds: float
    notes: tuple[str, ...]


def encode(
    source: FrameSource,
    out: BinaryIO,
    model_config: C3Config | HybridConfig,
    fit_config: C3FitConfig | HybridFitConfig,
    *,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int = 32,
    scene_cuts: bool = True,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[EncodeProgress], None] = lambda progress: None,
) -> list[SegmentReport]:
    """Encode a clip to a .c3v stream.

    Segments are written as they are finished; if an exception (Ctrl-C, say) ends the work early, what was finished is
    a valid stream.

    Args:
        fit_config: a C3FitConfig for a C3Config, a HybridFitConfig for a HybridConfig.
        patch_size: largest (height, width) of a patch in luma samples; None for the default. The hybrid model has none.
        segment_frames: most frames a segment, 1..1024.
        scene_cuts: whether a segment also begins where a scene does (scene_cuts.py).
        seed: same seed, machine and thread count, same file.
        device: of a C3 model's fit, as torch names it. Bits and pixels are integers made on the CPU.

    Raises:
        ConfigError, SourceError, FitError: see errors.py.
    """
    model_config.check()
    fit_config.check()
    video = source.format
    frames_ahead, frames = _opened(source, segment_frames)
    if not frames_ahead:
        raise SourceError("the source has no frames in the range asked for")
    segment_frames = min(segment_frames, frames_ahead)  # a still image may then be as large as a segment of many frames
    grid, encode_one = _segment_encoder(video, model_config, fit_config, patch_size, seed, _device(device))
    header = Header(video, model_config, segment_frames, grid.rows, grid.columns)
    runs = split_at_cuts(frames, video, segment_frames) if scene_cuts else _batches(frames, segment_frames)
    reports: list[SegmentReport] = []
    num_frames = 0
    with Writer(out, header) as writer:
        for number, run in enumerate(runs):
            started = time.perf_counter()
            ahead = -(-(source.num_frames - num_frames) // segment_frames) if source.num_frames else None
            num_segments = None if ahead is None else number + max(1, ahead)
            num_frames += len(run)

            def fit_report(
                patch: int, progress: Progress, number: int = number, known: int | None = num_segments
            ) -> None:
                report(EncodeProgress(number, known, patch, len(grid), progress))

            encoded = encode_one(run, fit_report)
            segment = Segment(
                number=number,
                pts=tuple(frame.pts for frame in run),
                durations=tuple(frame.duration for frame in run),
                frame_crcs=tuple(frame_crc32(planes) for planes in encoded.decoded),
                patches=encoded.patches,
            )
            reports.append(
                SegmentReport(
                    number=number,
                    num_frames=len(run),
                    size_bytes=writer.write_segment(segment),
                    estimated_bits=encoded.estimated_bits,
                    bits=encoded.bits,
                    mse=_mse(encoded.decoded, [frame.planes for frame in run]) / video.layout.max_value**2,
                    fit_seconds=time.perf_counter() - started,
                    notes=encoded.notes,
                )
            )
    return reports


@dataclass(frozen=True)
class _EncodedSegment:
    """A segment's bytes and what a decoder will make of them: planes of each frame in display order."""

    patches: tuple[bytes, ...]
    decoded: list[Planes]
    estimated_bits: float
    bits: tuple[PatchBits, ...] | HybridBits
    notes: tuple[str, ...] = ()


_SegmentEncoder = Callable[[list[Frame], Callable[[int, Progress], None]], _EncodedSegment]


def _segment_encoder(
    video: VideoFormat,
    model_config: C3Config | HybridConfig,
    fit_config: C3FitConfig | HybridFitConfig,
    patch_size: tuple[int, int] | None,
    seed: int,
    device: torch.device,
) -> tuple[PatchGrid, _SegmentEncoder]:
    """The patches of a frame, and what makes segments of frames."""
    if isinstance(model_config, HybridConfig):
        if not isinstance(fit_config, HybridFitConfig):
            raise ConfigError("a HybridConfig is fitted with a HybridFitConfig")
        if patch_size is not None:
            raise ConfigError(f"patch size {patch_size}: this profile codes whole frames, leave it out")
        frame_model, frame_fit = model_config, fit_config

        def encode_frames(frames: list[Frame], report: Callable[[int, Progress], None]) -> _EncodedSegment:
            return _encode_frames(frames, video, frame_model, frame_fit, seed, lambda progress: report(0, progress))

        return PatchGrid(1, 1, video.cell_shape), encode_frames
    if not isinstance(fit_config, C3FitConfig):
        raise ConfigError("a C3Config is fitted with a C3FitConfig")
    patch_model, patch_fit = model_config, fit_config
    grid = PatchGrid.for_patch_size(patch_size, (video.height, video.width), video.cell_shape)

    def encode_patches(frames: list[Frame], report: Callable[[int, Progress], None]) -> _EncodedSegment:
        return _encode_patches(frames, video, grid, patch_model, patch_fit, seed, device, report)

    return grid, encode_patches


def _encode_frames(
    frames: list[Frame],
    video: VideoFormat,
    model_config: HybridConfig,
    fit_config: HybridFitConfig,
    seed: int,
    report: Callable[[Progress], None],
) -> _EncodedSegment:
    """Frames predicted from frames."""
    fitted = fit_segment(
        [frame.planes for frame in frames],
        video,
        model_config,
        fit_config,
        choose_engine(),
        seed=seed,
        report=report,
        num_threads=torch.get_num_threads(),
    )
    layouts = slice_layouts(video.plane_shapes, video.layout.planes, model_config.num_slices)
    data, bits = encode_payload(fitted.parameters, fitted.symbols, len(frames), model_config, layouts)
    return _EncodedSegment((data,), list(fitted.decoded), fitted.estimated_bits, bits)


def _encode_patches(
    frames: list[Frame],
    video: VideoFormat,
    grid: PatchGrid,
    model_config: C3Config,
    fit_config: C3FitConfig,
    seed: int,
    device: torch.device,
    report: Callable[[int, Progress], None],
) -> _EncodedSegment:
    """Patches that are each overfit alone."""
    cells = np.stack([planes_to_cells(frame.planes, video) for frame in frames], axis=1)  # (C, T, Hc, Wc)
    fitted = fit_patches(grid.cut(cells), video, model_config, fit_config, seed, device, report)
    coded = [encode_patch(patch.model, _codes(patch), patch.symbols) for patch in fitted]
    decoded = grid.assemble(
        [
            synthesise(patch.model, patch.symbols, shape, video.layout.max_value)
            for patch, shape in zip(fitted, grid.shapes(len(frames)), strict=True)
        ]
    ).astype(video.layout.dtype)
    return _EncodedSegment(
        patches=tuple(data for data, _ in coded),
        decoded=[cells_to_planes(decoded[:, index], video) for index in range(len(frames))],
        estimated_bits=sum(patch.estimated_bits for patch in fitted),
        bits=tuple(bits for _, bits in coded),
        notes=tuple(note for patch in fitted for note in patch.notes),
    )


def fit_patches(
    patches: Iterable[NDArray[np.generic]],
    video: VideoFormat,
    model_config: C3Config,
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

        fitted.append(fit_patch(samples, num_pixels, model_config, fit_config, seed, fit_report))
    return fitted


def _codes(patch: FittedPatch) -> dict[str, WeightCode]:
    layers = patch.model.layers
    return {network: choose_code([x for x in layers if x.spec.network == network]) for network in NETWORKS}


def _mse(decoded: Sequence[Planes], planes: Sequence[Planes]) -> float:
    """Over all samples of all frames, a plane at a time: whole segments in floats would take gigabytes."""
    errors, count = 0.0, 0
    for ours, theirs in zip(decoded, planes, strict=True):
        for found, wanted in zip(ours, theirs, strict=True):
            errors += float(np.square(found.astype(np.float64) - wanted).sum())
            count += wanted.size
    return errors / count


def _opened(source: Iterable[Frame], most: int) -> tuple[int, Iterator[Frame]]:
    """How many frames there are, counting no further than `most`, and an iterator over all of them."""
    frames = iter(source)
    ahead = list(islice(frames, most))
    return len(ahead), chain(ahead, frames)


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    iterator = iter(frames)
    while batch := list(islice(iterator, size)):
        yield batch


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used: {reason}; try --device cpu") from error
    return device
