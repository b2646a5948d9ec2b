# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
import torch

from c3video.c3.config import C3Config
from c3video.c3.context import previous_offsets
from c3video.c3.fit.windows import correlated_window, heaviest_window

CONFIG = C3Config()


def moving_texture(dy: int, dx: int, num_frames: int = 4, height: int = 40, width: int = 48) -> torch.Tensor:
    """Frames with current[y, x] == previous[y + dy, x + dx]."""
    texture = torch.randn(200, 200, generator=torch.Generator().manual_seed(0))
    return torch.stack(
        [texture[80 + t * dy : 80 + t * dy + height, 80 + t * dx : 80 + t * dx + width] for t in range(num_frames)]
    )


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (3, -5), (-7, 2), (0, 12)])
def test_correlation_finds_the_motion(dy: int, dx: int) -> None:
    window = correlated_window(moving_texture(dy, dx), CONFIG)
    assert (dy, dx) in previous_offsets(CONFIG, window)


def test_correlation_on_a_grid_smaller_than_the_range() -> None:
    window = correlated_window(torch.randn(3, 5, 1, generator=torch.Generator().manual_seed(0)), CONFIG)
    assert all(0 <= corner <= CONFIG.previous_range - CONFIG.previous_size for corner in window)


def test_heaviest_window_is_the_square_with_the_largest_weights() -> None:
    weight = torch.full((8, 24 + 65 * 65), 0.01)
    weight[:, :24] = 9.0  # the current frame's taps must not count
    square = weight[:, 24:].view(8, 65, 65)
    square[:, 40:44, 10:14] = -0.5
    square[:, 5, 5] = 1.5  # one heavy tap weighs less than a heavy square
    assert heaviest_window(weight, CONFIG) == (40, 10)
