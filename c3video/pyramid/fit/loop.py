# SPDX-License-Identifier: MIT
"""Pictures and runs of frames, fitted: where they start, their stages (stages.py), and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from c3video.errors import CorruptSegmentError, FitError
from c3video.native.pyramid_fit import FitStep, Floats, PyramidFit
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig, latent_shapes
from c3video.pyramid.differences import Difference
from c3video.pyramid.fit.precision import ChosenWeights
from c3video.pyramid.fit.prior_choice import choose_prior
from c3video.pyramid.fit.run_plan import RunPlan
from c3video.pyramid.fit.stages import FitState, PictureFit, start_state
from c3video.pyramid.fit.start import with_prior
from c3video.pyramid.fit.windows import find_windows
from c3video.pyramid.runs import RunShape, Windows
from c3video.pyramid.synthesis import layout_key
from c3video.pyramid.weights import PyramidWeights
from c3video.video import VideoFormat


@dataclass(frozen=True)
class FittedPicture:
    """A picture ready to be coded.

    Args:
        weights, differences: for `payload.encode_picture`.
        symbols: latents of each grid (h, w).
        estimated_bits: of latents and weights.
        loss: MSE on [0, 1] + rd_weight * bpp, by the floats of the fit.
        notes: what went wrong and was mended.
    """

    weights: PyramidWeights
    differences: dict[str, Difference]
    symbols: tuple[NDArray[np.int64], ...]
    estimated_bits: float
    loss: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FittedRun:
    """A run of frames ready to be coded.

    Args:
        weights, differences: for `run_payload.encode_run`.
        shape: its latent frames.
        windows: of each grid.
        symbols: latents of each grid (h, w), of each latent frame.
        estimated_bits: of latents and weights.
        loss: MSE on [0, 1] + rd_weight * bpp, by the floats of the fit.
        notes: what went wrong and was mended.
    """

    weights: PyramidWeights
    differences: dict[str, Difference]
    shape: RunShape
    windows: Windows
    symbols: tuple[tuple[NDArray[np.int64], ...], ...]
    estimated_bits: float
    loss: float
    notes: tuple[str, ...]


def fit_picture(
    planes: Sequence[NDArray[np.generic]],
    video: VideoFormat,
    config: PyramidConfig,
    fit_config: PyramidFitConfig,
    *,
    importance: Sequence[NDArray[np.floating]] | None = None,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    num_threads: int = 1,
) -> FittedPicture:
    """Fit one picture.

    Args:
        planes: of samples, in the order of the layout.
        importance: planes of how much the squared error of each sample counts, above 0; None: all alike.
        seed: of initial weights and noise.
        report: called after each step.

    Raises:
        FitError: the loss is not finite.
    """
    layout, shape, targets = layout_key(video.layout), (video.height, video.width), _targets(planes, video)
    config = replace(config, num_previous=0)
    if fit_config.use_prior:
        config = choose_prior(config, layout, shape, targets, fit_config, seed, num_threads)
    counts = None if importance is None else np.concatenate([plane.ravel() for plane in importance]).astype(np.float32)
    plan = PyramidFit(config, layout, *shape, fit_config.chroma_weight, counts)
    state, chosen, found, notes = _fit(plan, targets, fit_config, seed, report, num_threads)
    return FittedPicture(
        chosen.weights,
        chosen.differences,
        _grids(state.latents, plan),
        *_account(plan, chosen, found, fit_config),
        tuple(notes),
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
    picture = PyramidFit(config, layout, video.height, video.width, fit_config.chroma_weight)
    windows = find_windows([planes[0] for planes in frames], config.num_grids)
    plan = RunPlan.of_all(picture, RunShape(len(frames), spans), windows)
    targets = np.concatenate([_targets(planes, video) for planes in frames])
    state, chosen, found, notes = _fit(plan, targets, fit_config, seed, report, num_threads)
    rows = state.latents.reshape(-1, picture.num_latents)
    symbols = tuple(_grids(row, picture) for row in rows)
    return FittedRun(
        chosen.weights,
        chosen.differences,
        plan.shape,
        plan.windows,
        symbols,
        *_account(plan, chosen, found, fit_config),
        tuple(notes),
    )


def _targets(planes: Sequence[NDArray[np.generic]], video: VideoFormat) -> Floats:
    samples = np.concatenate([plane.ravel() for plane in planes])
    return samples.astype(np.float32) / np.float32(video.layout.max_value)


def _grids(latents: Floats, plan: PyramidFit) -> tuple[NDArray[np.int64], ...]:
    """Rounded latents (L,) of a picture as its grids (h, w)."""
    grids, at = [], 0
    for h, w in latent_shapes(plan.config, plan.height, plan.width):
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
) -> tuple[FitState, ChosenWeights, FitStep, list[str]]:
    """All stages: the latents and weights at the end, the weights as integers, what both come to, what was mended."""
    state, anchors = start_state(plan, seed)
    notes: list[str] = []
    if isinstance(plan, RunPlan):
        first = fit_config.noise_steps
        total = 2 * first + fit_config.network_steps
        _start_run(plan, targets, state, anchors, fit_config, seed, _counted(report, 0, total), num_threads, notes)
        report = _counted(report, first, total)
    fit = PictureFit(plan, targets, state, anchors, fit_config, seed, report, num_threads, notes)
    fit.noise_stage()
    half = fit_config.network_steps // 2
    fit.network_stage(0, half)
    fit.choose_latents(fit_config.longest_choice)
    fit.network_stage(half, fit_config.network_steps)
    try:
        return state, *fit.integer_stage(), notes
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
    notes: list[str],
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
    PictureFit(plan.picture, mean, first, anchors, config, seed, report, num_threads, notes).noise_stage()
    rows[[number for number, frame in enumerate(plan.shape.latent_frames) if frame.layer == 0]] = rows[0]
