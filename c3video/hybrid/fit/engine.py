# SPDX-License-Identifier: MIT
"""What a fit asks its engine for: NumPy, which is slow and simple, or the C++ extension.

Their choices may differ, since they decide no bit of decoding; each repeats its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.engine import EngineName
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.fit.block_errors import centred
from c3video.hybrid.fit.motion_search import (
    COMPONENT_BITS,
    MODE_BITS,
    PASSES,
    FrameSearch,
    search_at_once,
)
from c3video.hybrid.fit.symbol_choice import Coefficients, PlaneChoice, choose_at_once
from c3video.hybrid.payload import NUMPY_WRITING, SymbolWriting
from c3video.hybrid.symbol_coding import write_plane
from c3video.hybrid.wavelet import analyse
from c3video.native import symbol_choice as native_choice
from c3video.native import symbols as native_symbols
from c3video.native.frames import PhasePlanes
from c3video.native.search import coarse_vectors, search_field


class HybridFitEngine(Protocol):
    """The choices of a fit."""

    @property
    def is_fast(self) -> bool:
        """Whether a motion search takes so little that anchors may be filtered too (temporal_filter.py)."""

    def analyse(self, residual: NDArray[np.floating[Any]], levels: int) -> Coefficients:
        """`hybrid.wavelet.analyse` of a plane (h, w)."""

    def choose(self, choice: PlaneChoice, passes: int) -> float:
        """Fill in the symbols of a plane, subband by subband; returns their bits.

        Args:
            passes: over each subband; 0 leaves the network out and widens the zone of zero a little.
        """

    @property
    def writing(self) -> SymbolWriting:
        """What writes the payloads."""

    def search(self, search: FrameSearch, num_threads: int) -> MotionField:
        """The motion of a frame; it does not depend on `num_threads`."""


class _NumpyFit:
    is_fast = False
    writing = NUMPY_WRITING

    def analyse(self, residual: NDArray[np.floating[Any]], levels: int) -> Coefficients:
        return list(analyse(residual.astype(np.float64), levels))

    def choose(self, choice: PlaneChoice, passes: int) -> float:
        choose_at_once(choice, passes)
        counter = SymbolCounter()
        write_plane(counter, choice.network, choice.symbols, choice.reference, choice.plane, choice.depth)
        return counter.estimated_bits

    def search(self, search: FrameSearch, num_threads: int) -> MotionField:
        return search_at_once(search)


class _NativeFit:
    is_fast = True
    writing = SymbolWriting(
        native.NativeWriter, native_choice.write_subbands, native.joined_payload, native_symbols.list_symbols
    )

    def analyse(self, residual: NDArray[np.floating[Any]], levels: int) -> Coefficients:
        return list(native_choice.analyse(residual.astype(np.float32), levels))

    def choose(self, choice: PlaneChoice, passes: int) -> float:
        found, bits = native_choice.choose_plane(
            choice.coefficients,
            choice.steps,
            choice.network,
            choice.symbols,
            choice.reference,
            choice.plane,
            choice.depth,
            [band.astype(np.float32) for band in choice.slopes],
            passes,
        )
        for band, values in zip(choice.symbols[choice.plane], found, strict=True):
            band[...] = values
        return bits

    def search(self, search: FrameSearch, num_threads: int) -> MotionField:
        current = centred(search.current, search.bit_depth).astype(np.int16)
        references = [centred(reference, search.bit_depth).astype(np.int16) for reference in search.references]
        found = search_field(
            current,
            [PhasePlanes(reference, search.bit_depth) for reference in search.references],
            np.stack([coarse_vectors(current, reference) for reference in references]),
            search.slope,
            search.frame,
            search.earlier,
            search.network,
            COMPONENT_BITS,
            MODE_BITS,
            search.unit,
            PASSES,
            num_threads,
        )
        vectors, modes = found.vectors.astype(np.int64), found.modes.astype(np.int64)
        return MotionField(vectors, modes, found.splits.astype(np.int64), found.offsets.astype(np.int64), found.unit)


FIT_ENGINES: Mapping[EngineName, HybridFitEngine] = {"numpy": _NumpyFit(), "native": _NativeFit()}
"""By name, as those of decoding (hybrid/engine.py)."""
