# SPDX-License-Identifier: MIT
"""Files that are there whole or not at all: bytes, text, JSON and tables.

A file is written under another name first and renamed, so that an interrupted program leaves no half of it, and the
same program, run again, can go by which files are there.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from c3video.errors import SourceError


@contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Where to write a file; it gets its name when the block ends, and is removed if the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    other = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield other
        other.replace(path)
    finally:
        other.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file; makes its folder."""
    with draft(path) as other:
        other.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """The same, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """The same, of plain values."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """The same, of a table; what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> Any:
    """Plain values of a file. Raises SourceError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{path}: is no JSON: {error}") from error
