# SPDX-License-Identifier: MIT
"""Weights as integers, one array after the other: what an array loses by rounding, those still free make up for.

    for each array, from the one with most weights to the one with fewest:
        the exponent s for which multiples of 2^s (times 2 to the power of each weight's own step, which the prior
            knows; of coefficients, where it has a basis) cost least, loss and bits together; rounded so, fixed
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
from c3video.errors import CorruptSegmentError
from c3video.pyramid.differences import MAX_SHIFT, Difference, nearest_difference, weights_from
from c3video.pyramid.fit.bounds import hold_rows
from c3video.pyramid.fit.soap import Soap
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
        differences: of each array, what makes its weights of the prior's.
        bits: of the weights.
    """

    weights: PyramidWeights
    differences: dict[str, Difference]
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


def weight_bits(values: IntArray, spreads: IntArray) -> float:
    """Bits of an array's differences or coefficients, in their units, under their cheapest tables."""
    return best_scale(values, spreads)[1] + _CODE_BITS if values.any() else _CODE_BITS / 2


def choose_integers(task: RoundingTask) -> ChosenWeights:
    """Integers for the weights of a fit; its arrays are rounded on the way."""
    config, layout = task.weights.config, task.weights.layout
    prior = prior_of(config, layout)
    order = sorted(task.arrays, key=lambda name: -task.arrays[name].size)
    fixed: dict[str, IntArray] = {}
    differences: dict[str, Difference] = {}
    bits = 0.0
    for name in order:
        array = task.arrays[name]
        fine = dict(quantise(config, layout, task.arrays).arrays) | fixed
        least, best, of_best = np.inf, Difference(0, np.zeros_like(fine[name])), 0.0
        kept = array.copy()
        for shift in range(MAX_SHIFT + 1):  # from the finest: the coarse ones have minima that mean nothing
            difference = nearest_difference(prior, name, fine[name], shift)
            of_array = weight_bits(difference.values, prior.spreads[name])
            try:
                there = _floats(task.weights, fine | {name: weights_from(prior, name, difference)})[name]
            except CorruptSegmentError:  # beyond the bounds of sums
                continue
            # The mean of both ways: what one way gains by luck, along a slope, steps would gain without it.
            array[...] = there
            loss = 0.5 * task.loss(name) + task.bit_worth * of_array
            array[...] = 2.0 * kept - there
            loss += 0.5 * task.loss(name)
            array[...] = kept
            if loss < least:
                least, best, of_best = loss, difference, of_array
            if shift > best.shift + 2:
                break
        differences[name], fixed[name] = best, weights_from(prior, name, best)
        array[...] = _floats(task.weights, fine | fixed)[name]
        bits += of_best
        free = {other: task.arrays[other] for other in order if other not in fixed}
        if free:
            soap = Soap(free)
            for step in range(task.steps):
                soap.step(task.gradients(), task.rate * (1.0 - 0.9 * step / task.steps))
                hold_rows(free, config, layout)
    arrays = {name: fixed[name] for name in task.arrays}
    return ChosenWeights(PyramidWeights(config, layout, arrays, task.weights.gains), differences, bits)


def _floats(weights: PyramidWeights, arrays: Mapping[str, IntArray]) -> Mapping[str, NDArray[np.float64]]:
    return dequantise(PyramidWeights(weights.config, weights.layout, arrays, weights.gains))
