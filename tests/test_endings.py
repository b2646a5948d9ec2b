# SPDX-License-Identifier: MIT
"""However a command ends, earlier files are whole, what was finished is a valid stream, and one line says so."""

from __future__ import annotations

import logging
import math
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import c3video
from c3video.cli import main
from c3video.errors import TruncatedStreamError
from c3video.media.sink import open_sink
from tests.conftest import encode_quickly, moving_clip
from tests.test_corruption import decoded

C3V = [sys.executable, "-m", "c3video"]
GO_ON = "--resume goes on from there"
QUICK = ["--preset", "ultrafast", "--segment", "2"]
SLOW = ["-q", "--profile", "paper", "--preset", "ultrafast", "--segment", "1", "--threads", "1"]
"""Some seconds for eight small frames: time to hit it in the middle."""


def write_y4m(path: Path, num_frames: int, height: int = 14, width: int = 20) -> Path:
    clip = moving_clip(num_frames, height, width)
    with open_sink(path, clip.format) as sink:
        for frame in clip:
            sink.write(frame)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_y4m(tmp_path_factory.mktemp("endings") / "source.y4m", 4)


@pytest.fixture(scope="module")
def coded(source: Path) -> Path:
    """`source` in two segments."""
    path = source.with_name("coded.c3v")
    path.write_bytes(encode_quickly(moving_clip(4, 14, 20), segment_frames=2))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Of an earlier, good run, or so it stands for."""
    path = tmp_path / "out.c3v"
    path.write_bytes(b"earlier")
    return path


def frames_of(path: Path) -> int:
    with c3video.open(path) as clip:
        return sum(1 for _ in clip)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    words = capsys.readouterr().err
    assert words.count("\n") == 1, words
    assert words.startswith("c3v: ")
    return words


# What is there already.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--patch", "64x64"], "patch"),
        (["--frames", "100:120"], "no frame 100"),
        (["--profile", "paper", "--device", "cuda:99"], "cuda:99"),
        (["--profile", "paper", "--device", "no such device"], "no such device"),
        (["--profile", "paper", "--device", "meta"], "meta"),
        (["--rd-weight", "nan"], "rd_weight"),
        (["--segment", "5000"], "segment_frames"),
        (["--seed", "-1"], "seed"),
        (["--seed", "9" * 30], "seed"),
        (["--preset", "paper"], "preset"),
    ],
)
def test_usage_errors_leave_an_earlier_file(
    source: Path, out: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", "-q", "-y", str(source), str(out), *QUICK, *options]) == 1
    assert words in said(capsys)
    assert out.read_bytes() == b"earlier"
    assert os.listdir(out.parent) == ["out.c3v"]


@pytest.mark.parametrize("options", [[], ["-n"]])
def test_nothing_is_written_over_unasked(
    source: Path, coded: Path, out: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(source), str(out), *QUICK, *options]) == 1
    assert said(capsys) == f"c3v: {out} exists; -y writes over it\n"
    picture = out.with_suffix(".y4m")
    picture.write_bytes(b"earlier")
    assert main(["decode", str(coded), "-o", str(picture), *options]) == 1
    assert "-y" in said(capsys)
    assert out.read_bytes() == picture.read_bytes() == b"earlier"


def test_yes_writes_over_it(source: Path, out: Path) -> None:
    assert main(["encode", "-y", str(source), str(out), *QUICK]) == 0
    assert frames_of(out) == 4
    assert os.listdir(out.parent) == ["out.c3v"]


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_terminal_is_asked(coded: Path, tmp_path: Path, answer: bytes, code: int) -> None:
    path = tmp_path / "out.y4m"
    path.write_bytes(b"earlier")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*C3V, "decode", str(coded), "-o", str(path)], stdin=theirs, stderr=subprocess.PIPE
    ) as decode:
        os.close(theirs)
        assert decode.stderr is not None
        question = decode.stderr.read(len(f"c3v: {path} exists. Write over it? [y/N] "))
        assert question.endswith(b"[y/N] ")
        os.write(ours, answer)
        assert decode.wait(60) == code
    os.close(ours)
    assert (path.read_bytes() == b"earlier") == (code == 1)


@pytest.mark.parametrize("name", ["out.mp4", "out.MKV", "out.y4m"])
def test_names_of_other_formats_are_refused(
    source: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(source), str(tmp_path / name), *QUICK]) == 1
    assert "name it out.c3v" in said(capsys)
    assert os.listdir(tmp_path) == []


def test_decode_does_not_write_over_its_input(coded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.y4m"
    path.write_bytes(coded.read_bytes())
    assert main(["decode", "-y", str(path), "-o", str(path)]) == 1
    assert "same file" in said(capsys)
    with path.open("r+b") as both:
        run = subprocess.run([*C3V, "decode", str(path), "-o", "-"], stdout=both, stderr=subprocess.PIPE, timeout=60)
    assert run.returncode == 1
    assert b"same file" in run.stderr
    assert path.read_bytes() == coded.read_bytes()


def test_damaged_stream_leaves_an_earlier_file_and_the_good_frames(
    coded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(coded.read_bytes())
    data[data.index(b"C3R", data.index(b"C3R") + 1) + 40] ^= 4
    broken, path = tmp_path / "broken.c3v", tmp_path / "out.y4m"
    broken.write_bytes(data)
    path.write_bytes(b"earlier")
    assert main(["decode", "-y", str(broken), "-o", str(path)]) == 1
    words = said(capsys)
    assert "segment 1" in words
    assert f"what was finished is in {tmp_path / 'out.part.y4m'}: 2 frames" in words
    assert path.read_bytes() == b"earlier"
    assert (tmp_path / "out.part.y4m").read_bytes().count(b"FRAME\n") == 2


# Places that do not take it.


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_full_device_is_named_in_one_line(source: Path, coded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", str(source), "/dev/full", *QUICK]) == 1
    assert "/dev/full: No space left" in said(capsys)
    run = subprocess.run(
        ["sh", "-c", '"$@" > /dev/full', "sh", *C3V, "info", str(coded)], capture_output=True, timeout=60
    )
    assert run.returncode == 1
    assert run.stderr.count(b"\n") == 1
    assert b"No space left" in run.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ('"$@" decode - -o - <&-', b"standard input is closed"),
        ('"$@" decode "$CODED" -o - >&-', b"standard output is closed"),
        ('"$@" info "$CODED" >&-', b"standard output is closed"),
        ('"$@" encode - - <&-', b"standard input"),
    ],
)
def test_closed_streams_are_one_line(coded: Path, command: str, words: bytes) -> None:
    run = subprocess.run(
        ["sh", "-c", command, "sh", *C3V], env={**os.environ, "CODED": str(coded)}, capture_output=True, timeout=240
    )
    assert run.returncode == 1, run.stderr
    assert run.stderr.count(b"\n") == 1
    assert words in run.stderr


def test_words_do_not_stray_into_the_data_where_stderr_is_closed(coded: Path, tmp_path: Path) -> None:
    """Nor into a file that got its number."""
    path = tmp_path / "out.y4m"
    command = '"$@" decode "$CODED" -o - --verify 2>&- && "$@" decode "$CODED" -o "$OUT" --verify 2>&-'
    run = subprocess.run(
        ["sh", "-c", command, "sh", *C3V],
        env={**os.environ, "CODED": str(coded), "OUT": str(path)},
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert run.returncode == 0
    assert run.stdout == path.read_bytes()
    assert run.stdout.startswith(b"YUV4MPEG2")
    assert len(run.stdout) == run.stdout.index(b"\n") + 1 + 4 * (6 + 20 * 14 * 3 // 2)


@pytest.mark.parametrize(
    "options",
    [
        ["--threads", "100000"],
        ["--threads", "9" * 5000],
        ["--fps", "1e999999999"],
        ["--fps", "0.0000000001"],
        ["--fps", "99999999999"],
        ["--fps", "nan"],
        ["--frames", "0:" + "9" * 30],
        ["--size", "9" * 5000 + "x2"],
        ["-y", "-n"],
        ["-q", "-v"],
    ],
)
def test_absurd_options_are_usage_errors(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["encode", "in", "out", *options])
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_our_own_mistakes_are_one_line_too(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def mistaken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero\nand more")

    monkeypatch.setattr("c3video.api.prepare", mistaken)
    assert main(["encode", "-y", str(source), str(out)]) == 1
    assert "internal error, please report it: ZeroDivisionError: division by zero; --verbose" in said(capsys)
    assert main(["encode", "-y", "-v", str(source), str(out)]) == 1
    assert "in mistaken" in capsys.readouterr().err
    assert out.read_bytes() == b"earlier"


# What is said on the way and at the end.


def test_summary_says_what_it_came_to(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.c3v"
    assert main(["encode", str(source), str(out), *QUICK]) == 0
    words, size = capsys.readouterr().err, out.stat().st_size
    assert f"4 frames, 2 segments, {size} bytes" in words
    found = re.search(r"; ([\d.]+) bpp, ([\d.]+) kb/s, PSNR \d\d\.\d\d dB \(psnr_all\); ", words)
    assert found is not None
    assert float(found[1]) == pytest.approx(8 * size / (4 * 20 * 14), abs=1e-4)
    assert float(found[2]) == pytest.approx(8e-3 * size / 0.16, abs=0.1)
    assert "0.16 s of video in " in words
    assert "frames/s" in words
    assert "bytes by part: level 0 " in words


def test_report_of_an_encode_is_a_sequence_with_figures(tmp_path: Path) -> None:
    clip = moving_clip(4, 14, 20)
    report = c3video.encode(clip, tmp_path / "out.c3v", preset="ultrafast", segment_frames=3)
    assert [segment.num_frames for segment in report] == [3, 1]
    assert report[-1] is report.segments[1]
    assert report[:1] == report.segments[:1]
    assert report.size_bytes == (tmp_path / "out.c3v").stat().st_size
    assert report.clip_seconds == pytest.approx(0.16)
    assert report.psnr_db == pytest.approx(-10 * math.log10((3 * report[0].mse + report[1].mse) / 4), abs=1e-9)
    assert min(s.psnr_db for s in report) <= report.psnr_db <= max(s.psnr_db for s in report)


def test_quiet_and_verbose(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "-y", "-q", str(source), str(out), *QUICK]) == 0
    assert main(["decode", "-q", str(out), "--verify"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["encode", "-y", "--verbose", str(source), str(out), *QUICK]) == 0
    words = capsys.readouterr().err
    assert "c3v: info: segment 1: 2 frames" in words


def test_device_that_has_no_part_in_it_is_said(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "-y", str(source), str(out), *QUICK, "--device", "cuda"]) == 0
    assert "c3v: warning: profile default fits on the CPU: device cuda is not used" in capsys.readouterr().err
    assert main(["encode", "-y", str(source), str(out), *QUICK, "--device", "foo"]) == 1
    assert capsys.readouterr().err == "c3v: device 'foo': must be cpu, cuda, cuda:1 or mps\n"


def test_python_hears_through_logging(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="c3video"):
        c3video.encode(moving_clip(1, 8, 8), tmp_path / "out.c3v", preset="ultrafast")
    assert "segment 0: 1 frames" in caplog.text


# Signals.


def interrupt_at(call: int) -> Callable[..., object]:
    """In place of the C3 model's fit: Ctrl-C when it is called for the so-manieth time."""
    import c3video.c3.fit.encode as module

    fit_patches, calls = module.fit_patches, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return fit_patches(*arguments)  # type: ignore[arg-type]

    return interrupted


