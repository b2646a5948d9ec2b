# SPDX-License-Identifier: MIT
"""What an encode costs, measured on a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.encode_cost import Cost, measure
from tests.media.clips import encode, pictures


def test_cost_is_that_of_the_process(tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.nut", pictures("gray", (16, 8)))
    cost = measure(clip, "default", "ultrafast", "0:2", 1)
    assert (cost.num_frames, cost.num_pixels) == (2, 2 * 16 * 8)
    assert 0.1 < cost.cpu_seconds < 300
    assert 20 < cost.peak_mib < 10_000


def test_cost_is_for_a_million_samples_of_luma() -> None:
    assert Cost(2_000_000, 2, 5.0, 1.0).cpu_seconds_a_megapixel == 2.5


def test_failure_says_what_was_encoded(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(OSError, match=r"notes\.txt: encoding with fast ended with exit code 1"):
        measure(tmp_path / "notes.txt", "default", "fast", "0:2", 1)
