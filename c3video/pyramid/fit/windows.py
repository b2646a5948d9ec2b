# SPDX-License-Identifier: MIT
"""Where the taps in the previous latent frame lie: how a run's picture moves from frame to frame, grid by grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.pyramid.config import MAX_WINDOW

_LEAST_SIDE = 8
"""Planes with a shorter side have nothing to say."""
_GAIN = 1.02
"""A window is moved where that makes the correlation larger by this factor."""

Floats = NDArray[np.float32]


def find_windows(luma: Sequence[NDArray[Any]], num_grids: int) -> list[tuple[int, int]]:
    """(y, x) of each grid's window, finest first, from the first plane (h, w) of each frame.

    Latents follow the detail of the picture at their resolution, so its shift is theirs.
    """
    planes = np.stack([plane.astype(np.float32) for plane in luma])
    windows = []
    for _ in range(num_grids):
        windows.append(_best_shift(planes))
        planes = _halved(planes)
    return windows


def _best_shift(planes: Floats) -> tuple[int, int]:
    """(dy, dx) for which frames (T, h, w) at (y, x) are most like the ones before at (y + dy, x + dx)."""
    height, width = planes.shape[1:]
    if len(planes) < 2 or min(height, width) < _LEAST_SIDE:
        return 0, 0
    around = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    mean = (around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:]) / 4
    reach_y, reach_x = min(MAX_WINDOW, height // 4), min(MAX_WINDOW, width // 4)
    size = (height + reach_y, width + reach_x)  # zeros so that shifts do not wrap around
    correlation: NDArray[np.float64] = np.zeros(size)
    spectrum = np.fft.rfft2(planes[0] - mean[0], size)
    for plane, of_plane in zip(planes[1:], mean[1:], strict=True):
        following = np.fft.rfft2(plane - of_plane, size)
        correlation += np.fft.irfft2(spectrum * following.conj(), size)
        spectrum = following
    rows, columns = np.arange(-reach_y, reach_y + 1), np.arange(-reach_x, reach_x + 1)
    near = correlation[rows % size[0]][:, columns % size[1]]
    dy, dx = np.unravel_index(int(near.argmax()), near.shape)
    if near.max() <= _GAIN * near[reach_y, reach_x]:
        return 0, 0
    return int(dy) - reach_y, int(dx) - reach_x


def _halved(planes: Floats) -> Floats:
    """Means of 2 x 2 places of (T, h, w), edges repeated."""
    even = np.pad(planes, ((0, 0), (0, planes.shape[1] % 2), (0, planes.shape[2] % 2)), mode="edge")
    sums = even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]
    return (sums / 4).astype(np.float32)
