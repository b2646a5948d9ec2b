# SPDX-License-Identifier: MIT
"""Who computes the integers of decoding: NumPy, which is the oracle, or the C++ extension. Both give the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.latents import code_grid
from c3video.coding.rangecoder import Coder, SymbolReader
from c3video.config import ModelConfig
from c3video.errors import ConfigError
from c3video.model.patch_model import Layer, PatchModel
from c3video.model.synthesis import synthesise

Shape = tuple[int, int, int]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Engine:
    """The three things that decoding a patch asks for.

    Args:
        open_reader: payload -> coder.
        decode_grid: one latent grid from that coder: (coder, config, layers, shape, window) -> (t, h, w) symbols.
        synthesise: (model, symbols, shape, max_value) -> uint16 (C, T, H, W).
    """

    name: str
    open_reader: Callable[[bytes], Any]
    decode_grid: Callable[[Coder, ModelConfig, Sequence[Layer], Shape, tuple[int, int] | None], IntArray]
    synthesise: Callable[[PatchModel, Sequence[IntArray], Shape, int], NDArray[np.uint16]]


NUMPY = Engine("numpy", SymbolReader, code_grid, synthesise)
NATIVE = Engine("native", native.NativeReader, native.decode_grid, native.synthesise)

ENGINES = {engine.name: engine for engine in (NATIVE, NUMPY)}


def choose_engine(name: str | None = None) -> Engine:
    """The engine of that name; the fastest one there is for None.

    Raises:
        ConfigError: unknown, or the extension was not built.
    """
    if name is None:
        return NATIVE if native.available() else NUMPY
    if name not in ENGINES:
        raise ConfigError(f"engine {name!r}: must be one of {', '.join(ENGINES)}")
    if name == "native" and not native.available():
        raise ConfigError("engine 'native': the C++ extension was not built; reinstall without C3VIDEO_NATIVE=0")
    return ENGINES[name]
