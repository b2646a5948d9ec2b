# SPDX-License-Identifier: MIT
"""Checked-in streams against their digests: files of yesterday decode to the same pixels, on both engines."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

import pytest

from c3video import native
from c3video.decoder import Decoder
from tests.vectors.make import STREAMS

VECTORS = Path(__file__).parent / "vectors"
DIGESTS = json.loads((VECTORS / "digests.json").read_text())
ENGINES = ["numpy", *(["native"] if native.available() else [])]


def test_every_stream_has_a_digest() -> None:
    assert {path.stem for path in VECTORS.glob("*.c3v")} == set(DIGESTS)
    assert set(DIGESTS) == set(STREAMS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", DIGESTS)
def test_stream_decodes_to_its_digest(name: str, engine: str) -> None:
    data, expected = (VECTORS / f"{name}.c3v").read_bytes(), DIGESTS[name]
    assert len(data) == expected["size_bytes"]
    with Decoder(io.BytesIO(data), engine=engine) as clip:
        frames = list(clip)
    assert [frame.pts for frame in frames] == expected["pts"]
    assert [list(plane.shape) for plane in frames[0].planes] == expected["shapes"]
    pixels = b"".join(plane.tobytes() for frame in frames for plane in frame.planes)
    assert zlib.crc32(pixels) == expected["pixels_crc32"]
