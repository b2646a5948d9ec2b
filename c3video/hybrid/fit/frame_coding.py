# SPDX-License-Identifier: MIT
"""Coding all frames of a segment once, one after the other, each against decoded references.

    motion search --> prediction --> wavelet of what is left --> symbols by rate and distortion --+
    decoded frame <-- the best filter, or none <-- samples <--------------------------------------+

The loop is closed: every frame is predicted from what a decoder will have, made by the decoder's own integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.rangecoder import SymbolCounter
from c3video.hybrid.coded_planes import UNIT_NORM, CodedFormat
from c3video.hybrid.compensation import BLOCK_SIZE, SAMPLE_BITS, MotionField, block_shape
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.chroma import error_weight
from c3video.hybrid.fit.importance import BlockImportance, block_means, spread
from c3video.hybrid.fit.motion_search import FrameSearch
from c3video.hybrid.fit.packed_symbols import PackedSymbols
from c3video.hybrid.fit.plans import SLOPE_OF_STEP
from c3video.hybrid.fit.symbol_choice import PlaneChoice
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.key_picture import key_symbols
from c3video.hybrid.loop_filter import plane_filters
from c3video.hybrid.motion_symbols import EarlierMotion, earlier_motion
from c3video.hybrid.payload import FrameFilters
from c3video.hybrid.subbands import (
    FrameSymbols,
    filter_step,
    plane_levels,
    plane_steps,
    quantisation_step,
    reference_magnitudes,
)
from c3video.hybrid.symbol_coding import write_motion
from c3video.video import Planes


@dataclass(frozen=True)
class KeyPicture:
    """A first frame as the pyramid model codes it.

    Args:
        data: its bytes.
        planes: coded planes, decoded.
        notes: what went wrong in its fit and was mended.
    """

    data: bytes
    planes: Planes
    notes: tuple[str, ...] = ()


_DEPTH_OF_AGREEMENT = 3
"""Least depth at which a frame's vectors may take the unit of those of its references unseen."""

_BITS_OF_CHANGE = 3.0
"""What another filter than the usual one costs more."""


@dataclass
class KnownMotion:
    """What earlier codings of a segment have found of its motion.

    Args:
        fields: by display index of a frame and its references.
        units: by display index, of the vectors of a field that was found for the frame; they seldom change.
    """

    fields: dict[tuple[int, tuple[int, ...]], MotionField] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)

    def unit(self, frame: CodedFrame) -> int | None:
        """Of the vectors of a frame, where it is known or, between anchors, its references agree on it."""
        of_references = {self.units.get(index) for index in frame.references}
        if frame.index in self.units or frame.depth < _DEPTH_OF_AGREEMENT or len(of_references) > 1:
            return self.units.get(frame.index)
        return of_references.pop()

    def add(self, frame: CodedFrame, found: MotionField) -> None:
        self.fields[frame.index, frame.references] = found
        self.units[frame.index] = found.unit


def luma_step(step_index: int, coded_as: CodedFormat) -> float:
    """Quantisation step of an orthonormal coefficient of the first plane, full range 1."""
    return quantisation_step(step_index) * 2.0**-SAMPLE_BITS * UNIT_NORM / coded_as.norms[0]


@dataclass(frozen=True)
class Decisions:
    """What differs from one coding of all frames to the next.

    Args:
        gop: frames from anchor to anchor.
        step_indexes: of each frame's quantisation step, in coding order.
        networks: by name of CONTEXT_NETWORKS.
        importance: by display index (bh, bw), how much the error of each block counts against its frame's mean; None
            where all count alike.
        targets: by display index, what the symbols of a frame are chosen for where that is not the frame itself.
        key: the first frame, where it is a picture; None where it is coded like the others.
    """

    gop: int
    step_indexes: tuple[int, ...]
    networks: Mapping[str, ContextNetwork]
    importance: Mapping[int, BlockImportance] | None
    targets: Mapping[int, Planes]
    key: KeyPicture | None = None


