# SPDX-License-Identifier: MIT
"""A command and what it took, from a small process: a peak of memory includes that of the parent at the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCHER = (
    "import os, subprocess, sys; process = subprocess.Popen(sys.argv[1:]); "
    "_, status, usage = os.wait4(process.pid, 0); "
    "print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)"
)


@dataclass(frozen=True)
class Launched:
    """Of a command that has ended.

    Args:
        cpu_seconds: of all its threads, in user and system mode.
        peak_bytes: largest resident memory.
    """

    exit_code: int
    stderr: str
    cpu_seconds: float
    peak_bytes: int


def launch(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Launched:
    """Run a command that prints nothing to its end.

    Args:
        environment: of the command; None: that of this process.
    """
    run = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *command], env=environment, capture_output=True, text=True, check=True
    )
    code, cpu_seconds, peak = run.stdout.split()
    return Launched(int(code), run.stderr, float(cpu_seconds), int(peak) * (1 if sys.platform == "darwin" else 1024))


def launch_decode(stream: Path) -> Launched:
    """`c3v decode --verify` of a stream, on one thread."""
    return launch([sys.executable, "-m", "c3video", "decode", str(stream), "--verify", "--threads", "1", "-q"])
