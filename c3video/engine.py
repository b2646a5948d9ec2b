# SPDX-License-Identifier: MIT
"""Who computes the integers of decoding: NumPy, which is the oracle, or the C++ extension. Both give the same ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.c3.grid_coding import code_grid
from c3video.c3.patch_model import Layer, PatchModel
from c3video.c3.synthesis import synthesise
from c3video.coding.rangecoder import Coder, SymbolReader
from c3video.config import C3Config
from c3video.errors import ConfigError
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.payload import read_slice
from c3video.hybrid.reconstruction import predict_plane, reconstruct_plane
from c3video.hybrid.subbands import SliceLayout
from c3video.hybrid.symbol_coding import read_frames_motion
from c3video.native import c3
from c3video.native import frames as frame
from c3video.native import symbols as context

Shape = tuple[int, int, int]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Engine:
    """What decoding asks for.

    Args:
        open_reader: payload -> coder, of both models.
        decode_grid: C3 model: a latent grid from that coder: (coder, config, layers, shape, window) -> (t, h, w).
        synthesise: C3 model: (model, symbols, shape, max_value) -> uint16 (C, T, H, W).
        read_motion: hybrid model: (coder, network, block shape, frames) -> the motion of each frame, when asked for.
        read_slice: hybrid model: (coder, network, layout, frames) -> FrameSymbols of each frame likewise.
        compensate: hybrid model: model.reconstruction.predict_plane.
        reconstruct_plane: hybrid model: that of hybrid/reconstruction.py.
    """

    name: str
    open_reader: Callable[[bytes], Any]
    decode_grid: Callable[[Coder, C3Config, Sequence[Layer], Shape, tuple[int, int] | None], IntArray]
    synthesise: Callable[[PatchModel, Sequence[IntArray], Shape, int], NDArray[np.uint16]]
    read_motion: Callable[[Any, ContextNetwork, tuple[int, int], Sequence[CodedFrame]], Iterator[MotionField | None]]
    read_slice: Callable[[Any, ContextNetwork, SliceLayout, Sequence[CodedFrame]], Iterator[Any]]
    compensate: Callable[..., NDArray[np.signedinteger[Any]]]
    reconstruct_plane: Callable[..., NDArray[np.uint16]]


def _reconstruct_natively(
    references: Sequence[NDArray[np.generic]],
    field: MotionField | None,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
    symbols: Sequence[NDArray[np.integer[Any]]],
    steps: Sequence[int],
    num_threads: int = 1,
) -> NDArray[np.uint16]:
    """The oracle's symbols are of 64 bits, the extension's of 32."""
    narrow = [np.ascontiguousarray(band, dtype=np.int32) for band in symbols]
    return frame.reconstruct_plane(references, field, block_size, shifts, bit_depth, narrow, steps, num_threads)


NUMPY = Engine(
    "numpy",
    SymbolReader,
    code_grid,
    synthesise,
    read_frames_motion,
    read_slice,
    predict_plane,
    reconstruct_plane,
)
NATIVE = Engine(
    "native",
    native.NativeReader,
    c3.decode_grid,
    c3.synthesise,
    context.read_motion,
    context.read_slice,
    frame.predict_plane,
    _reconstruct_natively,
)

ENGINES = {engine.name: engine for engine in (NATIVE, NUMPY)}


def choose_engine(name: str | None = None) -> Engine:
    """The engine of that name; the fastest one there is for None.

    Raises:
        ConfigError: unknown, or the extension was not built, or C3VIDEO_ISA names no instruction set that it has here.
    """
    if name is None:
        name = "native" if native.available() else "numpy"
    if name not in ENGINES:
        raise ConfigError(f"engine {name!r}: must be one of {', '.join(ENGINES)}")
    if name == "native" and not native.available():
        raise ConfigError("engine 'native': the C++ extension was not built (C3VIDEO_NATIVE=0), or C3VIDEO_ISA is none")
    if name == "native":
        native.isa()  # refuses a C3VIDEO_ISA that is not there before any work is done
    return ENGINES[name]
