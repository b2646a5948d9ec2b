# SPDX-License-Identifier: MIT
"""Symbols of wavelet subbands: their order, their contexts and their quantisation (docs/c3v.md, sections 11 and 15).

Each plane of a frame is a list of subbands, coarse to fine; a *slice* is a run of rows of each of them, coded on its
own. The context of a symbol's magnitude is made of magnitudes (that of its sign is in signs.py):

    8 causal neighbours in its subband     5 around the same place one level coarser
    5 around the same place in HL of its level (for LH and HH), 2 at and beside it in LH (for HH)
    5 around the same place in the reference frames, summed over them
    1 at the same place in the plane before (U from Y, V from U)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.hybrid.coded_planes import UNIT_NORM, CodedFormat
from c3video.hybrid.config import MAX_LEVELS
from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.wavelet import LIMIT, num_subbands, subband_shapes

IntArray = NDArray[np.int64]
FrameSymbols = list[list[IntArray]]
"""By plane and subband: (h, w)."""

MAX_SYMBOL = 1 << 15
NUM_CLASSES = 2 * num_subbands(MAX_LEVELS)

CAUSAL = ((-2, 0), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (0, -2), (0, -1))
"""(dy, dx) of the causal taps in raster order."""
CROSS = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))
"""(dy, dx) of the five taps around a place."""
LH_TAPS = ((0, 0), (0, 1))
"""(dy, dx) of the taps in LH: the rest of a cross there tells next to nothing that other taps do not."""
NUM_INPUTS = len(CAUSAL) + 3 * len(CROSS) + len(LH_TAPS) + 1

# fmt: off
NORMS = (
    (333, 259, 259, 201),
    (461, 338, 338, 248),
    (622, 468, 468, 352),
    (828, 631, 631, 481),
    (1096, 839, 839, 642),
)
# fmt: on
"""Length of what one coefficient of (LL, HL, LH, HH) adds to a plane, in units of 1/256, by level, the finest first."""

STEP_STEPS = 8
"""Steps of the quantisation step's index an octave."""
MAX_STEP_INDEX = 85
"""Of half as much again as the full range; all steps of subbands stay below 2^15."""

# fmt: off
STEP_OCTAVE = (16, 17, 19, 21, 23, 25, 27, 29)
# fmt: on
"""Quantisation step of the indexes of the lowest octave."""


