# SPDX-License-Identifier: MIT
"""pipelines/: units, shards and resumption make the bytes of one encode."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import c3video.api
from c3video.c3.config import C3_PRESETS, C3FitConfig
from c3video.config import PROFILES, Profile
from c3video.errors import C3VideoError, ConfigError, SourceError, StreamError
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig, HybridFitConfig
from c3video.media.sink import open_sink
from c3video.video import ArraySource, VideoFormat
from handover.clips import Clip, read_clips, write_clips
from pipelines import datasets, decode_set, encode_set, evaluate, merge, options
from pipelines.join import join
from pipelines.unit_files import STEP_COLUMNS, OutOfTimeError, check_time, encode_unit
from pipelines.units import Patches, Unit, paper_patches, plan
from tests.conftest import TINY_MODEL
from tests.pipelines.test_datasets import write_y4m

CUT = Patches(2, (32, 40))
FIT = C3FitConfig(noise_steps=4, rounding_steps=1, weight_steps=1, window_steps=2)


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(C3_PRESETS, "quick", FIT)
        monkeypatch.setitem(PROFILES, "default", Profile(TINY_MODEL, C3_PRESETS, ""))
        monkeypatch.setitem(PROFILES, "paper", Profile(TINY_MODEL, C3_PRESETS, "", as_rgb=True))
        monkeypatch.setitem(PROFILES, "frames", Profile(HybridConfig(), HYBRID_PRESETS, ""))
        monkeypatch.setitem(HYBRID_PRESETS, "quick", HybridFitConfig(plans=1, passes=0))
        yield


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = write_y4m(tmp_path_factory.mktemp("clips") / "moving.y4m", 5, 32, 40)
    return datasets.select("clips", path.parent)[0]


@pytest.fixture(scope="module")
def encoded_once(tmp_path_factory: pytest.TempPathFactory, clip: Clip) -> Path:
    out = tmp_path_factory.mktemp("encoded") / "out"
    run(out, units_of(clip))
    return out


@pytest.fixture
def encoded(encoded_once: Path, tmp_path: Path) -> Path:
    """A run folder with the units of `units_of(clip)`, for one test to change."""
    return shutil.copytree(encoded_once, tmp_path / "out")


def units_of(clip: Clip, rd_weights: tuple[float, ...] = (1e-3,)) -> list[Unit]:
    return plan([clip], rd_weights, ["default"], "quick", CUT)


def run(out: Path, units: list[Unit], shard: tuple[int, int] = (1, 1)) -> None:
    write_clips(out, [units[0].clip])
    assert encode_set.run(out, units, threads=1, shard=shard)


def test_joined_units_are_the_bytes_of_one_encode(tmp_path: Path, clip: Clip) -> None:
    out = tmp_path / "out"
    cut = Patches(2, (16, 40))
    run(out, plan([clip], [1e-3], ["default"], "quick", cut))
    whole = tmp_path / "whole.c3v"
    c3video.api.encode(clip.path, whole, preset="quick", rd_weight=1e-3, patch_size=cut.size, segment_frames=2)
    stream = out / "streams" / "moving_default_quick_0.001.c3v"
    assert stream.read_bytes() == whole.read_bytes()
    record = json.loads(stream.with_suffix(".json").read_text())
    assert (record["frames"], record["num_segments"], record["size_bytes"]) == ([0, 5], 3, whole.stat().st_size)
    steps = (out / "units" / stream.stem / "0002.steps.csv").read_text().splitlines()
    assert steps[0] == ",".join(STEP_COLUMNS)
    assert {line.split(",")[-1] for line in steps[1:]} == {"0", "1"}  # two patches


def test_units_of_the_frame_model_join_as_well(tmp_path: Path, clip: Clip) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole.c3v"
    run(out, plan([clip], [1e-3], ["frames"], "quick", CUT))
    c3video.api.encode(clip.path, whole, profile="frames", preset="quick", rd_weight=1e-3, segment_frames=2)
    assert (out / "streams" / "moving_frames_quick_0.001.c3v").read_bytes() == whole.read_bytes()


def test_frame_model_leaves_a_row_an_attempt_and_one_of_the_file(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HYBRID_PRESETS, "quick", HybridFitConfig(plans=3, passes=0))
    out = tmp_path / "out"
    (unit,) = plan([clip], [1e-3], ["frames"], "quick", Patches(5))
    run(out, [unit])
    record = json.loads(unit.path(out, ".json").read_text())
    *attempts, file = (line.split(",") for line in unit.path(out, ".steps.csv").read_text().splitlines()[1:])
    # Three plans, and one with a finer first frame. What the last attempt came to is known with the file.
    assert [(row[0], row[1]) for row in attempts] == [("plan", "6"), ("plan", "11"), ("plan", "16")]
    assert all(float(row[2]) > 0 for row in attempts)
    bpp = 8 * record["size_bytes"] / (5 * 32 * 40)
    assert file[0] == "file"
    assert float(file[2]) == pytest.approx(record["mse"] + 1e-3 * bpp, rel=1e-4)
    assert float(file[4]) == pytest.approx(bpp, rel=1e-4)


def test_what_is_done_is_not_done_again(encoded: Path, clip: Clip, capsys: pytest.CaptureFixture[str]) -> None:
    out, units = encoded, units_of(clip)
    (out / "units" / units[1].stream / "0001.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.c3v")}
    run(out, units)
    assert "2 of 3 segments are done" in capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in out.glob("units/*/*.c3v")}
    assert [path.name for path in before if before[path] != after[path]] == ["0001.c3v"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "record", "half record", "no stream"])
def test_unit_that_is_not_whole_is_done_again(
    encoded: Path, clip: Clip, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream cut to 100 bytes counted as done once, and a record of {} was a traceback."""
    units = units_of(clip)
    stream, record = (units[1].path(encoded, suffix) for suffix in (".c3v", ".json"))
    whole = stream.read_bytes()
    if damage == "cut":
        stream.write_bytes(whole[:100])
    elif damage == "flipped":
        stream.write_bytes(whole[:150] + bytes([whole[150] ^ 1]) + whole[151:])
    elif damage == "record":
        record.write_text("{}")
    elif damage == "half record":
        record.write_text(record.read_text()[:80])
    else:
        stream.unlink()
    run(encoded, units)
    assert "2 of 3 segments are done" in capsys.readouterr().err
    assert stream.read_bytes() == whole


