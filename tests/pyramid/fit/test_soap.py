# SPDX-License-Identifier: MIT
"""SOAP on matrices whose best values are known."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.fit.soap import Soap

SHAPES = {"matrix": (5, 3), "row": (1, 4), "vector": (6,), "kernel": (4, 2, 3, 3)}


def ill_conditioned(seed: int, size: int, condition: float) -> np.ndarray:
    """A symmetric positive matrix whose eigenvectors lie along no axis."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]
    return (basis * np.geomspace(1.0, condition, size)) @ basis.T


def minimised(steps: int, rate: float) -> tuple[float, float]:
    """Loss tr(W^T A W) / 2 of a 6 x 4 matrix, before and after."""
    curvature = ill_conditioned(0, 6, 1e3)
    weight = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)

    def loss() -> float:
        return float(0.5 * np.trace(weight.T @ curvature @ weight))

    before, soap = loss(), Soap({"w": weight})
    for step in range(steps):
        soap.step({"w": curvature @ weight}, rate * (1.0 - step / steps))
    return before, loss()


def test_a_turned_and_stretched_bowl_is_no_obstacle() -> None:
    before, after = minimised(300, 0.03)
    assert after < 1e-4 * before


@pytest.mark.parametrize("name", SHAPES)
def test_arrays_of_any_axes_reach_their_targets(name: str) -> None:
    rng = np.random.default_rng(2)
    array, target = np.zeros(SHAPES[name], dtype=np.float32), rng.normal(size=SHAPES[name])
    soap = Soap({name: array})
    for step in range(400):
        soap.step({name: array - target}, 0.03 * (1.0 - step / 400))
    np.testing.assert_allclose(array, target, atol=2e-2)


def test_the_first_step_only_measures_and_the_next_has_the_length_of_its_rate() -> None:
    array = np.zeros((3, 3), dtype=np.float32)
    grad = np.diag([1.0, 10.0, 100.0])
    soap = Soap({"w": array})
    soap.step({"w": grad}, 0.5)
    assert not array.any()
    soap.step({"w": grad}, 0.5)
    # As Adam's first step: each coordinate goes by its rate, however steep it is there.
    np.testing.assert_allclose(np.abs(np.diag(array)), 0.5, rtol=1e-3)
    assert np.abs(array - np.diag(np.diag(array))).max() < 1e-3


def test_steps_are_in_place_and_alike_each_time() -> None:
    found = []
    for _ in range(2):
        flat = np.ones(20, dtype=np.float32)
        soap = Soap({"a": flat[:12].reshape(4, 3), "b": flat[12:]})
        rng = np.random.default_rng(3)
        for _ in range(25):
            soap.step({"a": rng.normal(size=(4, 3)), "b": rng.normal(size=8)}, 0.01)
        found.append(flat)
    assert not np.array_equal(found[0], np.ones(20))
    np.testing.assert_array_equal(found[0], found[1])
