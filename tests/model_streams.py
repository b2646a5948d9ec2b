# SPDX-License-Identifier: MIT
"""A small stream of each model, for what must hold whichever model it is."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

from c3video.decoder import Decoder
from c3video.hybrid.config import HybridConfig
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Planes, VideoFormat
from tests.conftest import TINY_MODEL, encode_quickly, moving_clip
from tests.hybrid.streams import synthetic_segment as hybrid_segment
from tests.pyramid.streams import SMALL
from tests.pyramid.streams import synthetic_segment as pyramid_segment

MODELS = {"c3": TINY_MODEL, "hybrid": HybridConfig(), "pictures": SMALL, "run": replace(SMALL, num_previous=2)}
"""By name; the last two are the pyramid model's, without and with runs of frames."""


def small_stream(
    name: str,
    height: int,
    width: int,
    pix_fmt: str,
    lengths: tuple[int, ...],
    *,
    segment_frames: int,
    density: float = 0.1,
) -> tuple[bytes, list[Planes]]:
    """A whole stream at 25 frames a second, and the planes of all frames.

    Args:
        name: of the model, one of MODELS.
        lengths: frames of each segment. Time stamps go on from a multiple of `segment_frames` with each.
        density: of the hybrid model, as of its `synthetic_segment`.
    """
    video = VideoFormat(width, height, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))
    header = Header(video, MODELS[name], segment_frames, 1, 1)
    file, planes = io.BytesIO(), []
    with Writer(file, header) as writer:
        for number, length in enumerate(lengths):
            segment, found = _segment(name, header, number, length, density)
            writer.write_segment(segment)
            planes += found
    return file.getvalue(), planes


def _segment(name: str, header: Header, number: int, length: int, density: float) -> tuple[Segment, list[Planes]]:
    if name == "hybrid":
        made = hybrid_segment(header, length, number=number, seed=number, density=density)
        return made.segment, list(made.planes)
    if name != "c3":
        return pyramid_segment(header, length, number)
    video = header.video
    clip = moving_clip(length, video.height, video.width, video.pix_fmt, seed=number)
    with Decoder(io.BytesIO(encode_quickly(clip, TINY_MODEL, segment_frames=length)), engine="numpy") as coded:
        segment, planes = next(coded.coded_segments()), [frame.planes for frame in coded]
    first = number * header.segment_frames
    return replace(segment, number=number, pts=tuple(range(first, first + length)), durations=(1,) * length), planes
