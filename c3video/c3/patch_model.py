# SPDX-License-Identifier: MIT
"""PatchModel: the integers that make one patch decodable, in one fixed order.

A patch has an entropy network per latent grid (or one for all) and one synthesis network. `layer_specs` lists their
layers; the weights of a stream follow that order, each layer's weights before its biases. Weights are integers with a
binary point of their own (`Precision`), chosen by the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config, LatentGrid
from c3video.coding.arithmetic import HIDDEN_BITS, LATENT_BITS, OUTPUT_BITS, FloatArray
from c3video.errors import CorruptSegmentError

IntArray = NDArray[np.int64]

MIN_PRECISION_BITS, MAX_PRECISION_BITS = 5, 12
"""From 5 up, no layer's accumulator has a lower binary point than its output."""


@dataclass(frozen=True)
class LayerSpec:
    """One layer: the shape of its weights and the binary point of what it reads.

    Args:
        network: "entropy" or "synthesis".
        grid: index of the (first) latent grid whose entropy network this is; -1 for synthesis.
        weight_shape: (C_out, C_in), or (C_out, C_in, kt, 3, 3) for a residual convolution.
        input_bits: binary point of the inputs.
    """

    network: str
    grid: int
    weight_shape: tuple[int, ...]
    input_bits: int

    @property
    def bias_shape(self) -> tuple[int]:
        return (self.weight_shape[0],)


def num_context_taps(config: C3Config, grid: LatentGrid) -> int:
    """Inputs of a grid's entropy network: causal taps of the current frame, then the previous frame's window."""
    return config.context_size**2 // 2 + (config.previous_size**2 if grid.previous_window else 0)


def layer_specs(config: C3Config, num_channels: int) -> tuple[LayerSpec, ...]:
    """All layers of a patch in stream order; `num_channels` = samples a cell."""
    specs = []
    for index, grid in enumerate(config.grids[:1] if config.shared_entropy else config.grids):
        num_inputs, bits = num_context_taps(config, grid), LATENT_BITS
        for width in (*config.entropy_layers, 2):
            specs.append(LayerSpec("entropy", index, (width, num_inputs), bits))
            num_inputs, bits = width, HIDDEN_BITS
    num_inputs, bits = len(config.grids), LATENT_BITS
    for width in (*config.synthesis_layers, num_channels):
        specs.append(LayerSpec("synthesis", -1, (width, num_inputs), bits))
        num_inputs, bits = width, HIDDEN_BITS
    residual_shape = (num_channels, num_channels, config.residual_time_size, 3, 3)
    specs.extend(LayerSpec("synthesis", -1, residual_shape, OUTPUT_BITS) for _ in range(config.residual_layers))
    return tuple(specs)


@dataclass(frozen=True)
class Precision:
    """Binary points of a network's integers, 5..12: a weight w stands for w * 2^-weight_bits."""

    weight_bits: int
    bias_bits: int


@dataclass(frozen=True)
class Layer:
    """A layer's integers. `bias_shift` lifts the bias to the accumulator's binary point, `input_bits + weight_bits`."""

    spec: LayerSpec
    weight: IntArray
    bias: IntArray
    precision: Precision

    @property
    def accumulator_bits(self) -> int:
        return self.spec.input_bits + self.precision.weight_bits

    @property
    def bias_shift(self) -> int:
        return self.accumulator_bits - self.precision.bias_bits

    @cached_property
    def _operands(self) -> tuple[FloatArray, FloatArray]:
        weight = self.weight.reshape(len(self.bias), -1).astype(np.float64)
        return weight, (self.bias << self.bias_shift).astype(np.float64)[:, None]

    def accumulate(self, inputs: FloatArray) -> FloatArray:
        """The layer's sums, weight @ inputs + bias * 2^bias_shift, which `check_ranges` keeps inside 32 bits.

        Args:
            inputs: (C_in, N) int16 values; for a residual convolution its taps in the order (channel, dt, dy, dx).

        Returns:
            (C_out, N), binary point `accumulator_bits`.
        """
        weight, bias = self._operands
        return weight @ inputs + bias

    def check_ranges(self) -> None:
        """Raise CorruptSegmentError unless weights fit 16 bits and no accumulator, rounded, can leave 32 bits."""
        if np.abs(self.weight).max(initial=0) > 32767:
            raise CorruptSegmentError(f"weight {np.abs(self.weight).max()}: must fit 16 bits")
        largest = np.abs(self.weight).reshape(len(self.bias), -1).sum(axis=1) * 32768
        largest += np.abs(self.bias) << self.bias_shift
        if largest.max() >= 1 << 30:
            raise CorruptSegmentError(
                f"a {self.spec.network} layer's sums may reach {largest.max()}: must stay below 2^30"
            )


@dataclass(frozen=True)
class PatchModel:
    """The decodable side of a fitted patch.

    Args:
        config: shapes.
        num_channels: samples a cell.
        layers: in the order of `layer_specs`.
        windows: per grid the top-left corner (y, x) of the previous-frame window in the wide one, or None.
    """

    config: C3Config
    num_channels: int
    layers: tuple[Layer, ...]
    windows: tuple[tuple[int, int] | None, ...]

    def entropy_layers(self, grid: int) -> Sequence[Layer]:
        network = self.config.entropy_network(grid)
        return [layer for layer in self.layers if layer.spec.network == "entropy" and layer.spec.grid == network]

    @property
    def pointwise_layers(self) -> Sequence[Layer]:
        return [x for x in self.layers if x.spec.network == "synthesis" and len(x.spec.weight_shape) == 2]

    @property
    def residual_layers(self) -> Sequence[Layer]:
        return [x for x in self.layers if len(x.spec.weight_shape) == 5]


def centred_window(config: C3Config) -> tuple[int, int]:
    """Where a previous-frame window lies when nothing is known of the motion: around the position itself."""
    corner = config.previous_range // 2 - (config.previous_size - 1) // 2
    return (corner, corner)
