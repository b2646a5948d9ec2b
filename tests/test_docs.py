# SPDX-License-Identifier: MIT
"""docs/c3v.md against the code: the tables that a decoder's author would copy. (Its field tables: tests/stream.)"""

from __future__ import annotations

import re
from pathlib import Path

from c3video.model.tables import DECAY, RADIUS
from c3video.video import LAYOUTS

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
