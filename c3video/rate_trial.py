# SPDX-License-Identifier: MIT
"""Which rd_weight comes out at a target: trials of a sample of segments by the quickest preset, then of all.

    source, once --> lengths of all segments, frames of some (survey)
    sample --> quick fits at one weight after the other, by slopes of logarithms --> weight, slope
           --> one or two real fits, of segments that weigh most --> how much more or less the real preset makes
    source, again --> quick fits of all segments at that weight --> RateModel

Of simulated clips of 30 segments, with half of them in the sample and no look at the others, some missed their size by
20%: the other half was unlike it. With a quick fit of each they were within 1%.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from c3video.crew.jobs import Crew, Note
from c3video.crew.schedule import in_order
from c3video.rate_target import Quantity, RateModel, bounded, log_slope
from c3video.segment_fit import FitSegment, FittedSegment, Recipe
from c3video.video import Frame

MOST_SAMPLES = 6
"""Segments of a sample, which is fitted some four times: all of a short clip."""
MOST_SAMPLE_BYTES = 1 << 30
_MOST_TRIALS = 5
_MOST_HELD = 4
"""Segments of a clip that may be fitted again."""
_LEAST_HELD = 0.25
"""What such a segment is expected to come to, in units of the mean: not the credits of a film."""
_CLOSE, _NEAR = 0.015, 0.06
"""Of a trial's logarithm to the goal's: the slope does the rest. The nearer one is worth its trials only where trials
are what the real preset does."""
_FAR = 0.35
"""Change of log(rd_weight) by what the real preset showed that asks for another trial."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Survey:
    """What is known of a clip before it is encoded.

    Args:
        segment_frames: of each segment; empty where only the beginning was looked at.
        sample: frames of some segments by number, the more of them the shorter the clip.
        clip_seconds: from the first frame to the end of the last one; of the beginning likewise.
        frame_bytes: of a frame in memory.
    """

    segment_frames: tuple[int, ...]
    sample: dict[int, Sequence[Frame]]
    clip_seconds: float
    frame_bytes: int = 1

    @property
    def num_frames(self) -> int:
        """Of the clip, or as many as the sample has where nobody knows."""
        return sum(self.segment_frames) if self.segment_frames else self.sampled_frames

    @property
    def sampled_frames(self) -> int:
        return sum(map(len, self.sample.values()))


def sampled(
    runs: Iterable[Sequence[Frame]], frame_bytes: int, most: int = MOST_SAMPLES
) -> tuple[tuple[int, ...], dict[int, Sequence[Frame]]]:
    """Lengths of all runs, and every n-th of them, n as small as number and memory allow."""
    lengths: list[int] = []
    kept: dict[int, Sequence[Frame]] = {}
    stride = 1
    for number, run in enumerate(runs):
        lengths.append(len(run))
        if number % stride:
            continue
        kept[number] = run
        while len(kept) > 1 and (len(kept) > most or frame_bytes * sum(map(len, kept.values())) > MOST_SAMPLE_BYTES):
            stride *= 2
            kept = {number: run for number, run in kept.items() if number % stride == 0}
    return tuple(lengths), kept


