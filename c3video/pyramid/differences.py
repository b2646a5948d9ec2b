# SPDX-License-Identifier: MIT
"""What the weights of an array differ from the prior's by, as a stream says it: multiples of steps, or of directions.

The weights that the same inputs meet move together from picture to picture, and the loss bends with sums of them more
than with each. So a prior may have a *basis* for an array: what is coded for a row are then not the differences of its
weights but coefficients of the basis's rows, which neither move nor bend the loss together
(pipelines/fit_weight_basis.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.coding.tables import NUM_SCALES
from c3video.errors import CorruptSegmentError
from c3video.pyramid.priors import BASIS_BITS, MAX_COEFFICIENT, Prior

IntArray = NDArray[np.int64]

MAX_SHIFT = 10
"""What is coded are multiples of 2^0 .. 2^MAX_SHIFT, times 2 to the power of each weight's own step."""
MAX_WEIGHT_SHIFT = 14
"""Of a weight or a coefficient, both together."""


@dataclass(frozen=True, eq=False)
class Difference:
    """What a stream says of one array.

    Args:
        shift: of the array, 0..MAX_SHIFT.
        values: of the array's shape, in the units of `difference_shifts`: of weights, or of coefficients.
    """

    shift: int
    values: IntArray


def difference_shifts(prior: Prior, name: str, shift: int) -> IntArray:
    """Exponents of the units that an array's differences or coefficients are coded in, from that of the array."""
    return np.clip(shift + prior.steps[name], 0, MAX_WEIGHT_SHIFT)


def difference_scales(prior: Prior, name: str, scale: int) -> IntArray:
    """Scale indexes of the tables of an array's differences or coefficients, from that of the array."""
    return np.clip(scale + prior.spreads[name], 0, NUM_SCALES - 1)


def weights_from(prior: Prior, name: str, difference: Difference) -> IntArray:
    """An array's weights.

    Raises:
        CorruptSegmentError: a coefficient beyond what sums of 32 bits allow.
    """
    start, basis = prior.arrays[name], prior.bases.get(name)
    scaled = difference.values << difference_shifts(prior, name, difference.shift)
    if basis is None:
        return start + scaled
    largest = int(np.abs(scaled).max(initial=0))
    if largest > MAX_COEFFICIENT:
        raise CorruptSegmentError(f"coefficient {largest} of {name}: must be in -{MAX_COEFFICIENT}..{MAX_COEFFICIENT}")
    sums = scaled.reshape(-1, len(basis)) @ basis
    return start + ((sums + (1 << (BASIS_BITS - 1))) >> BASIS_BITS).reshape(start.shape)


def nearest_difference(prior: Prior, name: str, weights: IntArray, shift: int) -> Difference:
    """What comes near to weights of an array: by the nearest multiples, of coefficients as good as a decoder's."""
    start, basis = prior.arrays[name], prior.bases.get(name)
    shifts = difference_shifts(prior, name, shift)
    if basis is None:
        return Difference(shift, (weights - start + ((1 << shifts) >> 1)) >> shifts)
    rows = (weights - start).reshape(-1, len(basis)).astype(np.float64)
    coefficients = np.linalg.solve(basis.T * 2.0**-BASIS_BITS, rows.T).T.reshape(start.shape)
    largest = MAX_COEFFICIENT >> shifts
    return Difference(shift, np.clip(np.rint(coefficients / (1 << shifts)), -largest, largest).astype(np.int64))