def test_unit_of_other_settings_is_not_taken_for_this_one(encoded: Path, clip: Clip) -> None:
    other = plan([clip], [1e-3], ["default"], "quick", CUT, seed=7)
    with pytest.raises(ConfigError, match="made with seed 0, now 7 is asked for"):
        encode_set.run(encoded, other, threads=1)


def test_budget_leaves_units_for_the_next_run(tmp_path: Path, clip: Clip) -> None:
    out = tmp_path / "out"
    assert not encode_set.run(out, units_of(clip), threads=1, budget_minutes=0.0)
    assert not list(out.glob("units/*/*"))
    soon = time.time() + 100
    check_time(time.time() - 10, soon, 0.03)  # too early to tell
    check_time(time.time() - 50, soon, 0.5)
    with pytest.raises(OutOfTimeError):
        check_time(time.time() - 50, soon, 0.25)


def test_shards_merged_are_the_whole(tmp_path: Path, clip: Clip, capsys: pytest.CaptureFixture[str]) -> None:
    units = units_of(clip, (1e-3, 1e-2))
    whole, shards = tmp_path / "whole", [tmp_path / "one", tmp_path / "two"]
    run(whole, units)
    for index, shard in enumerate(shards, 1):
        run(shard, units, (index, 2))
    assert "segments so far" in capsys.readouterr().err
    assert not list(shards[0].glob("streams/*"))
    out = tmp_path / "merged"
    assert merge.main([str(out), *map(str, shards)]) == 0
    for path in whole.glob("streams/*.c3v"):
        assert (out / "streams" / path.name).read_bytes() == path.read_bytes()
    assert read_clips(out) == [clip]
    assert len(list(out.glob("streams/*.c3v"))) == 2
    # The same unit with other bytes is a contradiction.
    broken = next(shards[0].glob("units/*/*.c3v"))
    broken.write_bytes(b"other")
    assert merge.main([str(out), str(shards[0])]) == 1
    assert "differ" in capsys.readouterr().err
    with pytest.raises(SourceError, match=r"no clips\.json"):
        merge.merge(out, [tmp_path])


def test_shards_of_other_frames_are_not_merged(tmp_path: Path, clip: Clip) -> None:
    for name, last in (("one", 5), ("two", 4)):
        changed = Clip(clip.name, clip.path, 0, last, clip.width, clip.height)
        write_clips(tmp_path / name, [changed])
    with pytest.raises(ConfigError, match="frames 0:4"):
        merge.merge(tmp_path / "out", [tmp_path / "one", tmp_path / "two"])


def test_decoding_checks_hashes_and_keeps_seconds_and_memory(encoded: Path) -> None:
    out = encoded
    (record,) = decode_set.run(out)
    assert record["num_frames"] == 5
    assert 0 < record["first_frame_seconds"] <= record["decode_seconds"]
    assert 10 < record["peak_memory_mib"] < 200  # a decoder loads no torch
    path = out / "decoded" / f"{record['stream']}.json"
    made = path.stat().st_mtime_ns
    assert decode_set.run(out) == [record]
    assert path.stat().st_mtime_ns == made
    stream = out / "streams" / f"{record['stream']}.c3v"
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 1
    stream.write_bytes(data)
    with pytest.raises(StreamError):
        decode_set.run(out)


def test_paper_profile_starts_from_the_published_pixels(tmp_path: Path, clip: Clip) -> None:
    (unit, *_) = plan([clip], [1e-3], ["paper"], "quick", CUT)
    encode_unit(unit, tmp_path, 1)
    with c3video.open(unit.path(tmp_path, ".c3v")) as decoder:
        assert decoder.format.pix_fmt == "gbrp"
        assert len(list(decoder)) == 2


