# SPDX-License-Identifier: MIT
"""The integers of a pyramid model: their binary points, the bounds that keep every sum in 32 bits, gains folded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray
from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid.config import GROUPS, PyramidConfig, weight_shapes

IntArray = NDArray[np.int64]

MAX_WEIGHT = 32767
"""Weights lie in +-MAX_WEIGHT: -32768 is left out, so that two products of int16 add up within 32 bits."""

MAX_CONTEXT = 8191
"""Latents are clipped to +-MAX_CONTEXT where a context reads them; that leaves a row of weights a sum of 64."""
MAX_HYPER_CONTEXT = 127
"""Likewise those of hyper grids, so that sixteen of them, with HYPER_BITS, are within 16 bits."""
HYPER_BITS = 4
"""Binary point of hyper grids where a context reads them."""

LATENT_BITS = 8
"""Binary point of upsampled latents, in steps of grid 0."""
ENTROPY_BITS = 8
"""Binary point of hidden units of the entropy network."""
SYNTHESIS_BITS = 10
"""Binary point of hidden units of a synthesis."""
SAMPLE_BITS = 13
"""Binary point of samples; 1.0 is the largest value of a sample."""
OUTPUT_BITS = 12
"""Binary point of the entropy network's outputs."""

BINARY_POINTS = {
    **dict.fromkeys(("w1", "b1", "w2", "b2", "w3", "b3", "l", "p1", "pb", "pl", "p3", "v1", "v2", "r1", "r2"), 12),
    **dict.fromkeys(("h1", "hl"), 12 - HYPER_BITS),
    "hb": 12,
    **dict.fromkeys(("c1", "c2", "d1", "d2"), 13),
    "m": 14,
    "u": 8,
    "f": 8,
}
"""Binary point of each array, by its name without the group."""

ENTROPY_ARRAYS = ("w1", "b1", "w2", "b2", "w3", "b3", "l")
"""Names of the entropy network's arrays, as a latent frame uses them."""

UNIT_GAIN = 64
"""A grid's gain is a byte, 1..255, in units of 1/64."""


def latent_shift(grid: int) -> int:
    """Shift of a latent of a grid to LATENT_BITS: a step of grid k is 2^-(k // 2) of one of grid 0.

    A latent of a coarse grid weighs on more samples, so its step is the finer one: this gives its upsampled values
    the range, at the price of fractions that are not missed.
    """
    return LATENT_BITS - grid // 2


def unit_of(grid: int) -> float:
    """What a step of a grid is worth where weights meet it, in steps of grid 0."""
    return 2.0 ** (latent_shift(grid) - LATENT_BITS)