def find_rate(
    crew: Crew,
    quantity: Quantity,
    goal: float,
    survey: Survey,
    quick: Recipe,
    real: Recipe,
    start: float,
    note: Note = lambda key, report: None,
    everything: Callable[[], Iterable[Sequence[Frame]]] | None = None,
) -> RateModel:
    """The rd_weight that is expected to come out at a goal.

    Args:
        goal: of the quantity: in all, or a frame where the survey knows no lengths.
        quick, real: how segments are made in trials, and how they will be.
        start: rd_weight to begin with.
        everything: gives the frames of all segments, where the sample has not got them and they can be had.

    Raises:
        FitError, WorkerError: see errors.py.
    """
    goal_a_frame = goal / survey.num_frames if survey.segment_frames else goal
    points: list[tuple[float, dict[int, float]]] = []

    def means() -> list[tuple[float, float]]:
        return [(weight, sum(found.values()) / survey.sampled_frames) for weight, found in points]

    def slope_at(weight: float) -> float:
        return log_slope(sorted(means(), key=lambda point: abs(math.log(point[0] / weight)))[:3], quantity)

    def trial(weight: float) -> float:
        points.append((weight, _fitted(crew, quick.at(weight), survey.sample.items(), quantity, note)))
        found = means()[-1][1]
        _log.info("trial at rd_weight %g: %s", weight, _shown(quantity, found))
        return found

    def towards(weight: float, found: float, wanted: float) -> float:
        # From far away a slope is good for a step, not for a leap.
        step = min(max(math.log(wanted / max(found, 1e-300)) / slope_at(weight), -4.0), 4.0)
        return bounded(weight * math.exp(step))

    ratios: dict[int, float] = {}  # what real fits came to, in units of trials, by segment

    def factor_of(tried: Mapping[int, float]) -> float:
        real_sum = sum(value * _ratio(ratios, number) for number, value in tried.items())
        return real_sum / sum(tried.values()) if ratios and real_sum > 0 else 1.0

    factor, is_real, weight = 1.0, quick == real, bounded(start)
    close = _CLOSE if is_real else _NEAR
    found = trial(weight)
    while len(points) < _MOST_TRIALS:
        wanted = goal_a_frame / factor
        if abs(math.log(max(found, 1e-300) / wanted)) > close:
            following = towards(weight, found, wanted)
            if is_real and (abs(math.log(following / weight)) < _FAR or following == weight):
                break
            if following != weight:
                weight = following
                found = trial(weight)
                continue
        if is_real:
            break
        ratios |= _ratios(crew, real.at(weight), survey, points[-1][1], quantity, note)
        factor, is_real = factor_of(points[-1][1]), True
        _log.info("real fits come to %.3f of what trials do", factor)
    last_weight, by_segment = points[-1]
    slope = slope_at(last_weight)
    chosen = towards(last_weight, found, goal_a_frame / factor)
    lengths = {number: len(frames) for number, frames in survey.sample.items()}
    if everything is not None and len(survey.sample) < len(survey.segment_frames):
        last_weight, lengths = chosen, dict(enumerate(survey.segment_frames))
        by_segment = _fitted(crew, quick.at(chosen), enumerate(everything()), quantity, note)
        found = sum(by_segment.values()) / survey.num_frames
        _log.info("all segments at rd_weight %g: %s", chosen, _shown(quantity, found))
        factor = factor_of(by_segment)
        chosen = towards(last_weight, found, goal_a_frame / factor)
    scale = (chosen / last_weight) ** slope
    is_whole = len(by_segment) == len(survey.segment_frames)
    model = RateModel(
        quantity=quantity,
        rd_weight=chosen,
        slope=slope,
        predicted={
            number: scale * _ratio(ratios, number) * value / lengths[number] for number, value in by_segment.items()
        },
        mean=scale * factor * found,
        segment_frames=survey.segment_frames,
        goal=goal,
        usual_frames=sum(lengths.values()) / len(lengths),
        trust=1.0 if is_whole else float(len(survey.sample)),
        held=(),
    )
    return replace(model, held=_held(model, survey.frame_bytes))


def _held(model: RateModel, frame_bytes: int) -> tuple[int, ...]:
    """Segments that may be fitted again when all are done: the last of those that weigh enough.

    Their frames are kept until then: no more of them than of a sample, but those of one in any case.
    """
    numbers = range(len(model.segment_frames))
    expected = [model.of_segment(number, model.rd_weight) for number in numbers]
    held: list[int] = []
    for number in reversed(numbers):
        if expected[number] >= _LEAST_HELD * sum(expected) / len(expected):
            kept = frame_bytes * sum(model.segment_frames[other] for other in (*held, number))
            if len(held) == _MOST_HELD or (held and kept > MOST_SAMPLE_BYTES):
                break
            held.append(number)
    return tuple(reversed(held))


def _fitted(
    crew: Crew, recipe: Recipe, runs: Iterable[tuple[int, Sequence[Frame]]], quantity: Quantity, note: Note
) -> dict[int, float]:
    """Of the quantity, by segment; `runs` are frames of segments with their numbers."""
    fitted: Iterable[FittedSegment] = in_order(
        crew, enumerate(runs), lambda place, run: FitSegment(recipe, run[0], tuple(run[1])), note=note
    )
    return {result.report.number: quantity.of(result.report) for result in fitted}


def _ratios(
    crew: Crew, recipe: Recipe, survey: Survey, tried: dict[int, float], quantity: Quantity, note: Note
) -> dict[int, float]:
    """What real fits come to, in units of what trials of the same segments did, by segment: of one or two."""
    chosen = _weighty(tried)
    found = _fitted(crew, recipe, [(number, survey.sample[number]) for number in chosen], quantity, note)
    return {number: found[number] / tried[number] for number in chosen if tried[number] > 0}


def _ratio(ratios: Mapping[int, float], number: int) -> float:
    """Of a segment: its own, or the mean of those that are known."""
    return ratios.get(number, sum(ratios.values()) / len(ratios) if ratios else 1.0)


def _weighty(tried: Mapping[int, float]) -> list[int]:
    """The segments in which a quarter and three quarters of the quantity are reached: large ones are likelier.

    A short segment says little: of five the middle one had 4 frames, and the PSNR was missed by 0.45 dB.
    """
    marks = [0.25 * sum(tried.values()), 0.75 * sum(tried.values())]
    chosen: list[int] = []
    reached = 0.0
    for number, value in tried.items():
        reached += value
        if any(reached - value <= mark < reached for mark in marks):
            chosen.append(number)
    return chosen or [next(iter(tried))]


def _shown(quantity: Quantity, a_frame: float) -> str:
    if quantity is Quantity.BITS:
        return f"{a_frame:.0f} bits a frame"
    return f"{-10.0 * math.log10(a_frame):.2f} dB" if a_frame > 0 else "no error"
