# SPDX-License-Identifier: MIT
"""What a C3 model is (`C3Config`, in the stream) and how it is fitted (`C3FitConfig`, not in it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from c3video.errors import ConfigError
from c3video.limits import check_range, check_rd_weight, check_segment_size
from c3video.stream.fields import U8, U16, Field, Structure

if TYPE_CHECKING:
    from c3video.video import VideoFormat

MAX_PATCH_CELLS = 1 << 26
"""Cells of a patch x segment_frames; leaves room for 32 whole frames of 1920 x 1080 in 4:4:4."""


def _of_grids(name: str) -> Callable[[C3Config], tuple[int, ...]]:
    return lambda config: tuple(int(getattr(grid, name)) for grid in config.grids)


_TIMES, _SPACES, _WINDOWS = map(_of_grids, ("time_exponent", "space_exponent", "previous_window"))

C3_MODEL = Structure(
    "C3 model",
    (
        Field("num_grids", U8, 1, 16, "latent grids"),
        Field(
            "grid_time_exponents",
            U8,
            0,
            7,
            "a grid has ceil(T / 2^this) frames",
            "num_grids",
            get=_TIMES,
        ),
        Field(
            "grid_space_exponents",
            U8,
            0,
            7,
            "of ceil(H / 2^this) x ceil(W / 2^this)",
            "num_grids",
            get=_SPACES,
        ),
        Field(
            "grid_previous_windows",
            U8,
            0,
            1,
            "1: sees the previous latent frame",
            "num_grids",
            get=_WINDOWS,
        ),
        Field("q_step_256", U16, 1, 1024, "quantisation step of the latents in units of 1/256"),
        Field("context_size", U8, 3, 9, "odd side of the causal window"),
        Field("previous_size", U8, 1, 9, "side of the window in the previous latent frame"),
        Field("previous_range", U8, 1, 65, "odd side of the wide window that it lies in; >= previous_size"),
        Field("num_entropy_layers", U8, 1, 3, "hidden layers of the entropy networks"),
        Field("entropy_layers", U8, 2, 64, "their widths", "num_entropy_layers"),
        Field("shared_entropy", U8, 0, 1, "1: one entropy network serves all grids", since=11),
        Field("num_synthesis_layers", U8, 0, 4, "pointwise hidden layers of the synthesis"),
        Field("synthesis_layers", U8, 4, 64, "their widths", "num_synthesis_layers"),
        Field("residual_layers", U8, 0, 4, "residual convolutions at the end of the synthesis"),
        Field("residual_time_size", U8, 1, 3, "3: they are 3x3x3, 1: 3x3"),
    ),
)


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
        previous_size: side of the window in the previous latent frame, 1..9.
        previous_range: odd side of the wide window in which that one is placed, previous_size..65.
        entropy_layers: widths of the hidden layers of the entropy networks, 1..3 of 2..64.
        shared_entropy: one entropy network for all grids, which then all have a window or all have none.
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
    shared_entropy: bool = False
    synthesis_layers: tuple[int, ...] = (32, 32)
    residual_layers: int = 2
    residual_time_size: int = 3

    KIND: ClassVar[int] = 1
    SEGMENT_FRAMES: ClassVar[int] = 32
    LONGEST_SEGMENT_FRAMES: ClassVar[int] = 32
    HAS_PATCHES: ClassVar[bool] = True
    FIELDS: ClassVar[Structure] = C3_MODEL

    @property
    def windows_move(self) -> bool:
        """Whether a previous-frame window has more than one place to be in, so that patches say where it is."""
        return self.previous_range > self.previous_size

    def entropy_network(self, grid: int) -> int:
        """The first grid that has the entropy network of this one."""
        return 0 if self.shared_entropy else grid

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""
        check_range("number of latent grids", len(self.grids), 1, 16)
        for grid in self.grids:
            check_range("time_exponent", grid.time_exponent, 0, 7)
            check_range("space_exponent", grid.space_exponent, 0, 7)
        check_range("q_step_256", self.q_step_256, 1, 1024)
        check_range("context_size", self.context_size, 3, 9)
        check_range("previous_size", self.previous_size, 1, 9)
        check_range("previous_range", self.previous_range, self.previous_size, 65)
        for name in ("context_size", "previous_range"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be odd")
        check_range("number of entropy layers", len(self.entropy_layers), 1, 3)
        check_range("number of synthesis layers", len(self.synthesis_layers), 0, 4)
        for width in self.entropy_layers:
            check_range("width of an entropy layer", width, 2, 64)
        for width in self.synthesis_layers:
            check_range("width of a synthesis layer", width, 4, 64)
        if self.shared_entropy and len({grid.previous_window for grid in self.grids}) > 1:
            raise ConfigError("a shared entropy network: all grids must have a previous-frame window, or none")
        check_range("residual_layers", self.residual_layers, 0, 4)
        if self.residual_time_size not in (1, 3):
            raise ConfigError(f"residual_time_size = {self.residual_time_size}: must be 1 or 3")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> C3Config:
        """The model of a header, from the values of C3_MODEL."""
        grids = zip(
            values["grid_time_exponents"], values["grid_space_exponents"], values["grid_previous_windows"], strict=True
        )
        return cls(
            grids=tuple(LatentGrid(time, space, bool(previous)) for time, space, previous in grids),
            **{name: values[name] for name in _PLAIN_FIELDS} | {"shared_entropy": bool(values["shared_entropy"])},
        )

    def check_segment(self, video: VideoFormat, segment_frames: int, patch_rows: int, patch_columns: int) -> None:
        """Raise ConfigError for patches that a stream may not carry, which bounds the memory that a decoder needs."""
        height, width = video.cell_shape
        if patch_rows > height or patch_columns > width:
            raise ConfigError(f"{patch_rows} x {patch_columns} patches: at most {height} x {width}, one a cell")
        cells = -(-height // patch_rows) * -(-width // patch_columns) * segment_frames
        check_segment_size(
            "cells of a patch", cells, MAX_PATCH_CELLS, segment_frames, "smaller patches or fewer frames a segment"
        )

    def for_video(self, video: VideoFormat) -> C3Config:
        """The model as clips of that format are best coded: as it is."""
        return self


PAPER_MODELS: dict[str, C3Config] = {
    "paper": C3Config(),
    "paper-per-grid": C3Config(
        isotropic_grids(5, 5), context_size=9, previous_size=9, previous_range=9, entropy_layers=(2, 2)
    ),
    "paper-shared": C3Config(
        isotropic_grids(6, 6),
        context_size=9,
        previous_size=9,
        previous_range=9,
        entropy_layers=(16, 16),
        shared_entropy=True,
    ),
}
"""The three settings of the published sweep over UVG, best of which for each patch is the paper's *adaptive* C3.

