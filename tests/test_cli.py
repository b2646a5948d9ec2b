# SPDX-License-Identifier: MIT
"""The real command through real pipes and files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

import c3video.decoder
from c3video.media.avframe import to_av_frame
from c3video.media.sink import open_sink
from c3video.video import Frame, VideoFormat
from tests.conftest import encode_quickly, moving_clip
from tests.media.clips import needs_ffmpeg, read_all, stored
from tests.model_streams import small_stream

C3V = [sys.executable, "-m", "c3video"]


def c3v(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*C3V, *map(str, arguments)], input=stdin, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A y4m of 4 frames, 20x14."""
    path = tmp_path_factory.mktemp("cli") / "source.y4m"
    clip = moving_clip(4, 14, 20)
    with open_sink(path, clip.format) as sink:
        for frame in clip:
            sink.write(frame)
    return path


@pytest.fixture(scope="module")
def coded(source: Path) -> Path:
    """`source` as .c3v, two segments, made by the command."""
    return encoded(source, source.with_suffix(".c3v"))


@pytest.fixture(scope="module")
def coded_in_patches(source: Path) -> Path:
    """The same by the C3 model."""
    return encoded(source, source.with_name("patches.c3v"), "--profile", "paper")


@pytest.fixture(scope="module")
def coded_as_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many frames of that size, each a picture of the pyramid model."""
    path = tmp_path_factory.mktemp("cli") / "pictures.c3v"
    path.write_bytes(small_stream("pictures", 14, 20, "yuv420p", (2, 2), segment_frames=2)[0])
    return path


@pytest.fixture(scope="module")
def coded_in_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many frames of that size, of the pyramid model."""
    path = tmp_path_factory.mktemp("cli") / "runs.c3v"
    path.write_bytes(small_stream("run", 14, 20, "yuv420p", (2, 2), segment_frames=2)[0])
    return path


def encoded(source: Path, path: Path, *options: str) -> Path:
    run = c3v("encode", source, path, "--preset", "ultrafast", "--segment", 2, "--threads", 1, *options)
    assert run.returncode == 0, run.stderr
    assert run.stdout == b""
    assert b"4 frames, 2 segments" in run.stderr
    return path


def one_line(run: subprocess.CompletedProcess[bytes], code: int = 1) -> str:
    """The error of a run: one line on stderr, nothing on stdout."""
    words = run.stderr.decode()
    assert run.returncode == code, words
    assert words.startswith("c3v: ") or code == 2
    assert "Traceback" not in words
    if code == 1:
        assert words.count("\n") == 1, words
    return words


