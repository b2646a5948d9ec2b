# SPDX-License-Identifier: MIT
"""The crew of processes on this machine, one job at a time each.

    parent --job--> pipe --> process --("report" | "done" | "failed", value)--> the same pipe --> parent

Every process has a pipe of its own, so that one that is killed while it writes leaves no lock behind that others wait
for, and its end of file says that it is gone. The other way round a thread in each process waits for the parent's end:
nobody goes on with work that nobody will fetch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing import connection
from multiprocessing.context import SpawnContext, SpawnProcess
from types import TracebackType
from typing import Any

from c3video.crew.jobs import Died, Done, Ending, Failed, Job, Note
from c3video.errors import WorkerError

_REPORT_SECONDS = 0.1
"""Between two reports of a process: more of them would only keep the parent busy."""

_END_SECONDS = 5.0
"""That a process gets to end by itself when it is told to."""


class Processes:
    """See `jobs.Crew`. All processes begin with the block; fresh ones, since torch's threads survive no fork.

    Args:
        size: most processes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Process] = []
        self._busy: list[_Process] = []

    @property
    def size(self) -> int:
        return self._size

    def submit(self, key: int, job: Job) -> None:
        """Raises WorkerError where no process can be started that takes it."""
        for _ in range(2):  # an idle one may have been killed
            process = self._idle.pop() if self._idle else _Process(self._context)
            process.key = key
            try:
                process.pipe.send(job)
            except OSError:
                process.end()
                continue
            self._busy.append(process)
            return
        raise WorkerError("a process to work in could not be started, or died at once")

    def wait(self, note: Note) -> list[Ending]:
        endings: list[Ending] = []
        while not endings:
            ready = connection.wait([process.pipe for process in self._busy])
            for process in [process for process in self._busy if process.pipe in ready]:
                ending = self._hear(process, note)
                if ending is not None:
                    endings.append(ending)
        return endings

    def _hear(self, process: _Process, note: Note) -> Ending | None:
        try:
            what, value = process.pipe.recv()
        except (EOFError, OSError):
            self._busy.remove(process)
            return Died(process.key, process.end())
        if what == "report":
            note(process.key, value)
            return None
        self._busy.remove(process)
        self._idle.append(process)
        return Done(process.key, value) if what == "done" else Failed(process.key, value)

    def __enter__(self) -> Processes:
        self._idle = [_Process(self._context) for _ in range(self._size)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        everyone = [*self._busy, *self._idle]
        self._busy, self._idle = [], []
        for process in everyone:
            process.stop()
        for process in everyone:
            process.end()


class _Process:
    """One process and the parent's end of its pipe.

    Attributes:
        key: of the job that it has in hand, or had last.
    """

    def __init__(self, context: SpawnContext) -> None:
        self.key = -1
        self.pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            self._process.start()
        except OSError as error:
            self.pipe.close()
            raise WorkerError(f"a process to work in could not be started: {error.strerror or error}") from error
        finally:
            theirs.close()  # so that the end of the process is the end of the pipe

    def stop(self) -> None:
        """Tell it to end; it may not listen before its job is done, hence by signal."""
        self._process.terminate()

    def end(self) -> str:
        """See it ended; returns how it came to that."""
        self.pipe.close()
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"was killed by {name}" + (", as when memory runs out" if -code == signal.SIGKILL else "")


def _serve(pipe: connection.Connection) -> None:
    """What a process does: jobs, until the parent ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with_parent()
    last_report = 0.0

    def report(value: Any) -> None:
        nonlocal last_report
        now = time.monotonic()
        if now - last_report >= _REPORT_SECONDS:
            last_report = now
            pipe.send(("report", value))

    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            job: Job = pipe.recv()
            try:
                message = "done", job(report)
            except Exception as error:
                message = "failed", error
            try:
                pipe.send(message)
            except OSError:
                raise
            except Exception as error:  # what cannot be pickled; nothing has been sent then
                what = message[1] if message[0] == "failed" else error
                pipe.send(("failed", WorkerError(f"{type(what).__name__}: {what}")))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
