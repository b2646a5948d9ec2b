# SPDX-License-Identifier: MIT
"""Latents -> samples of a picture, in exact integer arithmetic (docs/c3v_pyramid.md, sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray, round_shift, saturate
from c3video.pyramid.config import GROUPS, PlaneGroup
from c3video.pyramid.upsampling import upsampled_levels
from c3video.pyramid.weights import LATENT_BITS, SAMPLE_BITS, SYNTHESIS_BITS, PyramidWeights
from c3video.video import PixelLayout, Planes

ONE = 1 << SAMPLE_BITS
HALF = 1 << (SAMPLE_BITS - 1)


def layout_key(layout: PixelLayout) -> str:
    """The key of GROUPS that a pixel layout has."""
    if layout.is_gray:
        return "gray"
    if layout.is_rgb:
        return "rgb"
    return {(1, 1): "420", (0, 1): "422", (0, 0): "444"}[layout.planes[1]]


def synthesise(weights: PyramidWeights, symbols: Sequence[NDArray[np.integer]], layout: PixelLayout) -> Planes:
    """Planes of a picture from its latents.

    Args:
        symbols: latents of each grid (h, w), finest first; hyper grids after them do not matter.
        layout: of the planes; `weights` are made for it.

    Returns:
        Planes (h, w) of the layout's dtype, in its order.
    """
    levels = upsampled_levels(weights, symbols[: weights.config.num_grids])
    planes: list[FloatArray] = []
    for index, group in enumerate(GROUPS[weights.layout]):
        inputs = _latent_inputs(group, levels)
        if group.num_given:
            given = pool(np.stack(planes[: group.num_given]), group.exponents) - HALF  # 32 steps from 0 to 1
            inputs = np.concatenate([inputs, given])
        planes += list(group_samples(weights, index, inputs))
    return tuple(
        round_shift(plane * float(layout.max_value), SAMPLE_BITS).astype(layout.dtype, order="C") for plane in planes
    )


def pool(planes: FloatArray, exponents: tuple[int, int]) -> FloatArray:
    """Rounded means (G, ceil(h / 2^y), ceil(w / 2^x)) of planes (G, h, w), edges repeated."""
    rows, columns = 1 << exponents[0], 1 << exponents[1]
    padding = (0, 0), (0, -planes.shape[1] % rows), (0, -planes.shape[2] % columns)
    padded = np.pad(planes, padding, mode="edge")
    total = np.zeros((len(planes), padded.shape[1] // rows, padded.shape[2] // columns))
    for y in range(rows):
        for x in range(columns):
            total += padded[:, y::rows, x::columns]
    return round_shift(total, sum(exponents))


def _latent_inputs(group: PlaneGroup, levels: Sequence[FloatArray]) -> FloatArray:
    """Upsampled latents (grids, h, w) at the resolution of a group's planes."""
    if group.exponents == (1, 1):
        if len(levels) == 1:  # one grid, of luma's size: nothing is left for chroma but luma
            h, w = group.shape(*levels[0].shape[1:])
            return np.zeros((0, h, w))
        return levels[1]
    return pool(levels[0], group.exponents)


def group_samples(weights: PyramidWeights, index: int, inputs: FloatArray) -> FloatArray:
    """Samples (planes, h, w) of a group, 0..ONE, from its inputs (Z, h, w) with LATENT_BITS."""
    arrays = {name.split(".")[0]: array for name, array in weights.floats.items() if name.endswith(f".{index}")}
    shape, flat = inputs.shape[1:], inputs.reshape(len(inputs), -1)
    hidden = arrays["v1"] @ flat + arrays["c1"][:, None] * 2.0 ** (12 + LATENT_BITS - SAMPLE_BITS)
    hidden = np.maximum(saturate(round_shift(hidden, 12 + LATENT_BITS - SYNTHESIS_BITS)), 0.0)
    x = arrays["v2"] @ hidden + arrays["c2"][:, None] * 2.0 ** (12 + SYNTHESIS_BITS - SAMPLE_BITS)
    x = saturate(round_shift(x, 12 + SYNTHESIS_BITS - SAMPLE_BITS))
    x = saturate(x + saturate(round_shift(arrays["m"] @ flat, 14 + LATENT_BITS - SAMPLE_BITS)))
    if weights.config.refine_width:
        x = _refine(x.reshape(-1, *shape), arrays)
    return np.clip(x, 0.0, ONE).reshape(-1, *shape)


def _refine(x: FloatArray, arrays: dict[str, FloatArray]) -> FloatArray:
    """x + r2 relu(r1 * (x - 1/2) + d1) + d2 with a 3x3 convolution, edges repeated; (C, h, w) in, (C, h * w) out."""
    padded = np.pad(saturate(x - HALF), ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))  # (C, h, w, 3, 3)
    taps = windows.transpose(0, 3, 4, 1, 2).reshape(9 * len(x), -1)
    hidden = arrays["r1"].reshape(-1, len(taps)) @ taps + arrays["d1"][:, None] * 2.0**12
    hidden = np.maximum(saturate(round_shift(hidden, 12)), 0.0)
    change = round_shift(arrays["r2"] @ hidden + arrays["d2"][:, None] * 2.0**12, 12)
    return saturate(x.reshape(len(x), -1) + saturate(change))
