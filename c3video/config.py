# SPDX-License-Identifier: MIT
"""What a model is (`C3Config`, travels in the stream) and how it is fitted (`C3FitConfig`, never does).

`PROFILES` names model configurations, `PRESETS` names fitting efforts; the two are chosen apart, as an encoder's
`--profile` and `--preset`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from c3video.errors import ConfigError


@dataclass(frozen=True)
class LatentGrid:
    """Shape of one latent grid relative to the cells of its patch.

    Args:
        time_exponent: the grid has ceil(T / 2^time_exponent) frames, 0..7.
        space_exponent: each is ceil(H / 2^space_exponent) x ceil(W / 2^space_exponent), 0..7.
        previous_window: whether its context sees a window of the previous latent frame.
    """

    time_exponent: int
    space_exponent: int
    previous_window: bool = False

    def shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Shape (t, h, w) for a patch of `num_frames` x `height` x `width` cells."""
        return (
            -(-num_frames // (1 << self.time_exponent)),
            -(-height // (1 << self.space_exponent)),
            -(-width // (1 << self.space_exponent)),
        )


def isotropic_grids(num_grids: int, num_with_previous: int) -> tuple[LatentGrid, ...]:
    """The paper's grids: grid k halves time, height and width k times; the finest ones see the previous frame."""
    return tuple(LatentGrid(k, k, previous_window=k < num_with_previous) for k in range(num_grids))


@dataclass(frozen=True)
class C3Config:
    """Everything a decoder must know of the model's shape. Binary points and arithmetic: docs/c3v.md.

    Args:
        grids: the latent grids, 1..16 of them.
        q_step_256: quantisation step of the latents in units of 1/256, 1..1024 (paper: 0.3, so 77).
        context_size: odd side of the causal window in the current latent frame, 3..9.
        previous_size: side of the window in the previous latent frame, 1..8.
        previous_range: odd side of the wide window in which that one is placed, previous_size..65.
        entropy_layers: widths of the hidden layers of the entropy networks, 1..3 of 4..64.
        synthesis_layers: widths of the pointwise hidden layers, 0..4 of 4..64.
        residual_layers: number of residual 3x3 convolutions at the end, 0..4.
        residual_time_size: 3 for 3x3x3 residual convolutions (paper), 1 for 3x3.
    """

    grids: tuple[LatentGrid, ...] = field(default_factory=lambda: isotropic_grids(6, 3))
    q_step_256: int = 77
    context_size: int = 7
    previous_size: int = 4
    previous_range: int = 65
    entropy_layers: tuple[int, ...] = (8, 8)
    synthesis_layers: tuple[int, ...] = (32, 32)
    residual_layers: int = 2
    residual_time_size: int = 3

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""
        _check_range("number of latent grids", len(self.grids), 1, 16)
        for grid in self.grids:
            _check_range("time_exponent", grid.time_exponent, 0, 7)
            _check_range("space_exponent", grid.space_exponent, 0, 7)
        _check_range("q_step_256", self.q_step_256, 1, 1024)
        _check_range("context_size", self.context_size, 3, 9)
        _check_range("previous_size", self.previous_size, 1, 8)
        _check_range("previous_range", self.previous_range, self.previous_size, 65)
        for name in ("context_size", "previous_range"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be odd")
        _check_range("number of entropy layers", len(self.entropy_layers), 1, 3)
        _check_range("number of synthesis layers", len(self.synthesis_layers), 0, 4)
        for width in self.entropy_layers + self.synthesis_layers:
            _check_range("layer width", width, 4, 64)
        _check_range("residual_layers", self.residual_layers, 0, 4)
        if self.residual_time_size not in (1, 3):
            raise ConfigError(f"residual_time_size = {self.residual_time_size}: must be 1 or 3")


@dataclass(frozen=True)
class HybridConfig:
    """Everything a decoder must know of the shape of the hybrid model: wavelet subbands, motion, context networks.

    Args:
        block_size: side of a motion block in luma samples: 8, 16 or 32.
        num_slices: runs of rows whose subbands are coded apart, 1..64, so that as many threads may read them.
    """

    block_size: int = 16
    num_slices: int = 1

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""
        if self.block_size not in (8, 16, 32):
            raise ConfigError(f"block_size = {self.block_size}: must be 8, 16 or 32")
        _check_range("num_slices", self.num_slices, 1, 64)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value}: must be in {low}..{high}")


@dataclass(frozen=True)
class C3FitConfig:
    """How long and how a patch is fitted. Nothing of it travels in the stream.

    Args:
        rd_weight: weight of bpp against MSE on [0, 1]; larger means smaller files.
        noise_steps: length of stage 1 (soft rounding and noise).
        rounding_steps: most steps of stage 2 (straight-through).
        weight_steps: most steps of the last stage, with the weights on their grid.
        window_search: how previous-frame windows are placed: "wide" (paper), "correlation" or "centre".
        window_steps: "wide": steps of the throw-away fit; "correlation": step of stage 1 at which to look.
        learning_rate: of stage 1, falling to zero with a half cosine.
        latent_rate: the latents' learning rate in units of the weights'; latents have further to go.
        max_gradient_norm: longer gradients are shortened to it.
        temperature_start, temperature_end: of soft rounding in stage 1, falling linearly.
        kumaraswamy_start, kumaraswamy_end: noise shape in stage 1; 1 is uniform.
        rounding_learning_rate, rounding_patience, rounding_decay: stage 2 starts with the first, and multiplies it by
            the third when as many steps as the second brought nothing.
        rounding_temperature: of the slope that stands in for rounding in stage 2.
    """

    rd_weight: float = 1e-3
    noise_steps: int = 500
    rounding_steps: int = 50
    weight_steps: int = 20
    window_search: str = "correlation"
    window_steps: int = 100
    learning_rate: float = 2e-2
    latent_rate: float = 2.0
    max_gradient_norm: float = 3e-2
    temperature_start: float = 0.3
    temperature_end: float = 0.1
    kumaraswamy_start: float = 1.75
    kumaraswamy_end: float = 1.0
    rounding_learning_rate: float = 1e-4
    rounding_patience: int = 20
    rounding_decay: float = 0.8
    rounding_temperature: float = 1e-4

    def check(self) -> None:
        """Raise ConfigError where a value makes no sense."""
        if not 0.0 < self.rd_weight < 1.0:
            raise ConfigError(f"rd_weight = {self.rd_weight}: must be above 0 and below 1 (typical: 1e-4 to 1e-2)")
        if self.window_search not in ("wide", "correlation", "centre"):
            raise ConfigError(f"window_search = {self.window_search!r}: must be 'wide', 'correlation' or 'centre'")
        for name in ("noise_steps", "rounding_steps", "weight_steps", "window_steps"):
            _check_range(name, getattr(self, name), 0, 10_000_000)


@dataclass(frozen=True)
class HybridFitConfig:
    """How much is tried to fit a segment of the hybrid model. Nothing of it travels in the stream.

    Args:
        rd_weight: weight of bpp against MSE on [0, 1]; larger means smaller files.
        choice_passes: times that each subband is gone through to choose its symbols; 0 rounds to the nearest.
        chroma_slope: worth of a bit when symbols of the planes after the first are chosen, in units of the first's:
            below 1 since the usual 6:1:1 mean of PSNRs counts their errors for more than their samples.
        importance: power of a block's weight in later frames (hybrid/fit/importance.py) that its bits
            are worth; 0: all alike.
        plans: most ways of ordering and quantising the frames that are tried.
        passes: times that all frames are coded again, with networks tuned on the symbols of the best one before.
        tuning_steps, tuning_rate: of Adam on the context networks before each pass.
    """

    rd_weight: float = 1e-3
    choice_passes: int = 3
    chroma_slope: float = 0.6
    importance: float = 0.7
    plans: int = 8
    passes: int = 1
    tuning_steps: int = 300
    tuning_rate: float = 3e-3

    def check(self) -> None:
        """Raise ConfigError where a value makes no sense."""
        if not 0.0 < self.rd_weight < 1.0:
            raise ConfigError(f"rd_weight = {self.rd_weight}: must be above 0 and below 1 (typical: 1e-4 to 1e-2)")
        for name in ("choice_passes", "plans", "passes", "tuning_steps"):
            _check_range(name, getattr(self, name), 0, 10_000_000)


PROFILES: dict[str, C3Config | HybridConfig] = {
    # C3 as published (UVG, learned-window setting): RGB, isotropic grids, 3-D residual convolutions.
    "paper": C3Config(),
    # Frames predicted from frames: motion, wavelets and context networks. What the measurements favour.
    "default": HybridConfig(),
    # C3 on cells of the source's own planes, patch by patch, without motion. Before the isotropic grids come four of
    # full spatial resolution that span 32, 16, 8 and 4 frames, for what stays still: they cut the loss of short fits by
    # 17 to 54% (docs/method.md).
    "cells": C3Config(
        grids=tuple(LatentGrid(k, 0) for k in (5, 4, 3, 2)) + isotropic_grids(6, 3),
        residual_time_size=1,
    ),
}
"""Model configurations by name; `paper` is fed with RGB."""

PRESETS: dict[str, C3FitConfig] = {
    "ultrafast": C3FitConfig(noise_steps=120, rounding_steps=10, weight_steps=10, window_steps=60),
    "fast": C3FitConfig(noise_steps=400, rounding_steps=30, weight_steps=20, window_steps=100),
    "medium": C3FitConfig(noise_steps=2_000, rounding_steps=100, weight_steps=50, window_steps=200),
    "slow": C3FitConfig(noise_steps=10_000, rounding_steps=500, weight_steps=100, window_steps=500),
    "paper": C3FitConfig(
        noise_steps=100_000,
        rounding_steps=10_000,
        weight_steps=200,
        window_search="wide",
        window_steps=1_000,
        learning_rate=1e-2,
        latent_rate=1.0,
    ),
}
"""Fitting efforts by name, in steps: about 1 : 3 : 15 : 75 : 800 in time."""


HYBRID_PRESETS: dict[str, HybridFitConfig] = {
    "ultrafast": HybridFitConfig(plans=1, passes=0),
    "fast": HybridFitConfig(plans=10, passes=1, tuning_steps=300),
    "medium": HybridFitConfig(plans=16, passes=3, tuning_steps=600),
    "slow": HybridFitConfig(plans=20, passes=6, tuning_steps=1_500),
    "paper": HybridFitConfig(plans=24, passes=12, tuning_steps=4_000),
}
"""The same efforts for the hybrid model: plans tried, passes after tuning."""


_SLICE_SAMPLES = 1 << 20
"""Luma samples of a frame that make it worth a slice."""


def fit_config(preset: str, rd_weight: float, model: C3Config | HybridConfig) -> C3FitConfig | HybridFitConfig:
    """The fitting effort of a preset at a rate, for a kind of model.

    Raises:
        ConfigError: an unknown preset or a bad rd_weight.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r}: must be one of {', '.join(PRESETS)}")
    presets: dict[str, C3FitConfig] | dict[str, HybridFitConfig]
    presets = HYBRID_PRESETS if isinstance(model, HybridConfig) else PRESETS
    config = replace(presets[preset], rd_weight=rd_weight)
    config.check()
    return config


def model_config(profile: str) -> C3Config | HybridConfig:
    """The model of a profile. Raises ConfigError for an unknown one."""
    if profile not in PROFILES:
        raise ConfigError(f"profile {profile!r}: must be one of {', '.join(PROFILES)}")
    return PROFILES[profile]


def for_frame_size(model: C3Config | HybridConfig, width: int, height: int) -> C3Config | HybridConfig:
    """The model as frames of that size, in luma samples, are best coded: large ones in several slices.

    A slice for each _SLICE_SAMPLES lets two threads read 1920x1080 and eight 3840x2160. Two slices of 1280x720 cost 0.1
    to 0.2% of the bits.
    """
    if not isinstance(model, HybridConfig):
        return model
    return replace(model, num_slices=min(max(1, round(width * height / _SLICE_SAMPLES)), 64, -(-height // 32)))


def patch_model_config(profile: str) -> C3Config:
    """The same where only a C3 model will do."""
    model = model_config(profile)
    if not isinstance(model, C3Config):
        raise ConfigError(f"profile {profile!r}: needs one of the C3 model: paper or cells")
    return model
