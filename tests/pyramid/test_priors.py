# SPDX-License-Identifier: MIT
"""Priors: the zero one, files of others, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid import priors
from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.fit.start import PRIOR_RATES, with_prior
from c3video.pyramid.priors import CUBIC_KERNEL, PRIORS, Prior, prior_of, stored_prior
from c3video.pyramid.synthesis import layout_key
from c3video.video import VideoFormat
from tests.pyramid.models import random_weights

CONFIG = PyramidConfig(num_grids=3, num_taps=5, entropy_layers=(9,), synthesis_width=7, refine_width=2)


def random_prior(config: PyramidConfig, layout: str) -> Prior:
    """Weights, steps and spreads at random, these in all of their range; two bases, one as large as can be."""
    rng, weights = np.random.default_rng(3), random_weights(config, layout)
    steps, spreads = (
        {name: rng.integers(-128, 128, array.shape) for name, array in weights.arrays.items()} for _ in range(2)
    )
    bases = {"w1": rng.integers(-5000, 5001, (12, 12)), "r1.0": np.zeros(2 * (weights.arrays["r1.0"][0].size,), int)}
    bases["r1.0"][0, 1], bases["r1.0"][1, 1], bases["r1.0"][0, 0] = -32768, 32767, 32767
    return Prior(config, layout, weights.arrays, steps, spreads, bases)


def test_prior_zero_is_zero_but_for_upsampling() -> None:
    prior = prior_of(CONFIG, "444")
    assert not any(array.any() for array in (*prior.steps.values(), *prior.spreads.values()))
    arrays = prior.arrays
    assert {name: array.shape for name, array in arrays.items()} == weight_shapes(CONFIG, "444")
    assert (arrays["u"] == CUBIC_KERNEL).all()
    assert sum(CUBIC_KERNEL) == 256
    assert not any(array.any() for name, array in arrays.items() if name != "u")


@pytest.mark.parametrize("layout", ["gray", "420", "422", "444", "rgb"])
def test_a_file_comes_back(layout: str) -> None:
    prior = random_prior(replace(CONFIG, prior=7), layout)
    again = Prior.from_bytes(prior.to_bytes(), 7)
    assert (again.config, again.layout) == (prior.config, layout)
    for kind in ("arrays", "steps", "spreads", "bases"):
        found, expected = getattr(again, kind), getattr(prior, kind)
        assert list(found) == list(expected)
        assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_damaged_files_are_refused() -> None:
    data = random_prior(CONFIG, "420").to_bytes()
    for damaged in (b"", data[:-1], data[:100], data + b"\0", b"X" + data[1:], data[:50] + b"\x55" + data[51:]):
        with pytest.raises(ConfigError, match="damaged"):
            Prior.from_bytes(damaged, 1)


def test_files_with_good_checksums_are_checked_too() -> None:
    data = random_prior(CONFIG, "420").to_bytes()

    def sealed(at: int, value: int) -> bytes:
        body = bytearray(data[:-4])
        body[at] = value
        return bytes(body) + priors.zlib.crc32(body).to_bytes(4, "little")

    for at, value in ((4, 9), (5, 0), (5, 4), (6, 3), (7, 0), (7, 3), (8, 3), (9, 49), (10, 33), (11, 4), (12, 4)):
        with pytest.raises(ConfigError):
            Prior.from_bytes(sealed(at, value), 1)
    flags = 13
    for at, value, what in (
        (flags, 2, "bases"),
        (flags, 0, "bytes of weights"),
        (flags + 1, 1, "bytes of weights"),
        (flags + 3, 1, r"bases \['w1', 'b3', 'r1.0'\]"),
    ):
        with pytest.raises(ConfigError, match=what):
            Prior.from_bytes(sealed(at, value), 1)


def test_bases_whose_sums_could_leave_32_bits_are_refused() -> None:
    prior = random_prior(CONFIG, "420")
    basis = prior.bases["r1.0"].copy()
    basis[5, 1] = 1
    with pytest.raises(ConfigError, match=r"column of the basis of r1.0 sums to 65536: at most 65535"):
        Prior.from_bytes(replace(prior, bases={**prior.bases, "r1.0": basis}).to_bytes(), 1)


def test_bases_of_stored_priors_are_near_to_their_purpose() -> None:
    """Each can be undone, to well within a step; priors of runs have them too."""
    for number in PRIORS:
        prior = stored_prior(number)
        assert {name.split(".")[0] for name in prior.bases} == {"w1", "w2", "v1", "r1"}
        for name, basis in prior.bases.items():
            assert np.linalg.cond(basis.astype(float)) < 100, (number, name)
        run = prior_of(replace(prior.config, num_previous=5), prior.layout)
        assert run.bases is prior.bases


def test_stored_priors_can_be_used() -> None:
    for number in PRIORS:
        prior = stored_prior(number)
        assert prior.config.prior == number
        assert prior_of(prior.config, prior.layout) is prior


def test_numbers_and_widths_that_are_not_there() -> None:
    unknown = next(number for number in range(1, 256) if number not in PRIORS)
    with pytest.raises(CorruptSegmentError, match=f"prior {unknown}"):
        prior_of(replace(CONFIG, prior=unknown), "420")
    with pytest.raises(ConfigError, match=f"prior {unknown}"):
        stored_prior(unknown)


def test_a_prior_has_its_widths_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = random_prior(replace(CONFIG, prior=200), "420")
    monkeypatch.setattr(priors, "PRIORS", (200,))
    monkeypatch.setattr(priors, "stored_prior", lambda number: prior)
    assert prior_of(replace(prior.config, patch_size=128), "420") is prior
    with pytest.raises(CorruptSegmentError, match="layout 420"):
        prior_of(prior.config, "444")
    with pytest.raises(CorruptSegmentError, match="prior 200"):
        prior_of(replace(prior.config, num_taps=6), "420")


@pytest.mark.parametrize(
    ("pix_fmt", "rd_weight"),
    [
        *itertools.product(["yuv420p", "gbrp"], [4e-4, 1e-3, 4e-3]),
        *itertools.product(["gray", "yuv422p10le", "yuv444p"], [1e-3, 4e-3]),
    ],
)
def test_what_a_video_is_best_coded_by_has_a_prior(pix_fmt: str, rd_weight: float) -> None:
    video = VideoFormat(16, 16, pix_fmt)
    layout = layout_key(video.layout)
    found = with_prior(PyramidConfig().for_video(video), layout, rd_weight)
    assert found.prior > 0
    assert PRIOR_RATES[found.prior] == rd_weight
