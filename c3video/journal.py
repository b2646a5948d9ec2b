# SPDX-License-Identifier: MIT
"""What an encode that did not end leaves beside its part file, so that another run can go on where it stood.

    out.part.c3v           header, the segments so far in order, index
    out.part.c3v.journal   what the encode was asked for, then a line for each segment that is done

A line is a crc32 and JSON, written and synced after the segment that it tells of is; a torn last one is as good as
none. A segment that is done before its turn is in its line as a whole, so no more than what is at work is ever lost;
and so are the last ones where some of them may be fitted again for the sake of a target, with every fit.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from c3video.errors import OutputError, StreamError
from c3video.output import sync_folder
from c3video.segment_fit import FittedSegment, SegmentReport
from c3video.stream.layout import (
    CHECK,
    RECORD,
    Header,
    IndexEntry,
    Segment,
    read_record_head,
    read_segment,
    write_segment,
)
from c3video.stream.reader import Reader

Identity = dict[str, Any]
"""What the bytes of an encode depend on, as plain values by name; what an encode with another one made is not gone on
with."""


@dataclass(frozen=True)
class SegmentLine:
    """What a line says of a segment.

    Args:
        record_crc: crc32 of its record in the stream.
        record: the record itself, where it was done before its turn or is held.
        is_held: whether it or one before it may be fitted again, so that the part file is not the last word on it.
    """

    report: SegmentReport
    source_crc: int
    record_crc: int
    record: bytes | None
    is_held: bool = False

    @classmethod
    def of(cls, fitted: FittedSegment, header: Header, with_record: bool, is_held: bool) -> SegmentLine:
        record = write_segment(fitted.segment, header)
        return cls(fitted.report, fitted.source_crc, zlib.crc32(record), record if with_record else None, is_held)

    def as_plain(self) -> dict[str, Any]:
        values = {"report": asdict(self.report), "source_crc": self.source_crc, "record_crc": self.record_crc}
        if self.record is not None:
            values |= {"record": base64.b64encode(self.record).decode(), "is_held": self.is_held}
        return values

    def fitted(self, header: Header) -> FittedSegment | None:
        """The segment, where the line has all of it."""
        if self.record is None or zlib.crc32(self.record) != self.record_crc:
            return None
        return FittedSegment(_segment_of(self.record, header), self.report, self.source_crc)

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> SegmentLine:
        report = SegmentReport(**values["report"] | {"notes": tuple(values["report"]["notes"])})
        record = base64.b64decode(values["record"]) if "record" in values else None
        return cls(report, values["source_crc"], values["record_crc"], record, values.get("is_held", False))


@dataclass(frozen=True)
class Earlier:
    """What an earlier run has left to go on from.

    Args:
        kept: of the segments in the part file that stay as they are, in order.
        entries: the same for its index.
        done: segments that were done before their turn or are held, by number.
        again: further fits of held segments, by number and rd_weight.
        notes: what else was written down, by name.
    """

    kept: tuple[SegmentLine, ...] = ()
    entries: tuple[IndexEntry, ...] = ()
    done: Mapping[int, FittedSegment] = field(default_factory=dict)
    again: Mapping[tuple[int, float], FittedSegment] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """Made by `open_journal`.

    Attributes:
        earlier: what there is to go on from.
    """

    def __init__(self, file: BinaryIO, part: BinaryIO, header: Header, earlier: Earlier) -> None:
        self._file, self._part, self._header = file, part, header
        self.earlier = earlier

    def note(self, name: str, value: Any) -> None:
        """Write down what a later run must not find out again."""
        self._append({"note": name, "value": value})

    def add(self, fitted: FittedSegment, *, is_in_part: bool, is_held: bool = False) -> None:
        """Write down a segment: after it is in the part file; before its turn; or held, whether in it or not."""
        if is_in_part:
            os.fsync(self._part.fileno())
        self._append({"segment": SegmentLine.of(fitted, self._header, is_held or not is_in_part, is_held).as_plain()})

    def _append(self, value: Any) -> None:
        _append(self._file, value)


def journal_of(part: str) -> str:
    """The journal's name: out.part.c3v -> out.part.c3v.journal."""
    return f"{part}.journal"


