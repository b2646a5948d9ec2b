# SPDX-License-Identifier: MIT
"""Context networks: features and sums by hand, limits, and the priors of the package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.errors import CorruptSegmentError
from c3video.hybrid.context_network import (
    MAX_FEATURE,
    NUM_DEPTHS,
    TAIL_ORIGIN,
    ZERO_ORIGIN,
    ContextNetwork,
    magnitude_feature,
    network_shapes,
)
from c3video.hybrid.payload import CONTEXT_NETWORKS, prior


def zeros(num_inputs: int = 3, num_classes: int = 2) -> ContextNetwork:
    return ContextNetwork(
        *(np.zeros(shape, dtype=np.int64) for shape in network_shapes(num_inputs, num_classes).values())
    )


def tables(network: ContextNetwork, *features: int, symbol_class: int = 0, depth: int = 0) -> tuple[int, int]:
    i, k = network.predict(np.array(features)[:, None], symbol_class, depth)
    return int(i[0]), int(k[0])


def test_features_by_hand() -> None:
    magnitudes = np.array([0, 1, 2, 3, 5, 7, 255, 256, 10**6])
    assert magnitude_feature(magnitudes).tolist() == [0, 256, 384, 512, 640, 768, 2048, 2048, 2048]
    assert MAX_FEATURE == 2048


def test_features_follow_the_logarithm() -> None:
    magnitudes = np.arange(256)
    found = magnitude_feature(magnitudes) / 256
    assert (np.diff(found) >= 0).all()
    assert np.abs(found - np.log2(1 + magnitudes)).max() < 0.09


def test_network_of_zeros_gives_the_origins() -> None:
    assert tables(zeros(), 100, 200, 300) == (ZERO_ORIGIN, TAIL_ORIGIN)


def test_one_path_by_hand() -> None:
    network = zeros()
    network.first[4, 1] = 1024  # one
    network.class_bias[1, 4] = 512  # a half
    network.depth_bias[2, 4] = -256  # a quarter less
    network.second[3, 4] = 2048  # twice
    network.last[0, 3], network.last[1, 3] = 1024, -512
    network.last_bias[1] = [256, 512]

    def gelu(x: float) -> float:
        return x * min(max(x / 4 + 0.5, 0.0), 1.0)

    hidden = gelu(2 * gelu(1.5 + 0.5 - 0.25))  # feature 1.5
    expected = round(4 * (hidden + 0.25)) + ZERO_ORIGIN, round(2 * (0.5 - hidden / 2)) + TAIL_ORIGIN
    assert tables(network, 0, 384, 0, symbol_class=1, depth=2) == expected
    assert tables(network, 0, 384, 0, symbol_class=1, depth=3) != expected


def test_deep_levels_share_the_last_biases() -> None:
    network = zeros()
    network.depth_bias[NUM_DEPTHS - 1, 0] = 2000
    network.second[0, 0] = network.last[0, 0] = 1000
    assert tables(network, 0, 0, 0, depth=NUM_DEPTHS - 1) == tables(network, 0, 0, 0, depth=40)
    assert tables(network, 0, 0, 0, depth=NUM_DEPTHS - 2) == (ZERO_ORIGIN, TAIL_ORIGIN)


def test_outputs_are_clipped_to_tables() -> None:
    network = zeros()
    network.last_bias[0], network.last_bias[1] = [32767, 32767], [-32767, -32767]
    assert tables(network, 0, 0, 0, symbol_class=0) == (63, 15)
    assert tables(network, 0, 0, 0, symbol_class=1) == (0, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("first", 32768), ("last_bias", -32768), ("class_bias", 1 << 40), ("second", 40_000)],
)
def test_integers_beyond_16_bits_are_refused(name: str, value: int) -> None:
    array = getattr(zeros(), name).copy()
    array.flat[-1] = value
    with pytest.raises(CorruptSegmentError, match="must fit 16 bits"):
        replace(zeros(), **{name: array}).check()


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("first", (1 << 30) // (26 * 2048)),  # 26 inputs of the largest feature
        ("second", (1 << 30) // (16 * 32768)),
        ("last", (1 << 30) // (8 * 32768)),
    ],
)
def test_sums_that_could_leave_32_bits_are_refused(name: str, largest: int) -> None:
    network = zeros(26)
    within = np.full_like(getattr(network, name), largest - 1)
    replace(network, **{name: within}).check()
    with pytest.raises(CorruptSegmentError, match="must stay below 2\\^30"):
        replace(network, **{name: within + 2}).check()


@pytest.mark.parametrize("name", CONTEXT_NETWORKS)
def test_priors_have_their_shapes_and_are_within_bounds(name: str) -> None:
    network = prior(name)
    shapes = network_shapes(*CONTEXT_NETWORKS[name])
    assert [array.shape for array in network.arrays()] == list(shapes.values())
    network.check()


def test_integers_equal_a_slow_reading() -> None:
    """Random networks, whose sums saturate here and there, in Python's integers."""
    rng = np.random.default_rng(0)
    network = ContextNetwork(*(rng.integers(-3000, 3000, shape) for shape in network_shapes(5, 2).values()))
    network.check()

    def rs(value: int, shift: int) -> int:
        return (value + (1 << (shift - 1))) >> shift

    def clip(value: int, low: int, high: int) -> int:
        return max(low, min(high, value))

    def act(value: int) -> int:
        value = clip(value, -32768, 32767)
        return rs(value * clip(8 * value + 16384, 0, 32768), 15)

    for _ in range(50):
        x, symbol_class, depth = rng.integers(0, 2049, 5).tolist(), int(rng.integers(2)), int(rng.integers(9))
        bias = network.class_bias[symbol_class] + network.depth_bias[min(depth, 6)]
        first = [act(rs(int(network.first[o] @ x) + (int(bias[o]) << 8), 8)) for o in range(16)]
        second = [act(rs(int(network.second[o] @ first) + (int(network.second_bias[o]) << 10), 10)) for o in range(8)]
        u = [int(network.last[o] @ second) + (int(network.last_bias[symbol_class, o]) << 10) for o in range(2)]
        expected = clip(rs(u[0], 18) + 16, 0, 63), clip(rs(u[1], 19) + 8, 0, 15)
        assert tables(network, *x, symbol_class=symbol_class, depth=depth) == expected
