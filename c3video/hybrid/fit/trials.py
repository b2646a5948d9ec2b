# SPDX-License-Identifier: MIT
"""Coding a segment by one plan after the other, each with what those before have shown.

plan --> steps, targets of anchors --> frame_coding --> bits and errors --> loss
                                            |
motion, importance of blocks, tuned networks, for the trials after it
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from c3video.hybrid.coded_planes import UNIT_NORM
from c3video.hybrid.compensation import BLOCK_SIZE
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.frame_coding import CodedFrames, Decisions, KeyPicture, KnownMotion, code_frames, luma_step
from c3video.hybrid.fit.importance import BlockImportance, Importance, measured_importance, typical_importance
from c3video.hybrid.fit.plans import Plan
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.temporal_filter import temporal_target
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.payload import CONTEXT_NETWORKS, filter_bits, network_bits, prior, step_bits
from c3video.progress import Progress
from c3video.video import Planes

_TRIALS_A_PASS = 2
"""At most, of coding with tuned networks."""

_LEVEL_OF_STEP = 0.3
"""Mean square of residuals that are not coded, in squares of the largest quantisation step; found by trial."""

_MOST_AT_QUARTER, _MOST_AT_HALF = 1.06, 1.035
"""Times its rival's that the loss of a trial may be after a quarter and after half of the frames.

Where first frames are finer, it seems to lose at first: of 60 trials that were seen to their end none won that was
above these."""

_PICTURE_STEPS_A_FRAME = 4
"""Steps of a picture's fit that take about as long as coding a frame does."""


@dataclass(frozen=True)
class Trial:
    """A plan and its result.

    Args:
        networks, exponents: that it was coded with, as in `HybridParameters`.
        key: the first frame, where it is a picture.
        bits: of everything, as tables promise them.
        loss: mean squared error, planes weighted, plus rd_weight times bits a pixel; infinite where it was given up.
    """

    plan: Plan
    coded: CodedFrames
    networks: dict[str, ContextNetwork]
    exponents: dict[str, int | None]
    bits: float
    loss: float
    key: KeyPicture | None


