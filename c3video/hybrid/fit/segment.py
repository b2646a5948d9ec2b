# SPDX-License-Identifier: MIT
"""Fitting a segment of the hybrid model.

    planes --> trials by plan after plan --> the best one --> networks tuned on its symbols, coded again --> symbols
               (plans.py, trials.py)                          (own_networks.py)

Each trial codes all frames as frame_coding.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from c3video.engine import EngineName
from c3video.hybrid.coded_planes import coded_format, from_coded, to_coded
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.plans import PlanSearch
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.trials import Trials
from c3video.hybrid.payload import MAX_GOP, HybridParameters, HybridSymbols
from c3video.progress import Progress
from c3video.video import Planes, VideoFormat


@dataclass(frozen=True)
class FittedFrames:
    """Frames of a segment ready to be coded.

    Args:
        parameters, symbols: for `hybrid.payload.encode_payload`.
        decoded: planes of each frame in display order, as a decoder will have them.
        estimated_bits: what the tables promise.
        squared_error: over all samples, full range 1.
    """

    parameters: HybridParameters
    symbols: HybridSymbols
    decoded: tuple[Planes, ...]
    estimated_bits: float
    squared_error: float


def fit_segment(
    planes: Sequence[Planes],
    video: VideoFormat,
    config: HybridConfig,
    fit_config: HybridFitConfig,
    engine: EngineName,
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    num_threads: int = 1,
) -> FittedFrames:
    """Fit a segment: choose its plan by trial, then code it with networks tuned on its own symbols.

    Args:
        planes: of each frame in display order.
        seed: of the batches that the networks are tuned on.
        report: called after each coded frame.
    """
    coded_planes = [to_coded(frame, video.layout) for frame in planes]
    fit_engine = FIT_ENGINES[engine]
    task = FitTask(coded_planes, coded_format(video), config, fit_config, ENGINES[engine], fit_engine, num_threads)
    trials = Trials(task, report)
    longest = max(1, min(MAX_GOP, len(planes) - 1))
    best = PlanSearch(trials.attempt, trials.weigh, longest, fit_config.plans, fit_engine.is_fast).best()
    trials.end_search()
    for _ in range(fit_config.passes):
        trials.tune(best, seed)
        again = trials.attempt(best.plan)
        if again.loss < best.loss:
            best = again
    coded = best.coded
    return FittedFrames(
        HybridParameters(best.plan.gop, coded.step_indexes, best.networks, best.exponents),
        HybridSymbols(tuple(coded.fields), tuple(coded.symbols)),
        tuple(from_coded(coded.decoded[index], video.layout) for index in range(len(planes))),
        best.bits,
        coded.squared_error,
    )
