# SPDX-License-Identifier: MIT
"""Where results are written: under a temporary name beside their place, renamed when whole.

    out.c3v -- open_output -->  out.part.c3v, locked  -- written -->  synced, renamed to out.c3v
                                  |         ^
                                  |         +-- resumed: what an earlier run has left is gone on with
                                  |
                                  +-- failed, interrupted -->  kept where something was finished, removed else

So what bore the name before is there until its successor is whole, and a name never stands for half a file. Devices,
named pipes and standard output have no place beside them; they are written to directly.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from c3video.errors import ConfigError, OutputError

Overwrite = bool | Callable[[str], bool]
"""Whether a file that is there may be replaced; a function is asked, with what there is to lose."""

_SPECIAL_FOLDERS = ("/dev/", "/proc/")
"""What lies there are no files to rename, even where it is a link to one (/dev/stdout)."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Of file systems that know no locks."""


class Output:
    """Something to write to, made by `open_output`.

    Attributes:
        place: what to open for writing, with the suffix of the name that was asked for; "-" for standard output.
        is_file: whether that is a temporary file, to be renamed.
        beside: files that are of use only as long as the temporary one is there, and go with it.
    """

    def __init__(self, place: str, is_file: bool, resumed: bool = False) -> None:
        self.place, self.is_file = place, is_file
        self.beside: list[str] = []
        self._is_resumed, self._mode = resumed, "r+b" if resumed else "wb"
        self._finished = ""
        self._whole_bytes: int | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """An unbuffered binary file at `place` that writes all it is given. Its errors name the output."""
        if self.place != "-":
            with _WholeWrites(self.place, self._mode) as file:
                yield cast(BinaryIO, file)
            return
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        try:
            descriptor = sys.stdout.fileno()
        except OSError:  # replaced by something in memory
            yield sys.stdout.buffer
            return
        with _WholeWrites(descriptor, "wb", closefd=False) as file:
            file.name = _shown(self.place)
            yield cast(BinaryIO, file)

    def keep(self, finished: str, whole_bytes: int | None = None) -> None:
        """Say what is finished so far: worth keeping, should the rest fail.

        Args:
            finished: for the message, "2 segments (64 frames)".
            whole_bytes: what follows the first so many bytes is then cut off; None: nothing.
        """
        self._finished, self._whole_bytes = finished, whole_bytes

    def _end_early(self, error: BaseException, descriptor: int | None) -> None:
        """Keep what is finished, and let the error tell; remove the temporary file else."""
        if descriptor is None:
            if self._finished:
                add_words(error, f"before that, {_shown(self.place)} got {self._finished}")
            return
        if not self._finished:
            if not self._is_resumed:  # what an earlier run has left is not ours to remove
                os.unlink(self.place)
                self._remove_beside()
            return
        if self._whole_bytes is not None:
            os.ftruncate(descriptor, self._whole_bytes)
        os.fsync(descriptor)
        add_words(error, f"what was finished is in {self.place}: {self._finished}")

    def _remove_beside(self) -> None:
        for path in self.beside:
            with contextlib.suppress(OSError):
                os.unlink(path)


@contextmanager
def open_output(
    path: str | os.PathLike[str],
    *,
    overwrite: Overwrite = True,
    sources: Sequence[str | os.PathLike[str]] = (),
    resume: bool = False,
    live: bool = False,
) -> Iterator[Output]:
    """A place to write a file; when the block ends well, `path` is what was written there.

    The temporary file is locked: a second writer to one path fails at once. What a block that fails had finished, as
    it said by `Output.keep`, stays under the temporary name, and the error names it.

    Args:
        path: of a file, a device or a named pipe, "-" for standard output. A link leads to the file that is replaced.
        sources: that are read meanwhile, and must not be written.
        resume: whether the temporary file keeps what an earlier run has left in it.
        live: whether others read the file while it grows: it then has its own name at once. It is locked until it is
            whole, by which they know.

    Raises:
        ConfigError: it is one of the sources.
        OutputError: it cannot be written, or is there and shall not be replaced.
    """
    name = os.fspath(path)
    existed = check_output(name, overwrite, sources)
    if not is_replaceable(name):
        output = Output(name, False)
        try:
            yield output
        except BaseException as error:
            output._end_early(error, None)
            raise
        return
    target = os.path.realpath(name)
    if live:
        with _output_errors(name):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        output = Output(name, False)
        try:
            _lock(descriptor, name, name)
            yield output
        except BaseException as error:
            output._end_early(error, None)
            raise
        finally:
            os.close(descriptor)
        return
    part = part_of(target)
    with _output_errors(name):
        descriptor = _locked_part(part, name, existed, overwrite, resume)
    output = Output(_beside(name, part), True, resume and os.fstat(descriptor).st_size > 0)
    try:
        try:
            yield output
        except BaseException as error:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                output._end_early(error, descriptor)
            raise
        with _output_errors(name):
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))
            os.fsync(descriptor)
            os.replace(part, target)
            sync_folder(target)
            output._remove_beside()
    finally:
        os.close(descriptor)


