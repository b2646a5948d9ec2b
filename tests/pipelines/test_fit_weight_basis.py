# SPDX-License-Identifier: MIT
"""Bases for a prior: what is diagonal in them, how the loss's form is read, and what becomes of it in the file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.fit.stages import PictureFit, weight_views
from c3video.pyramid.fit.start import start_weights
from c3video.pyramid.priors import BASIS_BITS, Prior
from pipelines import fit_weight_basis
from pipelines.fit_pyramid_priors import to_prior
from pipelines.fit_weight_basis import RIDGE, basis_of, row_bends
from tests.conftest import write_png

pytest.importorskip("c3video.native._native")

TINY = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=4, refine_width=2)


def random_form(size: int, seed: int) -> NDArray[np.float64]:
    factor = np.random.default_rng(seed).normal(size=(size, size))
    return factor @ factor.T


def test_a_basis_makes_both_forms_diagonal() -> None:
    bends, moves = 1e-9 * random_form(6, 0), 1e4 * random_form(6, 1)
    found = basis_of(bends, moves)
    units = found.directions * 2.0 ** (found.steps[:, None] - BASIS_BITS)
    ridge = bends + RIDGE * np.diag(np.diag(bends))
    bent = units @ ridge @ units.T
    # A step of any coefficient spoils as much ...
    np.testing.assert_allclose(bent / bent[0, 0], np.eye(6), atol=5e-3)
    # ... none moves with another, and spreads say how far each does, in eighths of a factor e.
    moved = np.linalg.inv(units).T @ moves @ np.linalg.inv(units)
    logs = 4.0 * np.log(np.diag(moved))
    np.testing.assert_allclose(found.spreads, logs - logs.mean(), atol=0.6)
    deviations = np.sqrt(np.diag(moved))
    np.testing.assert_allclose(moved / np.outer(deviations, deviations), np.eye(6), atol=2e-2)


def test_an_input_that_no_crop_hears_gets_steps_that_can_be_coded() -> None:
    bends = random_form(5, 2)
    bends[3], bends[:, 3] = 0.0, 0.0
    moves = random_form(5, 3)
    moves[3], moves[:, 3] = 0.0, 0.0
    found = basis_of(bends, moves)
    assert np.abs(found.directions).max() < 1 << 15
    assert np.linalg.cond(found.directions.astype(float)) < 1e3


@dataclass
class Quadratic:
    """A fit whose loss is w H w / 2, with as many weights as a model has."""

    form: NDArray[np.float64]
    state: Any
    plan: Any
    seed: int = 0

    def coded(self) -> Any:
        return SimpleNamespace(grad_weights=(self.form @ self.state.weights.astype(np.float64)).astype(np.float32))


def test_the_loss_is_read_by_rows() -> None:
    """Exactly where rows do not act on each other; else the mean over signs comes near to it."""
    weights = start_weights(TINY, "420", 0)
    form = random_form(len(weights), 4)
    rows = weight_views(np.arange(len(weights), dtype=np.float64), TINY, "420")
    apart = form.copy()
    for name in ("w1", "v1.0", "v1.1", "r1.0", "r1.1"):
        for row in rows[name].reshape(len(rows[name]), -1).astype(int):
            others = np.setdiff1d(rows[name].astype(int), row)
            apart[np.ix_(row, others)] = apart[np.ix_(others, row)] = 0.0
    for loss, draws, tolerance in ((apart, 1, 0.02), (form, 1000, 0.15)):
        plan = SimpleNamespace(config=TINY, layout="420")
        fit = Quadratic(loss, SimpleNamespace(weights=weights.copy()), plan)
        found = row_bends(cast(PictureFit, fit), draws)
        assert np.array_equal(fit.state.weights, weights)
        assert list(found) == ["w1", "v1.0", "r1.0", "v1.1", "r1.1"]
        for name, bends in found.items():
            blocks = [loss[np.ix_(row, row)] for row in rows[name].reshape(len(rows[name]), -1).astype(int)]
            expected = np.mean(blocks, axis=0)
            np.testing.assert_allclose(bends, expected, atol=tolerance * expected.max(), err_msg=name)


def test_a_prior_gets_bases_and_keeps_its_weights(tmp_path: Path) -> None:
    y, x = np.mgrid[:48, :40]
    for number in range(2):
        ramp = np.stack([4 * x + 20 * number, 4 * y, 100 + 40 * np.sin(x / (2 + number) + y / 3)], axis=-1)
        write_png(tmp_path / f"{number}.png", ramp.astype(np.uint8))
    start = tmp_path / "start.i16"
    start.write_bytes(to_prior(start_weights(TINY, "420", 0), TINY, "420").to_bytes())
    options = [str(tmp_path), "--rd-weight", "1e-3", "--start", str(start), "--crops", "2", "--size", "32"]
    written = []
    for name in ("out.i16", "again.i16"):
        out = tmp_path / name
        assert fit_weight_basis.main([*options, "--steps", "10", "--draws", "1", "--out", str(out)]) == 0
        written.append(out.read_bytes())
    assert written[0] == written[1]
    found, before = Prior.from_bytes(written[0], 0), Prior.from_bytes(start.read_bytes(), 0)
    assert (found.config, found.layout) == (replace(TINY, prior=0), "420")
    shapes = weight_shapes(TINY, "420")
    assert list(found.bases) == ["w1", "v1.0", "r1.0", "v1.1", "r1.1"]
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        if name not in found.bases:
            np.testing.assert_array_equal(found.steps[name], before.steps[name])
        else:
            assert found.bases[name].shape == 2 * (int(np.prod(shapes[name][1:])),)
