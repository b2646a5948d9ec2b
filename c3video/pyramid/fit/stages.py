# SPDX-License-Identifier: MIT
"""How a picture is fitted: latents and networks from noise, networks alone for the rounded latents, then integers.

    stage "noise"       latents softly rounded and noisy, and all weights; Adam and SOAP, rates falling by a half cosine
    stage "networks"    latents rounded and fixed, weights alone; SOAP; halfway the latents' integers are chosen anew
    stage "integers"    weights on grids of their own, chosen by what they cost and what they spoil (precision.py)

By a straight-through gradient, latents became worse after the first stage in each trial. A choice among integers, each
tried with all that depends on it, makes them better (eval/results/pyramid_trials.md): what noise leaves undecided are
the borders of regions of one value, which the finest grids are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from c3video.errors import FitError
from c3video.native.pyramid_fit import Adam, FitStep, Floats, PyramidFit, add_noise
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig, is_of_entropy, weight_shapes
from c3video.pyramid.fit.bounds import hold_sums
from c3video.pyramid.fit.precision import ChosenWeights, RoundingTask, choose_integers
from c3video.pyramid.fit.run_plan import RunPlan
from c3video.pyramid.fit.runaway import WayBack
from c3video.pyramid.fit.sampled_picture import SampledPicture
from c3video.pyramid.fit.soap import Soap
from c3video.pyramid.fit.start import prior_weights, start_weights
from c3video.pyramid.fit.weight_rate import WeightRate
from c3video.pyramid.priors import prior_of
from c3video.pyramid.weights import quantise

_ROUNDING_FRAMES = 4
"""Frames of a run by which integers of weights are chosen."""

_ROUNDING_TILES = 2
"""Tiles of a large picture by which those of an array are; other arrays go by other tiles."""

_TILE_RATE = 1.0 / 3.0
"""Factor of the rate of weights still free where each step sees one tile: the next sees another."""

_CHOSEN_GRIDS = 3
"""Finest grids whose latents are chosen anew: coarser ones take few bits, and a look at each of theirs much time."""

_LONGEST_STEP = 2.0
"""What a step moves a latent by at most, times the learning rate: Adam's own are far longer where a gradient grows."""

AnyFloat = TypeVar("AnyFloat", bound=np.floating[Any])

Plan = PyramidFit | RunPlan | SampledPicture


@dataclass
class FitState:
    """What moves: latents (L,) and weights (W,), with the weights by name as views."""

    latents: Floats
    weights: Floats
    arrays: dict[str, Floats]


def start_state(plan: PyramidFit | RunPlan, seed: int) -> tuple[FitState, dict[str, Floats]]:
    """Latents of zero and the weights of the prior, or random ones without it; and the prior's by name."""
    config, layout = plan.config, plan.layout
    weights = start_weights(config, layout, seed)
    state = FitState(np.zeros(plan.num_latents, dtype=np.float32), weights, weight_views(weights, config, layout))
    return state, weight_views(prior_weights(prior_of(config, layout)), config, layout)


def weight_views(flat: NDArray[AnyFloat], config: PyramidConfig, layout: str) -> dict[str, NDArray[AnyFloat]]:
    """The arrays of a flat array of weights, which they share memory with."""
    views, at = {}, 0
    for name, shape in weight_shapes(config, layout).items():
        size = math.prod(shape)
        views[name] = flat[at : at + size].reshape(shape)
        at += size
    return views


