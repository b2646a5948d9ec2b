# SPDX-License-Identifier: MIT
"""Bytes of a fuzzer -> a .c3v stream that is wrong in some places and right in its checksums.

    seed stream --take_apart--> header, records --edits--> header, records --put together, crc32 made right--> stream

So what is found lies behind the checks: in headers, payloads, the order of records, and what an index says of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from c3video.stream.layout import CHECK, INDEX_KIND, RECORD, SEGMENT_KIND, START, TRAILER, write_check

SEEDS = tuple(path.read_bytes() for path in sorted((Path(__file__).parent.parent / "vectors").glob("*.c3v")))
MAX_EDITS = 8
_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF)


@dataclass
class Record:
    """A record whose checksums are made when it is put together.

    Args:
        claimed: the payload's size as the head tells it, where it lies.
        keeps_checks: False for one whose payload's crc32 is left wrong.
    """

    kind: int
    number: int
    payload: bytearray
    claimed: int | None = None
    keeps_checks: bool = True

    def to_bytes(self) -> bytes:
        size = len(self.payload) if self.claimed is None else self.claimed
        head = RECORD.fields[0].type.write(b"C3R") + bytes([self.kind & 0xFF])
        head += (self.number & 0xFFFFFFFF).to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
        check = write_check(self.payload) if self.keeps_checks else bytes(CHECK.size_bytes)
        return head + write_check(head) + self.payload + check


@dataclass
class Parts:
    """A stream taken apart. `header` has no checksum; `end` follows the last record."""

    header: bytearray
    records: list[Record]
    end: bytearray

    def to_bytes(self) -> bytes:
        size = len(self.header) - START.size_bytes
        self.header[9:11] = (size & 0xFFFF).to_bytes(2, "little")
        return bytes(self.header) + write_check(self.header) + b"".join(r.to_bytes() for r in self.records) + self.end


def take_apart(stream: bytes) -> Parts:
    """A valid stream in its parts."""
    at = START.size_bytes + int.from_bytes(stream[9:11], "little")
    header, records = bytearray(stream[:at]), []
    at += CHECK.size_bytes
    while stream[at : at + 3] == b"C3R":
        number, size = (int.from_bytes(stream[at + i : at + i + 4], "little") for i in (4, 8))
        payload = stream[at + RECORD.size_bytes : at + RECORD.size_bytes + size]
        assert zlib.crc32(payload) == int.from_bytes(stream[at + RECORD.size_bytes + size :][:4], "little")
        records.append(Record(stream[at + 3], number, bytearray(payload)))
        at += RECORD.size_bytes + size + CHECK.size_bytes
    return Parts(header, records, bytearray(stream[at:]))


class _Choices:
    """Numbers from the fuzzer's bytes; zeros when they have been used up."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)
        self.left = len(data)

    def byte(self) -> int:
        self.left = max(0, self.left - 1)
        return next(self._bytes, 0)

    def below(self, end: int) -> int:
        """0 .. end - 1, or 0."""
        return (self.byte() | self.byte() << 8) % max(1, end)


def _poke(data: bytearray, choices: _Choices) -> None:
    """Change, insert or remove a few bytes."""
    how, at = choices.byte() % 6, choices.below(len(data))
    if how == 0 and data:
        data[at] ^= 1 << choices.byte() % 8
    elif how == 1 and data:
        data[at] = choices.byte()
    elif how == 2 and data:
        data[at] = _INTERESTING[choices.byte() % len(_INTERESTING)]
    elif how == 3:
        data[at:at] = bytes([choices.byte()]) * (1 + choices.byte() % 16)
    elif how == 4:
        del data[at : at + 1 + choices.byte() % 16]
    elif how == 5 and data:
        length, to = 1 + choices.byte() % 32, choices.below(len(data))
        data[to : to + length] = data[at : at + length]


def _poke_header(parts: Parts, choices: _Choices) -> None:
    # What comes before the values, magic and version, has tests of its own.
    rest = parts.header[START.size_bytes :]
    _poke(rest, choices)
    parts.header[START.size_bytes :] = rest


def _of_kind(parts: Parts, kind: int, choices: _Choices) -> Record | None:
    found = [record for record in parts.records if record.kind == kind]
    return found[choices.below(len(found))] if found else None


def _poke_segment(parts: Parts, choices: _Choices) -> None:
    record = _of_kind(parts, SEGMENT_KIND, choices)
    if record is not None:
        _poke(record.payload, choices)


def _poke_start_of_segment(parts: Parts, choices: _Choices) -> None:
    """Counts, time stamps, hashes, sizes of patches, and what a patch says before its symbols."""
    record = _of_kind(parts, SEGMENT_KIND, choices)
    if record is not None:
        start = record.payload[:64]
        _poke(start, choices)
        record.payload[:64] = start


def _poke_index(parts: Parts, choices: _Choices) -> None:
    record = _of_kind(parts, INDEX_KIND, choices)
    if record is not None:
        _poke(record.payload, choices)


def _poke_record(parts: Parts, choices: _Choices) -> None:
    if not parts.records:
        return
    record = parts.records[choices.below(len(parts.records))]
    how, value = choices.byte() % 4, choices.below(1 << 16)
    if how == 0:
        record.kind = value % 4
    elif how == 1:
        record.number = value if value < 0xFF00 else value << 16
    elif how == 2:
        record.claimed = value if value < 0xFF00 else value << 14
    else:
        record.keeps_checks = False


def _move_records(parts: Parts, choices: _Choices) -> None:
    records, how = parts.records, choices.byte() % 3
    a, b = choices.below(len(records)), choices.below(len(records))
    if not records:
        return
    if how == 0:
        records[a], records[b] = records[b], records[a]
    elif how == 1 and len(records) < 8:
        copy = records[a]
        records.insert(b, Record(copy.kind, copy.number + choices.byte() % 2, bytearray(copy.payload)))
    else:
        del records[a]


def _poke_end(parts: Parts, choices: _Choices) -> None:
    _poke(parts.end, choices)


_EDITS: tuple[Callable[[Parts, _Choices], None], ...] = (
    _poke_header,
    _poke_segment,
    _poke_start_of_segment,
    _poke_start_of_segment,
    _poke_index,
    _poke_record,
    _move_records,
    _poke_end,
)


def mutated(data: bytes) -> bytes:
    """A stream for some bytes: the first picks the seed, the others say what is done to it."""
    choices = _Choices(data)
    parts = take_apart(SEEDS[choices.byte() % len(SEEDS)])
    points_at_index = choices.byte() % 4 > 0
    for _ in range(MAX_EDITS):
        if not choices.left:
            break
        _EDITS[choices.byte() % len(_EDITS)](parts, choices)
    if points_at_index and len(parts.end) == TRAILER.size_bytes and parts.records:
        last = parts.records.pop()
        offset = len(parts.to_bytes()) - len(parts.end)
        parts.records.append(last)
        parts.end[:8] = offset.to_bytes(8, "little")
    return parts.to_bytes()


def seeded_inputs(seed: int) -> Iterator[bytes]:
    """Bytes without end from a seed, where no coverage guides."""
    import numpy as np

    rng = np.random.default_rng(seed)
    while True:
        yield rng.bytes(int(rng.integers(2, 40)))
