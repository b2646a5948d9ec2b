# SPDX-License-Identifier: MIT
"""The variants of an ablation: one change each to how a patch is fitted, or to what is fitted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.loop import fit_patch
from eval.ablation_networks import GeluNetwork, fixed_precision

BASE = "base"

_NO_SOFT_ROUNDING = 10.0
"""A temperature at which soft rounding moves no latent by more than a five-thousandth of a step."""


@dataclass(frozen=True)
class Variant:
    """One change to a fit.

    Args:
        says: what is changed, for the table.
        model, fit: the changed configurations; one that comes out as it went in has nothing to say for a profile.
        options: of `fit_patch`.
        no_stream: why no stream can hold the result; "" where one can.
        seed_offset: another seed, to learn what a difference is worth.
    """

    name: str
    says: str
    model: Callable[[C3Config], C3Config] = lambda config: config
    fit: Callable[[C3FitConfig], C3FitConfig] = lambda config: config
    options: Mapping[str, Any] = field(default_factory=dict)
    no_stream: str = ""
    seed_offset: int = 0

    def changes(self, model: C3Config, fit: C3FitConfig) -> bool:
        """Whether it differs from a fit with these configurations."""
        is_other = self.model(model) != model or self.fit(fit) != fit
        return bool(is_other or self.options or self.seed_offset) or self.name == BASE

    def can_run(self) -> bool:
        """Whether `fit_patch` takes its options."""
        return set(self.options) <= set(inspect.signature(fit_patch).parameters)


def _fit(**changes: Any) -> Callable[[C3FitConfig], C3FitConfig]:
    return lambda config: replace(config, **changes)


def _model(**changes: Any) -> Callable[[C3Config], C3Config]:
    return lambda config: replace(config, **changes)


def _without_windows(config: C3Config) -> C3Config:
    return replace(config, grids=tuple(replace(grid, previous_window=False) for grid in config.grids))


def _isotropic(config: C3Config) -> C3Config:
    return replace(config, grids=tuple(g for g in config.grids if g.time_exponent == g.space_exponent))


def _shared(config: C3Config) -> C3Config:
    grids = tuple(replace(grid, previous_window=True) for grid in config.grids)
    return replace(config, grids=grids, shared_entropy=True)


def _one_stage(config: C3FitConfig) -> C3FitConfig:
    steps = config.noise_steps + config.rounding_steps + config.weight_steps
    return replace(config, noise_steps=steps, rounding_steps=0, weight_steps=0)


def _no_weight_stage(config: C3FitConfig) -> C3FitConfig:
    return replace(config, rounding_steps=config.rounding_steps + config.weight_steps, weight_steps=0)


VARIANTS: tuple[Variant, ...] = (
    Variant(BASE, "all ingredients"),
    Variant("other-seed", "the same with another seed: what chance does", seed_offset=1000),
    Variant(
        "no-soft-rounding",
        "stage 1 without soft rounding, its noise kept",
        fit=_fit(temperature_start=_NO_SOFT_ROUNDING, temperature_end=_NO_SOFT_ROUNDING),
    ),
    Variant("uniform-noise", "uniform noise, not Kumaraswamy's", fit=_fit(kumaraswamy_start=1.0, kumaraswamy_end=1.0)),
    Variant(
        "plain-noise",
        "uniform noise and no soft rounding",
        fit=_fit(
            temperature_start=_NO_SOFT_ROUNDING,
            temperature_end=_NO_SOFT_ROUNDING,
            kumaraswamy_start=1.0,
            kumaraswamy_end=1.0,
        ),
    ),
    Variant("one-stage", "no straight-through stages; stage 1 gets their steps", fit=_one_stage),
    Variant("no-weight-stage", "no steps with the weights on their grid; stage 2 gets them", fit=_no_weight_stage),
    Variant("fixed-precision", "weights at 9 bits, not searched", options={"search": fixed_precision}),
    Variant("no-window", "no context from the previous latent frame", model=_without_windows),
    Variant("centre-window", "windows of the previous frame stay in the centre", fit=_fit(window_search="centre")),
    Variant("wide-window", "windows learned by a wide fit, as the paper", fit=_fit(window_search="wide")),
    Variant("correlation-window", "windows from correlations of latents", fit=_fit(window_search="correlation")),
    Variant(
        "shared-entropy",
        "one entropy network for all grids, which all have a window then",
        model=_shared,
    ),
    Variant(
        "gelu",
        "GELU for the exact activation",
        options={"network_type": GeluNetwork},
        no_stream="streams have no such network",
    ),
    Variant("residual-3d", "residual convolutions over three frames", model=_model(residual_time_size=3)),
    Variant("residual-2d", "residual convolutions within a frame", model=_model(residual_time_size=1)),
    Variant("no-residual", "no residual convolutions", model=_model(residual_layers=0)),
    Variant("isotropic-grids", "only grids that are coarser alike in time and space", model=_isotropic),
    Variant("q-step-0.2", "latent step 0.2", model=_model(q_step_256=51)),
    Variant("q-step-0.3", "latent step 0.3", model=_model(q_step_256=77)),
    Variant("q-step-0.4", "latent step 0.4", model=_model(q_step_256=102)),
)
