# SPDX-License-Identifier: MIT
"""Small valid streams of the pyramid model from random integers, made without a fit or a decoder."""

from __future__ import annotations

from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.decode import is_run, join_pictures
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.run_payload import encode_run, sum_layers
from c3video.pyramid.runs import RunShape
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, frame_hash
from tests.pyramid.models import random_symbols, random_weights

SMALL = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(4,), synthesis_width=4, refine_width=0)
"""Few weights, so that a picture takes some 300 bytes."""


def synthetic_segment(header: Header, num_frames: int, number: int = 0) -> tuple[Segment, list[Planes]]:
    """A segment of random pictures, or a run where the configuration has runs, and the planes of its frames."""
    config, video = header.model, header.video
    assert isinstance(config, PyramidConfig)
    layout, size = layout_key(video.layout), (video.height, video.width)
    planes = []
    if is_run(config, num_frames):
        shape = RunShape(num_frames, (1, 0))
        weights = random_weights(config, layout, number)
        symbols = [random_symbols(config, *size, 100 * number + part) for part in range(len(shape.latent_frames))]
        data = encode_run(weights, shape, [(1, -1)] * config.num_grids, symbols, video)[0]
        for parts in shape.parts:
            planes.append(synthesise(weights, sum_layers([symbols[part] for part in parts]), video.layout))
    else:
        pictures = []
        for index in range(num_frames):
            seed = 100 * number + index
            weights, latents = random_weights(config, layout, seed), random_symbols(config, *size, seed)
            pictures.append(encode_picture(weights, latents, video)[0])
            planes.append(synthesise(weights, latents, video.layout))
        data = join_pictures(pictures)
    first = number * header.segment_frames
    pts = tuple(range(first, first + num_frames))
    return Segment(number, pts, (1,) * num_frames, tuple(map(frame_hash, planes)), (data,)), planes
