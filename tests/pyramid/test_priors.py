# SPDX-License-Identifier: MIT
"""Priors: the zero one, files of others, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid import priors
from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.priors import CUBIC_KERNEL, PRIORS, Prior, prior_arrays, stored_prior
from tests.pyramid.models import random_weights

CONFIG = PyramidConfig(num_grids=3, num_taps=5, entropy_layers=(9,), synthesis_width=7, refine_width=2)


def test_prior_zero_is_zero_but_for_upsampling() -> None:
    arrays = prior_arrays(CONFIG, "444")
    assert {name: array.shape for name, array in arrays.items()} == weight_shapes(CONFIG, "444")
    assert (arrays["u"] == CUBIC_KERNEL).all()
    assert sum(CUBIC_KERNEL) == 256
    assert not any(array.any() for name, array in arrays.items() if name != "u")


@pytest.mark.parametrize("layout", ["gray", "420", "422", "444", "rgb"])
def test_a_file_comes_back(layout: str) -> None:
    weights = random_weights(CONFIG, layout)
    prior = Prior(replace(CONFIG, prior=7), layout, weights.arrays)
    again = Prior.from_bytes(prior.to_bytes(), 7)
    assert (again.config, again.layout) == (prior.config, layout)
    assert list(again.arrays) == list(weights.arrays)
    assert all(np.array_equal(again.arrays[name], array) for name, array in weights.arrays.items())


def test_damaged_files_are_refused() -> None:
    data = Prior(CONFIG, "420", random_weights(CONFIG, "420").arrays).to_bytes()
    for damaged in (b"", data[:-1], data[:100], data + b"\0", b"X" + data[1:], data[:50] + b"\x55" + data[51:]):
        with pytest.raises(ConfigError, match="damaged"):
            Prior.from_bytes(damaged, 1)


def test_files_with_good_checksums_are_checked_too() -> None:
    data = Prior(CONFIG, "420", random_weights(CONFIG, "420").arrays).to_bytes()

    def sealed(at: int, value: int) -> bytes:
        body = bytearray(data[:-4])
        body[at] = value
        return bytes(body) + priors.zlib.crc32(body).to_bytes(4, "little")

    for at, value in ((4, 9), (5, 0), (5, 4), (6, 3), (7, 0), (7, 3), (8, 3), (9, 49), (10, 33)):
        with pytest.raises(ConfigError):
            Prior.from_bytes(sealed(at, value), 1)


def test_stored_priors_can_be_used() -> None:
    for number in PRIORS:
        prior = stored_prior(number)
        assert prior.config.prior == number
        assert prior_arrays(prior.config, prior.layout) is prior.arrays


def test_numbers_and_widths_that_are_not_there() -> None:
    unknown = next(number for number in range(1, 256) if number not in PRIORS)
    with pytest.raises(CorruptSegmentError, match=f"prior {unknown}"):
        prior_arrays(replace(CONFIG, prior=unknown), "420")
    with pytest.raises(ConfigError, match=f"prior {unknown}"):
        stored_prior(unknown)


def test_a_prior_has_its_widths_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = Prior(replace(CONFIG, prior=200), "420", random_weights(CONFIG, "420").arrays)
    monkeypatch.setattr(priors, "PRIORS", (200,))
    monkeypatch.setattr(priors, "stored_prior", lambda number: prior)
    assert prior_arrays(replace(prior.config, patch_size=128), "420") is prior.arrays
    with pytest.raises(CorruptSegmentError, match="layout 420"):
        prior_arrays(prior.config, "444")
    with pytest.raises(CorruptSegmentError, match="prior 200"):
        prior_arrays(replace(prior.config, num_taps=6), "420")