@pytest.fixture
def default_interrupt() -> object:
    """As in a terminal: a shell's background jobs ignore SIGINT, and so do tests that run in one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_interrupt")
def test_interrupt_in_the_second_segment_keeps_the_first(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("c3video.c3.fit.encode.fit_patches", interrupt_at(2))
    options = ["-q", "--profile", "paper", "--preset", "ultrafast", "--segment", "1"]
    assert main(["encode", "-y", str(source), str(out), *options]) == 130
    part = out.with_name("out.part.c3v")
    assert (
        said(capsys)
        == f"c3v: interrupted; what was finished is in {part}: 1 segment (1 frame), a valid stream; {GO_ON}\n"
    )
    assert frames_of(part) == 1
    assert out.read_bytes() == b"earlier"


@pytest.mark.usefixtures("default_interrupt")
def test_interrupt_in_the_first_segment_promises_nothing(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("c3video.c3.fit.encode.fit_patches", interrupt_at(1))
    assert main(["encode", "-q", "-y", str(source), str(out), "--profile", "paper", "--preset", "ultrafast"]) == 130
    assert said(capsys) == "c3v: interrupted\n"
    assert out.read_bytes() == b"earlier"
    assert os.listdir(out.parent) == ["out.c3v"]


def defaults() -> None:
    """In a child: signals as in a terminal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start_encode(
    path: Path, out: Path, options: list[str], prepared: Callable[[], None] = defaults
) -> subprocess.Popen[bytes]:
    """An encode of eight frames, a segment each, that has finished one when this returns."""
    command = [*C3V, "encode", "-y", str(path), str(out), *options]
    encode = subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=prepared)
    part, deadline = out.with_name("out.part.c3v"), time.monotonic() + 240
    while time.monotonic() < deadline and encode.poll() is None:
        if part.exists() and part.read_bytes().count(b"C3R") >= 2:  # segment and index
            return encode
        time.sleep(0.02)
    raise AssertionError(encode.communicate()[1])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_a_valid_stream_and_the_earlier_file(number: signal.Signals, out: Path, tmp_path: Path) -> None:
    path, part = write_y4m(tmp_path / "clip.y4m", 8, 16, 16), tmp_path / "out.part.c3v"
    with start_encode(path, out, SLOW) as encode:
        encode.send_signal(number)
        words = encode.communicate(timeout=120)[1].decode()
    assert out.read_bytes() == b"earlier"
    frames = frames_of(part)
    assert 1 <= frames < 8
    assert encode.returncode == 128 + number, words
    assert words.count("\n") == 1
    assert f"what was finished is in {part}: {frames} segment" in words


