# SPDX-License-Identifier: MIT
"""Which prior a picture is fitted from: where several may serve, what a short fit of parts of it comes to with each.

Soft pictures want other priors than sharp ones, and most pictures that of a higher rd_weight than their own; by how
much shows in no figure of the picture that is known, and not in the first hundred steps of a fit either
(eval/results/pyramid_trials.md).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from c3video.native.pyramid_fit import Floats, PyramidFit
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.sampled_picture import TILE_SIDE, cut_planes, has_tiles
from c3video.pyramid.fit.stages import PictureFit, start_state
from c3video.pyramid.fit.start import candidate_priors, with_prior

TRIAL_STEPS = 300
_PIECES = 4
"""Of a picture along each side that a trial sees."""

_LARGEST_SHARE = 0.125
"""Of a fit's own steps over its own pixels, what trials may take: so many of the candidates are tried."""


def choose_prior(
    config: PyramidConfig,
    layout: str,
    shape: tuple[int, int],
    targets: Floats,
    fit_config: PyramidFitConfig,
    seed: int,
    num_threads: int,
) -> PyramidConfig:
    """The configuration with a prior.

    Args:
        shape: (H, W) in luma samples.
        targets: (S,) all planes one after the other, on [0, 1].

    Raises:
        FitError: the loss of a trial is not finite.
    """
    nearest = with_prior(config, layout, fit_config.rd_weight)
    if not has_tiles(*shape):
        return nearest
    trials = _LARGEST_SHARE * fit_config.noise_steps * math.prod(shape) / (TRIAL_STEPS * TILE_SIDE * TILE_SIDE)
    numbers = candidate_priors(config, layout, fit_config.rd_weight)[: int(trials)]
    if len(numbers) < 2:
        return nearest
    part = _mosaic(targets, layout, shape)

    def trial_loss(number: int) -> float:
        of_prior = replace(config, num_previous=0, prior=number)
        plan = PyramidFit(of_prior, layout, TILE_SIDE, TILE_SIDE, fit_config.chroma_weight)
        fit = PictureFit(
            plan,
            part,
            *start_state(plan, seed),
            replace(fit_config, noise_steps=TRIAL_STEPS, network_steps=0),
            seed,
            lambda progress: None,
            num_threads,
        )
        fit.noise_stage()
        return fit.coded(wants_weights=False).loss

    return replace(config, prior=min(numbers, key=trial_loss))


def _mosaic(targets: Floats, layout: str, shape: tuple[int, int]) -> Floats:
    """Pieces from all over the picture, as many as make a tile, in their order of place: samples of all planes.

    One tile of the picture says less of all of it than these, for all the edges between them.
    """
    side = TILE_SIDE // _PIECES
    # On even places, so that halved planes have the same pieces.
    tops, lefts = ([(length - side) * i // (_PIECES - 1) // 2 * 2 for i in range(_PIECES)] for length in shape)
    rows = [[cut_planes(targets, layout, shape, (top, left), side) for left in lefts] for top in tops]
    planes = range(len(rows[0][0]))
    return np.concatenate([np.block([[piece[c] for piece in row] for row in rows]).ravel() for c in planes])
