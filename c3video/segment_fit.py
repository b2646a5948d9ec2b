# SPDX-License-Identifier: MIT
"""One segment as a job: frames -> its record and what it came to. The job can be done in any process.

Whatever is made of the frames beside the segment's bytes (hashes, squared error) is made where they were decoded, so
that what comes back is small.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from c3video.c3.config import C3Config, C3FitConfig
from c3video.config import FitConfig, ModelConfig
from c3video.errors import ConfigError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.fit.encode import open_frame_encoder
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.encode import open_picture_encoder
from c3video.segment_model import EncodingOptions, SegmentEncoder
from c3video.stream.layout import Segment
from c3video.threads import usual_threads
from c3video.video import Frame, Planes, VideoFormat, frame_crc32, frame_hash


@dataclass(frozen=True)
class SegmentReport:
    """What one segment came to.

    Args:
        size_bytes: all of its bytes in the file.
        estimated_bits: what the fits promised for its patches.
        bits: where they went, by part.
        mse: over all coded samples on [0, 1], exact reconstruction.
        rd_weight: that it was fitted with.
        notes: what the fits had to mend.
    """

    number: int
    num_frames: int
    size_bytes: int
    estimated_bits: float
    bits: dict[str, float]
    mse: float
    rd_weight: float
    fit_seconds: float
    notes: tuple[str, ...]

    @property
    def psnr_db(self) -> float:
        """Of `mse`; infinite where all samples are equal."""
        return -10.0 * math.log10(self.mse) if self.mse > 0 else math.inf


@dataclass(frozen=True)
class FittedSegment:
    """A segment that is done.

    Args:
        source_crc: crc32 over the source's frames, by which a later run knows them again.
    """

    segment: Segment
    report: SegmentReport
    source_crc: int


@dataclass(frozen=True)
class Recipe:
    """How segments of a clip are made; what every worker must know.

    Args:
        num_threads: that a fit may use; None: OMP_NUM_THREADS or one a core.
    """

    video: VideoFormat
    model: ModelConfig
    fit_config: FitConfig
    options: EncodingOptions
    num_threads: int | None = None

    def open(self) -> SegmentEncoder:
        """What makes segments. Raises ConfigError where the parts do not fit each other."""
        fitted_with, open_encoder = _ENCODERS[self.model.KIND]
        if not isinstance(self.fit_config, fitted_with):
            raise ConfigError(f"a {type(self.model).__name__} is not fitted with a {type(self.fit_config).__name__}")
        num_threads = self.num_threads or usual_threads()
        return open_encoder(self.video, self.model, self.fit_config, self.options, num_threads)

    def at(self, rd_weight: float) -> Recipe:
        """The same at another rate."""
        if rd_weight == self.fit_config.rd_weight:
            return self
        return replace(self, fit_config=replace(self.fit_config, rd_weight=rd_weight))


def _open_patch_encoder(*arguments: Any) -> SegmentEncoder:
    from c3video.c3.fit.encode import open_patch_encoder  # loads torch, which takes longer than some encodes

    return open_patch_encoder(*arguments)


_ENCODERS: dict[int, tuple[type, Callable[..., SegmentEncoder]]] = {
    C3Config.KIND: (C3FitConfig, _open_patch_encoder),
    HybridConfig.KIND: (HybridFitConfig, open_frame_encoder),
    PyramidConfig.KIND: (PyramidFitConfig, open_picture_encoder),
}
"""By model_kind: how a model is fitted, and what opens its encoder."""


@dataclass(frozen=True)
class FitSegment:
    """The job (crew/jobs.py): fit and code frames as segment `number`. Reports (patch, Progress)."""

    recipe: Recipe
    number: int
    frames: Sequence[Frame]

    def __call__(self, report: Callable[[Any], None]) -> FittedSegment:
        """Raises FitError."""
        started = time.perf_counter()

        def fit_report(patch: int, progress: Progress) -> None:
            report((patch, progress))

        frames, video = self.frames, self.recipe.video
        encoded = self.recipe.open().encode(frames, fit_report)
        segment = Segment(
            number=self.number,
            pts=tuple(frame.pts for frame in frames),
            durations=tuple(frame.duration for frame in frames),
            frame_hashes=tuple(frame_hash(planes) for planes in encoded.decoded),
            patches=encoded.patches,
        )
        figures = SegmentReport(
            number=self.number,
            num_frames=len(frames),
            size_bytes=segment.size_bytes,
            estimated_bits=encoded.estimated_bits,
            bits=encoded.bits,
            mse=_mse(encoded.decoded, [frame.planes for frame in frames]) / video.layout.max_value**2,
            rd_weight=self.recipe.fit_config.rd_weight,
            fit_seconds=time.perf_counter() - started,
            notes=encoded.notes,
        )
        return FittedSegment(segment, figures, frames_crc(frames))


def frames_crc(frames: Sequence[Frame]) -> int:
    """crc32 over the hashes and times of frames."""
    crc = 0
    for frame in frames:
        crc = zlib.crc32(f"{frame_crc32(frame.planes)} {frame.pts} {frame.duration}".encode(), crc)
    return crc


def _mse(decoded: Sequence[Planes], planes: Sequence[Planes]) -> float:
    """Over all samples of all frames, a plane at a time: whole segments in floats would take gigabytes."""
    errors, count = 0.0, 0
    for ours, theirs in zip(decoded, planes, strict=True):
        for found, wanted in zip(ours, theirs, strict=True):
            errors += float(np.square(found.astype(np.float64) - wanted).sum())
            count += wanted.size
    return errors / count


def fit_memory(recipe: Recipe, segment_frames: int) -> int:
    """Bytes that a process takes to fit a segment, estimated on the high side (docs/scale.md has what was measured)."""
    samples, kind = sum(height * width for height, width in recipe.video.plane_shapes), recipe.model.KIND
    return _PROCESS_BYTES + (_SAMPLE_BYTES[kind] * segment_frames + _PICTURE_BYTES[kind]) * samples


_PROCESS_BYTES = 450 << 20
_SAMPLE_BYTES = {C3Config.KIND: 60, HybridConfig.KIND: 15, PyramidConfig.KIND: 60}
"""By model_kind: of a segment's frames, once for each."""
_PICTURE_BYTES = {C3Config.KIND: 0, HybridConfig.KIND: 110, PyramidConfig.KIND: 50}
"""By model_kind, a sample of one frame: what fitting a picture takes beside that, most while latents are chosen."""
