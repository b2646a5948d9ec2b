# SPDX-License-Identifier: MIT
"""Where each grid's previous-frame window belongs, inside the wide one of `previous_range`.

The paper's way (`heaviest_window`): fit for a while with the whole wide window as context, keep the square whose
first-layer weights are largest. The quick way (`correlated_window`): correlate the latents of consecutive frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from c3video.c3.config import C3Config


def heaviest_window(weight: Tensor, config: C3Config) -> tuple[int, int]:
    """Corner of the window with the largest mean weight magnitude.

    Args:
        weight: (C_out, causal taps + previous_range^2) of a context layer that was fitted wide.

    Source: C3 section 3.3.2 and the reference's `create_custom_mask`.
    """
    side = config.previous_range
    magnitude = weight[:, config.context_size**2 // 2 :].abs().mean(dim=0).view(side, side)
    return _best_corner(magnitude, config.previous_size)


def correlated_window(grid: Tensor, config: C3Config) -> tuple[int, int]:
    """Corner of the window over the largest squared correlations between a frame and the one before it.

    Args:
        grid: (t, h, w) latents in steps, t >= 2.
    """
    half = config.previous_range // 2
    height, width = grid.shape[1] + half, grid.shape[2] + half  # zeros so that shifts do not wrap around
    spectra = torch.fft.rfft2(grid - grid.mean(), s=(height, width))
    # Element (dy, dx): sum over positions of current[y, x] * previous[y + dy, x + dx].
    correlation = torch.fft.irfft2((spectra[:-1] * spectra[1:].conj()).sum(0), s=(height, width))
    reach_y, reach_x = min(half, grid.shape[1] - 1), min(half, grid.shape[2] - 1)
    square = torch.zeros(config.previous_range, config.previous_range, device=grid.device)
    rows = torch.arange(-reach_y, reach_y + 1, device=grid.device)
    columns = torch.arange(-reach_x, reach_x + 1, device=grid.device)
    near = correlation[rows % height][:, columns % width]
    square[half - reach_y : half + reach_y + 1, half - reach_x : half + reach_x + 1] = near
    return _best_corner(square.square(), config.previous_size)


def _best_corner(square: Tensor, size: int) -> tuple[int, int]:
    sums = F.avg_pool2d(square[None, None], size, stride=1)[0, 0]
    best = int(sums.argmax())
    return best // sums.shape[1], best % sums.shape[1]
