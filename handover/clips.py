# SPDX-License-Identifier: MIT
"""OUT/clips.json: the clips of a run. Whoever chose them writes it; measures know no data sets, only this list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from c3video.errors import ConfigError, SourceError
from c3video.media.rgb import RgbSource
from c3video.media.source import Source, open_source
from c3video.video import VideoFormat
from handover.files import read_json, write_json


@dataclass(frozen=True)
class Clip:
    """Some frames of a file.

    Args:
        name: of the clip in all tables; one clip a name.
        first, last: range of frames, last excluded, counted from 0.
        width, height: in luma samples.
        pix_fmt, fps: of headerless raw video, else None; fps as a fraction, "120/1".
        untagged: its colour description is not looked at when it is converted to RGB.
        max_gradient_norm: for the profile `paper`, where it is not the usual one.
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
    max_gradient_norm: float | None = None

    @property
    def num_frames(self) -> int:
        return self.last - self.first

    @contextmanager
    def open(self, first: int = 0, last: int | None = None) -> Iterator[Source]:
        """Frames first .. last - 1 of the clip, counted from its own first one.

        Raises:
            SourceError: as `c3video.media.source.open_source`.
        """
        with open_source(
            self.path,
            size=(self.width, self.height) if self.pix_fmt else None,
            pix_fmt=self.pix_fmt,
            fps=Fraction(self.fps) if self.fps else None,
            frames=(self.first + first, self.last if last is None else self.first + last),
        ) as source:
            yield source

    @contextmanager
    def open_as_rgb(self, first: int = 0, last: int | None = None) -> Iterator[RgbSource]:
        """The same frames as the published experiments converted them (`c3video.media.rgb`)."""
        with self.open(first, last) as source:
            yield RgbSource(source, self.rgb_format(source.format))

    def rgb_format(self, format: VideoFormat) -> VideoFormat:
        """A format of the clip's frames as its conversion to RGB should see it."""
        return replace(format, color_space=2, color_range=0) if self.untagged else format


def write_clips(out: Path, clips: Sequence[Clip]) -> None:
    """Write the list of a run folder."""
    write_json(out / "clips.json", [asdict(clip) for clip in clips])


def read_clips(out: Path, names: Sequence[str] | None = None) -> list[Clip]:
    """The clips of a run folder, or those with the given names. Raises SourceError, ConfigError."""
    path = out / "clips.json"
    try:
        clips = [Clip(**values) for values in read_json(path)]
    except TypeError as error:
        raise SourceError(f"{path}: is no list of clips: {error}") from error
    by_name = {clip.name: clip for clip in clips}
    unknown = [name for name in names or () if name not in by_name]
    if unknown:
        raise ConfigError(f"{path}: has no clip {unknown[0]!r}: must be one of {', '.join(by_name)}")
    return [by_name[name] for name in names or by_name]
