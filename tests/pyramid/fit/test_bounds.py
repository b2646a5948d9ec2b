# SPDX-License-Identifier: MIT
"""Weights that grow past what integers hold come back to where they can be rounded."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.errors import CorruptSegmentError
from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.fit.bounds import hold_sums
from c3video.pyramid.weights import quantise

CONFIG = PyramidConfig(num_hyper=4)


def _arrays(size: float, layout: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = weight_shapes(CONFIG, layout)
    small = {name: 0.01 * rng.standard_normal(shape) for name, shape in shapes.items()}
    for name in small:
        if name.split(".")[0] in ("l", "m", "w3", "v2", "r2"):
            small[name] *= size / 0.01
    return {name: array.astype(np.float32) for name, array in small.items()}


@pytest.mark.parametrize("layout", ["420", "rgb", "gray"])
def test_large_weights_can_be_rounded_after_it(layout: str) -> None:
    arrays = _arrays(30.0, layout)
    with pytest.raises(CorruptSegmentError):
        quantise(CONFIG, layout, arrays)
    signs = {name: np.sign(array) for name, array in arrays.items()}
    hold_sums(arrays, CONFIG, layout)
    quantise(CONFIG, layout, arrays)
    assert all(np.array_equal(np.sign(array), signs[name]) for name, array in arrays.items())


def test_hidden_units_give_their_size_to_what_reads_them_before_that_is_held() -> None:
    """As long fits make them: units of the entropy network beyond what sums hold, behind outputs that are nearly."""
    arrays = _arrays(0.1, "420")
    arrays["w2"][3:8] = 5.0
    arrays["w3"][:, 3:8] = 4.0
    arrays["c1.0"][2] = 60.0
    before = arrays["w2"][3, 0] * arrays["w3"][1, 3]
    with pytest.raises(CorruptSegmentError):
        quantise(CONFIG, "420", arrays)
    hold_sums(arrays, CONFIG, "420")
    weights = quantise(CONFIG, "420", arrays)
    assert weights.arrays["c1.0"].max() < 32_000  # which leaves room to round to coarse multiples
    assert 0 < arrays["w2"][3, 0] * arrays["w3"][1, 3] <= before


def test_weights_of_a_usual_size_stay() -> None:
    arrays = _arrays(0.1, "420")
    before = {name: array.copy() for name, array in arrays.items()}
    hold_sums(arrays, CONFIG, "420")
    assert all(np.array_equal(arrays[name], before[name]) for name in arrays)
