# SPDX-License-Identifier: MIT
"""What decoding a pyramid asks an engine for, from NumPy and from the C++ extension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from c3video.engine import EngineName
from c3video.native import pyramid as native_pyramid
from c3video.pyramid.payload import NUMPY, PatchReading
from c3video.pyramid.synthesis import synthesise
from c3video.pyramid.weights import PyramidWeights
from c3video.video import PixelLayout, Planes


@dataclass(frozen=True)
class PyramidEngine:
    """The integers of a picture.

    Args:
        reading: of its patches.
        synthesise: (weights, symbols of each grid, layout, threads) -> planes.
    """

    reading: PatchReading
    synthesise: Callable[[PyramidWeights, Sequence[NDArray[Any]], PixelLayout, int], Planes]


def _synthesise(
    weights: PyramidWeights, symbols: Sequence[NDArray[Any]], layout: PixelLayout, num_threads: int
) -> Planes:
    """The oracle has one thread."""
    return synthesise(weights, symbols, layout)


ENGINES: dict[EngineName, PyramidEngine] = {
    "numpy": PyramidEngine(NUMPY, _synthesise),
    "native": PyramidEngine(native_pyramid.NATIVE, native_pyramid.synthesise),
}
