# SPDX-License-Identifier: MIT
"""An encode that was interrupted goes on to the bytes of an undisturbed one, or says why it does not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import c3video
from c3video.cli import main
from c3video.errors import ConfigError, OutputError
from c3video.media.sink import open_sink
from c3video.stream.layout import Segment
from c3video.stream.reader import Reader
from c3video.video import ArraySource
from tests.conftest import moving_clip

OPTIONS: dict[str, Any] = {"preset": "ultrafast", "segment_frames": 2}
CLIP = moving_clip(7, 16, 16)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The undisturbed encode: segments of 2, 2, 2 and 1 frames."""
    path = tmp_path_factory.mktemp("whole") / "out.c3v"
    c3video.encode(CLIP, path, **OPTIONS)
    assert os.listdir(path.parent) == ["out.c3v"]
    return path.read_bytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.c3v"


def part(out: Path) -> Path:
    return out.with_name("out.part.c3v")


def journal(out: Path) -> Path:
    return out.with_name("out.part.c3v.journal")


def interrupt(out: Path, in_segment: int, source: Any = CLIP, **options: Any) -> None:
    """Encode until a segment is being fitted."""

    def report(progress: c3video.encoder.EncodeProgress) -> None:  # type: ignore[name-defined]
        if progress.segment == in_segment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        c3video.encode(source, out, report=report, **OPTIONS | options)


def resume(out: Path, source: Any = CLIP, **options: Any) -> list[int]:
    """Go on; returns the segments that were fitted."""
    fitted: set[int] = set()
    c3video.encode(source, out, resume=True, report=lambda progress: fitted.add(progress.segment), **OPTIONS | options)
    return sorted(fitted)


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_is_the_same_as_undisturbed(out: Path, whole: bytes, stop: int) -> None:
    interrupt(out, stop)
    assert journal(out).exists()
    assert resume(out) == list(range(stop, 4))
    assert out.read_bytes() == whole
    assert os.listdir(out.parent) == ["out.c3v"]


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["pyramid", "paper"])
def test_other_models_go_on_as_well(out: Path, tmp_path: Path, profile: str) -> None:
    clip = moving_clip(3, 16, 16)
    c3video.encode(clip, tmp_path / "whole.c3v", **OPTIONS, profile=profile)
    interrupt(out, 1, clip, profile=profile)
    assert resume(out, clip, profile=profile) == [1]
    assert out.read_bytes() == (tmp_path / "whole.c3v").read_bytes()


def test_report_and_progress_count_what_was_done_before(out: Path, tmp_path: Path) -> None:
    undisturbed = c3video.encode(CLIP, tmp_path / "other.c3v", **OPTIONS)
    interrupt(out, 2)
    before: set[tuple[int, int | None]] = set()
    found = c3video.encode(
        CLIP, out, resume=True, report=lambda p: before.add((p.frames_before, p.num_segments)), **OPTIONS
    )
    assert before == {(4, 4), (6, 4)}
    assert [segment.size_bytes for segment in found] == [segment.size_bytes for segment in undisturbed]
    assert [segment.bits for segment in found] == [segment.bits for segment in undisturbed]
    assert (found.psnr_db, found.clip_seconds) == (undisturbed.psnr_db, undisturbed.clip_seconds)


def test_interrupted_again_and_again(out: Path, whole: bytes) -> None:
    for stop in (1, 2, 2, 3):
        interrupt(out, stop, resume=True)
    assert resume(out) == [3]
    assert out.read_bytes() == whole


@pytest.mark.parametrize("cut", ["part", "journal"])
@pytest.mark.parametrize("where", [0.03, 0.3, 0.6, 0.8, 0.97])
def test_torn_end_of_either_file_costs_no_more_than_what_was_in_it(
    out: Path, whole: bytes, cut: str, where: float
) -> None:
    """As a power loss or a full disk leaves them."""
    interrupt(out, 3)
    path = part(out) if cut == "part" else journal(out)
    data = path.read_bytes()
    path.write_bytes(data[: int(where * len(data))])
    if cut == "journal" and b"\n" not in path.read_bytes():
        with pytest.raises(OutputError, match="nothing that says how it was begun"):
            resume(out)
        return
    fitted = resume(out)
    assert fitted == list(range(fitted[0], 4))
    assert out.read_bytes() == whole


def test_garbage_after_the_last_whole_segment_is_cut(out: Path, whole: bytes) -> None:
    interrupt(out, 2)
    with part(out).open("r+b") as file:
        segments = list(Reader(file))
        last = segments[-1]
        assert isinstance(last, Segment)
        file.seek(-40, os.SEEK_END)
        file.write(os.urandom(500))
    assert resume(out) == [2, 3]
    assert out.read_bytes() == whole


def test_nothing_to_resume_is_a_beginning(out: Path, whole: bytes) -> None:
    assert resume(out) == [0, 1, 2, 3]
    assert out.read_bytes() == whole
    part(out).touch()
    assert resume(out) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "fast"}, "preset ultrafast, now fast"),
        ({"rd_weight": 2e-3}, r"rd_weight 0\.001, now 0\.002"),
        ({"crf": 20.0}, r"rd_weight 0\.001, now 5\.5"),
        ({"target_psnr": 40.0}, r"rd_weight 0\.001, now none; with target none, now psnr_db 40\.0: "),
        ({"pix_fmt": "gray"}, "pixel format none, now gray: "),
        ({"seed": 3, "preset": "fast"}, "preset ultrafast, now fast; with seed 0, now 3: "),
        ({"seed": 3}, "seed 0, now 3"),
        ({"segment_frames": 3}, "segment 2, now 3"),
        ({"profile": "paper"}, "profile default, now paper"),
    ],
)
def test_other_settings_are_refused_with_the_difference(out: Path, options: dict[str, Any], words: str) -> None:
    interrupt(out, 1)
    before = part(out).read_bytes()
    with pytest.raises(OutputError, match=rf"was begun with {words}.*-y begins anew"):
        resume(out, **options)
    assert part(out).read_bytes() == before


