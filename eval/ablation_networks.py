# SPDX-License-Identifier: MIT
"""Networks that no stream can hold, to learn what the one that streams hold gains or loses against them.

They take the place of `PatchNetwork` in a fit (`fit_patch(..., network_type=...)`) and run on torch alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


class SharedEntropyNetwork(TorchNetwork):
    """One entropy network for all latent grids, in place of one a grid.

    Grids without a window in the previous latent frame read zeros there.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        grids = self.config.grids
        self.shared = next((index for index, grid in enumerate(grids) if grid.previous_window), 0)
        kept = [spec.grid in (-1, self.shared) for spec in self.specs]
        self.weights = torch.nn.ParameterList(self._layer_weights(list(self.weights), kept))
        self.specs: tuple[LayerSpec, ...] = tuple(spec for spec, keep in zip(self.specs, kept, strict=True) if keep)

    def context_weight(self, grid: int) -> Tensor:
        """First-layer weights: of every grid the same."""
        return super().context_weight(self.shared)  # type: ignore[misc, no-any-return]

    def rate(self, steps: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """(num_grids,) bits of the latents (L,) in steps."""
        first, *rest = self._layer_weights(weights, [spec.grid == self.shared for spec in self.specs])
        num_causal = self.config.context_size**2 // 2
        bits = []
        for grid, window in zip(self.split_grids(steps), self.windows, strict=True):
            taps = first if window is not None else first[:, :num_causal]
            bits.append(self._grid_bits(grid, window, [taps, *rest]))
        return torch.stack(bits)


def fixed_precision(
    specs: Sequence[LayerSpec], weights: Sequence[Tensor], loss: Callable[[list[Tensor], float], float]
) -> dict[str, Precision]:
    """In place of `search_precisions`: 9 bits behind the binary point for all weights, where the search starts."""
    return {"entropy": Precision(9, 9), "synthesis": Precision(9, 9)}
