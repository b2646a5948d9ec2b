# SPDX-License-Identifier: MIT
"""Which prior a picture is fitted from: where several may serve, what a short fit of a part of it comes to with each.

Soft pictures want other priors than sharp ones, and most pictures that of a higher rd_weight than their own; by how
much shows in no figure of the picture that is known, and not in the first hundred steps of a fit either
(eval/results/pyramid_trials.md).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from c3video.native.pyramid_fit import Floats, PyramidFit
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.sampled_picture import SampledPicture
from c3video.pyramid.fit.stages import PictureFit, start_state
from c3video.pyramid.fit.start import candidate_priors, with_prior

TRIAL_STEPS = 300
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
    whole = PyramidFit(replace(config, num_previous=0), layout, *shape, fit_config.chroma_weight)
    tiles = SampledPicture.of(whole)
    if tiles is None:
        return nearest
    trials = _LARGEST_SHARE * fit_config.noise_steps * whole.num_pixels / (TRIAL_STEPS * tiles.tile.num_pixels)
    numbers = candidate_priors(config, layout, fit_config.rd_weight)[: int(trials)]
    if len(numbers) < 2:
        return nearest
    part = _middling(tiles, targets)

    def trial_loss(number: int) -> float:
        of_prior = replace(tiles.tile.config, prior=number)
        plan = PyramidFit(of_prior, layout, tiles.tile.height, tiles.tile.width, fit_config.chroma_weight)
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


def _middling(tiles: SampledPicture, targets: Floats) -> Floats:
    """The tile whose detail is nearest to the mean: those with much of it have most of the bits."""
    parts = [tiles.cut(targets, corner) for corner in tiles.corners]
    side = tiles.tile.width
    first = [part[: side * side].reshape(side, side) for part in parts]
    detail = np.array(
        [np.abs(np.diff(plane, axis=0)).mean() + np.abs(np.diff(plane, axis=1)).mean() for plane in first]
    )
    return parts[int(np.abs(detail - detail.mean()).argmin())]