@dataclass
class PictureFit:
    """The stages of one fit.

    Args:
        targets: (S,) all planes one after the other, on [0, 1].
        state: where it starts from, and where it stands.
        anchors: weights of the prior by name.
        notes: where the fit ran away and went back.
    """

    plan: PyramidFit | RunPlan
    targets: Floats
    state: FitState
    anchors: dict[str, Floats]
    fit_config: PyramidFitConfig
    seed: int
    report: Callable[[Progress], None]
    num_threads: int
    notes: list[str] = field(default_factory=list)

    @property
    def _num_steps(self) -> int:
        return self.fit_config.noise_steps + self.fit_config.network_steps

    def noise_stage(self) -> None:
        """Latents and weights together; ends with latents rounded."""
        config, state = self.fit_config, self.state
        adam = Adam(state.latents, epsilon=1e-12, longest=_LONGEST_STEP)
        soap = Soap(state.arrays, anchors=self.anchors, decay=config.weight_decay)
        way_back = WayBack(state.latents, state.weights, soap, self.notes)
        weight_rate = WeightRate(self.plan.config, self.plan.layout)
        bit_worth = config.weight_rate * config.rd_weight / self.plan.num_pixels
        for step in range(config.noise_steps):
            if step in config.latent_restarts:
                adam = Adam(state.latents, epsilon=1e-12, longest=_LONGEST_STEP)
            done = step / config.noise_steps
            falling = 0.5 * (1.0 + math.cos(math.pi * done))
            cooled = done**config.annealing
            noisy, slopes = add_noise(
                state.latents,
                _between(config.temperature, cooled),
                gaussian=_between(config.noise_deviation, cooled),
                seed=(self.seed * 10_000_019 + step) % (1 << 64),
                num_threads=self.num_threads,
            )
            found = self._step(noisy, "noise", step + 1)
            if way_back.look(step, found.loss, adam):
                continue
            falling *= way_back.factor
            grads = weight_views(_given(found.grad_weights), self.plan.config, self.plan.layout)
            latent_rate = config.latent_rate * falling
            adam.step(_given(found.grad_latents), latent_rate, slopes=slopes, num_threads=self.num_threads)
            soap.step(weight_rate.added_to(grads, state.arrays, bit_worth), config.learning_rate * falling)
            hold_sums(state.arrays, self.plan.config, self.plan.layout)
        np.rint(state.latents, out=state.latents)

    def network_stage(self, first: int, end: int) -> None:
        """Weights for the latents that are coded, by steps `first` .. `end` of the stage; keeps the best of them."""
        config, state = self.fit_config, self.state
        soap = Soap(state.arrays, anchors=self.anchors, decay=config.weight_decay)
        best_loss, best = math.inf, state.weights.copy()
        for step in range(first, end):
            before = state.weights.copy()
            loss, grads = self._weights_step(config.noise_steps + step + 1)
            if loss < best_loss:
                best_loss, best = loss, before
            soap.step(grads, config.network_rate * (1.0 - 0.9 * (step - first) / (end - first)))
            hold_sums(state.arrays, self.plan.config, self.plan.layout)
        if first < end:
            state.weights[:] = best

    def integer_stage(self) -> tuple[ChosenWeights, FitStep]:
        """The weights in integers, and what the picture comes to with them."""
        config, state, plan = self.fit_config, self.state, self.plan
        # Hundreds of passes: some frames of a run, or tiles of a large picture in turn, say what all of it would.
        some = plan.sampled(_ROUNDING_FRAMES) if isinstance(plan, RunPlan) else plan
        tiles = SampledPicture.of(plan) if isinstance(plan, PyramidFit) else None
        turns, turn_of = count(), {name: number for number, name in enumerate(state.arrays)}

        def loss(name: str) -> float:
            seen = some if tiles is None else tiles.some(turn_of[name], _ROUNDING_TILES)
            return self.coded(seen, wants_weights=False, of=name).loss

        def gradients() -> dict[str, Floats]:
            seen = some if tiles is None else tiles.some(next(turns), 1)
            return weight_views(_given(self.coded(seen).grad_weights), plan.config, plan.layout)

        task = RoundingTask(
            quantise(plan.config, plan.layout, state.arrays),
            state.arrays,
            loss,
            gradients,
            config.rd_weight / plan.num_pixels,
            config.rounding_steps,
            config.rounding_rate if tiles is None else _TILE_RATE * config.rounding_rate,
        )
        chosen = choose_integers(task)
        self.choose_latents(longest=2)  # for the weights as they are now; little is left to find
        return chosen, self.coded(wants_weights=False)

    def choose_latents(self, longest: int) -> None:
        """Integers of a picture's latents in the finest grids anew, alone and by rectangles, where the loss falls.

        Args:
            longest: side of a rectangle.
        """
        if not isinstance(self.plan, PyramidFit):
            return
        self.plan.choose(
            self.state.latents,
            self.state.weights,
            self.targets,
            self.fit_config.rd_weight,
            num_grids=_CHOSEN_GRIDS,
            longest=longest,
            num_threads=self.num_threads,
        )

    def coded(self, plan: Plan | None = None, *, wants_weights: bool = True, of: str | None = None) -> FitStep:
        """Loss of the latents as they are, and the gradient by weights; with `plan` in place of the fit's own.

        Args:
            of: an array whose part of the loss is asked for alone: its rate or its distortion.
        """
        rate = of is None or is_of_entropy(of)
        distortion = of is None or not is_of_entropy(of)
        return (plan or self.plan).step(
            self.state.latents,
            self.state.weights,
            self.targets if distortion else None,
            self.fit_config.rd_weight if rate else None,
            wants_latents=False,
            wants_weights=wants_weights,
            num_threads=self.num_threads,
        )

    def _step(self, latents: Floats, stage: str, step: int) -> FitStep:
        found = self.plan.step(
            latents, self.state.weights, self.targets, self.fit_config.rd_weight, num_threads=self.num_threads
        )
        self._say(stage, step, found.loss, float(found.squared_errors.sum()), float(found.bits.sum()))
        return found

    def _weights_step(self, step: int) -> tuple[float, dict[str, Floats]]:
        found = self.coded()
        self._say("networks", step, found.loss, float(found.squared_errors.sum()), float(found.bits.sum()))
        return found.loss, weight_views(_given(found.grad_weights), self.plan.config, self.plan.layout)

    def _say(self, stage: str, step: int, loss: float, squared_error: float, bits: float) -> None:
        if not math.isfinite(loss):
            raise FitError(f"loss is {loss} at step {step} ({stage}); try another --seed")
        mse, bpp = squared_error / self.plan.num_samples, bits / self.plan.num_pixels
        self.report(Progress(stage, step, self._num_steps, loss, mse, bpp))


def _given(gradient: Floats | None) -> Floats:
    """A gradient that was asked for."""
    assert gradient is not None
    return gradient


def _between(ends: tuple[float, float], done: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * done