@contextmanager
def open_journal(part_name: str, part: BinaryIO, header: Header, identity: Identity, resume: bool) -> Iterator[Journal]:
    """The journal of a part file.

    Args:
        part: the part file, open to read and write where there is something to go on from.
        resume: whether to go on from what is there; else begin anew.

    Raises:
        OutputError: it cannot be written, or what is there is of another encode: the message says in what it differs.
    """
    name = journal_of(part_name)
    earlier, size = Earlier(), 0
    if resume and os.fstat(part.fileno()).st_size:
        lines, size = _read(name)
        if not lines or "begin" not in lines[0]:
            raise OutputError(f"{part_name}: there is nothing that says how it was begun ({name}); -y begins anew")
        _check(part_name, lines[0]["begin"], identity)
        earlier = _earlier(lines[1:], part, header)
    if not earlier.kept:
        part.truncate(0)
    part.seek(0)
    try:
        with open(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+b", 0) as file:
            file.truncate(size)
            file.seek(size)
            if not size:
                _append(file, {"begin": identity})
            sync_folder(name)
            yield Journal(file, part, header, earlier)
    except OSError as error:
        error.filename = error.filename or name
        raise


def _append(file: BinaryIO, value: Any) -> None:
    """A line, on the disk when this returns."""
    text = json.dumps(value, separators=(",", ":")).encode()
    rest = memoryview(b"%08x %s\n" % (zlib.crc32(text), text))
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _read(name: str) -> tuple[list[dict[str, Any]], int]:
    """The good lines of a journal, and their bytes."""
    lines, size = [], 0
    try:
        with open(name, "rb") as file:
            for line in file:
                crc, _, text = line.partition(b" ")
                if not line.endswith(b"\n") or crc != b"%08x" % zlib.crc32(text[:-1]):
                    break
                lines.append(json.loads(text))
                size += len(line)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(f"{name}: cannot be read: {error.strerror or error}") from error
    return lines, size


def _check(part_name: str, before: Identity, now: Identity) -> None:
    """Raise OutputError where another encode is asked for than was begun; it names all differences, in their order."""
    now = json.loads(json.dumps(now))
    names = [name for name in dict.fromkeys((*now, *before)) if before.get(name) != now.get(name)]
    if len(names) > 1 and "header" in names:
        names.remove("header")  # which follows from the others
    if names:
        said = (
            _IN_WORDS.get(name, f"with {name} {_shown(before.get(name))}, now {_shown(now.get(name))}")
            for name in names
        )
        raise OutputError(
            f"{part_name}: was begun {'; '.join(said)}: --resume goes on with the same alone, -y begins anew"
        )


_IN_WORDS = {
    "code": "by other code of c3video",
    "header": "for a video of another size, pixel format or the like",
}
"""How it is said that parts of an identity differ whose values tell nobody anything."""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items() if part is not None)
    return "none" if value is None else str(value)


def _earlier(lines: list[dict[str, Any]], part: BinaryIO, header: Header) -> Earlier:
    """What of the lines holds against the part file."""
    notes = {line["note"]: line["value"] for line in lines if "note" in line}
    by_number: dict[int, SegmentLine] = {}
    again: dict[tuple[int, float], FittedSegment] = {}
    for line in lines:
        if "segment" in line:
            found = SegmentLine.of_plain(line["segment"])
            number = found.report.number
            known = by_number.get(number)
            if known is None or known.record is None:
                by_number[number] = found
            elif known.is_held and (fitted := found.fitted(header)) is not None:
                again[number, found.report.rd_weight] = fitted
    kept: list[SegmentLine] = []
    entries: list[IndexEntry] = []
    for segment in _whole_segments(part, header):
        said = by_number.get(segment.number)
        if said is None or said.is_held or segment.number != len(kept):
            break
        record = write_segment(segment, header)
        if zlib.crc32(record) != said.record_crc:
            break
        kept.append(said)
        entries.append(IndexEntry(len(record), len(segment.pts), segment.pts[0]))
    done = {
        number: fitted
        for number, said in by_number.items()
        if number >= len(kept) and (fitted := said.fitted(header)) is not None
    }
    return Earlier(tuple(kept), tuple(entries), done, again, notes)


def _whole_segments(part: BinaryIO, header: Header) -> Iterator[Segment]:
    """Segments of a part file up to what is torn; none where its header is."""
    part.seek(0)
    with suppress(StreamError):
        reader = Reader(part)
        if reader.header == header:
            for segment in reader.segments():
                assert isinstance(segment, Segment)  # damage raises, since no concealment was asked for
                yield segment


def _segment_of(record: bytes, header: Header) -> Segment:
    head = read_record_head(record[: RECORD.size_bytes], 0)
    return read_segment(head.number, record[RECORD.size_bytes : -CHECK.size_bytes], header, RECORD.size_bytes)
