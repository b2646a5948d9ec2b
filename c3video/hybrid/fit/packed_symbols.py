# SPDX-License-Identifier: MIT
"""Symbols of many frames in little memory: where they are not zero, and what they are there.

A segment is coded again and again, and the best result and the one in hand are kept. Nearly all of their symbols are
zero: packed they take about a quarter of a byte each, a thirtieth of what the frame in hand works on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.subbands import FrameSymbols


@dataclass(frozen=True)
class _PackedBand:
    """One subband.

    Args:
        shape: (h, w).
        places: a bit for each symbol, whether it is not zero.
        values: of those that are not, in raster order.
    """

    shape: tuple[int, int]
    places: NDArray[np.uint8]
    values: NDArray[np.signedinteger[Any]]


def _packed(band: NDArray[np.signedinteger[Any]]) -> _PackedBand:
    places = band != 0
    values = band[places]
    fits = not values.size or max(values.max(), -values.min()) <= np.iinfo(np.int16).max
    return _PackedBand((len(band), band.shape[1]), np.packbits(places), values.astype(np.int16 if fits else np.int32))


def _unpacked(band: _PackedBand) -> NDArray[np.int64]:
    symbols = np.zeros(band.shape, dtype=np.int64)
    places = np.unpackbits(band.places, count=symbols.size).astype(bool)
    symbols.reshape(-1)[places] = band.values
    return symbols


class PackedSymbols(Sequence[FrameSymbols]):
    """Frames of symbols; each comes out in arrays of its own, as it went in."""

    def __init__(self) -> None:
        self._frames: list[list[list[_PackedBand]]] = []

    def append(self, symbols: FrameSymbols) -> None:
        self._frames.append([[_packed(band) for band in plane] for plane in symbols])

    @overload
    def __getitem__(self, index: int) -> FrameSymbols: ...

    @overload
    def __getitem__(self, index: slice) -> list[FrameSymbols]: ...

    def __getitem__(self, index: int | slice) -> FrameSymbols | list[FrameSymbols]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return [[_unpacked(band) for band in plane] for plane in self._frames[index]]

    def __len__(self) -> int:
        return len(self._frames)
