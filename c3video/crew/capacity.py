# SPDX-License-Identifier: MIT
"""How many processes a machine has cores and memory for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from c3video.threads import num_cores

MEMORY_SHARE = 0.9
"""Of the memory that is free, to be taken."""


@dataclass(frozen=True)
class Capacity:
    """What there is, and what a process takes.

    Args:
        cores: that this process may run on.
        free_bytes: of memory; None where the system does not tell.
        need_bytes: of a process, estimated.
    """

    cores: int
    free_bytes: int | None
    need_bytes: int

    @property
    def most(self) -> int:
        """Processes that memory has room for, at least one."""
        return self.cores if self.free_bytes is None else max(1, int(MEMORY_SHARE * self.free_bytes / self.need_bytes))

    def suggested(self, most_useful: int | None) -> int:
        """One a core, as far as memory and work go."""
        return max(1, min(self.cores, self.most, self.cores if most_useful is None else most_useful))

    def in_words(self, size: int) -> str:
        """What so many processes take."""
        need = f"{_in_gib(size * self.need_bytes)} of memory"
        return need if self.free_bytes is None else f"{need}, {_in_gib(self.free_bytes)} are free"


def capacity(need_bytes: int) -> Capacity:
    """Of this machine for processes that take so much each."""
    return Capacity(num_cores(), free_memory(), need_bytes)


def free_memory() -> int | None:
    """Bytes that can be had without swapping, within what a container allows; None where the system does not tell."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        values = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        if "MemAvailable" in values:
            found.append(1024 * int(values["MemAvailable"].split()[0]))
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        found.append(max(0, limit - used))
    return min(found, default=None)


def _number(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _in_gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
