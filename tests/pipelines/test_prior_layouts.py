# SPDX-License-Identifier: MIT
"""A prior for another layout: the same latents give the same picture, told by other samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import start_weights
from c3video.pyramid.priors import Prior
from c3video.pyramid.synthesis import synthesise
from c3video.pyramid.weights import UNIT_GAIN, PyramidWeights
from c3video.video import LAYOUTS, Planes
from pipelines.fit_pyramid_priors import PIXEL_FORMATS, to_prior
from pipelines.prior_layouts import SOURCES, YUV_OF_GBR, relaid

CONFIG = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=6, refine_width=4, num_hyper=1)
SHAPES = ((12, 16), (6, 8), (3, 4))


def prior(layout: str) -> Prior:
    """One whose refinement takes part, and whose pictures stay clear of black and white."""
    weights = start_weights(CONFIG, layout, seed=2)
    for name, array in weight_views(weights, CONFIG, layout).items():
        if name[:2] in ("r2", "d2", "d1", "c1"):
            array[...] = np.random.default_rng(5).normal(scale=0.1, size=array.shape)
    return to_prior(weights, CONFIG, layout)


RANDOM = [np.rint(np.random.default_rng(3).normal(scale=2.0, size=shape)).astype(np.int64) for shape in SHAPES]


def picture(of: Prior, symbols: Sequence[NDArray[np.int64]] = RANDOM) -> Planes:
    weights = PyramidWeights(replace(of.config, prior=0), of.layout, of.arrays, (UNIT_GAIN,) * CONFIG.num_grids)
    return synthesise(weights, symbols, LAYOUTS[PIXEL_FORMATS[of.layout]])


def test_luma_of_gray_and_of_422_is_that_of_420() -> None:
    start = prior("420")
    luma = picture(start)[0]
    assert np.ptp(luma) > 20
    for layout in ("gray", "422"):
        found = relaid(start, layout)
        assert {name: array.shape for name, array in found.arrays.items()} == weight_shapes(CONFIG, layout)
        np.testing.assert_array_equal(picture(found)[0], luma)


def test_chroma_of_422_is_that_of_420_where_nothing_changes() -> None:
    start = prior("420")
    symbols = [np.full(shape, value) for shape, value in zip(SHAPES, (3, -2, 5), strict=True)]
    for index in (1, 2):
        wanted, found = (picture(of, symbols)[index] for of in (start, relaid(start, "422")))
        assert wanted[0, 0] not in (0, 127, 128, 255)
        assert found.shape == (12, 8)
        np.testing.assert_array_equal(found, np.repeat(wanted, 2, axis=0))


def test_444_is_what_the_matrix_makes_of_rgb() -> None:
    start = prior("rgb")
    given = np.array(picture(start)) / 255.0
    assert given.min() > 0.0
    assert given.max() < 1.0
    matrix, offset = YUV_OF_GBR
    wanted = 255.0 * (np.einsum("yx,xhw->yhw", matrix, given) + offset[:, None, None])
    found = np.array(picture(relaid(start, "444")), dtype=np.float64)
    assert np.ptp(wanted[0]) > 20
    assert np.abs(found - wanted).max() < 1.5  # samples of both are rounded


def test_white_and_black_are_those_of_limited_range() -> None:
    matrix, offset = YUV_OF_GBR
    np.testing.assert_allclose(255.0 * (matrix.sum(axis=1) + offset), [235.0, 128.0, 128.0], atol=2e-3)
    np.testing.assert_allclose(255.0 * offset, [16.0, 128.0, 128.0])


@pytest.mark.parametrize("layout", ["420", "rgb", *SOURCES])
def test_a_prior_of_another_layout_than_the_one_it_is_made_from_is_refused(layout: str) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        relaid(prior("gray"), layout)