@dataclass
class CodedFrames:
    """Frames of a segment, as far as they have been coded.

    Args:
        frames: in coding order.
        fields, symbols, filters: by place in the coding order.
        prediction_errors: by place (bh, bw), mean square over each block of luma, full range 1.
        subband_bits: of all symbols, under the networks that they were chosen with, and of a picture.
        motion_bits: of all fields.
        squared_error: over all samples, full range 1.
        weighted_error: the same, each plane's errors as they count.
        totals: by place, bits of subbands and motion, and weighted_error, when it had been coded.
    """

    step_indexes: tuple[int, ...]
    frames: tuple[CodedFrame, ...]
    fields: list[MotionField | None] = field(default_factory=list)
    symbols: PackedSymbols = field(default_factory=PackedSymbols)
    filters: list[FrameFilters] = field(default_factory=list)
    prediction_errors: list[NDArray[np.float64]] = field(default_factory=list)
    subband_bits: float = 0.0
    motion_bits: float = 0.0
    squared_error: float = 0.0
    weighted_error: float = 0.0
    totals: list[tuple[float, float]] = field(default_factory=list)

    def begins_with(self, num_frames: int) -> bool:
        """Whether the first frames that are coded are the first to be shown."""
        return all(frame.index < num_frames for frame in self.frames[:num_frames])

    def end_frame(self) -> None:
        self.totals.append((self.subband_bits + self.motion_bits, self.weighted_error))

    def add_error(
        self, plane: int, found: NDArray[np.unsignedinteger], source: NDArray[Any], coded_as: CodedFormat
    ) -> None:
        """Count what a decoded plane lacks."""
        error = float(np.square(found.astype(np.float64) - source).sum())
        error *= (coded_as.norms[plane] / UNIT_NORM / coded_as.full_range) ** 2
        self.squared_error += error
        self.weighted_error += error * error_weight(coded_as, plane)


def code_frames(
    task: FitTask,
    decisions: Decisions,
    motion: KnownMotion,
    report: Callable[[], None] = lambda: None,
    is_hopeless: Callable[[CodedFrames], bool] = lambda coded: False,
) -> CodedFrames:
    """Code all frames once.

    Args:
        motion: known from earlier times; what is found here is added.
        report: called after each frame.
        is_hopeless: asked after each frame that is predicted whether to leave it at those.
    """
    coded = CodedFrames(decisions.step_indexes, coding_order(len(task.planes), decisions.gop))
    last_use = {index: place for place, frame in enumerate(coded.frames) for index in frame.references}
    places = {frame.index: place for place, frame in enumerate(coded.frames)}
    # By display index, of frames that others still need.
    decoded: dict[int, Planes] = {}
    symbols: dict[int, FrameSymbols] = {}
    for place, frame in enumerate(coded.frames):
        if decisions.key is not None and not frame.references:
            decoded[0], symbols[0] = decisions.key.planes, _add_key(task, decisions.key, coded)
            coded.end_frame()
            report()
            continue
        references = [decoded[index] for index in frame.references]
        known = [symbols[index] for index in frame.references]
        fields = [(coded.frames[places[index]], coded.fields[places[index]]) for index in frame.references]
        earlier = earlier_motion(frame, fields)
        coder = _FrameCoder(
            task,
            decisions,
            frame,
            decisions.step_indexes[place],
            references,
            _motion(task, decisions, frame, decisions.step_indexes[place], references, earlier, motion),
            reference_magnitudes(known, task.layout),
            task.layout.empty(),
        )
        coded.motion_bits += _motion_bits(task, decisions, frame, coder.field, earlier)
        planes, filters = [], _filters_before(coded, place, len(task.coded_as.shapes))
        for plane in range(len(task.coded_as.shapes)):
            found, number = coder.code_plane(plane, coded, filters[plane])
            planes.append(found)
            filters[plane] = number
        decoded[frame.index] = tuple(planes)
        coded.filters.append(tuple(filters))
        coded.fields.append(coder.field)
        coded.symbols.append(coder.symbols)
        symbols[frame.index] = coder.symbols
        for index in {frame.index, *frame.references}:
            if last_use.get(index, -1) <= place:
                del symbols[index], decoded[index]
        coded.end_frame()
        report()
        if is_hopeless(coded):
            break
    return coded


