# SPDX-License-Identifier: MIT
"""Files appear when they are whole, and what bore their name before stays until then."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from c3video.errors import C3VideoError, ConfigError, OutputError, StreamError
from c3video.output import Output, check_output, open_output, part_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of an earlier result."""
    path = tmp_path / "clip.y4m"
    path.write_bytes(b"earlier")
    return path


@contextmanager
def writing(path: object, data: bytes, **options: object) -> Iterator[Output]:
    with open_output(path, **options) as output, output.open() as file:  # type: ignore[arg-type]
        file.write(data)
        yield output


def write_until(error: BaseException, path: object, data: bytes, finished: str, whole_bytes: int | None = None) -> None:
    with writing(path, data) as output:
        output.keep(finished, whole_bytes)
        raise error


def test_file_is_replaced_when_the_new_one_is_whole(path: Path) -> None:
    with writing(path, b"new") as output:
        assert output.place == str(path.with_name("clip.part.y4m"))
        assert path.read_bytes() == b"earlier"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["clip.y4m"]


def test_failure_with_nothing_finished_leaves_all_as_it_was(path: Path) -> None:
    with pytest.raises(StreamError, match=r"^damaged$"), writing(path, b"new"):
        raise StreamError("damaged")
    assert path.read_bytes() == b"earlier"
    assert os.listdir(path.parent) == ["clip.y4m"]


@pytest.mark.parametrize("error", [StreamError("damaged"), KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_what_was_finished_is_kept_and_named(path: Path, error: BaseException) -> None:
    with pytest.raises(type(error), match=r"what was finished is in .*clip\.part\.y4m: 2 frames"):
        write_until(error, path, b"frame frame fra", "2 frames", 12)
    assert path.read_bytes() == b"earlier"
    assert path.with_name("clip.part.y4m").read_bytes() == b"frame frame "


def test_only_one_can_write_to_a_path(path: Path, tmp_path: Path) -> None:
    """By another name too; and in another process."""
    link = tmp_path / "link.y4m"
    link.symlink_to(path)
    with writing(path, b"first"):
        for name in (path, link):
            with pytest.raises(OutputError, match="being written by another process"), writing(name, b"second"):
                pass
        code = f"from c3video.output import open_output\nwith open_output({str(path)!r}): pass"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert "being written by another process" in run.stderr
    assert path.read_bytes() == b"first"
    with writing(path, b"second"):
        pass
    assert path.read_bytes() == b"second"


def test_writers_one_after_the_other_never_mix(tmp_path: Path) -> None:
    """Who waits for the lock of a file that is then renamed away does not write into the renamed one."""
    path, failures = tmp_path / "out.bin", []

    def write(number: int) -> None:
        for _ in range(50):
            try:
                with writing(path, bytes([number]) * 100):
                    pass
            except OutputError:
                continue
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(path.read_bytes())) == 1
    assert path.stat().st_size == 100
    assert os.listdir(tmp_path) == ["out.bin"]


def test_overwriting_is_refused_or_asked(path: Path) -> None:
    with pytest.raises(OutputError, match=r"clip\.y4m exists; -y"), open_output(path, overwrite=False):
        pass
    questions: list[str] = []

    def no(what: str) -> bool:
        questions.append(what)
        return False

    with pytest.raises(OutputError, match="exists"), open_output(path, overwrite=no):
        pass
    assert questions == [f"{path} exists"]
    with open_output(path, overwrite=lambda what: True) as output, output.open() as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["clip.y4m"]


def test_what_an_earlier_run_left_is_not_lost_without_a_word(tmp_path: Path) -> None:
    path, part = tmp_path / "clip.c3v", tmp_path / "clip.part.c3v"
    part.write_bytes(b"an hour of work")
    with pytest.raises(OutputError, match="left by a run that did not end"), open_output(path, overwrite=False):
        pass
    assert part.read_bytes() == b"an hour of work"
    with writing(path, b"new"):
        pass
    assert os.listdir(tmp_path) == ["clip.c3v"]


def test_links_and_permissions_stay(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.y4m"
    link.parent.mkdir()
    link.symlink_to(path)
    path.chmod(0o640)
    with writing(link, b"new") as output:
        assert output.place == str(path.with_name("clip.part.y4m"))
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_file_that_may_not_be_written_is_not_replaced(path: Path) -> None:
    path.chmod(0o440)
    with pytest.raises(OutputError, match="Permission denied"), writing(path, b"new"):
        pass
    assert path.read_bytes() == b"earlier"


def test_names_are_taken_from_the_folder_at_hand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(KeyboardInterrupt, match=r"^what was finished is in clip\.part\.y4m: half$"):
        write_until(KeyboardInterrupt(), "clip.y4m", b"new", "half")


def test_sources_are_not_written(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="input and output are the same file"):
        check_output(path, True, [path])
    other = tmp_path / "other.y4m"
    part = Path(part_of(str(other)))
    os.link(path, part)
    with (
        pytest.raises(ConfigError, match=r"where the output grows, are the same file"),
        open_output(other, sources=[path]),
    ):
        pass
    assert path.read_bytes() == b"earlier"


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(tmp_path / "missing" / "out.c3v")
    with writing("/dev/null", b"data") as output:
        assert output.place == "/dev/null"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    with writing(pipe, b"data"):
        pass
    reader.join()
    assert found == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_errors_of_writing_name_the_place() -> None:
    with pytest.raises(OSError, match="No space") as caught, writing("/dev/full", b"data"):
        pass
    assert caught.value.filename == "/dev/full"


def test_closed_standard_output_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(C3VideoError, match="standard output is closed"), writing("-", b"data"):
        pass
