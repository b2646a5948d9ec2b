# SPDX-License-Identifier: MIT
"""`make demo`: a real clip to .c3v and back, with the real commands through real pipes, every frame checked.

    clip -> c3v encode -> demo/out.c3v -> c3v decode -o - -> demo/out.y4m
                                                          -> ffmpeg -i -   (where it is installed)

Prints size, quality and seconds beside what x264 and x265 give at that size, and leaves the files for a look.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import c3video
from c3video.errors import C3VideoError
from c3video.media.source import RgbConverter, open_source
from c3video.metrics import Comparison, compare
from c3video.stream.layout import Segment
from c3video.stream.reader import Reader
from c3video.video import Frame, VideoFormat, frame_hash
from eval import classic

CLIP = Path(__file__).resolve().parent.parent / "pipelines" / "clips" / "bunny_320x180.mkv"
CREDIT = "Big Buck Bunny, (c) copyright 2008, Blender Foundation / www.bigbuckbunny.org, CC BY 3.0"

_PIPE_CHUNK_BYTES = 1 << 16
_PICTURE_SCALE = 2
_LABEL_HEIGHT = 36
_LABEL_FONT_SIZE = 20


class DemoError(Exception):
    """A step of the demo went wrong; the message is one line."""


@dataclass(frozen=True)
class Row:
    """One line of the table of results. Seconds: see the note under the table."""

    name: str
    quality: Comparison
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class PipeTimes:
    """Seconds from the start of `c3v decode` to its first output and to its end."""

    first_byte_seconds: float
    whole_seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code, 1 if a step or a check failed."""
    parser = argparse.ArgumentParser(prog="python -m eval.demo", description="Encode a clip, decode it, check it.")
    parser.add_argument("--clip", type=Path, default=CLIP, help="another clip than the one in the repository")
    parser.add_argument("--preset", default="fast", help="of c3v encode (default: fast)")
    parser.add_argument("--rd-weight", default="1e-3", help="of c3v encode (default: 1e-3)")
    parser.add_argument("--seed", type=int, default=0, help="of c3v encode (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results (default: demo)")
    options = parser.parse_args(arguments)
    try:
        run(options.clip, options.out, preset=options.preset, rd_weight=options.rd_weight, seed=options.seed)
    except (C3VideoError, DemoError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    return 0


def run(clip: Path, out: Path, *, preset: str, rd_weight: str, seed: int) -> None:
    """The whole demo, in the order in which it is printed.

    Raises:
        DemoError: a command failed, or a decoded frame is not what it should be.
        C3VideoError: see c3video.errors.
    """
    out.mkdir(parents=True, exist_ok=True)
    stream, played, picture = out / "out.c3v", out / "out.y4m", out / "compare.png"
    with open_source(clip) as source:
        format, frames = source.format, list(source)
    _say(f"Clip      {_short(clip)}: {len(frames)} frames of {format.width}x{format.height} {format.pix_fmt}")
    if clip == CLIP:
        _say(f"          {CREDIT}")

    encode_command = [
        "encode",
        "-y",
        str(clip),
        str(stream),
        "--preset",
        preset,
        "--rd-weight",
        rd_weight,
        "--seed",
        str(seed),
    ]
    _say(f"\nEncode    $ {_shown(encode_command)}")
    started = time.perf_counter()
    if subprocess.run(_c3v(encode_command), check=False).returncode:
        raise DemoError("c3v encode failed; its message is above")
    encode_seconds = time.perf_counter() - started
    _say(f"          {stream.stat().st_size} bytes in {encode_seconds:.1f} s")

    decode_command = ["decode", str(stream), "-o", "-"]
    _say(f"\nDecode    $ {_shown(decode_command)} > {played}")
    times = decode_through_pipe(decode_command, played)
    _say(f"          first bytes after {times.first_byte_seconds:.2f} s, all {times.whole_seconds:.2f} s")
    started = time.perf_counter()
    with c3video.open(stream) as decoder:
        decoded = list(decoder)
    decode_seconds = time.perf_counter() - started

    _say("\nChecks")
    check_frames(stream, played, frames, decoded)
    _say(f"  ok      {len(decoded)} frames from the pipe have the hashes that {stream.name} carries")
    _say(f"  ok      {len(decoded)} frames from the pipe equal those of c3video.open({stream.name!r})")
    if shutil.which("ffmpeg"):
        check_ffmpeg(decode_command, decoded)
        _say(f"  ok      {len(decoded)} frames equal after: c3v decode {stream.name} -o - | ffmpeg -i - ...")
    else:
        _say("  skipped ffmpeg is not installed, so the stream was not played through it")

    quality = compare(clip, stream)
    rows = [Row(f"c3v {preset}", quality, encode_seconds, decode_seconds)]
    for codec in ("x264", "x265"):
        encoded, at_size = classic.at_size(frames, format, codec, stream.stat().st_size)
        name = f"{codec} {encoded.preset}, crf {encoded.crf:g}"
        rows.append(Row(name, at_size, encoded.encode_cpu_seconds, encoded.decode_cpu_seconds))
    _say(f"\nResults   x264 and x265 at the size of {stream.name}, or as near as their crf comes\n")
    print_table(rows)
    _say(
        "\n  PSNR in dB, mean over frames; 611 is (6 Y + U + V) / 8. c3v: bytes of the whole file;\n"
        "  seconds by the clock, of encoding with the start of the command, of decoding without.\n"
        "  x264 and x265, through PyAV: bytes of the elementary stream without its version text; CPU\n"
        "  seconds of one thread."
    )
    middle = len(frames) // 2
    save_picture(picture, frames[middle], decoded[middle], format, middle, quality)
    _say(f"\nFiles     {stream}  {played}  {picture} (frame {middle}, source beside decoded)")


def decode_through_pipe(command: Sequence[str], y4m_path: Path) -> PipeTimes:
    """Run a `c3v` command and write what comes out of its pipe to a file, as it comes.

    Raises:
        DemoError: the command failed.
    """
    started = time.perf_counter()
    first_byte_seconds = None
    with subprocess.Popen(_c3v(command), stdout=subprocess.PIPE) as process, y4m_path.open("wb") as file:
        for chunk in _chunks(process.stdout):
            if first_byte_seconds is None:
                first_byte_seconds = time.perf_counter() - started
            file.write(chunk)
    if process.returncode or first_byte_seconds is None:
        raise DemoError(f"c3v decode failed with exit code {process.returncode}")
    return PipeTimes(first_byte_seconds, time.perf_counter() - started)


def check_frames(stream: Path, played: Path, source: Sequence[Frame], decoded: Sequence[Frame]) -> None:
    """Hold the frames of the pipe against the hashes in the stream and against those of the decoder's API.

    Raises:
        DemoError: names the first frame that differs.
    """
    with stream.open("rb") as file:
        hashes: list[int] = []
        for segment in Reader(file).segments(0, None):
            assert isinstance(segment, Segment)  # damage raises, since no concealment was asked for
            hashes += segment.frame_hashes
    with open_source(played) as clip:
        piped = list(clip)
    counts = {"source": len(source), "hashes": len(hashes), "pipe": len(piped), "c3video.open": len(decoded)}
    if len(set(counts.values())) != 1:
        raise DemoError("frames are missing: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    for index, (frame, hashed, same) in enumerate(zip(piped, hashes, decoded, strict=True)):
        if frame_hash(frame.planes) != hashed:
            raise DemoError(f"frame {index} from the pipe does not have the hash in {stream}")
        if not all(np.array_equal(a, b) for a, b in zip(frame.planes, same.planes, strict=True)):
            raise DemoError(f"frame {index} from the pipe differs from that of c3video.open")


def check_ffmpeg(command: Sequence[str], decoded: Sequence[Frame]) -> None:
    """Pipe a `c3v decode` into ffmpeg and hold the raw frames that come out against `decoded`.

    Raises:
        DemoError: a command failed, or names the first frame that differs.
    """
    ffmpeg = ["ffmpeg", "-v", "error", "-i", "-", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    with (
        subprocess.Popen(_c3v(command), stdout=subprocess.PIPE) as c3v,
        subprocess.Popen(ffmpeg, stdin=c3v.stdout, stdout=subprocess.PIPE) as player,
    ):
        assert c3v.stdout is not None
        assert player.stdout is not None
        c3v.stdout.close()  # ffmpeg holds the reading end; c3v must notice if it goes
        for index, frame in enumerate(decoded):
            expected = b"".join(plane.tobytes() for plane in frame.planes)
            if player.stdout.read(len(expected)) != expected:
                raise DemoError(f"frame {index} is not the same after ffmpeg")
        rest = player.stdout.read()
    if rest or player.returncode or c3v.returncode:
        raise DemoError(
            f"c3v decode | ffmpeg: exit codes {c3v.returncode} and {player.returncode}, {len(rest)} bytes too many"
        )


def print_table(rows: Sequence[Row]) -> None:
    """Figures of several encodes of one YUV clip, one a line."""
    header = ("", "bytes", "bpp", "PSNR Y", "U", "V", "611", "SSIM", "encode s", "decode s")
    lines: list[tuple[str, ...]] = [header]
    for row in rows:
        q = row.quality
        psnrs = (_figure(value, 2) for value in (q.psnr_y, q.psnr_u, q.psnr_v, q.psnr_yuv611))
        seconds = (f"{row.encode_seconds:.2f}", f"{row.decode_seconds:.3f}")
        lines.append((row.name, str(q.size_bytes), _figure(q.bpp, 4), *psnrs, _figure(q.ssim, 4), *seconds))
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        _say("  " + "  ".join(cells))


def save_picture(
    path: Path, source: Frame, decoded: Frame, format: VideoFormat, index: int, quality: Comparison
) -> None:
    """Write a PNG with the source at the left and the decoded frame at the right, twice their size, labelled.

    Args:
        index: number of the frame in the clip, for the label.
        quality: of the whole clip, for the label.
    """
    width, height = format.width * _PICTURE_SCALE, format.height * _PICTURE_SCALE
    gap = _PICTURE_SCALE * 2
    sheet = Image.new("RGB", (2 * width + gap, height + _LABEL_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_LABEL_FONT_SIZE)
    labels = (
        f"source, frame {index}",
        f"c3v: {_figure(quality.bpp, 3)} bpp, {_figure(quality.psnr_yuv611, 2)} dB (clip, 6:1:1)",
    )
    for number, (frame, label) in enumerate(zip((source, decoded), labels, strict=True)):
        left = number * (width + gap)
        rgb = Image.fromarray(_as_rgb_array(frame, format))
        # Nearest neighbour: the picture is there to show the samples as they are.
        sheet.paste(rgb.resize((width, height), Image.Resampling.NEAREST), (left, _LABEL_HEIGHT))
        draw.text((left + 6, (_LABEL_HEIGHT - _LABEL_FONT_SIZE) // 2 - 2), label, fill="black", font=font)
    sheet.save(path)


def _as_rgb_array(frame: Frame, format: VideoFormat) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, 8 bits."""
    green, blue, red = RgbConverter(format)(frame).planes
    return (np.stack((red, green, blue), axis=-1) >> (format.layout.bit_depth - 8)).astype(np.uint8)


def _chunks(pipe: IO[bytes] | None) -> Iterator[bytes]:
    assert pipe is not None  # the process was started with a pipe
    while chunk := os.read(pipe.fileno(), _PIPE_CHUNK_BYTES):
        yield chunk


def _c3v(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "c3video", *command]  # the `c3v` of this environment, on PATH or not


def _shown(command: Sequence[str]) -> str:
    return "c3v " + shlex.join(_short(Path(word)) if os.path.isabs(word) else word for word in command)


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _say(line: str) -> None:
    print(line, flush=True)  # c3v writes to the same terminal in between


if __name__ == "__main__":
    sys.exit(main())
