# SPDX-License-Identifier: MIT
"""What decoding a C3 patch asks an engine for, from NumPy and from the C++ extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.c3.config import C3Config
from c3video.c3.grid_coding import code_grid
from c3video.c3.patch_model import Layer, PatchModel
from c3video.c3.synthesis import synthesise
from c3video.coding.rangecoder import Coder, SymbolReader
from c3video.engine import EngineName
from c3video.native import c3 as c3_kernels

Shape = tuple[int, int, int]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class C3Engine:
    """The integers of a patch.

    Args:
        open_reader: payload -> coder.
        decode_grid: a latent grid from that coder: (coder, config, layers, shape, window) -> (t, h, w).
        synthesise: (model, symbols, shape, max_value) -> uint16 (C, T, H, W).
    """

    open_reader: Callable[[bytes], Any]
    decode_grid: Callable[[Coder, C3Config, Sequence[Layer], Shape, tuple[int, int] | None], IntArray]
    synthesise: Callable[[PatchModel, Sequence[IntArray], Shape, int], NDArray[np.uint16]]


ENGINES: dict[EngineName, C3Engine] = {
    "numpy": C3Engine(SymbolReader, code_grid, synthesise),
    "native": C3Engine(native.NativeReader, c3_kernels.decode_grid, c3_kernels.synthesise),
}
