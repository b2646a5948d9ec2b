# SPDX-License-Identifier: MIT
"""Kernels of the hybrid model: planes as hybrid/wavelet.py and hybrid/compensation.py define them, and motion search.

    symbols --> coefficients --> wavelet.synthesise --+
    references, motion --> compensation.compensate ---+--> compensation.finish --> loop_filter.filter_plane

The extension must be there (`native.available()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.loop_filter import WEIGHT_BITS, LoopFilter


def reconstruct_plane(
    references: Sequence[NDArray[np.generic]],
    field: MotionField | None,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
    symbols: Sequence[NDArray[np.int32]],
    steps: Sequence[int],
    num_threads: int = 1,
) -> NDArray[np.uint16]:
    """One plane of a frame; the result does not depend on `num_threads`.

    Args:
        references: none, one or two decoded planes (h, w) of uint16 or uint8, samples of `bit_depth` bits (not checked:
            larger ones give wrong samples, no more). Without one the prediction is middle gray.
        field: the motion; None without references.
        block_size: of luma, 8, 16 or 32.
        shifts: (vertical, horizontal) of the plane against luma.
        symbols: the plane's subbands in coding order, int32; their shapes are `wavelet.subband_shapes`'s.
        steps: of each subband, 1..32767.

    Returns:
        (h, w) samples.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    planes, *motion = _sources(references, field)
    return native.extension().reconstruct_plane(
        _plane_shape(symbols),
        planes,
        *motion,
        block_size,
        shifts,
        bit_depth,
        symbols,
        steps,
        num_threads,
        native.isa(),
    )


def predict_plane(
    references: Sequence[NDArray[np.generic]],
    field: MotionField | None,
    block_size: int,
    shifts: tuple[int, int],
    bit_depth: int,
    shape: tuple[int, int],
    num_threads: int = 1,
) -> NDArray[np.int16]:
    """Prediction of one plane of `shape` (h, w), as `reconstruct_plane` makes it from the same arguments.

    Returns:
        (h, w), centred, of `compensation.SAMPLE_BITS` bits.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    planes, *motion = _sources(references, field)
    return native.extension().predict_plane(
        shape, planes, *motion, block_size, shifts, bit_depth, num_threads, native.isa()
    )


def plane_symbols(plane: NDArray[np.generic], bit_depth: int, steps: Sequence[int]) -> list[NDArray[np.int32]]:
    """`hybrid.key_picture.plane_symbols`.

    Args:
        plane: (h, w) decoded samples of `bit_depth` bits, uint16 or uint8.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    return native.extension().plane_symbols(_uint16(plane), bit_depth, list(steps), native.isa())


def filter_plane(
    samples: NDArray[np.generic], step: int, bit_depth: int, network: LoopFilter, num_threads: int = 1
) -> NDArray[np.uint16]:
    """`hybrid.loop_filter.filter_plane`; the result does not depend on `num_threads`.

    Args:
        samples: (h, w) decoded samples of `bit_depth` bits, uint16 or uint8.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    return native.extension().filter_plane(
        _uint16(samples), step, bit_depth, *_layers(network), num_threads, native.isa()
    )


@lru_cache(maxsize=16)
def _layers(network: LoopFilter) -> tuple[Any, Any, Any]:
    """A filter as the extension has it, the linear path as one more output of the first layer."""
    half, layer = 1 << (WEIGHT_BITS - 1), native.extension().PyramidLayer
    narrow = [array.astype(np.int32) for array in network.arrays()]
    first, first_bias, second, second_bias, last, linear = narrow
    return (
        layer(np.vstack([first, linear]), np.append(first_bias << WEIGHT_BITS, 0).astype(np.int32), half, 32768),
        layer(second, second_bias << WEIGHT_BITS, half, 32767),
        layer(last[None].copy(), np.zeros(1, dtype=np.int32), half, 32767),
    )


class PhasePlanes:
    """A luma reference at all sixteen quarter-sample phases, for `block_errors`: some 32 bytes a sample.

    Args:
        plane: (h, w) decoded samples of `bit_depth` bits, uint16 or uint8.
    """

    def __init__(self, plane: NDArray[np.generic], bit_depth: int, num_threads: int = 1) -> None:
        self.handle = native.extension().Phases(_uint16(plane), bit_depth, num_threads, native.isa())
        """The extension's own planes, for the faces."""

    def plane(self, quarters_y: int, quarters_x: int) -> NDArray[np.int16]:
        """(h, w) samples moved by quarters 0..3, centred, of `compensation.SAMPLE_BITS` bits."""
        return self.handle.plane(quarters_y, quarters_x)