def decode_again(task: FitTask, coded: CodedFrames, key: KeyPicture | None) -> tuple[Planes, ...]:
    """Coded planes of all frames in display order, as a decoder will have them.

    They were there while the frames were coded. To keep them for each of several codings would take more memory than
    all else.
    """
    found: dict[int, Planes] = {}
    for place, frame in enumerate(coded.frames):
        if key is not None and not frame.references:
            found[frame.index] = key.planes
            continue
        symbols, step_index = coded.symbols[place], coded.step_indexes[place]
        planes = []
        for plane, shifts in enumerate(task.coded_as.shifts):
            samples = task.engine.reconstruct_plane(
                [found[index][plane] for index in frame.references],
                coded.fields[place],
                BLOCK_SIZE,
                shifts,
                task.coded_as.bit_depth,
                symbols[plane],
                plane_steps(task.coded_as, step_index, plane),
                task.num_threads,
            )
            number = coded.filters[place][plane]
            planes.append(_filtered(task, samples, plane, step_index, number).astype(task.coded_as.dtype))
        found[frame.index] = tuple(planes)
    return tuple(found[index] for index in range(len(found)))


def _filtered(
    task: FitTask, samples: NDArray[np.unsignedinteger], plane: int, step_index: int, number: int
) -> NDArray[np.unsignedinteger]:
    """A plane after the filter of that number, 0: as it is."""
    if not number:
        return samples
    step = filter_step(task.coded_as, step_index, plane)
    network = plane_filters(plane)[number - 1]
    return task.engine.filter_plane(samples, step, task.coded_as.bit_depth, network, task.num_threads)


def _filters_before(coded: CodedFrames, place: int, num_planes: int) -> list[int]:
    """By plane the filter of the frame before of the same depth, which costs least."""
    depth = coded.frames[place].depth
    earlier = [number for number in range(place) if coded.frames[number].depth == depth and coded.filters[number]]
    return list(coded.filters[earlier[-1]]) if earlier else [0] * num_planes


def _add_key(task: FitTask, key: KeyPicture, coded: CodedFrames) -> FrameSymbols:
    """The first frame, which has been coded; returns symbols for the contexts of others."""
    coded_as = task.coded_as
    coded.fields.append(None)
    coded.filters.append(())
    symbols = key_symbols(key.planes, coded_as, coded.step_indexes[0], task.engine.plane_symbols)
    coded.symbols.append(symbols)
    coded.prediction_errors.append(np.zeros(block_shape(coded_as.shapes[0], BLOCK_SIZE)))
    coded.subband_bits += 8.0 * len(key.data)
    for plane, (found, source) in enumerate(zip(key.planes, task.planes[0], strict=True)):
        coded.add_error(plane, found, source, coded_as)
    return symbols


def _motion(
    task: FitTask,
    decisions: Decisions,
    frame: CodedFrame,
    step_index: int,
    references: Sequence[Planes],
    earlier: EarlierMotion | None,
    known: KnownMotion,
) -> MotionField | None:
    """Where a frame is predicted from, searched for unless it is known."""
    if not frame.references:
        return None
    if (frame.index, frame.references) not in known.fields:
        current, luma = task.planes[frame.index][0], [reference[0] for reference in references]
        step, network = luma_step(step_index, task.coded_as), decisions.networks["motion"]
        slope, unit = SLOPE_OF_STEP * step * step, known.unit(frame)
        search = FrameSearch(current, luma, frame, earlier, network, task.coded_as.bit_depth, slope, unit)
        known.add(frame, task.fit_engine.search(search, task.num_threads))
    return known.fields[frame.index, frame.references]


