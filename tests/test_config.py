# SPDX-License-Identifier: MIT
"""What a profile becomes for frames of a size."""

import math
from itertools import pairwise
from typing import Any

import pytest

from c3video.c3.config import C3_PRESETS, WINDOW_SEARCHES, C3Config, C3FitConfig, isotropic_grids
from c3video.config import fit_config, model_config
from c3video.errors import ConfigError
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.pyramid.config import PyramidConfig
from c3video.stream.layout import Header
from c3video.video import VideoFormat


@pytest.mark.parametrize(
    ("width", "height", "num_slices"),
    [(1, 1, 1), (352, 288, 1), (1280, 720, 1), (1920, 1080, 2), (3840, 2160, 8), (7680, 4320, 32), (16384, 40, 1)],
)
def test_large_frames_get_slices(width: int, height: int, num_slices: int) -> None:
    model = HybridConfig().for_video(VideoFormat(width, height, "yuv420p"))
    assert model == HybridConfig(num_slices=num_slices, key=PyramidConfig().for_video(VideoFormat(8, 8, "yuv420p")))
    Header(VideoFormat(width, height, "yuv420p"), model, 1, 1, 1).check()


@pytest.mark.parametrize(
    ("pix_fmt", "width"), [("yuv420p10le", 16), ("gbrp", 32), ("yuv422p", 16), ("yuv444p", 32), ("gray", 16)]
)
def test_three_full_planes_get_wider_networks_and_all_formats_hyper_grids(pix_fmt: str, width: int) -> None:
    video = VideoFormat(8, 8, pix_fmt)
    for model in (model_config("pyramid").for_video(video), PyramidConfig().for_video(video)):
        assert isinstance(model, PyramidConfig)
        assert (model.synthesis_width, model.num_hyper) == (width, 4)
    own = PyramidConfig(num_taps=9)
    assert own.for_video(video) == own


@pytest.mark.parametrize("height", [32, 33, 64, 65, 8192])
def test_no_more_slices_than_a_header_allows(height: int) -> None:
    video = VideoFormat(16384, height, "gray")
    Header(video, HybridConfig().for_video(video), 1, 1, 1).check()


def test_a_patch_model_stays_as_it_is() -> None:
    assert model_config("paper").for_video(VideoFormat(3840, 2160, "yuv420p")) == model_config("paper")


def test_longer_fits_do_not_take_larger_steps() -> None:
    """What a fit of hundreds of steps bears makes one of thousands run away."""
    for shorter, longer in pairwise(C3_PRESETS.values()):
        assert longer.noise_steps > shorter.noise_steps
        assert longer.learning_rate <= shorter.learning_rate
        assert longer.learning_rate * longer.latent_rate <= shorter.learning_rate * shorter.latent_rate


@pytest.mark.parametrize("preset", C3_PRESETS)
@pytest.mark.parametrize("search", WINDOW_SEARCHES)
def test_windows_can_be_learned_in_every_preset(preset: str, search: str) -> None:
    config = fit_config("paper", preset, 1e-3, search)
    assert isinstance(config, C3FitConfig)
    assert config.window_search == search
    assert config.window_steps > 0


def test_windows_that_have_one_place_cannot_be_searched() -> None:
    with pytest.raises(ConfigError, match="no windows to place"):
        fit_config("paper-shared", "fast", 1e-3, "wide")


def test_a_shared_network_needs_grids_of_one_kind() -> None:
    with pytest.raises(ConfigError, match="all grids must have a previous-frame window, or none"):
        C3Config(isotropic_grids(3, 2), shared_entropy=True).check()
    C3Config(isotropic_grids(3, 0), shared_entropy=True).check()


def test_only_the_hybrid_model_has_an_order_of_frames() -> None:
    config = fit_config("default", "fast", 1e-3, low_delay=True)
    assert isinstance(config, HybridFitConfig)
    assert config.low_delay
    with pytest.raises(ConfigError, match="no order of frames"):
        fit_config("pyramid", "fast", 1e-3, low_delay=True)


def test_a_way_to_place_windows_that_makes_no_sense_raises() -> None:
    with pytest.raises(ConfigError, match="window_search"):
        fit_config("paper", "fast", 1e-3, "luck")
    with pytest.raises(ConfigError, match="no windows"):
        fit_config("default", "fast", 1e-3, "wide")


@pytest.mark.parametrize(
    "change",
    [{"chroma_share": math.nan}, {"importance": -0.1}, {"tuning_rate": math.inf}, {"plans": -1}, {"rd_weight": 0.0}],
)
def test_effort_that_makes_no_sense_raises(change: dict[str, Any]) -> None:
    HybridFitConfig().check()
    with pytest.raises(ConfigError, match=next(iter(change))):
        HybridFitConfig(**change).check()