@pytest.mark.slow
def test_kill_leaves_finished_segments_and_the_earlier_file(out: Path, tmp_path: Path) -> None:
    """Nobody can catch SIGKILL: it may come in the middle of a write, which the system ends between two pages."""
    path, part = write_y4m(tmp_path / "clip.y4m", 8, 16, 16), tmp_path / "out.part.c3v"
    with start_encode(path, out, SLOW) as encode:
        encode.kill()
        encode.communicate(timeout=120)
    assert encode.returncode == -signal.SIGKILL
    assert out.read_bytes() == b"earlier"
    left = part.read_bytes()
    frames, error = decoded(left)
    assert 1 <= len(frames) < 8
    assert error is None or isinstance(error, TruncatedStreamError)  # of the segment that was being written
    assert main(["encode", str(path), str(out), "-n"]) == 1
    assert part.read_bytes() == left
    assert main(["encode", "-y", str(path), str(out), *SLOW, "--resume"]) == 0
    undisturbed = tmp_path / "undisturbed.c3v"
    assert main(["encode", str(path), str(undisturbed), *SLOW]) == 0
    assert out.read_bytes() == undisturbed.read_bytes()


@pytest.mark.slow
def test_file_too_large_for_its_place_keeps_what_fits(out: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: it comes in the middle of a write.

    The journal of so small a stream reaches it first.
    """

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    path, part = write_y4m(tmp_path / "clip.y4m", 8, 16, 16), tmp_path / "out.part.c3v"
    command = [*C3V, "encode", "-y", str(path), str(out), "--preset", "ultrafast", "--segment", "1"]
    run = subprocess.run(command, capture_output=True, preexec_fn=limited, timeout=240)
    words = run.stderr.decode()
    assert run.returncode == 1, words
    assert words.startswith(f"c3v: {part}.journal: File too large; what was finished is in {part}: ")
    assert words.count("\n") == 1
    assert 1 <= frames_of(part) < 8
    assert out.read_bytes() == b"earlier"
    assert main(["encode", "-q", "-y", *command[4:], "--resume"]) == 0
    other = tmp_path / "other.c3v"
    assert main(["encode", "-q", str(path), str(other), *command[7:]]) == 0
    assert out.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_two_encodes_to_one_path_do_not_both_succeed(out: Path, tmp_path: Path) -> None:
    path = write_y4m(tmp_path / "clip.y4m", 8, 16, 16)
    with start_encode(path, out, SLOW) as first:
        second = subprocess.run([*C3V, "encode", "-y", str(path), str(out), *QUICK], capture_output=True, timeout=240)
        first.communicate(timeout=240)
    assert second.returncode == 1
    assert b"being written by another process" in second.stderr
    assert first.returncode == 0
    assert frames_of(out) == 8
