# SPDX-License-Identifier: MIT
"""Numbers of no fixed size: 7 bits a byte, low bits first, the top bit set in every byte but the last.

Each value has one form: the last byte is 0 only for the value 0.
"""

from __future__ import annotations

MAX_BYTES = 9
"""Longest form: values below 2^63."""


def write_varint(value: int) -> bytes:
    """Bytes of a number from 0 on."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | bytearray | memoryview, at: int) -> tuple[int, int]:
    """The number at `data[at:]`, and where it ends.

    Raises:
        ValueError: the bytes end before it does, or it has not its one form.
    """
    value = 0
    for count in range(MAX_BYTES):
        if at + count >= len(data):
            raise ValueError("1 bytes are needed, 0 are left")
        byte = data[at + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if byte == 0 and count > 0:
                raise ValueError("a varint with a needless last byte")
            return value, at + count + 1
    raise ValueError(f"a varint of more than {MAX_BYTES} bytes")