@dataclass(frozen=True, eq=False)  # arrays have no equality of use: weights are themselves only
class PyramidWeights:
    """All integers that make a picture's latents decodable.

    Args:
        config: shapes.
        layout: a key of GROUPS.
        arrays: by name, in the order and of the shapes of `weight_shapes`, before gains.
        gains: (N,) of the grids, in units of 1 / UNIT_GAIN.

    Raises:
        CorruptSegmentError: weights that a decoder could not compute with.
    """

    config: PyramidConfig
    layout: str
    arrays: Mapping[str, IntArray]
    gains: tuple[int, ...]

    def __post_init__(self) -> None:
        shapes = weight_shapes(self.config, self.layout)
        assert {name: array.shape for name, array in self.arrays.items()} == shapes
        assert len(self.gains) == self.config.num_grids
        for gain in self.gains:
            if not 1 <= gain <= 255:
                raise CorruptSegmentError(f"gain {gain}: must be in 1..255")
        for name, array in self.arrays.items():
            largest = int(np.abs(array).max(initial=0))
            if largest > MAX_WEIGHT:
                raise CorruptSegmentError(f"weight {largest} of {name}: must be in -{MAX_WEIGHT}..{MAX_WEIGHT}")
        self._check_sums()

    def differ(self, prior: Mapping[str, IntArray]) -> bool:
        """Whether any weight is another than the prior's."""
        return any(not np.array_equal(array, prior[name]) for name, array in self.arrays.items())

    @cached_property
    def folded(self) -> dict[str, IntArray]:
        """The arrays with the grids' gains multiplied into the columns of `v1` and `m` that read them."""
        arrays = dict(self.arrays)
        for g, group in enumerate(GROUPS[self.layout]):
            gains = np.full(group.num_inputs(self.config.num_grids), UNIT_GAIN, dtype=np.int64)
            gains[: self.config.num_grids - group.first_grid] = self.gains[group.first_grid :]
            for name in (f"v1.{g}", f"m.{g}"):
                arrays[name] = np.clip((arrays[name] * gains + 32) >> 6, -MAX_WEIGHT, MAX_WEIGHT)
        return arrays

    def entropy_arrays(self, *, is_later: bool) -> dict[str, IntArray]:
        """Those of the entropy network, for the first latent frame or a later one.

        In a later one the taps in the previous frame come after the causal ones: `w1` and `l` have columns for them,
        and their last ones are those of the hyper grids. `b1` has a row for each grid of `config.levels`.
        """
        arrays = {name: self.arrays[name] for name in ENTROPY_ARRAYS if name in self.arrays}
        taps = self.config.num_taps
        for name, of_previous, of_hyper in (("w1", "p1", "h1"), ("l", "pl", "hl")):
            parts = [arrays[name][:, :taps], arrays[name][:, taps:]]
            if is_later:
                parts.insert(1, self.arrays[of_previous])
            if self.config.num_hyper:
                parts.append(self.arrays[of_hyper])
            arrays[name] = np.concatenate(parts, axis=1)
        if self.config.num_hyper:
            arrays["b1"] = np.concatenate([arrays["b1"], self.arrays["hb"]])
        if is_later:
            arrays["b1"] = arrays["b1"] + self.arrays["pb"][list(self.config.levels)]
            arrays["b3"] = arrays["b3"] + self.arrays["p3"]
        return arrays

    @cached_property
    def entropy_floats(self) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
        """`entropy_arrays` of the first and of later latent frames as operands of exact float64 arithmetic."""
        kinds = (False, True) if self.config.num_previous else (False, False)
        first, later = (self.entropy_arrays(is_later=kind) for kind in kinds)
        return _as_floats(first), _as_floats(later)

    @cached_property
    def floats(self) -> dict[str, FloatArray]:
        """`folded` as operands of exact float64 arithmetic."""
        return _as_floats(self.folded)

    def _check_sums(self) -> None:
        # Largest input, shift of the bias to the sum's binary point, and the half that is added to round the sum.
        arrays = self.folded
        for is_later in (False, True) if self.config.num_previous else (False,):
            entropy = self.entropy_arrays(is_later=is_later)
            bias = np.abs(entropy["b1"]).max(axis=0)
            _check_sum("w1", entropy["w1"], MAX_CONTEXT, bias + (1 << 3))
            # What w3 adds to the sums of l is below 2^23; the half is that of the shift to scale indexes.
            _check_sum("l", entropy["l"], MAX_CONTEXT, np.abs(entropy["b3"]) + (1 << 23) + (1 << 8))
        if "w2" in arrays:
            _check_sum("w2", arrays["w2"], 32767, (np.abs(arrays["b2"]) << 8) + (1 << 11))
        _check_sum("w3", arrays["w3"], 32767, np.full(2, 1 << 7))
        if "u" in arrays:
            _check_sum("u", arrays["u"], 32768, np.full(len(arrays["u"]), 1 << 7))
        if "f" in arrays:
            both = np.concatenate([arrays["f"], arrays["f"][:, 1:]], axis=1)  # all taps but the middle twice
            _check_sum("f", both, 32768, np.full(len(both), 1 << 7))
        for g in range(len(GROUPS[self.layout])):
            _check_sum(f"v1.{g}", arrays[f"v1.{g}"], 32768, (np.abs(arrays[f"c1.{g}"]) << 7) + (1 << 9))
            _check_sum(f"v2.{g}", arrays[f"v2.{g}"], 32767, (np.abs(arrays[f"c2.{g}"]) << 9) + (1 << 8))
            _check_sum(f"m.{g}", arrays[f"m.{g}"], 32768, np.full(len(arrays[f"m.{g}"]), 1 << 8))
            if self.config.refine_width:
                _check_sum(f"r1.{g}", arrays[f"r1.{g}"], 32768, (np.abs(arrays[f"d1.{g}"]) << 12) + (1 << 11))
                _check_sum(f"r2.{g}", arrays[f"r2.{g}"], 32767, (np.abs(arrays[f"d2.{g}"]) << 12) + (1 << 11))


