# SPDX-License-Identifier: MIT
"""The table of workers: each run is held against that of its turn, and the processor's time is that of the fits."""

from __future__ import annotations

import sys

from eval.scale import Cost, row, run


def test_runs_of_a_turn_are_compared_with_each_other() -> None:
    one = [Cost(10.0, 9.0, 1 << 30, 1.0), Cost(20.0, 9.5, 1 << 30, 1.5), Cost(12.0, 9.2, 1 << 30, 0.5)]
    two = [Cost(8.0, 13.0, 1 << 29, 1.0), Cost(10.0, 12.0, 1 << 29, 1.0), Cost(8.0, 12.5, 1 << 29, 1.2)]
    cells = [cell.strip() for cell in row("fast", 2, two, one, start=1.0, megapixels=3.0).split("|")[1:-1]]
    # 12 CPU seconds less the beginnings of three processes; turns of 1.25, 2 and 1.5.
    assert cells == ["fast", "2", "12.0", "3.0", "8.0", "2.00", "1.50", "1.00", "512 MiB"]


def test_cost_is_of_the_process_and_its_children() -> None:
    inner = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    cost = run([sys.executable, "-c", outer])
    assert 0.2 <= cost.cpu_seconds < cost.wall_seconds + 0.2
    assert cost.peak_bytes > 1 << 20
