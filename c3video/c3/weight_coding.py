# SPDX-License-Identifier: MIT
"""Network weights <-> coder: integers under Laplace tables with location 0, one scale a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config
from c3video.c3.patch_model import MAX_PRECISION_BITS, MIN_PRECISION_BITS, Layer, Precision, layer_specs
from c3video.coding.rangecoder import Coder
from c3video.coding.tables import NUM_SCALES, best_scale
from c3video.errors import CorruptSegmentError

IntArray = NDArray[np.int64]

NETWORKS = ("entropy", "synthesis")


@dataclass(frozen=True)
class WeightCode:
    """How the integers of one network are coded: their binary points and the scale index of each kind's table."""

    precision: Precision
    weight_scale: int
    bias_scale: int

    def to_bytes(self) -> bytes:
        return bytes([self.precision.weight_bits, self.precision.bias_bits, self.weight_scale, self.bias_scale])

    @classmethod
    def from_bytes(cls, data: bytes) -> WeightCode:
        """Raises CorruptSegmentError for values out of range."""
        for name, bits in zip(("weight_bits", "bias_bits"), data, strict=False):
            if not MIN_PRECISION_BITS <= bits <= MAX_PRECISION_BITS:
                raise CorruptSegmentError(f"{name} = {bits}: must be {MIN_PRECISION_BITS}..{MAX_PRECISION_BITS}")
        if max(data[2:4]) >= NUM_SCALES:
            raise CorruptSegmentError(f"scale index {max(data[2:4])}: must be below {NUM_SCALES}")
        return cls(Precision(data[0], data[1]), data[2], data[3])


def choose_code(layers: Sequence[Layer]) -> WeightCode:
    """The cheapest WeightCode for the layers of one network, which share their precision."""
    weights = np.concatenate([layer.weight.ravel() for layer in layers])
    biases = np.concatenate([layer.bias for layer in layers])
    return WeightCode(layers[0].precision, best_scale(weights)[0], best_scale(biases)[0])


def code_weights(
    coder: Coder,
    config: C3Config,
    num_channels: int,
    codes: dict[str, WeightCode],
    layers: tuple[Layer, ...] | None,
) -> tuple[Layer, ...]:
    """Code all layers in the order of `layer_specs`, each layer's weights (C order) before its biases.

    Raises:
        CorruptSegmentError: weights that a decoder could not compute with.
    """
    result = []
    for index, spec in enumerate(layer_specs(config, num_channels)):
        code = codes[spec.network]
        given = layers[index] if layers is not None else None
        weight = _code_array(coder, spec.weight_shape, code.weight_scale, None if given is None else given.weight)
        bias = _code_array(coder, spec.bias_shape, code.bias_scale, None if given is None else given.bias)
        layer = Layer(spec, weight, bias, code.precision)
        layer.check_ranges()
        result.append(layer)
    return tuple(result)


def _code_array(coder: Coder, shape: tuple[int, ...], scale: int, values: IntArray | None) -> IntArray:
    size = int(np.prod(shape))
    scales, fractions = np.full(size, scale), np.zeros(size, dtype=np.int64)
    return coder.code(scales, fractions, None if values is None else values.ravel()).reshape(shape)
