# SPDX-License-Identifier: MIT
"""The loader of the C++ extension, and what its faces share.

    c3.py                         the C3 model's decoder; its fit: c3/fit/native_rate.py, native_synthesis.py
    symbols.py frames.py          the hybrid model's decoder
    search.py symbol_choice.py    the hybrid model's fit
    pyramid.py                    the pyramid model's decoder, and the writing of its latents
    pyramid_fit.py                the pyramid model's fit

`available()` tells whether the extension was built. The environment variable C3VIDEO_ISA names an instruction set
("avx2", "plain" ...) to use in place of the best one, for all kernels; decoding does not depend on it, and a fit only
by the rounding of its floats. "none" is as if the extension had not been built: decoding gives the same pixels,
slowly, and an encoder may choose other bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.sparse_tables import TAIL, ZERO
from c3video.coding.tables import NUM_SCALES, RADIUS, cumulative
from c3video.errors import ConfigError, CorruptSegmentError

_built: ModuleType | None
try:
    _built = import_module("c3video.native._native")
except ModuleNotFoundError:  # built with C3VIDEO_NATIVE=0, or run from a source tree that was not installed
    _built = None

IntArray = NDArray[np.int64]


def available() -> bool:
    """Whether the extension was built, and may be used."""
    return _built is not None and os.environ.get("C3VIDEO_ISA") != "none"


def built_file() -> Path | None:
    """Where the extension lies; None if it was not built."""
    return None if _built is None or _built.__file__ is None else Path(_built.__file__)


def extension() -> Any:
    """The extension's module, which has no types. Faces call it; whoever else does has asked `available` before.

    Raises:
        ConfigError: it was not built.
    """
    if _built is None:
        raise ConfigError("the C++ extension was not built (C3VIDEO_NATIVE=0)")
    return _built


@cache
def _usable_sets() -> tuple[str, ...]:
    return tuple(extension().instruction_sets())


def instruction_sets() -> list[str]:
    """Those that this build has and this processor knows, best first; empty without the extension."""
    return list(_usable_sets()) if available() else []


def isa() -> str:
    """The instruction set in use: that of C3VIDEO_ISA, or the best one. Every call of a kernel hands it over.

    Where there are no kernels of that very set, as the float kernels of a fit have none for VNNI, those of the set
    below serve.

    Raises:
        ConfigError: C3VIDEO_ISA is none of `instruction_sets`, or there is no extension.
    """
    usable = _usable_sets()
    name = os.environ.get("C3VIDEO_ISA") or usable[0]
    if name not in usable:
        raise ConfigError(f"C3VIDEO_ISA = {name!r}: must be one of {', '.join(usable)}, or none")
    return name


def integer_peak() -> float:
    """int16 multiply-adds a second of one core with the instruction set in use, measured in some milliseconds."""
    return extension().integer_peak(isa())


@cache
def probability_tables() -> Any:
    """All tables of coding/tables.py, handed to the extension once."""
    bounds = [cumulative(scale, fraction) for scale in range(NUM_SCALES) for fraction in range(-8, 8)]
    starts = np.cumsum([0, *(len(table) for table in bounds[:-1])])
    return extension().Tables(
        np.array(RADIUS, dtype=np.int32), starts.astype(np.int32), np.concatenate(bounds).astype(np.int32)
    )


@cache
def sparse_tables() -> Any:
    """The tables of coding/sparse_tables.py likewise."""
    return extension().SparseTables(np.array(ZERO, dtype=np.int32), np.array(TAIL, dtype=np.int32))


class NativeReader:
    """`coding.rangecoder.SymbolReader` in C++. Its account is of what has gone of the payload, not of the tables.

    Args:
        payload: whole 32-bit words.

    Raises:
        CorruptSegmentError: the payload is not whole words, or ends in a zero word.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4 or payload[-4:] == bytes(4):
            raise CorruptSegmentError(f"patch payload of {len(payload)} bytes: must be whole words, the last not zero")
        self.handle = extension().Reader(payload)
        """The extension's own reader, for the faces."""
        self._all_bits = self.bits_left

    @property
    def estimated_bits(self) -> float:
        """Of the payload, read so far."""
        return self._all_bits - self.bits_left

    @property
    def bits_left(self) -> float:
        """Of the payload, not read yet."""
        return self.handle.bits_left()

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None = None) -> IntArray:
        """Residuals (N,) under the tables (scales, fractions) of coding/tables.py."""
        try:
            return self.handle.residuals(probability_tables(), scales.astype(np.int32), fractions.astype(np.int32))
        except extension().Corrupt as error:
            raise CorruptSegmentError(str(error)) from None

    def code_sparse(self, zeros: IntArray, tails: IntArray) -> IntArray:
        """Symbols (N,) under the tables (zeros, tails) of coding/sparse_tables.py."""
        try:
            return extension().read_symbols(
                self.handle, sparse_tables(), zeros.astype(np.int32), tails.astype(np.int32)
            )
        except extension().Corrupt as error:
            raise CorruptSegmentError(str(error)) from None

    def finish(self) -> None:
        """Raise CorruptSegmentError unless everything has been read."""
        if not self.handle.empty():
            raise CorruptSegmentError("patch payload has data left after its last symbol; it is damaged")


class NativeWriter:
    """`coding.rangecoder.SymbolWriter` in C++."""

    def __init__(self) -> None:
        self.handle = extension().Writer()
        """The extension's own writer, for the faces."""

    @property
    def estimated_bits(self) -> float:
        """What the tables promise for all that was coded so far."""
        return self.handle.bits()

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None) -> IntArray:
        """Write residuals (N,) under the tables (scales, fractions) of coding/tables.py."""
        assert residuals is not None
        tables = (values.astype(np.int32) for values in (scales, fractions, residuals))
        self.handle.residuals(probability_tables(), *tables)
        return residuals

    def code_sparse(self, zeros: IntArray, tails: IntArray, symbols: IntArray) -> IntArray:
        """Write symbols (N,) under the tables (zeros, tails) of coding/sparse_tables.py."""
        self.handle.sparse(sparse_tables(), *(values.astype(np.int32) for values in (zeros, tails, symbols)))
        return symbols

    def finish(self) -> bytes:
        """The payload: little-endian words."""
        return self.handle.finish()


def joined_payload(writers: Iterable[NativeWriter]) -> bytes:
    """`coding.rangecoder.joined_payload`."""
    stack = extension().Stack()
    for writer in writers:
        stack.push(writer.handle)
    return stack.finish()
