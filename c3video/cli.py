# SPDX-License-Identifier: MIT
"""The command `c3v`: parse arguments, make one call, choose an exit code.

stdout is only ever data; words go to stderr. Exit codes: 0 done, 1 one of our errors (one line), 2 usage,
130 interrupted. A closed pipe is not an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from c3video import __version__
from c3video.config import PRESETS, PROFILES
from c3video.errors import C3VideoError, ConfigError

if TYPE_CHECKING:
    from c3video.encoder import EncodeProgress

_EXAMPLES = """examples:
  c3v encode in.mp4 out.c3v --preset fast --rd-weight 1e-3
  ffmpeg -i in.mp4 -c:v ffv1 -f matroska - | c3v encode - out.c3v
  c3v encode frame_%03d.png out.c3v --fps 24
  c3v encode raw.yuv out.c3v --size 352x288 --pix-fmt yuv420p --fps 30
  c3v decode out.c3v -o out.mkv
  c3v decode out.c3v -o - -f matroska | ffplay -
  c3v decode out.c3v -o - -f matroska | ffmpeg -i - -c:v libx264 play.mp4
  c3v info out.c3v
  c3v compare in.mp4 out.c3v
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        # Whoever read our output has seen enough. Keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except C3VideoError as error:
        _say(f"c3v: {error}")
    except OSError as error:
        _say(f"c3v: {error.filename or 'input/output'}: {error.strerror or error}")
    except KeyboardInterrupt:
        _say("c3v: interrupted; segments that were finished are in the file, which is a valid stream")
        return 130
    return 1


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def _say_if_slow() -> None:
    from c3video import native

    if not native.available():
        _say(
            "c3v: note: the C++ extension was not built (C3VIDEO_NATIVE=0) or is left out (C3VIDEO_ISA=none);"
            " this works, but is tens to hundreds of times slower"
        )


def _encode(arguments: argparse.Namespace) -> None:
    import torch

    from c3video.api import encode

    _say_if_slow()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with _encode_bar() as report:
        reports = encode(
            arguments.input,
            arguments.output,
            profile=arguments.profile,
            preset=arguments.preset,
            rd_weight=arguments.rd_weight,
            patch_size=arguments.patch,
            segment_frames=arguments.segment,
            scene_cuts=arguments.scene_cuts,
            frames=arguments.frames,
            **_times(arguments),
            stream=arguments.stream,
            rotate=arguments.rotate,
            strict=arguments.strict,
            seed=arguments.seed,
            device=arguments.device,
            size=arguments.size,
            pix_fmt=arguments.pix_fmt,
            fps=arguments.fps,
            report=report,
        )
    for segment in reports:
        for note in segment.notes:
            _say(f"segment {segment.number}: {note}")
    num_bytes = sum(segment.size_bytes for segment in reports)
    estimated_bytes = sum(segment.estimated_bits for segment in reports) / 8
    parts: dict[str, float] = {}
    for segment in reports:
        for name, bits in segment.bits.items():
            parts[name] = parts.get(name, 0.0) + bits / 8
    _say(
        f"{sum(s.num_frames for s in reports)} frames, {len(reports)} segments, {num_bytes} bytes in segments "
        f"(fits estimated {estimated_bytes:.0f}); bytes by part: "
        + ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
    )