def _as_floats(arrays: Mapping[str, IntArray]) -> dict[str, FloatArray]:
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _check_sum(name: str, weight: IntArray, largest_input: int, rest: IntArray) -> None:
    sums = np.abs(weight).reshape(len(weight), -1).sum(axis=1) * largest_input + rest
    if sums.max() >= 1 << 31:
        raise CorruptSegmentError(f"sums of {name} may reach {sums.max()}: must stay below 2^31")


def column_units(name: str, config: PyramidConfig, layout: str) -> FloatArray | float:
    """What the inputs of an array are worth (inputs,), where a fit counts latents in steps: 1 but for `v1` and `m`."""
    kind, _, group_index = name.partition(".")
    if kind not in ("v1", "m"):
        return 1.0
    group = GROUPS[layout][int(group_index)]
    units = np.ones(group.num_inputs(config.num_grids))
    for column, grid in enumerate(range(group.first_grid, config.num_grids)):
        units[column] = unit_of(grid)
    return units


def quantise(config: PyramidConfig, layout: str, floats: Mapping[str, NDArray[np.floating]]) -> PyramidWeights:
    """The integers nearest to a fit's weights, with no gains: a fit has them in its weights.

    Where a hidden unit's weights are too large for its sums, they are halved until they fit and what reads it is
    doubled: the network stays the same but for its rounding.

    Args:
        floats: by name; columns that read latents count them in steps.

    Raises:
        ConfigError: a name or a shape is missing or too many.
        CorruptSegmentError: weights beyond what a decoder can compute with.
    """
    shapes = weight_shapes(config, layout)
    if {name: np.shape(array) for name, array in floats.items()} != shapes:
        raise ConfigError(f"weights {', '.join(floats)}: must be {', '.join(shapes)}, of the configuration's shapes")
    scaled = {}
    for name in shapes:
        units = column_units(name, config, layout)
        scaled[name] = np.asarray(floats[name], dtype=np.float64) / units * 2.0 ** BINARY_POINTS[name.split(".")[0]]
    shrink_units(scaled)
    arrays = {name: np.clip(np.rint(x), -MAX_WEIGHT, MAX_WEIGHT).astype(np.int64) for name, x in scaled.items()}
    return PyramidWeights(config, layout, arrays, (UNIT_GAIN,) * config.num_grids)


def shrink_units(arrays: dict[str, FloatArray]) -> None:
    """Halve hidden units whose sums could leave 32 bits; `arrays` are at their binary points."""
    for name in arrays:
        kind, dot, group = name.partition(".")
        if kind not in ("w1", "w2", "v1", "r1"):
            continue
        bias, reader = {"w1": ("b1", "w2"), "w2": ("b2", "w3"), "v1": ("c1", "v2"), "r1": ("d1", "r2")}[kind]
        if reader == "w2" and "w2" not in arrays:
            reader = "w3"
        bias, reader = bias + dot + group, reader + dot + group
        largest_input = MAX_CONTEXT if kind == "w1" else 32768
        rows = np.abs(arrays[name]).reshape(len(arrays[name]), -1)
        others = [other for other in ("p1", "h1") if kind == "w1" and other in arrays]
        for other in others:
            rows = np.concatenate([rows, np.abs(arrays[other])], axis=1)
        # A little below what check allows, for the bias, which is small beside it, and for rounding.
        excess = np.maximum(rows.sum(axis=1) / (0.9 * 2.0**31 / largest_input), rows.max(axis=1) / MAX_WEIGHT)
        factor = 2.0 ** -np.ceil(np.log2(np.maximum(excess, 1.0)))
        arrays[name] = arrays[name] * factor.reshape(-1, *[1] * (arrays[name].ndim - 1))
        arrays[bias] = arrays[bias] * factor
        for other in others:
            arrays[other] = arrays[other] * factor[:, None]
            added = {"p1": "pb", "h1": "hb"}[other]
            arrays[added] = arrays[added] * factor
        arrays[reader] = arrays[reader] / factor


def dequantise(weights: PyramidWeights) -> dict[str, FloatArray]:
    """The inverse of `quantise`: what the integers stand for, gains apart."""
    floats: dict[str, FloatArray] = {}
    for name, array in weights.arrays.items():
        scale = 2.0 ** -BINARY_POINTS[name.split(".")[0]]
        floats[name] = array.astype(np.float64) * scale * column_units(name, weights.config, weights.layout)
    return floats
