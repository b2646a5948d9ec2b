# SPDX-License-Identifier: MIT
"""Residuals <-> bytes through constriction's ANS coder; nothing else imports `constriction`.

`SymbolWriter` and `SymbolReader` share one method, `code`, so that a walk over positions is written once and serves
both directions. The payload is constriction's stack of 32-bit words, stored little-endian: the *last* word is read
first. docs/c3v.md, section 6, has the reader in ten lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from c3video.coding import sparse_tables
from c3video.coding.tables import RADII, cumulative, residual_bits
from c3video.errors import CorruptSegmentError

MAX_EXCESS_BITS = 20
"""Longest excess of an escaped residual: |residual| <= R + 2^20."""
_LENGTH_BITS = 5
_CHUNK_BITS = 12

IntArray = NDArray[np.int64]


def _exact_model(bounds: IntArray) -> constriction.stream.model.Categorical:
    # constriction gives each slot one count and spreads the rest in proportion to p: frequency - 1 comes out exact.
    return constriction.stream.model.Categorical(np.diff(bounds).astype(np.float64) - 1.0, perfect=False)


@cache
def _table_model(scale: int, fraction: int) -> constriction.stream.model.Categorical:
    return _exact_model(cumulative(scale, fraction))


@cache
def _sparse_model(zero: int, tail: int) -> constriction.stream.model.Categorical:
    return _exact_model(sparse_tables.cumulative(zero, tail))


@cache
def _magnitude_model(zero: int, tail: int) -> constriction.stream.model.Categorical:
    return _exact_model(sparse_tables.magnitude_cumulative(zero, tail))


@cache
def _raw_model(num_bits: int) -> constriction.stream.model.Uniform:
    return constriction.stream.model.Uniform(1 << num_bits)


def _bits_without_signs(zeros: IntArray, tails: IntArray, magnitudes: IntArray) -> float:
    bits = float(sparse_tables.magnitude_bits(zeros, tails, magnitudes).sum())
    return bits - sparse_tables.SIGN_BITS * np.count_nonzero(magnitudes)


class Coder(Protocol):
    """What a walk asks of its coder."""

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None) -> IntArray:
        """Code one residual a table, in order; returns the residuals.

        Args:
            scales, fractions: (N,) table of each residual (coding/tables.py).
            residuals: (N,) what to write; ignored by a reader.
        """


class Reader(Coder, Protocol):
    """What is asked of a coder that reads, an engine's (engine.py)."""

    @property
    def estimated_bits(self) -> float:
        """What the tables promise for all that was read so far, or what it took."""

    def finish(self) -> None:
        """Raise CorruptSegmentError unless everything has been read."""


class SparseWriter(Protocol):
    """What a walk over subbands or motion asks of what it writes to: a SymbolWriter or a SymbolCounter."""

    def code_sparse(self, zeros: IntArray, tails: IntArray, symbols: IntArray) -> IntArray:
        """Take symbols (N,) under tables (zeros, tails)."""

    def code_magnitudes(self, zeros: IntArray, tails: IntArray, magnitudes: IntArray) -> IntArray:
        """Take magnitudes (N,) under tables of them."""

    def code_signs(self, zeros: IntArray, tails: IntArray, are_negative: IntArray) -> IntArray:
        """Take flags (N,), 1 where a symbol whose magnitude was taken before is negative."""


