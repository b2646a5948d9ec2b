# SPDX-License-Identifier: MIT
"""Choosing integers: steps that are worth their bits, in a basis or without, and never beyond a decoder's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.differences import weights_from
from c3video.pyramid.fit import precision
from c3video.pyramid.fit.precision import RoundingTask, choose_integers
from c3video.pyramid.priors import Prior, zero_prior
from c3video.pyramid.weights import dequantise, quantise
from tests.pyramid.models import random_weights

TINY = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=4, refine_width=2)


def quadratic_task(bend: float, arrays: Mapping[str, NDArray[np.float32]], bit_worth: float = 1e-6) -> RoundingTask:
    """A loss of `bend` times the squares of what each weight is off where it began."""
    wanted = {name: array.copy() for name, array in arrays.items()}

    def loss(name: str) -> float:
        return bend * float(np.square((arrays[name] - wanted[name]).astype(np.float64)).sum())

    def gradients() -> Mapping[str, NDArray[np.float32]]:
        return {name: np.zeros_like(array) for name, array in arrays.items()}

    return RoundingTask(quantise(TINY, "420", wanted), arrays, loss, gradients, bit_worth, steps=1, rate=1e-3)


def fitted_arrays() -> dict[str, NDArray[np.float32]]:
    return {name: array.astype(np.float32) for name, array in dequantise(random_weights(TINY, "420", 4)).items()}


@pytest.fixture(params=[False, True])
def prior(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Prior:
    found = zero_prior(TINY, "420")
    if request.param:
        rng = np.random.default_rng(0)
        bases = {
            n: 4096 * np.eye(k, dtype=np.int64) + rng.integers(-900, 901, (k, k)) for n, k in (("w1", 11), ("r1.1", 18))
        }
        found = replace(found, bases=bases)
    monkeypatch.setattr(precision, "prior_of", lambda config, layout: found)
    return found


def test_what_is_worth_more_gets_finer_steps(prior: Prior) -> None:
    shifts = []
    for bend in (1e-4, 1e-2, 1.0):
        arrays = fitted_arrays()
        wanted = quantise(TINY, "420", arrays).arrays
        chosen = choose_integers(quadratic_task(bend, arrays))
        shifts.append(chosen.differences["w1"].shift)
        for name, array in chosen.weights.arrays.items():
            np.testing.assert_array_equal(weights_from(prior, name, chosen.differences[name]), array, err_msg=name)
        off = np.abs(chosen.weights.arrays["w1"] - wanted["w1"]).max()
        assert off <= 3 * 2 ** shifts[-1]
        np.testing.assert_allclose(
            dequantise(chosen.weights)["w1"], arrays["w1"], atol=1e-6, err_msg="arrays are left as they were rounded"
        )
    assert shifts[0] > shifts[1] > shifts[2]


def test_steps_that_lead_beyond_the_bounds_are_passed_over(prior: Prior) -> None:
    """32767 is nearest to 32768 in any unit but 1, and no weight may be that large."""
    arrays = fitted_arrays()
    arrays["b3"][:] = 32767 / 4096
    chosen = choose_integers(replace(quadratic_task(1e-9, arrays), steps=0))
    assert np.abs(chosen.weights.arrays["b3"]).max() <= 32767
    np.testing.assert_array_equal(chosen.weights.arrays["b3"], 32767)
    assert chosen.differences["b3"].shift == 0
