# SPDX-License-Identifier: MIT
"""The command `c3v`: parse arguments, make one call, choose an exit code.

stdout is only ever data; words go to stderr. Exit codes: 0 done, 1 one of our errors (one line), 2 usage, 128 + its
number for a signal that ended the work (130 for Ctrl-C). A closed pipe is not an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from c3video import __version__
from c3video.c3.config import WINDOW_SEARCHES
from c3video.config import PRESETS, PROFILES
from c3video.errors import C3VideoError, ConfigError, StreamError

if TYPE_CHECKING:
    from c3video.decoder import Decoder
    from c3video.encoder import EncodeProgress, EncodeReport
    from c3video.media.selection import Selection
    from c3video.output import Overwrite
    from c3video.video import Frame, VideoFormat

_EXAMPLES = """examples:
  c3v encode in.mp4 out.c3v --preset fast --crf 30
  c3v encode film.mkv film.c3v --target-size 700M   # again with --resume after an interruption
  ffmpeg -i in.mp4 -c:v ffv1 -f matroska - | c3v encode - out.c3v
  c3v encode frame_%03d.png out.c3v --fps 24
  c3v encode raw.yuv out.c3v --size 352x288 --pix-fmt yuv420p --fps 30
  c3v decode out.c3v -o out.mkv
  c3v decode out.c3v -o - -f matroska | ffplay -
  c3v decode out.c3v -o - -f matroska | ffmpeg -i - -c:v libx264 play.mp4
  c3v info out.c3v
  c3v compare in.mp4 out.c3v
"""

MAX_THREADS = 256
"""More than any machine of now has use for, fewer than what makes operating systems refuse."""

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    _occupy_closed_descriptors()
    try:
        with _stop_signals() as caught:
            arguments = _parser().parse_args(argv)
            arguments.caught = caught
            with _logging_to(_say, arguments):
                return _run(arguments)
    finally:
        _drop_what_cannot_be_written()


def _run(arguments: argparse.Namespace) -> int:
    try:
        _check_standard_streams(arguments)
        arguments.run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return 0
    except BrokenPipeError:
        return 0  # whoever read our output has seen enough
    except KeyboardInterrupt as stop:
        number = arguments.caught[0] if arguments.caught else signal.SIGINT
        by = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        _say(f"c3v: {by}; {stop}" if str(stop) else f"c3v: {by}")
        return 128 + number
    except Exception as error:
        _say(f"c3v: {_reason(error, _stream_of(arguments))}")
        _log.debug("where it came from", exc_info=True)
        return 1


def _stream_of(arguments: argparse.Namespace) -> str | None:
    """The .c3v stream that a command reads; None where it reads none, or two."""
    if arguments.run is _compare:
        streams = [name for name in (arguments.reference, arguments.distorted) if name.lower().endswith(".c3v")]
        return streams[0] if len(streams) == 1 else None
    return arguments.input if arguments.run in (_decode, _info) else None


def _reason(error: Exception, stream: str | None) -> str:
    """In one line; what is wrong with a stream with its name before it."""
    match error:
        case StreamError() if stream is not None:
            return f"{'standard input' if stream == '-' else stream}: {error}"
        case C3VideoError():
            return str(error)
        case OSError():
            return f"{error.filename or 'input/output'}: {error.strerror or error}"
        case MemoryError():
            return f"out of memory{f'; {error}' if str(error) else ''}"
    words = str(error).partition("\n")[0]
    return f"internal error, please report it: {type(error).__name__}: {words}; --verbose shows where"


def _say(words: str) -> None:
    """A line on stderr, if that is there: a terminal may be gone. (`print` would turn to stdout.)"""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(words, file=sys.stderr, flush=True)


def _note(arguments: argparse.Namespace, words: str) -> None:
    """The same for what --quiet leaves out."""
    if not arguments.quiet:
        _say(words)


@contextlib.contextmanager
def _logging_to(say: Callable[[str], None], arguments: argparse.Namespace) -> Iterator[None]:
    """What the package logs, said as a user asked for: warnings, with --verbose all, with --quiet errors alone."""
    logger, handler = logging.getLogger("c3video"), _Said(say)
    before, level_before = logger.handlers[:], logger.level
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if arguments.quiet else logging.DEBUG if arguments.verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.handlers[:] = before
        logger.setLevel(level_before)


class _Said(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(f"c3v: {record.levelname.lower()}: {self.format(record)}")


def _occupy_closed_descriptors() -> None:
    """Keep 0, 1 and 2 from becoming numbers of our own files, which libraries would then print into."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _check_standard_streams(arguments: argparse.Namespace) -> None:
    if sys.stdin is None and getattr(arguments, "input", None) == "-":
        raise C3VideoError("standard input is closed")
    if sys.stdout is None and (arguments.prints or getattr(arguments, "output", None) == "-"):
        raise C3VideoError("standard output is closed")


