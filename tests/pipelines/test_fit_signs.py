# SPDX-License-Identifier: MIT
"""Fitting the network of signs: its bits are the format's, and it finds what there is to be found."""

from __future__ import annotations

import numpy as np
import torch

from c3video.coding.sparse_tables import FLAG, RADIUS, cumulative
from c3video.hybrid.signs import CAUSAL, NUM_INPUTS, WEIGHT_BITS, WIDTH, SignNetwork, sign_network
from c3video.hybrid.subbands import NUM_CLASSES
from pipelines.fit_signs import SignSamples, fit_signs, frame_samples, joined, sign_bits


def bits_of(network: SignNetwork, samples: SignSamples) -> float:
    """Bits that the tables of the format promise for the signs."""
    bits = 0.0
    for kind in np.unique(samples.classes):
        chosen = samples.classes == kind
        tables = network.predict(samples.inputs[:, chosen].astype(np.int64), int(kind))
        for table, sign in zip(tables.tolist(), samples.signs[chosen].tolist(), strict=True):
            width = np.diff(cumulative(table, FLAG))[RADIUS + 1 + (sign < 0)]
            bits += 24.0 - np.log2(width)
    return bits


def random_samples(count: int) -> SignSamples:
    rng = np.random.default_rng(0)
    inputs = (rng.integers(-2, 3, (NUM_INPUTS, count)) * (rng.random((NUM_INPUTS, count)) < 0.1)).astype(np.int8)
    signs = np.where(rng.random(count) < 0.5, 1, -1).astype(np.int8)
    return SignSamples(inputs, rng.integers(0, NUM_CLASSES, count).astype(np.int8), signs)


def test_bits_are_those_of_the_tables() -> None:
    """But for the tables' quarters of a step and rounding."""
    samples, network = random_samples(300), sign_network()
    first, last = (torch.from_numpy(part * 2.0**-WEIGHT_BITS).float() for part in (network.first, network.last))
    inputs, classes, signs = (torch.from_numpy(part) for part in (samples.inputs, samples.classes, samples.signs))
    bits = sign_bits(first, last, inputs, classes.long(), signs.float())
    assert abs(float(bits.sum()) - bits_of(network, samples)) < 0.01 * len(signs)


def test_a_rule_is_found_in_its_class_alone() -> None:
    """Signs of class 3 are those of the left neighbour turned round; others have none."""
    samples = random_samples(4_000)
    left = CAUSAL.index((0, -1))
    samples.inputs[left] = np.where(samples.inputs[left] == 0, 1, samples.inputs[left])
    ruled = samples.classes == 3
    samples.signs[ruled] = -np.sign(samples.inputs[left, ruled])
    data = np.frombuffer(fit_signs(samples, 150), dtype="<i2").astype(np.int64)
    first, last = np.split(data, [WIDTH * NUM_INPUTS])
    network = SignNetwork(first.reshape(WIDTH, NUM_INPUTS), last.reshape(NUM_CLASSES, WIDTH))
    network.check()
    in_class = SignSamples(samples.inputs[:, ruled], samples.classes[ruled], samples.signs[ruled])
    assert bits_of(network, in_class) < 0.4 * ruled.sum()


def test_samples_of_frames_are_all_symbols_but_zero() -> None:
    rng = np.random.default_rng(0)
    luma = [rng.integers(-1, 2, shape) for shape in ((3, 4), (3, 4), (3, 4), (3, 4))]
    nothing = [np.zeros((2, 2), dtype=np.int64), *(np.zeros((0, 0), dtype=np.int64) for _ in range(3))]
    frame = frame_samples([luma, nothing])
    assert len(frame.signs) == sum(np.count_nonzero(band) for band in luma)
    assert set(frame.classes.tolist()) == {0, 1, 2, 3}
    twice = joined([frame, frame])
    assert twice.inputs.shape == (NUM_INPUTS, 2 * len(frame.signs))
