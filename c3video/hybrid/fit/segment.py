# SPDX-License-Identifier: MIT
"""Fitting a segment of the hybrid model.

    planes --> the usual plan --> its first frame as a picture --> plan after plan --> networks tuned, coded again
               (trials.py)        (key_picture.py)                 (plans.py)          (own_networks.py), motion too

Each trial codes all frames as frame_coding.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from c3video.engine import EngineName
from c3video.errors import FitError
from c3video.hybrid.coded_planes import coded_format, from_coded, to_coded
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.chroma import chroma_offset
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.frame_coding import decode_again
from c3video.hybrid.fit.key_picture import fit_key, picture_rd_weight
from c3video.hybrid.fit.plans import PROBED_LEAD, PlanSearch, best_lead
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.trials import Trial, Trials
from c3video.hybrid.payload import MAX_GOP, HybridParameters, HybridSymbols
from c3video.progress import Progress
from c3video.video import Planes, VideoFormat

_LEAD_OF_PICTURE = 2.0**0.125
"""Times the lead that is best for subbands; found by trial."""


@dataclass(frozen=True)
class FittedFrames:
    """Frames of a segment ready to be coded.

    Args:
        parameters, symbols: for `hybrid.payload.encode_payload`.
        decoded: planes of each frame in display order, as a decoder will have them.
        estimated_bits: what the tables promise.
        squared_error: over all samples, full range 1.
        notes: what went wrong and was mended.
    """

    parameters: HybridParameters
    symbols: HybridSymbols
    decoded: tuple[Planes, ...]
    estimated_bits: float
    squared_error: float
    notes: tuple[str, ...] = ()


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
    coded_as, fit_engine = coded_format(video), FIT_ENGINES[engine]
    task = FitTask(coded_planes, video, coded_as, config, fit_config, ENGINES[engine], fit_engine, num_threads)
    task = replace(task, coded_as=replace(coded_as, chroma_offset=chroma_offset(task)))
    trials = Trials(task, report)
    longest = 1 if fit_config.low_delay else max(1, min(MAX_GOP, len(planes) - 1))
    search = PlanSearch(
        trials.attempt,
        trials.weigh,
        trials.forget,
        longest,
        fit_config.plans,
        fit_engine.is_fast,
        weighs=len(planes) > 2,
    )
    first, lead = _with_lead(task, trials, search.first())
    first, notes = _with_picture(task, trials, first, lead, seed)
    best = search.improved(first)
    trials.end_search()
    for _ in range(fit_config.passes):
        trials.tune(best, seed)
        again = _again(trials, best)
        if again is best:  # so would be what comes of tuning by the same symbols once more
            break
        best = again
    coded, picture = best.coded, None if best.key is None else best.key.data
    return FittedFrames(
        HybridParameters(
            best.plan.gop,
            coded.step_indexes,
            best.networks,
            best.exponents,
            task.coded_as.chroma_offset,
            picture,
        ),
        HybridSymbols(tuple(coded.fields), coded.symbols, coded.filters),
        tuple(from_coded(frame, video.layout) for frame in decode_again(task, coded, best.key)),
        best.bits,
        coded.squared_error,
        notes,
    )


def _again(trials: Trials, best: Trial) -> Trial:
    """The same with networks as they are now, its motion searched for anew or else as it was; the best of them."""
    trials.search_again()
    found = trials.attempt(best.plan)
    if found.loss < best.loss:
        return found
    trials.keep_motion(best)
    return min(best, trials.attempt(best.plan, with_known_motion=True), key=lambda trial: trial.loss)


def _with_lead(task: FitTask, trials: Trials, best: Trial) -> tuple[Trial, float]:
    """The same again with a finer first frame: the better one of both, and the lead that is best for a picture."""
    if task.fit_config.plans < 2 or len(task.planes) < 3:
        return best, best.plan.lead
    finer = trials.attempt(replace(best.plan, lead=PROBED_LEAD))
    lead = best_lead(best.loss, finer.loss, best.coded.totals[0][0] / best.bits)
    return min(best, finer, key=lambda trial: trial.loss), _LEAD_OF_PICTURE * lead


def _with_picture(task: FitTask, trials: Trials, best: Trial, lead: float, seed: int) -> tuple[Trial, tuple[str, ...]]:
    """The same again with its first frame a picture; the better one of both, and what went wrong in its fit."""
    config = task.fit_config
    if not config.picture_steps(len(task.planes)) or not task.fit_engine.is_fast:
        return best, ()
    target = trials.targets(best.plan).get(0, task.planes[0])
    is_still = len(task.planes) == 1
    plan = replace(best.plan, lead=lead)
    rd_weight = config.rd_weight if is_still else picture_rd_weight(task, trials.step_indexes(plan)[0])
    try:
        key = fit_key(task, target, rd_weight, trials.block_importance(plan, 0), seed, trials.note_picture_step)
    except FitError as error:  # there are subbands
        return best, (f"the first frame is coded by subbands: {error}",)
    trials.start_from(key)
    again = trials.attempt(plan)
    if again.loss < best.loss:
        return again, key.notes
    trials.start_from(None)
    trials.keep_motion(best)
    return best, key.notes