def test_other_version_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(out, 1)
    monkeypatch.setattr("c3video.api._build", lambda: {"c3video": "0.0.9"})
    with pytest.raises(OutputError, match=r"was begun with c3video .*, now 0\.0\.9"):
        resume(out)


def test_other_code_is_said_in_words_after_what_a_user_can_change(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(out, 1)
    build = c3video.api._build() | {"code": "other"}  # type: ignore[attr-defined]
    monkeypatch.setattr("c3video.api._build", lambda: build)
    with pytest.raises(OutputError, match="was begun by other code of c3video: --resume goes on"):
        resume(out)
    with pytest.raises(OutputError, match="was begun with seed 0, now 3; by other code of c3video: "):
        resume(out, seed=3)


def test_other_format_of_frames_is_said_in_words(out: Path) -> None:
    interrupt(out, 1)
    with pytest.raises(OutputError, match="was begun for a video of another size, pixel format or the like: "):
        resume(out, moving_clip(7, 16, 18))


def changed(frame: int) -> ArraySource:
    frames = [frame.planes for frame in CLIP]
    planes = tuple(plane.copy() for plane in frames[frame])
    planes[0][3, 3] ^= 1
    frames[frame] = planes
    return ArraySource(frames, CLIP.format)


def test_other_source_is_refused(out: Path) -> None:
    interrupt(out, 2)
    with pytest.raises(OutputError, match="segment 1 was made of other frames"):
        resume(out, changed(3))
    with pytest.raises(OutputError, match="segment 1 was made of other frames"):
        resume(out, ArraySource([frame.planes for frame in CLIP][:2], CLIP.format))


def test_other_file_is_refused_before_it_is_read(tmp_path: Path, out: Path) -> None:
    paths = [tmp_path / name for name in ("one.y4m", "two.y4m")]
    for path, clip in zip(paths, (CLIP, changed(6)), strict=True):
        with open_sink(path, clip.format) as sink:
            for frame in clip:
                sink.write(frame)
    interrupt(out, 1, paths[0])
    with pytest.raises(OutputError, match=r"was begun with source .* bytes, crc32"):
        resume(out, paths[1])
    paths[0].rename(tmp_path / "moved.y4m")
    assert resume(out, tmp_path / "moved.y4m") == [1, 2, 3]


def test_left_part_is_named_with_what_can_be_done(out: Path) -> None:
    interrupt(out, 1)
    with pytest.raises(OutputError, match="left by a run that did not end"):
        c3video.encode(CLIP, out, overwrite=False, **OPTIONS)


def test_what_has_no_name_cannot_be_resumed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # A named pipe that was opened before would wait for a reader.
    for place in (fifo, "/dev/null", io.BytesIO()):
        with pytest.raises(ConfigError, match="only a file with a name can be resumed"):
            c3video.encode(CLIP, place, resume=True, **OPTIONS)


def test_live_file_is_not_resumed_and_keeps_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = tmp_path / "live.c3v"
    interrupt(live, 2, live=True)
    left = live.read_bytes()
    assert left
    with pytest.raises(ConfigError, match=r"live\.c3v: --live keeps no journal to resume from"):
        c3video.encode(CLIP, live, resume=True, live=True, **OPTIONS)
    assert live.read_bytes() == left
    source = tmp_path / "clip.y4m"
    with open_sink(source, CLIP.format) as sink:
        for frame in CLIP:
            sink.write(frame)
    assert main(["encode", str(source), str(live), "--live", "--resume"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert live.read_bytes() == left


def finish_out_of_order(order: list[int], stop_after: int) -> Callable[..., Any]:
    """A crew that ends its jobs in an order, and stops the encode after some."""
    from c3video.crew.jobs import Done, Ending, Job, Note

    class Odd:
        size = 3

        def __init__(self) -> None:
            self.jobs: dict[int, Job] = {}
            self.ended = 0

        def submit(self, key: int, job: Job) -> None:
            self.jobs[key] = job

        def wait(self, note: Note) -> list[Ending]:
            if self.ended == stop_after:
                raise KeyboardInterrupt
            key = next(key for key in order if key in self.jobs)
            self.ended += 1
            return [Done(key, self.jobs.pop(key)(lambda report: note(key, report)))]

    return lambda *arguments: __import__("contextlib").nullcontext(Odd())


def test_segments_done_before_their_turn_are_not_lost(out: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("c3video.api._crew", finish_out_of_order([0, 2, 3, 1], 3))
        with pytest.raises(KeyboardInterrupt):
            c3video.encode(CLIP, out, **OPTIONS)
    with part(out).open("rb") as file:
        assert len(list(Reader(file))) == 1
    assert resume(out) == [1]
    assert out.read_bytes() == whole


@pytest.mark.slow
def test_workers_make_the_same_bytes(out: Path, whole: bytes) -> None:
    c3video.encode(CLIP, out, workers=3, **OPTIONS)
    assert out.read_bytes() == whole


def test_threads_of_a_fit_do_not_depend_on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit adds up by threads, so its bytes may depend on them; whoever asks for workers must not change that."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    files = []
    for workers in (None, 1, 2):
        file = io.BytesIO()
        c3video.encode(moving_clip(1, 48, 64), file, profile="pyramid", preset="ultrafast", workers=workers)
        files.append(file.getvalue())
    assert files[0] == files[1] == files[2]
