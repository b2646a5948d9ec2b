# SPDX-License-Identifier: MIT
"""Where a fit starts: from a prior that was fitted for its layout and rate, or from random weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from c3video.pyramid.config import GROUPS, PyramidConfig, weight_shapes
from c3video.pyramid.priors import CUBIC_KERNEL, Prior, prior_of, stored_prior
from c3video.pyramid.weights import BINARY_POINTS, UNIT_GAIN, PyramidWeights, dequantise

PRIOR_RATES: dict[int, float] = {
    1: 4e-4,
    2: 1e-3,
    9: 4e-3,
    3: 4e-3,
    7: 1e-3,
    8: 1e-3,
    10: 1.2e-2,
    4: 4e-4,
    5: 1e-3,
    6: 4e-3,
    11: 1.2e-2,
    12: 1e-3,
    13: 1e-3,
    14: 1e-3,
    15: 4e-3,
    16: 4e-3,
    17: 4e-3,
}
"""rd_weight that each prior of the package was fitted for; of one rate the first is best where nothing is known.

8 to 11 come from pictures of twice the size (pipelines/adapt_pyramid_priors.py)."""

CANDIDATE_RATES = (1.0 / 1.5, 7.0)
"""Of priors that may serve, against a fit's own: which one is best differs, but lower ones are not."""

LIKELY_RATE = 2.0
"""Of the best one, likewise."""


def fitting_priors(config: PyramidConfig, layout: str) -> list[int]:
    """Numbers of the priors of a layout that have a model's widths."""
    return [
        number
        for number in PRIOR_RATES
        if stored_prior(number).layout == layout
        and stored_prior(number).config
        == replace(config, prior=number, patch_size=PyramidConfig.patch_size, num_previous=0)
    ]


def candidate_priors(config: PyramidConfig, layout: str, rd_weight: float) -> list[int]:
    """Those of them that may serve at a rate, the likeliest first: that of `with_prior`, where there is any."""
    least, most = CANDIDATE_RATES
    nearest = with_prior(config, layout, rd_weight).prior
    ratios = {number: PRIOR_RATES[number] / rd_weight for number in fitting_priors(config, layout)}
    found = [number for number, ratio in ratios.items() if number == nearest or least <= ratio <= most]
    return sorted(found, key=lambda number: (number != nearest, abs(math.log(ratios[number] / LIKELY_RATE))))


def with_prior(config: PyramidConfig, layout: str, rd_weight: float) -> PyramidConfig:
    """The configuration with the prior that was fitted nearest to a rate, where one has its widths and its layout."""
    distances = {number: abs(math.log(PRIOR_RATES[number] / rd_weight)) for number in fitting_priors(config, layout)}
    return replace(config, prior=min(distances, key=distances.__getitem__)) if distances else config


def prior_weights(prior: Prior) -> NDArray[np.float32]:
    """A prior's weights (W,), one array after the other."""
    weights = PyramidWeights(prior.config, prior.layout, prior.arrays, (UNIT_GAIN,) * prior.config.num_grids)
    return np.concatenate([array.ravel() for array in dequantise(weights).values()]).astype(np.float32)


def start_weights(config: PyramidConfig, layout: str, seed: int) -> NDArray[np.float32]:
    """Those of the configuration's prior; for prior 0 random hidden layers, gray planes, a refinement without effect.

    Returns:
        float32 (W,) in the order of `weight_shapes`, one array after the other.
    """
    if config.prior:
        return prior_weights(prior_of(config, layout))
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
        elif kind == "f":
            array = np.zeros(shape)
            array[:, 0] = 1.0
        elif kind == "c2":
            array = np.full(shape, 0.5)
        else:
            array = random.normal(size=shape) * deviations.get(name, deviations.get(kind, 0.0))
        parts.append(array.ravel())
    return np.concatenate(parts).astype(np.float32)
