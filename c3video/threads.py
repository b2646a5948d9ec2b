# SPDX-License-Identifier: MIT
"""How many threads there are for work that nobody said a number of."""

from __future__ import annotations

import os


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual_threads() -> int:
    """Threads of a fit: as OMP_NUM_THREADS says (the first of its numbers), else one a core."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) else num_cores()
