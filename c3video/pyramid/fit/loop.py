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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from c3video.errors import CorruptSegmentError, FitError
from c3video.native.pyramid_fit import Adam, FitStep, Floats, PyramidFit, add_noise
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig, grid_shapes, is_of_entropy, weight_shapes
from c3video.pyramid.differences import Difference
from c3video.pyramid.fit.bounds import hold_sums
from c3video.pyramid.fit.precision import ChosenWeights, RoundingTask, choose_integers
from c3video.pyramid.fit.run_plan import RunPlan
from c3video.pyramid.fit.sampled_picture import SampledPicture
from c3video.pyramid.fit.soap import Soap
from c3video.pyramid.fit.start import prior_weights, start_weights, with_prior
from c3video.pyramid.fit.windows import find_windows
from c3video.pyramid.priors import prior_of
from c3video.pyramid.runs import RunShape, Windows
from c3video.pyramid.synthesis import layout_key
from c3video.pyramid.weights import PyramidWeights, quantise
from c3video.video import VideoFormat

_ROUNDING_FRAMES = 4
"""Frames of a run by which integers of weights are chosen."""

_ROUNDING_TILES = 2
"""Tiles of a large picture by which those of an array are; other arrays go by other tiles."""

_TILE_RATE = 1.0 / 3.0
"""Factor of the rate of weights still free where each step sees one tile: the next sees another."""

_CHOSEN_GRIDS = 3
"""Finest grids whose latents are chosen anew: coarser ones take few bits, and a look at each of theirs much time."""

AnyFloat = TypeVar("AnyFloat", bound=np.floating[Any])

Plan = PyramidFit | RunPlan | SampledPicture


@dataclass(frozen=True)
class FittedPicture:
    """A picture ready to be coded.

    Args:
        weights, differences: for `payload.encode_picture`.
        symbols: latents of each grid (h, w), finest first.
        estimated_bits: of latents and weights.
        loss: MSE on [0, 1] + rd_weight * bpp, by the floats of the fit.
    """

    weights: PyramidWeights
    differences: dict[str, Difference]
    symbols: tuple[NDArray[np.int64], ...]
    estimated_bits: float
    loss: float


@dataclass(frozen=True)
class FittedRun:
    """A run of frames ready to be coded.

    Args:
        weights, differences: for `run_payload.encode_run`.
        shape: its latent frames.
        windows: of each grid.
        symbols: latents of each grid (h, w), finest first, of each latent frame.
        estimated_bits: of latents and weights.
        loss: MSE on [0, 1] + rd_weight * bpp, by the floats of the fit.
    """

    weights: PyramidWeights
    differences: dict[str, Difference]
    shape: RunShape
    windows: Windows
    symbols: tuple[tuple[NDArray[np.int64], ...], ...]
    estimated_bits: float
    loss: float


@dataclass
class FitState:
    """What moves: latents (L,) and weights (W,), with the weights by name as views."""

    latents: Floats
    weights: Floats
    arrays: dict[str, Floats]


def fit_picture(
    planes: Sequence[NDArray[np.generic]],
    video: VideoFormat,
    config: PyramidConfig,
    fit_config: PyramidFitConfig,
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    num_threads: int = 1,
) -> FittedPicture:
    """Fit one picture.

    Args:
        planes: of samples, in the order of the layout.
        seed: of initial weights and noise.
        report: called after each step.

    Raises:
        FitError: the loss is not finite.
    """
    layout = layout_key(video.layout)
    if fit_config.use_prior:
        config = with_prior(config, layout, fit_config.rd_weight)
    plan = PyramidFit(replace(config, num_previous=0), layout, video.height, video.width)
    state, chosen, found = _fit(plan, _targets(planes, video), fit_config, seed, report, num_threads)
    return FittedPicture(
        chosen.weights, chosen.differences, _grids(state.latents, plan), *_account(plan, chosen, found, fit_config)
    )


def fit_run(
    frames: Sequence[Sequence[NDArray[np.generic]]],
    video: VideoFormat,
    config: PyramidConfig,
    fit_config: PyramidFitConfig,
    spans: tuple[int, ...],
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    num_threads: int = 1,
) -> FittedRun:
    """Fit frames together; as `fit_picture`, but for

    Args:
        frames: planes of each.
        spans: of the layers (runs.py).
    """
    layout = layout_key(video.layout)
    if fit_config.use_prior:
        config = with_prior(config, layout, fit_config.rd_weight)
    picture = PyramidFit(config, layout, video.height, video.width)
    windows = find_windows([planes[0] for planes in frames], config.num_grids)
    plan = RunPlan.of_all(picture, RunShape(len(frames), spans), windows)
    targets = np.concatenate([_targets(planes, video) for planes in frames])
    state, chosen, found = _fit(plan, targets, fit_config, seed, report, num_threads)
    rows = state.latents.reshape(-1, picture.num_latents)
    symbols = tuple(_grids(row, picture) for row in rows)
    return FittedRun(
        chosen.weights,
        chosen.differences,
        plan.shape,
        plan.windows,
        symbols,
        *_account(plan, chosen, found, fit_config),
    )


def _targets(planes: Sequence[NDArray[np.generic]], video: VideoFormat) -> Floats:
    samples = np.concatenate([plane.ravel() for plane in planes])
    return samples.astype(np.float32) / np.float32(video.layout.max_value)


def _grids(latents: Floats, plan: PyramidFit) -> tuple[NDArray[np.int64], ...]:
    """Rounded latents (L,) of a picture as its grids (h, w)."""
    grids, at = [], 0
    for h, w in grid_shapes(plan.config.num_grids, plan.height, plan.width):
        grids.append(latents[at : at + h * w].reshape(h, w).astype(np.int64))
        at += h * w
    return tuple(grids)


