# SPDX-License-Identifier: MIT
"""The encoding story: source -> scenes -> segments -> stream. What is between the last two is the model's."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol, overload

import numpy as np

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.encode import open_patch_encoder
from c3video.config import EncoderSettings, FitConfig, ModelConfig
from c3video.errors import ConfigError, SourceError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.fit.encode import open_frame_encoder
from c3video.limits import check_range
from c3video.media.scene_cuts import split_at_cuts
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.encode import open_picture_encoder
from c3video.segment_model import EncodingOptions, SegmentEncoder
from c3video.stream.layout import MAX_SEGMENT_SAMPLES, Header, Segment, write_header
from c3video.stream.writer import Writer
from c3video.video import Frame, Planes, VideoFormat, frame_crc32

MAX_SEED = (1 << 63) - 1
"""Largest seed: what the generators of NumPy and torch both take."""

MAX_SEGMENT_FRAMES = 1024
"""Most frames a segment, as a header may say (stream/layout.py)."""

_log = logging.getLogger(__name__)


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
        frames_before: of finished segments.
        segment_frames: of this segment.
        num_frames: of the clip, by what its container says; None where it does not.
    """

    segment: int
    num_segments: int | None
    patch: int
    num_patches: int
    fit: Progress
    frames_before: int
    segment_frames: int
    num_frames: int | None


@dataclass(frozen=True)
class SegmentReport:
    """What one segment came to.

    Args:
        size_bytes: all of its bytes in the file.
        estimated_bits: what the fits promised for its patches.
        bits: where they went, by part.
        mse: over all coded samples on [0, 1], exact reconstruction.
        notes: what the fits had to mend.
    """

    number: int
    num_frames: int
    size_bytes: int
    estimated_bits: float
    bits: dict[str, float]
    mse: float
    fit_seconds: float
    notes: tuple[str, ...]

    @property
    def psnr_db(self) -> float:
        """Of `mse`; infinite where all samples are equal."""
        return -10.0 * math.log10(self.mse) if self.mse > 0 else math.inf


@dataclass(frozen=True)
class EncodeReport(Sequence[SegmentReport]):
    """What an encode came to: a sequence of the reports of its segments, and figures of the whole.

    Args:
        size_bytes: of the file: header, segments and index.
        clip_seconds: from the first frame to the end of the last one, by their time stamps.
        seconds: that the encode took.
    """

    segments: tuple[SegmentReport, ...]
    video: VideoFormat
    size_bytes: int
    clip_seconds: float
    seconds: float

    @overload
    def __getitem__(self, index: int) -> SegmentReport: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[SegmentReport, ...]: ...

    def __getitem__(self, index: int | slice) -> SegmentReport | tuple[SegmentReport, ...]:
        return self.segments[index]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def num_frames(self) -> int:
        return sum(segment.num_frames for segment in self.segments)

    @property
    def bpp(self) -> float:
        """Bits of the file a luma sample of all frames."""
        return 8 * self.size_bytes / (self.num_frames * self.video.width * self.video.height)

    @property
    def kbit_per_second(self) -> float | None:
        """Thousands of bits of the file a second of the clip; None where the clip has no length."""
        return 8e-3 * self.size_bytes / self.clip_seconds if self.clip_seconds > 0 else None

    @property
    def psnr_db(self) -> float:
        """Of the mean squared error over all samples of all planes and frames; infinite where all are equal."""
        mse = sum(segment.mse * segment.num_frames for segment in self.segments) / self.num_frames
        return -10.0 * math.log10(mse) if mse > 0 else math.inf

    @property
    def speed(self) -> float:
        """Seconds of the clip a second of encoding."""
        return self.clip_seconds / self.seconds


