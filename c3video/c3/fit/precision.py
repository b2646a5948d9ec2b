# SPDX-License-Identifier: MIT
"""Choosing the binary points of the network weights: what they cost against what they spoil."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from c3video.c3.patch_model import MAX_PRECISION_BITS, MIN_PRECISION_BITS, Layer, LayerSpec, Precision
from c3video.coding.tables import best_scale
from c3video.errors import CorruptSegmentError, FitError

PrecisionSearch = Callable[
    [Sequence[LayerSpec], Sequence[Tensor], Callable[[list[Tensor], float], float]], dict[str, Precision]
]
"""Chooses the binary points of all networks: see `search_precisions`."""


def to_layers(
    specs: Sequence[LayerSpec], weights: Sequence[Tensor], precisions: dict[str, Precision]
) -> tuple[Layer, ...]:
    """Integers of all layers.

    Raises:
        CorruptSegmentError: integers that a decoder could not compute with.
    """
    layers = []
    for index, spec in enumerate(specs):
        precision = precisions[spec.network]
        weight, bias = weights[2 * index : 2 * index + 2]
        layer = Layer(spec, _rounded(weight, precision.weight_bits), _rounded(bias, precision.bias_bits), precision)
        layer.check_ranges()
        layers.append(layer)
    return tuple(layers)


def _rounded(values: Tensor, bits: int) -> NDArray[np.int64]:
    scaled = np.rint(values.detach().cpu().double().numpy() * 2.0**bits)
    if not (np.abs(scaled) < 2.0**40).all():
        raise CorruptSegmentError("weights that are not finite or far too large")
    return scaled.astype(np.int64)


def on_grid(specs: Sequence[LayerSpec], weights: Sequence[Tensor], precisions: dict[str, Precision]) -> list[Tensor]:
    """Weights rounded to their binary points, straight-through: gradients pass as if nothing had been rounded."""
    rounded = []
    for index, weight in enumerate(weights):
        precision = precisions[specs[index // 2].network]
        unit = 2.0 ** -(precision.bias_bits if index % 2 else precision.weight_bits)
        rounded.append(weight + (torch.round(weight / unit) * unit - weight).detach())
    return rounded


def weight_bits(layers: Sequence[Layer], network: str) -> float:
    """Bits of a network's integers under their cheapest tables."""
    chosen = [layer for layer in layers if layer.spec.network == network]
    weights = np.concatenate([layer.weight.ravel() for layer in chosen])
    biases = np.concatenate([layer.bias for layer in chosen])
    return best_scale(weights)[1] + best_scale(biases)[1]


_MOVES = [(-1, -1), (-1, 0), (0, -1), (-2, 0), (0, -2), (-1, 1), (1, -1), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2)]
"""Changes of (weight_bits, bias_bits) that the search tries, the cheaper ones first."""


def search_precisions(
    specs: Sequence[LayerSpec], weights: Sequence[Tensor], loss: Callable[[list[Tensor], float], float]
) -> dict[str, Precision]:
    """Binary points of both networks that minimise the loss, by descent in small moves.

    Args:
        loss: of weights on their grid and the bits of those weights.

    Raises:
        FitError: no precision keeps the weights inside the decoder's ranges.

    Source: C3 section 2 searches the product of all steps. One coordinate at a time got stuck: weights and biases of a
    layer give way together.
    """
    start = Precision(9, 9)
    best = {"entropy": start, "synthesis": start}
    seen: dict[tuple[Precision, Precision], float] = {}

    def cost(precisions: dict[str, Precision]) -> float:
        key = (precisions["entropy"], precisions["synthesis"])
        if key not in seen:
            try:
                layers = to_layers(specs, weights, precisions)
            except CorruptSegmentError:
                seen[key] = float("inf")
            else:
                bits = sum(weight_bits(layers, network) for network in precisions)
                with torch.no_grad():
                    seen[key] = loss(on_grid(specs, weights, precisions), bits)
        return seen[key]

    improved = True
    while improved:
        improved = False
        for network, (weight_change, bias_change) in product(best, _MOVES):
            old = best[network]
            moved = Precision(old.weight_bits + weight_change, old.bias_bits + bias_change)
            if not all(MIN_PRECISION_BITS <= bits <= MAX_PRECISION_BITS for bits in vars(moved).values()):
                continue
            # From ranges that do not fit, fewer bits are the way out.
            way_out = cost(best) == float("inf") and weight_change + bias_change < 0
            if way_out or cost({**best, network: moved}) < cost(best):
                best[network], improved = moved, True
    if cost(best) == float("inf"):
        raise FitError(
            "network weights have grown past what the decoder's integers hold; fit with another seed or preset"
        )
    return best