@pytest.mark.parametrize(
    ("rd_weight", "patches"),
    [
        (1e-4, Patches(30, (180, 240))),
        (2e-4, Patches(30, (180, 240))),
        (4e-4, Patches(60, (180, 240))),
        (1e-3, Patches(60, (180, 240))),
        (3e-3, Patches(75, (270, 320))),
    ],
)
def test_patches_by_rate_are_those_of_the_reference(rd_weight: float, patches: Patches) -> None:
    assert paper_patches(rd_weight) == patches
    assert patches.size is not None
    # They tile a UVG clip and leave no short segment.
    assert (300 % patches.frames, 1080 % patches.size[0], 1920 % patches.size[1]) == (0, 0, 0)


def test_plan_has_whole_curves_of_the_first_clip_first() -> None:
    clips = [Clip(name, "", 0, 70, 32, 32) for name in "ab"]
    units = plan(clips, [1e-3, 1e-2], ["default"], "fast", Patches(32))
    assert [(u.clip.name, u.rd_weight, u.first, u.last) for u in units[:4]] == [
        ("a", 1e-3, 0, 32),
        ("a", 1e-3, 32, 64),
        ("a", 1e-3, 64, 70),
        ("a", 1e-2, 0, 32),
    ]
    assert units[6].clip.name == "b"
    for profile, preset, rd_weight in (("x", "fast", 1e-3), ("default", "x", 1e-3), ("default", "fast", 2.0)):
        with pytest.raises(ConfigError):
            plan(clips, [rd_weight], [profile], preset, Patches())


def test_segments_begin_where_c3v_encode_has_them_begin(tmp_path: Path) -> None:
    """Two scenes of 5 and 4 frames, cut at most every 3: the second one's segments count from its own first frame."""
    path, rng = tmp_path / "scenes.y4m", np.random.default_rng(0)
    scenes = [ndimage.gaussian_filter(rng.random((48, 64)), 2.0) for _ in range(2)]
    lumas = [np.uint8(255 * (x - x.min()) / np.ptp(x)) for x in scenes]
    frames = [lumas[0]] * 5 + [lumas[1]] * 4
    source = ArraySource([(luma,) for luma in frames], VideoFormat(64, 48, "gray", frame_rate=Fraction(25)))
    with open_sink(path, source.format) as sink:
        for frame in source:
            sink.write(frame)
    (clip,) = datasets.select("clips", tmp_path)
    units = plan([clip], [1e-3], ["frames"], "quick", Patches(3, scene_cuts=True))
    assert [(unit.first, unit.last) for unit in units] == [(0, 3), (3, 5), (5, 8), (8, 9)]
    run(tmp_path / "out", units)
    whole = tmp_path / "whole.c3v"
    c3video.api.encode(path, whole, profile="frames", preset="quick", rd_weight=1e-3, segment_frames=3)
    assert (tmp_path / "out" / "streams" / "scenes_frames_quick_0.001.c3v").read_bytes() == whole.read_bytes()
    assert [unit.first for unit in plan([clip], [1e-3], ["frames"], "quick", Patches(3))] == [0, 3, 6]


@pytest.mark.parametrize(
    ("parse", "good", "value", "bad"),
    [
        (options.shard, "2/3", (2, 3), ["0/3", "4/3", "2", "a/b"]),
        (options.frame_range, "4:", (4, None), ["4", "4:4", "a:b"]),
        (options.patches, "30x180x240", Patches(30, (180, 240)), ["180x240", "0x1x1", "other"]),
        (options.weights, "1e-3,2e-3", [1e-3, 2e-3], ["", "a"]),
        (options.names, "a,b", ["a", "b"], ["", ","]),
        (options.positive, "3", 3, ["0", "-1", "x"]),
    ],
)
def test_options_are_parsed_or_refused(
    parse: Callable[[str], object], good: str, value: object, bad: list[str]
) -> None:
    assert parse(good) == value
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError):
            parse(text)


def test_steps_of_an_experiment_go_on_from_each_other(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(evaluate, "call", lambda module, arguments: called.append([module, *arguments]))
    out = tmp_path / "out"
    arguments = ["clips", "--folder", str(Path(clip.path).parent), "--out", str(out), "--preset", "quick"]
    arguments += ["--rd-weights", "1e-3,1e-2", "--threads", "1", "--codecs", "x264:medium"]
    assert evaluate.main([*arguments, "--shard", "1/2"]) == 0
    assert called == []  # a shard has nothing to measure yet
    assert evaluate.main(arguments) == 0
    assert [words[0] for words in called] == [
        "eval.classic_set",
        "eval.measure",
        "eval.rd",
        "eval.samples",
        "eval.report",
    ]
    facts = json.loads((out / "run.json").read_text())
    assert facts["published"] == ""
    assert {"command", "commit", "date", "versions", "machine", "protocol"} <= set(facts)
    assert len(list((out / "decoded").iterdir())) == 2
    assert evaluate.main([*arguments, "--clips", "nothing"]) == 1


def test_errors_are_of_the_family(tmp_path: Path) -> None:
    assert issubclass(evaluate.StepError, C3VideoError)
    with pytest.raises(ConfigError, match="no streams"):
        join([])
