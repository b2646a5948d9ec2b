# SPDX-License-Identifier: MIT
"""Latent symbols -> latents at the resolution of the cells (docs/c3v.md, section 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray, round_shift, saturate


def dequantise(symbols: NDArray[np.int64], q_step_256: int) -> FloatArray:
    """Latents (binary point LATENT_BITS) of integer symbols: q_step_256 is the step in units of 2^-8."""
    return saturate(symbols.astype(np.float64) * q_step_256)


def interpolation_matrix(size_in: int, size_out: int, exponent: int) -> FloatArray:
    """Linear interpolation from a grid 2^exponent times coarser, as integers.

    Sample i of the fine axis lies at (i + 1/2) / 2^exponent - 1/2 on the coarse one; ends are repeated.

    Returns:
        (size_out, size_in), each row summing to 2^(exponent + 1).
    """
    unit = 1 << (exponent + 1)
    place = 2 * np.arange(size_out) + 1 - (1 << exponent)  # in 1 / unit of a coarse sample
    lower = place // unit
    upper_weight = place - lower * unit
    matrix = np.zeros((size_out, size_in))
    rows = np.arange(size_out)
    np.add.at(matrix, (rows, np.clip(lower, 0, size_in - 1)), unit - upper_weight)
    np.add.at(matrix, (rows, np.clip(lower + 1, 0, size_in - 1)), upper_weight)
    return matrix


def upsample(latents: FloatArray, exponents: tuple[int, int], shape: tuple[int, int, int]) -> FloatArray:
    """Linear interpolation along time, then height, then width, each rounded to int16.

    Args:
        latents: (t, h, w) int16 values.
        exponents: (time, space) exponent of the grid.
        shape: (T, H, W) of the patch in cells.

    Returns:
        (T, H, W) int16 values, same binary point.
    """
    for axis, exponent in enumerate((exponents[0], exponents[1], exponents[1])):
        if exponent:
            matrix = interpolation_matrix(latents.shape[axis], shape[axis], exponent)
            latents = np.moveaxis(np.tensordot(matrix, latents, axes=(1, axis)), 0, axis)
            latents = round_shift(latents, exponent + 1)
    return latents