def test_decode_to_file_and_pipe_give_the_same_bytes(coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.y4m"
    assert c3v("decode", coded, "-o", out).returncode == 0
    piped = c3v("decode", coded, "-o", "-")
    from_stdin = c3v("decode", "-", "-o", "-", stdin=coded.read_bytes())
    assert piped.stderr == b""
    assert piped.stdout == from_stdin.stdout == out.read_bytes()
    assert piped.stdout.startswith(b"YUV4MPEG2 W20 H14 ")


def test_decode_raw_and_segments_and_threads(coded: Path, tmp_path: Path) -> None:
    whole, second = tmp_path / "whole.yuv", tmp_path / "second.yuv"
    assert c3v("decode", coded, "-o", whole, "--threads", 2).returncode == 0
    assert c3v("decode", coded, "-o", second, "--segments", "1:2", "--threads", 1).returncode == 0
    assert whole.stat().st_size == 4 * 20 * 14 * 3 // 2
    assert second.read_bytes() == whole.read_bytes()[2 * 20 * 14 * 3 // 2 :]


def check_info(path: Path, part: str, particulars: str) -> list[dict[str, Any]]:
    """What `c3v info` says to people and to programs; returns what it says of the segments."""
    text = c3v("info", path)
    assert text.returncode == 0
    assert part in text.stdout.decode()
    assert particulars in text.stdout.decode()
    facts = json.loads(c3v("info", path, "--json").stdout)
    assert facts["num_frames"] == 4
    assert facts["size_bytes"] == path.stat().st_size
    assert facts["header"]["width"] == 20
    in_segments = sum(segment["size_bytes"] for segment in facts["segments"])
    assert sum(facts["bits"].values()) == pytest.approx(8 * in_segments, abs=8)
    assert part in facts["bits"]
    assert facts["bpp"] == pytest.approx(8 * path.stat().st_size / (4 * 20 * 14))
    return facts["segments"]


def test_info_of_the_frame_model(coded: Path) -> None:
    for segment in check_info(coded, "level 0", "steps by level"):
        assert segment["gop"] >= 1
        assert len(segment["steps"]) == len(segment["step_indexes"]) == 2


def test_info_of_a_damaged_stream_says_what_comes_before(coded: Path, tmp_path: Path) -> None:
    data, cut = coded.read_bytes(), tmp_path / "cut.c3v"
    cut.write_bytes(data[: data.rindex(b"C3R") + 5])  # in the head of the index
    run = c3v("info", cut, "--json")
    assert run.returncode == 1
    assert run.stderr.startswith(b"c3v: ")
    facts = json.loads(run.stdout)
    assert [segment["num_frames"] for segment in facts["segments"]] == [2, 2]
    assert facts["damage"] in run.stderr.decode()
    assert "bpp" not in facts
    assert json.loads(c3v("info", coded, "--json").stdout)["damage"] is None


def test_info_of_the_patch_model(coded_in_patches: Path) -> None:
    for segment in check_info(coded_in_patches, "synthesis weights", "windows of patch 0"):
        assert len(segment["previous_windows"]) == 1


def test_info_of_pictures(coded_as_pictures: Path) -> None:
    for segment in check_info(coded_as_pictures, "entropy weights", "priors: 0 0"):
        assert segment["priors"] == [0, 0]


def test_info_of_the_pyramid_model(coded_in_runs: Path) -> None:
    for segment in check_info(coded_in_runs, "entropy weights", "prior: 0, layers of 2 and 1 frames"):
        assert len(segment["gains"]) == len(segment["windows"]) == 3


def test_verify_says_so(coded: Path, coded_in_patches: Path, coded_in_runs: Path) -> None:
    for path in (coded, coded_in_patches, coded_in_runs):
        run = c3v("decode", path, "--verify")
        assert run.returncode == 0
        assert b"4 frames, every hash matches" in run.stderr


@pytest.mark.parametrize(("options", "num_segments"), [((), 2), (("--no-scene-cuts",), 1)])
def test_segments_begin_with_scenes_unless_told_otherwise(
    options: tuple[str, ...], num_segments: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from c3video.cli import main

    path = tmp_path / "two_scenes.y4m"
    upright, turned = (moving_clip(3, 14, 20, seed=seed) for seed in (1, 2))
    with open_sink(path, upright.format) as sink:
        for frame in upright:
            sink.write(frame)
        for frame in turned:
            sink.write(replace(frame, planes=tuple(np.ascontiguousarray(p[::-1, ::-1]) for p in frame.planes)))
    assert main(["encode", str(path), str(tmp_path / "out.c3v"), "--preset", "ultrafast", *options]) == 0
    assert f"6 frames, {num_segments} segments" in capsys.readouterr().err


def test_compare_for_people_and_programs(source: Path, coded: Path) -> None:
    assert b"psnr_yuv611" in c3v("compare", source, coded).stdout
    figures = json.loads(c3v("compare", source, coded, "--json").stdout)
    assert 15 < figures["psnr_y"] < 60
    assert figures["bpp"] == pytest.approx(8 * coded.stat().st_size / (4 * 20 * 14))


@pytest.mark.parametrize("profile", ["default", "paper"])
def test_compare_has_the_figure_of_the_summary(profile: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.c3v"
    run = c3v("encode", source, out, "--preset", "ultrafast", "--segment", 3, "--threads", 1, "--profile", profile)
    found = re.search(r"PSNR ([\d.]+) dB \(psnr_all\)", run.stderr.decode())
    assert found is not None
    psnr = json.loads(c3v("compare", source, out, "--json").stdout)["psnr_all"]
    assert psnr == pytest.approx(float(found[1]), abs=0.006)
    assert f"psnr_all      {psnr:.3f} " in c3v("compare", source, out).stdout.decode()


def test_info_says_length_rate_key_frames_and_time_stamps(coded: Path) -> None:
    words = c3v("info", coded, "--timestamps").stdout.decode()
    assert "length 0.160 s, " in words
    assert " kb/s" in words
    assert "2 key frames: 0 2" in words
    facts = json.loads(c3v("info", coded, "--json", "--timestamps").stdout)
    assert facts["key_frames"] == [0, 2]
    assert facts["length_seconds"] == 0.16
    assert facts["kbps"] == pytest.approx(8 * coded.stat().st_size / 160, abs=1e-3)
    assert facts["timestamps"] == {"time_base": "1/25", "pts": [0, 1, 2, 3], "durations": [1, 1, 1, 1]}
    assert "timestamps" not in json.loads(c3v("info", coded, "--json").stdout)


def test_compare_takes_a_range_of_frames_and_raw_video_and_writes_a_table(
    source: Path, coded: Path, tmp_path: Path
) -> None:
    raw, table = tmp_path / "clip.yuv", tmp_path / "frames.csv"
    assert c3v("decode", coded, "-o", raw).returncode == 0
    same = c3v("compare", raw, coded, "--size", "20x14", "--pix-fmt", "yuv420p", "--json")
    assert json.loads(same.stdout)["num_exact"] == 4
    raw.write_bytes(raw.read_bytes()[20 * 14 * 3 // 2 :][: 2 * 20 * 14 * 3 // 2])  # frames 1 and 2
    options = ("--size", "20x14", "--pix-fmt", "yuv420p", "--frames", "1:3")
    assert json.loads(c3v("compare", coded, raw, *options, "--json").stdout)["num_exact"] == 2
    assert c3v("compare", source, raw, *options, "--csv", table).returncode == 0
    lines = table.read_text().splitlines()
    assert lines[0].startswith("frame,pts,psnr_y,psnr_u,psnr_v,psnr_yuv611,psnr_rgb,ssim")
    assert [line.split(",")[:2] for line in lines[1:]] == [["0", "1"], ["1", "2"]]
    assert "ends after" in one_line(c3v("compare", source, raw, *options[:4]))
    words = one_line(c3v("compare", source, raw))
    assert "raw video has no header: say its --size WxH and its --pix-fmt" in words
    assert "--fps" not in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-pixels", "279"], "20 x 14 = 280 pixels: more than the limit of 279"),
        (["--max-memory", "1K"], "--max-memory"),
        (["--max-frames", "3"], "after the limit of 3 frames"),
    ],
)
def test_limits_of_what_a_stream_may_ask_for(coded: Path, options: list[str], words: str) -> None:
    assert words in one_line(c3v("decode", coded, "-o", "-", *options))
    assert c3v("decode", coded, "--verify", options[0], "0").returncode == 0


def test_raw_input_through_a_pipe_equals_the_file(source: Path, coded: Path, tmp_path: Path) -> None:
    """Headerless frames on stdin, the same fit: only the header may differ."""
    raw = b"".join(plane.tobytes() for frame in moving_clip(4, 14, 20) for plane in frame.planes)
    out = tmp_path / "raw.c3v"
    options = [
        "--size",
        "20x14",
        "--pix-fmt",
        "yuv420p",
        "--fps",
        "25",
        "--preset",
        "ultrafast",
        "--segment",
        "2",
    ]
    run = c3v("encode", "-", out, *options, "--threads", 1, stdin=raw)
    assert run.returncode == 0, run.stderr
    assert (
        c3v("decode", out, "-o", "-").stdout.split(b"FRAME\n")[1:]
        == c3v("decode", coded, "-o", "-").stdout.split(b"FRAME\n")[1:]
    )


@needs_ffmpeg
def test_ffmpeg_plays_what_decode_pipes_out(coded: Path, tmp_path: Path) -> None:
    out = tmp_path / "played.yuv"
    ffmpeg = ["ffmpeg", "-v", "error", "-i", "-", "-f", "rawvideo", str(out)]
    with subprocess.Popen([*C3V, "decode", str(coded), "-o", "-"], stdout=subprocess.PIPE) as decode:
        assert subprocess.run(ffmpeg, stdin=decode.stdout, timeout=60).returncode == 0
    assert decode.returncode == 0
    raw = tmp_path / "raw.yuv"
    c3v("decode", coded, "-o", raw)
    assert out.read_bytes() == raw.read_bytes()


@needs_ffmpeg
def test_ffmpeg_feeds_encode_through_a_pipe(source: Path, tmp_path: Path) -> None:
    feed = ["ffmpeg", "-v", "error", "-i", str(source), "-f", "yuv4mpegpipe", "-"]
    out = tmp_path / "out.c3v"
    encode = [*C3V, "encode", "-", str(out), "--preset", "ultrafast", "--frames", ":1", "--threads", "1"]
    with subprocess.Popen(feed, stdout=subprocess.PIPE) as ffmpeg:
        run = subprocess.run(encode, stdin=ffmpeg.stdout, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert b"1 frames" in run.stderr


def test_frames_leave_as_segments_arrive(coded: Path) -> None:
    """With only the first segment in the pipe, its frames come out; the reader need not see the end."""
    data = coded.read_bytes()
    second = data.index(b"C3R", data.index(b"C3R") + 1)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*C3V, "decode", "-", "-o", "-"], **pipes) as decode:
        decode.stdin.write(data[:second])
        decode.stdin.flush()
        assert decode.stdout.readline().startswith(b"YUV4MPEG2")
        for _ in range(2):
            assert decode.stdout.readline() == b"FRAME\n"
            assert len(decode.stdout.read(20 * 14 * 3 // 2)) == 20 * 14 * 3 // 2
        decode.stdin.write(data[second:])
        decode.stdin.close()
        assert decode.stdout.read().count(b"FRAME\n") >= 2
    assert decode.returncode == 0


def test_closed_pipe_is_not_an_error(coded: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*C3V, "decode", str(coded), "-o", "-"], **pipes) as decode:
        decode.stdout.close()
        assert decode.stderr.read() == b""
    assert decode.returncode == 0


def test_damaged_stream_gives_good_frames_then_one_line(coded: Path, tmp_path: Path) -> None:
    data = bytearray(coded.read_bytes())
    data[data.index(b"C3R", data.index(b"C3R") + 1) + 40] ^= 4
    broken = tmp_path / "broken.c3v"
    broken.write_bytes(data)
    run = c3v("decode", broken, "-o", "-")
    assert "segment 1" in one_line(run)
    assert run.stdout.count(b"FRAME\n") == 2
    concealed = c3v("decode", broken, "-o", "-", "--conceal")
    assert concealed.returncode == 0
    assert b"c3v: damaged: segment 1" in concealed.stderr
    assert b"c3v: concealed: frame" in concealed.stderr
    assert concealed.stdout.count(b"FRAME\n") == c3v("decode", coded, "-o", "-").stdout.count(b"FRAME\n")
    verified = c3v("decode", broken, "--verify", "--conceal")
    assert verified.returncode == 1
    assert b"the stream is damaged; of " in verified.stderr
    assert b"every hash matches" not in verified.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decode", "missing.c3v", "-o", "-"], "missing.c3v"),
        (["info", "missing.c3v"], "missing.c3v"),
        (["encode", "missing.mp4", "out.c3v"], "missing.mp4"),
        (["compare", "missing.y4m", "missing.c3v"], "missing"),
        (["encode", ".", "out.c3v"], "directory"),
    ],
)
def test_missing_files_are_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / a) if "." in a and a not in ("-",) else a for a in arguments]
    assert words in one_line(c3v(*arguments)).lower()


