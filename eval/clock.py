# SPDX-License-Identifier: MIT
"""Times of what is done again and again."""

from __future__ import annotations

import statistics
from collections.abc import Callable


def median_seconds(run: Callable[[], object], clock: Callable[[], float], repeats: int) -> float:
    """Median time of `run` by a clock, one warm-up before."""
    run()
    found = []
    for _ in range(repeats):
        start = clock()
        run()
        found.append(clock() - start)
    return statistics.median(found)
