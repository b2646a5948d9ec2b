# SPDX-License-Identifier: MIT
"""The models there are, by the number that a header carries, and by the names that a user chooses.

A profile says what the model is, a preset how long it is fitted; the two are chosen apart, as `--profile` and
`--preset`. What each effort adds stands beside the presets of each model (c3/config.py, hybrid/config.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from c3video.c3.config import C3_PRESETS, PAPER_MODELS, C3Config, C3FitConfig
from c3video.errors import ConfigError
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig, HybridFitConfig
from c3video.pyramid.config import PYRAMID_PRESETS, PyramidConfig, PyramidFitConfig

if TYPE_CHECKING:
    from c3video.stream.fields import Structure
    from c3video.video import VideoFormat


class ModelConfig(Protocol):
    """Everything a decoder must know of a model's shape; travels in the header."""

    KIND: ClassVar[int]
    """Its number in a header; never reused."""
    SEGMENT_FRAMES: ClassVar[int]
    """Frames a segment, unless a user says otherwise."""
    LONGEST_SEGMENT_FRAMES: ClassVar[int]
    """Most of them, where few are left of a scene."""
    HAS_PATCHES: ClassVar[bool]
    """Whether frames are cut in patches; else whole frames are coded."""
    FIELDS: ClassVar[Structure]
    """Its fields behind those that all models share."""

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> ModelConfig:
        """The model of a header, from the values of FIELDS."""

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""

    def check_segment(self, video: VideoFormat, segment_frames: int, patch_rows: int, patch_columns: int) -> None:
        """Raise ConfigError for what a stream may not carry, which bounds the memory that a decoder needs."""

    def for_video(self, video: VideoFormat) -> ModelConfig:
        """The model as clips of that format are best coded."""


FitConfig = C3FitConfig | HybridFitConfig | PyramidFitConfig
"""How a model is fitted; never travels in the stream."""

MODEL_CONFIGS: dict[int, type[C3Config] | type[HybridConfig] | type[PyramidConfig]] = {
    config.KIND: config for config in (C3Config, HybridConfig, PyramidConfig)
}
"""By the number in a header."""


@dataclass(frozen=True)
class Profile:
    """A model that users choose by name.

    Args:
        presets: efforts of fitting it by name, quickest first.
        as_rgb: whether it codes RGB whatever the source, as the published experiments do.
        about: for `c3v encode --help`.
    """

    model: C3Config | HybridConfig | PyramidConfig
    presets: Mapping[str, C3FitConfig] | Mapping[str, HybridFitConfig] | Mapping[str, PyramidFitConfig]
    about: str
    as_rgb: bool = False


PROFILES: dict[str, Profile] = {
    "default": Profile(HybridConfig(), HYBRID_PRESETS, "predicts frames from frames: what the measurements favour"),
    "pyramid": Profile(
        PyramidConfig(num_previous=9),
        PYRAMID_PRESETS,
        "C3 of today: one entropy network that looks across grids and frames, without motion",
    ),
    **{
        name: Profile(PAPER_MODELS[name], C3_PRESETS, about, as_rgb=True)
        for name, about in {
            "paper": "C3 as published (UVG, learned window), on RGB",
            "paper-per-grid": "its setting with whole contexts and a small entropy network per grid",
            "paper-shared": "its setting with whole contexts and one entropy network",
        }.items()
    },
}

PRESETS = tuple(dict.fromkeys(name for profile in PROFILES.values() for name in profile.presets))
"""All names of efforts; which of them a profile has, it says."""

PROFILE_NUMBERS = {"default": 1, "paper": 3, "pyramid": 4, "paper-per-grid": 5, "paper-shared": 6}
PRESET_NUMBERS = {"ultrafast": 1, "fast": 2, "medium": 3, "slow": 4, "placebo": 5, "paper": 6}
"""On the wire since version 6: add, never change or reuse. 0 stands for what is not said; profile 2 is gone."""


@dataclass(frozen=True)
class EncoderSettings:
    """What an encoder was told, for who looks at its stream later; decoding needs none of it.

    Args:
        profile, preset: their numbers; 0 where the encoder was given a model and a fit of no name.
        rd_weight: in billionths; 0 where it is not known.
    """

    profile: int = 0
    preset: int = 0
    rd_weight: int = 0

    @classmethod
    def of(cls, profile: str, preset: str, rd_weight: float) -> EncoderSettings:
        """Of names that `fit_config` has taken, 0 for those without a number, and a weight above 0 and below 1."""
        return cls(PROFILE_NUMBERS.get(profile, 0), PRESET_NUMBERS.get(preset, 0), max(1, round(rd_weight * 1e9)))

    def describe(self) -> dict[str, str | float | None]:
        """The same in words, None for what is not said; a number stands for a name of a later time."""
        return {
            "profile": _name_of(self.profile, PROFILE_NUMBERS),
            "preset": _name_of(self.preset, PRESET_NUMBERS),
            "rd_weight": self.rd_weight / 1e9 if self.rd_weight else None,
        }


NOTHING_SAID = EncoderSettings()


def _name_of(number: int, numbers: Mapping[str, int]) -> str | None:
    known = {value: name for name, value in numbers.items()}
    return known.get(number, f"number {number}") if number else None


def profile(name: str) -> Profile:
    """The profile of that name. Raises ConfigError for an unknown one."""
    if name not in PROFILES:
        raise ConfigError(f"profile {name!r}: must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def model_config(profile_name: str) -> C3Config | HybridConfig | PyramidConfig:
    """The model of a profile. Raises ConfigError for an unknown one."""
    return profile(profile_name).model


def fit_config(
    profile_name: str, preset: str, rd_weight: float, window_search: str | None = None, low_delay: bool = False
) -> FitConfig:
    """The fitting effort of a profile's preset at a rate.

    Args:
        window_search: how the C3 model's windows are placed (c3/config.py), whatever the preset; None: as it says.
        low_delay: whether the hybrid model codes frames in the order in which they are shown.

    Raises:
        ConfigError: an unknown profile or preset, a bad rd_weight, a way to place windows where there are none, or an
            order of frames where each is coded alone.
    """
    presets = profile(profile_name).presets
    if preset not in presets:
        raise ConfigError(f"preset {preset!r}: profile {profile_name} has {', '.join(presets)}")
    config = replace(presets[preset], rd_weight=rd_weight)
    if window_search is not None:
        model = model_config(profile_name)
        if not isinstance(config, C3FitConfig) or not (isinstance(model, C3Config) and model.windows_move):
            raise ConfigError(f"profile {profile_name!r}: has no windows to place; paper has")
        config = replace(config, window_search=window_search)
    if low_delay:
        if not isinstance(config, HybridFitConfig):
            raise ConfigError(f"profile {profile_name!r}: has no order of frames to choose (low delay); default has")
        config = replace(config, low_delay=True)
    config.check()
    return config


def c3_config(profile_name: str) -> C3Config:
    """The same where only a C3 model will do."""
    model = model_config(profile_name)
    if not isinstance(model, C3Config):
        raise ConfigError(f"profile {profile_name!r}: needs one of the C3 model: paper")
    return model
