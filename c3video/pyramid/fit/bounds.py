# SPDX-License-Identifier: MIT
"""Keeping a fit's weights where integers can follow: rows whose sums a decoder could not hold are drawn in.

Hidden units that are too large are halved, what reads them doubled, as rounding would do (`shrink_units`): the network
stays the same. Arrays that make outputs have nothing behind them that could take up a factor: their rows are scaled.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from c3video.native.pyramid_fit import Floats
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.weights import BINARY_POINTS, MAX_CONTEXT, MAX_WEIGHT, column_units, shrink_units

_LARGEST_INPUTS = {"l": MAX_CONTEXT, "m": 32768, "w3": 32768, "v2": 32768, "r2": 32768}
_MARGIN = 0.9
"""Share of the range that a fit may use: for biases, for rounding, and for the steps while arrays are rounded."""


def hold_sums(arrays: Mapping[str, Floats], config: PyramidConfig, layout: str) -> None:
    """Change weights in place until their sums of products stay within 32 bits, and clip them to 16 bits.

    Args:
        arrays: a fit's weights by name, float32.
    """
    units = {
        name: np.asarray(column_units(name, config, layout)) * 2.0 ** -BINARY_POINTS[name.split(".")[0]]
        for name in arrays
    }
    scaled = {name: array.astype(np.float64) / units[name] for name, array in arrays.items()}
    shrunk = dict(scaled)
    shrink_units(shrunk, 1.0)
    for name, array in arrays.items():
        if shrunk[name] is not scaled[name]:
            array[...] = shrunk[name] * units[name]
    for name, array in arrays.items():
        kind = name.split(".")[0]
        if kind not in _LARGEST_INPUTS:
            continue
        unit = units[name]
        limit = _MARGIN * MAX_WEIGHT * unit
        np.clip(array, -limit, limit, out=array, casting="unsafe")
        sums = (np.abs(array) / unit).sum(axis=1)
        allowed = _MARGIN * 2.0**31 / _LARGEST_INPUTS[kind]
        if sums.max() > allowed:
            array *= np.minimum(1.0, allowed / np.maximum(sums, 1e-9))[:, None].astype(np.float32)
