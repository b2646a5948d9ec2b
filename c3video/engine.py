# SPDX-License-Identifier: MIT
"""Who computes the integers: NumPy, which is the oracle, or the C++ extension. Both give the same ones.

What an engine must do for a model stands in c3/engine.py, hybrid/engine.py and pyramid/engine.py; here is which of
them is used.
"""

from __future__ import annotations

from typing import Literal, cast, get_args

from c3video import native
from c3video.errors import ConfigError

EngineName = Literal["native", "numpy"]


def choose_engine(name: str | None = None) -> EngineName:
    """The engine of that name; the fastest one there is for None.

    Raises:
        ConfigError: unknown, or the extension was not built, or C3VIDEO_ISA names no instruction set that it has here.
    """
    if name is None:
        name = "native" if native.available() else "numpy"
    if name not in get_args(EngineName):
        raise ConfigError(f"engine {name!r}: must be one of {', '.join(get_args(EngineName))}")
    if name == "native" and not native.available():
        raise ConfigError("engine 'native': the C++ extension was not built (C3VIDEO_NATIVE=0), or C3VIDEO_ISA is none")
    if name == "native":
        native.isa()  # refuses a C3VIDEO_ISA that is not there before any work is done
    return cast(EngineName, name)