def part_of(path: str) -> str:
    """The temporary name: clip.c3v -> clip.part.c3v."""
    place = Path(path)
    return str(place.with_name(f"{place.stem}.part{place.suffix}"))


def check_output(
    path: str | os.PathLike[str], overwrite: Overwrite = True, sources: Sequence[str | os.PathLike[str]] = ()
) -> bool:
    """Find early what `open_output` would stumble over; writes nothing.

    Returns:
        whether there is a file to be replaced.

    Raises:
        ConfigError, OutputError: see there. A function as `overwrite` is asked where the file is there.
    """
    name = os.fspath(path)
    if not is_replaceable(name):
        _check_sources(name, (name,), sources)
        return False
    target = os.path.realpath(name)
    _check_sources(name, (target, part_of(target)), sources)
    if not os.path.isdir(os.path.dirname(target)):
        raise OutputError(f"{name}: cannot be written: there is no folder {os.path.dirname(name)}")
    exists = os.path.exists(target)
    if exists:
        # Renaming asks for no permission of the file that it replaces.
        if not os.access(target, os.W_OK):
            raise OutputError(f"{name}: cannot be written: {os.strerror(errno.EACCES)}")
        _ask(f"{name} exists", overwrite)
    return exists


def sync_folder(path: str) -> None:
    """Have the folder of a file on the disk: a name that is not there after a power loss is no file."""
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems sync no folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def add_words(error: BaseException, words: str) -> None:
    """Let an error say more."""
    if isinstance(error, OSError):
        error.strerror = f"{error.strerror or error}; {words}"
    else:
        error.args = (f"{error}; {words}" if str(error) else words, *error.args[1:])


class _WholeWrites(io.FileIO):
    """An unbuffered file that writes all it is given: a buffer would try again, and fail again, when it is closed."""

    def write(self, data: object) -> int:
        rest = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            error.filename = error.filename or self.name
            raise
        return size


def is_replaceable(name: str) -> bool:
    """Whether a path is, or may become, a file that has a name to be replaced under."""
    if name == "-" or os.path.abspath(name).startswith(_SPECIAL_FOLDERS):
        return False
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return True
    if stat.S_ISREG(mode):
        return True
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return False
    kind = "a folder" if stat.S_ISDIR(mode) else "a block device" if stat.S_ISBLK(mode) else "no file"
    raise OutputError(f"{name}: cannot be written: is {kind}")


def _check_sources(name: str, written: Sequence[str], sources: Sequence[str | os.PathLike[str]]) -> None:
    for path in written:
        there = _identity(path, sys.stdout)
        if there is not None and any(there == _identity(os.fspath(source), sys.stdin) for source in sources):
            what = "input and output" if path == written[0] else f"input and {path}, where the output grows,"
            raise ConfigError(f"{_shown(name)}: {what} are the same file")


def _identity(path: str, standard: object) -> tuple[int, int] | None:
    """What tells a regular file from all others; None for what is none. "-" is the standard stream."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        status = os.fstat(standard.fileno()) if path == "-" else os.stat(path)  # type: ignore[attr-defined]
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None


def _locked_part(part: str, name: str, existed: bool, overwrite: Overwrite, resume: bool) -> int:
    """Descriptor of the temporary file, locked, and empty but to resume.

    Raises OutputError where another writer has it.

    Args:
        existed: whether the file to be replaced was there when leave was asked.
    """
    while True:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, name, part)
            if not _is_at(descriptor, part):  # renamed or removed by who had the lock before
                os.close(descriptor)
                continue
            if os.fstat(descriptor).st_size:
                if resume:
                    return descriptor
                _ask(f"{part} exists, left by a run that did not end", overwrite)
            else:
                try:
                    if not existed:  # but may by now
                        check_output(name, overwrite)
                except OutputError:
                    os.unlink(part)
                    raise
            os.ftruncate(descriptor, 0)
            return descriptor
        except BaseException:
            os.close(descriptor)
            raise


def _lock(descriptor: int, name: str, part: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"{name}: is being written by another process, to {part}") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _ask(what: str, overwrite: Overwrite) -> None:
    if not (overwrite(what) if callable(overwrite) else overwrite):
        raise OutputError(f"{what}; -y writes over it")


def _beside(name: str, part: str) -> str:
    """The temporary file as a user would name it: in the words of the output, unless that is a link elsewhere."""
    own = part_of(name)
    return own if os.path.realpath(own) == part else part


def _shown(name: str) -> str:
    return "standard output" if name == "-" else name


@contextmanager
def _output_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{name}: cannot be written: {error.strerror or error}") from error
