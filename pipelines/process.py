# SPDX-License-Identifier: MIT
"""The process of a job, and the programs that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from handover.provenance import REPOSITORY


def run_module(module: str, arguments: Sequence[str], capture: bool = False) -> subprocess.CompletedProcess[str]:
    """`python -m module` of this checkout, from wherever this process runs."""
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=capture, text=True, check=False
    )


def say(line: str) -> None:
    """Words go to stderr; stdout is data."""
    print(line, file=sys.stderr, flush=True)