def block_errors(
    current: NDArray[np.int16],
    phases: PhasePlanes,
    vectors: NDArray[np.integer[Any]],
    block_size: int,
    other: tuple[PhasePlanes, NDArray[np.integer[Any]]] | None = None,
    num_threads: int = 1,
) -> NDArray[np.float32]:
    """Squared error of each block under each of K candidate vectors, weighted with the block's window.

    Integers of some 13 significant bits make it (src/hybrid/block_errors.cpp): the same on every machine, and within a
    percent of exact sums wherever an error is large enough to matter.

    Args:
        current: (h, w) luma to be predicted, centred, of `compensation.SAMPLE_BITS` bits.
        phases: the reference.
        vectors: (K, 2, bh, bw) in quarter samples, within `compensation.MAX_VECTOR`.
        block_size: 8, 16 or 32.
        other: a second reference and its vectors (2, bh, bw), the same for all candidates; the prediction is then the
            mean of both.

    Returns:
        (K, bh, bw) sums over each block's window of weight * error^2, where the full range of a sample is 1.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    return native.extension().block_errors(
        current,
        phases.handle,
        as_int32(vectors, "vectors"),
        block_size,
        None if other is None else other[0].handle,
        None if other is None else as_int32(other[1], "vectors"),
        num_threads,
        native.isa(),
    )


def _sources(
    references: Sequence[NDArray[np.generic]], field: MotionField | None
) -> tuple[list[NDArray[np.uint16]], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """References, vectors, modes and splits as the engine takes them."""
    if (field is None) != (len(references) == 0):
        raise ValueError(
            f"{len(references)} references and {'no' if field is None else 'a'} motion field: must go together"
        )
    if field is None:
        blocks = np.empty((0, 0), dtype=np.int32)
        return [], np.empty((0, 2, 0, 0), dtype=np.int32), blocks, blocks
    vectors, modes, splits = (as_int32(getattr(field, name), name) for name in ("vectors", "modes", "splits"))
    return [_uint16(plane) for plane in references], vectors, modes, splits


def _plane_shape(symbols: Sequence[NDArray[np.int32]]) -> tuple[int, int]:
    """(h, w) of the plane whose subbands these are; the engine checks that they are."""
    if len(symbols) == 0 or any(band.ndim != 2 for band in symbols):
        raise ValueError("subbands must be (h, w), at least one")
    if len(symbols) == 1:
        height, width = symbols[0].shape
    else:
        (height, _), (_, width) = symbols[-3].shape, symbols[-2].shape
        height, width = height + symbols[-2].shape[0], width + symbols[-3].shape[1]
    return height, width


def _uint16(plane: NDArray[np.generic]) -> NDArray[np.uint16]:
    if plane.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a plane of {plane.dtype}: must be uint8 or uint16")
    return np.ascontiguousarray(plane, dtype=np.uint16)


def as_int32(values: NDArray[np.generic], name: str) -> NDArray[np.int32]:
    """As the engine takes them; what does not fit becomes what it refuses."""
    if values.dtype.kind not in "iu":
        raise ValueError(f"{name} of {values.dtype}: must be integers")
    return np.ascontiguousarray(np.clip(values, -(2**31), 2**31 - 1), dtype=np.int32)
