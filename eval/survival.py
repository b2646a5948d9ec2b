# SPDX-License-Identifier: MIT
"""What of a video beside its samples survives: sources of every kind -> encode -> decode -> ffmpeg, in a table.

    source (made here, or named) -> .c3v -> .mkv, .mov, .nut, .y4m
                                         -> pipe of Matroska -> ffmpeg -> H.264 in .mkv

Each file is read again and compared with the source: time stamps (to half a millisecond, which is what ffmpeg's
Matroska rounds to), colour, range, chroma location, aspect, HDR, field order, rotation.

    python -m eval.survival --out eval/results/survival.md [FILE ...]
"""

from __future__ import annotations

import argparse
import logging
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.video.stream import VideoStream

import c3video
from c3video.errors import C3VideoError
from c3video.media.orientation import display_matrix
from c3video.media.sink import make_sink, open_sink
from c3video.media.source import open_source
from c3video.video import VideoFormat

WAYS = (".c3v", ".mkv", ".mov", ".nut", ".y4m", "ffmpeg")
FFMPEG = "-fps_mode vfr -c:v libx264 -preset ultrafast"
_UNEVEN = (0, 1, 3, 6, 7, 9)
_HDR = (
    "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)


@dataclass(frozen=True)
class Look:
    """What is compared of a file: its format, and when its frames are shown, in seconds."""

    format: VideoFormat
    times: tuple[Fraction, ...]


PROPERTIES: dict[str, Callable[[Look], Any]] = {
    "times": lambda look: look.times,
    "colour": lambda look: (look.format.color_primaries, look.format.color_trc, look.format.color_space),
    "range": lambda look: look.format.color_range,
    "chroma location": lambda look: look.format.chroma_location,
    "aspect": lambda look: look.format.sample_aspect_ratio,
    "HDR": lambda look: (look.format.mastering_display, look.format.content_light),
    "field order": lambda look: look.format.field_order,
    "rotation": lambda look: (look.format.rotation, look.format.mirrored),
}
_UNKNOWN: dict[str, tuple[Any, ...]] = {
    "colour": ((2, 2, 2), (2, 2, 0)),
    "range": (0,),
    "chroma location": (0,),
    "aspect": (0, 1),
    "HDR": ((None, None),),
    "field order": (0, 1),
    "rotation": ((0, False),),
}
"""Values that a source may lose: they say nothing, or what is taken where nothing is said."""


def make_video(
    path: Path,
    codec: str,
    pix_fmt: str,
    *,
    times: Sequence[int] = range(6),
    options: dict[str, str] | None = None,
    rate: Fraction = Fraction(25),
    matrix: tuple[int, ...] | None = None,
    audio: bool = False,
    **context: Any,
) -> Path:
    """A few small pictures with a square that moves over them.

    Args:
        times: of the frames, in units of 1 / rate.
        matrix: display matrix.
        context: attributes of the encoder.
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if matrix is not None:
            stream.set_display_matrix(list(matrix))
        sound: Any = output.add_stream("aac", rate=48_000) if audio else None
        for index, time in enumerate(times):
            pixels = np.full((64, 96, 3), 60, np.uint8)
            pixels[20:40, 10 * index + 5 : 10 * index + 25] = (200, 120, 40)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, 1 / rate
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = 48_000, 0
            output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
    return path


def make_sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """Sources of every kind, by what is special about them."""
    colours: dict[str, Any] = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 1}
    yield (
        "H.264 mp4, BT.709, variable rate",
        make_video(folder / "vfr.mp4", "libx264", "yuv420p", times=_UNEVEN, **colours),
    )
    yield (
        "the same, portrait, with audio",
        make_video(
            folder / "phone.mp4",
            "libx264",
            "yuv420p",
            times=_UNEVEN,
            matrix=display_matrix(90, False),
            audio=True,
            **colours,
        ),
    )
    yield (
        "HEVC mkv, 10 bits, HDR10",
        make_video(folder / "hdr.mkv", "libx265", "yuv420p10le", options={"x265-params": _HDR}),
    )
    yield (
        "H.264 mkv, top field first",
        make_video(folder / "fields.mkv", "libx264", "yuv420p", options={"x264-params": "tff=1"}),
    )
    yield (
        "MPEG-2 of 29.97 Hz, no container, aspect 8:9",
        make_video(
            folder / "bare.m2v",
            "mpeg2video",
            "yuv420p",
            rate=Fraction(30_000, 1001),
            sample_aspect_ratio=Fraction(8, 9),
        ),
    )
    yield (
        "H.264 of 29.97 Hz, no container",
        make_video(folder / "bare.h264", "libx264", "yuv420p", rate=Fraction(30_000, 1001)),
    )
    yield (
        "HEVC of 60 Hz, no container",
        make_video(
            folder / "bare.hevc",
            "libx265",
            "yuv420p",
            rate=Fraction(60),
            options={"x265-params": "log-level=error"},
        ),
    )
    yield "FFV1 mkv, RGB", make_video(folder / "rgb.mkv", "ffv1", "bgr0")
    yield "VP9 webm with alpha", make_video(folder / "alpha.webm", "libvpx-vp9", "yuva420p")
    yield "GIF", make_video(folder / "opaque.gif", "gif", "rgb8")


def look_at(path: Path, frames: tuple[int, int | None] | None = None) -> Look:
    """The format of a file and the times of its frames."""
    with open_source(path, frames=frames) as source:
        times = tuple(frame.pts * source.format.time_base for frame in source)
    return Look(source.format, times)


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What the package logs meanwhile."""
    said: list[str] = []

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger("c3video"), _Handler()
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def results_of(source: Path, frames: tuple[int, int | None], folder: Path) -> tuple[dict[str, Look | str], list[str]]:
    """What each way makes of a source, an error in place of a look, and what was said of the source."""
    found: dict[str, Look | str] = {}
    coded = folder / "coded.c3v"
    with warnings() as said:
        found["source"] = look_at(source, frames)
        c3video.encode(source, coded, preset="ultrafast", frames=frames)
    with warnings(), c3video.open(coded) as clip:
        decoded = list(clip)
        format = clip.format
    found[".c3v"] = Look(format, tuple(frame.pts * format.time_base for frame in decoded))
    for way in (".mkv", ".mov", ".nut", ".y4m"):
        path = folder / f"decoded{way}"
        try:
            with warnings(), open_sink(path, format) as sink:
                for frame in decoded:
                    sink.write(frame)
            found[way] = look_at(path)
        except C3VideoError as error:
            found[way] = str(error)
    if ffmpeg := shutil.which("ffmpeg"):
        path = folder / "through.mkv"
        command = [ffmpeg, "-y", "-v", "error", "-i", "-", *shlex.split(FFMPEG), str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            with make_sink(cast(BinaryIO, process.stdin), "matroska", format, close_file=True) as sink:
                for frame in decoded:
                    sink.write(frame)
        found["ffmpeg"] = look_at(path) if process.returncode == 0 else f"ffmpeg ended with {process.returncode}"
    return found, said


def cell(name: str, source: Look, found: Look | str | None) -> str:
    """One entry of the table: "-" where the source has nothing to lose."""
    value = PROPERTIES[name](source)
    if value in _UNKNOWN.get(name, ()):
        return "-"
    if found is None:
        return "not tried"
    if isinstance(found, str):
        return "refused"
    other = PROPERTIES[name](found)
    if name == "times":
        mine, theirs = ([time - times[0] for time in times] for times in (value, other))
        same = len(mine) == len(theirs) and all(
            abs(a - b) <= Fraction(1, 2000) for a, b in zip(mine, theirs, strict=True)
        )
    else:
        same = value == other
        sizes = [(look.format.width, look.format.height) for look in (source, found)]
        if name == "rotation" and other == (0, False) and sizes[0] == sizes[1][::-1]:
            return "applied"
    return "yes" if same else "no"


def table(rows: Sequence[tuple[str, dict[str, Look | str], list[str]]]) -> str:
    """Markdown: a row for each source and property that it has."""
    lines = [f"| source | what it has | {' | '.join(WAYS)} |", "|---" * (len(WAYS) + 2) + "|"]
    for name, found, said in rows:
        source = found["source"]
        assert isinstance(source, Look)
        for property in PROPERTIES:
            cells = [cell(property, source, found.get(way)) for way in WAYS]
            if set(cells) != {"-"}:
                lines.append(f"| {name} | {property} | {' | '.join(cells)} |")
        words = " ".join(said)
        for kind, part in (("audio", "audio; to bring"), ("alpha", "transparency"), ("dynamic HDR", "dynamic HDR")):
            if part in words or (kind == "audio" and ", audio" in words):
                lines.append(f"| {name} | {kind} | {' | '.join(['said to be left out'] + ['-'] * (len(WAYS) - 1))} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Make the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="sources besides those that are made")
    parser.add_argument("--out", type=Path, metavar="MD", help="Markdown file (default: standard output)")
    parser.add_argument("--most-frames", type=int, default=6, metavar="N", help="of each source (default 6)")
    arguments = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [*make_sources(folder), *((path.name, path) for path in arguments.files)]
        for title, path in sources:
            print(title, file=sys.stderr)
            found, said = results_of(path, (0, arguments.most_frames), folder)
            rows.append((title, found, [words for words in said if "were asked for" not in words]))
    files = f", the first {arguments.most_frames} frames of each source"
    if arguments.files:
        files += f", with {len(arguments.files)} files of phones and broadcasters besides"
    text = HEAD.format(ffmpeg=FFMPEG, files=files) + table(rows) + "\n"
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text)
    return 0


HEAD = """# What survives

What of a source beside its samples is still there in the `.c3v` stream, in what `c3v decode` makes of it, and after

    c3v decode IN.c3v -o - -f matroska | ffmpeg -i - {ffmpeg} OUT.mkv

as read by FFmpeg. Made by `python -m eval.survival --out eval/results/survival.md`{files}.

`yes`: the same as in the source; `applied`: the pictures were turned; `no`: lost or changed, which `c3v decode` says
where the container is to blame; `refused`: that container cannot carry the samples, and says so; `-`: nothing was there
to lose. What H.264 of `ffmpeg` lacks it can be given by further options: all that reaches it is in the column `.mkv`.

"""

if __name__ == "__main__":
    sys.exit(main())
