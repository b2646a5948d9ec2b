# SPDX-License-Identifier: MIT
"""The fuzz targets on their corpus and on some seeded inputs; `make fuzz` goes on."""

from __future__ import annotations

import io
from itertools import islice

import pytest

from c3video.decoder import Decoder
from tests.fuzz.mutation import SEEDS, mutated, seeded_inputs, take_apart
from tests.fuzz.run import CORPUS
from tests.fuzz.targets import decode_bytes, decode_mutated


def test_streams_taken_apart_and_put_together_are_the_same() -> None:
    assert len(SEEDS) >= 9
    for index, seed in enumerate(SEEDS):
        assert take_apart(seed).to_bytes() == seed
        assert mutated(bytes([index, 0])) == seed


def test_most_edits_leave_checksums_right() -> None:
    """A stream whose segments are edited still has its header read: what is tried lies behind the checks."""
    num_opened = 0
    for data in islice(seeded_inputs(1), 100):
        try:
            Decoder(io.BytesIO(mutated(data)))
        except ValueError:
            continue
        num_opened += 1
    assert num_opened > 50


@pytest.mark.parametrize("data", [path.read_bytes() for path in sorted(CORPUS.glob("*"))])
def test_corpus_holds(data: bytes) -> None:
    decode_mutated(data)


def test_seeded_inputs_hold() -> None:
    for data in islice(seeded_inputs(0), 60):
        decode_mutated(data)
        decode_bytes(SEEDS[data[0] % len(SEEDS)][: data[1]] + data)
