# SPDX-License-Identifier: MIT
"""The C3 model's decoder in C++: the same integers as `c3/grid_coding.py` and `c3/synthesis.py`.

The extension must be there (`native.available()`); it lets the GIL go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.c3.config import C3Config
from c3video.c3.context import causal_offsets, previous_offsets, wave_slopes
from c3video.c3.patch_model import Layer, PatchModel
from c3video.errors import CorruptSegmentError

IntArray = NDArray[np.int64]


def decode_grid(
    coder: Any,
    config: C3Config,
    layers: Sequence[Layer],
    shape: tuple[int, int, int],
    window: tuple[int, int] | None,
) -> IntArray:
    """One latent grid (t, h, w): `c3.grid_coding.code_grid` for reading, from a `NativeReader`.

    Raises:
        CorruptSegmentError: the payload is damaged.
    """
    taps = [(dy, dx, 0) for dy, dx in causal_offsets(config.context_size)]
    if window is not None:
        taps += [(dy, dx, 1) for dy, dx in previous_offsets(config, window)]
    try:
        return native.extension().decode_grid(
            coder.handle,
            native.probability_tables(),
            list(shape),
            list(wave_slopes(config, window)),
            config.q_step_256,
            np.array(taps, dtype=np.int32),
            [_layer(layer) for layer in layers],
            native.isa(),
        )
    except native.extension().Corrupt as error:
        raise CorruptSegmentError(str(error)) from None


def synthesise(
    model: PatchModel, symbols: Sequence[IntArray], shape: tuple[int, int, int], max_value: int
) -> NDArray[np.uint16]:
    """`c3.synthesis.synthesise`."""
    config = model.config
    return native.extension().synthesise(
        list(shape),
        config.q_step_256,
        max_value,
        config.residual_time_size,
        [np.ascontiguousarray(grid, dtype=np.int32) for grid in symbols],
        _exponents(config),
        [_layer(layer) for layer in model.pointwise_layers],
        [_layer(layer) for layer in model.residual_layers],
        native.isa(),
    )


def grid_memory(config: C3Config, shape: tuple[int, int, int], has_window: bool) -> int:
    """Most bytes that `decode_grid` takes beside its latents, wherever the window is, as the kernel counts them."""
    taps = [(dy, dx, 0) for dy, dx in causal_offsets(config.context_size)]
    if has_window:
        taps += [(dy, dx, 1) for dy, dx in previous_offsets(config, (0, 0))]
    row_slope, _ = wave_slopes(config, None)
    num_places = config.previous_range - config.previous_size + 1 if has_window else 1
    return native.extension().grid_memory(
        list(shape), row_slope, np.array(taps, dtype=np.int32), num_places, native.isa()
    )


def synthesis_memory(config: C3Config, num_channels: int, shape: tuple[int, int, int]) -> int:
    """Most bytes that `synthesise` takes beside arguments and samples, likewise."""
    return native.extension().synthesis_memory(
        list(shape), _exponents(config), num_channels, config.residual_time_size, config.residual_layers, native.isa()
    )


def _exponents(config: C3Config) -> NDArray[np.int32]:
    return np.array([(grid.time_exponent, grid.space_exponent) for grid in config.grids], dtype=np.int32)


def _layer(layer: Layer) -> Any:
    weight = layer.weight.reshape(len(layer.bias), -1).astype(np.int32)
    return native.extension().Layer(weight, (layer.bias << layer.bias_shift).astype(np.int32), layer.accumulator_bits)
