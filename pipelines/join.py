# SPDX-License-Identifier: MIT
"""The units of a stream -> OUT/streams/STREAM.c3v: the bytes that `c3v encode` would have written, and their record."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from c3video.errors import ConfigError
from c3video.stream.layout import Header, Segment
from c3video.stream.reader import Reader
from c3video.stream.writer import Writer
from handover import files
from pipelines.process import say
from pipelines.unit_files import is_whole, read_record


def join_all(out: Path) -> list[str]:
    """Join the units of each stream that has them all; returns the names of the streams that are there."""
    units: dict[str, dict[Path, dict[str, Any]]] = defaultdict(dict)
    for path in sorted((out / "units").glob("*/*.json")):
        if (record := read_record(path)) is not None and is_whole(path.with_suffix(".c3v")):
            units[path.parent.name][path] = record
        else:
            say(f"{path}: is not whole, and counts as not done")
    joined = []
    for stream, records in units.items():
        paths, unit_records = list(records), list(records.values())
        wanted = unit_records[0]["settings"]["num_segments"]
        if [record["settings"]["segment"] for record in unit_records] != list(range(wanted)):
            say(f"{stream}: {len(paths)} of {wanted} segments so far")
            continue
        joined.append(stream)
        target = out / "streams" / f"{stream}.c3v"
        # Whoever redoes a unit wants the stream made of it.
        if not target.exists() or target.stat().st_mtime < max(path.stat().st_mtime for path in paths):
            data = join([path.with_suffix(".c3v").read_bytes() for path in paths])
            files.write_json(target.with_suffix(".json"), _stream_record(unit_records, len(data)))
            files.write_bytes(target, data)
    return joined


def join(streams: Sequence[bytes]) -> bytes:
    """One stream of streams of a segment each, which differ at most in the length of the last.

    Raises:
        StreamError: a stream is damaged.
        ConfigError: their headers differ, or there are none.
    """
    header: Header | None = None
    segments: list[Segment] = []
    for data in streams:
        reader = Reader(io.BytesIO(data))
        header = header or reader.header
        if replace(reader.header, segment_frames=header.segment_frames) != header:
            raise ConfigError(f"segment {len(segments)} was coded with another header than segment 0")
        for segment in reader.segments():
            assert isinstance(segment, Segment)  # damage raises, since no concealment was asked for
            segments.append(replace(segment, number=len(segments)))
    if header is None:
        raise ConfigError("there are no streams to join")
    file = io.BytesIO()
    with Writer(file, header) as writer:
        for segment in segments:
            writer.write_segment(segment)
    return file.getvalue()


def _stream_record(units: Sequence[dict[str, Any]], size_bytes: int) -> dict[str, Any]:
    """What is known of a stream: settings, and sums over its units."""
    settings = {key: value for key, value in units[0]["settings"].items() if key not in ("segment", "frames")}
    frames = [units[0]["settings"]["frames"][0], units[-1]["settings"]["frames"][1]]
    return {
        **settings,
        "frames": frames,
        "segment_frames": units[0]["settings"]["frames"][1] - frames[0],
        "size_bytes": size_bytes,
        "estimated_bits": round(sum(unit["estimated_bits"] for unit in units), 1),
        "notes": [f"segment {number}: {note}" for number, unit in enumerate(units) for note in unit["notes"]],
        "encode_seconds": round(sum(unit["encode_seconds"] for unit in units), 3),
        "encode_cpu_seconds": round(sum(unit["encode_cpu_seconds"] for unit in units), 3),
        "commit": "+".join(sorted({unit["commit"] for unit in units})),
        "date": max(unit["date"] for unit in units),
    }
