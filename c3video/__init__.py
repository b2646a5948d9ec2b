# SPDX-License-Identifier: MIT
"""c3video: a neural video codec that is overfit to each clip and decodes exactly.

    import c3video

    c3video.encode("in.mp4", "out.c3v", preset="fast", rd_weight=1e-3)
    with c3video.open("out.c3v") as clip:
        for frame in clip:
            print(frame.pts, frame.planes[0].shape)

Importing this package loads neither torch nor PyAV; the calls that need them do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from c3video.errors import C3VideoError

if TYPE_CHECKING:
    from c3video.api import encode
    from c3video.decoder import Decoder, open

__all__ = ["C3VideoError", "Decoder", "__version__", "encode", "open"]
__version__ = "0.1.0"

_HOMES = {"encode": "c3video.api", "open": "c3video.decoder", "Decoder": "c3video.decoder"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
