# SPDX-License-Identifier: MIT
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from c3video.c3.config import PAPER_MODELS, C3Config, isotropic_grids
from c3video.c3.patch_model import PatchModel, Precision
from c3video.c3.payload import decode_patch, encode_patch
from c3video.c3.weight_coding import NETWORKS, WeightCode, choose_code
from c3video.errors import CorruptSegmentError


def codes_of(model: PatchModel) -> dict[str, WeightCode]:
    return {n: choose_code([layer for layer in model.layers if layer.spec.network == n]) for n in NETWORKS}


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 9, 7), (4, 16, 12)])
@pytest.mark.parametrize("windows", [None, (0, 61), (61, 3)])
def test_patch_round_trip(
    random_patch: Callable,
    tiny_model: C3Config,
    shape: tuple[int, int, int],
    windows: tuple[int, int] | None,
) -> None:
    model, symbols = random_patch(tiny_model, 6, shape)
    if windows:
        model = replace(model, windows=tuple(windows if w else None for w in model.windows))
    data, bits = encode_patch(model, codes_of(model), symbols)
    decoded = decode_patch(data, tiny_model, 6, shape)
    assert decoded.model.windows == model.windows
    for given, found in zip(model.layers, decoded.model.layers, strict=True):
        assert np.array_equal(given.weight, found.weight)
        assert np.array_equal(given.bias, found.bias)
        assert given.precision == found.precision
    assert all(np.array_equal(a, b) for a, b in zip(symbols, decoded.symbols, strict=True))
    assert decoded.bits == bits
    assert sum(bits.weights.values()) + sum(bits.grids) + bits.overhead == pytest.approx(8 * len(data))


@pytest.mark.parametrize("name", ["paper-per-grid", "paper-shared"])
def test_windows_with_one_place_to_be_in_are_not_said(random_patch: Callable, name: str) -> None:
    config = PAPER_MODELS[name]
    model, symbols = random_patch(config, 3, (2, 5, 6))
    data, _ = encode_patch(model, codes_of(model), symbols)
    assert set(decode_patch(data, config, 3, (2, 5, 6)).model.windows) == {(0, 0)}
    wider = replace(config, previous_range=11)
    moved = replace(model, config=wider, windows=((1, 1),) * len(config.grids))  # the same latents as before
    assert len(encode_patch(moved, codes_of(moved), symbols)[0]) == len(data) + 2 * len(config.grids)


def test_symbols_far_outside_the_tables_survive(random_patch: Callable) -> None:
    config = C3Config(grids=isotropic_grids(1, 0))
    model, symbols = random_patch(config, 3, (1, 6, 6))
    symbols[0][0, 2:4, 1:3] = [[100000, -100000], [3, 40000]]
    data, _ = encode_patch(model, codes_of(model), symbols)
    assert np.array_equal(decode_patch(data, config, 3, (1, 6, 6)).symbols[0], symbols[0])


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (0, 4, "weight_bits"),
        (1, 13, "bias_bits"),
        (4, 255, "weight_bits"),
        (2, 64, "scale"),
        (8, 62, "window"),
    ],
)
def test_side_values_out_of_range_raise(
    random_patch: Callable, tiny_model: C3Config, position: int, value: int, words: str
) -> None:
    model, symbols = random_patch(tiny_model, 6, (2, 4, 4))
    data = bytearray(encode_patch(model, codes_of(model), symbols)[0])
    data[position] = value
    with pytest.raises(CorruptSegmentError, match=words):
        decode_patch(bytes(data), tiny_model, 6, (2, 4, 4))


def test_every_cut_raises(random_patch: Callable, tiny_model: C3Config) -> None:
    model, symbols = random_patch(tiny_model, 3, (2, 4, 4))
    data, _ = encode_patch(model, codes_of(model), symbols)
    for size in range(0, len(data), 7):
        with pytest.raises(CorruptSegmentError):
            decode_patch(data[:size], tiny_model, 3, (2, 4, 4))


def test_damage_that_passes_a_crc_ends_in_our_error_or_in_symbols(random_patch: Callable, tiny_model: C3Config) -> None:
    model, symbols = random_patch(tiny_model, 3, (2, 4, 4))
    data, _ = encode_patch(model, codes_of(model), symbols)
    rng = np.random.default_rng(0)
    noticed = 0
    for _ in range(60):
        broken = bytearray(data)
        broken[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            decode_patch(bytes(broken), tiny_model, 3, (2, 4, 4))
        except CorruptSegmentError:
            noticed += 1
    assert noticed >= 50


def test_weights_that_overflow_the_accumulators_raise(random_patch: Callable, tiny_model: C3Config) -> None:
    model, symbols = random_patch(tiny_model, 3, (1, 4, 4))
    first = replace(model.layers[0], weight=np.full(model.layers[0].weight.shape, 5000), precision=Precision(8, 9))
    model = replace(model, layers=(first, *model.layers[1:]))
    with pytest.raises(CorruptSegmentError, match="2\\^30"):
        encode_patch(model, codes_of(model), symbols)
