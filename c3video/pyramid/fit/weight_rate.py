# SPDX-License-Identifier: MIT
"""What weights cost in a stream, as a slope that a fit can follow while they move.

A stream has coefficients of weights' differences to the prior (differences.py). Under a Laplace distribution whose
scale is b times the coefficient's own, as the prior tells it, one of size c takes c / (b ln 2) bits and a constant. As
long as b is what fits all of an array best, that is also how all its bits grow with c. What is far smaller than b is
rounded to zero and costs next to nothing, so the slope falls to zero there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.priors import BASIS_BITS, prior_of
from c3video.pyramid.weights import BINARY_POINTS, column_units

Doubles = NDArray[np.float64]

_SCALES_A_FACTOR_OF_E = 8
"""Steps of a scale index (coding/tables.py)."""

_NEARLY_ZERO = 0.5
"""Of an array's scale b: coefficients below are mostly rounded to zero; found by trial."""


@dataclass(frozen=True, eq=False)
class _ArrayCode:
    """How an array's floats become coefficients of unit spread.

    Args:
        units: of the array's shape or broadcast to it, integers a float is worth.
        start: the prior's integers.
        to_coefficients: (k, k), differences of a row times this are its coefficients; None where they are the same.
        spreads: of the array's shape, of coefficients against each other.
    """

    units: Doubles
    start: NDArray[np.int64]
    to_coefficients: Doubles | None
    spreads: Doubles

    def slope(self, array: NDArray[np.floating]) -> Doubles:
        """Bits by weight, of the array's shape."""
        differences = self._turned(array * self.units - self.start, self.to_coefficients)
        coefficients = differences / self.spreads
        scale = float(np.abs(coefficients).mean())
        if scale == 0.0:
            return np.zeros_like(coefficients)
        slope = coefficients / np.hypot(coefficients, _NEARLY_ZERO * scale) / (scale * math.log(2.0)) / self.spreads
        back = None if self.to_coefficients is None else self.to_coefficients.T
        return self._turned(slope, back) * self.units

    @staticmethod
    def _turned(rows: Doubles, matrix: Doubles | None) -> Doubles:
        return rows if matrix is None else (rows.reshape(-1, len(matrix)) @ matrix).reshape(rows.shape)


class WeightRate:
    """The slope of the bits that weights take, by the prior they start from.

    Args:
        config: of the model, with the prior's number.
        layout: a key of GROUPS.
    """

    def __init__(self, config: PyramidConfig, layout: str) -> None:
        prior = prior_of(config, layout)
        self._codes = {}
        for name, start in prior.arrays.items():
            basis = prior.bases.get(name)
            units = 2.0 ** BINARY_POINTS[name.split(".")[0]] / np.asarray(column_units(name, config, layout))
            inverse = None if basis is None else np.linalg.inv(basis * 2.0**-BASIS_BITS)
            spreads = np.exp2(prior.steps[name]) * np.exp(prior.spreads[name] / _SCALES_A_FACTOR_OF_E)
            self._codes[name] = _ArrayCode(units, start, inverse, spreads)

    def slopes(self, arrays: Mapping[str, NDArray[np.floating]]) -> dict[str, Doubles]:
        """Bits by each weight of a fit's arrays, of their shapes."""
        return {name: code.slope(arrays[name]) for name, code in self._codes.items()}

    def added_to(
        self,
        grads: Mapping[str, NDArray[np.floating]],
        arrays: Mapping[str, NDArray[np.floating]],
        bit_worth: float,
    ) -> dict[str, Doubles]:
        """Gradients of a picture's loss by its weights, and of their bits with it.

        No array is moved more strongly by its bits than by the picture: SOAP's steps are as long however little there
        is to gain, and where a picture says nothing, as a black one does, they would go on until it does.

        Args:
            bit_worth: what a bit adds to the loss.
        """
        added = {}
        for name, slope in self.slopes(arrays).items():
            grad, of_bits = np.asarray(grads[name], dtype=np.float64), bit_worth * slope
            ours, its = float(np.linalg.norm(of_bits)), float(np.linalg.norm(grad))
            added[name] = grad + (of_bits if ours <= its else of_bits * (its / ours))
        return added
