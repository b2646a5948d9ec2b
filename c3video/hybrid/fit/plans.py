# SPDX-License-Identifier: MIT
"""Plans of a segment: how its frames are ordered and quantised, and the search for the one that costs least.

first plan --> again, knowing what is important --> its neighbours, one move at a time, while that helps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from c3video.hybrid.compensation import SAMPLE_BITS
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.subbands import MAX_STEP_INDEX, STEP_STEPS, quantisation_step

SLOPE_OF_STEP = 0.105
"""Squared steps that a bit is worth at the best step; found by trial (eval/results/hybrid_trials.md)."""

_WITHIN_DEPTH = 0.7
"""Share of a plan's strength that counts between frames of one depth; found by trial, as what follows."""

_LEAST_FILTERED_GOP = 8
"""Frames from anchor to anchor that make it pay to filter anchors; found by trial too."""

USUAL_LEAD = 2.0**-0.125
"""Of plans that know nothing of what a finer first frame brings; found by trial, as all that follows."""

PROBED_LEAD = 2.0**-0.5
"""Of the one that shows it."""

_CURVATURE = 0.2
"""Of the logarithm of a segment's loss along that of lead to base 2, by the share of bits that the first frame has."""

_LEADS = (-0.75, 0.25)
"""Logarithms of the smallest and the largest that is expected to be best."""


def best_lead(usual_loss: float, probed_loss: float, share: float) -> float:
    """Where a segment's loss is least, by a parabola through its losses at USUAL_LEAD and PROBED_LEAD.

    Args:
        share: of its bits that the first frame has.
    """
    usual, probed = math.log2(USUAL_LEAD), math.log2(PROBED_LEAD)
    bend = 2.0 * _CURVATURE * share * (usual - probed)
    if min(usual_loss, probed_loss, bend) <= 0.0:
        return USUAL_LEAD
    found = (usual + probed) / 2 + math.log(probed_loss / usual_loss) / bend
    return 2.0 ** min(max(found, _LEADS[0]), _LEADS[1])


def lone_step(rd_weight: float, samples_a_pixel: float) -> float:
    """The quantisation step that is best for a frame coded alone, full range 1."""
    return math.sqrt(rd_weight * samples_a_pixel / SLOPE_OF_STEP)


@dataclass(frozen=True)
class Plan:
    """How the frames of a segment are ordered and quantised.

    Args:
        gop: frames from anchor to anchor.
        strength: the quantisation step of a depth shrinks with its importance (hybrid/fit/importance.py) to this power.
        base: step of a frame that nothing depends on, in units of the one that is best for a frame coded alone.
        filtered: whether anchors are coded for means along motion (hybrid/fit/temporal_filter.py).
        lead: step of the first frame of several, in units of what its importance makes of it. Where nothing moves,
            its errors reach all frames whole, and it is worth more than importance tells.
    """

    gop: int
    strength: float
    base: float
    filtered: bool = True
    lead: float = USUAL_LEAD

    def step_indexes(
        self, rd_weight: float, samples_a_pixel: float, frames: Sequence[CodedFrame], importance: Mapping[int, float]
    ) -> tuple[int, ...]:
        """Index of the quantisation step of each frame, in coding order.

        Args:
            importance: of frames, by display index.
        """
        alone = lone_step(rd_weight, samples_a_pixel) * 2.0**SAMPLE_BITS / quantisation_step(0)
        logs = np.log2([importance[frame.index] for frame in frames])
        depths = np.array([frame.depth for frame in frames])
        means = np.array([logs[depths == depth].mean() for depth in depths])
        usual = np.rint(STEP_STEPS * (np.log2(self.base * alone) - self.strength * means))
        change = np.rint(STEP_STEPS * _WITHIN_DEPTH * self.strength * (means - logs))
        if len(frames) > 1:
            change[0] += round(STEP_STEPS * math.log2(self.lead))
        return tuple(np.clip(usual + change, 0, MAX_STEP_INDEX).astype(int).tolist())

    def as_coded(self, can_filter: bool) -> Plan:
        """The same for all plans that code a segment alike: filtered only where that has an effect."""
        # Anchors that stand closer are too many of all frames to be coded for the sake of others.
        return replace(self, filtered=self.filtered and self.gop >= _LEAST_FILTERED_GOP and can_filter)


_MOST_BEFORE_IMPORTANCE = 1.04
"""Times the best one's that the loss of a plan may be on its way that does not yet know what is important."""

_MOST_FORESEEN = 1.004
"""Times the best one's that its loss may be in the end, after what that knowledge brought the first plan: of 30 pairs
of plans none won that was above 1.001, and most that lost were above this."""

