# SPDX-License-Identifier: MIT
"""pipelines/datasets.py: which clips a set has, and what is said where it has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from c3video.errors import ConfigError, SourceError
from c3video.media.sink import open_sink
from handover.clips import Clip
from pipelines import check_uvg, datasets
from tests.conftest import moving_clip

FRAME_BYTES = 1920 * 1080 * 3 // 2


def write_y4m(path: Path, num_frames: int = 3, height: int = 32, width: int = 40) -> Path:
    clip = moving_clip(num_frames, height, width)
    with open_sink(path, clip.format) as sink:
        for frame in clip:
            sink.write(frame)
    return path


def test_uvg_is_seven_clips_of_3900_frames() -> None:
    clips = datasets.facts()["uvg"]["clips"]
    assert len(clips) == 7
    assert sum(clip["num_frames"] for clip in clips) == 3900


@pytest.mark.parametrize("folder", [None, Path("no/such/folder")])
def test_missing_uvg_says_names_sizes_place_and_what_to_run(folder: Path | None) -> None:
    with pytest.raises(SourceError) as error:
        datasets.select("uvg", folder)
    message = str(error.value)
    for clip in datasets.facts()["uvg"]["clips"]:
        assert clip["file"] in message
    for words in ("1,866,240,000 bytes", "https://ultravideo.fi", "make clips-eval", "make eval-smoke", "UVG_DIR"):
        assert words in message


def test_uvg_takes_published_files_by_name_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Sparse files: only their sizes are looked at.
    for name, frames in (("ReadySteadyGo", 600), ("ShakeNDry", 300), ("Jockey", 599)):
        path = tmp_path / f"{name}_1920x1080_120fps_420_8bit_YUV.yuv"
        path.touch()
        os.truncate(path, frames * FRAME_BYTES)
    (clip, short) = datasets.select("uvg", tmp_path, ["ReadySetGo", "ShakeNDry"], (0, 400))
    assert (clip.name, clip.num_frames, clip.pix_fmt, clip.fps) == ("ReadySetGo", 400, "yuv420p", "120")
    assert short.num_frames == 300
    with pytest.raises(SourceError, match="599 frames; Jockey has 600"):
        datasets.select("uvg", tmp_path, ["Jockey"])
    with pytest.raises(SourceError, match=r"has 2 of 7 clips.*\n.*\n.*--clips ReadySetGo,ShakeNDry"):
        datasets.select("uvg", tmp_path)
    assert check_uvg.main([str(tmp_path), "--clips", "ShakeNDry"]) == 0
    assert "ShakeNDry  300 frames" in capsys.readouterr().out
    assert check_uvg.main([str(tmp_path)]) == 1


def test_uvg_takes_no_clip_of_another_size(tmp_path: Path) -> None:
    write_y4m(tmp_path / "Beauty_small.y4m")
    with pytest.raises(SourceError, match="40x32 yuv420p; must be 1920x1080"):
        datasets.select("uvg", tmp_path, ["Beauty"])
    with pytest.raises(ConfigError, match="no clip 'Ugly'"):
        datasets.select("uvg", tmp_path, ["Ugly"])


def test_only_all_frames_of_all_clips_are_the_whole_set() -> None:
    clips = [Clip(clip["name"], "", 0, clip["num_frames"], 1920, 1080) for clip in datasets.facts()["uvg"]["clips"]]
    assert datasets.is_whole_uvg(clips)
    assert not datasets.is_whole_uvg(clips[1:])
    assert not datasets.is_whole_uvg([*clips[1:], Clip("Beauty", "", 0, 599, 1920, 1080)])


def test_only_whole_sets_are_put_beside_published_curves() -> None:
    known = datasets.facts()["uvg"]["clips"]
    uvg = [Clip(clip["name"], "", 0, clip["num_frames"], 1920, 1080) for clip in known]
    assert datasets.published_set(uvg) == "uvg"
    assert datasets.published_set(uvg[1:]) == ""
    upright = {4, 9, 10, 17, 18, 19}
    kodak = [Clip(f"kodim{n:02}", "", 0, 1, *((512, 768) if n in upright else (768, 512))) for n in range(1, 25)]
    assert datasets.published_set(kodak) == "kodak"
    assert datasets.published_set(kodak[1:]) == ""
    assert datasets.published_set([*kodak[1:], Clip("kodim01", "", 0, 1, 384, 256)]) == ""
    assert datasets.published_set(datasets.still_clips(datasets.facts()["stills"]["files"])) == ""


def test_folder_gives_each_clip_once_and_passes_over_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_y4m(tmp_path / "a.y4m").read_bytes()
    (tmp_path / "b.mkv").write_bytes(b"no video")
    (tmp_path / "c_8x4_30fps.yuv").write_bytes(bytes(2 * 8 * 4 * 3 // 2))
    (tmp_path / "d.yuv").write_bytes(data)
    (tmp_path / "notes.txt").write_text("no clip")
    clips = datasets.select("clips", tmp_path)
    assert [(clip.name, clip.num_frames, clip.width, clip.height, clip.fps) for clip in clips] == [
        ("a", 3, 40, 32, None),
        ("c_8x4_30fps", 2, 8, 4, "30"),
    ]
    error = capsys.readouterr().err
    assert "b.mkv" in error
    assert "d.yuv: left out: raw video without its size" in error
    (clip,) = datasets.select("clips", tmp_path, ["a"], (1, None))
    assert (clip.first, clip.last) == (1, 3)
    with clip.open(0, 2) as source:
        assert [frame.pts for frame in source] == [1, 2]
    with clip.open_as_rgb(1, 2) as source:
        assert source.format.pix_fmt == "gbrp"
    with pytest.raises(ConfigError, match="no clip 'z'"):
        datasets.select("clips", tmp_path, ["z"])
    with pytest.raises(SourceError, match="none left"):
        datasets.select("clips", tmp_path, ["a"], (3, None))


def test_missing_large_clips_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "REPOSITORY", tmp_path)
    with pytest.raises(SourceError, match=r"frankfurt_1920x960.*--folder"):
        datasets.select("hd")
    (tmp_path / "one").mkdir()
    write_y4m(tmp_path / "one" / "a.y4m")
    monkeypatch.setitem(datasets.facts(), "hd", {"folders": ["none", "one"], "names": ["a"]})
    assert [clip.name for clip in datasets.select("hd")] == ["a"]


def test_kodak_is_a_folder_that_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"KODAK_DIR is not set.*https://r0k\.us"):
        datasets.select("kodak")
    write_y4m(tmp_path / "kodim03.y4m", num_frames=1)
    assert [clip.name for clip in datasets.select("kodak", tmp_path)] == ["kodim03"]


def test_default_clips_are_some_videos_and_stills_of_one_frame() -> None:
    clips = datasets.select("clips", frames=(0, 2))
    stills = [clip for clip in clips if clip.num_frames == 1]
    assert {clip.name for clip in stills} >= {"astronaut", "chelsea"}
    assert any(clip.num_frames == 2 for clip in clips)
    assert [clip.name for clip in datasets.select("clips", names=["chelsea", "bunny_320x180"])] == [
        "chelsea",
        "bunny_320x180",
    ]