@contextlib.contextmanager
def _encode_bar() -> Iterator[Callable[[EncodeProgress], None]]:
    """A progress bar over all fitting steps on stderr, silent when that is no terminal."""
    from tqdm import tqdm

    with _interrupts() as interrupted, tqdm(unit="step", disable=None, dynamic_ncols=True, smoothing=0.05) as bar:

        def report(progress: EncodeProgress) -> None:
            if interrupted:
                raise KeyboardInterrupt
            if bar.disable:
                return
            fit, of = progress.fit, progress.num_patches
            if progress.num_segments is not None:
                bar.total = progress.num_segments * of * fit.num_steps
            bar.n = (progress.segment * of + progress.patch) * fit.num_steps + fit.step
            segment = f"{progress.segment + 1}/{progress.num_segments or '?'}"
            patch = f" patch {progress.patch + 1}/{of}" if of > 1 else ""
            bar.set_description(f"segment {segment}{patch} {fit.stage}", refresh=False)
            bar.set_postfix_str(f"{fit.psnr_db:.2f} dB {fit.bpp:.4f} bpp", refresh=False)
            bar.update(0)

        yield report


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Remembers Ctrl-C: the exception may come where a library's callback swallows it. Non-empty once it came."""
    seen: list[int] = []

    def remember(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # a background job that ignores Ctrl-C goes on ignoring it
        signal.signal(signal.SIGINT, remember)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _decode(arguments: argparse.Namespace) -> None:
    import c3video.decoder
    from c3video.media.orientation import Upright
    from c3video.media.selection import Selection
    from c3video.media.sink import container_of, open_sink

    if not arguments.verify and arguments.output is None:
        raise ConfigError("decode needs -o OUT.mkv, -o OUT.y4m or -o - for a pipe (or --verify to write nothing)")
    container = container_of(arguments.output, arguments.format) if arguments.output else None
    times = _times(arguments)
    by_frame = arguments.frames is not None or any(time is not None for time in times.values())
    if by_frame and arguments.segments is not None:
        raise ConfigError("--segments cannot be combined with --frames, --start, --end and --duration")
    selection = Selection.of_options(arguments.frames, **times)
    _say_if_slow()
    first, last = arguments.segments or (0, None)
    num_frames = 0
    with c3video.decoder.open(
        arguments.input, threads=arguments.threads, conceal=arguments.conceal, engine=arguments.engine
    ) as clip:
        turn = Upright(clip.format) if arguments.rotate else None
        with contextlib.ExitStack() as stack:
            sink = None
            if container is not None:
                format = turn.format if turn else clip.format
                sink = stack.enter_context(open_sink(arguments.output, format, container=container))
            frames = clip.select(selection, arguments.input) if by_frame else clip.frames(first, last)
            for frame in frames:
                num_frames += 1
                if sink is not None:
                    sink.write(turn(frame) if turn else frame)
        for error in clip.lost:
            _say(f"c3v: concealed: {error}")
    if arguments.verify:
        _say(f"{arguments.input}: {num_frames} frames, every hash matches")


def _times(arguments: argparse.Namespace) -> dict[str, Fraction | None]:
    """Start and end in seconds, of --start and --end or --duration. Raises ConfigError for both of the latter."""
    start, end = arguments.start, arguments.end
    if arguments.duration is not None:
        if end is not None:
            raise ConfigError("--end and --duration say the same: leave one of them out")
        end = (start or 0) + arguments.duration
    return {"start": start, "end": end}


def _add_times(command: argparse.ArgumentParser) -> None:
    command.add_argument("--frames", type=_range, metavar="A:B", help="only frames A to B-1, counted from 0")
    command.add_argument("--start", type=_time, metavar="TIME", help="only frames this long after the first, and later")
    command.add_argument("--end", type=_time, metavar="TIME", help="only frames before this time after the first")
    command.add_argument("--duration", type=_time, metavar="TIME", help="in place of --end: how much after --start")


def _info(arguments: argparse.Namespace) -> None:
    import c3video.decoder

    with c3video.decoder.open(arguments.input) as clip:
        facts = _describe(clip, os.path.getsize(arguments.input) if arguments.input != "-" else None)
    if arguments.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        _print_facts(facts)


def _describe(clip: Any, size_bytes: int | None) -> dict[str, Any]:
    """Header, segments and bits by part of a stream, as plain values."""
    from c3video.decoder import describe_segment
    from c3video.stream.layout import describe

    segments: list[dict[str, Any]] = []
    total: dict[str, float] = {}
    for segment in clip.coded_segments():
        found = describe_segment(clip.header, segment)
        parts = dict(found.bits)
        parts["frame table"] = 8.0 * (segment.size_bytes - sum(map(len, segment.patches)))
        for name, bits in parts.items():
            total[name] = total.get(name, 0.0) + bits
        segments.append(
            {
                "number": segment.number,
                "num_frames": len(segment.pts),
                "first_pts": segment.pts[0],
                "size_bytes": segment.size_bytes,
                "bits": {name: round(bits, 1) for name, bits in parts.items()},
                **found.facts,
                "summary": found.summary,
            }
        )
    num_frames = sum(segment["num_frames"] for segment in segments)
    video = clip.format
    facts = {
        "header": describe(clip.header),
        "num_frames": num_frames,
        "size_bytes": size_bytes,
        "bits": {name: round(bits, 1) for name, bits in total.items()},
        "segments": segments,
    }
    if size_bytes is not None and num_frames:
        facts["bpp"] = 8 * size_bytes / (num_frames * video.width * video.height)
    return facts


def _print_facts(facts: dict[str, Any]) -> None:
    print("header")
    for name, value in facts["header"].items():
        print(f"  {name:24} {value}")
    size = facts["size_bytes"]
    bpp = f", {facts['bpp']:.4f} bpp" if "bpp" in facts else ""
    print(f"{facts['num_frames']} frames in {len(facts['segments'])} segments, {size or '?'} bytes{bpp}")
    print("bits by part")
    whole = sum(facts["bits"].values()) or 1.0
    for name, bits in facts["bits"].items():
        print(f"  {name:24} {bits:12.0f} {100 * bits / whole:6.1f}%")
    print("segments")
    for segment in facts["segments"]:
        print(
            f"  {segment['number']:4}  {segment['num_frames']:4} frames  first pts {segment['first_pts']:8}"
            f"  {segment['size_bytes']:8} bytes  {segment['summary']}"
        )


def _compare(arguments: argparse.Namespace) -> None:
    from c3video.metrics import compare

    result = compare(arguments.reference, arguments.distorted)
    if arguments.json:
        json.dump(result.as_dict(), sys.stdout, indent=2)
        print()
    else:
        print(result.as_text())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="c3v",
        description="Neural video codec that is overfit to each clip; decodes exactly, on every machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"c3v {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    encode = commands.add_parser("encode", help="video -> .c3v", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    encode.set_defaults(run=_encode)
    encode.add_argument("input", help="what FFmpeg can open, or - for standard input")
    encode.add_argument("output", help=".c3v file, or - for standard output")
    encode.add_argument(
        "--profile",
        choices=PROFILES,
        default="default",
        help="the model: " + "; ".join(f"'{name}' {profile.about}" for name, profile in PROFILES.items()),
    )
    encode.add_argument(
        "--preset",
        choices=PRESETS,
        default="medium",
        help="how long to fit; slower is better at the same rate",
    )
    encode.add_argument(
        "--rd-weight",
        type=float,
        default=1e-3,
        metavar="W",
        help="weight of rate; larger is smaller: 1e-4 .. 1e-2",
    )
    encode.add_argument(
        "--patch",
        type=_patch,
        metavar="HxW",
        help="largest patch of the profiles cells and paper, in luma samples (default 288x352)",
    )
    encode.add_argument("--segment", type=_positive, default=32, metavar="N", help="most frames a segment")
    encode.add_argument(
        "--no-scene-cuts",
        dest="scene_cuts",
        action="store_false",
        help="let segments run on where a scene changes (without it they end there)",
    )
    _add_times(encode)
    encode.add_argument("--stream", type=_number, metavar="N", help="video stream of the container (default: the best)")
    encode.add_argument("--rotate", action="store_true", help="turn pictures upright that are stored on their side")
    encode.add_argument("--strict", action="store_true", help="stop where the source is damaged (default: warn, go on)")
    encode.add_argument("--seed", type=int, default=0, help="of initial weights and noise")
    encode.add_argument("--device", default="cpu", help="where the profiles cells and paper fit: cpu, cuda, cuda:1")
    encode.add_argument("--threads", type=_positive, metavar="N", help="CPU threads of the fit (default: all)")
    raw = encode.add_argument_group("headerless raw video")
    raw.add_argument("--size", type=_size, metavar="WxH", help="frame size, width first as in FFmpeg")
    raw.add_argument("--pix-fmt", metavar="NAME", help="pixel format: yuv420p, yuv444p10le, gbrp ...")
    raw.add_argument("--fps", type=_fps, metavar="N[/D]", help="frames a second (default 25)")

    decode = commands.add_parser("decode", help=".c3v -> Matroska, NUT, MOV, y4m or raw YUV")
    decode.set_defaults(run=_decode)
    decode.add_argument("input", help=".c3v file, or - for standard input")
    decode.add_argument("-o", "--output", help="OUT.mkv, .nut, .mov, .y4m, .yuv (raw planes) or - for a pipe")
    decode.add_argument(
        "-f",
        "--format",
        metavar="NAME",
        help="container: matroska (keeps all), nut, mov, y4m (what a pipe gets if not told) or raw",
    )
    _add_times(decode)
    decode.add_argument("--rotate", action="store_true", help="turn pictures upright that are stored on their side")
    decode.add_argument("--segments", type=_range, metavar="A:B", help="only segments A to B-1")
    decode.add_argument("--verify", action="store_true", help="check every frame against its hash and say so")
    decode.add_argument("--conceal", action="store_true", help="go on after damage; lost frames are left out")
    decode.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, metavar="N", help="to decode with")

    decode.add_argument("--engine", choices=["native", "numpy"], help="default: native where it was built; same pixels")

    info = commands.add_parser("info", help="header, segments and bits by part of a .c3v")
    info.set_defaults(run=_info)
    info.add_argument("input", help=".c3v file, or - for standard input")
    info.add_argument("--json", action="store_true", help="for programs")

    compare = commands.add_parser("compare", help="PSNR, SSIM and bpp of a .c3v (or any video) against its source")
    compare.set_defaults(run=_compare)
    compare.add_argument("reference", help="the source")
    compare.add_argument("distorted", help=".c3v file, or any video")
    compare.add_argument("--json", action="store_true", help="for programs")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return value


def _pair(text: str, form: str) -> tuple[int, int]:
    first, separator, second = text.lower().partition("x")
    if not (separator and first.isdigit() and second.isdigit() and int(first) and int(second)):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like {form}")
    return int(first), int(second)


def _size(text: str) -> tuple[int, int]:
    return _pair(text, "352x288 (width x height)")


def _patch(text: str) -> tuple[int, int]:
    return _pair(text, "180x240 (height x width)")


def _range(text: str) -> tuple[int, int | None]:
    first, separator, last = text.partition(":")
    if not separator or not (first or "0").isdigit() or not (last or "1").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 0:32, 16: or :8")
    start, end = int(first or 0), int(last) if last else None
    if end is not None and end <= start:
        raise argparse.ArgumentTypeError(f"{text!r}: the end must be above the start")
    return start, end


def _number(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: must be 0 or more")
    return int(text)


def _time(text: str) -> Fraction:
    """Seconds, or hours, minutes and seconds with colons."""
    try:
        parts = [Fraction(part) for part in text.split(":")]
        if not 1 <= len(parts) <= 3 or min(parts) < 0:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 12.5 or 1:02:03.25") from None
    return sum((part * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))


def _fps(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 25, 29.97 or 30000/1001")
    return value
