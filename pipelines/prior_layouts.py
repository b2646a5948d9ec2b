# SPDX-License-Identifier: MIT
"""A prior of one layout -> the same network for another: where the priors of gray, 4:2:2 and 4:4:4 start from.

420 --> gray   what makes chroma is left out
420 --> 422    chroma reads the finest grid too, as yet for nothing
rgb --> 444    all that makes or reads samples of G, B, R makes and reads those of Y, U, V
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from c3video.errors import ConfigError
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import prior_weights
from c3video.pyramid.priors import Prior
from pipelines.fit_pyramid_priors import to_prior

SOURCES = {"gray": "420", "422": "420", "444": "rgb"}
"""Layout of the prior that one of a layout is made from."""

YUV_OF_GBR = (
    np.array([[128.553, 24.966, 65.481], [-74.203, 112.0, -37.797], [-93.786, -18.214, 112.0]]) / 255.0,
    np.array([16.0, 128.0, 128.0]) / 255.0,
)
"""Matrix (3, 3) and offset (3,) from G, B, R on [0, 1] to Y, U, V of BT.601 and limited range, on [0, 1]."""


def relaid(prior: Prior, layout: str) -> Prior:
    """The prior for another layout, with all steps and spreads alike.

    Raises ConfigError where it is not of the layout that `SOURCES` has for it.
    """
    if SOURCES.get(layout) != prior.layout:
        raise ConfigError(f"layout {layout!r}: a prior of it cannot be made from one of {prior.layout!r}")
    arrays = dict(weight_views(prior_weights(prior).astype(np.float64), prior.config, prior.layout))
    if layout == "gray":
        arrays = {name: array for name, array in arrays.items() if not name.endswith(".1")}
    elif layout == "422":
        for name in ("v1.1", "m.1"):
            arrays[name] = np.pad(arrays[name], ((0, 0), (1, 0)))
    else:
        matrix, offset = YUV_OF_GBR
        for name in ("v2.0", "m.0", "c2.0", "r2.0", "d2.0"):
            if name in arrays:
                arrays[name] = matrix @ arrays[name]
        arrays["c2.0"] += offset
        if "r1.0" in arrays:
            # The refinement reads samples less a half, and middle gray is not quite a half of the limited range.
            arrays["r1.0"] = np.einsum("hpyx,pq->hqyx", arrays["r1.0"], np.linalg.inv(matrix))
            arrays["d1.0"] -= arrays["r1.0"].sum(axis=(2, 3)) @ (matrix.sum(axis=1) / 2.0 + offset - 0.5)
    weights = np.concatenate([array.ravel() for array in arrays.values()])
    return to_prior(weights, replace(prior.config, prior=0), layout)
