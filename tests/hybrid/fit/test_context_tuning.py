# SPDX-License-Identifier: MIT
"""Context networks in floats: the twin of the exact one, and what tuning brings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from c3video.coding import sparse_tables
from c3video.coding.rangecoder import IntArray, SymbolCounter
from c3video.hybrid.fit.context_tuning import (
    FloatNetwork,
    joined,
    subband_samples,
    symbol_bits,
    thinned,
    to_integers,
    total_bits,
    tune,
)
from c3video.hybrid.payload import prior
from c3video.hybrid.subbands import FrameSymbols, reference_magnitudes, slice_layouts
from c3video.hybrid.symbol_coding import write_subbands

LAYOUT = slice_layouts([(40, 56), (20, 28), (20, 28)], [(0, 0), (1, 1), (1, 1)], 1)[0]
NOTHING = reference_magnitudes([], LAYOUT)


def symbols(seed: int, share: float) -> FrameSymbols:
    rng = np.random.default_rng(seed)
    return [
        [(rng.laplace(0.0, 2.0, shape) * (rng.random(shape) < share)).astype(np.int64) for shape in plane]
        for plane in LAYOUT.shapes
    ]


class SignedCounter(SymbolCounter):
    """Counts by tables of symbols, which hold their signs, as the twin does."""

    def code_magnitudes(self, zeros: IntArray, tails: IntArray, magnitudes: IntArray) -> IntArray:
        return self.code_sparse(zeros, tails, magnitudes)

    def code_signs(self, zeros: IntArray, tails: IntArray, are_negative: IntArray) -> IntArray:
        return are_negative


def exact_bits(network: object, frame: FrameSymbols) -> float:
    counter = SignedCounter()
    write_subbands(counter, network, frame, NOTHING, 2)  # type: ignore[arg-type]
    return counter.estimated_bits


def test_the_twin_promises_the_bits_of_the_exact_network() -> None:
    network = prior("subbands")
    for share in (0.02, 0.3):
        frame = symbols(0, share)
        found = total_bits(FloatNetwork(network), subband_samples(frame, NOTHING, 2))
        assert found == pytest.approx(exact_bits(network, frame), rel=0.02)


def test_bits_of_symbols_are_those_of_the_tables() -> None:
    zero, tail = 20, 6  # logits (20 - 16) / 4 and (6 - 8) / 2
    magnitudes = np.arange(12)
    outputs = torch.tensor([[1.0, -1.0]]).expand(12, 2)
    found = symbol_bits(outputs, torch.from_numpy(magnitudes.astype(np.float32))).numpy()
    expected = sparse_tables.symbol_bits(np.full(12, zero), np.full(12, tail), magnitudes)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_gradients_of_the_bits_are_right_in_float64() -> None:
    outputs = torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    magnitudes = torch.arange(20, dtype=torch.float64) % 5
    assert torch.autograd.gradcheck(lambda x: symbol_bits(x, magnitudes), (outputs,))


def test_tuning_saves_bits_and_survives_rounding() -> None:
    frame = symbols(1, 0.4)
    samples = subband_samples(frame, NOTHING, 2)
    start = prior("subbands")
    tuned = to_integers(tune(samples, start, 60, 1e-2), start, 4)
    assert exact_bits(tuned, frame) < 0.97 * exact_bits(start, frame)
    for array, old in zip(tuned.arrays(), start.arrays(), strict=True):
        assert ((array - old) % 16 == 0).all()


def test_samples_of_many_frames_stand_for_all_symbols() -> None:
    parts = [subband_samples(symbols(seed, 0.1), NOTHING, 2) for seed in range(3)]
    total = sum(height * width for plane in LAYOUT.shapes for height, width in plane)
    assert float(joined(parts).counts.sum()) == 3 * total


def test_large_symbols_are_whole_and_their_neighbours_know_what_counts() -> None:
    """Contexts are made of bytes; features end with those of 255, and bits go by the symbol itself."""
    frame = LAYOUT.empty()
    frame[0][3][0, 0] = -700
    clipped = LAYOUT.empty()
    clipped[0][3][0, 0] = 255
    found, wanted = subband_samples(frame, frame, 2), subband_samples(clipped, clipped, 2)
    assert found.magnitudes.max() == 700.0
    np.testing.assert_array_equal(found.features.numpy(), wanted.features.numpy())


def test_a_share_of_the_samples_stands_for_all_of_them() -> None:
    network, random = prior("subbands"), np.random.default_rng(5)
    samples = joined([subband_samples(symbols(seed, 0.1), NOTHING, 2) for seed in range(8)])
    assert samples.features.numpy().astype(np.float64).max() > 1.0
    half = thinned(samples, 0.5, random)
    quarter = thinned(half, 0.25, random)
    assert thinned(half, 0.5, random) is half
    at_once = joined([subband_samples(symbols(seed, 0.1), NOTHING, 2, 0.25, random) for seed in range(8)])
    assert len(at_once) == pytest.approx(len(quarter), rel=0.1)
    assert at_once.share == 0.25
    assert float(at_once.weights.sum()) == pytest.approx(float(samples.weights.sum()), rel=0.1)
    for some, share in ((half, 0.5), (quarter, 0.25)):
        assert len(some) == pytest.approx(share * len(samples), rel=0.1)
        assert float(some.weights.sum()) == pytest.approx(float(samples.weights.sum()), rel=0.05)
        assert some.stands_for_many.sum() == samples.stands_for_many.sum()
        bits = total_bits(FloatNetwork(network), samples)
        assert total_bits(FloatNetwork(network), some) == pytest.approx(bits, rel=0.05)
    before = total_bits(FloatNetwork(network), samples)
    assert total_bits(tune(quarter, network, 60, 3e-3), samples) < before