def test_other_files_are_one_line(source: Path) -> None:
    for arguments in (["decode", source, "-o", "-"], ["info", source]):
        assert one_line(c3v(*arguments)).startswith(f"c3v: {source}: not a .c3v stream")


def test_damage_is_said_with_the_name_of_the_stream(source: Path, coded: Path, tmp_path: Path) -> None:
    empty, cut = tmp_path / "empty.c3v", tmp_path / "cut.c3v"
    empty.touch()
    cut.write_bytes(coded.read_bytes()[:-100])
    for arguments in (["decode", empty, "--verify"], ["info", empty], ["compare", source, empty]):
        assert one_line(c3v(*arguments)).startswith(f"c3v: {empty}: the stream is empty")
    for arguments in (["decode", cut, "--verify"], ["compare", cut, source]):
        assert one_line(c3v(*arguments)).startswith(f"c3v: {cut}: ")
    assert one_line(c3v("info", "-", stdin=b"")).startswith("c3v: standard input: the stream is empty")


def test_pattern_of_a_shell_is_answered_with_that_of_numbered_images(tmp_path: Path) -> None:
    words = one_line(c3v("encode", tmp_path / "f_*.png", tmp_path / "out.c3v"))
    assert "f_*.png: cannot be opened: No such file or directory; numbered images are named with %, as" in words


