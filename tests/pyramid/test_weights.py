# SPDX-License-Identifier: MIT
"""Bounds of the weights, gains, and the way from floats to integers and back."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid.config import PyramidConfig, weight_shapes
from c3video.pyramid.weights import (
    MAX_CONTEXT,
    PyramidWeights,
    dequantise,
    latent_shift,
    quantise,
)
from tests.pyramid.models import random_weights

CONFIG = PyramidConfig(num_hyper=4)


def with_array(name: str, change: np.ndarray) -> PyramidWeights:
    weights = random_weights(CONFIG, "420")
    return PyramidWeights(CONFIG, "420", {**weights.arrays, name: change}, weights.gains)


# The largest input of each array, what its sums have beside them, and the size of a row.
LIMITS = {
    "w1": (MAX_CONTEXT, 8 + 4096),
    "w2": (32767, 2048 + (4096 << 8)),
    "w3": (32767, 128),
    "l": (MAX_CONTEXT, 256 + 4096 + (1 << 23)),
    "u": (32768, 128),
    "v1.0": (32768, 512 + (4096 << 7)),
    "v2.1": (32767, 256 + (4096 << 9)),
    "m.1": (32768, 256),
    "r1.1": (32768, 2048 + (4096 << 12)),
    "r2.0": (32767, 2048 + (4096 << 12)),
}
BIASES = {"w1": "b1", "w2": "b2", "l": "b3", "v1.0": "c1.0", "v2.1": "c2.1", "r1.1": "d1.1", "r2.0": "d2.0"}


@pytest.mark.parametrize("name", LIMITS)
def test_a_sum_may_come_up_to_32_bits_and_not_pass_them(name: str) -> None:
    largest_input, rest = LIMITS[name]
    arrays = {key: np.zeros(shape, dtype=np.int64) for key, shape in weight_shapes(CONFIG, "420").items()}
    if name in BIASES:
        arrays[BIASES[name]][...] = 4096
    room = ((1 << 31) - 1 - rest) // largest_input
    row = arrays[name].reshape(len(arrays[name]), -1)[-1]
    full, left = divmod(room, 32767)
    assert full < len(row)
    row[:full], row[full] = 32767, -left
    PyramidWeights(CONFIG, "420", arrays, (64,) * 7)
    row[full] -= 1
    with pytest.raises(CorruptSegmentError, match="must stay below"):
        PyramidWeights(CONFIG, "420", arrays, (64,) * 7)


@pytest.mark.parametrize(("name", "behind", "rest"), [("w1", "h1", 8 + 4096), ("l", "hl", 256 + 4096 + (1 << 23))])
def test_columns_of_hyper_grids_count_in_the_sums_that_they_are_part_of(name: str, behind: str, rest: int) -> None:
    arrays = {key: np.zeros(shape, dtype=np.int64) for key, shape in weight_shapes(CONFIG, "420").items()}
    arrays["hb" if name == "w1" else "b3"][...] = 4096
    room = ((1 << 31) - 1 - rest) // MAX_CONTEXT
    arrays[behind][-1] = 32767, -32767, 5, 0
    full, left = divmod(room - 2 * 32767 - 5, 32767)
    arrays[name][-1, :full], arrays[name][-1, full] = -32767, left
    PyramidWeights(CONFIG, "420", arrays, (64,) * 7)
    arrays[behind][-1, 3] = -1
    with pytest.raises(CorruptSegmentError, match=f"sums of {name} may reach"):
        PyramidWeights(CONFIG, "420", arrays, (64,) * 7)


def test_weights_fit_16_bits_and_gains_a_byte() -> None:
    shape = weight_shapes(CONFIG, "420")["b3"]
    with pytest.raises(CorruptSegmentError, match="weight 32768 of b3"):
        with_array("b3", np.full(shape, -32768))
    weights = random_weights(CONFIG, "420")
    for gain in (0, 256, -1):
        with pytest.raises(CorruptSegmentError, match="gain"):
            PyramidWeights(CONFIG, "420", weights.arrays, (*weights.gains[1:], gain))


def test_gains_multiply_the_columns_of_their_grids() -> None:
    weights = random_weights(CONFIG, "420")
    gains = (128, 32, 64, 64, 64, 64, 255)
    arrays = {**weights.arrays, "m.0": np.array([[100, 101, 7, 0, 0, 0, 32000]]), "m.1": weights.arrays["m.1"]}
    folded = PyramidWeights(CONFIG, "420", arrays, gains).folded
    assert folded["m.0"].tolist() == [[200, 51, 7, 0, 0, 0, 32767]]  # halves up; saturated
    given = weights.arrays["m.1"]
    assert folded["m.1"][:, 0].tolist() == [(int(x) * 32 + 32) >> 6 for x in given[:, 0]]  # chroma begins with grid 1
    assert folded["m.1"][:, -1].tolist() == given[:, -1].tolist()  # luma, which has no gain
    assert folded["v2.0"] is weights.arrays["v2.0"]


def test_coarse_grids_have_finer_steps() -> None:
    assert [latent_shift(k) for k in range(8)] == [8, 8, 7, 7, 6, 6, 5, 5]


def test_quantise_rounds_and_dequantise_is_its_inverse() -> None:
    weights = random_weights(CONFIG, "422", seed=3)
    again = quantise(CONFIG, "422", dequantise(weights))
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array, err_msg=name)
    floats = {name: np.zeros(shape) for name, shape in weight_shapes(CONFIG, "422").items()}
    floats["m.0"][0] = 0.01
    # 0.01 a step with binary point 14; a step of grid k counts 2^-(k // 2) there.
    assert quantise(CONFIG, "422", floats).arrays["m.0"][0].tolist() == [164, 164, 328, 328, 655, 655, 1311]


def test_quantise_shrinks_units_that_would_not_fit() -> None:
    rng = np.random.default_rng(0)
    config = PyramidConfig(num_grids=3, refine_width=2)
    floats = {name: rng.normal(scale=0.1, size=shape) for name, shape in weight_shapes(config, "gray").items()}
    for name in ("w1", "w2", "v1.0", "r1.0"):
        floats[name][0] *= 300
    made = dequantise(quantise(config, "gray", floats))
    for first, second in (("w1", "w2"), ("w2", "w3"), ("v1.0", "v2.0"), ("r1.0", "r2.0")):
        row, expected = np.ravel(made[first][0])[1:], np.ravel(floats[first][0])[1:]  # [0] is doubled in w2
        factor = row @ expected / (expected @ expected)
        assert factor < 0.6
        assert np.isclose(np.log2(factor), np.rint(np.log2(factor)), atol=0.02)
        if second != "w2":
            assert np.allclose(made[second][:, 0] * factor, floats[second][:, 0], atol=0.01)
    assert all(np.allclose(made[name][1:], floats[name][1:], atol=1e-3) for name in ("r1.0", "v1.0"))


def test_quantise_refuses_other_arrays() -> None:
    floats = dequantise(random_weights(CONFIG, "gray"))
    with pytest.raises(ConfigError, match="must be"):
        quantise(CONFIG, "420", floats)
