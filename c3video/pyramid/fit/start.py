# SPDX-License-Identifier: MIT
"""Weights that a fit from nothing starts with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from c3video.pyramid.config import GROUPS, PyramidConfig, weight_shapes
from c3video.pyramid.priors import CUBIC_KERNEL
from c3video.pyramid.weights import BINARY_POINTS


def start_weights(config: PyramidConfig, layout: str, seed: int) -> NDArray[np.float32]:
    """Random hidden layers, gray planes and no effect of the refinement, one array after the other.

    Returns:
        float32 (W,) in the order of `weight_shapes`.
    """
    random = np.random.default_rng(seed)
    deviations = {
        "w1": 0.5 * math.sqrt(2.0 / config.num_inputs),
        "w2": math.sqrt(2.0 / config.entropy_layers[0]),
        "w3": 0.1 / math.sqrt(config.entropy_layers[-1]),
        "v2": 0.3 / math.sqrt(config.synthesis_width),
    }
    for g, group in enumerate(GROUPS[layout]):
        # A latent's step is far below the range of samples: the first layer starts small.
        deviations[f"v1.{g}"] = math.sqrt(2.0 / group.num_inputs(config.num_grids)) / 16.0
        deviations[f"r1.{g}"] = math.sqrt(2.0 / (9.0 * group.num_planes))
    parts = []
    for name, shape in weight_shapes(config, layout).items():
        kind = name.split(".")[0]
        if kind == "u":
            array = np.tile(np.array(CUBIC_KERNEL) * 2.0 ** -BINARY_POINTS["u"], (shape[0], 1))
        elif kind == "c2":
            array = np.full(shape, 0.5)
        else:
            array = random.normal(size=shape) * deviations.get(name, deviations.get(kind, 0.0))
        parts.append(array.ravel())
    return np.concatenate(parts).astype(np.float32)
