# SPDX-License-Identifier: MIT
"""docs/c3v.md against the code: the tables that a decoder's author would copy. (Its field tables: tests/stream.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c3video.coding import sparse_tables
from c3video.coding.tables import DECAY, RADIUS
from c3video.hybrid import compensation, subbands
from c3video.hybrid import payload as segment
from c3video.hybrid.context_network import network_shapes
from c3video.hybrid.wavelet import LIFTING
from c3video.video import LAYOUTS
from tests import document_decoder
from tests.vectors.make import prior_row

DOCUMENT = (Path(__file__).parent.parent / "docs" / "c3v.md").read_text()


def test_probability_constants_are_those_of_the_code() -> None:
    section = DOCUMENT[DOCUMENT.index("## 5.") : DOCUMENT.index("## 6.")]
    assert [int(word, 16) for word in re.findall(r"\b[0-9A-F]{16}\b", section)] == list(DECAY)
    radii = re.findall(r"^    ((?:\d+ ?)+)$", section, flags=re.M)
    assert [int(word) for line in radii for word in line.split()] == list(RADIUS)


def test_pixel_formats_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d) x (\d) \| (\d) \| (\d+) \|$", DOCUMENT, flags=re.M)
    assert [(int(n), name, int(h), int(w), int(c), int(m)) for n, name, h, w, c, m in rows] == [
        (x.number, x.name, x.cell_height, x.cell_width, x.num_cell_channels, x.max_value) for x in LAYOUTS.values()
    ]


def test_constants_of_the_frame_model_are_those_of_the_code() -> None:
    """As tests/document_decoder.py finds them."""
    assert tuple(document_decoder.STEPS) == subbands.STEP_OCTAVE
    assert [tuple(row) for row in document_decoder.NORMS.values()] == list(subbands.NORMS)
    assert list(document_decoder.NORMS) == [1, 2, 3, 4, 5]
    assert f"(0..{subbands.MAX_STEP_INDEX})" in document_decoder.section(11)
    assert tuple(map(int, re.findall(r"lift\((-?\d+),", document_decoder.section(11))))[:4] == LIFTING[::-1]
    assert compensation.TAPS.tolist() == document_decoder.TAPS
    assert {side: tuple(row) for side, row in document_decoder.WINDOWS.items()} == compensation.RISES
    assert tuple(document_decoder.P) == sparse_tables.ZERO
    assert tuple(document_decoder.Q) == sparse_tables.TAIL
    assert f"1..{segment.MAX_GOP} |" in document_decoder.section(17)
    assert f"exponent (0..{segment.MAX_EXPONENT})" in document_decoder.section(17)


@pytest.mark.parametrize("name", segment.CONTEXT_NETWORKS)
def test_priors_are_those_of_the_document(name: str) -> None:
    """`python -m tests.vectors.make` writes their digests."""
    assert prior_row(name) in document_decoder.section(14).splitlines()


def test_shapes_of_networks_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (\w+) \| (\(.*\)) \|$", document_decoder.section(14), flags=re.M)
    for inputs, classes in segment.CONTEXT_NETWORKS.values():
        shapes = {
            name: tuple(int({"inputs": inputs, "classes": classes}.get(x, x)) for x in shape.strip("()").split(", "))
            for name, shape in rows
        }
        assert shapes == network_shapes(inputs, classes)
