# SPDX-License-Identifier: MIT
"""Motion search of the hybrid model: blocks by themselves, then the tree that is cheapest to code.

The extension must be there (`native.available()`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.sparse_tables import all_costs
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import EarlierMotion
from c3video.native.frames import PhasePlanes, as_int32
from c3video.native.symbols import native_earlier, native_network


def search_field(
    current: NDArray[np.int16],
    phases: Sequence[PhasePlanes],
    starts: NDArray[np.integer[Any]],
    slope: float,
    frame: CodedFrame,
    earlier: EarlierMotion | None,
    network: ContextNetwork,
    component_bits: NDArray[np.float32],
    mode_bits: Sequence[float],
    unit: int | None = None,
    passes: int = 1,
    num_threads: int = 1,
) -> MotionField:
    """The field that costs least, residual and motion together (hybrid/fit/motion_search.py).

    Blocks are searched by themselves first: candidates come from around them, then small steps are taken from the best
    one, and bits are a guess. Then the tree is chosen in the order of coding, at what the network says of bits.

    Args:
        current: (h, w) luma to be predicted, centred, of `compensation.SAMPLE_BITS` bits.
        phases: of one or two references.
        starts: (R, 2, bh, bw) one more candidate for each reference, in quarter samples, within
            `compensation.MAX_VECTOR`.
        slope: squared error (full range 1) that a bit is worth, above 0 and at most 1.
        frame: what is predicted, from as many references.
        earlier: as the coder will have it.
        network: of motion.
        component_bits: (n,) guess of the price of a component by the size of its difference, in bits; further
            differences cost two bits a doubling.
        mode_bits: guess of the price of FORWARD, BACKWARD and BOTH where there are two references.
        unit: of the field's vectors, 1 or 2 quarters of a sample; None: the one of the cheaper field.
        passes: over all blocks by themselves, 1..100.
        num_threads: the result does not depend on it.

    Returns:
        a field of int32 arrays, vectors 0 where they are not used.

    Raises:
        ValueError, TypeError: an argument has the wrong type, shape or range.
    """
    vectors, modes, splits, offsets, unit = native.extension().search_field(
        current,
        [planes.handle for planes in phases],
        as_int32(starts, "starts"),
        slope,
        [frame.index - reference for reference in frame.references],
        native_earlier(frame, earlier),
        native_network(network),
        _costs(),
        frame.depth,
        np.ascontiguousarray(component_bits, dtype=np.float32),
        list(mode_bits),
        (1, 2) if unit is None else (unit, unit),
        passes,
        num_threads,
        native.isa(),
    )
    return MotionField(vectors, modes, splits, offsets, unit)


@cache
def _costs() -> NDArray[np.float32]:
    return np.ascontiguousarray(all_costs())


def coarse_vectors(current: NDArray[np.int16], reference: NDArray[np.int16]) -> NDArray[np.int32]:
    """Where a search may begin: `hybrid.fit.motion_search.coarse_vectors` by steps, so that it reaches 256 samples.

    Args:
        current, reference: (h, w) luma, centred, of `compensation.SAMPLE_BITS` bits.

    Returns:
        (2, bh, bw) in quarter samples.

    Raises:
        ValueError, TypeError: an argument has the wrong type or shape.
    """
    found: NDArray[np.int32] = native.extension().coarse_vectors(current, reference, native.isa())
    return found
