# SPDX-License-Identifier: MIT
"""Fitting a segment of the hybrid model: frames one after the other, each against decoded references.

    motion search --> prediction --> wavelet of what is left --> symbols by rate and distortion --> decoded frame
                                                                       ^
    context networks, tuned on the symbols of the pass before ---------+

The loop is closed: every frame is predicted from what a decoder will have, made by the decoder's own integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.errors import CorruptSegmentError
from c3video.hybrid.coded_planes import UNIT_NORM, CodedFormat, coded_format, from_coded, to_coded
from c3video.hybrid.compensation import SAMPLE_BITS, MotionField
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.engine import HybridEngine
from c3video.hybrid.fit.block_errors import block_errors
from c3video.hybrid.fit.context_tuning import (
    FloatNetwork,
    Samples,
    joined,
    motion_samples,
    subband_samples,
    to_integers,
    total_bits,
    tune,
)
from c3video.hybrid.fit.importance import Weights, block_means, importance, spread
from c3video.hybrid.fit.motion_search import MotionSearch, coarse_vectors
from c3video.hybrid.fit.symbol_choice import choose_symbols, coefficients_of
from c3video.hybrid.fit.temporal_filter import temporal_target
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.payload import (
    MAX_GOP,
    MAX_SHIFT,
    NETWORKS,
    SegmentModel,
    SegmentSymbols,
    network_bits,
    prior,
    reference_frames,
)
from c3video.hybrid.subbands import (
    MAX_STEP_INDEX,
    STEP_STEPS,
    FrameSymbols,
    SliceLayout,
    plane_levels,
    quantisation_step,
    reference_magnitudes,
    slice_layouts,
    subband_steps,
)
from c3video.hybrid.symbol_coding import write_frames_motion
from c3video.progress import Progress
from c3video.video import Planes, VideoFormat

IntArray = NDArray[np.int64]

_SLOPE_OF_STEP = 0.105
"""Squared steps that a bit is worth at the best step; found by trial (eval/results/hybrid_trials.md)."""

_LEAST_FILTERED_GOP = 8
"""Frames from anchor to anchor that make it pay to filter anchors; found by trial too."""


@dataclass(frozen=True)
class Plan:
    """How the frames of a segment are ordered and quantised.

    Args:
        gop: frames from anchor to anchor.
        strength: a level's quantisation step shrinks with its weight (hybrid/fit/importance.py) to this power.
        base: step of a frame that nothing hangs on, in units of the one that is best for a frame coded alone.
        filtered: whether anchors are coded for means along motion (hybrid/fit/temporal_filter.py).
    """

    gop: int
    strength: float
    base: float
    filtered: bool = True

    def step_indexes(self, rd_weight: float, samples_a_pixel: float, level_weights: Sequence[float]) -> tuple[int, ...]:
        """Index of the quantisation step of each level.

        Args:
            level_weights: mean weight of each level's blocks.
        """
        alone = np.sqrt(rd_weight * samples_a_pixel / _SLOPE_OF_STEP) * 2.0**SAMPLE_BITS / quantisation_step(0)
        steps = self.base * alone * np.asarray(level_weights) ** -self.strength
        return tuple(np.clip(np.rint(STEP_STEPS * np.log2(steps)), 0, MAX_STEP_INDEX).astype(int).tolist())


_MOVES: tuple[tuple[Callable[[Plan], Plan], Callable[[Plan], Plan]], ...] = (
    (lambda plan: replace(plan, gop=2 * plan.gop), lambda plan: replace(plan, gop=max(1, plan.gop // 2))),
    (lambda plan: replace(plan, base=1.2 * plan.base), lambda plan: replace(plan, base=plan.base / 1.2)),
    (
        lambda plan: replace(plan, strength=plan.strength + 0.1),
        lambda plan: replace(plan, strength=max(0.0, plan.strength - 0.1)),
    ),
    (lambda plan: replace(plan, filtered=True), lambda plan: replace(plan, filtered=False)),
)
"""Pairs of steps from a plan to its neighbours, one each way."""


@dataclass
class CodedFrames:
    """All frames of a segment coded once.

    Args:
        frames: in coding order.
        decoded: by display index, coded planes as a decoder will have them.
        fields, symbols: by place in the coding order.
        prediction_errors: by place (bh, bw), mean square over each block of luma, full range 1.
        subband_bits: of all symbols, under the networks that they were chosen with.
        squared_error: over all samples, full range 1.
    """

    gop: int
    step_indexes: tuple[int, ...]
    frames: tuple[CodedFrame, ...]
    decoded: list[Planes]
    fields: list[MotionField | None]
    symbols: list[FrameSymbols]
    prediction_errors: list[Weights]
    subband_bits: float
    squared_error: float


def luma_step(step_index: int, coded_as: CodedFormat) -> float:
    """Quantisation step of an orthonormal coefficient of the first plane, full range 1."""
    return quantisation_step(step_index) * 2.0**-SAMPLE_BITS * UNIT_NORM / coded_as.norms[0]


MotionCache = dict[tuple[int, tuple[int, ...]], MotionField]
"""Fields by display index of a frame and its references."""


def code_frames(
    planes: Sequence[Planes],
    coded_as: CodedFormat,
    config: HybridConfig,
    networks: dict[str, ContextNetwork],
    gop: int,
    indexes: tuple[int, ...],
    fit_config: HybridFitConfig,
    engine: HybridEngine,
    *,
    motion: MotionCache | None = None,
    weights: dict[int, Weights] | None = None,
    targets: Mapping[int, Planes] = MappingProxyType({}),
    report: Callable[[int], None] = lambda place: None,
    num_threads: int = 1,
) -> CodedFrames:
    """Code all frames of a segment once.

    Args:
        planes: of each frame in display order, as `coded_as` says.
        indexes: step index of each level.
        motion: fields known from an earlier pass; those found here are added.
        weights: by display index (bh, bw), how much the error of each block counts against its frame's mean.
        targets: by display index, what the symbols of a frame are chosen for where that is not the frame itself.
        report: called after each frame with its place in the coding order.
    """
    frames = coding_order(len(planes), gop)
    places = {frame.index: place for place, frame in enumerate(frames)}
    whole = slice_layouts(coded_as.shapes, coded_as.shifts, 1)[0]
    decoded: list[Planes] = [() for _ in planes]
    fields: list[MotionField | None] = []
    symbols: list[FrameSymbols] = []
    prediction_errors: list[Weights] = []
    subband_bits = squared_error = 0.0
    for place, frame in enumerate(frames):
        step = luma_step(indexes[frame.level], coded_as)
        references = [decoded[index] for index in frame.references]
        field = None
        if frame.references:
            field = motion.get((frame.index, frame.references)) if motion is not None else None
            if field is None:
                slope = _SLOPE_OF_STEP * step * step
                field = _search(planes[frame.index], references, frame, coded_as, config, slope, num_threads)
                if motion is not None:
                    motion[frame.index, frame.references] = field
        known = reference_magnitudes([symbols[places[index]] for index in frame.references], whole)
        chosen = whole.empty()
        samples = []
        weight = None if weights is None else weights[frame.index]

        def slopes(shape: tuple[int, int], plane: int, weight: Weights | None = weight) -> NDArray[np.float64]:
            # In RGB all planes count alike.
            slope = _SLOPE_OF_STEP * (fit_config.chroma_slope if plane and not coded_as.is_rgb else 1.0)
            return np.full(shape, slope) if weight is None else slope / spread(weight, shape)

        for plane, (shifts, norm) in enumerate(zip(coded_as.shifts, coded_as.norms, strict=True)):
            steps = subband_steps(indexes[frame.level], plane_levels(shifts), norm)
            source = planes[frame.index][plane]
            target = targets[frame.index][plane] if frame.index in targets else source
            sources = [reference[plane] for reference in references]
            prediction = engine.compensate(sources, field, config.block_size, shifts, coded_as.bit_depth, target.shape)
            centred = (target.astype(np.float64) - (1 << (coded_as.bit_depth - 1))) * 2.0 ** (
                SAMPLE_BITS - coded_as.bit_depth
            )
            residual = centred - prediction
            if plane == 0:
                prediction_errors.append(block_means(np.square(residual * 2.0**-SAMPLE_BITS), config.block_size))
            subband_bits += choose_symbols(
                coefficients_of(residual, plane_levels(shifts)),
                steps,
                networks["subbands"],
                chosen,
                known,
                plane,
                frame.level,
                partial(slopes, plane=plane),
                fit_config.rounding_passes,
            )
            found = engine.reconstruct_plane(
                sources, field, config.block_size, shifts, coded_as.bit_depth, chosen[plane], steps, num_threads
            )
            samples.append(found.astype(coded_as.dtype))
            error = float(np.square(found.astype(np.float64) - source).sum())
            squared_error += error * (norm / UNIT_NORM / coded_as.full_range) ** 2
        decoded[frame.index] = tuple(samples)
        fields.append(field)
        symbols.append(chosen)
        report(place)
    return CodedFrames(gop, indexes, frames, decoded, fields, symbols, prediction_errors, subband_bits, squared_error)


def _search(
    planes: Planes,
    references: Sequence[Planes],
    frame: CodedFrame,
    coded_as: CodedFormat,
    config: HybridConfig,
    slope: float,
    num_threads: int,
) -> MotionField:
    luma = [reference[0] for reference in references]
    errors = block_errors(planes[0], luma, config.block_size, coded_as.bit_depth)
    starts = [coarse_vectors(planes[0], reference, config.block_size) for reference in luma]
    return MotionSearch(errors, config.block_size, slope, frame).field(starts, num_threads)


@dataclass(frozen=True)
class FittedSegment:
    """A segment ready to be coded.

    Args:
        model, symbols: for `coding.segment.encode_segment`.
        decoded: planes of each frame in display order, as a decoder will have them.
        estimated_bits: what the tables promise.
        squared_error: over all samples, full range 1.
    """

    model: SegmentModel
    symbols: SegmentSymbols
    decoded: tuple[Planes, ...]
    estimated_bits: float
    squared_error: float


def fit_segment(
    planes: Sequence[Planes],
    video: VideoFormat,
    config: HybridConfig,
    fit_config: HybridFitConfig,
    engine: HybridEngine,
    *,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    num_threads: int = 1,
) -> FittedSegment:
    """Fit a segment: choose its plan by trial, then code it with networks tuned on its own symbols.

    Args:
        planes: of each frame in display order.
        seed: of the batches that the networks are tuned on.
        report: called after each coded frame.
    """
    coded_planes = [to_coded(frame, video.layout) for frame in planes]
    fit = _Fit(coded_planes, coded_format(video), config, fit_config, engine, seed, report, num_threads)
    best = fit.best_plan()
    for _ in range(fit_config.passes):
        fit.tune(best)
        again = fit.attempt(best.plan)
        if again.loss < best.loss:
            best = again
    coded = best.coded
    return FittedSegment(
        SegmentModel(best.plan.gop, coded.step_indexes, best.networks, best.shifts),
        SegmentSymbols(tuple(coded.fields), tuple(coded.symbols)),
        tuple(from_coded(frame, video.layout) for frame in coded.decoded),
        best.bits,
        coded.squared_error,
    )


@dataclass(frozen=True)
class _Attempt:
    """A plan and what came of it."""

    plan: Plan
    coded: CodedFrames
    networks: dict[str, ContextNetwork]
    shifts: dict[str, int | None]
    bits: float
    loss: float


@dataclass(frozen=True)
class _SegmentWeights:
    """What counts for how much in a segment.

    Args:
        levels: mean weight of each level.
        blocks: by display index (bh, bw), weights within a frame, of mean 1; None: all alike.
    """

    levels: tuple[float, ...]
    blocks: dict[int, Weights] | None


def _level_weights(frames: Sequence[CodedFrame], weights: dict[int, float]) -> tuple[float, ...]:
    """Geometric mean over the frames of each level, from weights by display index."""
    logs: dict[int, list[float]] = {}
    for frame in frames:
        logs.setdefault(frame.level, []).append(np.log(weights[frame.index]))
    return tuple(float(np.exp(np.mean(logs[level]))) for level in sorted(logs))


def _typical_weights(num_frames: int, gop: int, share: float = 0.8) -> _SegmentWeights:
    """Weights of a segment of which nothing is known but how much prediction usually brings."""
    frames = coding_order(num_frames, gop)
    weights = {frame.index: 1.0 for frame in frames}
    for frame in reversed(frames):
        for index in frame.references:
            weights[index] += share * weights[frame.index] / len(frame.references)
    return _SegmentWeights(_level_weights(frames, weights), None)


def segment_samples(frames: Sequence[CodedFrame], symbols: SegmentSymbols, layout: SliceLayout) -> dict[str, Samples]:
    """What the networks of NETWORKS are tuned on: all symbols of a segment, by name; motion only where there is any.

    Args:
        frames: in coding order.
        layout: of whole frames.
    """
    places = reference_frames(frames)
    subbands = [
        subband_samples(found, reference_magnitudes([symbols.frames[x] for x in places[place]], layout), frame.level)
        for place, (found, frame) in enumerate(zip(symbols.frames, frames, strict=True))
    ]
    motion = [
        motion_samples(field, frame) for field, frame in zip(symbols.fields, frames, strict=True) if field is not None
    ]
    return {name: joined(parts) for name, parts in (("subbands", subbands), ("motion", motion)) if parts}


@dataclass
class _Fit:
    planes: Sequence[Planes]
    coded_as: CodedFormat
    config: HybridConfig
    fit_config: HybridFitConfig
    engine: HybridEngine
    seed: int
    report: Callable[[Progress], None]
    num_threads: int

    def __post_init__(self) -> None:
        self.networks = {name: prior(name) for name in NETWORKS}
        self.shifts: dict[str, int | None] = dict.fromkeys(NETWORKS)
        self.motion: MotionCache = {}
        self.layout = slice_layouts(self.coded_as.shapes, self.coded_as.shifts, 1)[0]
        num_samples = [len(self.planes) * height * width for height, width in self.coded_as.shapes]
        self.num_pixels, self.num_samples = num_samples[0], sum(num_samples)
        self.weights: dict[int, _SegmentWeights] = {}
        self.activities = [
            _activity(frame[0], self.config.block_size, self.coded_as.bit_depth) for frame in self.planes
        ]
        self.filtered: dict[int, Planes] = {}
        self.num_attempts = 0
        self.done = 0
        self.last = Progress("plan", 0, self.total_frames, 0.0, 0.0, 0.0)

    @property
    def total_frames(self) -> int:
        """Most frames that may be coded on the way."""
        return len(self.planes) * (self.fit_config.plans + self.fit_config.passes)

    def attempt(self, plan: Plan) -> _Attempt:
        """Code the segment by a plan with the networks of now."""
        self.num_attempts += 1

        def advance(place: int) -> None:
            self.done += 1
            self.last = replace(self.last, step=self.done)
            self.report(self.last)

        weights = self.weights.get(plan.gop, _typical_weights(len(self.planes), plan.gop))
        indexes = plan.step_indexes(self.fit_config.rd_weight, self.num_samples / self.num_pixels, weights.levels)
        coded = code_frames(
            self.planes,
            self.coded_as,
            self.config,
            self.networks,
            plan.gop,
            indexes,
            self.fit_config,
            self.engine,
            motion=self.motion,
            weights=weights.blocks,
            targets=self.targets(plan),
            report=advance,
            num_threads=self.num_threads,
        )
        bits = self.network_bits() + self.symbol_bits(coded)
        mse, bpp = coded.squared_error / self.num_samples, bits / self.num_pixels
        loss = mse + self.fit_config.rd_weight * bpp
        self.last = Progress("plan", self.done, self.total_frames, loss, mse, bpp)
        return _Attempt(plan, coded, dict(self.networks), dict(self.shifts), bits, loss)

    def as_coded(self, plan: Plan) -> Plan:
        """The same for all plans that code the segment alike: filtered only where that has an effect."""
        # Anchors that stand closer are too many of all frames to be coded for the sake of others; and without the
        # extension the filter would take too long.
        return replace(plan, filtered=plan.filtered and plan.gop >= _LEAST_FILTERED_GOP and native.available())

    def targets(self, plan: Plan) -> dict[int, Planes]:
        """By display index, what symbols of anchors are chosen for where that is not the source."""
        if not self.as_coded(plan).filtered:
            return {}
        luma_norm = self.coded_as.norms[0] / UNIT_NORM
        slope = self.fit_config.rd_weight * self.num_samples / self.num_pixels / luma_norm**2
        anchors = [frame.index for frame in coding_order(len(self.planes), plan.gop) if frame.level <= 1]
        for index in anchors:
            if index not in self.filtered:
                self.filtered[index] = temporal_target(
                    self.planes, index, self.coded_as, self.config.block_size, slope, self.engine, self.num_threads
                )
        return {index: self.filtered[index] for index in anchors}

    def weigh(self, attempt: _Attempt) -> None:
        """Let blocks count by what hangs on them, as far as an attempt shows."""
        coded = attempt.coded
        indexes = [frame.index for frame in coded.frames]
        step = luma_step(max(coded.step_indexes), self.coded_as)
        found = importance(
            coded.frames,
            coded.fields,
            [self.activities[index] for index in indexes],
            coded.prediction_errors,
            0.72 * _SLOPE_OF_STEP * step * step,
            self.config.block_size,
        )
        logs = {index: np.log(weights) for index, weights in zip(indexes, found, strict=True)}
        power = self.fit_config.importance
        self.weights[attempt.plan.gop] = _SegmentWeights(
            _level_weights(coded.frames, {index: float(np.exp(values.mean())) for index, values in logs.items()}),
            {index: np.exp(power * (values - values.mean())) for index, values in logs.items()},
        )

    def network_bits(self) -> float:
        return sum(
            network_bits(name, self.networks[name], shift) for name, shift in self.shifts.items() if shift is not None
        )

    def symbol_bits(self, coded: CodedFrames) -> float:
        counter = SymbolCounter()
        write_frames_motion(counter, self.networks["motion"], coded.fields, coded.frames)
        return coded.subband_bits + counter.estimated_bits

    def best_plan(self) -> _Attempt:
        """Go from plan to plan while it helps: how far apart anchors are, then how much finer what is seen again is."""
        longest = max(1, min(MAX_GOP, len(self.planes) - 1))
        best = self.attempt(Plan(min(8, longest), 0.4, 1.0))
        tried = {self.as_coded(best.plan)}

        def better(plan: Plan) -> bool:
            nonlocal best
            plan = replace(plan, gop=min(plan.gop, longest))
            if self.as_coded(plan) in tried or self.num_attempts >= self.fit_config.plans:
                return False
            tried.add(self.as_coded(plan))
            found = self.attempt(plan)
            if plan.gop not in self.weights and self.num_attempts < self.fit_config.plans:
                if found.loss > 1.05 * best.loss:
                    return False
                self.weigh(found)
                found = min(found, self.attempt(plan), key=lambda attempt: attempt.loss)
            if found.loss >= best.loss:
                return False
            best = found
            return True

        if self.fit_config.plans > 1 and longest > 1:
            # The first attempt knew no weights: the same again, with them.
            self.weigh(best)
            best = min(best, self.attempt(best.plan), key=lambda attempt: attempt.loss)
        improved = True
        while improved:
            improved = False
            for one, other in _MOVES:
                improved |= better(one(best.plan)) or better(other(best.plan))
        return best

    def tune(self, attempt: _Attempt) -> None:
        """Tune the networks on the symbols of an attempt; keep what saves more bits than it costs."""
        coded = attempt.coded
        samples = segment_samples(coded.frames, SegmentSymbols(tuple(coded.fields), tuple(coded.symbols)), self.layout)
        for name, found in samples.items():
            self._tune(name, found)

    def _tune(self, name: str, samples: Samples) -> None:
        start = prior(name)
        network = tune(samples, start, self.fit_config.tuning_steps, self.fit_config.tuning_rate, self.seed)
        best = total_bits(FloatNetwork(start), samples)
        self.networks[name], self.shifts[name] = start, None
        for shift in range(3, MAX_SHIFT):
            rounded = to_integers(network, start, shift)
            try:
                rounded.check()
            except CorruptSegmentError:
                continue
            bits = total_bits(FloatNetwork(rounded), samples) + network_bits(name, rounded, shift)
            if bits < best:
                best, self.networks[name], self.shifts[name] = bits, rounded, shift


def _activity(luma: NDArray[np.generic], block_size: int, bit_depth: int) -> Weights:
    """(bh, bw) mean square of each block about its own mean, full range 1."""
    scaled = luma.astype(np.float64) * 2.0**-bit_depth
    return np.maximum(block_means(np.square(scaled), block_size) - np.square(block_means(scaled, block_size)), 0.0)
