# SPDX-License-Identifier: MIT
"""Pyramid models of random integers, and latents for them, of any shape and as large as the bounds let them be."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from c3video.pyramid.config import PyramidConfig, latent_shapes, weight_shapes
from c3video.pyramid.payload import PictureBits, encode_picture
from c3video.pyramid.priors import CUBIC_KERNEL
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.pyramid.weights import MAX_CONTEXT, PyramidWeights
from c3video.video import LAYOUTS, Planes, VideoFormat

PIXEL_FORMATS = tuple(LAYOUTS)

_LARGEST_INPUTS = dict.fromkeys(("w1", "l", "p1", "pl", "h1", "hl"), MAX_CONTEXT)


def random_weights(config: PyramidConfig, layout: str, seed: int = 0, extreme: bool = False) -> PyramidWeights:
    """Integers of the size that fits give; `extreme`: as large as sums allow, so that everything saturates."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in weight_shapes(config, layout).items():
        kind = name.split(".")[0]
        array = np.rint(rng.laplace(scale=200, size=shape))
        if kind == "u":
            array = np.rint(rng.laplace(scale=4, size=shape)) + np.array(CUBIC_KERNEL)
        if kind == "f":
            array = np.rint(rng.laplace(scale=20, size=shape)) + 256 * np.eye(1, shape[1])
        if extreme:
            array = rng.choice([-1.0, 1.0], size=shape) * rng.choice([32767, 5000, 40], size=shape)
            if kind[0] not in "bcd" and kind not in ("pb", "p3", "hb"):
                rows = np.abs(array).reshape(len(array), -1).sum(axis=1)
                if kind == "f":
                    rows = 2 * rows - np.abs(array[:, 0])  # taps but the middle one stand for two
                # What is left is for biases of 2^15 at the sums' binary points.
                room = ((1 << 31) - (1 << 28)) / _LARGEST_INPUTS.get(kind, 32768) / rows
                if kind in _LARGEST_INPUTS:  # two or three arrays share a sum
                    room /= 1 + (config.num_previous > 0) + (config.num_hyper > 0)
                array = np.trunc(array * np.minimum(room, 1.0).reshape(-1, *[1] * (array.ndim - 1)))
        arrays[name] = array.astype(np.int64)
    gains = (64,) * config.num_grids if extreme else tuple(rng.integers(30, 130, config.num_grids).tolist())
    return PyramidWeights(config, layout, arrays, gains)


def random_symbols(
    config: PyramidConfig, height: int, width: int, seed: int = 0, scale: float = 0.7
) -> list[np.ndarray]:
    """Laplace latents, wider on coarser grids, a few of them as large as can be."""
    rng = np.random.default_rng(seed)
    symbols = []
    for k, shape in zip(config.levels, latent_shapes(config, height, width), strict=True):
        values = np.rint(rng.laplace(scale=scale * 1.5**k, size=shape)).astype(np.int64)
        values[rng.random(shape) < 0.005] = rng.choice([-32767, -9000, 600, 32767])
        symbols.append(values)
    return symbols


@dataclass(frozen=True)
class Case:
    """A model, latents, their bytes and their samples."""

    video: VideoFormat
    config: PyramidConfig
    weights: PyramidWeights
    symbols: tuple[np.ndarray, ...]
    data: bytes
    bits: PictureBits
    planes: Planes


SIZES = ((37, 50), (1, 1), (1, 77), (64, 1), (66, 257), (66, 33), (2, 3), (40, 129), (19, 23), (3, 200))
"""(height, width)."""

_PATCHED = (66, 257)


@lru_cache(maxsize=64)
def case(trial: int) -> Case:
    """A picture whose size, pixel format, widths and weights depend on `trial`."""
    height, width = SIZES[trial % len(SIZES)]
    video = VideoFormat(width, height, PIXEL_FORMATS[trial % len(PIXEL_FORMATS)])
    num_grids = (7, 8, 1, 2, 4)[trial % 5]
    config = PyramidConfig(
        num_grids=num_grids,
        num_hyper=min(num_grids, (4, 0, 1, 3)[trial % 4]),
        num_taps=(12, 4, 16, 7, 9, 11)[trial % 6],
        entropy_layers=((16, 16), (5,), (48, 4), (7, 33), (24,))[trial // 2 % 5],
        synthesis_width=(16, 5, 48, 11)[trial % 4],
        refine_width=(8, 0, 3, 32)[trial // 3 % 4],
        filter_reach=(0, 3, 1, 2)[trial // 2 % 4],
        patch_size=128 if (height, width) == _PATCHED else 512,
    )
    weights = random_weights(config, layout_key(video.layout), trial, extreme=trial % 4 == 3)
    symbols = random_symbols(config, height, width, trial, scale=(0.7, 0.05, 6.0)[trial % 3])
    data, bits = encode_picture(weights, symbols, video)
    planes = synthesise(weights, symbols, video.layout)
    return Case(video, config, weights, tuple(symbols), data, bits, planes)


NUM_CASES = 20
