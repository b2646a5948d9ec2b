# SPDX-License-Identifier: MIT
"""Upsampled latents -> samples of a patch, in exact integer arithmetic (docs/c3v.md, section 9).

latents (G, T, H, W) --pointwise layers--> (C, T, H, W) --residual 3x3(x3) layers--> samples (C, T, H, W)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from c3video.c3.latents import dequantise, upsample
from c3video.c3.patch_model import Layer, PatchModel
from c3video.coding.arithmetic import (
    HIDDEN_BITS,
    OUTPUT_BITS,
    FloatArray,
    activation,
    round_shift,
    saturate,
)


def synthesise(
    model: PatchModel, symbols: Sequence[NDArray[np.int64]], shape: tuple[int, int, int], max_value: int
) -> NDArray[np.uint16]:
    """Samples of a patch from its latent symbols.

    Args:
        model: the patch's integers.
        symbols: per grid (t, h, w).
        shape: (T, H, W) of the patch in cells.
        max_value: largest sample value, 255 or 1023.

    Returns:
        uint16 (C, T, H, W), 0..max_value.
    """
    planes = [
        upsample(
            dequantise(grid_symbols, model.config.q_step_256),
            (grid.time_exponent, grid.space_exponent),
            shape,
        )
        for grid, grid_symbols in zip(model.config.grids, symbols, strict=True)
    ]
    samples = np.empty((model.num_channels, *shape))
    for t in range(shape[0]):  # frame by frame: the hidden layers are by far the widest arrays
        samples[:, t] = _pointwise(np.stack([plane[t] for plane in planes]), model.pointwise_layers)
    residual_layers = model.residual_layers
    for index, layer in enumerate(residual_layers):
        samples = _residual(samples, layer)
        if index < len(residual_layers) - 1:
            samples = activation(samples, OUTPUT_BITS)
    return np.clip(round_shift(samples * float(max_value), OUTPUT_BITS), 0, max_value).astype(np.uint16)


def _pointwise(values: FloatArray, layers: Sequence[Layer]) -> FloatArray:
    """(C_in, H, W) -> (C_out, H, W) through layers with the activation between them."""
    hidden = values.reshape(len(values), -1)
    for index, layer in enumerate(layers):
        is_last = index == len(layers) - 1
        bits = OUTPUT_BITS if is_last else HIDDEN_BITS
        accumulator = layer.accumulate(hidden)
        hidden = saturate(round_shift(accumulator, layer.accumulator_bits - bits))
        if not is_last:
            hidden = activation(hidden, HIDDEN_BITS)
    return hidden.reshape(-1, *values.shape[1:])


def _residual(samples: FloatArray, layer: Layer) -> FloatArray:
    """x + convolution(x), edges repeated; (C, T, H, W) int16 values in and out."""
    num_frames, height, width = samples.shape[1:]
    time_size = layer.spec.weight_shape[2]
    padded = np.pad(samples, ((0, 0), (time_size // 2,) * 2, (1, 1), (1, 1)), mode="edge")
    result = np.empty_like(samples)
    for t in range(num_frames):
        windows = sliding_window_view(padded[:, t : t + time_size], (3, 3), axis=(2, 3))  # (C, kt, H, W, 3, 3)
        taps = windows.transpose(0, 1, 4, 5, 2, 3).reshape(-1, height * width)
        change = round_shift(layer.accumulate(taps), layer.accumulator_bits - OUTPUT_BITS)
        result[:, t] = saturate(samples[:, t] + change.reshape(-1, height, width))
    return result