Source: google-deepmind/c3_neural_compression, `configs/uvg.py`: learned masks and networks per grid; networks per grid
with whole 9x9 contexts in both frames; the same contexts with one network, "no conditioning".
"""

_PLAIN_FIELDS = tuple(field.name for field in C3_MODEL.fields if not field.name.startswith(("num_", "grid_")))


WINDOW_SEARCHES = ("wide", "correlation", "centre")
"""Ways to place previous-frame windows: by a fit with wide ones (paper), by correlation of latents, not at all."""


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
    learning_rate: float = 1e-2
    latent_rate: float = 1.0
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
        check_rd_weight(self.rd_weight)
        if self.window_search not in WINDOW_SEARCHES:
            raise ConfigError(f"window_search = {self.window_search!r}: must be one of {', '.join(WINDOW_SEARCHES)}")
        for name in ("noise_steps", "rounding_steps", "weight_steps", "window_steps"):
            check_range(name, getattr(self, name), 0, 10_000_000)


C3_PRESETS: dict[str, C3FitConfig] = {
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
    ),
}
"""Efforts by name, in steps: about 1 : 3 : 15 : 75 : 800 in time. `paper` is the published schedule.

All have the paper's rates. Twice and four times as large ones fit patches of 88x72 a little sooner, but leave those of
the paper's sizes unfitted, and kept up for thousands of steps they let the latents wander, so that their bits grow,
until the fit runs away (eval/results/paper_convergence.md).
"""
