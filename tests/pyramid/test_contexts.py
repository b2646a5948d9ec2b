# SPDX-License-Identifier: MIT
"""Contexts by hand, and the order of latents."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.config import TAPS, PyramidConfig
from c3video.pyramid.contexts import as_context, as_hyper_context, enlarge, parent_inputs, plan_walk, wave_slope


@pytest.mark.parametrize("num_taps", range(4, 17))
def test_all_taps_of_a_wave_lie_in_earlier_ones(num_taps: int) -> None:
    slope = wave_slope(num_taps)
    assert all(dx + slope * dy < 0 for dy, dx in TAPS[:num_taps])
    assert slope == {4: 2, 5: 2, 6: 2, 7: 2, 16: 4}.get(num_taps, 3)


def test_waves_hold_each_place_once_by_rising_row() -> None:
    walk = plan_walk(PyramidConfig(), (5, 7))
    places = [(y, x) for rows, columns in walk.waves for y, x in zip(rows, columns, strict=True)]
    assert sorted(places) == [(y, x) for y in range(5) for x in range(7)]
    for number, (rows, columns) in enumerate(walk.waves):
        assert (columns + 3 * rows == number).all()
        assert (np.diff(rows) > 0).all()
    assert len(walk.waves) == 7 + 3 * 4


def test_inputs_from_the_grids_above() -> None:
    parent = np.arange(1, 13).reshape(3, 4)  # grid of 6 x 8 below
    grandparent = np.array([[100, 200], [300, -20000]])
    inputs = parent_inputs((6, 8), parent, grandparent)
    # (2, 3): even row, odd column; parent (1, 1) = 6. Above it 2, to its right 7, above right 3, below 10, left 5.
    assert inputs[:, 2, 3].tolist() == [6, 2, 7, 3, 10, 5, 100]
    # (5, 0): odd row, even column; parent (2, 0) = 9. Outside of the grid there are zeros.
    assert inputs[:, 5, 0].tolist() == [9, 0, 0, 0, 5, 10, 300]
    assert inputs[:, 5, 7].tolist() == [12, 0, 0, 0, 8, 11, -8191]
    assert not parent_inputs((6, 8), None, None).any()
    assert parent_inputs((1, 1), np.array([[5]]), None)[:, 0, 0].tolist() == [5, 0, 0, 0, 0, 0, 0]


def test_hyper_grids_are_enlarged_by_hand() -> None:
    plane = as_hyper_context(np.array([[1, -2], [5, 300]]))
    assert plane.tolist() == [[16, -32], [80, 2032]]
    large = enlarge(plane, (4, 3))
    # (1, 1) is right of the middle of its parent (0, 0), and below: (9 * 16 + 3 * 80 + 3 * -32 + 2032) / 16 = 145.
    assert large[1, 1] == 145
    # (2, 1): parent (1, 0): (9 * 80 + 3 * 16 + 3 * 2032 + 1 * -32) / 16 = 427; halves go up.
    assert large[2, 1] == 427
    # (0, 0): all but the parent are outside: 9 * 16 / 16. (1, 2): (9 * -32 + 3 * 2032 + 3 * 16 + 80) / 16 = 371.
    assert large[0, 0] == 9
    assert large[1, 2] == 371
    assert enlarge(np.full((3, 3), 2032.0), (5, 6))[2, 2] == 2032


def test_contexts_are_read_when_their_wave_is_due() -> None:
    shape, config = (4, 5), PyramidConfig(num_taps=6)
    latents = np.arange(1, 21).reshape(shape)
    walk = plan_walk(config, shape)
    flat = walk.empty()
    seen = {}
    for rows, columns, contexts in walk.contexts(flat, np.zeros((7, *shape))):
        for place in zip(rows.tolist(), columns.tolist(), contexts.T.tolist(), strict=True):
            seen[place[:2]] = place[2]
        flat[walk.places(rows, columns)] = as_context(latents[rows, columns])
    # Left, above, above left, above right, two to the left, two above.
    assert seen[2, 2] == [12, 8, 7, 9, 11, 3] + [0] * 7
    assert seen[0, 0] == [0] * 13
    assert seen[3, 4] == [19, 15, 14, 0, 18, 10] + [0] * 7


def test_latents_are_clipped_in_contexts() -> None:
    assert as_context(np.array([-32767, -8191, 8192])).tolist() == [-8191, -8191, 8191]