@dataclass(frozen=True)
class Encoding:
    """A clip that is ready to be encoded: all that can be checked beforehand has been. Made by `prepare`.

    Args:
        frames: all of the clip.
        num_frames: by what the source says.
        segment_frames: most frames a segment.
    """

    header: Header
    frames: Iterator[Frame]
    num_frames: int | None
    segment_frames: int
    scene_cuts: bool
    encoder: SegmentEncoder

    def write(
        self,
        out: BinaryIO,
        *,
        report: Callable[[EncodeProgress], None] = lambda progress: None,
        on_segment: Callable[[SegmentReport], None] = lambda segment: None,
    ) -> EncodeReport:
        """Encode to a stream; can be done once.

        Segments are written as they are finished; if an exception (Ctrl-C, say) ends the work early, what was finished
        is a valid stream.

        Args:
            report: called after each step of a fit.
            on_segment: called when a segment is in `out`.

        Raises:
            SourceError, FitError: see errors.py.
            OSError: from `out`.
        """
        started, video = time.perf_counter(), self.header.video
        in_runs = split_at_cuts if self.scene_cuts else _batches
        segments: list[SegmentReport] = []
        num_frames, first_pts, end_pts = 0, 0, 0
        with Writer(out, self.header) as writer:
            for number, run in enumerate(in_runs(self.frames, video, self.segment_frames)):
                segment_started = time.perf_counter()
                encoded = self.encoder.encode(run, self._fit_report(number, num_frames, len(run), report))
                num_frames += len(run)
                first_pts = run[0].pts if number == 0 else first_pts
                end_pts = run[-1].pts + (run[-1].duration or _usual_duration(video))
                segment = Segment(
                    number=number,
                    pts=tuple(frame.pts for frame in run),
                    durations=tuple(frame.duration for frame in run),
                    frame_crcs=tuple(frame_crc32(planes) for planes in encoded.decoded),
                    patches=encoded.patches,
                )
                segments.append(
                    SegmentReport(
                        number=number,
                        num_frames=len(run),
                        size_bytes=writer.write_segment(segment),
                        estimated_bits=encoded.estimated_bits,
                        bits=encoded.bits,
                        mse=_mse(encoded.decoded, [frame.planes for frame in run]) / video.layout.max_value**2,
                        fit_seconds=time.perf_counter() - segment_started,
                        notes=encoded.notes,
                    )
                )
                _log_segment(segments[-1])
                on_segment(segments[-1])
        clip_seconds = float((end_pts - first_pts) * video.time_base)
        return EncodeReport(tuple(segments), video, writer.size_bytes, clip_seconds, time.perf_counter() - started)

    def _fit_report(
        self, number: int, before: int, size: int, report: Callable[[EncodeProgress], None]
    ) -> Callable[[int, Progress], None]:
        """What a segment's fits report to: it tells `report` where in the clip that is."""
        ahead = -(-(self.num_frames - before) // self.segment_frames) if self.num_frames else None
        num_segments = None if ahead is None else number + max(1, ahead)

        def fit_report(patch: int, progress: Progress) -> None:
            of = self.header.num_patches
            report(EncodeProgress(number, num_segments, patch, of, progress, before, size, self.num_frames))

        return fit_report


def prepare(
    source: FrameSource,
    model_config: ModelConfig,
    fit_config: FitConfig,
    *,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    seed: int = 0,
    device: str = "cpu",
    settings: EncoderSettings | None = None,
) -> Encoding:
    """Check everything that can be checked before there is anything to write; reads the frames of the first segment.

    Args:
        fit_config: a C3FitConfig for a C3Config, a HybridFitConfig for a HybridConfig.
        patch_size: largest (height, width) of a patch in luma samples; None for the default. The hybrid model has none.
        segment_frames: most frames a segment, 1..1024; None: as many as the model usually has, or fewer of a picture
            so large that no more fit.
        scene_cuts: whether a segment also begins where a scene does (scene_cuts.py).
        seed: same seed, machine and thread count, same file. 0..2^63 - 1.
        device: of a C3 model's fit, as torch names it. Bits and pixels are integers made on the CPU.
        settings: the names that model and fit were chosen by, which the stream tells; None: only the rd_weight.

    Raises:
        ConfigError, SourceError: see errors.py.
    """
    model_config.check()
    fit_config.check()
    check_range("seed", seed, 0, MAX_SEED)
    video = source.format
    if segment_frames is None:
        segment_frames = usual_segment_frames(model_config, video)
    check_range("segment_frames", segment_frames, 1, MAX_SEGMENT_FRAMES)
    frames_ahead, frames = _opened(source, segment_frames)
    if not frames_ahead:
        raise SourceError("the source has no frames in the range asked for")
    segment_frames = min(segment_frames, frames_ahead)  # a still image may then be as large as a segment of many frames
    options = EncodingOptions(patch_size, seed, device)
    encoder = _segment_encoder(video, model_config, fit_config, options)
    settings = settings or EncoderSettings(rd_weight=max(1, round(fit_config.rd_weight * 1e9)))
    header = Header(video, model_config, segment_frames, encoder.patch_rows, encoder.patch_columns, settings)
    write_header(header)  # raises for what a stream may not carry
    return Encoding(header, frames, source.num_frames, segment_frames, scene_cuts, encoder)


def encode(
    source: FrameSource,
    out: BinaryIO,
    model_config: ModelConfig,
    fit_config: FitConfig,
    *,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    seed: int = 0,
    device: str = "cpu",
    settings: EncoderSettings | None = None,
    report: Callable[[EncodeProgress], None] = lambda progress: None,
) -> EncodeReport:
    """Encode a clip to a .c3v stream: `prepare`, then `Encoding.write`, which say what the arguments are.

    Raises:
        ConfigError, SourceError, FitError: see errors.py. Nothing has been written before the first of them.
    """
    encoding = prepare(
        source,
        model_config,
        fit_config,
        patch_size=patch_size,
        segment_frames=segment_frames,
        scene_cuts=scene_cuts,
        seed=seed,
        device=device,
        settings=settings,
    )
    return encoding.write(out, report=report)


def usual_segment_frames(model_config: ModelConfig, video: VideoFormat) -> int:
    """Most frames a segment where a user does not say: those of the model, or so many as a segment may hold."""
    height, width = video.cell_shape
    samples = height * width * video.layout.num_cell_channels
    return max(1, min(model_config.SEGMENT_FRAMES, MAX_SEGMENT_SAMPLES // samples))


def _segment_encoder(
    video: VideoFormat, model: ModelConfig, fit_config: FitConfig, options: EncodingOptions
) -> SegmentEncoder:
    """What makes segments of frames, for the model that it is."""
    fitted_with, open_encoder = _ENCODERS[model.KIND]
    if not isinstance(fit_config, fitted_with):
        raise ConfigError(f"a {type(model).__name__} is not fitted with a {type(fit_config).__name__}")
    return open_encoder(video, model, fit_config, options)


_ENCODERS: dict[int, tuple[type, Callable[..., SegmentEncoder]]] = {
    C3Config.KIND: (C3FitConfig, open_patch_encoder),
    HybridConfig.KIND: (HybridFitConfig, open_frame_encoder),
    PyramidConfig.KIND: (PyramidFitConfig, open_picture_encoder),
}
"""By model_kind: how a model is fitted, and what opens its encoder."""


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


def _batches(frames: Iterable[Frame], video: VideoFormat, size: int) -> Iterator[list[Frame]]:
    """Runs of equal lengths, with the arguments of `split_at_cuts`."""
    iterator = iter(frames)
    while batch := list(islice(iterator, size)):
        yield batch


def _usual_duration(video: VideoFormat) -> int:
    """Of a frame that does not say its own, in units of the time base; 0 where there is no frame rate either."""
    return round(1 / (video.frame_rate * video.time_base)) if video.frame_rate else 0


def _log_segment(segment: SegmentReport) -> None:
    _log.info(
        "segment %d: %d frames, %d bytes, %.2f dB, %.1f s",
        segment.number,
        segment.num_frames,
        segment.size_bytes,
        segment.psnr_db,
        segment.fit_seconds,
    )
    for note in segment.notes:
        _log.warning("segment %d: %s", segment.number, note)
