# SPDX-License-Identifier: MIT
"""The entropy network by hand, in Python's integers."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.entropy import predict
from c3video.pyramid.weights import PyramidWeights
from tests.pyramid.models import case, random_weights


def plain_weights(config: PyramidConfig, **values: object) -> PyramidWeights:
    arrays = {name: np.zeros(shape, dtype=np.int64) for name, shape in weight_shapes(config, "gray").items()}
    for name, value in values.items():
        arrays[name][...] = value
    return PyramidWeights(config, "gray", arrays, (64,) * config.num_grids)


def test_zero_network_says_location_zero_and_the_origin() -> None:
    config = PyramidConfig(num_taps=4)
    steps, fractions, scales = predict(np.ones((11, 3)), plain_weights(config), 2)
    assert (steps.tolist(), fractions.tolist(), scales.tolist()) == ([0] * 3, [0] * 3, [24] * 3)


def test_one_context_by_hand() -> None:
    config = PyramidConfig(num_grids=2, num_taps=4, entropy_layers=(4, 4))
    w1 = np.zeros((4, 11), dtype=np.int64)
    w1[0, :2] = 4096, -2048  # 1, -1/2
    w1[1, 10] = 1  # 2^-12
    weights = plain_weights(
        config,
        w1=w1,
        b1=np.array([[0, 0, 0, 0], [8, 4096, -1, 32767]]),
        w2=np.diag([4096, 8192, 4096, 4096]),
        b2=np.array([0, -4096, 0, 0]),
        w3=np.array([[4096, 0, 0, 0], [0, 2048, 0, -2048]]),
        b3=np.array([100, -4096]),
        l=np.array([[0] * 10 + [200], [0] * 11]),
    )
    context = np.zeros((11, 1))
    context[[0, 1, 10], 0] = 3, 1, -5
    # First layer with 12 bits: 3 - 1/2 and 8 more = 10248, -5 + 4096 = 4091, -1, 32767; with 8 bits, rounded:
    # (10248 + 8) >> 4 = 641, 256, 0 (of -1 + 8 >> 4), 2048.
    # Second layer: 641, 2 * 256 - 256 = 256, 0, 2048.
    # Outputs with 12 bits: 641 * 16 + 100 - 5 * 200 = 9356 and 128 * 16 - 1024 * 16 - 4096 = -18432.
    # Location (9356 + 128) >> 8 = 37 sixteenths = 2 5/16; scale 24 + (-18432 + 256 >> 9) = 24 - 36 -> 0.
    steps, fractions, scales = predict(context, weights, 1)
    assert (steps.tolist(), fractions.tolist(), scales.tolist()) == ([2], [5], [0])


def test_hidden_units_and_outputs_are_held() -> None:
    config = PyramidConfig(num_taps=4, entropy_layers=(4,))
    w1, last = np.zeros((4, 11), dtype=np.int64), np.zeros((2, 4), dtype=np.int64)
    w1[0, 0], last[0, 0], last[1, 0] = 32767, 32767, 32767
    weights = plain_weights(config, w1=w1, w3=last)
    context = np.zeros((11, 3))
    context[0] = 8191, -8191, 16
    # 8191 * 8 is far beyond 128, where a hidden unit stops: the location is 128 * 8 = 1024.
    steps, fractions, scales = predict(context, weights, 0)
    assert steps.tolist() == [1024, 0, 1024]
    assert fractions.tolist() == [-1, 0, -1]
    assert scales.tolist() == [63, 24, 63]
    linear = np.zeros((2, 11), dtype=np.int64)
    linear[0, 0], linear[1, 0] = 32767, -32767
    steps, fractions, scales = predict(context, plain_weights(config, l=linear), 0)
    assert steps.tolist() == [4096, -4096, 128]
    assert scales.tolist() == [0, 63, 0]


@pytest.mark.parametrize("trial", [0, 3, 7])
def test_equals_python_s_integers(trial: int) -> None:
    """Whatever float64 could do wrong: sums up to 2^31, halves, negative numbers."""
    config = case(trial).config
    weights = random_weights(config, "gray", trial, extreme=trial != 0)
    rng = np.random.default_rng(trial)
    contexts = rng.choice([-8191, -3, 0, 1, 8191], size=(config.num_inputs, 40))
    hyper = rng.choice([-2032, -5, 0, 16, 2032], size=(config.num_hyper, 40))
    contexts = np.concatenate([contexts, hyper])
    for grid in range(len(config.levels)):
        found = predict(contexts.astype(np.float64), weights, grid)
        for n in range(contexts.shape[1]):
            assert tuple(int(x[n]) for x in found) == by_hand(contexts[:, n].tolist(), weights, grid)


def by_hand(context: list[int], weights: PyramidWeights, grid: int) -> tuple[int, int, int]:
    arrays = {name: array.tolist() for name, array in weights.folded.items()}
    biases = [*arrays["b1"], *arrays.get("hb", [])]
    for name, behind in (("w1", "h1"), ("l", "hl")):
        arrays[name] = [row + more for row, more in zip(arrays[name], arrays.get(behind, [[]] * 48), strict=False)]

    def layer(matrix: list[list[int]], x: list[int]) -> list[int]:
        sums = [sum(w * v for w, v in zip(row, x, strict=True)) for row in matrix]
        assert all(abs(total) < 1 << 31 for total in sums)
        return sums

    def relu(x: int) -> int:
        return max(0, min(32767, x))

    hidden = [relu((s + b + 8) >> 4) for s, b in zip(layer(arrays["w1"], context), biases[grid], strict=True)]
    if "w2" in arrays:
        sums = layer(arrays["w2"], hidden)
        hidden = [relu((s + 256 * b + 2048) >> 12) for s, b in zip(sums, arrays["b2"], strict=True)]
    first, second = (
        ((a + 128) >> 8) + b + c
        for a, b, c in zip(layer(arrays["w3"], hidden), layer(arrays["l"], context), arrays["b3"], strict=True)
    )
    place = max(-65536, min(65536, (first + 128) >> 8))
    step = (place + 8) // 16
    return step, place - 16 * step, max(0, min(63, 24 + ((second + 256) >> 9)))
