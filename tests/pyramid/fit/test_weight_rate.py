# SPDX-License-Identifier: MIT
"""The slope of the bits that weights take: against differences, by hand, and against what they are coded with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.differences import nearest_difference
from c3video.pyramid.fit.precision import weight_bits
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import prior_weights
from c3video.pyramid.fit.weight_rate import WeightRate
from c3video.pyramid.priors import BASIS_BITS, Prior, stored_prior
from c3video.pyramid.weights import quantise


def moved_weights(number: int) -> tuple[PyramidConfig, dict[str, NDArray[np.float64]]]:
    """Weights of a prior in floats, each moved by about what fits move it by."""
    prior, random = stored_prior(number), np.random.default_rng(number)
    arrays = weight_views(prior_weights(prior).astype(np.float64), prior.config, prior.layout)
    return prior.config, {
        name: array + 0.02 * np.abs(array).mean() * random.laplace(size=array.shape) for name, array in arrays.items()
    }


def test_biases_without_a_basis_by_hand() -> None:
    # Prior 0 has neither steps nor spreads, so all coefficients of an array have one scale: the mean of their sizes.
    config = PyramidConfig(num_grids=2, prior=0)
    arrays = zeros(config)
    arrays["b1"][0, :4] = 1.0, -1.0, 3.0, 0.0
    scale = 5.0 / arrays["b1"].size  # in units of a float; a slope by floats needs no other
    found = WeightRate(config, "420").slopes(arrays)["b1"]

    assert found[0, :4] == pytest.approx([bits_by(size, scale) for size in (1.0, -1.0, 3.0, 0.0)])
    assert not found[1:].any()
    assert not WeightRate(config, "420").slopes(zeros(config))["b1"].any()  # no scale to go by


def bits_by(size: float, scale: float) -> float:
    return size / math.hypot(size, 0.5 * scale) / (scale * math.log(2.0))


def zeros(config: PyramidConfig) -> dict[str, NDArray[np.float64]]:
    return {name: np.zeros(shape) for name, shape in weight_shapes(config, "420").items()}


@pytest.mark.parametrize("number", [2, 5])
def test_slopes_are_those_of_coefficients_in_the_basis(number: int) -> None:
    config, arrays = moved_weights(number)
    prior, random = stored_prior(number), np.random.default_rng(1)
    slopes = WeightRate(config, prior.layout).slopes(arrays)
    assert prior.bases
    for name in ("w1", "v1.0"):
        scale = float(np.abs(coefficients(prior, arrays, name)).mean())
        way = random.standard_normal(arrays[name].shape)
        ahead, behind = (
            laplace_bits(coefficients(prior, arrays | {name: arrays[name] + step * way}, name), scale)
            for step in (1e-6, -1e-6)
        )
        assert float((slopes[name] * way).sum()) == pytest.approx((ahead - behind) / 2e-6, rel=1e-5)


def coefficients(prior: Prior, arrays: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Of an array's differences to the prior, each in units of its own spread."""
    basis = prior.bases[name] * 2.0**-BASIS_BITS
    rows = (exact_integers(prior.config, prior.layout, arrays, name) - prior.arrays[name]).reshape(-1, len(basis))
    spreads = np.exp2(prior.steps[name]) * np.exp(prior.spreads[name] / 8.0)
    return np.linalg.solve(basis.T, rows.T).T.reshape(spreads.shape) / spreads


def laplace_bits(values: NDArray[np.float64], scale: float) -> float:
    """Bits under a Laplace distribution of this scale, but for a constant; flat around zero."""
    return float(np.hypot(values, 0.5 * scale).sum() / (scale * math.log(2.0)))


def exact_integers(
    config: PyramidConfig, layout: str, arrays: dict[str, NDArray[np.float64]], name: str
) -> NDArray[np.float64]:
    """What `quantise` rounds, found from two arrays whose integers it knows: it is linear in each weight."""
    ones = {key: np.ones_like(array) for key, array in arrays.items()}
    factor = quantise(config, layout, {key: array * 2.0**-4 for key, array in ones.items()}).arrays[name] * 16.0
    return arrays[name] * factor


def test_weights_that_follow_the_slope_take_fewer_bits() -> None:
    config, arrays = moved_weights(2)
    prior = stored_prior(2)
    rate = WeightRate(config, prior.layout)

    def coded(name: str) -> float:
        integers = quantise(config, prior.layout, arrays).arrays[name]
        return weight_bits(nearest_difference(prior, name, integers, 2).values, prior.spreads[name])

    before = {name: coded(name) for name in ("w1", "w2", "v1.0")}
    for _ in range(20):
        for name, slope in rate.slopes(arrays).items():
            if slope.any():
                arrays[name] -= 1e-3 * np.abs(arrays[name]).mean() * slope / np.abs(slope).mean()
    for name, bits in before.items():
        assert coded(name) < 0.95 * bits


def test_bits_move_no_array_more_than_the_picture_does() -> None:
    config, arrays = moved_weights(2)
    rate = WeightRate(config, "420")
    slopes = rate.slopes(arrays)
    grads = {name: np.zeros_like(array) for name, array in arrays.items()}
    grads["w1"] = 2.0 * np.abs(slopes["w1"])
    grads["w2"] = 0.5 * np.abs(slopes["w2"])
    added = rate.added_to(grads, arrays, 1.0)
    np.testing.assert_allclose(added["w1"], grads["w1"] + slopes["w1"])
    np.testing.assert_allclose(added["w2"], grads["w2"] + 0.5 * slopes["w2"])
    assert not added["v1.0"].any()