def _motion_bits(
    task: FitTask,
    decisions: Decisions,
    frame: CodedFrame,
    found: MotionField | None,
    earlier: EarlierMotion | None,
) -> float:
    if found is None:
        return 0.0
    counter, listed = SymbolCounter(), task.fit_engine.writing.list_motion(found, frame, earlier)
    write_motion(counter, decisions.networks["motion"], listed, frame.depth)
    return counter.estimated_bits


@dataclass(frozen=True)
class _FrameCoder:
    """One frame on its way.

    Args:
        step_index: of its quantisation step.
        references: decoded planes of each.
        field: where it is predicted from.
        reference_symbols: magnitudes of the references' symbols.
        symbols: of the planes that have been coded; zero in the others.
    """

    task: FitTask
    decisions: Decisions
    frame: CodedFrame
    step_index: int
    references: Sequence[Planes]
    field: MotionField | None
    reference_symbols: FrameSymbols
    symbols: FrameSymbols

    def code_plane(self, plane: int, coded: CodedFrames, usual: int) -> tuple[NDArray[np.unsignedinteger], int]:
        """Choose the symbols of the next plane and its filter, add what they cost to `coded`.

        Args:
            usual: the filter that costs least.

        Returns:
            What a decoder will have, and the number of the filter.
        """
        task, coded_as, index = self.task, self.task.coded_as, self.frame.index
        shifts = coded_as.shifts[plane]
        steps = plane_steps(coded_as, self.step_index, plane)
        source = task.planes[index][plane]
        target = self.decisions.targets.get(index, task.planes[index])[plane]
        references = [reference[plane] for reference in self.references]
        where = (references, self.field, BLOCK_SIZE, shifts, coded_as.bit_depth)
        centred = (target.astype(np.float64) - (1 << (coded_as.bit_depth - 1))) * 2.0 ** (
            SAMPLE_BITS - coded_as.bit_depth
        )
        residual = centred - task.engine.compensate(*where, target.shape)
        if plane == 0:
            errors = block_means(np.square(residual * 2.0**-SAMPLE_BITS), BLOCK_SIZE)
            coded.prediction_errors.append(errors)
        coefficients = task.fit_engine.analyse(residual, plane_levels(shifts))
        choice = PlaneChoice(
            coefficients,
            steps,
            [self._slopes(band.shape) for band in coefficients],
            self.decisions.networks["subbands"],
            self.symbols,
            self.reference_symbols,
            plane,
            self.frame.depth,
        )
        coded.subband_bits += task.fit_engine.choose(choice, task.fit_config.choice_passes)
        found = task.engine.reconstruct_plane(*where, self.symbols[plane], steps, task.num_threads)
        found, number = self._best_filtered(found, target, plane, usual)
        coded.add_error(plane, found, source, coded_as)
        return found.astype(coded_as.dtype), number

    def _best_filtered(
        self, samples: NDArray[np.unsignedinteger], target: NDArray[Any], plane: int, usual: int
    ) -> tuple[NDArray[np.unsignedinteger], int]:
        """A plane after the filter that brings it nearest to its target, and that filter's number."""
        coded_as, bit_depth = self.task.coded_as, self.task.coded_as.bit_depth
        step_in_samples = filter_step(coded_as, self.step_index, plane) * 2.0 ** (bit_depth - SAMPLE_BITS)
        bits_worth = SLOPE_OF_STEP * step_in_samples**2
        best, best_loss, best_number = samples, math.inf, 0
        for number in range(len(plane_filters(plane)) + 1):
            found = _filtered(self.task, samples, plane, self.step_index, number)
            error = float(np.square(found.astype(np.float64) - target).sum())
            loss = error + _BITS_OF_CHANGE * bits_worth * (number != usual)
            if loss < best_loss:
                best, best_loss, best_number = found, loss, number
        return best, best_number

    def _slopes(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Squared steps that a bit is worth at each place of a subband (h, w)."""
        height, width = shape
        if self.decisions.importance is None:
            return np.full((height, width), SLOPE_OF_STEP)
        return SLOPE_OF_STEP / spread(self.decisions.importance[self.frame.index], (height, width))
