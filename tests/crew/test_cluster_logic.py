# SPDX-License-Identifier: MIT
"""What is done with what Ray answers, with a stand-in for Ray; tests/crew/test_cluster.py asks the real one."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from c3video.crew.schedule import in_order
from c3video.errors import FitError, WorkerError
from tests.crew.jobs import Fail, Square


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Stored:
    """What an object of the store stands for; `error` is raised by whoever wants it."""

    def __init__(self, value: Any = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error


class FakeRay(ModuleType):
    """A cluster on which the newest task is done first; `lose` says of which tasks the node dies."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.lose: Callable[[int], bool] = lambda number: False
        self.alive = [{"CPU": 2.0, "memory": 8e9}, {"CPU": 1.0, "memory": 8e9}]
        self.num_tasks = 0
        self.killed: list[Any] = []
        self.is_up = False

    def is_initialized(self) -> bool:
        return self.is_up

    def init(self, address: str, **options: Any) -> None:
        if address == "nowhere:1":
            raise ConnectionError("no such cluster\nand more")
        self.is_up = True

    def shutdown(self) -> None:
        self.is_up = False

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": resources} for resources in self.alive] + [
            {"Alive": False, "Resources": {"CPU": 100.0}}
        ]

    def put(self, value: Any) -> Stored:
        return Stored(pickle.loads(pickle.dumps(value)))

    def get(self, wanted: Stored, timeout: float | None = None) -> Any:
        if wanted.error is not None:
            raise wanted.error
        return wanted.value

    def wait(self, tasks: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return tasks[-1:], tasks[:-1]

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def cancel(self, task: Any, force: bool) -> None:
        pass

    def remote(self, what: Any) -> Any:
        ray = self

        class Remote:
            def options(self, **options: Any) -> Remote:
                return self

            def remote(self, *arguments: Any) -> Any:
                if isinstance(what, type):
                    return Actor(what(*arguments))
                ray.num_tasks += 1
                if ray.lose(ray.num_tasks):
                    return Stored(error=RayError("The node died.\nand more"))
                given = [argument.value if isinstance(argument, Stored) else argument for argument in arguments]
                try:
                    return Stored(pickle.loads(pickle.dumps(what(*given))))
                except Exception as error:
                    return Stored(error=RayTaskError(error))

        return Remote()


class Actor:
    def __init__(self, object: Any) -> None:
        self._object = object

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._object, name)

        class Method:
            def remote(self, *arguments: Any) -> Stored:
                return Stored(method(*arguments))

        return Method()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake, exceptions = FakeRay(), ModuleType("ray.exceptions")
    exceptions.RayError, exceptions.RayTaskError = RayError, RayTaskError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    monkeypatch.delitem(sys.modules, "c3video.crew.cluster", raising=False)
    monkeypatch.setattr("c3video.crew.cluster", None, raising=False)
    yield fake
    sys.modules.pop("c3video.crew.cluster", None)


def cluster(**options: Any) -> Any:
    from c3video.crew.cluster import Cluster

    return Cluster(options.pop("address", "auto"), **options)


def squares(crew: Any, number: int, note: Any = lambda key, report: None) -> list[int]:
    return list(in_order(crew, ((n, n) for n in range(number)), lambda key, n: Square(n), note=note))


def test_jobs_come_back_in_order(ray: FakeRay) -> None:
    told: list[tuple[int, Any]] = []
    with cluster() as crew:
        assert crew.size == 3
        assert squares(crew, 9, lambda key, report: told.append((key, report))) == [n * n for n in range(9)]
    assert not ray.is_up
    assert ray.killed
    assert (8, ("half", 8)) in told


def test_lost_node_costs_a_try(ray: FakeRay) -> None:
    ray.lose = lambda number: number in (2, 5, 6)
    with cluster() as crew:
        assert squares(crew, 6) == [n * n for n in range(6)]
    assert ray.num_tasks == 9


def test_job_whose_nodes_die_ends_it(ray: FakeRay) -> None:
    ray.lose = lambda number: True
    with cluster() as crew, pytest.raises(WorkerError, match=r"died 3 times.*is lost \(RayError: The node died\.\)"):
        squares(crew, 3)


def test_what_a_job_raises_comes_out_as_it_is(ray: FakeRay) -> None:
    with cluster() as crew, pytest.raises(FitError, match="not to be fitted"):
        list(in_order(crew, [(0, 0)], lambda number, item: Fail()))


def test_room_is_what_memory_and_cpus_allow(ray: FakeRay) -> None:
    with cluster(num_cpus=1, memory=4_000_000_000) as crew:
        assert crew.size == 3
    with cluster(num_cpus=2) as crew:
        assert crew.size == 1
        assert "2 nodes" in crew.in_words
    with pytest.raises(WorkerError, match=r"no node of the cluster has room .* 1 GPU"):
        cluster(num_gpus=1)
    assert not ray.is_up


def test_cluster_that_is_not_there_is_said_in_a_line(ray: FakeRay) -> None:
    with pytest.raises(WorkerError, match=r"^there is no cluster of Ray at 'nowhere:1': no such cluster$"):
        cluster(address="nowhere:1")


def test_node_of_another_version_is_refused(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster() as crew:
        import c3video.crew.cluster as module

        do = module._do
        monkeypatch.setattr(crew, "_do", ray.remote(lambda board, key, version, job: do(board, key, "0.0.1", job)))
        with pytest.raises(WorkerError, match=r"not 0\.0\.1: install the same"):
            squares(crew, 1)
