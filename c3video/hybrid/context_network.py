# SPDX-License-Identifier: MIT
"""The network that chooses the table of a wavelet or motion symbol, in exact integers (docs/c3v.md, section 14).

    features (inputs,) --> hidden (16) --> hidden (8) --> (i, k) of coding/sparse_tables.py

One network serves all symbols of its kind: what differs between subbands (or components of a vector) and between
depths of the coding order are biases. A *prior*, fitted on other clips, comes with the package and is part of the
format; a segment carries differences to it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import HIDDEN_BITS, FloatArray, activation, round_shift, saturate
from c3video.coding.sparse_tables import NUM_TAILS, NUM_ZEROS
from c3video.errors import CorruptSegmentError

IntArray = NDArray[np.int64]

FIRST_WIDTH, SECOND_WIDTH = 16, 8
WEIGHT_BITS = 10
"""Binary point of all weights and biases."""
FEATURE_BITS = 8
MAX_MAGNITUDE = 255
"""Of symbols as contexts have them."""
MAX_FEATURE = 8 << FEATURE_BITS
NUM_DEPTHS = 7
"""Depths of the coding order that have biases of their own; deeper ones share the last."""

ZERO_ORIGIN, TAIL_ORIGIN = 16, 8
"""Table indexes of outputs of zero; a unit is four steps of i and two of k."""


def magnitude_feature(magnitudes: IntArray) -> IntArray:
    """log2(1 + magnitude) with binary point FEATURE_BITS, linear between powers of two, up to MAX_MAGNITUDE."""
    return _MAGNITUDE_FEATURE[np.minimum(magnitudes, MAX_MAGNITUDE)]


def _feature(magnitude: int) -> int:
    exponent = (magnitude + 1).bit_length() - 1
    return (exponent << FEATURE_BITS) + (((magnitude + 1) << FEATURE_BITS) >> exponent) - (1 << FEATURE_BITS)


_MAGNITUDE_FEATURE = np.array([_feature(magnitude) for magnitude in range(MAX_MAGNITUDE + 1)], dtype=np.int64)


@dataclass(frozen=True, eq=False)  # arrays have no equality of use: a network is itself only
class ContextNetwork:
    """Integers of one network, all with binary point WEIGHT_BITS.

    Args:
        first: (16, inputs) weights of the first layer.
        class_bias: (classes, 16) of the first layer, by kind of symbol.
        depth_bias: (NUM_DEPTHS, 16) of the first layer, added to it.
        second: (8, 16) weights of the second layer.
        second_bias: (8,).
        last: (2, 8) weights of the last layer.
        last_bias: (classes, 2).
    """

    first: IntArray
    class_bias: IntArray
    depth_bias: IntArray
    second: IntArray
    second_bias: IntArray
    last: IntArray
    last_bias: IntArray

    def arrays(self) -> tuple[IntArray, ...]:
        """All integers in stream order."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def check(self) -> None:
        """Raise CorruptSegmentError unless weights fit 16 bits and no accumulator can leave 32 bits."""
        for array in self.arrays():
            if np.abs(array).max(initial=0) > 32767:
                raise CorruptSegmentError(f"context network weight {np.abs(array).max()}: must fit 16 bits")
        bias = (np.abs(self.class_bias).max(axis=0) + np.abs(self.depth_bias).max(axis=0)) << FEATURE_BITS
        sums = [
            np.abs(self.first).sum(axis=1) * MAX_FEATURE + bias,
            np.abs(self.second).sum(axis=1) * 32768 + (np.abs(self.second_bias) << HIDDEN_BITS),
            np.abs(self.last).sum(axis=1) * 32768 + (np.abs(self.last_bias).max(axis=0) << HIDDEN_BITS),
        ]
        largest = max(int(layer.max()) for layer in sums)
        if largest >= 1 << 30:
            raise CorruptSegmentError(f"a context network's sums may reach {largest}: must stay below 2^30")

    @cached_property
    def _floats(self) -> tuple[FloatArray, ...]:
        return tuple(array.astype(np.float64) for array in self.arrays())

    def predict(self, features: NDArray[np.number], symbol_class: int, depth: int) -> tuple[IntArray, IntArray]:
        """Tables of N symbols of one class in a frame of one depth.

        Args:
            features: (inputs, N) integers, binary point FEATURE_BITS, 0..MAX_FEATURE.

        Returns:
            i (N,) 0..63, k (N,) 0..15.
        """
        first, class_bias, depth_bias, second, second_bias, last, last_bias = self._floats
        bias = class_bias[symbol_class] + depth_bias[min(depth, NUM_DEPTHS - 1)]
        hidden = first @ features.astype(np.float64) + (bias * 2.0**FEATURE_BITS)[:, None]
        hidden = activation(saturate(round_shift(hidden, FEATURE_BITS)), HIDDEN_BITS)
        hidden = second @ hidden + (second_bias * 2.0**HIDDEN_BITS)[:, None]
        hidden = activation(saturate(round_shift(hidden, WEIGHT_BITS)), HIDDEN_BITS)
        sums = last @ hidden + (last_bias[symbol_class] * 2.0**HIDDEN_BITS)[:, None]
        bits = HIDDEN_BITS + WEIGHT_BITS
        zeros = np.clip(round_shift(sums[0], bits - 2) + ZERO_ORIGIN, 0, NUM_ZEROS - 1)
        tails = np.clip(round_shift(sums[1], bits - 1) + TAIL_ORIGIN, 0, NUM_TAILS - 1)
        return zeros.astype(np.int64), tails.astype(np.int64)


def network_shapes(num_inputs: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's arrays, by name in stream order."""
    return {
        "first": (FIRST_WIDTH, num_inputs),
        "class_bias": (num_classes, FIRST_WIDTH),
        "depth_bias": (NUM_DEPTHS, FIRST_WIDTH),
        "second": (SECOND_WIDTH, FIRST_WIDTH),
        "second_bias": (SECOND_WIDTH,),
        "last": (2, SECOND_WIDTH),
        "last_bias": (num_classes, 2),
    }


def read_prior(name: str, num_inputs: int, num_classes: int) -> ContextNetwork:
    """The prior of that name: little-endian int16 in stream order, in the package's folder hybrid/priors."""
    data = np.frombuffer((files("c3video.hybrid") / "priors" / f"{name}.i16").read_bytes(), dtype="<i2")
    arrays, start = [], 0
    for shape in network_shapes(num_inputs, num_classes).values():
        size = int(np.prod(shape))
        arrays.append(data[start : start + size].astype(np.int64).reshape(shape))
        start += size
    assert start == len(data)
    return ContextNetwork(*arrays)
