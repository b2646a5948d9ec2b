# SPDX-License-Identifier: MIT
"""The last choice of latents: what it says that it gained is what the loss of a step falls by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.native.pyramid_fit import PyramidFit
from c3video.pyramid.config import GROUPS, PyramidConfig
from tests.pyramid.fit.test_native_fit import SMALL, Case

pytestmark = pytest.mark.skipif(not native.available(), reason="the extension was not built")

WIDE = PyramidConfig(
    entropy_layers=(24, 20), synthesis_width=21, refine_width=11, filter_reach=3, num_taps=16, num_hyper=3
)
BARE = PyramidConfig(entropy_layers=(7,), refine_width=0, num_taps=4)


def chosen(case: Case, num_grids: int) -> tuple[PyramidFit, np.ndarray, int, float]:
    """The plan, the latents after a choice, how many changed, and the gain."""
    plan = case.plan()
    latents = case.latents.copy()
    changes, gain = plan.choose(latents, case.weights, case.targets, case.rd_weight, num_grids=num_grids)
    return plan, latents, changes, gain


def case_of(config: PyramidConfig, layout: str, height: int, width: int, chroma_weight: float = 1.0) -> Case:
    case = Case(config, layout, height, width, chroma_weight=chroma_weight)
    case.latents = np.rint(case.latents)
    return case


def loss(plan: PyramidFit, case: Case, latents: np.ndarray) -> float:
    return plan.step(latents, case.weights, case.targets, case.rd_weight, wants_latents=False, wants_weights=False).loss


@pytest.mark.parametrize("layout", GROUPS)
@pytest.mark.parametrize("config", [PyramidConfig(), SMALL, WIDE, BARE, PyramidConfig(num_grids=1, num_hyper=1)])
def test_the_gain_is_that_of_the_loss(config: PyramidConfig, layout: str) -> None:
    case = case_of(config, layout, 37, 51)
    plan, latents, changes, gain = chosen(case, 8)
    before = loss(plan, case, case.latents)
    assert changes > 100
    assert gain > 0.01 * before
    assert before - loss(plan, case, latents) == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)


@pytest.mark.parametrize("layout", GROUPS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (3, 2), (9, 17)])
def test_the_gain_is_that_of_the_loss_of_thin_pictures(layout: str, height: int, width: int) -> None:
    case = case_of(WIDE, layout, height, width)
    plan, latents, changes, gain = chosen(case, 8)
    before = loss(plan, case, case.latents)
    assert changes > 0
    assert before - loss(plan, case, latents) == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)


def test_the_gain_counts_chroma_as_the_loss_does() -> None:
    config = replace(SMALL, num_hyper=0)
    case = case_of(config, "420", 37, 51, chroma_weight=3.7)
    plan, latents, _, gain = chosen(case, 3)
    _, others, _, _ = chosen(case_of(config, "420", 37, 51), 3)
    before, after = (loss(plan, case, each) for each in (case.latents, latents))
    assert before - after == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)
    assert after < 0.999 * loss(plan, case, others)


@pytest.mark.parametrize("layout", GROUPS)
@pytest.mark.parametrize(("height", "width"), [(37, 51), (1, 1), (3, 2)])
def test_the_gain_counts_samples_as_the_loss_does(layout: str, height: int, width: int) -> None:
    case = Case(WIDE, layout, height, width, with_importance=True)
    case.latents = np.rint(case.latents)
    plan, latents, _, gain = chosen(case, 3)
    before = loss(plan, case, case.latents)
    assert before - loss(plan, case, latents) == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)


@pytest.mark.parametrize("layout", ["420", "rgb"])
def test_parts_of_patches_are_apart(layout: str) -> None:
    case = case_of(SMALL, layout, 141, 149)
    plan, latents, _, gain = chosen(case, 3)
    before = loss(plan, case, case.latents)
    assert before - loss(plan, case, latents) == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)


def test_threads_choose_the_same() -> None:
    """1,100 rows are three bands."""
    case = case_of(SMALL, "420", 1100, 6)
    plan, found = PyramidFit(SMALL, "420", 1100, 6), []
    slopes = plan.step(case.latents, case.weights, case.targets, None, wants_weights=False).grad_latents
    for num_threads in (1, 2, 5):
        latents = case.latents.copy()
        changes, gain = native.extension().pyramid_choose(
            plan._plan,
            latents,
            case.weights,
            case.targets,
            slopes,
            case.rd_weight / plan.num_pixels,
            np.full(plan.num_planes, 1.0 / plan.num_samples),
            None,
            5,
            32,
            num_threads,
            native.isa(),
        )
        before = loss(plan, case, case.latents)
        assert before - loss(plan, case, latents) == pytest.approx(gain, rel=1e-4, abs=1e-5 * before)
        found.append((changes, latents))
    assert found[0][0] > 1000
    for changes, latents in found[1:]:
        assert changes == found[0][0]
        np.testing.assert_array_equal(latents, found[0][1])


def test_only_the_finest_grids_move() -> None:
    case = case_of(SMALL, "420", 37, 51)
    _, latents, _, _ = chosen(case, 2)
    end = 37 * 51 + 19 * 26
    assert (latents[:end] != case.latents[:end]).any()
    np.testing.assert_array_equal(latents[end:], case.latents[end:])


def test_a_choice_of_none_changes_nothing() -> None:
    case = case_of(SMALL, "420", 37, 51)
    _, latents, changes, gain = chosen(case, 0)
    assert (changes, gain) == (0, 0.0)
    np.testing.assert_array_equal(latents, case.latents)


def test_no_single_latent_of_the_finest_grid_is_left_that_should_change() -> None:
    """After some rounds: what is left could gain next to nothing by any value beside it, or one more or less."""
    case = case_of(SMALL, "gray", 12, 14)
    plan = PyramidFit(SMALL, "gray", 12, 14)
    latents = case.latents.copy()
    for _ in range(10):
        plan.choose(latents, case.weights, case.targets, case.rd_weight, num_grids=1)
    best = loss(plan, case, latents)
    for place in range(12 * 14):
        for step in (-1.0, 1.0):
            moved = latents.copy()
            moved[place] += step
            # Slopes stand for errors that bend upwards, which wild weights bend otherwise here and there.
            assert loss(plan, case, moved) > best * 0.97


def test_rectangles_are_no_longer_than_asked_for() -> None:
    """Each longer one has something to win that shorter ones have not."""
    case = case_of(SMALL, "420", 37, 51)
    plan, gains = PyramidFit(SMALL, "420", 37, 51), []
    for longest in (1, 2, 32):
        latents = case.latents.copy()
        _, gain = plan.choose(latents, case.weights, case.targets, case.rd_weight, num_grids=1, longest=longest)
        gains.append(gain)
    assert 0.0 < gains[0] < gains[1] < gains[2]


def test_sizes_are_checked() -> None:
    case = case_of(SMALL, "420", 37, 51)
    plan = PyramidFit(SMALL, "420", 37, 51)
    with pytest.raises(ValueError, match="targets"):
        plan.choose(case.latents, case.weights, case.targets[:-1].copy(), 1e-3, num_grids=1)
    with pytest.raises(ValueError, match="latents"):
        plan.choose(case.latents[:-1].copy(), case.weights, case.targets, 1e-3, num_grids=1)
    for longest in (0, 33):
        with pytest.raises(ValueError, match="sides of rectangles"):
            plan.choose(case.latents.copy(), case.weights, case.targets, 1e-3, num_grids=1, longest=longest)


@pytest.mark.parametrize("isa", native.instruction_sets() if native.available() else [])
def test_instruction_sets_choose_alike(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of(SMALL, "420", 37, 51)
    plan, latents, _, _ = chosen(case, 3)
    best = loss(plan, case, latents)
    monkeypatch.setattr(native, "isa", lambda: isa)
    _, others, _, _ = chosen(case, 3)
    assert loss(plan, case, others) == pytest.approx(best, rel=2e-2)
