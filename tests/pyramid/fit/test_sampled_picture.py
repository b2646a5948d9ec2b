# SPDX-License-Identifier: MIT
"""Tiles that stand for a picture say what it would, and are pictures by themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.native.pyramid_fit import PyramidFit
from c3video.pyramid.config import PyramidConfig, is_of_entropy, weight_shapes
from c3video.pyramid.fit.sampled_picture import TILE_SIDE, SampledPicture
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import start_weights

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

CONFIG = PyramidConfig(num_grids=5, num_taps=4, entropy_layers=(6,), synthesis_width=6, refine_width=3)


def noise(plan: PyramidFit, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latents and targets without a structure."""
    random = np.random.default_rng(seed)
    latents = np.rint(random.normal(size=plan.num_latents)).astype(np.float32)
    return latents, random.random(plan.num_samples, dtype=np.float32)


@pytest.mark.parametrize(("layout", "size"), [("420", (517, 771)), ("rgb", (512, 512)), ("422", (515, 640))])
def test_all_tiles_of_noise_come_near_to_what_the_picture_comes_to(layout: str, size: tuple[int, int]) -> None:
    plan = PyramidFit(CONFIG, layout, *size)
    latents, targets = noise(plan)
    weights = start_weights(CONFIG, layout, 0)
    tiles = SampledPicture.of(plan)
    assert tiles is not None
    assert len(tiles.corners) == (size[0] // TILE_SIDE) * (size[1] // TILE_SIDE)
    whole, sampled = (each.step(latents, weights, targets, 1e-3, wants_latents=False) for each in (plan, tiles))
    assert sampled.loss == pytest.approx(whole.loss, rel=0.02)
    np.testing.assert_allclose(sampled.bits[:3], whole.bits[:3], rtol=0.05)
    np.testing.assert_allclose(sampled.squared_errors, whole.squared_errors, rtol=0.02)
    assert whole.grad_weights is not None
    assert sampled.grad_weights is not None
    cosine = sampled.grad_weights @ whole.grad_weights
    cosine /= np.linalg.norm(sampled.grad_weights) * np.linalg.norm(whole.grad_weights)
    assert cosine > 0.99


@pytest.mark.parametrize("with_importance", [False, True])
def test_a_tile_is_the_picture_that_is_cut_from_there(with_importance: bool) -> None:
    plan = PyramidFit(CONFIG, "420", 2 * TILE_SIDE, 3 * TILE_SIDE)
    latents, targets = noise(plan)
    if with_importance:
        plan.importance = 0.5 + noise(plan, seed=1)[1]
    weights = start_weights(CONFIG, "420", 0)
    tiles = SampledPicture.of(plan)
    assert tiles is not None
    assert sorted(tiles.corners) == [(y, x) for y in (0, TILE_SIDE) for x in (0, TILE_SIDE, 2 * TILE_SIDE)]
    some = tiles.some(4, 1)
    ((top, left),) = some.corners

    def of_tile(samples: np.ndarray) -> np.ndarray:
        parts, at = [], 0
        for k in (0, 1, 1):
            h, w = plan.height >> k, plan.width >> k
            plane = samples[at : at + h * w].reshape(h, w)
            parts.append(plane[top >> k :, left >> k :][: TILE_SIDE >> k, : TILE_SIDE >> k].ravel())
            at += h * w
        return np.concatenate(parts)

    own, at = [], 0
    for k in range(CONFIG.num_grids):
        h, w = plan.height >> k, plan.width >> k
        grid = latents[at : at + h * w].reshape(h, w)
        own.append(grid[top >> k :, left >> k :][: TILE_SIDE >> k, : TILE_SIDE >> k].ravel())
        at += h * w
    importance = None if plan.importance is None else of_tile(plan.importance)
    alone = PyramidFit(CONFIG, "420", TILE_SIDE, TILE_SIDE, importance=importance)
    expected = alone.step(np.concatenate(own), weights, of_tile(targets), 1e-3, wants_latents=False)
    found = some.step(latents, weights, targets, 1e-3)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.grad_weights is not None
    assert expected.grad_weights is not None
    np.testing.assert_allclose(found.grad_weights, expected.grad_weights, rtol=1e-5)


def test_turns_go_around_all_tiles() -> None:
    tiles = SampledPicture.of(PyramidFit(CONFIG, "gray", 2 * TILE_SIDE, 3 * TILE_SIDE))
    assert tiles is not None
    seen = [corner for number in range(3) for corner in tiles.some(number, 2).corners]
    assert sorted(seen) == sorted(tiles.corners)
    assert tiles.some(3, 2) == tiles.some(0, 2)


def test_small_pictures_are_not_sampled() -> None:
    assert SampledPicture.of(PyramidFit(CONFIG, "gray", 3 * TILE_SIDE, 2 * TILE_SIDE - 1)) is None


def test_each_array_has_its_part_of_the_loss() -> None:
    config = replace(CONFIG, num_previous=5)
    names = weight_shapes(config, "420")
    plan = PyramidFit(replace(config, num_previous=0), "420", 40, 56)
    latents, targets = noise(plan)
    weights = start_weights(plan.config, "420", 0)
    weights += (
        np.random.default_rng(1).normal(0.0, 0.05, weights.shape).astype(np.float32)
    )  # no layer is without effect

    def parts() -> tuple[float, float]:
        found = plan.step(latents, weights, targets, 1e-3, wants_latents=False, wants_weights=False)
        return float(found.bits.sum()), float(found.squared_errors.sum())

    before = parts()
    for name, array in weight_views(weights, plan.config, "420").items():
        kept = array.copy()
        array += 0.01
        bits, errors = parts()
        assert (bits != before[0], errors != before[1]) == ((True, False) if is_of_entropy(name) else (False, True))
        array[...] = kept
    assert [name for name in names if name.startswith("p") and not is_of_entropy(name)] == []
