# SPDX-License-Identifier: MIT
"""Adapting a prior: what bends the loss and how much, and what becomes of it in the file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from c3video.native.pyramid_fit import PyramidFit
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig, weight_shapes
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import prior_weights, start_weights
from c3video.pyramid.priors import Prior
from pipelines import adapt_pyramid_priors, fit_weight_basis
from pipelines.adapt_pyramid_priors import (
    LARGEST_SPREAD,
    LARGEST_STEP,
    CropFits,
    bending,
    fitted_crop,
    moved_weights,
    precision_of,
    widened,
)
from pipelines.fit_pyramid_priors import to_prior
from tests.conftest import write_png

pytest.importorskip("c3video.native._native")

TINY = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=4, refine_width=0)


def test_the_loss_bends_with_an_offset_of_samples_as_squares_do() -> None:
    """c2 is added to the samples of a plane: twice their share of all squares, whatever else the network does."""
    picture = np.random.default_rng(0).uniform(0.3, 0.7, 3 * 20 * 16).astype(np.float32)
    start = start_weights(TINY, "rgb", 0)
    fit = fitted_crop((20, 16, picture), start, TINY, "rgb", PyramidFitConfig(noise_steps=2, network_steps=0), 0)
    kept, offsets = fit.state.weights.copy(), np.full(len(start), 0.01)
    bends = bending(fit, offsets)
    assert np.array_equal(fit.state.weights, kept)
    np.testing.assert_allclose(weight_views(bends, TINY, "rgb")["c2.0"], 2.0 / 3.0, rtol=1e-3)
    assert (bends > 0).all()


def test_steps_go_with_the_root_of_bends_by_input_and_spreads_with_moves() -> None:
    shapes = weight_shapes(TINY, "rgb")
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    moves, bends = np.full(sum(sizes.values()), 0.1), np.ones(sum(sizes.values()))
    # A grid of biases that bends the loss 16 times less has steps 4 times as long and a spread of ln 4 less ...
    weight_views(bends, TINY, "rgb")["b1"][2] /= 16.0
    # ... an input of l that moves e times as far one of eight indexes more; rows of w3 are all alike.
    weight_views(moves, TINY, "rgb")["l"][:, 1] *= math.e
    weight_views(bends, TINY, "rgb")["w3"][1] /= 16.0
    steps, spreads = precision_of(moves, bends, TINY, "rgb")
    assert [set(row) for row in steps["b1"].tolist()] == [{0}, {0}, {2}]
    assert (spreads["b1"][0] - spreads["b1"][2] == round(8 * math.log(4) * 2 / 3) + round(8 * math.log(4) / 3)).all()
    assert not steps["l"].any()
    assert (spreads["l"][:, 1] - spreads["l"][:, 0] == 8).all()
    assert not steps["w3"].any()


def test_a_prior_is_adapted_to_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:48, :40]
    for number in range(2):
        ramp = np.stack([4 * x + 20 * number, 4 * y, 100 + 40 * np.sin(x / (2 + number) + y / 3)], axis=-1)
        write_png(tmp_path / f"{number}.png", ramp.astype(np.uint8))
    start = tmp_path / "start.i16"
    start.write_bytes(to_prior(start_weights(TINY, "420", 0), TINY, "420").to_bytes())
    options = ["--rd-weight", "1e-3", "--start", str(start), "--crops", "2", "--probes", "1", "--size", "32"]
    out = tmp_path / "out.i16"
    assert adapt_pyramid_priors.main([str(tmp_path), *options, "--steps", "10", "--out", str(out)]) == 0
    found = Prior.from_bytes(out.read_bytes(), 0)
    before = Prior.from_bytes(start.read_bytes(), 0)
    assert (found.config, found.layout) == (replace(TINY, prior=0), "420")
    assert any(not np.array_equal(found.arrays[name], array) for name, array in before.arrays.items())
    assert max(np.abs(array).max() for array in found.steps.values()) in range(1, LARGEST_STEP + 1)
    assert max(np.abs(array).max() for array in found.spreads.values()) in range(1, LARGEST_SPREAD + 1)
    again = tmp_path / "again.i16"
    adapt_pyramid_priors.main([str(tmp_path), *options, "--steps", "10", "--out", str(again)])
    assert again.read_bytes() == out.read_bytes()
    adapt_pyramid_priors.main([str(tmp_path), *options, "--steps", "10", "--out", str(again), "--workers", "2"])
    assert again.read_bytes() == out.read_bytes()
    adapt_pyramid_priors.main([str(tmp_path), *options, "--steps", "10", "--out", str(again), "--enlarge", "2"])
    assert again.read_bytes() != out.read_bytes()


def test_a_prior_of_another_layout_is_made_from_the_one_it_begins_as(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_png(tmp_path / "0.png", np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    start, out = tmp_path / "start.i16", tmp_path / "out.i16"
    start.write_bytes(to_prior(start_weights(TINY, "420", 0), TINY, "420").to_bytes())
    options = ["--rd-weight", "1e-3", "--start", str(start), "--out", str(out), "--crops", "1", "--probes", "1"]
    for layout in ("gray", "422"):
        assert adapt_pyramid_priors.main([str(tmp_path), *options, "--steps", "2", "--layout", layout]) == 0
        assert Prior.from_bytes(out.read_bytes(), 0).layout == layout
    assert adapt_pyramid_priors.main([str(tmp_path), *options, "--layout", "444"]) == 1
    assert "cannot be made from one of '420'" in capsys.readouterr().err


def test_each_round_of_fits_starts_from_the_mean_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CropFits, "each", lambda fits, reading, what="": [fits.start + fits.seed, fits.start + 3.0])
    fit = PyramidFitConfig(rd_weight=1e-3, noise_steps=1)
    fits = CropFits([tmp_path], "420", TINY, np.zeros(4, dtype=np.float32), fit, count=2, size=32, seed=1)
    np.testing.assert_array_equal(moved_weights(fits, 1)[:, 0], [1.0, 3.0])
    np.testing.assert_array_equal(moved_weights(fits, 3)[:, 0], [4.5 + 3.0, 4.5 + 3.0])


def test_a_widened_prior_computes_the_same() -> None:
    narrow = replace(TINY, num_grids=4, entropy_layers=(5, 6), refine_width=3)
    prior = to_prior(start_weights(narrow, "rgb", 3), narrow, "rgb")
    config = replace(narrow, entropy_layers=(8, 9), synthesis_width=7, refine_width=5, filter_reach=2)
    wide = widened(prior, config, seed=1)
    picture = np.random.default_rng(0).uniform(size=3 * 40 * 48).astype(np.float32)
    results = []
    for model, weights in ((narrow, prior_weights(prior)), (config, wide)):
        plan = PyramidFit(model, "rgb", 40, 48)
        latents = np.random.default_rng(5).normal(size=plan.num_latents).astype(np.float32)
        results.append(plan.step(latents, weights, picture, 1e-3))
    np.testing.assert_allclose(results[1].bits, results[0].bits, rtol=1e-6)
    np.testing.assert_allclose(results[1].squared_errors, results[0].squared_errors, rtol=1e-6)
    assert np.abs(weight_views(wide, config, "rgb")["w1"][5:]).min() > 0.0


def test_a_prior_widened_to_hyper_grids_codes_them_as_those_of_their_shapes_and_reads_them_not() -> None:
    config = replace(TINY, num_hyper=2)
    prior = to_prior(start_weights(TINY, "420", 3), TINY, "420")
    sizes = [40 * 48, 20 * 24, 10 * 12]
    latents = np.random.default_rng(5).normal(size=sum(sizes)).astype(np.float32)
    with_hyper = np.concatenate([latents, latents[sizes[0] :]])
    before, after = (
        PyramidFit(model, "420", 40, 48).step(given, weights, None, 1e-3)
        for model, weights, given in (
            (TINY, prior_weights(prior), latents),
            (config, widened(prior, config, seed=1), with_hyper),
        )
    )
    np.testing.assert_allclose(after.bits, [*before.bits, *before.bits[1:]], rtol=1e-6)


@pytest.mark.parametrize("program", [adapt_pyramid_priors, fit_weight_basis])
@pytest.mark.parametrize("data", [b"C3P3", b"C3P4"])
def test_a_damaged_start_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], program: ModuleType, data: bytes
) -> None:
    write_png(tmp_path / "0.png", np.zeros((32, 32, 3), dtype=np.uint8))
    (tmp_path / "start.i16").write_bytes(data)
    options = ["--rd-weight", "1e-3", "--start", str(tmp_path / "start.i16"), "--out", str(tmp_path / "out.i16")]
    assert program.main([str(tmp_path), *options]) == 1
    assert "damaged" in capsys.readouterr().err
    assert not (tmp_path / "out.i16").exists()