def _account(
    plan: PyramidFit | RunPlan, chosen: ChosenWeights, found: FitStep, fit_config: PyramidFitConfig
) -> tuple[float, float]:
    """Bits of latents and weights, and the loss with both."""
    loss = found.loss + fit_config.rd_weight * chosen.bits / plan.num_pixels
    return float(found.bits.sum()) + chosen.bits, loss


def _fit(
    plan: PyramidFit | RunPlan,
    targets: Floats,
    fit_config: PyramidFitConfig,
    seed: int,
    report: Callable[[Progress], None],
    num_threads: int,
) -> tuple[FitState, ChosenWeights, FitStep]:
    """All stages: what the latents and weights are at the end, the weights as integers, and what both come to."""
    config, layout = plan.config, plan.layout
    weights = start_weights(config, layout, seed)
    state = FitState(np.zeros(plan.num_latents, dtype=np.float32), weights, weight_views(weights, config, layout))
    anchors = weight_views(prior_weights(prior_of(config, layout)), config, layout)
    if isinstance(plan, RunPlan):
        first = fit_config.noise_steps
        total = 2 * first + fit_config.network_steps
        _start_run(plan, targets, state, anchors, fit_config, seed, _counted(report, 0, total), num_threads)
        report = _counted(report, first, total)
    fit = PictureFit(plan, targets, state, anchors, fit_config, seed, report, num_threads)
    fit.noise_stage()
    half = fit_config.network_steps // 2
    fit.network_stage(0, half)
    fit.choose_latents(_CHOSEN_GRIDS)
    fit.network_stage(half, fit_config.network_steps)
    try:
        return state, *fit.integer_stage()
    except CorruptSegmentError as error:  # of weights that a decoder could not compute with
        raise FitError(
            f"the fit's weights do not fit into a decoder's integers ({error}); try another --seed"
        ) from error


def _counted(report: Callable[[Progress], None], before: int, total: int) -> Callable[[Progress], None]:
    """A report of steps that come after others."""
    return lambda progress: report(replace(progress, step=before + progress.step, num_steps=total))


def _start_run(
    plan: RunPlan,
    targets: Floats,
    state: FitState,
    anchors: dict[str, Floats],
    fit_config: PyramidFitConfig,
    seed: int,
    report: Callable[[Progress], None],
    num_threads: int,
) -> None:
    """Fit the first latent frame, and the weights, to the mean of the frames that it is part of.

    A step costs no more than one over one frame. All latent frames of the first layer start there: for a layer that
    spans the run that is all, and where each frame has latents of its own they start as those of the first frame.
    """
    num_frames = min(plan.shape.num_frames, 1 << plan.shape.spans[0])
    mean = targets.reshape(-1, plan.picture.num_samples)[:num_frames].mean(axis=0)
    rows = state.latents.reshape(-1, plan.picture.num_latents)
    first = FitState(rows[0], state.weights, state.arrays)
    config = replace(fit_config, rd_weight=fit_config.rd_weight / num_frames, network_steps=0)
    PictureFit(plan.picture, mean, first, anchors, config, seed, report, num_threads).noise_stage()
    rows[[number for number, frame in enumerate(plan.shape.latent_frames) if frame.layer == 0]] = rows[0]


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
    """

    plan: PyramidFit | RunPlan
    targets: Floats
    state: FitState
    anchors: dict[str, Floats]
    fit_config: PyramidFitConfig
    seed: int
    report: Callable[[Progress], None]
    num_threads: int

    @property
    def _num_steps(self) -> int:
        return self.fit_config.noise_steps + self.fit_config.network_steps

    def noise_stage(self) -> None:
        """Latents and weights together; ends with latents rounded."""
        config, state = self.fit_config, self.state
        adam = Adam(state.latents, epsilon=1e-12)
        soap = Soap(state.arrays, anchors=self.anchors, decay=config.weight_decay)
        for step in range(config.noise_steps):
            if step in config.latent_restarts:
                adam = Adam(state.latents, epsilon=1e-12)
            done = step / config.noise_steps
            falling = 0.5 * (1.0 + math.cos(math.pi * done))
            cooled = done**config.annealing
            noisy, slopes = add_noise(
                state.latents,
                _between(config.temperature, cooled),
                gaussian=_between(config.noise_deviation, cooled),
                seed=self.seed * 10_000_019 + step,
                num_threads=self.num_threads,
            )
            found = self._step(noisy, "noise", step + 1)
            adam.step(found[0], config.latent_rate * falling, slopes=slopes, num_threads=self.num_threads)
            soap.step(found[1], config.learning_rate * falling)
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
        self.choose_latents(1)  # for the weights as they are now; little is left to find
        return chosen, self.coded(wants_weights=False)

    def choose_latents(self, num_grids: int) -> None:
        """Integers of a picture's latents in the finest grids anew, alone and by rectangles, where the loss falls."""
        if not isinstance(self.plan, PyramidFit):
            return
        self.plan.choose(
            self.state.latents,
            self.state.weights,
            self.targets,
            self.fit_config.rd_weight,
            num_grids=num_grids,
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

    def _step(self, latents: Floats, stage: str, step: int) -> tuple[Floats, dict[str, Floats]]:
        found = self.plan.step(
            latents, self.state.weights, self.targets, self.fit_config.rd_weight, num_threads=self.num_threads
        )
        self._say(stage, step, found.loss, float(found.squared_errors.sum()), float(found.bits.sum()))
        return _given(found.grad_latents), weight_views(_given(found.grad_weights), self.plan.config, self.plan.layout)

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
