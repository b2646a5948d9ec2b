# SPDX-License-Identifier: MIT
"""Numbers of no fixed size: one form each. (Their bytes: tests/stream/test_layout.py.)"""

from __future__ import annotations

import pytest

from c3video.coding.varint import read_varint, write_varint


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, (1 << 63) - 1])
def test_value_comes_back_with_its_end(value: int) -> None:
    data = write_varint(value)
    assert read_varint(b"\xff" + data + b"\x01", 1) == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", b"\xff" * 9 + b"\x01"])
def test_other_forms_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|are needed"):
        read_varint(data, 0)
