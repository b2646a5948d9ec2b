# SPDX-License-Identifier: MIT
"""The Python face of the C++ kernels: the same integers as model/ and coding/, at the speed of the machine.

`available()` tells whether the extension was built. The environment variable C3VIDEO_ISA names an instruction set
("avx2", "plain" ...) to use in place of the best one; results do not depend on it. "none" is as if the extension had
not been built: decoding gives the same pixels, slowly, and an encoder may choose other bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config
from c3video.c3.context import causal_offsets, previous_offsets, wave_slopes
from c3video.c3.patch_model import Layer, PatchModel
from c3video.coding.sparse_tables import TAIL, ZERO
from c3video.coding.tables import NUM_SCALES, RADIUS, cumulative
from c3video.errors import ConfigError, CorruptSegmentError

_native: Any
try:
    _native = import_module("c3video.native._native")
except ModuleNotFoundError:  # built with C3VIDEO_NATIVE=0, or run from a source tree that was not installed
    _native = None

IntArray = NDArray[np.int64]


def available() -> bool:
    """Whether the extension was built, and may be used."""
    return _native is not None and os.environ.get("C3VIDEO_ISA") != "none"


def instruction_sets() -> list[str]:
    """Those that this build has and this processor knows, best first; empty without the extension."""
    return _native.instruction_sets() if available() else []


def integer_peak() -> float:
    """int16 multiply-adds a second of one core with the instruction set in use, measured in some milliseconds."""
    return _native.integer_peak(_isa())


def _isa() -> str:
    name = os.environ.get("C3VIDEO_ISA", "")
    if name and name not in instruction_sets():
        raise ConfigError(f"C3VIDEO_ISA = {name!r}: must be one of {', '.join(instruction_sets())}")
    return name


@cache
def _tables() -> Any:
    """All probability tables, handed to the extension once."""
    bounds = [cumulative(scale, fraction) for scale in range(NUM_SCALES) for fraction in range(-8, 8)]
    starts = np.cumsum([0, *(len(table) for table in bounds[:-1])])
    return _native.Tables(
        np.array(RADIUS, dtype=np.int32), starts.astype(np.int32), np.concatenate(bounds).astype(np.int32)
    )


@cache
def _sparse_tables() -> Any:
    """The tables of coding/sparse_tables.py."""
    return _native.SparseTables(np.array(ZERO, dtype=np.int32), np.array(TAIL, dtype=np.int32))


def _layer(layer: Layer) -> Any:
    weight = layer.weight.reshape(len(layer.bias), -1).astype(np.int32)
    return _native.Layer(weight, (layer.bias << layer.bias_shift).astype(np.int32), layer.accumulator_bits)


class NativeReader:
    """`coding.rangecoder.SymbolReader` in C++; what it has read it does not look up in tables again."""

    estimated_bits = math.nan

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4 or payload[-4:] == bytes(4):
            raise CorruptSegmentError(f"patch payload of {len(payload)} bytes: must be whole words, the last not zero")
        self._reader = _native.Reader(payload)

    @property
    def bits_left(self) -> float:
        """Of the payload, not read yet."""
        return self._reader.bits_left()

    def code(self, scales: IntArray, fractions: IntArray, residuals: IntArray | None = None) -> IntArray:
        try:
            return self._reader.residuals(_tables(), scales.astype(np.int32), fractions.astype(np.int32))
        except _native.Corrupt as error:
            raise CorruptSegmentError(str(error)) from None

    def code_sparse(self, zeros: IntArray, tails: IntArray) -> IntArray:
        """Symbols (N,) under the tables (zeros, tails) of coding/sparse_tables.py."""
        try:
            return _native.read_symbols(self._reader, _sparse_tables(), zeros.astype(np.int32), tails.astype(np.int32))
        except _native.Corrupt as error:
            raise CorruptSegmentError(str(error)) from None

    def decode_grid(
        self, config: C3Config, layers: Sequence[Layer], shape: tuple[int, int, int], window: tuple[int, int] | None
    ) -> IntArray:
        """`coding.latents.code_grid` for reading."""
        taps = [(dy, dx, 0) for dy, dx in causal_offsets(config.context_size)]
        if window is not None:
            taps += [(dy, dx, 1) for dy, dx in previous_offsets(config, window)]
        try:
            return self._reader.decode_grid(
                _tables(),
                list(shape),
                list(wave_slopes(config, window)),
                config.q_step_256,
                np.array(taps, dtype=np.int32),
                [_layer(layer) for layer in layers],
                _isa(),
            )
        except _native.Corrupt as error:
            raise CorruptSegmentError(str(error)) from None

    def finish(self) -> None:
        if not self._reader.empty():
            raise CorruptSegmentError("patch payload has data left after its last symbol; it is damaged")


def decode_grid(
    coder: Any,
    config: C3Config,
    layers: Sequence[Layer],
    shape: tuple[int, int, int],
    window: tuple[int, int] | None,
) -> IntArray:
    """One latent grid from a NativeReader."""
    return coder.decode_grid(config, layers, shape, window)


def synthesise(
    model: PatchModel, symbols: Sequence[IntArray], shape: tuple[int, int, int], max_value: int
) -> NDArray[np.uint16]:
    """`model.synthesis.synthesise`."""
    config = model.config
    return _native.synthesise(
        list(shape),
        config.q_step_256,
        max_value,
        config.residual_time_size,
        [np.ascontiguousarray(grid, dtype=np.int32) for grid in symbols],
        np.array([(grid.time_exponent, grid.space_exponent) for grid in config.grids], dtype=np.int32),
        [_layer(layer) for layer in model.pointwise_layers],
        [_layer(layer) for layer in model.residual_layers],
        _isa(),
    )
