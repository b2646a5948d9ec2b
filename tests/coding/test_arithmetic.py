# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from c3video.coding.arithmetic import HIDDEN_BITS, OUTPUT_BITS, activation, round_shift, saturate


@pytest.mark.parametrize(
    ("value", "shift", "expected"),
    [
        (5, 1, 3),
        (-5, 1, -2),
        (4, 3, 1),
        (3, 3, 0),
        (-4, 3, 0),
        (-5, 3, -1),
        (7, 0, 7),
        (-7, 0, -7),
        (2**40 + 1, 1, 2**39 + 1),
    ],
)
def test_round_shift_rounds_halves_up(value: int, shift: int, expected: int) -> None:
    assert round_shift(np.array([float(value)]), shift)[0] == expected


def test_round_shift_equals_arithmetic_shift_of_integers() -> None:
    values = np.random.default_rng(0).integers(-(2**31), 2**31, 2000)
    for shift in (1, 7, 15, 22):
        expected = (values + (1 << (shift - 1))) >> shift
        assert np.array_equal(round_shift(values.astype(np.float64), shift), expected)


@pytest.mark.parametrize("bits", [HIDDEN_BITS, OUTPUT_BITS])
def test_activation_equals_integer_definition_on_every_int16(bits: int) -> None:
    x = np.arange(-32768, 32768)
    gate = np.clip((x << (13 - bits)) + 16384, 0, 32768)
    expected = (x * gate + 16384) >> 15
    assert np.array_equal(activation(x.astype(np.float64), bits), expected)
    assert np.abs(expected).max() <= 32767, "the result is an int16 again"


def test_activation_is_zero_far_below_and_identity_far_above() -> None:
    unit = 1 << HIDDEN_BITS
    assert activation(np.array([-2.0 * unit, 2.0 * unit, 5.0 * unit]), HIDDEN_BITS).tolist() == [
        0,
        2 * unit,
        5 * unit,
    ]


def test_saturate_clips_to_int16() -> None:
    assert saturate(np.array([-40000.0, -32768.0, 32767.0, 32768.0])).tolist() == [
        -32768,
        -32768,
        32767,
        32767,
    ]
