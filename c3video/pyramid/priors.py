# SPDX-License-Identifier: MIT
"""Priors: weights that come with the package, to which those of a stream are differences.

A prior is part of the stream format: its number stands in streams, so a file that has been published never changes and
a number is never used again. Prior 0 is no file: all zero but for the upsampling
and the middle taps of filters. The file of another is

    4 bytes    "C3P5"
    bytes      layout (its number), num_grids, num_taps, number of entropy layers, their widths, synthesis_width,
               refine_width, filter_reach, num_hyper
    bytes      for each array 1 where it has a basis, else 0
    int16 ...  all arrays in the order of `weight_shapes`, little-endian
    int8 ...   likewise the step of each weight, then the spread of each
    int16 ...  the bases, likewise
    u32        crc32 of all before

How much a loss depends on a weight, and how far fits move it, differ by orders of magnitude within an array. So a prior
says both of each weight: the *step* is the exponent of what its difference is a multiple of, beside that of its array,
the *spread* likewise the index of the difference's table. Where an array has a *basis* they are those of coefficients
(differences.py).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.weights import UNIT_GAIN, PyramidWeights

IntArray = NDArray[np.int64]

CUBIC_KERNEL = (-6, 58, 222, -18)
"""Upsampling of prior 0: cubic interpolation (Catmull-Rom) a quarter of a coarse sample off, binary point 8."""

PRIORS: tuple[int, ...] = tuple(range(1, 18))
"""Numbers of the files in the folder prior_files, each since some version; add, never change or reuse."""

BASIS_BITS = 12
"""Binary point of bases."""
MAX_COEFFICIENT = 32767
MAX_BASIS_SUM = 65535
"""Of the absolute values in a column of a basis: so no sum of coefficients' shares, rounded, leaves 32 bits."""

_MAGIC = b"C3P5"
_LAYOUTS = {"gray": 1, "420": 2, "422": 3, "444": 4, "rgb": 5}


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior's widths and weights, and how differences to it are coded.

    Args:
        config: with the prior's number; the size of patches is that of the default.
        layout: a key of GROUPS.
        arrays: by name, those of `weight_shapes`.
        steps, spreads: likewise, of each weight: exponent of its differences' unit and scale index of their table, each
            against that of its array; -128..127. Of each coefficient where the array has a basis.
        bases: (k, k) of some arrays of k weights in a row: what a coefficient adds to each of them, binary point
            BASIS_BITS.
    """

    config: PyramidConfig
    layout: str
    arrays: Mapping[str, IntArray]
    steps: Mapping[str, IntArray]
    spreads: Mapping[str, IntArray]
    bases: Mapping[str, IntArray] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The file of this prior."""
        config = self.config
        widths = config.entropy_layers
        head = [_LAYOUTS[self.layout], config.num_grids, config.num_taps, len(widths), *widths]
        data = _MAGIC + bytes(
            [*head, config.synthesis_width, config.refine_width, config.filter_reach, config.num_hyper]
        )
        names = weight_shapes(config, self.layout)
        data += bytes(int(name in self.bases) for name in names)
        data += b"".join(self.arrays[name].astype("<i2").tobytes() for name in names)
        for numbers in (self.steps, self.spreads):
            data += b"".join(numbers[name].astype("i1").tobytes() for name in names)
        data += b"".join(self.bases[name].astype("<i2").tobytes() for name in names if name in self.bases)
        return data + zlib.crc32(data).to_bytes(4, "little")

    @classmethod
    def from_bytes(cls, data: bytes, number: int) -> Prior:
        """Raises ConfigError where the bytes are not those of a prior."""
        if len(data) < 16 or data[:4] != _MAGIC or zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
            raise ConfigError(f"prior {number}: its file of {len(data)} bytes is damaged")
        layouts = {value: key for key, value in _LAYOUTS.items()}
        num_layers = data[7]
        if data[4] not in layouts or not 1 <= num_layers <= 2:
            raise ConfigError(f"prior {number}: layout {data[4]} or {num_layers} entropy layers are not known")
        widths, rest = data[8 : 8 + num_layers], data[8 + num_layers :]
        config = PyramidConfig(
            num_grids=data[5],
            num_taps=data[6],
            entropy_layers=tuple(widths),
            synthesis_width=rest[0],
            refine_width=rest[1],
            filter_reach=rest[2],
            num_hyper=rest[3],
            prior=number,
        )
        config.check()
        shapes = weight_shapes(config, layouts[data[4]])
        flags, numbers = rest[4:][: len(shapes)], rest[4 + len(shapes) : -4]
        wide = {name: math.prod(shape[1:]) for name, shape in shapes.items() if len(shape) > 1}
        based = [name for name, flag in zip(shapes, flags, strict=False) if flag]
        if any(flag > 1 for flag in flags) or not wide.keys() >= set(based):
            raise ConfigError(f"prior {number}: bases {based} are not those of some of {', '.join(wide)}")
        count, basis_shapes = sum(map(math.prod, shapes.values())), {name: (wide[name], wide[name]) for name in based}
        if len(numbers) != 4 * count + 2 * sum(map(math.prod, basis_shapes.values())):
            raise ConfigError(f"prior {number}: {len(numbers)} bytes of weights do not fit its widths")
        arrays = _cut(np.frombuffer(numbers, "<i2", count), shapes)
        steps = _cut(np.frombuffer(numbers, "i1", count, 2 * count), shapes)
        spreads = _cut(np.frombuffer(numbers, "i1", count, 3 * count), shapes)
        bases = _cut(np.frombuffer(numbers, "<i2", -1, 4 * count), basis_shapes) if based else {}
        for name, basis in bases.items():
            largest = int(np.abs(basis).sum(axis=0).max())
            if largest > MAX_BASIS_SUM:
                raise ConfigError(f"prior {number}: a column of the basis of {name} sums to {largest}: at most 65535")
        PyramidWeights(config, layouts[data[4]], arrays, (UNIT_GAIN,) * config.num_grids)
        return cls(config, layouts[data[4]], arrays, steps, spreads, bases)


