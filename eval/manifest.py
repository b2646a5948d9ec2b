# SPDX-License-Identifier: MIT
"""What a run folder says of its clips, and files that are there whole or not at all.

OUT/clips.json is written by whoever chose the clips; measures know no data sets, only this list.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from c3video.errors import ConfigError, SourceError
from c3video.media.source import Source, open_source
from c3video.video import VideoFormat


@dataclass(frozen=True)
class Clip:
    """Some frames of a file.

    Args:
        name: of the clip in all tables.
        first, last: range of frames, last excluded, counted from 0.
        width, height: in luma samples.
        pix_fmt, fps: of headerless raw video, else None.
        untagged: its colour description is not looked at when it is converted to RGB.
    """

    name: str
    path: str
    first: int
    last: int
    width: int
    height: int
    pix_fmt: str | None = None
    fps: str | None = None
    untagged: bool = False

    @property
    def num_frames(self) -> int:
        return self.last - self.first

    @contextmanager
    def open(self) -> Iterator[Source]:
        """The clip's frames. Raises SourceError."""
        with open_source(
            self.path,
            size=(self.width, self.height) if self.pix_fmt else None,
            pix_fmt=self.pix_fmt,
            fps=Fraction(self.fps) if self.fps else None,
            frames=(self.first, self.last),
        ) as source:
            yield source

    def rgb_format(self, format: VideoFormat) -> VideoFormat:
        """A format of the clip's frames as its conversion to RGB should see it."""
        return replace(format, color_space=2, color_range=0) if self.untagged else format


def read_clips(out: Path, names: Sequence[str] | None = None) -> list[Clip]:
    """The clips of a run folder, or those with the given names. Raises SourceError, ConfigError."""
    path = out / "clips.json"
    fields = Clip.__dataclass_fields__
    try:
        clips = [Clip(**{key: entry[key] for key in entry if key in fields}) for entry in read_json(path)]
    except TypeError as error:
        raise SourceError(f"{path}: is no list of clips: {error}") from error
    by_name = {clip.name: clip for clip in clips}
    unknown = [name for name in names or () if name not in by_name]
    if unknown:
        raise ConfigError(f"{path}: has no clip {unknown[0]!r}: must be one of {', '.join(by_name)}")
    return [by_name[name] for name in names or by_name]


def read_json(path: Path) -> Any:
    """Plain values of a file. Raises SourceError."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{path}: is no JSON: {error}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under another name first, so that an interrupted measure leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """The same, of plain values."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """The same, of a table; what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
