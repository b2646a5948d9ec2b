# SPDX-License-Identifier: MIT
"""Networks that no stream can hold, to learn what the one that streams hold gains or loses against them.

They take the place of `PatchNetwork` in a fit (`fit_patch(..., network_type=...)`) and run on torch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from c3video.c3.fit.network import PatchNetwork
from c3video.c3.patch_model import LayerSpec, Precision


class TorchNetwork(PatchNetwork):
    """PatchNetwork without the C++ kernels, which know nothing of what is changed here."""

    @property
    def is_native(self) -> bool:
        return False


class GeluNetwork(TorchNetwork):
    """GELU, as the paper has it, in place of the activation that is exact on integers."""

    @staticmethod
    def activate(x: Tensor) -> Tensor:
        return F.gelu(x)

    @staticmethod
    def pointwise(inputs: Tensor, *weights: Tensor) -> Tensor:
        """Columns (C_in, n) through pointwise layers."""
        hidden = inputs
        for index in range(0, len(weights), 2):
            hidden = torch.addmm(weights[index + 1][:, None], weights[index], F.gelu(hidden) if index else hidden)
        return hidden


def fixed_precision(
    specs: Sequence[LayerSpec], weights: Sequence[Tensor], loss: Callable[[list[Tensor], float], float]
) -> dict[str, Precision]:
    """In place of `search_precisions`: 9 bits behind the binary point for all weights, where the search starts."""
    return {"entropy": Precision(9, 9), "synthesis": Precision(9, 9)}
