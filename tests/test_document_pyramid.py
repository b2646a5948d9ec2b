# SPDX-License-Identifier: MIT
"""docs/c3v_pyramid.md is enough to write a decoder from: one that was (tests/document_pyramid.py) finds the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.coding.rangecoder import SymbolWriter
from c3video.pyramid.config import PREVIOUS_TAPS, TAPS, PyramidConfig
from c3video.pyramid.differences import Difference, difference_shifts, weights_from
from c3video.pyramid.payload import code_weights, encode_picture
from c3video.pyramid.priors import CUBIC_KERNEL, PRIORS, prior_of, stored_prior, zero_prior
from c3video.pyramid.run_payload import encode_run, sum_layers
from c3video.pyramid.runs import RunShape
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.pyramid.weights import PyramidWeights
from c3video.video import VideoFormat
from tests import document_pyramid
from tests.document_decoder import clip
from tests.pyramid.models import random_symbols, random_weights


def as_the_document_has_it(config: PyramidConfig) -> document_pyramid.Config:
    return document_pyramid.Config(
        config.num_grids,
        config.num_taps,
        config.entropy_layers,
        config.synthesis_width,
        config.refine_width,
        config.filter_reach,
        config.patch_size,
        config.num_previous,
        config.num_hyper,
    )


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "extreme"),
    [
        ((21, 18), "yuv420p", PyramidConfig(num_hyper=4), False),
        (
            (9, 133),
            "yuv420p",
            PyramidConfig(num_grids=3, refine_width=2, filter_reach=3, patch_size=128, num_hyper=3),
            True,
        ),
        ((130, 14), "gray", PyramidConfig(num_grids=5, entropy_layers=(5,), patch_size=128, num_hyper=4), False),
        ((11, 13), "yuv422p10le", PyramidConfig(num_taps=16, entropy_layers=(6,)), False),
        ((8, 7), "yuv422p", PyramidConfig(num_grids=8, num_taps=4, refine_width=0, num_hyper=4), True),
        ((9, 12), "yuv444p", PyramidConfig(num_grids=4, synthesis_width=9, num_hyper=4), False),
        ((1, 1), "gray10le", PyramidConfig(), False),
        ((5, 6), "yuv420p10le", PyramidConfig(num_grids=1, num_hyper=1), False),
        ((13, 8), "gbrp", PyramidConfig(num_grids=2, num_taps=7, num_hyper=1), False),
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
    theirs = as_the_document_has_it(config)
    read, grids = document_pyramid.decode(data, theirs, key, *size)
    for grid, expected in zip(grids, symbols, strict=True):
        np.testing.assert_array_equal(grid, expected)
    planes = document_pyramid.make_planes(read, grids, key, video.layout.max_value)
    for plane, samples in zip(planes, synthesise(weights, symbols, video.layout), strict=True):
        np.testing.assert_array_equal(plane, samples)
    with pytest.raises((document_pyramid.Damage, AssertionError)):
        document_pyramid.decode(data[:-4], theirs, key, *size)


@pytest.mark.parametrize("number", [0, *PRIORS])
@pytest.mark.parametrize("num_previous", [0, 2])
def test_weights_of_each_prior_are_read_as_the_document_says(number: int, num_previous: int) -> None:
    """Differences and coefficients at random, for the weights of a picture and of a run."""
    base = stored_prior(number) if number else zero_prior(PyramidConfig(), "420")
    config = replace(base.config, num_previous=num_previous)
    prior, rng = prior_of(config, base.layout), np.random.default_rng(number)
    differences = {}
    for name, array in prior.arrays.items():
        shift = int(rng.integers(0, 7))
        spread = 30 / (1 << difference_shifts(prior, name, shift))
        differences[name] = Difference(shift, np.rint(rng.laplace(scale=spread, size=array.shape)).astype(np.int64))
    arrays = {name: weights_from(prior, name, difference) for name, difference in differences.items()}
    gains = tuple(rng.integers(50, 80, config.num_grids).tolist())
    weights = PyramidWeights(config, prior.layout, arrays, gains)
    writer = SymbolWriter()
    code_weights(writer, config, prior.layout, weights, differences)
    theirs = as_the_document_has_it(config)
    coder = document_pyramid.open_payload(writer.finish())
    found = document_pyramid.read_weights(coder, theirs, prior.layout, number)
    for name, array in weights.folded.items():
        rows = array.reshape(1 if array.ndim == 1 else len(array), -1)
        np.testing.assert_array_equal(found[name.replace(".", "")], rows, err_msg=name)


def test_coefficients_out_of_range_are_damage_to_the_document_too() -> None:
    theirs = document_pyramid.Config(7, 12, (16, 16), 16, 8, 0, 512, num_hyper=4)
    prior = document_pyramid.read_prior(2, theirs, "420")
    size = len(prior.weights["w1"])
    largest = [32767 >> clip(step, 0, 14) for step in prior.steps["w1"]]
    assert document_pyramid.changed(prior, "w1", 1, [largest[0], *[0] * (size - 1)])
    for at in (0, size - 1):
        with pytest.raises(document_pyramid.Damage):
            document_pyramid.changed(prior, "w1", 1, [*[0] * at, largest[at] + 1, *[0] * (size - 1 - at)])


def test_tables_of_the_document() -> None:
    assert [tuple(row) for row in document_pyramid.TAPS] == list(TAPS)
    assert tuple(document_pyramid.ZERO_KERNEL) == CUBIC_KERNEL
    assert tuple(document_pyramid.PREVIOUS_TAPS) == PREVIOUS_TAPS


@pytest.mark.parametrize(
    ("size", "num_frames", "spans", "config", "extreme"),
    [
        ((11, 14), 3, (1, 0), PyramidConfig(num_previous=9, num_hyper=4), False),
        ((3, 131), 2, (0,), PyramidConfig(num_grids=3, num_previous=3, patch_size=128, num_hyper=2), False),
        (
            (9, 7),
            4,
            (6, 1),
            PyramidConfig(num_grids=2, num_previous=5, refine_width=0, entropy_layers=(6,), num_hyper=1),
            True,
        ),
        ((6, 5), 2, (1, 0), PyramidConfig(num_grids=3, num_previous=2), False),
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
    theirs = as_the_document_has_it(config)
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