def test_decode_without_output_says_what_to_add(coded: Path) -> None:
    assert "-o -" in one_line(c3v("decode", coded))


def test_encode_refuses_to_write_over_its_input(source: Path) -> None:
    before = source.read_bytes()
    assert "same file" in one_line(c3v("encode", source, source))
    assert source.read_bytes() == before


def test_encode_places_windows_where_there_are_some(source: Path, tmp_path: Path) -> None:
    assert "no windows" in one_line(c3v("encode", source, tmp_path / "out.c3v", "--windows", "wide"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "a", "b", "--preset", "glacial"],
        ["encode", "a", "b", "--windows", "luck"],
        ["encode", "a", "b", "--size", "20"],
        ["encode", "a", "b", "--size", "0x4"],
        ["encode", "a", "b", "--frames", "5:2"],
        ["encode", "a", "b", "--fps", "0"],
        ["encode", "a", "b", "--segment", "0"],
        ["decode", "a", "--max-memory", "2T"],
        ["decode"],
        [],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    one_line(c3v(*arguments), code=2)


@pytest.mark.parametrize("command", [[], ["encode"], ["decode"], ["info"], ["compare"]])
def test_help_teaches(command: list[str]) -> None:
    run = c3v(*command, "--help")
    assert run.returncode == 0
    assert len(run.stdout.splitlines()) > 5


def test_python_call_gives_the_same_frames_as_the_command(coded: Path) -> None:
    import c3video

    with c3video.open(coded) as clip:
        pixels = b"".join(plane.tobytes() for frame in clip for plane in frame.planes)
    out = c3v("decode", coded, "-o", "-").stdout
    assert pixels == b"".join(part for part in out.split(b"FRAME\n")[1:])


def test_av_frames_carry_pixels_and_time(coded: Path) -> None:
    import c3video

    with c3video.open(coded) as clip:
        frames = list(clip.av_frames())
    with c3video.open(coded) as clip:
        for av_frame, frame in zip(frames, clip, strict=True):
            assert av_frame.format.name == "yuv420p"  # type: ignore[attr-defined]
            assert av_frame.pts == frame.pts  # type: ignore[attr-defined]
            assert np.array_equal(av_frame.to_ndarray()[:14, :20], frame.planes[0])  # type: ignore[attr-defined]


def test_stream_made_in_python_is_described_by_info(tmp_path: Path) -> None:
    path = tmp_path / "clip.c3v"
    path.write_bytes(encode_quickly(moving_clip(2, 8, 8, "yuv444p10le")))
    assert b"yuv444p10le" in c3v("info", path).stdout


# What is known of a video beside its samples, and which frames are wanted.


@pytest.fixture(scope="module")
def phone_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 of 6 frames at uneven times, BT.709, to be turned by 90 degrees."""
    path = tmp_path_factory.mktemp("phone") / "phone.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"qp": "10"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 20, 14, "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1
        stream.set_display_matrix([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30])
        for pts, frame in zip(UNEVEN, moving_clip(6, 14, 20), strict=True):
            picture = to_av_frame(frame, moving_clip(1, 14, 20).format)
            picture.pts, picture.time_base = pts, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


UNEVEN = [0, 1, 3, 6, 7, 9]


@pytest.fixture(scope="module")
def coded_phone_clip(phone_clip: Path) -> Path:
    path = phone_clip.with_suffix(".c3v")
    run = c3v("encode", phone_clip, path, "--preset", "ultrafast", "--segment", 2, "--threads", 1)
    assert run.returncode == 0, run.stderr
    return path


def times_of(video: VideoFormat, frames: list[Frame]) -> list[Fraction]:
    return [frame.pts * video.time_base * 25 for frame in frames]


@pytest.mark.parametrize("name", ["out.mkv", "out.mov"])
def test_times_colour_and_rotation_come_out_of_decode(coded_phone_clip: Path, tmp_path: Path, name: str) -> None:
    run = c3v("decode", coded_phone_clip, "-o", tmp_path / name)
    assert (run.returncode, run.stderr) == (0, b"")
    video, frames = read_all(tmp_path / name)
    assert times_of(video, frames) == UNEVEN
    colours = video.color_primaries, video.color_trc, video.color_space, video.color_range
    assert colours == (1, 1, 1, 1)
    assert video.rotation == 90


def test_what_y4m_drops_is_said(coded_phone_clip: Path) -> None:
    run = c3v("decode", coded_phone_clip, "-o", "-")
    assert run.stdout.startswith(b"YUV4MPEG2 ")
    words = run.stderr.decode()
    assert "y4m cannot carry colour (primaries 1, transfer 1, matrix 1), rotation by 90 degrees" in words
    assert "y4m has one frame rate" in words


@pytest.mark.parametrize("container", ["matroska", "nut", "y4m", "raw", "mkv", "yuv4mpegpipe", "rawvideo"])
def test_pipes_of_every_container(coded: Path, tmp_path: Path, container: str) -> None:
    run = c3v("decode", coded, "-o", "-", "-f", container)
    assert run.returncode == 0
    raw = c3v("decode", coded, "-o", "-", "-f", "raw").stdout
    path = tmp_path / "clip"
    path.write_bytes(run.stdout)
    options = {"size": (20, 14), "pix_fmt": "yuv420p"} if container in ("raw", "rawvideo") else {}
    assert b"".join(stored(frame) for frame in read_all(path, **options)[1]) == raw


def test_rgb_goes_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "clip.c3v"
    path.write_bytes(encode_quickly(moving_clip(2, 8, 8, "gbrp")))
    assert "-f matroska to a pipe" in one_line(c3v("decode", path, "-o", "-", "-f", "y4m"))
    run = c3v("decode", path, "-o", "-")
    assert (run.returncode, run.stderr) == (0, b"")
    (tmp_path / "clip.mkv").write_bytes(run.stdout)
    assert read_all(tmp_path / "clip.mkv")[0].pix_fmt == "gbrp"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--frames", "1:4"), [1, 3, 6]),
        (("--frames", "4:"), [7, 9]),
        (("--start", "0.12", "--end", "0.28"), [3, 6]),
        (("--start", "0:00:00.24", "--duration", "0.08"), [6, 7]),
        (("--duration", "0.04"), [0]),
    ],
)
def test_frames_are_chosen_alike_on_both_ends(
    phone_clip: Path, coded_phone_clip: Path, tmp_path: Path, options: tuple[str, ...], expected: list[int]
) -> None:
    run = c3v("decode", coded_phone_clip, "-o", tmp_path / "out.mkv", *options)
    assert (run.returncode, run.stderr) == (0, b"")
    assert times_of(*read_all(tmp_path / "out.mkv")) == expected
    out = tmp_path / "out.c3v"
    assert c3v("encode", phone_clip, out, "--preset", "ultrafast", "--threads", 1, *options).returncode == 0
    with c3video.decoder.open(out) as clip:
        assert times_of(clip.format, list(clip)) == expected


def test_frames_that_are_not_there_are_said(coded_phone_clip: Path, tmp_path: Path) -> None:
    run = c3v("decode", coded_phone_clip, "-o", tmp_path / "out.mkv", "--frames", "4:9")
    assert run.returncode == 0
    assert "frames 4:9 were asked for, and it ends after frame 5" in run.stderr.decode()
    run = c3v("decode", coded_phone_clip, "--verify", "--frames", "6:9")
    assert "there is no frame 6, the first that was asked for" in one_line(run)
    run = c3v("decode", coded_phone_clip, "--verify", "--start", "1")
    assert "there is no frame from 1 s to the end" in one_line(run)


def test_rotation_is_applied_on_request_on_both_ends(phone_clip: Path, coded_phone_clip: Path, tmp_path: Path) -> None:
    assert c3v("decode", coded_phone_clip, "-o", tmp_path / "out.mkv", "--rotate").returncode == 0
    video, _ = read_all(tmp_path / "out.mkv")
    assert (video.width, video.height, video.rotation) == (14, 20, 0)
    options = ("--preset", "ultrafast", "--threads", 1, "--frames", ":1", "--rotate")
    assert c3v("encode", phone_clip, tmp_path / "up.c3v", *options).returncode == 0
    with c3video.decoder.open(tmp_path / "up.c3v") as clip:
        assert (clip.format.width, clip.format.height, clip.format.rotation) == (14, 20, 0)


@pytest.fixture(scope="module")
def coded_upright(phone_clip: Path) -> Path:
    path = phone_clip.with_name("upright.c3v")
    run = c3v("encode", phone_clip, path, "--preset", "ultrafast", "--segment", 2, "--threads", 1, "--rotate")
    assert run.returncode == 0, run.stderr
    return path


def test_compare_turns_the_reference_upright_on_request(
    phone_clip: Path, coded_phone_clip: Path, coded_upright: Path
) -> None:
    words = one_line(c3v("compare", phone_clip, coded_upright))
    assert f"is 14x20 but {phone_clip} is 20x14; --rotate turns {phone_clip} upright" in words
    for reference in (phone_clip, coded_phone_clip):
        run = c3v("compare", reference, coded_upright, "--rotate", "--json")
        assert (run.returncode, run.stderr) == (0, b"")
        figures = json.loads(run.stdout)
        assert (figures["width"], figures["height"]) == (14, 20)
        assert figures["psnr_y"] > 20
    assert "only clips of one size" in one_line(c3v("compare", coded_upright, phone_clip, "--rotate"))


def test_stream_that_is_no_video_and_damage_under_strict_stop(phone_clip: Path, tmp_path: Path) -> None:
    assert "stream 3 is no video" in one_line(c3v("encode", phone_clip, tmp_path / "o.c3v", "--stream", 3))
    cut = tmp_path / "cut.y4m"
    cut.write_bytes(b"YUV4MPEG2 W4 H2 F25:1 Cmono\nFRAME\n" + bytes(8) + b"FRAME\n" + bytes(5))
    assert "frame 1 is truncated" in one_line(c3v("encode", cut, tmp_path / "o.c3v", "--strict"))
    run = c3v("encode", cut, tmp_path / "o.c3v", "--preset", "ultrafast", "--threads", 1)
    assert run.returncode == 0
    assert "frame 1 is truncated: 5 of 8 bytes; 1 whole frames come before it" in run.stderr.decode()


def test_address_is_shown_as_it_was_typed(tmp_path: Path) -> None:
    assert "http://example.org/a.mp4: addresses are not opened" in one_line(
        c3v("encode", "http://example.org/a.mp4", tmp_path / "out.c3v")
    )


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("-o", "out.mkv", "-f", "y4m"), "out.mkv: is the name of a matroska file, and y4m was asked for", 1),
        (("-o", "-", "-f", "avi"), "container 'avi': must be one of matroska", 1),
        (("-o", "-", "-f", "mov"), "mov cannot be written to a pipe", 1),
        (("--verify", "--end", "2", "--duration", "1"), "--end and --duration say the same", 1),
        (("--verify", "--segments", "0:1", "--frames", "0:1"), "--segments cannot be combined", 1),
        (("--verify", "--start", "soon"), "must look like 12.5 or 1:02:03.25", 2),
    ],
)
def test_options_of_decode_that_make_no_sense(coded: Path, options: tuple[str, ...], words: str, code: int) -> None:
    assert words in one_line(c3v("decode", coded, *options), code)
