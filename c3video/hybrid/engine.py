# SPDX-License-Identifier: MIT
"""What decoding predicted frames asks an engine for, from NumPy and from the C++ extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.rangecoder import SymbolReader
from c3video.engine import EngineName
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.key_picture import plane_symbols
from c3video.hybrid.loop_filter import filter_plane
from c3video.hybrid.payload import read_slice
from c3video.hybrid.reconstruction import predict_plane, reconstruct_plane
from c3video.hybrid.symbol_coding import read_frames_motion
from c3video.native import frames as native_frames
from c3video.native import symbols as native_symbols
from c3video.pyramid.engine import ENGINES as PICTURE_ENGINES
from c3video.pyramid.engine import PyramidEngine


@dataclass(frozen=True)
class HybridEngine:
    """The integers of frames.

    Args:
        open_reader: payload -> coder.
        read_motion: (coder, network, block shape, frames) -> the motion of each frame, when it is asked for.
        read_slice: (coder, network, layout, frames, symbols of the first) -> FrameSymbols of each frame likewise.
        compensate: reconstruction.predict_plane.
        reconstruct_plane: that of reconstruction.py.
        filter_plane: that of loop_filter.py.
        pictures: of first frames that are coded so.
        plane_symbols: that of key_picture.py.
    """

    open_reader: Callable[[bytes], Any]
    read_motion: Callable[[Any, ContextNetwork, tuple[int, int], Sequence[CodedFrame]], Iterator[MotionField | None]]
    read_slice: Callable[..., Iterator[Any]]
    compensate: Callable[..., NDArray[np.signedinteger[Any]]]
    reconstruct_plane: Callable[..., NDArray[np.uint16]]
    filter_plane: Callable[..., NDArray[np.uint16]]
    pictures: PyramidEngine
    plane_symbols: Callable[[NDArray[np.unsignedinteger[Any]], int, Sequence[int]], Sequence[NDArray[Any]]]


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
    return native_frames.reconstruct_plane(references, field, block_size, shifts, bit_depth, narrow, steps, num_threads)


ENGINES: dict[EngineName, HybridEngine] = {
    "numpy": HybridEngine(
        SymbolReader,
        read_frames_motion,
        read_slice,
        predict_plane,
        reconstruct_plane,
        filter_plane,
        PICTURE_ENGINES["numpy"],
        plane_symbols,
    ),
    "native": HybridEngine(
        native.NativeReader,
        native_symbols.read_motion,
        native_symbols.read_slice,
        native_frames.predict_plane,
        _reconstruct_natively,
        native_frames.filter_plane,
        PICTURE_ENGINES["native"],
        native_frames.plane_symbols,
    ),
}
