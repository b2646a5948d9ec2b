# SPDX-License-Identifier: MIT
"""The synthesis in Python's integers, sample by sample, and what must hold for simple weights."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.pyramid.config import GROUPS, PyramidConfig, grid_shapes
from c3video.pyramid.priors import prior_of
from c3video.pyramid.synthesis import group_samples, layout_key, pool, synthesise
from c3video.pyramid.weights import PyramidWeights
from c3video.video import LAYOUTS, VideoFormat
from tests.pyramid.models import PIXEL_FORMATS, random_symbols, random_weights


@pytest.mark.parametrize("pix_fmt", PIXEL_FORMATS)
def test_every_pixel_format_has_its_groups(pix_fmt: str) -> None:
    layout = LAYOUTS[pix_fmt]
    groups = GROUPS[layout_key(layout)]
    exponents = [group.exponents for group in groups for _ in range(group.num_planes)]
    assert exponents == list(layout.planes)


@pytest.mark.parametrize("pix_fmt", PIXEL_FORMATS)
def test_a_constant_picture(pix_fmt: str) -> None:
    """A latent of the coarsest grid alone makes every plane, by way of m; biases add to it."""
    video = VideoFormat(21, 13, pix_fmt)
    config, key = PyramidConfig(num_grids=3), layout_key(video.layout)
    arrays = {name: array.copy() for name, array in prior_of(config, key).arrays.items()}
    for g, group in enumerate(GROUPS[key]):
        arrays[f"m.{g}"][:, 2 - group.first_grid] = 1 << 12  # a quarter
        arrays[f"c2.{g}"][:] = 2048  # a quarter
    weights = PyramidWeights(config, key, arrays, (64,) * 3)
    symbols = [np.zeros(shape, dtype=np.int64) for shape in grid_shapes(3, 13, 21)]
    symbols[2][:] = 1  # a step of grid 2 is worth half of one of grid 0: 1/8 and 1/4 make 3/8
    for plane, shape in zip(synthesise(weights, symbols, video.layout), video.plane_shapes, strict=True):
        assert (plane.shape, plane.dtype) == (shape, video.layout.dtype)
        assert (plane == (video.layout.max_value * 3 + 4) // 8).all()
    symbols[2][:] = 9
    assert all((plane == video.layout.max_value).all() for plane in synthesise(weights, symbols, video.layout))
    symbols[2][:] = -3
    assert all((plane == 0).all() for plane in synthesise(weights, symbols, video.layout))


def test_chroma_sees_luma() -> None:
    """Luma of 1/4 and chroma that copies it: 32 (1/4 - 1/2) = -8, times 1/32 and with a half."""
    config = PyramidConfig(num_grids=2, refine_width=0)
    for pix_fmt in ("yuv420p", "yuv422p"):
        video = VideoFormat(7, 5, pix_fmt)
        key = layout_key(video.layout)
        arrays = {name: array.copy() for name, array in prior_of(config, key).arrays.items()}
        arrays["c2.0"][:], arrays["c2.1"][:], arrays["m.1"][:, -1] = 2048, 4096, 512
        symbols = [np.zeros(shape, dtype=np.int64) for shape in grid_shapes(2, 5, 7)]
        planes = synthesise(PyramidWeights(config, key, arrays, (64,) * 2), symbols, video.layout)
        assert [set(plane.ravel().tolist()) for plane in planes] == [{64}] * 3


def test_means_round_up_at_halves_and_repeat_edges() -> None:
    planes = np.array([[[1.0, 2.0, 7.0], [3.0, 4.0, -8.0], [5.0, 5.0, 6.0]]])
    assert pool(planes, (1, 1)).tolist() == [[[3, 0], [5, 6]]]  # 10/4 -> 3, -2/4 -> 0
    assert pool(planes, (0, 1)).tolist() == [[[2, 7], [4, -8], [5, 6]]]
    assert pool(planes, (0, 0)).tolist() == planes.tolist()


@pytest.mark.parametrize(("layout", "index"), [("gray", 0), ("420", 1), ("422", 1), ("rgb", 0)])
@pytest.mark.parametrize("extreme", [False, True])
def test_equals_python_s_integers(layout: str, index: int, extreme: bool) -> None:
    config = PyramidConfig(num_grids=3, synthesis_width=5, refine_width=3)
    weights = random_weights(config, layout, seed=5, extreme=extreme)
    rng = np.random.default_rng(1)
    count = GROUPS[layout][index].num_inputs(3)
    inputs = rng.choice([-32768, -700, 0, 1, 64, 500, 32767] if extreme else [-100, 0, 64, 130], size=(count, 4, 5))
    found = group_samples(weights, index, inputs.astype(np.float64))
    expected = by_hand(inputs.tolist(), weights, index, 4, 5)
    assert found.tolist() == expected
    assert len(set(np.ravel(expected).tolist())) > (1 if extreme else 3)


def by_hand(inputs: list, weights: PyramidWeights, index: int, height: int, width: int) -> list:
    v1, c1, v2, c2, m, r1, d1, r2, d2 = (
        weights.folded[f"{name}.{index}"].tolist() for name in ("v1", "c1", "v2", "c2", "m", "r1", "d1", "r2", "d2")
    )

    def sat(x: int) -> int:
        return max(-32768, min(32767, x))

    def rs(x: int, shift: int) -> int:
        assert -(1 << 31) <= x < 1 << 31
        return (x + (1 << (shift - 1))) >> shift

    planes = [[[0] * width for _ in range(height)] for _ in v2]
    for y in range(height):
        for x in range(width):
            z = [plane[y][x] for plane in inputs]
            hidden = [
                max(0, sat(rs(sum(w * v for w, v in zip(row, z, strict=True)) + (b << 7), 10)))
                for row, b in zip(v1, c1, strict=True)
            ]
            for c, row in enumerate(v2):
                bent = sat(rs(sum(w * h for w, h in zip(row, hidden, strict=True)) + (c2[c] << 9), 9))
                straight = sat(rs(sum(w * v for w, v in zip(m[c], z, strict=True)), 9))
                planes[c][y][x] = sat(bent + straight)
    result = [[[0] * width for _ in range(height)] for _ in v2]
    for y in range(height):
        for x in range(width):
            taps = [
                sat(plane[max(0, min(height - 1, y + dy))][max(0, min(width - 1, x + dx))] - 4096)
                for plane in planes
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
            ]
            hidden = []
            for filters, b in zip(r1, d1, strict=True):
                flat = [w for plane in filters for row in plane for w in row]
                hidden.append(max(0, sat(rs(sum(w * t for w, t in zip(flat, taps, strict=True)) + (b << 12), 12))))
            for c, row in enumerate(r2):
                change = sat(rs(sum(w * h for w, h in zip(row, hidden, strict=True)) + (d2[c] << 12), 12))
                result[c][y][x] = max(0, min(8192, sat(planes[c][y][x] + change)))
    return result


def test_gains_change_the_picture() -> None:
    video = VideoFormat(30, 20, "yuv420p")
    config = PyramidConfig()
    weights = random_weights(config, "420")
    symbols = random_symbols(config, 20, 30)
    first = synthesise(weights, symbols, video.layout)
    other = PyramidWeights(config, "420", weights.arrays, (*weights.gains[:6], weights.gains[6] // 2))
    assert any((a != b).any() for a, b in zip(first, synthesise(other, symbols, video.layout), strict=True))
