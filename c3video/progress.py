# SPDX-License-Identifier: MIT
"""What a fit says of itself on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """After each step; for the hybrid model a step is a frame coded once. `num_steps` is the most that may come."""

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
