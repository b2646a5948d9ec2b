# SPDX-License-Identifier: MIT
"""What the bytes of a PNG file say that PyAV cannot be asked for.

PyAV 18 ends the process over the metadata of a frame's side data, which the colour profile of a PNG has. So what is
there is read from the file itself (PNG specification, section 5: a signature, then chunks of length, type, data, crc).
"""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"
READ_BYTES = 4096
"""Enough of a file for the small chunks that may come before a colour profile."""


def has_icc_profile(start: bytes) -> bool:
    """Whether a file that begins with these bytes is a PNG with a colour profile (iCCP, which comes before pixels)."""
    if not start.startswith(SIGNATURE):
        return False
    at = len(SIGNATURE)
    while at + 8 <= len(start):
        length, kind = int.from_bytes(start[at : at + 4], "big"), start[at + 4 : at + 8]
        if kind in (b"iCCP", b"IDAT"):
            return kind == b"iCCP"
        at += 12 + length
    return False