def _cut(values: NDArray[Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, IntArray]:
    """Arrays by name that lie one after the other."""
    bounds = np.cumsum([math.prod(shape) for shape in shapes.values()])[:-1]
    parts = np.split(values.astype(np.int64), bounds)
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def zero_prior(config: PyramidConfig, layout: str) -> Prior:
    """Prior 0, of any widths."""
    zeros = {name: np.zeros(shape, dtype=np.int64) for name, shape in weight_shapes(config, layout).items()}
    arrays = dict(zeros)
    if "u" in arrays:
        arrays["u"] = np.tile(CUBIC_KERNEL, (config.num_grids - 1, 1))
    if "f" in arrays:
        arrays["f"] = np.tile(np.eye(1, config.filter_reach + 1, dtype=np.int64) << 8, (config.num_grids, 1))
    return Prior(replace(config, prior=0), layout, arrays, zeros, zeros)


@cache
def stored_prior(number: int) -> Prior:
    """A prior of the package.

    Raises:
        ConfigError: there is none of that number, or its file is damaged.
    """
    if number not in PRIORS:
        raise ConfigError(f"prior {number}: must be 0 or one of {PRIORS}")
    return Prior.from_bytes((files("c3video.pyramid") / "prior_files" / f"{number}.i16").read_bytes(), number)


def prior_of(config: PyramidConfig, layout: str) -> Prior:
    """The prior of `config.prior`.

    Raises:
        CorruptSegmentError: there is no such prior, or it has other widths or another layout.
    """
    if config.prior == 0:
        return zero_prior(config, layout)
    if config.prior not in PRIORS:
        raise CorruptSegmentError(f"prior {config.prior}: must be 0 or one of {PRIORS}")
    prior = stored_prior(config.prior)
    if prior.layout != layout or prior.config != replace(config, patch_size=prior.config.patch_size, num_previous=0):
        raise CorruptSegmentError(f"prior {config.prior} is of layout {prior.layout} and {prior.config}, not {layout}")
    return prior if config.num_previous == 0 else _of_runs(prior, config)


def _of_runs(prior: Prior, config: PyramidConfig) -> Prior:
    """A prior of pictures for a model of runs of frames: what later frames add is zero."""
    shapes = weight_shapes(config, prior.layout)
    arrays, steps, spreads = (
        {name: known[name] if name in known else np.zeros(shape, dtype=np.int64) for name, shape in shapes.items()}
        for known in (prior.arrays, prior.steps, prior.spreads)
    )
    return replace(
        prior,
        config=replace(config, patch_size=prior.config.patch_size),
        arrays=arrays,
        steps=steps,
        spreads=spreads,
    )
