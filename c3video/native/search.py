# SPDX-License-Identifier: MIT
"""Motion search of the hybrid model, block by block in the order in which a field is coded.

The extension must be there (`native.available()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.hybrid.compensation import MotionField
from c3video.native.frames import PhasePlanes, as_int32


def search_field(
    current: NDArray[np.int16],
    phases: Sequence[PhasePlanes],
    starts: NDArray[np.integer[Any]],
    block_size: int,
    slope: float,
    component_bits: NDArray[np.float32],
    mode_bits: Sequence[float],
    split_bits: Sequence[float],
    ratio: tuple[int, int] = (-1, 1),
    passes: int = 2,
    num_threads: int = 1,
) -> MotionField:
    """Vectors, modes and splits that cost least, residual and motion together (hybrid/fit/motion_search.py).

    A block's vectors are priced by their differences to what the coder will expect of them, which depends on the blocks
    before it. Candidates come from the blocks around it, then small steps are taken from the best one.

    Args:
        current: (h, w) luma to be predicted, centred, of `compensation.SAMPLE_BITS` bits.
        phases: of one or two references.
        starts: (R, 2, bh, bw) one more candidate for each reference, in quarter samples, within
            `compensation.MAX_VECTOR`.
        block_size: 8, 16 or 32.
        slope: squared error (full range 1) that a bit is worth, above 0 and at most 1.
        component_bits: (n,) price of a component by the size of its difference, in bits; further differences cost two
            bits a doubling.
        mode_bits: price of FORWARD, BACKWARD and BOTH where there are two references.
        split_bits: price of WHOLE, ROWS, COLUMNS and QUARTERS.
        ratio: (numerator, denominator) of what a difference in the first vector of a block in mode BOTH lets expect of
            that in the second: `motion_symbols.carried_on`.
        passes: over all blocks, 1..100.
        num_threads: the result does not depend on it.

    Returns:
        a field of int32 arrays, vectors 0 where they are not used.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    vectors, modes, splits = native.extension().search_field(
        current,
        [planes.handle for planes in phases],
        as_int32(starts, "starts"),
        block_size,
        slope,
        np.ascontiguousarray(component_bits, dtype=np.float32),
        list(mode_bits),
        list(split_bits),
        ratio,
        passes,
        num_threads,
        native.isa(),
    )
    return MotionField(vectors, modes, splits)
