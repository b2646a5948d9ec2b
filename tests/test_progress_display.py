# SPDX-License-Identifier: MIT
"""What is said of an encode on its way."""

from __future__ import annotations

import io
import time

import pytest

from c3video import progress_display
from c3video.encoder import EncodeProgress
from c3video.progress import Progress
from c3video.progress_display import DecodeDisplay, ProgressDisplay, duration
from c3video.video import Frame


def progress(step: int, bpp: float = 0.0, mse: float = 0.0) -> EncodeProgress:
    fit = Progress("plan", step, 100, 0.0, mse, bpp)
    return EncodeProgress(1, 3, 0, 1, fit, 32, 32, 96)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line_says_frames_quality_and_time() -> None:
    display = ProgressDisplay(io.StringIO())
    assert display.line(time.monotonic()) == ""
    display.report(progress(50, bpp=0.0123, mse=1e-4))
    line = display.line(time.monotonic() + 10)
    assert "50%" in line
    assert "32/96 frames done, segment 2/3" in line
    assert "40.00 dB 0.0123 bpp" in line
    assert "10 s gone" in line
    assert "left" in line


def test_no_time_left_is_promised_while_nothing_happens() -> None:
    display = ProgressDisplay(io.StringIO())
    display.report(progress(50, bpp=0.0123, mse=1e-4))
    assert "left" in display.line(time.monotonic() + 20)
    line = display.line(time.monotonic() + 200)
    assert "left" not in line
    assert line.endswith("no step for 3:20 min")


def test_figures_that_have_not_been_measured_are_not_shown() -> None:
    display = ProgressDisplay(io.StringIO())
    display.report(progress(1))
    line = display.line(time.monotonic())
    assert "dB" not in line
    assert "bpp" not in line


def lines_after(stream: io.StringIO, shown: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(progress_display, "_REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(progress_display, "FIRST_LINE_SECONDS", 0.05)
    with ProgressDisplay(stream, shown) as display:
        display.report(progress(10))
        time.sleep(0.5)
        display.say("a warning")
    return stream.getvalue()


def test_log_gets_whole_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_after(io.StringIO(), True, monkeypatch).splitlines()
    assert lines[-1] == "a warning"
    assert 1 <= len(lines) - 1 <= 15
    assert all("32/96 frames" in line and "\r" not in line for line in lines[:-1])


def test_terminal_gets_one_line_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text = lines_after(Terminal(), True, monkeypatch)
    assert text.count("\n") == 1
    assert "\r\x1b[Ka warning\n" in text
    assert text.endswith("\r\x1b[K")


def test_nothing_is_shown_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_after(Terminal(), False, monkeypatch) == ""


def test_stream_that_has_gone_away_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    assert lines_after(Gone(), True, monkeypatch) == ""
    with ProgressDisplay(None) as display:
        display.report(progress(1))


def test_decoding_says_frames_speed_and_time() -> None:
    display = DecodeDisplay(io.StringIO(), 10)
    assert display.line(time.monotonic()) == ""
    frames = display.watch(Frame((), pts) for pts in range(10))
    assert [next(frames).pts for _ in range(6)] == list(range(6))
    display._began = 0.0
    assert display.line(10.0) == " 50%, 5/10 frames, 0.5 a second, 10 s gone, about 10 s left"
    assert len(list(frames)) == 4
    assert display.line(10.0) == "100%, 10/10 frames, 1 a second, 10 s gone"


def test_decoding_of_no_known_length_says_what_it_has_done() -> None:
    display = DecodeDisplay(io.StringIO(), None)
    assert len(list(display.watch(Frame((), pts) for pts in range(3)))) == 3
    display._began = 0.0
    assert display.line(4.0) == "3 frames, 0.75 a second, 4 s gone"


def test_durations_have_the_units_that_matter() -> None:
    assert [duration(seconds) for seconds in (0.4, 42, 185, 7800)] == ["0 s", "42 s", "3:05 min", "2:10 h"]
