# SPDX-License-Identifier: MIT
"""What one trial of a segment leaves for the next: importance that helps, and motion until it is searched for anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from c3video.hybrid.config import HybridFitConfig
from c3video.hybrid.fit import frame_coding
from c3video.hybrid.fit.frame_coding import KnownMotion
from c3video.hybrid.fit.plans import Plan, PlanSearch
from c3video.hybrid.fit.trials import Trials
from c3video.hybrid.frame_order import CodedFrame
from tests.conftest import moving_clip
from tests.hybrid.fit.tasks import task_of


@dataclass(frozen=True)
class Found:
    plan: Plan
    loss: float


class Weighing:
    """A segment that costs more, or less, by `change` once its importance is known."""

    def __init__(self, change: float) -> None:
        self.change, self.known = change, False

    def attempt(self, plan: Plan, rival: Found | None, most_loss: float) -> Found:
        return Found(plan, 1.0 + self.change * self.known + abs(plan.base - 1.0))

    def weigh(self, found: Found) -> None:
        self.known = True

    def forget(self, gop: int) -> None:
        assert gop == 8
        self.known = False


@pytest.mark.parametrize("change", [-0.1, 0.1])
def test_importance_stays_where_it_helps(change: float) -> None:
    segment = Weighing(change)
    search = PlanSearch(segment.attempt, segment.weigh, segment.forget, longest=8, most=5, can_filter=False)
    assert search.first().loss == min(1.0, 1.0 + change)
    assert segment.known == (change < 0)


@pytest.mark.parametrize(("far_apart", "times"), [(0.99, 2), (1.003, 2), (1.005, 1)])
def test_a_plan_that_importance_cannot_save_is_not_coded_again(far_apart: float, times: int) -> None:
    """Importance makes .95 of the first plan's loss of 1, so 1.003 will become .953, which is within .4% of that."""
    tried: list[int] = []
    weighed: set[int] = set()

    def attempt(plan: Plan, rival: Found | None, most_loss: float) -> Found:
        tried.append(plan.gop)
        usual = {8: 1.0, 16: far_apart}.get(plan.gop, 2.0)
        return Found(plan, usual * (0.95 if plan.gop in weighed else 1.0) + 9.0 * abs(plan.base - 1.0))

    def weigh(found: Found) -> None:
        weighed.add(found.plan.gop)

    PlanSearch(attempt, weigh, weighed.discard, longest=16, most=4, can_filter=False).best()
    assert tried[:3] == [8, 8, 16]
    assert tried.count(16) == times


def trials(search_each: bool = False) -> Trials:
    clip = moving_clip(4, 32, 48)
    config = HybridFitConfig(rd_weight=2e-3, search_each=search_each)
    return Trials(task_of([frame.planes for frame in clip], clip.format, config))


def test_motion_is_searched_for_once_and_anew_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, plan, searched = trials(), Plan(2, 0.4, 1.0), []
    usual = frame_coding._motion

    def counted(task, decisions, frame, step_index, references, earlier, known):  # type: ignore[no-untyped-def]
        if frame.references and (frame.index, frame.references) not in known.fields:
            searched.append(frame.index)
        return usual(task, decisions, frame, step_index, references, earlier, known)

    monkeypatch.setattr(frame_coding, "_motion", counted)
    first = fit.attempt(plan)
    assert sorted(searched) == [1, 2, 3]
    fit.attempt(replace(plan, base=1.2))
    assert len(searched) == 3
    fit.search_again()
    coarse = fit.attempt(replace(plan, base=4.0))
    assert len(searched) == 6
    assert coarse.coded.fields[1] is not first.coded.fields[1]
    fit.keep_motion(first)
    again = fit.attempt(plan)
    assert len(searched) == 6
    assert again.loss == first.loss
    for ours, theirs in zip(again.coded.fields, first.coded.fields, strict=True):
        assert ours is theirs


def test_anchors_as_far_apart_have_a_motion_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, searched = trials(), []
    usual = frame_coding.FrameSearch
    monkeypatch.setattr(frame_coding, "FrameSearch", lambda *args: searched.append(1) or usual(*args))
    plans = [Plan(2, 0.4, 1.0), Plan(3, 0.4, 1.0)]
    first, other = (fit.attempt(plan) for plan in plans)
    assert len(searched) == 6  # frame 3 has the same reference in both
    again = [fit.attempt(plan) for plan in plans]
    assert len(searched) == 6
    assert [trial.loss for trial in again] == [first.loss, other.loss]


def test_units_of_vectors_stay_as_they_were_found_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searching by the other one takes nearly as long again."""
    fit, plan, asked = trials(), Plan(2, 0.4, 1.0), []
    usual = frame_coding.FrameSearch
    monkeypatch.setattr(frame_coding, "FrameSearch", lambda *args: asked.append(args[-1]) or usual(*args))
    first = fit.attempt(plan)
    assert asked == [None] * 3
    fit.search_again()
    again = fit.attempt(plan)
    units = [field.unit for field in first.coded.fields if field is not None]
    assert asked[3:] == units
    assert [field.unit for field in again.coded.fields if field is not None] == units


def test_each_trial_may_have_a_search_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fit, plan, searched = trials(search_each=True), Plan(2, 0.4, 1.0), []
    usual = frame_coding.FrameSearch
    monkeypatch.setattr(frame_coding, "FrameSearch", lambda *args: searched.append(1) or usual(*args))
    first = fit.attempt(plan)
    fit.attempt(plan)
    assert len(searched) == 6
    fit.keep_motion(first)
    assert fit.attempt(plan, with_known_motion=True).loss == first.loss
    assert len(searched) == 6


def test_the_unit_of_vectors_is_taken_where_references_agree() -> None:
    known = KnownMotion(units={0: 2, 8: 2, 4: 2, 2: 1})
    assert known.unit(CodedFrame(6, (4, 8), 3)) == 2
    assert known.unit(CodedFrame(3, (2, 4), 4)) is None
    assert known.unit(CodedFrame(2, (0, 4), 3)) == 1  # found for the frame itself
    assert known.unit(CodedFrame(12, (8, 16), 2)) is None  # too far apart to agree unseen
    assert known.unit(CodedFrame(1, (0,), 1)) is None


def test_a_trial_that_has_lost_half_way_is_given_up() -> None:
    fit, plan = trials(), Plan(1, 0.4, 1.0)
    best = fit.attempt(plan)
    lost = fit.attempt(replace(plan, base=6.0), best)
    assert math.isinf(lost.loss)
    assert 0 < len(lost.coded.fields) < 4
    assert fit.attempt(replace(plan, base=6.0), best, 1e3).loss > best.loss
    assert fit.attempt(plan, best).loss == best.loss
    assert not math.isinf(fit.attempt(replace(plan, base=1.02), best).loss)


def test_no_more_plans_are_tried_than_asked_for() -> None:
    for most in range(1, 8):
        tried: list[Plan] = []

        def attempt(plan: Plan, *rival: object, tried: list[Plan] = tried) -> Found:
            tried.append(plan)
            return Found(plan, 1.0)

        PlanSearch(attempt, lambda found: None, lambda gop: None, longest=32, most=most, can_filter=True).best()
        assert len(tried) == most
