# SPDX-License-Identifier: MIT
"""What a fit says of itself on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """After each step; for the hybrid model a step is a frame coded once.

    Args:
        num_steps: the most that may come, as far as is known: a search that ends early makes it fewer.
        mse, bpp: as measured last; 0 before anything has been.
    """

    stage: str
    step: int
    num_steps: int
    loss: float
    mse: float
    bpp: float

    @property
    def psnr_db(self) -> float:
        """PSNR over all samples, of all-frame MSE."""
        return -10.0 * math.log10(max(self.mse, 1e-12))
