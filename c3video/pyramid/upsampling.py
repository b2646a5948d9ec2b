# SPDX-License-Identifier: MIT
"""Latents -> planes at the resolution of samples, in integers (docs/c3v_pyramid.md, section 5).

From one level to the finer one by a kernel of 4 taps along each axis. Sample 2i lies a quarter of a coarse sample
before coarse sample i, sample 2i + 1 a quarter behind it:

    out[2i]     = u0 in[i-2] + u1 in[i-1] + u2 in[i]   + u3 in[i+1]
    out[2i + 1] = u3 in[i-1] + u2 in[i]   + u1 in[i+1] + u0 in[i+2]

Before that, and before it is joined with the coarser ones, a grid may pass a filter of symmetric taps, along each axis
too: so a latent is a patch of its own shape, not a single sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray, round_shift, saturate
from c3video.pyramid.weights import BINARY_POINTS, PyramidWeights, latent_shift

IntArray = NDArray[np.int64]


def upsampled_levels(weights: PyramidWeights, symbols: Sequence[NDArray[np.integer]]) -> list[FloatArray]:
    """All grids j >= k at the resolution of grid k, (N - k, h_k, w_k) int16 values with LATENT_BITS, for each k.

    Args:
        symbols: latents of each grid (h, w), finest first.
    """
    levels: list[FloatArray] = []
    for k in range(len(symbols) - 1, -1, -1):
        own = saturate(symbols[k].astype(np.float64) * (1 << latent_shift(k)))[None]
        if "f" in weights.floats:
            own = filtered(own, weights.floats["f"][k])
        coarser = [upsample(levels[-1], weights.floats["u"][k], symbols[k].shape)] if levels else []
        levels.append(np.concatenate([own, *coarser]))
    return levels[::-1]


def upsample(planes: FloatArray, kernel: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Planes (G, ceil(H / 2), ceil(W / 2)) to (G, *shape), first along rows of samples, then along columns."""
    wide = _upsample_last(planes, kernel, shape[1])
    return _upsample_last(wide.swapaxes(1, 2), kernel, shape[0]).swapaxes(1, 2)


def filtered(planes: FloatArray, taps: FloatArray) -> FloatArray:
    """Planes (G, h, w) under symmetric taps (reach + 1,), the middle first; along rows of samples, then columns."""
    return _filter_last(_filter_last(planes, taps).swapaxes(1, 2), taps).swapaxes(1, 2)


def _filter_last(values: FloatArray, taps: FloatArray) -> FloatArray:
    """(..., n) -> (..., n); edges repeated; each result rounded to int16."""
    n, reach = values.shape[-1], len(taps) - 1
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(reach, reach)], mode="edge")
    total = taps[0] * values
    for t in range(1, reach + 1):
        total = total + taps[t] * (padded[..., reach - t : reach - t + n] + padded[..., reach + t : reach + t + n])
    return saturate(round_shift(total, BINARY_POINTS["f"]))


def _upsample_last(values: FloatArray, kernel: FloatArray, size: int) -> FloatArray:
    """(..., n) -> (..., size) with size = 2n or 2n - 1; edges repeated; each result rounded to int16."""
    n = values.shape[-1]
    padded = np.concatenate([values[..., :1]] * 2 + [values] + [values[..., -1:]] * 2, axis=-1)
    result = np.empty((*values.shape[:-1], 2 * n))
    result[..., 0::2] = sum(kernel[tap] * padded[..., tap : tap + n] for tap in range(4))
    result[..., 1::2] = sum(kernel[3 - tap] * padded[..., tap + 1 : tap + 1 + n] for tap in range(4))
    return saturate(round_shift(result[..., :size], BINARY_POINTS["u"]))
