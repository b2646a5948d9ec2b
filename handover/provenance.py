# SPDX-License-Identifier: MIT
"""Where a figure comes from: commit, date, machine and versions, and what memory it took."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from c3video.threads import num_cores

REPOSITORY = Path(__file__).resolve().parent.parent


@lru_cache(maxsize=1)
def commit() -> str:
    """Short name of the checkout's commit, with "-dirty" where files of it were changed; "" outside one."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def cpu_name() -> str:
    """Model of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    """CPU model, cores that this process may use, system."""
    return {"cpu": cpu_name(), "cores": num_cores(), "system": f"{platform.system()} {platform.machine()}"}


def peak_memory_mib() -> float:
    """The most memory that this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss on from the process that started this one; the high-water mark here is its own.
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if peaks:
            return int(peaks[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def versions() -> dict[str, str]:
    """Of what a figure may depend on."""
    found = {"python": platform.python_version()}
    for name in ("c3video", "torch", "numpy", "constriction", "av", "scikit-image", "bjontegaard"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Date and time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
