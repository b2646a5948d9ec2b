# SPDX-License-Identifier: MIT
"""The encoding story: source -> scenes -> segments -> stream. What is between the last two is the model's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol

import numpy as np

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.encode import open_patch_encoder
from c3video.config import FitConfig, ModelConfig
from c3video.errors import ConfigError, SourceError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.fit.encode import open_frame_encoder
from c3video.media.scene_cuts import split_at_cuts
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.encode import open_picture_encoder
from c3video.segment_model import EncodingOptions, SegmentEncoder
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Frame, Planes, VideoFormat, frame_crc32


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


def encode(
    source: FrameSource,
    out: BinaryIO,
    model_config: ModelConfig,
    fit_config: FitConfig,
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
    options = EncodingOptions(patch_size, seed, device)
    encoder = _segment_encoder(video, model_config, fit_config, options)
    header = Header(video, model_config, segment_frames, encoder.patch_rows, encoder.patch_columns)
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
                report(EncodeProgress(number, known, patch, header.num_patches, progress))

            encoded = encoder.encode(run, fit_report)
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


def _segment_encoder(
    video: VideoFormat, model: ModelConfig, fit_config: FitConfig, options: EncodingOptions
) -> SegmentEncoder:
    """What makes segments of frames, for the model that it is."""
    match model, fit_config:
        case C3Config(), C3FitConfig():
            return open_patch_encoder(video, model, fit_config, options)
        case HybridConfig(), HybridFitConfig():
            return open_frame_encoder(video, model, fit_config, options)
        case PyramidConfig(), PyramidFitConfig():
            return open_picture_encoder(video, model, fit_config, options)
    raise ConfigError(f"a {type(model).__name__} is not fitted with a {type(fit_config).__name__}")


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