class SymbolWriter:
    """Collects residuals; `finish` codes them (ANS runs backwards, so nothing can be written before the end)."""

    def __init__(self) -> None:
        self._slots: list[int] = []
        self._models: list[object] = []
        self.estimated_bits = 0.0

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None) -> IntArray:
        assert residuals is not None
        self._write(map(_table_model, scales.tolist(), fractions.tolist()), RADII[scales], residuals)
        self.estimated_bits += residual_bits(scales, fractions, residuals)
        return residuals

    def code_sparse(self, zeros: IntArray, tails: IntArray, symbols: IntArray) -> IntArray:
        """Write symbols (N,) under the tables (zeros, tails) of coding/sparse_tables.py; escapes follow each symbol."""
        radius = sparse_tables.RADIUS
        starts = np.concatenate([[0], np.flatnonzero(np.abs(symbols) > radius) + 1, [len(symbols)]])
        for first, last in pairwise(starts):
            chosen = slice(first, last)
            models = map(_sparse_model, zeros[chosen].tolist(), tails[chosen].tolist())
            self._write(models, np.full(last - first, radius), symbols[chosen])
        self.estimated_bits += float(sparse_tables.symbol_bits(zeros, tails, symbols).sum())
        return symbols

    def code_magnitudes(self, zeros: IntArray, tails: IntArray, magnitudes: IntArray) -> IntArray:
        """Write magnitudes (N,) under their tables (zeros, tails); escapes follow each one."""
        radius = sparse_tables.RADIUS
        starts = np.concatenate([[0], np.flatnonzero(magnitudes > radius) + 1, [len(magnitudes)]])
        for first, last in pairwise(starts):
            chosen = slice(first, last)
            self._slots.extend(np.minimum(magnitudes[chosen], radius + 1).tolist())
            self._models.extend(map(_magnitude_model, zeros[chosen].tolist(), tails[chosen].tolist()))
            if last > first and magnitudes[last - 1] > radius:
                self._escape(int(magnitudes[last - 1]) - radius)
        self.estimated_bits += _bits_without_signs(zeros, tails, magnitudes)
        return magnitudes

    def code_signs(self, zeros: IntArray, tails: IntArray, are_negative: IntArray) -> IntArray:
        """Write flags (N,)."""
        return self.code_sparse(zeros, tails, are_negative)

    def _write(self, models: Iterable[object], radii: IntArray, residuals: IntArray) -> None:
        self._slots.extend(np.clip(residuals + radii + 1, 0, 2 * radii + 2).tolist())
        self._models.extend(models)
        for index in np.flatnonzero(np.abs(residuals) > radii):
            self._escape(int(abs(residuals[index]) - radii[index]))

    def _escape(self, excess: int) -> None:
        length = excess.bit_length()
        if length > MAX_EXCESS_BITS:
            raise OverflowError(f"residual exceeds its table by {excess}: at most 2^{MAX_EXCESS_BITS} - 1")
        self._raw(length, _LENGTH_BITS)
        for shift in range(0, length - 1, _CHUNK_BITS):
            num_bits = min(_CHUNK_BITS, length - 1 - shift)
            self._raw((excess >> shift) & ((1 << num_bits) - 1), num_bits)

    def _raw(self, value: int, num_bits: int) -> None:
        self._slots.append(value)
        self._models.append(_raw_model(num_bits))

    def finish(self) -> bytes:
        """The payload: little-endian words."""
        return joined_payload([self])

    def _push(self, coder: constriction.stream.stack.AnsCoder) -> None:
        for slot, model in zip(reversed(self._slots), reversed(self._models), strict=True):
            coder.encode_reverse(slot, model)


def joined_payload(writers: Iterable[SymbolWriter]) -> bytes:
    """What one writer would give that had written what all of these did.

    Args:
        writers: from the last to the first, so that only one of them need be there at a time.
    """
    coder = constriction.stream.stack.AnsCoder()
    for writer in writers:
        writer._push(coder)
    return np.asarray(coder.get_compressed(), dtype="<u4").tobytes()


