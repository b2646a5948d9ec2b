# SPDX-License-Identifier: MIT
"""The filter in the loop: samples of a decoded plane -> samples nearer to the source, in exact integers.

    24 neighbours minus the sample, in quantisation steps --> two hidden layers --+--> what is added to the sample
                                                         +--> linear path --------+

Filters are small networks that were fitted on other clips and are part of the format (docs/c3v.md, section 18); a
stream says for each plane of a frame which one it goes through, or none. What comes out is what later frames are
predicted from and what is shown. Measured in steps, noise of quantisation looks alike at all rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import round_shift, saturate
from c3video.hybrid.compensation import SAMPLE_BITS

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

RADIUS = 2
"""Neighbours are those at most so many rows and columns away."""
NUM_NEIGHBOURS = (2 * RADIUS + 1) ** 2 - 1
FIRST_WIDTH, SECOND_WIDTH = 12, 8

STEP_BITS = 9
"""Binary point of differences and hidden units; 1 is a quantisation step."""
WEIGHT_BITS = 12
"""Binary point of weights."""

NUM_LUMA, NUM_CHROMA = 3, 2
"""Filters that the first plane may go through, and those for the others."""


@dataclass(frozen=True, eq=False)
class LoopFilter:
    """Integers of one filter.

    Args:
        first: (12, 24) weights of the first layer; neighbours row by row.
        first_bias: (12,) at STEP_BITS.
        second: (8, 12).
        second_bias: (8,).
        last: (8,) weights of the output.
        linear: (24,) those of the neighbours themselves.
    """

    first: IntArray
    first_bias: IntArray
    second: IntArray
    second_bias: IntArray
    last: IntArray
    linear: IntArray

    def arrays(self) -> tuple[IntArray, ...]:
        """All integers in the order of the file."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def check(self) -> None:
        """Raise ValueError unless weights fit 16 bits and no sum can leave 32."""
        if max(np.abs(array).max() for array in self.arrays()) > 32767:
            raise ValueError("a filter's weight must fit 16 bits")
        layers = (
            (self.first, self.first_bias),
            (self.second, self.second_bias),
            (self.last[None], np.zeros(1, dtype=np.int64)),
            (self.linear[None], np.zeros(1, dtype=np.int64)),
        )
        half = 1 << (WEIGHT_BITS - 1)
        largest = max(
            int((np.abs(weights).sum(axis=1) * 32768 + (np.abs(biases) << WEIGHT_BITS)).max()) + half
            for weights, biases in layers
        )
        if largest >= 1 << 31:
            raise ValueError(f"a filter's sums may reach {largest}: must stay below 2^31")

    @cached_property
    def floats(self) -> tuple[FloatArray, ...]:
        """The same as float64, which carries the sums exactly."""
        return tuple(array.astype(np.float64) for array in self.arrays())


FILTER_SHAPES: tuple[tuple[int, ...], ...] = (
    (FIRST_WIDTH, NUM_NEIGHBOURS),
    (FIRST_WIDTH,),
    (SECOND_WIDTH, FIRST_WIDTH),
    (SECOND_WIDTH,),
    (SECOND_WIDTH,),
    (NUM_NEIGHBOURS,),
)


@cache
def plane_filters(plane: int) -> tuple[LoopFilter, ...]:
    """The filters that a plane may go through, by the number that a stream has for them, less one."""
    found = _read_filters()
    return found[NUM_LUMA:] if plane else found[:NUM_LUMA]


@cache
def _read_filters() -> tuple[LoopFilter, ...]:
    """All filters of the package: little-endian int16, one after the other."""
    data = np.frombuffer((files("c3video.hybrid") / "priors" / "filters.i16").read_bytes(), dtype="<i2")
    size = sum(int(np.prod(shape)) for shape in FILTER_SHAPES)
    assert len(data) == size * (NUM_LUMA + NUM_CHROMA)
    return tuple(filter_of(data[start : start + size].astype(np.int64)) for start in range(0, len(data), size))


def filter_of(integers: IntArray) -> LoopFilter:
    """A filter from its integers in the order of the file."""
    arrays, start = [], 0
    for shape in FILTER_SHAPES:
        size = int(np.prod(shape))
        arrays.append(integers[start : start + size].reshape(shape))
        start += size
    return LoopFilter(*arrays)


def reciprocal(step: int) -> tuple[int, int]:
    """(r, s): a value of SAMPLE_BITS times r, shifted by s, is that value in steps at STEP_BITS."""
    exponent = step.bit_length() - 1
    return ((1 << (15 + exponent)) + step // 2) // step, 15 - STEP_BITS + exponent


def filter_plane(
    samples: NDArray[np.generic], step: int, bit_depth: int, network: LoopFilter, num_threads: int = 1
) -> NDArray[np.uint16]:
    """A plane after its filter.

    Args:
        samples: (h, w) decoded samples of `bit_depth` bits.
        step: quantisation step of an orthonormal coefficient of the plane, in units of 2^-14 of the full range.
        num_threads: not used here; the native engine has the same signature.

    Returns:
        uint16 (h, w).
    """
    (height, width), values = samples.shape, samples.astype(np.float64)
    factor, shift = reciprocal(step)
    centred = (values - (1 << (bit_depth - 1))) * (1 << (SAMPLE_BITS - bit_depth))
    scaled = np.pad(round_shift(centred * factor, shift), RADIUS, mode="edge")
    near = _neighbours(scaled, height, width).reshape(NUM_NEIGHBOURS, -1)
    first, first_bias, second, second_bias, last, linear = network.floats
    hidden = first @ near + (first_bias * 2.0**WEIGHT_BITS)[:, None]
    hidden = np.maximum(saturate(round_shift(hidden, WEIGHT_BITS)), 0)
    hidden = second @ hidden + (second_bias * 2.0**WEIGHT_BITS)[:, None]
    hidden = np.maximum(saturate(round_shift(hidden, WEIGHT_BITS)), 0)
    straight = saturate(round_shift(linear @ near, WEIGHT_BITS))
    found = saturate(saturate(round_shift(last @ hidden, WEIGHT_BITS)) + straight)
    change = round_shift(found * step, STEP_BITS + SAMPLE_BITS - bit_depth).reshape(height, width)
    return np.clip(values + change, 0, (1 << bit_depth) - 1).astype(np.uint16)


def _neighbours(padded: FloatArray, height: int, width: int) -> FloatArray:
    """(24, h, w) neighbours minus the sample, row by row."""
    side = 2 * RADIUS + 1
    middle = padded[RADIUS : RADIUS + height, RADIUS : RADIUS + width]
    places: Sequence[tuple[int, int]] = [(y, x) for y in range(side) for x in range(side) if (y, x) != (RADIUS, RADIUS)]
    near = np.stack([padded[y : y + height, x : x + width] - middle for y, x in places])
    return saturate(near)
