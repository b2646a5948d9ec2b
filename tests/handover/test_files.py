# SPDX-License-Identifier: MIT
"""handover/files.py and clips.py: files are there whole or not at all, and come back as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from c3video.errors import ConfigError, SourceError
from handover.clips import Clip, read_clips, write_clips
from handover.files import draft, read_json, write_csv, write_json


def test_draft_takes_its_place_at_the_end_and_goes_where_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with draft(path) as other:
        other.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"

    def fail() -> None:
        with draft(path) as other:
            other.write_text("half of i")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "new"


def test_json_comes_back_and_what_is_none_is_a_source_error(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, 2.5, None, "ü"]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2.5, None, "ü"]}
    (tmp_path / "b.json").write_text("{")
    for name, words in (("b.json", "is no JSON"), ("c.json", "cannot be read: No such file")):
        with pytest.raises(SourceError, match=words):
            read_json(tmp_path / name)


def test_what_a_row_lacks_stays_empty(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ["a", "b"], [{"a": 1, "b": "x,y"}, {"a": 2}])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n1,"x,y"\n2,\n'


def test_list_of_clips_comes_back_as_it_was(tmp_path: Path) -> None:
    clips = [
        Clip("a", "/a", 0, 300, 1920, 1080, "yuv420p", "120", untagged=True, max_gradient_norm=0.03),
        Clip("b", "/b", 0, 1, 8, 4),
    ]
    write_clips(tmp_path, clips)
    assert read_clips(tmp_path) == clips
    assert read_clips(tmp_path, ["b"]) == clips[1:]
    with pytest.raises(ConfigError, match="has no clip 'c': must be one of a, b"):
        read_clips(tmp_path, ["c"])
    (tmp_path / "clips.json").write_text('[{"name": "a"}]')
    with pytest.raises(SourceError, match="no list of clips"):
        read_clips(tmp_path)
