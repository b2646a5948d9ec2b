# SPDX-License-Identifier: MIT
"""`c3video.encode`: from a path or frames to a .c3v file, by names of profile and preset."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from c3video import config
from c3video.encoder import EncodeProgress, FrameSource, SegmentReport
from c3video.encoder import encode as encode_source
from c3video.errors import ConfigError
from c3video.media.source import open_source


def encode(
    source: str | os.PathLike[str] | FrameSource,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    profile: str = "default",
    preset: str = "medium",
    rd_weight: float = 1e-3,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int = 32,
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
    report: Callable[[EncodeProgress], None] = lambda progress: None,
) -> list[SegmentReport]:
    """Encode a video to a .c3v stream.

    Args:
        source: what FFmpeg can open, "-" for standard input, or an iterable of frames with `format` and `num_frames`
            (`c3video.video.ArraySource` makes one of arrays).
        out: path, "-" for standard output, or a binary file object.
        profile: what the model is: "default", "cells" (C3 on the source's planes) or "paper" (C3 as published, on RGB).
        preset: how long to fit: "ultrafast", "fast", "medium", "slow" or "paper".
        rd_weight: weight of bits per pixel against MSE on [0, 1]; larger means smaller files.
        patch_size: largest (height, width) of a patch in luma samples; None: 288 x 352. The profile
            default codes whole frames and has none.
        segment_frames: most frames a segment; segments decode alone.
        scene_cuts: whether a segment also begins where a scene does.
        frames: (first, one past the last or None), counted from 0.
        start, end: seconds after the first frame, in place of `frames`.
        stream: number of the video stream in its container; FFmpeg's choice where None.
        rotate: turn pictures upright that are stored on their side; otherwise the stream says how they lie.
        strict: end with an error where the source is damaged, in place of a warning.
        size, pix_fmt, fps: of headerless raw video: (width, height), FFmpeg's name, frames a second.
        report: called after each step of a fit.

    Returns:
        A report a segment.

    Raises:
        C3VideoError: see errors.py. What was finished before it is a valid stream in `out`.
    """
    chosen = config.profile(profile)
    fit = config.fit_config(profile, preset, rd_weight)
    opened: AbstractContextManager[FrameSource]
    if isinstance(source, (str, os.PathLike)):
        if isinstance(out, (str, os.PathLike)) and str(out) != "-" and _same_file(source, out):
            raise ConfigError(f"{out}: input and output are the same file")
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
    with opened as frame_source, _output(out) as file:
        return encode_source(
            frame_source,
            file,
            chosen.model.for_video(frame_source.format),
            fit,
            patch_size=patch_size,
            segment_frames=segment_frames,
            scene_cuts=scene_cuts,
            seed=seed,
            device=device,
            report=report,
        )


def _same_file(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> bool:
    return os.path.exists(source) and os.path.exists(out) and os.path.samefile(source, out)


@contextmanager
def _output(out: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """The file to write; one that would stay empty is removed again."""
    if not isinstance(out, (str, os.PathLike)):
        yield out
    elif str(out) == "-":
        yield sys.stdout.buffer
    else:
        path = Path(out)
        try:
            with path.open("wb") as file:
                yield file
        finally:
            if path.is_file() and path.stat().st_size == 0:
                path.unlink()