_MOVES: tuple[tuple[Callable[[Plan], Plan], Callable[[Plan], Plan]], ...] = (
    (lambda plan: replace(plan, gop=2 * plan.gop), lambda plan: replace(plan, gop=max(1, plan.gop // 2))),
    (lambda plan: replace(plan, base=1.2 * plan.base), lambda plan: replace(plan, base=plan.base / 1.2)),
    (
        lambda plan: replace(plan, strength=plan.strength + 0.1, base=1.2 * plan.base),
        lambda plan: replace(plan, strength=max(0.0, plan.strength - 0.1), base=plan.base / 1.2),
    ),
    (lambda plan: replace(plan, filtered=True), lambda plan: replace(plan, filtered=False)),
)
"""Pairs of steps from a plan to its neighbours, one each way. More strength makes all frames finer, which base makes up
for."""


class Outcome(Protocol):
    """The result of a plan."""

    @property
    def plan(self) -> Plan: ...

    @property
    def loss(self) -> float: ...


AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)


@dataclass
class PlanSearch(Generic[AnyOutcome]):
    """The way from plan to plan: how far apart anchors are, then how much finer what is seen again is.

    Args:
        attempt: codes the segment by a plan; given an outcome, and how many times its loss is too much, it may end as
            soon as that is to be expected, with an infinite loss.
        weigh: learns from an outcome what is important; attempts with its `gop` know it from then on.
        forget: lets attempts with a `gop` know no more than what is usual.
        longest: most frames from anchor to anchor.
        most: attempts.
        can_filter: whether asking for filtered anchors has an effect.
        weighs: whether there are frames enough for some to be more important than others.
    """

    attempt: Callable[[Plan, AnyOutcome | None, float], AnyOutcome]
    weigh: Callable[[AnyOutcome], None]
    forget: Callable[[int], None]
    longest: int
    most: int
    can_filter: bool
    weighs: bool = True
    _num_attempts: int = field(default=0, init=False)
    _tried: set[Plan] = field(default_factory=set, init=False)
    _weighed: set[int] = field(default_factory=set, init=False)
    _worth_of_importance: float = field(default=1.0, init=False)

    def best(self) -> AnyOutcome:
        """The best outcome of all attempts."""
        return self.improved(self.first())

    def first(self) -> AnyOutcome:
        """The usual plan, and the same again knowing what is important."""
        first = self._attempt(Plan(min(8, self.longest), 0.4, 1.0))
        return self._with_importance(first, first) if self.most > 1 and self.weighs else first

    def improved(self, best: AnyOutcome) -> AnyOutcome:
        """The best outcome of `best` and all attempts that are left."""
        improved = True
        while improved:
            improved = False
            for moves in _MOVES:
                better = self._better(best, moves)
                if better is not None:
                    best, improved = better, True
        return best

    def _better(
        self, best: AnyOutcome, moves: tuple[Callable[[Plan], Plan], Callable[[Plan], Plan]]
    ) -> AnyOutcome | None:
        """What comes of a move one way, or else the other, where that is better."""
        for move in moves:
            plan = move(best.plan)
            plan = replace(plan, gop=min(plan.gop, self.longest))
            if plan.as_coded(self.can_filter) in self._tried or self._is_spent:
                continue
            is_new = plan.gop not in self._weighed and self._num_attempts + 1 < self.most
            found = self._attempt(plan, best, _MOST_BEFORE_IMPORTANCE if is_new else 1.0)
            if is_new:
                if self._worth_of_importance * found.loss > _MOST_FORESEEN * best.loss:
                    continue
                found = self._with_importance(found, min(found, best, key=lambda outcome: outcome.loss))
            if found.loss < best.loss:
                return found
        return None

    def _with_importance(self, first: AnyOutcome, rival: AnyOutcome) -> AnyOutcome:
        """The same again, knowing what the first attempt showed; the better one of both."""
        is_first = not self._weighed
        self.weigh(first)
        self._weighed.add(first.plan.gop)
        again = self._attempt(first.plan, rival)
        if again.loss < first.loss:
            if is_first:
                self._worth_of_importance = again.loss / first.loss
            return again
        self.forget(first.plan.gop)
        return first

    def _attempt(self, plan: Plan, rival: AnyOutcome | None = None, most_loss: float = 1.0) -> AnyOutcome:
        self._num_attempts += 1
        self._tried.add(plan.as_coded(self.can_filter))
        return self.attempt(plan, rival, most_loss)

    @property
    def _is_spent(self) -> bool:
        return self._num_attempts >= self.most
