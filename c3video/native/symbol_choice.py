# SPDX-License-Identifier: MIT
"""What the encoder does from a residual to its symbols, in C++.

    residual --> analyse --> choose_plane --> symbols and their bits --> write_subbands

Choices decide no bit of decoding, so those of `hybrid/fit/symbol_choice.py` in NumPy may differ; what these are,
`tests/native/choices_in_order.py` says. Their bits equal what a `SymbolCounter` counts. The extension must be there
(`native.available()`); it lets the GIL go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.sparse_tables import costs, sign_costs
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.subbands import FrameSymbols
from c3video.native.symbols import native_network, native_signs

IntArray = NDArray[np.int64]
Slopes = Sequence[NDArray[np.float32]]


def analyse(plane: NDArray[np.generic], levels: int) -> list[NDArray[np.float32]]:
    """`hybrid.wavelet.analyse` in float32.

    Args:
        plane: (h, w), float32 or int16.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    if plane.dtype not in (np.float32, np.int16):
        raise TypeError(f"a plane of {plane.dtype}: must be float32 or int16")
    return native.extension().analyse(np.ascontiguousarray(plane, dtype=np.float32), levels, native.isa())


def choose_plane(
    coefficients: Sequence[NDArray[np.floating[Any]]],
    steps: Sequence[int],
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    plane: int,
    depth: int,
    slopes: Slopes | float,
    passes: int,
) -> tuple[list[NDArray[np.int32]], float]:
    """Symbols of one plane, and the bits of all of them.

    Args:
        coefficients: by subband (h, w), float32 or float64.
        steps: quantisation step of each subband.
        symbols: of the frame; those of the plane before are looked at.
        reference: from `hybrid.subbands.reference_magnitudes`.
        depth: of the frame in the coding order.
        slopes: squared steps that a bit is worth, by subband (h, w), or everywhere.
        passes: over each subband; 0 leaves the network out. The first one goes in raster order and knows the context of
            each choice; those after it weigh what a choice does to the contexts of others as well.

    Raises:
        CorruptSegmentError: the network's sums may overflow.
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    one, many = (slopes, []) if isinstance(slopes, float) else (0.0, slopes)
    return native.extension().choose_plane(
        native_network(network),
        native_signs(),
        costs(),
        sign_costs(),
        _integers(symbols[plane - 1]) if plane > 0 else [],
        _integers(reference[plane]),
        plane,
        depth,
        [np.ascontiguousarray(band) for band in coefficients],
        steps,
        [np.ascontiguousarray(band, dtype=np.float32) for band in many],
        one,
        passes,
        native.isa(),
    )


def write_subbands(
    coder: native.NativeWriter,
    network: ContextNetwork,
    symbols: FrameSymbols,
    reference: FrameSymbols,
    depth: int,
) -> None:
    """`hybrid.symbol_coding.write_subbands`: a slice of one frame.

    Raises:
        CorruptSegmentError: the network's sums may overflow.
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    native.extension().write_slice(
        coder.handle,
        native.sparse_tables(),
        native_network(network),
        native_signs(),
        [_integers(plane) for plane in symbols],
        [_integers(plane) for plane in reference],
        depth,
        native.isa(),
    )


def _integers(bands: Sequence[NDArray[np.integer[Any]]]) -> list[IntArray]:
    for band in bands:
        if band.dtype.kind not in "iu":
            raise TypeError(f"symbols of {band.dtype}: must be integers")
    return [np.ascontiguousarray(band, dtype=np.int64) for band in bands]