def _drop_what_cannot_be_written() -> None:
    """Keep Python from complaining, when it ends, of what stdout did not take; we have said so."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP as KeyboardInterrupt, so that every end is an orderly one; yields what has come.

    The first one raises; a library's callback may swallow that, hence the list. More of them, as shells and terminals
    send, do not disturb the end, but for the fourth: it ends the process at once, as ffmpeg does.
    """
    caught: list[int] = []

    def stop(number: int, frame: object) -> None:
        caught.append(number)
        if len(caught) == 1:
            raise KeyboardInterrupt
        if len(caught) > 3:
            os._exit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A background job that ignores Ctrl-C, or one under nohup, goes on ignoring it.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, stop)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _overwrite(arguments: argparse.Namespace) -> Overwrite:
    """As ffmpeg does: -y, -n, or a question where somebody can answer it."""
    if arguments.overwrite is not None:
        return bool(arguments.overwrite)
    return _ask if arguments.input != "-" and sys.stdin is not None and sys.stdin.isatty() else False


def _ask(what: str) -> bool:
    if sys.stderr is None:
        return False
    print(f"c3v: {what}. Write over it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say_if_slow(arguments: argparse.Namespace) -> None:
    from c3video import native

    if not native.available():
        _note(
            arguments,
            "c3v: note: the C++ extension was not built (C3VIDEO_NATIVE=0) or is left out (C3VIDEO_ISA=none);"
            " this works, but is tens to hundreds of times slower",
        )


def _encode(arguments: argparse.Namespace) -> None:
    # Threads that spin while they wait are the ruin of a busy machine: 12 frames of 176x144 with `fast` and two threads
    # took 1 minute and 15 CPU seconds with this, and were not done after 7 and 61 without (one thread: 14). Read by
    # libgomp when torch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from c3video.api import encode
    from c3video.progress_display import ProgressDisplay

    _say_if_slow(arguments)
    overwrite = _overwrite(arguments)
    with ProgressDisplay(sys.stderr, not arguments.quiet) as display, _logging_to(display.say, arguments):

        def report(progress: EncodeProgress) -> None:
            if arguments.caught:
                raise KeyboardInterrupt
            display.report(progress)

        result = encode(
            arguments.input,
            arguments.output,
            profile=arguments.profile,
            preset=arguments.preset,
            rd_weight=arguments.rd_weight,
            crf=arguments.crf,
            target_size=arguments.target_size,
            target_kbps=arguments.target_kbps,
            target_psnr=arguments.target_psnr,
            window_search=arguments.windows,
            low_delay=arguments.low_delay,
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
            workers=arguments.workers,
            threads=arguments.threads,
            cluster=arguments.cluster,
            resume=arguments.resume,
            live=arguments.live,
            overwrite=overwrite,
            report=report,
            say=lambda words: None if arguments.quiet else display.say(f"c3v: {words}"),
        )
    _note(arguments, _summary(arguments.output, result))


def _summary(output: str, result: EncodeReport) -> str:
    """What an encode came to, in two lines."""
    parts: dict[str, float] = {}
    for segment in result:
        for name, bits in segment.bits.items():
            parts[name] = parts.get(name, 0.0) + bits / 8
    rate = result.kbit_per_second
    figures = [
        f"{result.num_frames} frames, {len(result)} segments, {result.size_bytes} bytes",
        f"{result.bpp:.4f} bpp"
        + ("" if rate is None else f", {rate:.1f} kb/s")
        + f", PSNR {result.psnr_db:.2f} dB (psnr_all)",
        f"{result.clip_seconds:.2f} s of video in {result.seconds:.1f} s ({result.speed:.3g}x, "
        f"{result.num_frames / result.seconds:.3g} frames/s)",
    ]
    estimated = sum(segment.estimated_bits for segment in result) / 8
    by_part = ", ".join(f"{name} {value:.0f}" for name, value in parts.items())
    name = "standard output" if output == "-" else output
    if result.target is not None:
        figures.append(result.target)
    return f"{name}: {'; '.join(figures)}\nbytes by part: {by_part} (fits estimated {estimated:.0f} in all)"


def _decode(arguments: argparse.Namespace) -> None:
    import c3video.decoder
    from c3video.media.orientation import Upright
    from c3video.media.selection import Selection
    from c3video.media.sink import container_for, container_of
    from c3video.progress_display import DecodeDisplay

    if not arguments.verify and arguments.output is None:
        raise ConfigError("decode needs -o OUT.mkv, -o OUT.y4m or -o - for a pipe (or --verify to write nothing)")
    if arguments.output:
        container_of(arguments.output, arguments.format)  # what is wrong with a name is said before anything is opened
    times = _times(arguments)
    by_frame = arguments.frames is not None or any(time is not None for time in times.values())
    if by_frame and arguments.segments is not None:
        raise ConfigError("--segments cannot be combined with --frames, --start, --end and --duration")
    selection = Selection.of_options(arguments.frames, **times)
    _say_if_slow(arguments)
    first, last = arguments.segments or (0, None)
    num_frames = 0
    with c3video.decoder.open(
        arguments.input,
        threads=arguments.threads,
        conceal=arguments.conceal,
        engine=arguments.engine,
        follow=arguments.follow,
        **_limits(arguments),
    ) as clip:
        turn = Upright(clip.format) if arguments.rotate else None
        format = turn.format if turn else clip.format
        frames = clip.select(selection, arguments.input) if by_frame else clip.frames(first, last)
        container = container_for(arguments.output, arguments.format, format) if arguments.output else None
        expected = None if arguments.segments is not None else _num_frames(clip, selection)
        written = _written(arguments, container, format) if container else contextlib.nullcontext(_not_written)
        display = DecodeDisplay(sys.stderr, expected, not arguments.quiet)
        with written as write, display, _logging_to(display.say, arguments):
            for frame in display.watch(frames):
                if arguments.caught:
                    raise KeyboardInterrupt
                num_frames += 1
                write(turn(frame) if turn else frame, num_frames)
        _say_concealed(clip)
    if arguments.verify and clip.lost:
        which = f"of {num_frames} frames that came out {num_frames - len(clip.concealed)} match their hashes"
        raise StreamError(f"the stream is damaged; {which}")
    if arguments.verify:
        _note(arguments, f"{arguments.input}: {num_frames} frames, every hash matches")


@contextlib.contextmanager
def _written(
    arguments: argparse.Namespace, container: str, format: VideoFormat
) -> Iterator[Callable[[Frame, int], None]]:
    """What writes a frame, which is told how many there are with it, to the output of a decode."""
    from c3video.media.sink import make_sink
    from c3video.output import open_output

    with (
        open_output(arguments.output, overwrite=_overwrite(arguments), sources=[arguments.input]) as output,
        output.open() as file,
        make_sink(file, container, format) as sink,
    ):

        def write(frame: Frame, num_frames: int) -> None:
            sink.write(frame)
            if container != "mov":  # which is nothing without its end
                # Half a frame of planes would be taken for a damaged file.
                size_bytes = file.tell() if output.is_file and container in ("y4m", "raw") else None
                output.keep("1 frame" if num_frames == 1 else f"{num_frames} frames", size_bytes)

        yield write


def _not_written(frame: Frame, num_frames: int) -> None:
    """The same where frames are only verified."""


def _num_frames(clip: Decoder, selection: Selection) -> int | None:
    """How many frames will be decoded, as far as can be told beforehand; whatever is wrong is said later."""
    try:
        return selection.num_frames_of(len(clip), clip.format.frame_rate)
    except C3VideoError:
        return None


def _say_concealed(clip: Any) -> None:
    """What was damaged, and the frames that were filled in for it, a run of them in a line."""
    for error in clip.lost:
        _say(f"c3v: damaged: {error}")
    first = 0
    for place, frame in enumerate(clip.concealed, 1):
        following = clip.concealed[place] if place < len(clip.concealed) else None
        if following is None or (following.number, following.segment) != (frame.number + 1, frame.segment):
            begin = clip.concealed[first]
            which = f"frame {frame.number}" if begin is frame else f"frames {begin.number} to {frame.number}"
            _say(f"c3v: concealed: {which} (of segment {frame.segment}) from what is there")
            first = place


def _times(arguments: argparse.Namespace) -> dict[str, Fraction | None]:
    """Start and end in seconds, of --start and --end or --duration. Raises ConfigError for both of the latter."""
    start, end = arguments.start, arguments.end
    if arguments.duration is not None:
        if end is not None:
            raise ConfigError("--end and --duration say the same: leave one of them out")
        end = (start or 0) + arguments.duration
    return {"start": start, "end": end}


def _add_times(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--frames", type=_range, metavar="A:B", help="only frames A to B-1, counted from 0; also A: and :B"
    )
    command.add_argument(
        "--start",
        type=_time,
        metavar="TIME",
        help="only frames from this time on, counted from the first frame: seconds, or 1:02:03.25",
    )
    command.add_argument("--end", type=_time, metavar="TIME", help="only frames before this time, counted likewise")
    command.add_argument("--duration", type=_time, metavar="TIME", help="in place of --end: how much after --start")


def _limits(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the options of `_add_limits` say, as arguments of `c3video.open`."""
    return {name: getattr(arguments, name) for name in ("max_pixels", "max_frames", "max_memory")}


def _info(arguments: argparse.Namespace) -> None:
    import c3video.decoder

    with c3video.decoder.open(arguments.input, **_limits(arguments)) as clip:
        size_bytes = os.path.getsize(arguments.input) if arguments.input != "-" else None
        facts, damage = _describe(clip, size_bytes, arguments.timestamps)
    if arguments.json:
        json.dump(facts, sys.stdout, indent=2)
        print()
    else:
        _print_facts(facts)
    if damage is not None:
        sys.stdout.flush()
        raise damage


def _describe(
    clip: Decoder, size_bytes: int | None, with_timestamps: bool
) -> tuple[dict[str, Any], StreamError | None]:
    """Header, segments and bits by part of a stream, as plain values, up to the damage if there is some."""
    from c3video.decoder import describe_segment
    from c3video.stream.layout import describe

    segments: list[dict[str, Any]] = []
    total: dict[str, float] = {}
    pts: list[int] = []
    durations: list[int] = []
    key_frames: list[int] = []
    damage: StreamError | None = None
    try:
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
            key_frames.append(len(pts))  # a segment decodes alone: its first frame is where a player may start
            pts += segment.pts
            durations += segment.durations
    except StreamError as error:
        damage = error
    video = clip.format
    facts: dict[str, Any] = {
        "header": describe(clip.header),
        "num_frames": len(pts),
        "size_bytes": size_bytes,
        "length_seconds": round(_length_seconds(pts, durations, video), 6),
        "key_frames": key_frames,
        "bits": {name: round(bits, 1) for name, bits in total.items()},
        "segments": segments,
        "damage": None if damage is None else str(damage),
    }
    if size_bytes is not None and pts and damage is None:
        facts["bpp"] = 8 * size_bytes / (len(pts) * video.width * video.height)
        if facts["length_seconds"]:
            facts["kbps"] = round(8 * size_bytes / facts["length_seconds"] / 1000, 3)
    if with_timestamps:
        facts["timestamps"] = {"time_base": str(video.time_base), "pts": pts, "durations": durations}
    return facts, damage


def _length_seconds(pts: list[int], durations: list[int], video: Any) -> float:
    """From the first frame to the end of the last, whose duration may be unknown (0)."""
    if not pts:
        return 0.0
    last = durations[-1] * video.time_base
    if not last and video.frame_rate:
        last = 1 / video.frame_rate
    elif not last and len(pts) > 1:
        last = (pts[-1] - pts[-2]) * video.time_base
    return float((pts[-1] - pts[0]) * video.time_base + last)


_KEY_FRAMES_SHOWN = 12


def _print_facts(facts: dict[str, Any]) -> None:
    print("header")
    for name, value in facts["header"].items():
        print(f"  {name:24} {'not said' if value is None else value}")
    size = facts["size_bytes"]
    bpp = f", {facts['bpp']:.4f} bpp" if "bpp" in facts else ""
    rate = f", {facts['kbps']:.1f} kb/s" if "kbps" in facts else ""
    print(f"{facts['num_frames']} frames in {len(facts['segments'])} segments, {size or '?'} bytes{bpp}")
    print(f"length {facts['length_seconds']:.3f} s{rate}")
    keys = facts["key_frames"]
    more = " ..." if len(keys) > _KEY_FRAMES_SHOWN else ""
    print(f"{len(keys)} key frames: {' '.join(map(str, keys[:_KEY_FRAMES_SHOWN]))}{more}")
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
    if "timestamps" in facts:
        print(f"time stamps and durations in units of {facts['timestamps']['time_base']} s")
        are_keys = set(keys)
        for index, times in enumerate(zip(facts["timestamps"]["pts"], facts["timestamps"]["durations"], strict=True)):
            print(f"  {index:6} {times[0]:12} {times[1]:8}{'  key' if index in are_keys else ''}")


def _compare(arguments: argparse.Namespace) -> None:
    from c3video.limits import DecodeLimits
    from c3video.metrics import compare

    rows: list[dict[str, Any]] = []
    result = compare(
        arguments.reference,
        arguments.distorted,
        frames=arguments.frames,
        size=arguments.size,
        pix_fmt=arguments.pix_fmt,
        rotate=arguments.rotate,
        limits=DecodeLimits(**_limits(arguments)),
        note=lambda pts, figures: rows.append({"frame": len(rows), "pts": pts} | figures),
    )
    if arguments.csv is not None:
        _write_csv(arguments.csv, rows)
    if arguments.json:
        json.dump(result.as_dict(), sys.stdout, indent=2)
        print()
    else:
        print(result.as_text())


def _write_csv(path: str, rows: list[dict[str, Any]]) -> None:
    """A line a frame, six digits after the point."""
    import csv

    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{value:.6f}" if isinstance(value, float) else value for key, value in row.items()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="c3v",
        description="Neural video codec that is overfit to each clip; decodes exactly, on every machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"c3v {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    words = argparse.ArgumentParser(add_help=False)
    how_much = words.add_mutually_exclusive_group()
    how_much.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    how_much.add_argument("-v", "--verbose", action="store_true", help="say more: each segment, where errors came from")

    _add_encode(
        commands.add_parser(
            "encode",
            help="video -> .c3v",
            description="Encode the pictures of a video, without its sound. The output grows as OUT.part.c3v and gets "
            "its name when it is whole. `c3v --help` has examples.",
            parents=[words],
        )
    )
    _add_decode(commands.add_parser("decode", help=".c3v -> Matroska, NUT, MOV, y4m or raw YUV", parents=[words]))
    _add_info(commands.add_parser("info", help="header, segments and bits by part of a .c3v", parents=[words]))
    _add_compare(
        commands.add_parser(
            "compare",
            help="PSNR, SSIM and bpp of a .c3v (or any video) against its source",
            description="PSNR, SSIM and bpp of a clip against its source. PSNRs are given as the mean of those of the "
            "frames and, with _seq after the name in JSON, as that of the mean squared error of all frames. psnr_all "
            "is of the mean squared error of all samples of all frames, luma and chroma alike: the figure that "
            "c3v encode says at its end and --target-psnr aims at.",
            parents=[words],
        )
    )
    return parser


def _add_encode(encode: argparse.ArgumentParser) -> None:
    """What a source is, how well and how long it is fitted, and who does it."""
    encode.set_defaults(run=_encode, prints=False)
    encode.add_argument(
        "input", help="what FFmpeg can open, numbered images named as frame_%%03d.png, or - for standard input"
    )
    encode.add_argument("output", help=".c3v file, or - for standard output")
    _add_overwrite(encode)
    encode.add_argument(
        "--profile",
        choices=PROFILES,
        default="default",
        help="the model: "
        + "; ".join(f"'{name}' {profile.about}" for name, profile in PROFILES.items())
        + " (default: %(default)s)",
    )
    encode.add_argument(
        "--preset",
        choices=PRESETS,
        default="medium",
        help="how long to fit, quickest first: the slower, the better at the same rate; the profiles default and "
        "pyramid have no paper, the others no placebo (default: %(default)s)",
    )
    _add_rate(encode)
    encode.add_argument(
        "--windows",
        choices=WINDOW_SEARCHES,
        help="profile paper: how windows in the previous frame are placed, 'wide' as published (default: by preset)",
    )
    encode.add_argument(
        "--low-delay",
        action="store_true",
        help="profile default: code frames in the order in which they are shown, each from those before it, so that a "
        "decoder need not wait for later ones; costs about 1 dB",
    )
    encode.add_argument(
        "--patch",
        type=_patch,
        metavar="HxW",
        help="largest patch of the profiles of the paper, in luma samples (default: 288x352)",
    )
    encode.add_argument(
        "--segment",
        type=_positive,
        metavar="N",
        help="most frames a segment (profile default: 64, up to 128 where no more are left of a scene; others: 32)",
    )
    encode.add_argument(
        "--no-scene-cuts",
        dest="scene_cuts",
        action="store_false",
        help="let segments run on where a scene changes (default: they end there)",
    )
    _add_times(encode)
    encode.add_argument(
        "--stream",
        type=_number,
        metavar="N",
        help="number of the video stream among all of its file, as ffprobe has it (default: FFmpeg's choice)",
    )
    encode.add_argument(
        "--rotate",
        action="store_true",
        help="turn pictures upright that are stored on their side or mirrored, as phones do (default: they stay as "
        "they are stored, and the .c3v says how they are to be shown)",
    )
    encode.add_argument("--strict", action="store_true", help="stop where the source is damaged (default: warn, go on)")
    encode.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of what is random in a fit, as first weights and noise are: another one gives another file, about as "
        "good; the same file where nothing is random, as in the profile default at ultrafast (default: 0)",
    )
    encode.add_argument(
        "--device",
        default="cpu",
        metavar="NAME",
        help="where the profiles of the paper fit: cpu, cuda, cuda:1; the others fit on the CPU (default: cpu)",
    )
    _add_effort(encode)
    encode.add_argument(
        "--pix-fmt",
        metavar="NAME",
        help="pixel format to convert to: yuv420p, yuv422p10, gray10, gbrp ...; what is lost is said (default: none; "
        "with --size that of headerless raw video)",
    )
    raw = encode.add_argument_group("sources that do not say it themselves")
    raw.add_argument(
        "--size", type=_size, metavar="WxH", help="frame size of headerless raw video, which needs --pix-fmt too"
    )
    raw.add_argument(
        "--fps",
        type=_fps,
        metavar="N[/D]",
        help="frames a second of raw video and numbered images (default: 25), and of bare streams of a codec such as "
        ".h264 (default: what they say); others have times of their own",
    )


def _add_decode(decode: argparse.ArgumentParser) -> None:
    """Where frames go, which, and what to do about damage."""
    decode.set_defaults(run=_decode, prints=False)
    decode.add_argument("input", help=".c3v file, or - for standard input")
    decode.add_argument("-o", "--output", help="OUT.mkv, .nut, .mov, .y4m, .yuv (raw planes) or - for a pipe")
    _add_overwrite(decode)
    decode.add_argument(
        "-f",
        "--format",
        metavar="NAME",
        help="container: matroska (keeps all), nut, mov, y4m (what a pipe gets if not told, RGB apart) or raw",
    )
    _add_times(decode)
    decode.add_argument("--rotate", action="store_true", help="turn pictures upright that are stored on their side")
    decode.add_argument("--segments", type=_range, metavar="A:B", help="only segments A to B-1")
    decode.add_argument("--verify", action="store_true", help="check every frame against its hash and say so")
    decode.add_argument(
        "--follow", action="store_true", help="wait for what `c3v encode --live` still writes to the input"
    )
    decode.add_argument(
        "--conceal", action="store_true", help="go on after damage: lost frames are filled in from those beside"
    )
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    decode.add_argument(
        "--threads", type=_threads, default=threads, metavar="N", help="to decode with (default: all cores)"
    )
    decode.add_argument("--engine", choices=["native", "numpy"], help="default: native where it was built; same pixels")
    _add_limits(decode)


def _add_info(info: argparse.ArgumentParser) -> None:
    """What is said of a stream."""
    info.set_defaults(run=_info, prints=True)
    info.add_argument("input", help=".c3v file, or - for standard input")
    info.add_argument("--json", action="store_true", help="for programs")
    info.add_argument("--timestamps", action="store_true", help="also the time stamp and duration of every frame")
    _add_limits(info)


def _add_compare(compare: argparse.ArgumentParser) -> None:
    """What is held against what."""
    compare.set_defaults(run=_compare, prints=True)
    compare.add_argument("reference", help="the source")
    compare.add_argument("distorted", help=".c3v file, or any video")
    compare.add_argument("--json", action="store_true", help="for programs")
    compare.add_argument("--csv", metavar="OUT.csv", help="also a line of figures for each frame, to this file")
    compare.add_argument(
        "--frames", type=_range, metavar="A:B", help="the distorted clip was made of frames A to B-1 of the reference"
    )
    compare.add_argument(
        "--rotate", action="store_true", help="turn the reference upright first, as c3v encode --rotate has done"
    )
    compare.add_argument("--size", type=_size, metavar="WxH", help="frame size of headerless raw video (.yuv)")
    compare.add_argument(
        "--pix-fmt", metavar="NAME", help="its pixel format; without --size what the reference is converted to"
    )
    _add_limits(compare)


def _add_rate(encode: argparse.ArgumentParser) -> None:
    """One of the ways to say how large and how good the result shall be."""
    group = encode.add_argument_group(
        "rate, one of these (default: --rd-weight 1e-3, which is --crf 32.5)",
        "Targets are found by quick trials of some segments and put right as the clip goes on; the summary says what "
        "came of them.",
    )
    rate = group.add_mutually_exclusive_group()
    rate.add_argument(
        "--crf",
        type=float,
        metavar="Q",
        help="quality that stays about the same over clips, on x264's scale: smaller is better, 22 to 43 are usual; 3 "
        "more double the weight of a bit",
    )
    rate.add_argument("--target-size", type=_bytes, metavar="SIZE", help="bytes of the file: 20M, 500K (1000s), 1.5Gi")
    rate.add_argument("--target-kbps", type=_above_0, metavar="N", help="thousands of bits a second, as ffmpeg's -b:v")
    rate.add_argument(
        "--target-psnr",
        type=_above_0,
        metavar="DB",
        help="PSNR of the mean squared error of all samples of all frames: psnr_all of the summary and of c3v compare",
    )
    rate.add_argument(
        "--rd-weight",
        type=float,
        metavar="W",
        help="for research: weight of bits a pixel against the squared error; larger is smaller: 1e-4 .. 1e-2",
    )


def _add_effort(encode: argparse.ArgumentParser) -> None:
    """Who does the work, and what becomes of it when it is interrupted. The bytes depend on --threads alone."""
    group = encode.add_argument_group(
        "long encodes",
        "The bytes of the file are the same whoever does the work and however often it is interrupted. --threads alone "
        "may change them: what threads have added up apart is rounded otherwise.",
    )
    group.add_argument(
        "--workers",
        type=_threads,
        metavar="N",
        help="segments at a time, a process each (default: as many as there are cores, memory and segments for)",
    )
    group.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="CPU threads of each worker (default: 1, or all cores for a clip of one segment)",
    )
    group.add_argument(
        "--cluster",
        metavar="WHERE",
        help="do the work on a cluster of Ray in place of processes here: auto (RAY_ADDRESS, or the one of this "
        "machine) or its address; needs c3video[cluster]",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on from what an interrupted encode of the same command has left in OUT.part.c3v; anew where there is "
        "nothing",
    )
    group.add_argument(
        "--live",
        action="store_true",
        help="let others read OUT while it grows (c3v decode --follow): it has its name at once, and no index before "
        "its end; a target is met less closely, since nothing can be encoded again",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Options of what a .c3v stream may ask for."""
    from c3video.limits import DEFAULT_MAX_MEMORY, DEFAULT_MAX_PIXELS

    group = parser.add_argument_group("limits of what a .c3v stream may ask for, none with 0")
    group.add_argument(
        "--max-pixels",
        type=_limit,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help=f"pixels of a frame (default {DEFAULT_MAX_PIXELS})",
    )
    group.add_argument("--max-frames", type=_limit, metavar="N", help="frames to decode (default: none)")
    group.add_argument(
        "--max-memory",
        type=_limit,
        default=DEFAULT_MAX_MEMORY,
        metavar="N",
        help=f"bytes to decode a segment with, also as 512M or 4G (default {DEFAULT_MAX_MEMORY >> 30}G)",
    )


def _limit(text: str) -> int | None:
    """A number, perhaps of binary kilo, mega or giga; None, no limit, for 0."""
    digits, factor = text, 1
    if text[-1:].upper() in ("K", "M", "G"):
        digits, factor = text[:-1], 1 << {"K": 10, "M": 20, "G": 30}[text[-1].upper()]
    if not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 100000, 512M or 4G, or be 0 for no limit")
    return int(digits) * factor or None


def _add_overwrite(command: argparse.ArgumentParser) -> None:
    """-y and -n as ffmpeg has them."""
    which = command.add_mutually_exclusive_group()
    help_yes = "write over an output that exists (without -y or -n a terminal is asked, else it is an error)"
    which.add_argument("-y", dest="overwrite", action="store_const", const=True, default=None, help=help_yes)
    which.add_argument("-n", dest="overwrite", action="store_const", const=False, help="never write over one")


def _positive(text: str) -> int:
    if not (text.isdecimal() and len(text) < 19 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number, 1 or more")
    return int(text)


def _above_0(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")
    return value


def _bytes(text: str) -> int:
    """A number of bytes as ffmpeg has them: K, M, G of a thousand each, Ki, Mi, Gi of 1024."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([KMG]?)(i?)B?", text, re.IGNORECASE)
    if match is None or (match[3] and not match[2]) or not Fraction(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 20M (20,000,000 bytes), 500K or 1.5Gi")
    power = " KMG".index(match[2].upper() or " ")
    return max(1, int(Fraction(match[1]) * (1024 if match[3] else 1000) ** power))


def _threads(text: str) -> int:
    value = _positive(text)
    if value > MAX_THREADS:
        raise argparse.ArgumentTypeError(f"{text}: must be in 1..{MAX_THREADS}")
    return value


def _pair(text: str, form: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text.lower())
    if match is None or not (int(match[1]) and int(match[2])):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like {form}")
    return int(match[1]), int(match[2])


def _size(text: str) -> tuple[int, int]:
    return _pair(text, "352x288 (width x height)")


def _patch(text: str) -> tuple[int, int]:
    return _pair(text, "180x240 (height x width)")


def _range(text: str) -> tuple[int, int | None]:
    match = re.fullmatch(r"([0-9]{0,18}):([0-9]{0,18})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 0:32, 16: or :8")
    start, end = int(match[1] or 0), int(match[2]) if match[2] else None
    if end is not None and end <= start:
        raise argparse.ArgumentTypeError(f"{text!r}: the end must be above the start")
    return start, end


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be 0 or more")
    return int(text)


def _time(text: str) -> Fraction:
    """Seconds, or hours, minutes and seconds with colons."""
    try:
        if not re.fullmatch(r"([0-9]{1,9}:){0,2}([0-9]{1,9}\.?|[0-9]{0,9}\.[0-9]{1,9})", text):
            raise ValueError
        parts = [Fraction(part) for part in text.split(":")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 12.5 or 1:02:03.25") from None
    return sum((part * 60**power for power, part in enumerate(reversed(parts))), Fraction(0))


def _fps(text: str) -> Fraction:
    # No exponents: 1e999999999 would be worked out.
    match = re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,9})?|[0-9]{1,10}/[0-9]{1,10}", text)
    try:
        value = Fraction(text) if match else Fraction(0)
    except ZeroDivisionError:
        value = Fraction(0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 25, 29.97 or 30000/1001")
    if max(value.numerator, value.denominator) >= 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r}: numerator and denominator must be below 2^31")
    return value
