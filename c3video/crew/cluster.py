# SPDX-License-Identifier: MIT
"""The crew of a Ray cluster: jobs as tasks with CPU, GPU and memory; the only importer of `ray`.

    job --ray.put--> object store --> task on some node --> result --ray.wait--> here
                                           |
                                           +--> progress, to an actor that keeps the last report of each

What is lost with a node (a task, or an object that lay there) comes back as Died: who hands out jobs tries again.
"""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any

from c3video import __version__
from c3video.crew.jobs import Died, Done, Ending, Failed, Job, Note
from c3video.errors import ConfigError, WorkerError

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise ConfigError("a cluster needs Ray: pip install 'c3video[cluster]'") from error

_REPORT_SECONDS = 1.0
"""Between looks at what tasks report."""


class Cluster:
    """See `jobs.Crew`. Takes as many jobs as the cluster has room for, also for nodes that join later.

    Args:
        address: "auto" for the cluster of RAY_ADDRESS or of this machine, or HOST:PORT, or ray://HOST:PORT.
        num_cpus, num_gpus, memory: that a job takes of a node.

    Raises:
        WorkerError: there is no such cluster, or it has no room for a single job.
    """

    def __init__(self, address: str, *, num_cpus: int = 1, num_gpus: int = 0, memory: int = 0) -> None:
        self._began_it = not ray.is_initialized()
        if self._began_it:
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = str(error).partition("\n")[0]
                raise WorkerError(f"there is no cluster of Ray at {address!r}: {reason}") from error
        self._need = {"CPU": num_cpus, "GPU": num_gpus, "memory": memory}
        self._tasks: dict[Any, int] = {}  # keys by what stands for their results
        if not self.size:
            self._leave()
            raise WorkerError(f"no node of the cluster has room for a job, which takes {self._in_words()}")
        # Max_retries: a task that dies comes back to us, who count and tell.
        self._do = ray.remote(_do).options(
            num_cpus=num_cpus, num_gpus=num_gpus, memory=memory or None, max_retries=0, scheduling_strategy="SPREAD"
        )
        self._board = ray.remote(_Board).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()

    @property
    def size(self) -> int:
        """Jobs that all nodes together have room for now."""
        return sum(self._room(node["Resources"]) for node in ray.nodes() if node["Alive"])

    @property
    def in_words(self) -> str:
        nodes = sum(1 for node in ray.nodes() if node["Alive"])
        return f"a cluster of {nodes} nodes has room for {self.size} segments at a time, {self._in_words()} each"

    def _in_words(self) -> str:
        cpus, gpus, memory = self._need["CPU"], self._need["GPU"], self._need["memory"]
        return f"{cpus} CPU" + (f", {gpus} GPU" if gpus else "") + f", {memory / (1 << 30):.1f} GiB of memory"

    def _room(self, resources: dict[str, float]) -> int:
        return min(int(resources.get(name, 0) // need) for name, need in self._need.items() if need)

    def submit(self, key: int, job: Job) -> None:
        try:
            self._tasks[self._do.remote(self._board, key, __version__, ray.put(job))] = key
        except RayError as error:
            raise WorkerError(f"the cluster takes no more jobs: {_first_line(error)}") from error

    def wait(self, note: Note) -> list[Ending]:
        looked = time.monotonic()
        while True:
            ready, _ = ray.wait(list(self._tasks), num_returns=1, timeout=_REPORT_SECONDS)
            if ready or time.monotonic() - looked >= _REPORT_SECONDS:
                self._look_at_reports(note)
                looked = time.monotonic()
            if ready:
                more, _ = ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
                return [self._ending(self._tasks.pop(task), task) for task in more]

    def _look_at_reports(self, note: Note) -> None:
        at_work = set(self._tasks.values())
        try:
            reports = ray.get(self._board.all.remote(), timeout=_REPORT_SECONDS)
        except RayError:
            return  # progress is worth no interruption
        for key, report in reports.items():
            if key in at_work:
                note(key, report)

    def _ending(self, key: int, task: Any) -> Ending:
        try:
            return Done(key, ray.get(task))
        except RayTaskError as error:
            cause = error.cause
            return Failed(key, cause if isinstance(cause, Exception) else WorkerError(_first_line(error)))
        except RayError as error:
            return Died(key, f"is lost ({type(error).__name__}: {_first_line(error)})")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            ray.cancel(task, force=True)
        self._tasks = {}
        ray.kill(self._board)
        self._leave()

    def _leave(self) -> None:
        if self._began_it:
            ray.shutdown()


def _do(board: Any, key: int, version: str, job: Job) -> Any:
    """What a node does. Raises WorkerError where it has another version than who asks."""
    if version != __version__:
        raise WorkerError(f"a node has c3video {__version__}, not {version}: install the same on all")
    last = 0.0

    def report(value: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            board.put.remote(key, value)

    return job(report)


class _Board:
    """The last report of each job."""

    def __init__(self) -> None:
        self._reports: dict[int, Any] = {}

    def put(self, key: int, value: Any) -> None:
        self._reports[key] = value

    def all(self) -> dict[int, Any]:
        reports, self._reports = self._reports, {}
        return reports


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
