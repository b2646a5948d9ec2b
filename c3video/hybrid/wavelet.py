# SPDX-License-Identifier: MIT
"""The wavelet between a plane's residual and its subbands: 9/7 lifting in exact integers (docs/c3v.md, section 11).

    plane (h, w) <--> LL of the coarsest level, then (HL, LH, HH) of each level, coarse to fine

A step along an axis splits n samples into ceil(n / 2) low ones and floor(n / 2) high ones, so that any size works. The
lifting is not normalised: low samples grow by a quarter along each axis, to eight times what went in after five
levels, and the quantisation steps of subbands make up for it (`hybrid/subbands.py`). Values are clipped to +-2^17 after
each pass. That is room for a step from black to white, and where -6497 v is computed as -4096 v - 2401 v no stream can
leave 32 bits.

Source of the filter: Cohen, Daubechies and Feauveau 1992, lifted as in Daubechies and Sweldens 1998; the multipliers
are those numbers in units of 2^-12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

LIFTING = (-6497, -217, 3616, 1817)
"""Multipliers of the four lifting steps in units of 2^-12: high, low, high, low."""
LIMIT = 1 << 17
"""Values are clipped to +-2^17 after each pass."""
EXACT_LIMIT = 1 << 16
"""Those of `analyse_exactly` to +-2^16: what five levels make of black or white, and sums stay in 32 bits."""


def num_subbands(levels: int) -> int:
    """One LL and three a level."""
    return 1 + 3 * levels


def subband_shapes(shape: tuple[int, int], levels: int) -> tuple[tuple[int, int], ...]:
    """(h, w) of each subband of a plane in coding order; some may be empty in small planes."""
    height, width = shape
    details = []
    for _ in range(levels):
        low_height, low_width = -(-height // 2), -(-width // 2)
        high_height, high_width = height // 2, width // 2
        details.append([(low_height, high_width), (high_height, low_width), (high_height, high_width)])
        height, width = low_height, low_width
    return ((height, width), *(shape for level in reversed(details) for shape in level))


def analyse(plane: NDArray[np.float64], levels: int) -> list[NDArray[np.float64]]:
    """Subbands of a plane, in floats: the encoder's side, the inverse of `synthesise` up to its rounding."""
    details: list[list[NDArray[np.float64]]] = []
    for _ in range(levels):
        low, high = _split(plane)
        (plane, lh), (hl, hh) = (_transposed(_split(half.T)) for half in (low, high))
        details.append([hl, lh, hh])
    return [plane, *(band for level in reversed(details) for band in level)]


def _transposed(halves: tuple[NDArray[np.float64], NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return [half.T for half in halves]


def _split(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high samples along the last axis."""
    low, high = values[:, 0::2], values[:, 1::2]
    if high.shape[1] == 0:
        return low, high
    first, second, third, fourth = (multiplier / 4096.0 for multiplier in LIFTING)
    high = high + first * _beside_high(low, high.shape[1])
    low = low + second * _beside_low(high, low.shape[1])
    high = high + third * _beside_high(low, high.shape[1])
    low = low + fourth * _beside_low(high, low.shape[1])
    return low, high


def analyse_exactly(plane: IntArray, levels: int) -> list[IntArray]:
    """Subbands of a plane of integers, in integers: `synthesise` step by step backwards."""
    details: list[list[IntArray]] = []
    for _ in range(levels):
        low, high = _split_exactly(plane)
        (plane, lh), (hl, hh) = ([part.T for part in _split_exactly(half.T)] for half in (low, high))
        details.append([hl, lh, hh])
    return [plane, *(band for level in reversed(details) for band in level)]


def _split_exactly(values: IntArray) -> tuple[IntArray, IntArray]:
    """Low and high samples along the last axis."""
    low, high = values[:, 0::2], values[:, 1::2]
    if high.shape[1] == 0:
        return low, high
    first, second, third, fourth = LIFTING
    high = high + _scaled(first, _beside_high(low, high.shape[1]))
    low = low + _scaled(second, _beside_low(high, low.shape[1]))
    high = high + _scaled(third, _beside_high(low, high.shape[1]))
    low = low + _scaled(fourth, _beside_low(high, low.shape[1]))
    return np.clip(low, -EXACT_LIMIT, EXACT_LIMIT), np.clip(high, -EXACT_LIMIT, EXACT_LIMIT)


def synthesise(subbands: list[IntArray]) -> IntArray:
    """A plane from its subbands in coding order: integers (h, w), at most `LIMIT` in size."""
    plane = subbands[0]
    for level in range(len(subbands) // 3):
        hl, lh, hh = subbands[1 + 3 * level : 4 + 3 * level]
        low = join(plane.T, lh.T).T
        high = join(hl.T, hh.T).T
        plane = join(low, high)
    return plane


def join(low: IntArray, high: IntArray) -> IntArray:
    """Samples along the last axis from low and high ones, all of them integers."""
    if high.shape[1] == 0:
        return low
    first, second, third, fourth = LIFTING
    low = low - _scaled(fourth, _beside_low(high, low.shape[1]))
    high = high - _scaled(third, _beside_high(low, high.shape[1]))
    low = low - _scaled(second, _beside_low(high, low.shape[1]))
    high = high - _scaled(first, _beside_high(low, high.shape[1]))
    joined = np.empty((len(low), low.shape[1] + high.shape[1]), dtype=low.dtype)
    joined[:, 0::2], joined[:, 1::2] = low, high
    return np.clip(joined, -LIMIT, LIMIT)


def _scaled(multiplier: int, values: IntArray) -> IntArray:
    return (multiplier * values + 2048) >> 12


def _beside_high(low: NDArray[Any], count: int) -> NDArray[Any]:
    """Sum of the two low neighbours of each high sample; beyond the end the last one stands twice."""
    right = low[:, 1:]
    if right.shape[1] < count:
        right = np.concatenate([right, low[:, -1:]], axis=1)
    return low[:, :count] + right


def _beside_low(high: NDArray[Any], count: int) -> NDArray[Any]:
    """Sum of the two high neighbours of each low sample; beyond the ends the nearest one stands twice."""
    left = np.concatenate([high[:, :1], high], axis=1)[:, :count]
    right = high if high.shape[1] == count else np.concatenate([high, high[:, -1:]], axis=1)
    return left + right
