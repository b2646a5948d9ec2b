# SPDX-License-Identifier: MIT
"""Signs of subband symbols: what they are told from, and that the network knows neither sign better than the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.coding.rangecoder import SymbolWriter
from c3video.coding.sparse_tables import EVEN_ZERO
from c3video.hybrid.signs import (
    CAUSAL,
    NUM_INPUTS,
    SQUARE,
    WEIGHT_BITS,
    WIDTH,
    SignContexts,
    SignNetwork,
    sign_network,
    sign_tables,
)
from c3video.hybrid.subbands import NUM_CLASSES

HL, LH, HH, FINER_HL = 1, 2, 3, 4
FIRST_OF_HL, FIRST_OF_LH, FIRST_OF_PARENT = len(CAUSAL), len(CAUSAL) + 9, len(CAUSAL) + 18


def bands_with(changes: dict[int, dict[tuple[int, int], int]], shape: tuple[int, int] = (4, 4)) -> list[np.ndarray]:
    """LL, one level of that shape and one of twice that, with some symbols by band and place."""
    bands = [np.zeros(shape, dtype=np.int64) for _ in range(4)]
    bands += [np.zeros((2 * shape[0], 2 * shape[1]), dtype=np.int64) for _ in range(3)]
    for band, symbols in changes.items():
        for place, symbol in symbols.items():
            bands[band][place] = symbol
    return bands


def inputs_at(bands: list[np.ndarray], band: int, y: int, x: int) -> dict[int, int]:
    """Those that are not zero, by number."""
    found = SignContexts(bands, band).inputs(np.array([y]), np.array([x]))
    assert found.shape == (NUM_INPUTS, 1)
    return {int(number): int(found[number, 0]) for number in np.flatnonzero(found)}


def test_own_taps_are_those_before_a_place_and_at_most_2() -> None:
    bands = bands_with({HL: {(2, 1): -9, (2, 2): 1, (2, 3): 5, (0, 2): 2, (1, 3): -1}})
    taps = {CAUSAL.index((0, -1)): -2, CAUSAL.index((-2, 0)): 2, CAUSAL.index((-1, 1)): -1}
    assert inputs_at(bands, HL, 2, 2) == taps


def test_hh_sees_squares_of_hl_and_lh_and_lh_sees_hl_alone() -> None:
    bands = bands_with({HL: {(0, 0): 1}, LH: {(1, 2): -1}})
    assert inputs_at(bands, HH, 1, 1) == {
        FIRST_OF_HL + SQUARE.index((-1, -1)): 1,
        FIRST_OF_LH + SQUARE.index((0, 1)): -1,
    }
    assert inputs_at(bands, LH, 1, 1) == {FIRST_OF_HL + SQUARE.index((-1, -1)): 1}


def test_a_parent_is_weighed_by_parity() -> None:
    bands = bands_with({HL: {(1, 1): 2}})
    middle = SQUARE.index((0, 0))
    for number, place in enumerate([(2, 2), (2, 3), (3, 2), (3, 3)]):
        assert inputs_at(bands, FINER_HL, *place) == {FIRST_OF_PARENT + 9 * number + middle: 2}
    assert inputs_at(bands, HL, 1, 1) == {}  # LL is no parent


def test_a_parent_that_is_smaller_than_half_ends_at_its_last_place() -> None:
    bands = [np.ones((1, 1), dtype=np.int64)] * 4 + [np.zeros((2, 4), dtype=np.int64)] * 3
    assert inputs_at(bands, FINER_HL, 0, 3) == {FIRST_OF_PARENT + 9 + SQUARE.index((0, 0)): 1}


def test_hl_may_have_a_column_less_and_lh_a_row() -> None:
    bands = [np.ones((3, 3), dtype=np.int64), np.ones((3, 2), dtype=np.int64), np.ones((2, 3), dtype=np.int64)]
    bands.append(np.ones((2, 2), dtype=np.int64))
    assert inputs_at(bands, LH, 1, 2) == {
        **{index: 1 for index, (dy, dx) in enumerate(CAUSAL) if dy >= -1 and -2 <= dx <= 0},
        **{FIRST_OF_HL + SQUARE.index((dy, -1)): 1 for dy in (-1, 0, 1)},
    }


def test_a_symbol_that_is_put_is_seen() -> None:
    contexts = SignContexts(bands_with({HL: {(1, 0): 3}}), HL)
    contexts.put(1, 0, -3)
    assert contexts.inputs(np.array([1]), np.array([1]))[CAUSAL.index((0, -1))] == -2


def test_by_hand() -> None:
    """Twice the input through 3/4 is clipped to one; with a weight of 1/2 that is two tables of a quarter each."""
    first, last = np.zeros((WIDTH, NUM_INPUTS), dtype=np.int64), np.zeros((NUM_CLASSES, WIDTH), dtype=np.int64)
    first[5, 7], last[2, 5] = 3 << (WEIGHT_BITS - 2), 1 << (WEIGHT_BITS - 1)
    inputs = np.zeros((NUM_INPUTS, 3), dtype=np.int64)
    inputs[7] = 2, -1, 0
    network = SignNetwork(first, last)
    assert network.predict(inputs, 2).tolist() == [EVEN_ZERO + 2, EVEN_ZERO - 1, EVEN_ZERO]
    assert network.predict(inputs, 3).tolist() == [EVEN_ZERO] * 3
    last[2, 5] = 32 << WEIGHT_BITS
    assert network.predict(inputs, 2).tolist() == [2 * EVEN_ZERO, 0, EVEN_ZERO]


def test_the_network_of_the_format_can_be_computed_and_favours_no_sign() -> None:
    network = sign_network()
    network.check()
    inputs = np.random.default_rng(0).integers(-2, 3, (NUM_INPUTS, 200))
    for symbol_class in range(NUM_CLASSES):
        one, other = network.predict(inputs, symbol_class), network.predict(-inputs, symbol_class)
        assert np.abs(one + other - 2 * EVEN_ZERO).max() <= 1  # rounding goes one way
    assert (network.predict(np.zeros_like(inputs), 0) == EVEN_ZERO).all()


def test_networks_that_cannot_be_computed_are_refused() -> None:
    network = sign_network()
    with pytest.raises(ValueError, match="16 bits"):
        replace(network, first=network.first + 40_000).check()
    with pytest.raises(ValueError, match="sums"):
        replace(network, last=np.full_like(network.last, 30_000)).check()


def test_stripes_take_less_than_a_bit_a_sign() -> None:
    """HL of vertical stripes: neighbours along the other axis are alike."""
    rng = np.random.default_rng(0)
    stripes = np.tile(rng.choice([-1, 1], (1, 32)), (32, 1))
    alone = np.where(rng.random((32, 32)) < 0.5, 1, -1)
    bits = []
    for symbols in (stripes, alone):
        bands = [np.zeros((32, 32), dtype=np.int64), symbols]
        writer = SymbolWriter()
        writer.code_signs(*sign_tables(bands, 1, 1))
        bits.append(writer.estimated_bits / symbols.size)
    assert bits[0] < 0.6
    assert bits[1] > 0.95
