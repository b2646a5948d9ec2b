# SPDX-License-Identifier: MIT
"""A segment of predicted frames: frames -> symbols, each frame against decoded ones -> bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from c3video.engine import EngineName, choose_engine
from c3video.errors import ConfigError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.segment import fit_segment
from c3video.hybrid.payload import encode_payload
from c3video.hybrid.subbands import slice_layouts
from c3video.progress import Progress
from c3video.segment_model import EncodedSegment, EncodingOptions
from c3video.video import Frame, VideoFormat


@dataclass(frozen=True)
class FrameEncoder:
    """Segments of one clip, whole frames."""

    video: VideoFormat
    config: HybridConfig
    fit_config: HybridFitConfig
    seed: int
    engine: EngineName
    num_threads: int
    patch_rows: int = 1
    patch_columns: int = 1

    def encode(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        """Fit and code frames; `report` is told the patch, always 0, and the step."""
        fitted = fit_segment(
            [frame.planes for frame in frames],
            self.video,
            self.config,
            self.fit_config,
            self.engine,
            seed=self.seed,
            report=lambda progress: report(0, progress),
            num_threads=self.num_threads,
        )
        layouts = slice_layouts(self.video.plane_shapes, self.video.layout.planes, self.config.num_slices)
        writing = FIT_ENGINES[self.engine].writing
        data, bits = encode_payload(fitted.parameters, fitted.symbols, len(frames), self.config, layouts, writing)
        return EncodedSegment((data,), list(fitted.decoded), fitted.estimated_bits, bits.by_part(), fitted.notes)


def open_frame_encoder(
    video: VideoFormat, config: HybridConfig, fit_config: HybridFitConfig, options: EncodingOptions, num_threads: int
) -> FrameEncoder:
    """What makes segments of a clip. Raises ConfigError for a patch size: there are none."""
    if options.patch_size is not None:
        raise ConfigError(f"patch size {options.patch_size}: this profile codes whole frames, leave it out")
    return FrameEncoder(video, config, fit_config, options.seed, choose_engine(), num_threads)
