# SPDX-License-Identifier: MIT
"""Subbands: steps, slices, and contexts worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.hybrid.context_network import magnitude_feature
from c3video.hybrid.subbands import (
    MAX_STEP_INDEX,
    MAX_SYMBOL,
    NORMS,
    NUM_CLASSES,
    NUM_INPUTS,
    SliceLayout,
    causal_features,
    cut_slice,
    dequantise,
    join_slices,
    known_features,
    plane_levels,
    quantisation_step,
    reference_magnitudes,
    slice_layouts,
    subband_steps,
    symbol_class,
)
from c3video.hybrid.wavelet import LIMIT, subband_shapes, synthesise

FULL, HALF = (0, 0), (1, 1)


def test_steps_double_every_eight_indexes() -> None:
    assert [quantisation_step(index) for index in (0, 1, 7, 8, 9, 16)] == [16, 17, 29, 32, 34, 64]
    for index in range(MAX_STEP_INDEX - 7):
        assert quantisation_step(index + 8) == 2 * quantisation_step(index)
        assert 1.05 < quantisation_step(index + 1) / quantisation_step(index) < 1.13


def test_steps_of_subbands_by_hand() -> None:
    assert plane_levels(FULL) == 5
    assert plane_levels(HALF) == plane_levels((0, 1)) == 4
    steps = subband_steps(40, 5)  # 512
    assert steps[:4] == (512 * 256 // 1096, 512 * 256 // 839, 512 * 256 // 839, 512 * 256 // 642)
    assert steps[-3:] == (512 * 256 // 259, 512 * 256 // 259, 512 * 256 // 201)
    assert subband_steps(40, 4)[0] == 512 * 256 // 828
    assert min(subband_steps(0, 5)) >= 1
    assert max(subband_steps(MAX_STEP_INDEX, 5)) < 1 << 15


@pytest.mark.parametrize("level", range(5))
@pytest.mark.parametrize("orientation", range(4))
def test_norms_are_the_lengths_of_what_coefficients_add(level: int, orientation: int) -> None:
    shapes = subband_shapes((256, 256), level + 1)
    bands = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    middle = bands[orientation].shape[0] // 2
    bands[orientation][middle, middle] = 1 << 15
    length = np.sqrt(np.square(synthesise(bands).astype(np.float64)).sum()) / (1 << 15)
    assert 256 * length == pytest.approx(NORMS[level][orientation], rel=0.01)


def test_coefficients_lie_a_sixteenth_nearer_to_zero() -> None:
    assert dequantise(np.array([0, 1, -1, 2, -3]), 32).tolist() == [0, 30, -30, 62, -94]
    assert dequantise(np.array([1, 1, 1]), 1).tolist() == [0, 0, 0]
    assert dequantise(np.array([MAX_SYMBOL, -MAX_SYMBOL]), 20_000).tolist() == [LIMIT, -LIMIT]


@pytest.mark.parametrize("num_slices", [1, 2, 5])
def test_slices_tile_every_subband(num_slices: int) -> None:
    shapes, shifts = ((37, 50), (19, 25), (19, 25)), (FULL, HALF, HALF)
    rng = np.random.default_rng(0)
    (whole,) = slice_layouts(shapes, shifts, 1)
    symbols = [[rng.integers(-9, 9, band.shape) for band in plane] for plane in whole.empty()]
    layouts = slice_layouts(shapes, shifts, num_slices)
    cuts = [cut_slice(symbols, index, num_slices) for index in range(num_slices)]
    for layout, cut in zip(layouts, cuts, strict=True):
        assert tuple(tuple(band.shape for band in plane) for plane in cut) == layout.shapes
    for plane, joined in zip(symbols, join_slices(cuts), strict=True):
        for band, other in zip(plane, joined, strict=True):
            np.testing.assert_array_equal(band, other)


def test_classes_tell_luma_level_and_orientation_apart() -> None:
    luma = [symbol_class(0, band, 5) for band in range(16)]
    chroma = [symbol_class(1, band, 4) for band in range(13)]
    assert luma == [0, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3]
    assert chroma == [16 + value for value in (0, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3)]
    assert symbol_class(2, 3, 4) == symbol_class(1, 3, 4)
    assert max(luma + chroma) < NUM_CLASSES


def test_causal_taps_by_hand() -> None:
    symbols = np.array([[1, -2, 3], [4, 5, -6], [7, 8, 9]])
    taps = causal_features(symbols)
    at_middle, at_end = taps[:, 4], taps[:, 8]
    assert at_middle.tolist() == magnitude_feature(np.array([0, 0, 1, 2, 3, 0, 0, 4])).tolist()
    assert at_end.tolist() == magnitude_feature(np.array([3, 4, 5, 6, 0, 0, 7, 8])).tolist()


def test_known_taps_by_hand() -> None:
    """HH of the finer of two levels of U: its parent, its siblings, the references and Y."""
    coarse, fine = [(1, 1)] * 4, [(2, 2), (2, 2), (2, 2)]
    layout = SliceLayout((tuple(coarse + fine), tuple(coarse + fine)))
    symbols = layout.empty()
    symbols[1][3][0, 0] = -5  # HH of the coarser level
    symbols[1][4][:] = [[1, 2], [3, 4]]  # HL
    symbols[1][5][:] = [[-1, 6], [0, 2]]  # LH
    symbols[0][6][:] = [[7, 8], [9, 10]]  # Y
    other = layout.empty()
    other[1][6][:] = [[0, 0], [0, -20]]
    reference = reference_magnitudes([other, other], layout)
    found = known_features(symbols, reference, 1, 6)
    assert found.shape == (NUM_INPUTS - 8, 4)
    # Above, left, here, right, below; of LH here and right; the symbol at (1, 1).
    parent, hl, lh, references = [0, 0, 5, 0, 0], [2, 3, 4, 0, 0], [2, 0], [0, 0, 40, 0, 0]
    assert found[:, 3].tolist() == magnitude_feature(np.array([*parent, *hl, *lh, *references, 10])).tolist()
    assert found[10:12, 0].tolist() == magnitude_feature(np.array([1, 6])).tolist()
    # In HL itself neither sibling is known, in LL there is nothing but the references and Y.
    assert not known_features(symbols, reference, 1, 4)[5:12].any()
    assert not known_features(symbols, reference, 1, 0)[:12].any()


def test_parent_is_its_last_row_where_it_ends_early() -> None:
    layout = SliceLayout((((1, 1), (1, 1), (1, 1), (1, 1), (3, 3), (3, 3), (3, 3)),))
    symbols = layout.empty()
    symbols[0][1][0, 0] = 3
    found = known_features(symbols, layout.empty(), 0, 4)
    assert (found[2] == magnitude_feature(np.array(3))).all()


def test_another_plane_of_another_size_counts_where_it_is() -> None:
    layout = SliceLayout((((2, 3),), ((3, 2),)))
    symbols = layout.empty()
    symbols[0][0][:] = [[1, 2, 3], [4, 5, 6]]
    found = known_features(symbols, layout.empty(), 1, 0)
    assert found[-1].tolist() == magnitude_feature(np.array([1, 2, 4, 5, 0, 0])).tolist()
