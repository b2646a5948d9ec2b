# SPDX-License-Identifier: MIT
"""Weights as integers: how coarse each array may be, by what it saves and what it spoils.

Differences of an array to its prior are multiples of 2^s. Each s is found by trial with the latents as they will be
coded: the loss is that of the rounded weights, rate of latents, weights and all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.coding.tables import best_scale
from c3video.native.pyramid_fit import Floats, PyramidFit
from c3video.pyramid.payload import MAX_SHIFT
from c3video.pyramid.priors import prior_arrays
from c3video.pyramid.weights import PyramidWeights, dequantise, quantise

IntArray = NDArray[np.int64]

_START_SHIFT = 5
_CODE_BITS = 10.0
"""About what an array's code and the index of its table take."""


@dataclass(frozen=True)
class ChosenWeights:
    """Integers of all weights.

    Args:
        shifts: s of each array.
        bits: of latents and weights together.
        loss: MSE on [0, 1] + rd_weight * bpp.
    """

    weights: PyramidWeights
    shifts: dict[str, int]
    bits: float
    loss: float


def on_grid(fine: IntArray, prior: IntArray, shift: int) -> IntArray:
    """The integers nearest to `fine` whose differences to the prior are multiples of 2^shift."""
    half = (1 << shift) >> 1
    return prior + (((fine - prior + half) >> shift) << shift)


def weight_bits(array: IntArray, prior: IntArray, shift: int) -> float:
    """Bits of an array's differences under their cheapest table."""
    differences = (array - prior) >> shift
    return best_scale(differences)[1] + _CODE_BITS if differences.any() else _CODE_BITS / 2


def choose_integers(
    plan: PyramidFit,
    targets: Floats,
    latents: Floats,
    arrays: Mapping[str, Floats],
    rd_weight: float,
    num_threads: int = 1,
) -> ChosenWeights:
    """Integers for the weights of a fit.

    Args:
        targets: (S,) samples on [0, 1].
        latents: (L,) as they will be coded.
        arrays: the fit's weights by name.
    """
    fine = quantise(plan.config, plan.layout, arrays)
    prior = prior_arrays(plan.config, plan.layout)

    def tried(shifts: dict[str, int]) -> ChosenWeights:
        rounded = {name: on_grid(array, prior[name], shifts[name]) for name, array in fine.arrays.items()}
        weights = PyramidWeights(plan.config, plan.layout, rounded, fine.gains)
        floats = dequantise(weights)
        flat = np.concatenate([floats[name].ravel() for name in rounded]).astype(np.float32)
        found = plan.step(
            latents, flat, targets, rd_weight, wants_latents=False, wants_weights=False, num_threads=num_threads
        )
        of_weights = sum(weight_bits(array, prior[name], shifts[name]) for name, array in rounded.items())
        bits = float(found.bits.sum()) + of_weights
        return ChosenWeights(weights, shifts, bits, found.loss + rd_weight * of_weights / plan.num_pixels)

    best = tried(dict.fromkeys(fine.arrays, _START_SHIFT))
    improved = True
    while improved:
        improved = False
        for name in fine.arrays:
            for change in (1, -1):
                moved = False
                while 0 <= best.shifts[name] + change <= MAX_SHIFT:
                    candidate = tried(best.shifts | {name: best.shifts[name] + change})
                    if candidate.loss >= best.loss:
                        break
                    best, moved, improved = candidate, True, True
                if moved:
                    break
    return best
