# SPDX-License-Identifier: MIT
"""What jobs leave behind: files that are there whole or not at all, and where and with what they were made."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from c3video.errors import SourceError

REPOSITORY = Path(__file__).resolve().parent.parent


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that an interrupted job leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """The same, of plain values."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """The same, of a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_json(path: Path) -> Any:
    """Plain values of a file. Raises SourceError."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{path}: is no JSON: {error}") from error


def run_module(module: str, arguments: Sequence[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
    """`python -m module` of this checkout, from wherever this process runs."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=capture, text=True, check=False
    )


@lru_cache(maxsize=1)
def commit() -> str:
    """Short name of the checkout's commit, with "-dirty" where files of it were changed; "" outside one."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> dict[str, Any]:
    """CPU model, cores that this process may use, system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {"cpu": model, "cores": num_cores(), "system": f"{platform.system()} {platform.machine()}"}


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def say(line: str) -> None:
    """Words go to stderr; stdout is data."""
    print(line, file=sys.stderr, flush=True)