class Trials:
    """What is known of a segment so far, for the next time that it is coded.

    Args:
        task: the segment.
        report: called after each coded frame.
    """

    def __init__(self, task: FitTask, report: Callable[[Progress], None] = lambda progress: None) -> None:
        self._task, self._report = task, report
        self._networks = {name: prior(name) for name in CONTEXT_NETWORKS}
        self._exponents: dict[str, int | None] = dict.fromkeys(CONTEXT_NETWORKS)
        self._units: dict[int, int] = {}
        self._motions: dict[int, KnownMotion] = {}  # by frames from anchor to anchor
        self._key: KeyPicture | None = None
        self._importance: dict[int, Importance] = {}  # by frames from anchor to anchor
        self._filtered: dict[int, Planes] = {}  # by display index
        config, num_frames = task.fit_config, len(task.planes)
        picture_steps = config.picture_steps(num_frames)
        of_picture = picture_steps // _PICTURE_STEPS_A_FRAME + num_frames if picture_steps else 0
        most_steps = num_frames * (config.plans + 1 + _TRIALS_A_PASS * config.passes) + of_picture
        self._progress = Progress("plan", 0, most_steps, 0.0, 0.0, 0.0)

    def attempt(
        self, plan: Plan, rival: Trial | None = None, most_loss: float = 1.0, *, with_known_motion: bool = False
    ) -> Trial:
        """Code the segment by a plan with the present networks.

        Args:
            rival: what it must come up to, or else is given up on the way.
            most_loss: times the rival's that its loss may be.
            with_known_motion: not to search for motion that is known, whatever `search_each` says.
        """
        task, rd_weight = self._task, self._task.fit_config.rd_weight
        if task.fit_config.search_each and not with_known_motion:
            self.search_again()
        blocks = self._importance_of(plan).blocks
        decisions = Decisions(plan.gop, self.step_indexes(plan), self._networks, blocks, self.targets(plan), self._key)

        def is_hopeless(coded: CodedFrames) -> bool:
            return rival is not None and self._is_hopeless(coded, rival.coded, most_loss)

        coded = code_frames(task, decisions, self._motion_of(plan), self._advance, is_hopeless)
        if len(coded.fields) < len(coded.frames):
            return Trial(plan, coded, dict(self._networks), dict(self._exponents), math.inf, math.inf, self._key)
        bits = self._network_bits() + self._symbol_bits(coded)
        mse, bpp = coded.squared_error / task.num_samples, bits / task.num_pixels
        loss = coded.weighted_error / task.num_samples + rd_weight * bpp
        self._progress = replace(self._progress, loss=loss, mse=mse, bpp=bpp)
        return Trial(plan, coded, dict(self._networks), dict(self._exponents), bits, loss, self._key)

    def step_indexes(self, plan: Plan) -> tuple[int, ...]:
        """Index of the quantisation step of each frame by a plan, in coding order."""
        task = self._task
        frames, samples_a_pixel = coding_order(len(task.planes), plan.gop), task.num_samples / task.num_pixels
        importance = self._importance_of(plan).frames
        return plan.step_indexes(task.fit_config.rd_weight, samples_a_pixel, frames, importance)

    def block_importance(self, plan: Plan, index: int) -> BlockImportance | None:
        """How much the errors of the blocks of a frame count by a plan, by display index; None: all alike."""
        blocks = self._importance_of(plan).blocks
        return None if blocks is None else blocks[index]

    def _importance_of(self, plan: Plan) -> Importance:
        return self._importance.get(plan.gop, typical_importance(len(self._task.planes), plan.gop))

    def _is_hopeless(self, coded: CodedFrames, rival: CodedFrames, most_loss: float) -> bool:
        """Whether a rival has lost so much less over the frames that have been coded that the rest will not help."""
        count, num_frames = len(coded.fields), len(coded.frames)
        if not num_frames <= 4 * count < 4 * num_frames or not (coded.begins_with(count) and rival.begins_with(count)):
            return False
        most_loss *= _MOST_AT_HALF if 2 * count >= num_frames else _MOST_AT_QUARTER
        return self._loss_so_far(coded, count) > most_loss * self._loss_so_far(rival, count)

    def _loss_so_far(self, coded: CodedFrames, count: int) -> float:
        bits, error = coded.totals[count - 1]
        return error / self._task.num_samples + self._task.fit_config.rd_weight * bits / self._task.num_pixels

    def start_from(self, key: KeyPicture | None) -> None:
        """Let what is attempted from now on have this first frame, or subbands for None, and motion of its own."""
        self._key = key
        self.search_again()

    def end_search(self) -> None:
        """Say that of all steps that might have come only those of the passes will."""
        step = self._progress.step
        passes = len(self._task.planes) * _TRIALS_A_PASS * self._task.fit_config.passes
        self._progress = replace(self._progress, num_steps=step + passes)
        if passes:  # tuning the networks comes first, which has no steps
            self._report(self._progress)

    def note_picture_step(self, progress: Progress) -> None:
        """Count a step of the fit of a first frame."""
        if progress.step % _PICTURE_STEPS_A_FRAME == 0:
            self._advance()

    def targets(self, plan: Plan) -> dict[int, Planes]:
        """By display index, what symbols of anchors are chosen for where that is not the source."""
        task = self._task
        if not plan.as_coded(task.fit_engine.is_fast).filtered:
            return {}
        luma_norm = task.coded_as.norms[0] / UNIT_NORM
        slope = task.fit_config.rd_weight * task.num_samples / task.num_pixels / luma_norm**2
        anchors = [frame.index for frame in coding_order(len(task.planes), plan.gop) if frame.depth <= 1]
        for index in anchors:
            if index not in self._filtered:
                self._filtered[index] = temporal_target(task, index, slope)
        return {index: self._filtered[index] for index in anchors}

    def weigh(self, trial: Trial) -> None:
        """Let blocks count by what depends on them, as far as a trial shows, in trials with anchors as far apart."""
        coded, task = trial.coded, self._task
        step = luma_step(max(coded.step_indexes), task.coded_as)
        self._importance[trial.plan.gop] = measured_importance(
            coded.frames,
            coded.fields,
            coded.prediction_errors,
            _LEVEL_OF_STEP * step * step,
            BLOCK_SIZE,
            task.fit_config.importance,
        )

    def forget(self, gop: int) -> None:
        """Let blocks count as is usual in trials with anchors so far apart: what was measured has not helped."""
        self._importance.pop(gop, None)

    def search_again(self) -> None:
        """Let motion be searched for anew in the next trial: against its references and steps, by its networks.

        What is known was found by a trial of other steps. Units of vectors stay.
        """
        self._motions.clear()

    def keep_motion(self, trial: Trial) -> None:
        """Let the next trials have the motion of this one."""
        self.search_again()
        motion = self._motion_of(trial.plan)
        for frame, field in zip(trial.coded.frames, trial.coded.fields, strict=True):
            if field is not None:
                motion.add(frame, field)

    def _motion_of(self, plan: Plan) -> KnownMotion:
        """What is known for anchors as far apart: found for others it is worse, and plans that have it seem to be."""
        return self._motions.setdefault(plan.gop, KnownMotion(units=self._units))

    def tune(self, trial: Trial, seed: int) -> None:
        """Tune the networks on the symbols of a trial; keep what saves more bits than it costs."""
        # Here, since it loads torch, which takes longer than some encodes that tune nothing.
        from c3video.hybrid.fit.own_networks import tuned_networks

        tuned = tuned_networks(self._task, trial.coded, int(trial.key is not None), seed)
        for name, (network, exponent) in tuned.items():
            self._networks[name], self._exponents[name] = network, exponent

    def _advance(self) -> None:
        self._progress = replace(self._progress, step=self._progress.step + 1)
        self._report(self._progress)

    def _network_bits(self) -> float:
        return sum(
            network_bits(name, self._networks[name], exponent)
            for name, exponent in self._exponents.items()
            if exponent is not None
        )

    def _symbol_bits(self, coded: CodedFrames) -> float:
        num_pictures = int(self._key is not None)
        of_filters = filter_bits(coded.frames[num_pictures:], coded.filters[num_pictures:])
        of_steps = step_bits(coded.frames, coded.step_indexes)
        return coded.subband_bits + coded.motion_bits + of_filters + of_steps
