# SPDX-License-Identifier: MIT
"""Records are taken out or given a wrong bit, never the first."""

from __future__ import annotations

import io

import numpy as np

from c3video.decoder import Decoder
from c3video.hybrid.config import HybridConfig
from eval.losses import loss_of, with_turned_bits, without_records
from tests.hybrid.streams import frame_header, synthetic_stream

HEADER = frame_header(16, 24, "gray", HybridConfig())


def test_lost_and_damaged_records() -> None:
    data, planes = synthetic_stream(HEADER, (2, 2, 2, 2))
    assert without_records(data, 0.0, 0) == data[: len(without_records(data, 0.0, 0))]
    damaged = with_turned_bits(data, 1.0, 3)
    assert sum(int(np.unpackbits(np.array([a ^ b], np.uint8)).sum()) for a, b in zip(data, damaged, strict=True)) == 3
    with Decoder(io.BytesIO(damaged), conceal=True) as clip:
        frames = list(clip)
        assert len(frames) == 8
        assert min(frame.number for frame in clip.concealed) >= 2
    loss = loss_of(damaged, planes, 255)
    assert loss.touched == len(clip.concealed)
    assert loss.concealed_db < 60
