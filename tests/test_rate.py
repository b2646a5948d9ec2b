# SPDX-License-Identifier: MIT
"""Bits that the model promised against bytes in the file."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from c3video.c3.config import C3FitConfig
from c3video.config import model_config
from c3video.encoder import encode
from tests.conftest import TINY_MODEL, moving_clip

FIT = C3FitConfig(noise_steps=150, rounding_steps=10, weight_steps=10, window_steps=50)


@pytest.mark.parametrize("rd_weight", [2e-4, 5e-3])
@pytest.mark.parametrize("model", [TINY_MODEL, model_config("paper")], ids=["tiny", "paper"])
def test_coded_bytes_are_within_one_percent_and_64_bytes_of_the_estimate(model: object, rd_weight: float) -> None:
    file = io.BytesIO()
    source = moving_clip(6, 40, 56)
    reports = encode(source, file, model, replace(FIT, rd_weight=rd_weight), segment_frames=3)  # type: ignore[arg-type]
    for report in reports:
        patch_bits = sum(report.bits.values())
        assert abs(patch_bits - report.estimated_bits) <= 0.01 * report.estimated_bits + 64 * 8
    assert sum(report.size_bytes for report in reports) < len(file.getvalue())
    assert len(file.getvalue()) < sum(report.size_bytes for report in reports) + 200


def test_larger_rd_weight_makes_a_smaller_and_worse_file() -> None:
    source = moving_clip(4, 32, 32)
    found = []
    for rd_weight in (1e-4, 1e-2):
        reports = encode(source, io.BytesIO(), TINY_MODEL, replace(FIT, rd_weight=rd_weight))
        of_grids = sum(bits for part, bits in reports[0].bits.items() if part.startswith("grid "))
        found.append((of_grids, reports[0].mse))
    assert found[1][0] < 0.5 * found[0][0]
    assert found[1][1] > found[0][1]
    assert np.isfinite(found).all()
