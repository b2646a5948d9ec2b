# SPDX-License-Identifier: MIT
"""The float twin of `coding.arithmetic.activation`, for the networks of the C3 and hybrid models in a fit."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def activate(x: Tensor) -> Tensor:
    """x * clip(x/4 + 1/2, 0, 1), the activation that is exact on integers; hardswish has the same shape."""
    return F.hardswish(x * 1.5) * (2.0 / 3.0)
