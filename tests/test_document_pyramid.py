# SPDX-License-Identifier: MIT
"""docs/c3v_pyramid.md is enough to write a decoder from: one that was (tests/document_pyramid.py) finds the same."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.config import PREVIOUS_TAPS, TAPS, PyramidConfig
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.priors import CUBIC_KERNEL
from c3video.pyramid.run_payload import encode_run, sum_layers
from c3video.pyramid.runs import RunShape
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.video import VideoFormat
from tests import document_pyramid
from tests.pyramid.models import random_symbols, random_weights


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "extreme"),
    [
        ((21, 18), "yuv420p", PyramidConfig(), False),
        ((9, 133), "yuv420p", PyramidConfig(num_grids=3, refine_width=2, filter_reach=3, patch_size=128), True),
        ((11, 13), "yuv422p10le", PyramidConfig(num_taps=16, entropy_layers=(6,)), False),
        ((8, 7), "yuv422p", PyramidConfig(num_grids=8, num_taps=4, refine_width=0), True),
        ((9, 12), "yuv444p", PyramidConfig(num_grids=4, synthesis_width=9), False),
        ((1, 1), "gray10le", PyramidConfig(), False),
        ((5, 6), "yuv420p10le", PyramidConfig(num_grids=1), False),
        ((13, 8), "gbrp", PyramidConfig(num_grids=2, num_taps=7), False),
    ],
)
def test_picture_decodes_as_the_document_says(
    size: tuple[int, int], pix_fmt: str, config: PyramidConfig, extreme: bool
) -> None:
    video = VideoFormat(size[1], size[0], pix_fmt)
    key = layout_key(video.layout)
    weights = random_weights(config, key, 3, extreme)
    symbols = random_symbols(config, *size, seed=6, scale=1.0)
    data, _ = encode_picture(weights, symbols, video)
    theirs = document_pyramid.Config(
        config.num_grids,
        config.num_taps,
        config.entropy_layers,
        config.synthesis_width,
        config.refine_width,
        config.filter_reach,
        config.patch_size,
    )
    read, grids = document_pyramid.decode(data, theirs, key, *size)
    for grid, expected in zip(grids, symbols, strict=True):
        np.testing.assert_array_equal(grid, expected)
    planes = document_pyramid.make_planes(read, grids, key, video.layout.max_value)
    for plane, samples in zip(planes, synthesise(weights, symbols, video.layout), strict=True):
        np.testing.assert_array_equal(plane, samples)
    with pytest.raises((document_pyramid.Damage, AssertionError)):
        document_pyramid.decode(data[:-4], theirs, key, *size)


def test_tables_of_the_document() -> None:
    assert [tuple(row) for row in document_pyramid.TAPS] == list(TAPS)
    assert tuple(document_pyramid.ZERO_KERNEL) == CUBIC_KERNEL
    assert tuple(document_pyramid.PREVIOUS_TAPS) == PREVIOUS_TAPS


@pytest.mark.parametrize(
    ("size", "num_frames", "spans", "config", "extreme"),
    [
        ((11, 14), 3, (1, 0), PyramidConfig(num_previous=9), False),
        ((3, 131), 2, (0,), PyramidConfig(num_grids=3, num_previous=3, patch_size=128), False),
        ((9, 7), 4, (6, 1), PyramidConfig(num_grids=2, num_previous=5, refine_width=0, entropy_layers=(6,)), True),
    ],
)
def test_run_decodes_as_the_document_says(
    size: tuple[int, int], num_frames: int, spans: tuple[int, ...], config: PyramidConfig, extreme: bool
) -> None:
    video, shape = VideoFormat(size[1], size[0], "yuv420p"), RunShape(num_frames, spans)
    weights = random_weights(config, "420", 5, extreme)
    symbols = [random_symbols(config, *size, seed=seed, scale=0.8) for seed in range(len(shape.latent_frames))]
    windows = [(k % 3 - 1, 2 * k - 3) for k in range(config.num_grids)]
    data, _ = encode_run(weights, shape, windows, symbols, video)
    widths = (config.num_grids, config.num_taps, config.entropy_layers, config.synthesis_width, config.refine_width)
    theirs = document_pyramid.Config(*widths, config.filter_reach, config.patch_size, config.num_previous)
    read, frames = document_pyramid.decode_frames(data, theirs, "420", *size, num_frames)
    for grids, parts in zip(frames, shape.parts, strict=True):
        expected = sum_layers([symbols[part] for part in parts])
        for grid, values in zip(grids, expected, strict=True):
            np.testing.assert_array_equal(grid, values)
        planes = document_pyramid.make_planes(read, grids, "420", 255)
        for plane, samples in zip(planes, synthesise(weights, expected, video.layout), strict=True):
            np.testing.assert_array_equal(plane, samples)
    with pytest.raises((document_pyramid.Damage, AssertionError)):
        document_pyramid.decode_frames(data[:-4], theirs, "420", *size, num_frames)
