# SPDX-License-Identifier: MIT
"""Coding a segment by one plan after the other, each with what those before have shown.

plan --> steps, targets of anchors --> frame_coding --> bits and errors --> loss
                                            |
motion, importance of blocks, tuned networks, for the trials after it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from c3video.coding.rangecoder import SymbolCounter
from c3video.hybrid.coded_planes import UNIT_NORM
from c3video.hybrid.compensation import BLOCK_SIZE
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.frame_coding import CodedFrames, Decisions, KeyPicture, KnownMotion, code_frames, luma_step
from c3video.hybrid.fit.importance import Importance, activity, measured_importance, typical_importance
from c3video.hybrid.fit.plans import SLOPE_OF_STEP, Plan
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.temporal_filter import temporal_target
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.payload import CONTEXT_NETWORKS, filter_bits, network_bits, prior
from c3video.hybrid.symbol_coding import write_frames_motion
from c3video.progress import Progress
from c3video.video import Planes

_TRIALS_A_PASS = 2
"""At most, of coding with tuned networks."""

_PICTURE_STEPS_A_FRAME = 4
"""Steps of a picture's fit that take about as long as coding a frame does."""


@dataclass(frozen=True)
class Trial:
    """A plan and its result.

    Args:
        networks, exponents: that it was coded with, as in `HybridParameters`.
        key: the first frame, where it is a picture.
        bits: of everything, as tables promise them.
        loss: mean squared error plus rd_weight times bits a pixel.
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
        self._motion = KnownMotion()
        self._key: KeyPicture | None = None
        self._importance: dict[int, Importance] = {}  # by frames from anchor to anchor
        self._filtered: dict[int, Planes] = {}  # by display index
        block_size, bit_depth = BLOCK_SIZE, task.coded_as.bit_depth
        self._activities = [activity(frame[0], block_size, bit_depth) for frame in task.planes]
        config, num_frames = task.fit_config, len(task.planes)
        of_picture = config.key_steps // _PICTURE_STEPS_A_FRAME + num_frames if config.key_steps else 0
        most_steps = num_frames * (config.plans + _TRIALS_A_PASS * config.passes) + of_picture
        self._progress = Progress("plan", 0, most_steps, 0.0, 0.0, 0.0)

    def attempt(self, plan: Plan, *, with_known_motion: bool = False) -> Trial:
        """Code the segment by a plan with the present networks.

        Args:
            with_known_motion: not to search for motion that is known, whatever `search_each` says.
        """
        task, rd_weight = self._task, self._task.fit_config.rd_weight
        if task.fit_config.search_each and not with_known_motion:
            self.search_again()
        importance = self._importance.get(plan.gop, typical_importance(len(task.planes), plan.gop))
        steps = plan.step_indexes(rd_weight, task.num_samples / task.num_pixels, importance.depths)
        decisions = Decisions(plan.gop, steps, self._networks, importance.blocks, self.targets(plan), self._key)
        coded = code_frames(task, decisions, self._motion, self._advance)
        bits = self._network_bits() + self._symbol_bits(coded)
        mse, bpp = coded.squared_error / task.num_samples, bits / task.num_pixels
        loss = mse + rd_weight * bpp
        self._progress = replace(self._progress, loss=loss, mse=mse, bpp=bpp)
        return Trial(plan, coded, dict(self._networks), dict(self._exponents), bits, loss, self._key)

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
            [self._activities[frame.index] for frame in coded.frames],
            coded.prediction_errors,
            0.72 * SLOPE_OF_STEP * step * step,
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
        self._motion = KnownMotion(units=self._motion.units)

    def keep_motion(self, trial: Trial) -> None:
        """Let the next trials have the motion of this one."""
        self.search_again()
        for frame, field in zip(trial.coded.frames, trial.coded.fields, strict=True):
            if field is not None:
                self._motion.add(frame, field)

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
        counter = SymbolCounter()
        network, list_motion = self._networks["motion"], self._task.fit_engine.writing.list_motion
        write_frames_motion(counter, network, coded.fields, coded.frames, list_motion)
        num_pictures = int(self._key is not None)
        of_filters = filter_bits(coded.frames[num_pictures:], coded.filters[num_pictures:])
        return coded.subband_bits + counter.estimated_bits + of_filters
