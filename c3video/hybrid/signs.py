# SPDX-License-Identifier: MIT
"""Signs of subband symbols from the signs around them, in exact integers (docs/c3v.md, section 15).

    66 symbols around, each at most 2 in size --> hidden (64), clipped --> table of a flag: is this symbol negative?

A wavelet's coefficients along an edge alternate, so a neighbour's sign says what this one's may be, and two neighbours
say more than each. Nothing has a bias: where all signs around are the other way, so is what is expected. The network
was fitted on other clips (pipelines/fit_signs.py) and is part of the format; no stream carries any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import round_shift
from c3video.coding.sparse_tables import EVEN_ZERO, FLAG
from c3video.hybrid.subbands import NUM_CLASSES

IntArray = NDArray[np.int64]

CAUSAL = (
    *((-3, 0), (-2, -1), (-2, 0), (-2, 1)),
    *((-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2)),
    *((0, -3), (0, -2), (0, -1)),
)
"""(dy, dx) of the taps in a symbol's own subband."""
SQUARE = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
"""Those around its place in HL and LH of its level, and in the subband one level coarser."""
NUM_PARITIES = 4
"""A coarser subband is weighed by whether the row and the column are odd."""
NUM_INPUTS = len(CAUSAL) + 2 * len(SQUARE) + NUM_PARITIES * len(SQUARE)
WIDTH = 64

MAX_INPUT = 2
WEIGHT_BITS = 10
"""Binary point of weights and hidden units, which are clipped to +-1."""
_MARGIN = 3


@dataclass(frozen=True, eq=False)
class SignNetwork:
    """Integers of the network, binary point WEIGHT_BITS.

    Args:
        first: (WIDTH, NUM_INPUTS).
        last: (NUM_CLASSES, WIDTH), by class of the symbol (`subbands.symbol_class`).
    """

    first: IntArray
    last: IntArray

    def check(self) -> None:
        """Raise ValueError unless weights fit 16 bits and no sum can leave 32."""
        if max(np.abs(self.first).max(), np.abs(self.last).max()) > 32767:
            raise ValueError("a weight of the network of signs must fit 16 bits")
        largest = int(np.abs(self.last).sum(axis=1).max()) << WEIGHT_BITS
        if largest >= 1 << 30:
            raise ValueError(f"sums of the network of signs may reach {largest}: must stay below 2^30")

    def predict(self, inputs: IntArray, symbol_class: int) -> IntArray:
        """Table indexes (N,), 0..32, of flags that are set where a symbol is negative.

        Args:
            inputs: (NUM_INPUTS, N), from `SignContexts`.
        """
        one = 1 << WEIGHT_BITS
        hidden = np.clip(self.first @ inputs, -one, one)
        sums = (self.last[symbol_class] @ hidden).astype(np.float64)
        return np.clip(round_shift(sums, 2 * WEIGHT_BITS - 2) + EVEN_ZERO, 0, 2 * EVEN_ZERO).astype(np.int64)


@cache
def sign_network() -> SignNetwork:
    """The network of the format: little-endian int16, `first` and then `last`, in hybrid/priors/signs.i16."""
    data = np.frombuffer((files("c3video.hybrid") / "priors" / "signs.i16").read_bytes(), dtype="<i2").astype(np.int64)
    first, last = np.split(data, [WIDTH * NUM_INPUTS])
    return SignNetwork(first.reshape(WIDTH, NUM_INPUTS), last.reshape(NUM_CLASSES, WIDTH))


class SignContexts:
    """What the signs of one subband are told from.

    Args:
        bands: symbols (h, w) of the plane's subbands; those before `band` are known.
        band: whose signs are asked for. Only those before a place in raster order are looked at.
    """

    def __init__(self, bands: Sequence[NDArray[np.integer[Any]]], band: int) -> None:
        nothing = np.zeros((0, 0), dtype=np.int64)
        orientation = (band - 1) % 3
        self._own = _padded(bands[band])
        hl = bands[band - orientation] if band and orientation > 0 else nothing
        lh = bands[band - 1] if band and orientation > 1 else nothing
        # As large as the own subband and a row and a column more on every side, at least.
        self._beside = [_padded(_cut(known, bands[band].shape)) for known in (hl, lh)]
        self._parent_shape = bands[band - 3].shape if band > 3 else (0, 0)
        self._parent = _padded(bands[band - 3] if band > 3 else nothing)

    def put(self, y: int, x: int, symbol: int) -> None:
        """Say what the symbol at a place is."""
        self._own[y + _MARGIN, x + _MARGIN] = _held(symbol)

    def inputs(self, rows: IntArray, columns: IntArray) -> IntArray:
        """(NUM_INPUTS, N) of the places (rows, columns)."""
        found = [_taps(self._own, rows, columns, CAUSAL)]
        found += [_taps(known, rows, columns, SQUARE) for known in self._beside]
        parities = np.zeros((NUM_PARITIES, len(SQUARE), len(rows)), dtype=np.int64)
        if min(self._parent_shape) > 0:
            height, width = self._parent_shape
            coarse = np.minimum(rows // 2, height - 1), np.minimum(columns // 2, width - 1)
            parities[2 * (rows % 2) + columns % 2, :, np.arange(len(rows))] = _taps(self._parent, *coarse, SQUARE).T
        return np.concatenate([*found, parities.reshape(NUM_PARITIES * len(SQUARE), len(rows))])


def sign_tables(
    bands: Sequence[NDArray[np.integer[Any]]], band: int, symbol_class: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Of all symbols of a known subband that are not zero, in raster order: tables (i, k) of their flags, and these."""
    rows, columns = np.nonzero(bands[band])
    zeros = sign_network().predict(SignContexts(bands, band).inputs(rows, columns), symbol_class)
    return zeros, np.full_like(zeros, FLAG), (bands[band][rows, columns] < 0).astype(np.int64)


def _held(symbols: Any) -> Any:
    return np.clip(symbols, -MAX_INPUT, MAX_INPUT)


def _padded(band: NDArray[np.integer[Any]]) -> IntArray:
    return np.pad(_held(band.astype(np.int64)), _MARGIN)


def _cut(band: NDArray[np.integer[Any]], shape: tuple[int, ...]) -> NDArray[np.integer[Any]]:
    """With zeros for the row or the column that a subband has less than another of its level."""
    return np.pad(band, [(0, max(0, size - own)) for size, own in zip(shape, band.shape, strict=True)])


def _taps(padded: IntArray, rows: IntArray, columns: IntArray, offsets: Sequence[tuple[int, int]]) -> IntArray:
    return np.stack([padded[rows + (_MARGIN + dy), columns + (_MARGIN + dx)] for dy, dx in offsets])
