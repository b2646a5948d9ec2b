# SPDX-License-Identifier: MIT
"""Weights as integers, one array after the other: what an array loses by rounding, those still free make up for.

    for each array, from the one with most weights to the one with fewest:
        the exponent s for which multiples of 2^s (times 2 to the power of each weight's own step, which the prior
            knows) cost least, loss and bits together; rounded so, fixed
        some steps of the arrays that are not fixed yet

All arrays rounded at once lose several times as much: their errors add up in places where they could cancel
(eval/results/pyramid_trials.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.coding.tables import best_scale
from c3video.pyramid.fit.bounds import hold_rows
from c3video.pyramid.fit.soap import Soap
from c3video.pyramid.payload import MAX_SHIFT, difference_shifts
from c3video.pyramid.priors import prior_of
from c3video.pyramid.weights import PyramidWeights, dequantise, quantise

IntArray = NDArray[np.int64]
Floats = NDArray[np.float32]

_CODE_BITS = 10.0
"""About what an array's code and the index of its table take."""


@dataclass(frozen=True)
class ChosenWeights:
    """Integers of all weights.

    Args:
        shifts: s of each array.
        bits: of the weights.
    """

    weights: PyramidWeights
    shifts: dict[str, int]
    bits: float


@dataclass(frozen=True)
class RoundingTask:
    """What rounding asks a fit for.

    Args:
        weights: with the shapes of the model; their arrays do not count.
        arrays: of the fit by name, views that the two functions below read.
        loss: of the arrays as they are, latents as they will be coded, or of the part of it that the array of a name
            has a say in.
        gradients: of all of the loss, by name.
        bit_worth: what a bit adds to the loss.
        steps, rate: of SOAP after each array; the rate falls to a tenth.
    """

    weights: PyramidWeights
    arrays: Mapping[str, Floats]
    loss: Callable[[str], float]
    gradients: Callable[[], Mapping[str, Floats]]
    bit_worth: float
    steps: int
    rate: float


def on_grid(fine: IntArray, start: IntArray, shifts: IntArray) -> IntArray:
    """The integers nearest to `fine` whose differences to `start` are multiples of 2^shifts."""
    half = (1 << shifts) >> 1
    return start + (((fine - start + half) >> shifts) << shifts)


def weight_bits(differences: IntArray, spreads: IntArray) -> float:
    """Bits of an array's differences, in their units, under their cheapest tables."""
    return best_scale(differences, spreads)[1] + _CODE_BITS if differences.any() else _CODE_BITS / 2


def choose_integers(task: RoundingTask) -> ChosenWeights:
    """Integers for the weights of a fit; its arrays are rounded on the way."""
    config, layout = task.weights.config, task.weights.layout
    prior = prior_of(config, layout)
    order = sorted(task.arrays, key=lambda name: -task.arrays[name].size)
    fixed: dict[str, IntArray] = {}
    shifts: dict[str, int] = {}
    bits = 0.0
    for name in order:
        array = task.arrays[name]
        fine = dict(quantise(config, layout, task.arrays).arrays) | fixed
        best = (np.inf, 0, fine[name], 0.0)
        kept, start = array.copy(), prior.arrays[name]
        for shift in range(MAX_SHIFT + 1):  # from the finest: the coarse ones have minima that mean nothing
            units = difference_shifts(prior, name, shift)
            rounded = on_grid(fine[name], start, units)
            of_array = weight_bits((rounded - start) >> units, prior.spreads[name])
            # The mean of both ways: what one way gains by luck, along a slope, steps would gain without it.
            there = _floats(task.weights, fine | {name: rounded})[name]
            array[...] = there
            loss = 0.5 * task.loss(name) + task.bit_worth * of_array
            array[...] = 2.0 * kept - there
            loss += 0.5 * task.loss(name)
            if loss < best[0]:
                best = (loss, shift, rounded, of_array)
            array[...] = kept
            if shift > best[1] + 2:
                break
        _, shifts[name], fixed[name], of_array = best
        array[...] = _floats(task.weights, fine | fixed)[name]
        bits += of_array
        free = {other: task.arrays[other] for other in order if other not in fixed}
        if free:
            soap = Soap(free)
            for step in range(task.steps):
                soap.step(task.gradients(), task.rate * (1.0 - 0.9 * step / task.steps))
                hold_rows(free, config, layout)
    arrays = {name: fixed[name] for name in task.arrays}
    return ChosenWeights(PyramidWeights(config, layout, arrays, task.weights.gains), shifts, bits)


def _floats(weights: PyramidWeights, arrays: Mapping[str, IntArray]) -> Mapping[str, NDArray[np.float64]]:
    return dequantise(PyramidWeights(weights.config, weights.layout, arrays, weights.gains))
