# SPDX-License-Identifier: MIT
"""`c3video.encode`: from a path or frames to a .c3v file, by names of profile and preset."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from c3video import config
from c3video.encoder import EncodeProgress, EncodeReport, FrameSource, SegmentReport, prepare
from c3video.errors import ConfigError
from c3video.media.source import open_source
from c3video.output import Output, Overwrite, check_output, open_output

# fmt: off
OTHER_SUFFIXES = frozenset({
    ".264", ".265", ".3gp", ".aac", ".apng", ".av1", ".avi", ".avif", ".bmp", ".flac", ".flv", ".gif", ".h264",
    ".h265", ".hevc", ".ivf", ".jpeg", ".jpg", ".jxl", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp3", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogg", ".ogv", ".png", ".raw", ".rgb", ".tif", ".tiff", ".ts",
    ".vob", ".wav", ".webm", ".webp", ".wmv", ".y4m", ".yuv",
})
# fmt: on
"""Names of formats that a .c3v stream is not: who finds it under one could not tell why no player plays it."""

_log = logging.getLogger(__name__)


def encode(
    source: str | os.PathLike[str] | FrameSource,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    profile: str = "default",
    preset: str = "medium",
    rd_weight: float = 1e-3,
    window_search: str | None = None,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    frames: tuple[int, int | None] | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    stream: int | None = None,
    rotate: bool = False,
    strict: bool = False,
    seed: int = 0,
    device: str = "cpu",
    size: tuple[int, int] | None = None,
    pix_fmt: str | None = None,
    fps: Fraction | None = None,
    overwrite: Overwrite = True,
    report: Callable[[EncodeProgress], None] = lambda progress: None,
) -> EncodeReport:
    """Encode a video to a .c3v stream.

    A file appears when it is whole: it grows as OUT.part.c3v beside its place (output.py), and what was there before
    stays until then.

    Args:
        source: what FFmpeg can open, "-" for standard input, or an iterable of frames with `format` and `num_frames`
            (`c3video.video.ArraySource` makes one of arrays).
        out: path, "-" for standard output, or a binary file object.
        profile: what the model is: "default", "cells" (C3 on the source's planes) or "paper" (C3 as published, on RGB).
        preset: how long to fit: "ultrafast", "fast", "medium", "slow" or "paper".
        rd_weight: weight of bits per pixel against MSE on [0, 1]; larger means smaller files.
        window_search: how the profile paper finds what its context sees of the previous frame: "wide" (as published,
            by a fit that is thrown away), "correlation" or "centre"; None: as the preset says.
        patch_size: largest (height, width) of a patch in luma samples; None: 288 x 352. The profile
            default codes whole frames and has none.
        segment_frames: most frames a segment; segments decode alone. None: 64 with the profile default, else 32.
        scene_cuts: whether a segment also begins where a scene does.
        frames: (first, one past the last or None), counted from 0.
        start, end: seconds after the first frame, in place of `frames`.
        stream: number of the video stream in its container; FFmpeg's choice where None.
        rotate: turn pictures upright that are stored on their side; otherwise the stream says how they lie.
        strict: end with an error where the source is damaged, in place of a warning.
        device: where the profiles cells and paper fit, as torch names it.
        size, pix_fmt, fps: of headerless raw video: (width, height), FFmpeg's name, frames a second. `pix_fmt` without
            `size` is what frames of another pixel format are converted to (media/conversion.py).
        overwrite: whether a file at `out` may be replaced, or a function that is asked.
        report: called after each step of a fit.

    Returns:
        A report a segment, and figures of the whole.

    Raises:
        C3VideoError: see errors.py. What was finished before it is a valid stream in OUT.part.c3v, and the message
            says so; in a file object it is what was written.
        OSError: the output cannot be written to the end; likewise.
    """
    chosen = config.profile(profile)
    fit = config.fit_config(profile, preset, rd_weight, window_search)
    sources = [source] if isinstance(source, (str, os.PathLike)) else []
    if isinstance(out, (str, os.PathLike)):
        check_output(out, callable(overwrite) or overwrite, sources)  # one who is to be asked is asked later
        _check_name(out)
    if device != "cpu" and not chosen.model.HAS_PATCHES:
        _log.warning("profile %s fits on the CPU: device %s is not used", profile, device)
    opened: AbstractContextManager[FrameSource]
    if isinstance(source, (str, os.PathLike)):
        opened = open_source(
            source if isinstance(source, str) else Path(source),
            size=size,
            pix_fmt=pix_fmt,
            fps=fps,
            frames=frames,
            start=start,
            end=end,
            stream=stream,
            rotate=rotate,
            strict=strict,
            as_rgb=chosen.as_rgb,
        )
    else:
        opened = nullcontext(source)
    with opened as frame_source:
        encoding = prepare(
            frame_source,
            chosen.model.for_video(frame_source.format),
            fit,
            patch_size=patch_size,
            segment_frames=segment_frames,
            scene_cuts=scene_cuts,
            seed=seed,
            device=device,
            settings=config.EncoderSettings.of(profile, preset, rd_weight),
        )
        if not isinstance(out, (str, os.PathLike)):
            return encoding.write(out, report=report)
        with open_output(out, overwrite=overwrite, sources=sources) as output, output.open() as file:
            return encoding.write(file, report=report, on_segment=_keeper(output))


def _check_name(out: str | os.PathLike[str]) -> None:
    path = Path(out)
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        raise ConfigError(
            f"{path}: a .c3v stream is written, which is no {suffix} file: name it {path.with_suffix('.c3v').name}; "
            "`c3v decode` makes of it what players know"
        )


def _keeper(output: Output) -> Callable[[SegmentReport], None]:
    """What tells an output how much of it is finished."""
    num_frames = 0
    valid = ", a valid stream" if output.is_file else ""  # a pipe may lack the index

    def keep(segment: SegmentReport) -> None:
        nonlocal num_frames
        num_frames += segment.num_frames
        segments = "1 segment" if segment.number == 0 else f"{segment.number + 1} segments"
        output.keep(f"{segments} ({num_frames} {'frame' if num_frames == 1 else 'frames'}){valid}")

    return keep
