# SPDX-License-Identifier: MIT
"""Fitting a prior: what is read of pictures, that it learns, that it goes on where it was left."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.fit.start import start_weights
from c3video.pyramid.priors import Prior
from pipelines.fit_pyramid_priors import Crop, main, mean_loss, prior_weights, read_crop
from tests.conftest import write_png

pytest.importorskip("c3video.native._native")

SIZE = 64


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of 80x96: colour ramps under a grating."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:80, :96]
    for i in range(3):
        grating = 20 * np.sin(x / (3 + i) + y / 5)
        picture = np.stack([2 * x + grating, 2 * y + grating, 120 + 30 * i + grating], axis=-1)
        write_png(folder / f"{i}.png", np.clip(picture, 0, 255).astype(np.uint8))
    return folder


def _fit(pictures: Path, out: Path, *more: str) -> int:
    fixed = ["--crops", "3", "--size", str(SIZE), "--layout", "420", "--rd-weight", "2e-3", "--passes", "20"]
    return main([str(pictures), *fixed, "--out", str(out), *more])


def test_samples_are_those_of_the_picture_plane_by_plane(pictures: Path) -> None:
    with av.open(str(pictures / "0.png")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    h, w, samples = read_crop(pictures / "0.png", "rgb", 200, np.random.default_rng(0))
    assert (h, w) == picture.shape[:2]
    green, blue, red = (samples.reshape(3, h, w) * 255).round().astype(np.uint8)
    assert np.array_equal(np.stack([red, green, blue], axis=-1), picture)
    h, w, samples = read_crop(pictures / "0.png", "420", SIZE, np.random.default_rng(0))
    assert (h, w, samples.size) == (SIZE, SIZE, SIZE * SIZE * 3 // 2)
    h, w, samples = read_crop(pictures / "0.png", "rgb", 400, np.random.default_rng(0), enlargement=2.0)
    assert (h, w) == tuple(2 * length for length in picture.shape[:2])
    halved = samples.reshape(3, h // 2, 2, w // 2, 2).mean(axis=(2, 4)) * 255
    assert np.abs(halved - np.stack([green, blue, red])).mean() < 3.0


def test_a_prior_has_less_loss_than_its_start_and_comes_back_from_its_file(pictures: Path, tmp_path: Path) -> None:
    assert _fit(pictures, tmp_path / "1.i16") == 0
    prior = Prior.from_bytes((tmp_path / "1.i16").read_bytes(), 0)
    assert (prior.config, prior.layout) == (PyramidConfig(), "420")
    random = np.random.default_rng(0)
    crops = [
        Crop(PyramidConfig(), "420", *read_crop(path, "420", SIZE, random)) for path in sorted(pictures.glob("*.png"))
    ]
    before = mean_loss(crops, start_weights(PyramidConfig(), "420", 0), 2e-3)
    with np.load(tmp_path / "1.npz") as state:
        for i, crop in enumerate(crops):
            crop.latents[:] = state[f"latents{i}"]
    assert mean_loss(crops, prior_weights(prior), 2e-3) < 0.5 * before


def test_a_fit_goes_on_from_its_state_and_not_from_that_of_another(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "1.i16"
    assert _fit(pictures, out) == 0
    first = out.read_bytes()
    out.unlink()
    with np.load(tmp_path / "1.npz") as state:
        assert int(state["step"]) == 20
    assert _fit(pictures, out) == 0  # nothing is left to do
    assert out.read_bytes() == first
    assert _fit(pictures, out, "--seed", "1") == 1
    assert "is of another fit" in capsys.readouterr().err


def test_a_fit_starts_from_a_prior(pictures: Path, tmp_path: Path) -> None:
    assert _fit(pictures, tmp_path / "1.i16") == 0
    assert _fit(pictures, tmp_path / "2.i16", "--start", str(tmp_path / "1.i16"), "--rate", "1e-9") == 0
    arrays = [Prior.from_bytes((tmp_path / name).read_bytes(), 0).arrays for name in ("1.i16", "2.i16")]
    assert all(np.abs(arrays[0][name] - arrays[1][name]).max() <= 1 for name in arrays[0])
