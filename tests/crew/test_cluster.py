# SPDX-License-Identifier: MIT
"""A cluster of Ray does what processes do, nodes that die included. Skipped without `c3video[cluster]`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import c3video
from tests.conftest import moving_clip
from tests.crew.jobs import Fail, Square

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Ray's own
]
ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def nodes() -> Iterator[Any]:
    """Three nodes with a CPU each; the first only hands out work."""
    os.environ.setdefault("RAY_agent_register_timeout_ms", "900000")  # nodes give up early on a busy machine
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "900")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)  # jobs of tests, at the nodes
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(3):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_jobs_come_back_in_order_also_from_a_cluster_that_loses_a_node(nodes: Any) -> None:
    from c3video.crew.cluster import Cluster
    from c3video.crew.schedule import in_order
    from c3video.errors import FitError

    told: list[tuple[int, Any]] = []
    with Cluster(nodes.address) as crew:
        assert crew.size == 3
        found = []
        jobs = in_order(
            crew,
            ((n, n) for n in range(12)),
            lambda number, item: Square(item, 4.0),
            note=lambda key, report: told.append((key, report)),
        )
        for result in jobs:
            found.append(result)
            if len(found) == 2:
                nodes.remove_node(sorted(nodes.worker_nodes, key=id)[0], allow_graceful=False)
        assert found == [n * n for n in range(12)]
        with pytest.raises(FitError, match="not to be fitted"):
            list(in_order(crew, [(0, 0)], lambda number, item: Fail()))
    assert told


def test_encode_on_nodes_of_which_one_is_killed_has_the_same_bytes(nodes: Any, tmp_path: Path) -> None:
    clip, options = moving_clip(16, 48, 64), {"preset": "ultrafast", "segment_frames": 2, "threads": 1}
    c3video.encode(clip, tmp_path / "here.c3v", **options)
    done = threading.Event()

    def kill() -> None:
        deadline = time.monotonic() + 300
        journal = tmp_path / "far.part.c3v.journal"
        while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
            time.sleep(0.02)
        nodes.remove_node(sorted(nodes.worker_nodes, key=id)[0], allow_graceful=False)
        done.set()

    thread = threading.Thread(target=kill)
    thread.start()
    c3video.encode(clip, tmp_path / "far.c3v", cluster=nodes.address, **options)
    thread.join()
    assert done.is_set()
    assert (tmp_path / "far.c3v").read_bytes() == (tmp_path / "here.c3v").read_bytes()
