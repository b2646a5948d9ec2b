# SPDX-License-Identifier: MIT
"""The CSVs of a run folder, read: what `eval.measure` left and `eval.report` draws.

    OUT/points.csv        one line an encode: size, quality, times
    OUT/frames.csv        PSNR of each frame
    OUT/bits.csv          bits by part of each stream
    OUT/windows.csv       where each patch looks in its previous latent frame
    OUT/convergence.csv   losses on the way of each fit
    OUT/run.json          command, commit, date, versions, machine, protocol, machine-hours
    OUT/frames/           sample frames as PNG, and index.csv (eval/sample_frames.py)

Only points.csv must be there: the others are empty where they are not.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from c3video.errors import SourceError
from handover.files import read_json

OURS = "c3video"
_ENCODER_NAMES = {"libx264": "x264", "libx265": "x265", "libsvtav1": "SVT-AV1", "libvpx-vp9": "VP9"}


@dataclass(frozen=True)
class Series:
    """One way to encode, at all of its qualities: a line in a chart."""

    codec: str
    profile: str
    preset: str
    tune: str

    @property
    def is_ours(self) -> bool:
        return self.codec == OURS

    @property
    def label(self) -> str:
        """As in "c3video default, fast" or "x264 medium, tune psnr"."""
        if self.is_ours:
            return " ".join((OURS, ", ".join(filter(None, (self.profile, self.preset)))))
        name = encoder_name(self.codec, self.preset)
        return f"{name}, tune {self.tune}" if self.tune else name


@dataclass(frozen=True)
class Point:
    """One line of points.csv. What a clip does not have (luma of RGB, chroma of gray, a length in time) is None."""

    clip: str
    codec: str
    profile: str
    preset: str
    tune: str
    quality: str
    num_frames: int
    width: int
    height: int
    size_bytes: int
    bpp: float
    psnr_y: float | None = None
    psnr_u: float | None = None
    psnr_v: float | None = None
    psnr_yuv611: float | None = None
    psnr_rgb: float | None = None
    psnr_rgb_seq: float | None = None
    ssim: float | None = None
    encode_seconds: float | None = None
    encode_cpu_seconds: float | None = None
    decode_seconds: float | None = None
    decode_cpu_seconds: float | None = None
    peak_memory_mib: float | None = None
    macs_per_pixel: float | None = None
    commit: str = ""
    clip_seconds: float | None = None

    @property
    def kbps_of_bpp(self) -> float | None:
        """Thousands of bits a second that a bit a pixel makes; None of a clip without a length in time."""
        return self.num_pixels / self.clip_seconds / 1e3 if self.clip_seconds else None

    @property
    def series(self) -> Series:
        return Series(self.codec, self.profile, self.preset, self.tune)

    @property
    def num_pixels(self) -> int:
        return self.num_frames * self.width * self.height

    def metric(self, name: str) -> float | None:
        """A column by its name; None where it is not there or not finite (equal frames)."""
        value = getattr(self, name)
        return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class FrameQuality:
    """One line of frames.csv."""

    clip: str
    codec: str
    preset: str
    quality: str
    frame: int
    psnr_y: float | None = None
    psnr_u: float | None = None
    psnr_v: float | None = None
    psnr_rgb: float | None = None
    profile: str = ""
    tune: str = ""


@dataclass(frozen=True)
class PartBits:
    """One line of bits.csv."""

    clip: str
    profile: str
    preset: str
    quality: str
    part: str
    bits: float


@dataclass(frozen=True)
class PlacedWindow:
    """One line of windows.csv: corner (y, x) of the previous-frame window of one grid of one patch."""

    clip: str
    quality: str
    segment: int
    patch: int
    grid: int
    y: int
    x: int
    profile: str = ""
    preset: str = ""


@dataclass(frozen=True)
class FitStep:
    """One line of convergence.csv."""

    clip: str
    quality: str
    segment: int
    patch: int
    stage: str
    step: int
    loss: float
    psnr_db: float
    bpp: float
    profile: str = ""
    preset: str = ""


@dataclass(frozen=True)
class SampleFrame:
    """One line of frames/index.csv: a picture of one frame, and the encode that it is of.

    Args:
        quality: the c3video quality whose size the encodes have, as in the file's name.
        codec: "source" for the original.
        codec_quality: that of this encode: rd_weight or crf.
        frame: number in the clip.
        bpp, psnr_yuv611, psnr_rgb: of the whole clip.
    """

    clip: str
    quality: str
    codec: str
    preset: str
    codec_quality: str
    frame: int
    bpp: float | None = None
    psnr_yuv611: float | None = None
    psnr_rgb: float | None = None

    @property
    def file_name(self) -> str:
        return f"{self.clip}_{self.quality}_{self.codec}.png"

    @property
    def label(self) -> str:
        """As a caption names it: "source", "c3video", "x264 medium"."""
        return encoder_name(self.codec, self.preset)


@dataclass(frozen=True)
class RunFolder:
    """All of a run's files, read."""

    path: Path
    points: tuple[Point, ...]
    frames: tuple[FrameQuality, ...] = ()
    bits: tuple[PartBits, ...] = ()
    windows: tuple[PlacedWindow, ...] = ()
    convergence: tuple[FitStep, ...] = ()
    samples: tuple[SampleFrame, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def clips(self) -> list[str]:
        """In the order of points.csv, moving clips before still images."""
        return [*self.moving_clips, *self.still_images]

    @property
    def moving_clips(self) -> list[str]:
        still = set(self.still_images)
        return [clip for clip in dict.fromkeys(point.clip for point in self.points) if clip not in still]

    @property
    def still_images(self) -> list[str]:
        """Clips of one frame."""
        return list(dict.fromkeys(point.clip for point in self.points if point.num_frames == 1))

    @property
    def series(self) -> list[Series]:
        """Ours first, then in the order of points.csv."""
        return sorted(dict.fromkeys(point.series for point in self.points), key=lambda series: not series.is_ours)

    def points_of(self, clip: str, series: Series) -> list[Point]:
        """Points of one clip and series, by rate."""
        found = [point for point in self.points if point.clip == clip and point.series == series]
        return sorted(found, key=lambda point: point.bpp)


def read_run_folder(path: Path) -> RunFolder:
    """Read OUT/.

    Raises:
        SourceError: points.csv is missing or empty, or a file has a line that cannot be understood.
    """
    if not (path / "points.csv").is_file():
        raise SourceError(
            f"{path}: has no points.csv; it is written by `python -m eval.measure`, or by `make clips-eval`"
        )
    points = tuple(_read(path / "points.csv", Point))
    if not points:
        raise SourceError(f"{path / 'points.csv'}: holds no points: nothing was measured")
    return RunFolder(
        path=path,
        points=points,
        frames=tuple(_read(path / "frames.csv", FrameQuality)),
        bits=tuple(_read(path / "bits.csv", PartBits)),
        windows=tuple(_read(path / "windows.csv", PlacedWindow)),
        convergence=tuple(_read(path / "convergence.csv", FitStep)),
        samples=read_sample_frames(path),
        facts=_read_facts(path / "run.json"),
    )


def read_sample_frames(path: Path) -> tuple[SampleFrame, ...]:
    """The lines of OUT/frames/index.csv."""
    return tuple(_read(path / "frames" / "index.csv", SampleFrame))


def encoder_name(codec: str, preset: str) -> str:
    """As in "x264 medium" or "SVT-AV1 preset 6"."""
    name = _ENCODER_NAMES.get(codec, codec)
    return f"{name} preset {preset}" if preset.isdigit() else f"{name} {preset}".rstrip()


def by_quality(quality: str) -> tuple[float, str]:
    """Sort key of qualities: as numbers where they are."""
    try:
        return (float(quality), quality)
    except ValueError:
        return (math.inf, quality)


_Row = TypeVar("_Row")


def _read(path: Path, row_type: Callable[..., _Row]) -> Iterator[_Row]:
    if not path.is_file():
        return
    parsers = {column.name: _PARSERS[str(column.type)] for column in fields(row_type)}  # type: ignore[arg-type]
    with path.open(newline="", encoding="utf-8") as file:
        for line in (reader := csv.DictReader(file)):
            try:
                yield row_type(**{name: parse(line[name] or "") for name, parse in parsers.items() if name in line})
            except (TypeError, ValueError) as error:
                raise SourceError(f"{path}, line {reader.line_num}: {error}") from error


def _optional(text: str) -> float | None:
    return float(text) if text else None


_PARSERS: dict[str, Callable[[str], object]] = {"str": str, "int": int, "float": float, "float | None": _optional}


def _read_facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise SourceError(f"{path}: holds a {type(facts).__name__}; an object is wanted")
    return facts