def quantisation_step(index: int) -> int:
    """Step of an orthonormal coefficient in units of 2^-14 of the full range: doubles every STEP_STEPS indexes."""
    return STEP_OCTAVE[index % STEP_STEPS] << (index // STEP_STEPS)


def plane_levels(shifts: tuple[int, int]) -> int:
    """Levels of the wavelet of a plane subsampled by `shifts`."""
    return MAX_LEVELS - max(shifts)


def plane_step(step_index: int, plane_norm: int = UNIT_NORM) -> int:
    """Step of an orthonormal coefficient of a plane; `plane_norm` as in `CodedFormat.norms`."""
    return quantisation_step(step_index) * UNIT_NORM // plane_norm


def subband_steps(step_index: int, levels: int, plane_norm: int = UNIT_NORM) -> tuple[int, ...]:
    """Quantisation step of each subband of a plane in coding order; `plane_norm` as in `CodedFormat.norms`."""
    step = plane_step(step_index, plane_norm)
    norms = [NORMS[levels - 1][0]] + [norm for level in reversed(range(levels)) for norm in NORMS[level][1:]]
    return tuple(max(1, step * 256 // norm) for norm in norms)


def plane_steps(coded: CodedFormat, step_index: int, plane: int) -> tuple[int, ...]:
    """Quantisation step of each subband of a plane of a frame with that step index."""
    index, levels = coded.step_index(step_index, plane), plane_levels(coded.shifts[plane])
    return subband_steps(index, levels, coded.norms[plane])


def filter_step(coded: CodedFormat, step_index: int, plane: int) -> int:
    """Step in which the filter of a plane measures, of a frame with that step index."""
    return plane_step(coded.step_index(step_index, plane), coded.norms[plane])


def dequantise(symbols: IntArray, step: int) -> IntArray:
    """Coefficients of symbols: a sixteenth of a step nearer to zero than their multiple, where the mean lies."""
    return np.clip(np.sign(symbols) * (((16 * np.abs(symbols) - 1) * step) >> 4), -LIMIT, LIMIT)


@dataclass(frozen=True)
class SliceLayout:
    """Shapes of one slice: by plane and subband (h, w)."""

    shapes: tuple[tuple[tuple[int, int], ...], ...]

    def empty(self) -> FrameSymbols:
        """Symbols of zero."""
        return [[np.zeros(shape, dtype=np.int64) for shape in plane] for plane in self.shapes]


def slice_rows(height: int, index: int, num_slices: int) -> slice:
    """Rows of a subband that belong to a slice."""
    return slice(index * height // num_slices, (index + 1) * height // num_slices)


def slice_layouts(
    plane_shapes: Sequence[tuple[int, int]], plane_shifts: Sequence[tuple[int, int]], num_slices: int
) -> tuple[SliceLayout, ...]:
    """The slices of a frame."""
    layouts = []
    for index in range(num_slices):
        planes = []
        for shape, shifts in zip(plane_shapes, plane_shifts, strict=True):
            bands = []
            for height, width in subband_shapes(shape, plane_levels(shifts)):
                rows = slice_rows(height, index, num_slices)
                bands.append((rows.stop - rows.start, width))
            planes.append(tuple(bands))
        layouts.append(SliceLayout(tuple(planes)))
    return tuple(layouts)


def cut_slice(symbols: FrameSymbols, index: int, num_slices: int) -> FrameSymbols:
    """A slice of a frame's symbols, as views."""
    return [[band[slice_rows(len(band), index, num_slices)] for band in plane] for plane in symbols]


def join_slices(slices: Sequence[FrameSymbols]) -> FrameSymbols:
    """A frame's symbols from those of its slices."""
    if len(slices) == 1:
        return slices[0]
    return [
        [np.concatenate([part[plane][band] for part in slices]) for band in range(len(slices[0][plane]))]
        for plane in range(len(slices[0]))
    ]


def symbol_class(plane: int, band: int, levels: int) -> int:
    """Which biases a subband has: by luma or chroma, level counted from the finest, and orientation."""
    place = 0 if band == 0 else 1 + 3 * (levels - 1 - (band - 1) // 3) + (band - 1) % 3
    return place + (num_subbands(MAX_LEVELS) if plane else 0)


def reference_magnitudes(references: Sequence[FrameSymbols], layout: SliceLayout) -> FrameSymbols:
    """Sum of the magnitudes of the reference frames' symbols, in a slice."""
    if not references:
        return layout.empty()
    return [
        [np.sum([np.abs(frame[plane][band]) for frame in references], axis=0) for band in range(len(shapes))]
        for plane, shapes in enumerate(layout.shapes)
    ]


def known_features(symbols: FrameSymbols, reference: FrameSymbols, plane: int, band: int) -> IntArray:
    """(18, h * w) features of a subband's symbols that are known before any of them: all but the causal ones."""
    return magnitude_feature(known_magnitudes(symbols, reference, plane, band))


def known_magnitudes(symbols: FrameSymbols, reference: FrameSymbols, plane: int, band: int) -> IntArray:
    """What `known_features` are of, of the type of the symbols.

    Args:
        symbols: of the slice; those of earlier subbands and planes count.
        reference: from `reference_magnitudes`.

    Returns:
        (18, h * w): parent, HL, LH, references, plane before.
    """
    shape = symbols[plane][band].shape
    orientation = (band - 1) % 3
    nothing = np.zeros((0, 0), dtype=reference[plane][band].dtype)
    parent = symbols[plane][band - 3] if band > 3 else nothing
    hl = symbols[plane][band - orientation] if band and orientation > 0 else nothing
    lh = symbols[plane][band - 1] if band and orientation > 1 else nothing
    before = symbols[plane - 1][band] if plane and band < len(symbols[plane - 1]) else nothing
    return np.concatenate(
        [
            _parent_taps(parent, shape),
            _taps(hl, shape, CROSS),
            _taps(lh, shape, LH_TAPS),
            _taps(reference[plane][band], shape, CROSS),
            _taps(before, shape, ((0, 0),)),
        ]
    )


def causal_features(symbols: IntArray) -> IntArray:
    """(8, h * w) features of the causal neighbours of each symbol of a subband (h, w)."""
    return magnitude_feature(causal_magnitudes(symbols))


def causal_magnitudes(symbols: IntArray) -> IntArray:
    """What `causal_features` are of, of the type of the symbols."""
    height, width = symbols.shape
    padded = np.pad(np.abs(symbols), ((2, 0), (2, 2)))
    taps = [padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width].ravel() for dy, dx in CAUSAL]
    return np.stack(taps)


def _fitted(values: IntArray, shape: tuple[int, int]) -> IntArray:
    """Cut or padded with zeros to a shape."""
    height, width = shape
    values = values[:height, :width]
    return np.pad(values, ((0, height - values.shape[0]), (0, width - values.shape[1])))


def _taps(values: IntArray, shape: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> IntArray:
    """(taps, h * w) magnitudes at offsets (dy, dx), at most one away, from each place of `shape`; zero outside."""
    height, width = shape
    padded = np.pad(_fitted(np.abs(values), shape), 1)
    return np.stack([padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width].ravel() for dy, dx in offsets])


def _parent_taps(parent: IntArray, shape: tuple[int, int]) -> IntArray:
    """(5, h * w) magnitudes around the place (y // 2, x // 2), the last one where that lies outside."""
    if parent.size == 0:
        return np.zeros((len(CROSS), shape[0] * shape[1]), dtype=parent.dtype)
    height, width = parent.shape
    taps = _taps(parent, (height, width), CROSS).reshape(-1, height, width)
    rows = np.minimum(np.arange(shape[0]) // 2, height - 1)
    columns = np.minimum(np.arange(shape[1]) // 2, width - 1)
    return taps[:, rows[:, None], columns[None, :]].reshape(len(CROSS), -1)