class SymbolCounter:
    """Takes what a SymbolWriter takes and only counts: what a choice would cost."""

    def __init__(self) -> None:
        self.estimated_bits = 0.0

    def code_sparse(self, zeros: IntArray, tails: IntArray, symbols: IntArray) -> IntArray:
        self.estimated_bits += float(sparse_tables.symbol_bits(zeros, tails, symbols).sum())
        return symbols

    def code_magnitudes(self, zeros: IntArray, tails: IntArray, magnitudes: IntArray) -> IntArray:
        self.estimated_bits += _bits_without_signs(zeros, tails, magnitudes)
        return magnitudes

    def code_signs(self, zeros: IntArray, tails: IntArray, are_negative: IntArray) -> IntArray:
        return self.code_sparse(zeros, tails, are_negative)


class SymbolReader:
    """Reads back what `SymbolWriter` wrote.

    Raises:
        CorruptSegmentError: the payload is not whole words, or an escape is longer than any that is written.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise CorruptSegmentError(f"patch payload of {len(payload)} bytes: must be whole 32-bit words")
        words = np.frombuffer(payload, dtype="<u4").astype(np.uint32)
        if len(words) and words[-1] == 0:
            raise CorruptSegmentError("patch payload ends in a zero word, which no encoder writes")
        self._coder = constriction.stream.stack.AnsCoder(words)
        self.estimated_bits = 0.0

    @property
    def bits_left(self) -> float:
        """Of the payload, not read yet."""
        return float(self._coder.num_valid_bits())

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None = None) -> IntArray:
        decode = self._coder.decode
        models = map(_table_model, scales.tolist(), fractions.tolist())
        radii = RADII[scales]
        decoded = np.array([decode(model) for model in models], dtype=np.int64) - radii - 1
        for index in np.flatnonzero(np.abs(decoded) > radii):
            decoded[index] = np.sign(decoded[index]) * (radii[index] + self._escape())
        self.estimated_bits += residual_bits(scales, fractions, decoded)
        return decoded

    def code_sparse(self, zeros: IntArray, tails: IntArray) -> IntArray:
        """Read symbols (N,) that lie under the tables (zeros, tails) of coding/sparse_tables.py."""
        radius = sparse_tables.RADIUS
        symbols = np.empty(len(zeros), dtype=np.int64)
        for index, table in enumerate(zip(zeros.tolist(), tails.tolist(), strict=True)):
            symbol = int(self._coder.decode(_sparse_model(*table))) - radius - 1
            if abs(symbol) > radius:
                symbol = (1 if symbol > 0 else -1) * (radius + self._escape())
            symbols[index] = symbol
        self.estimated_bits += float(sparse_tables.symbol_bits(zeros, tails, symbols).sum())
        return symbols

    def code_magnitudes(self, zeros: IntArray, tails: IntArray) -> IntArray:
        """Read magnitudes (N,) that lie under their tables (zeros, tails)."""
        radius = sparse_tables.RADIUS
        magnitudes = np.empty(len(zeros), dtype=np.int64)
        for index, table in enumerate(zip(zeros.tolist(), tails.tolist(), strict=True)):
            magnitude = int(self._coder.decode(_magnitude_model(*table)))
            magnitudes[index] = radius + self._escape() if magnitude > radius else magnitude
        self.estimated_bits += _bits_without_signs(zeros, tails, magnitudes)
        return magnitudes

    def _escape(self) -> int:
        length = int(self._coder.decode(_raw_model(_LENGTH_BITS)))
        if not 1 <= length <= MAX_EXCESS_BITS:
            raise CorruptSegmentError(f"escape of {length} bits: must be 1..{MAX_EXCESS_BITS}; the payload is damaged")
        excess = 1 << (length - 1)
        for shift in range(0, length - 1, _CHUNK_BITS):
            num_bits = min(_CHUNK_BITS, length - 1 - shift)
            excess |= int(self._coder.decode(_raw_model(num_bits))) << shift
        return excess

    def finish(self) -> None:
        """Check that everything has been read: a right payload leaves the coder empty.

        Raises:
            CorruptSegmentError: symbols are left over, so what was read cannot be right.
        """
        if not self._coder.is_empty():
            raise CorruptSegmentError("patch payload has data left after its last symbol; it is damaged")
