# SPDX-License-Identifier: MIT
"""Whatever FFmpeg opens, through PyAV: containers, elementary streams, still images and sequences of them.

    bytes ── demux ── decode ── repack ── Frame, with a time stamp that grows
                 └ bad packets are counted, the frames around them come out

What a source has beside the coded stream (audio, captions, transparency, a second video) is said to be left out.
"""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import floor
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from c3video.errors import ConfigError, SourceError
from c3video.media.conversion import SWSCALE_FLAGS, Conversion, copied_planes, depth_of, family_of, nearest
from c3video.media.file_ends import missing_end
from c3video.media.opened import Faults, Opened
from c3video.media.orientation import orientation
from c3video.media.png import READ_BYTES, has_icc_profile
from c3video.video import (
    BOTTOM_FIELD_FIRST,
    LAYOUTS,
    MAX_PIXELS,
    PROGRESSIVE,
    TOP_FIELD_FIRST,
    ContentLight,
    Frame,
    MasteringDisplay,
    PixelLayout,
    VideoFormat,
)

REPACKED = {
    # The same samples in another order: swscale moves them and computes nothing (tests/media/test_source.py).
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42"), "yuv444p"),
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr", "pal8"), "gbrp"),
    **dict.fromkeys(("rgba", "bgra", "argb", "abgr"), "gbrp"),
    "ya8": "gray",
    **{"p010le": "yuv420p10le", "p210le": "yuv422p10le", "p410le": "yuv444p10le"},
    **{name.removesuffix("le") + "be": name for name in LAYOUTS if name.endswith("le")},
}
_WITH_ALPHA_PLANE = {
    **{name.replace("yuv", "yuva"): name for name in LAYOUTS if name.startswith("yuv")},
    **{"gbrap": "gbrp", "gbrap10le": "gbrp10le"},
}
"""Planar formats with a plane more, which is left out where all of it is opaque."""
_FULL_RANGE_NAMES = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"}
"""FFmpeg's old names that say the range with the layout."""
_CHROMA_LOCATIONS = {"left": 1, "center": 2, "topleft": 3, "top": 4, "bottomleft": 5, "bottom": 6}
_FIELD_ORDERS = {
    # AVFieldOrder by which field is shown first, however they are stored.
    1: PROGRESSIVE,
    2: TOP_FIELD_FIRST,
    3: BOTTOM_FIELD_FIRST,
    4: BOTTOM_FIELD_FIRST,
    5: TOP_FIELD_FIRST,
}
_NO_TIME_STAMPS = 0x80
"""AVFMT_NOTIMESTAMPS: a bare stream of a codec, whose demuxer makes times up."""
_DROPPED_SIDE_DATA = {
    "A53_CC": "closed captions",
    "DYNAMIC_HDR_PLUS": "dynamic HDR metadata (HDR10+)",
    "DYNAMIC_HDR_VIVID": "dynamic HDR metadata (HDR Vivid)",
    "DOVI_RPU_BUFFER": "dynamic HDR metadata (Dolby Vision)",
    "ICC_PROFILE": "ICC profile",
    "STEREO3D": "stereo 3D",
    "SPHERICAL": "spherical projection",
}
_PATTERN = re.compile(r"%(0?\d*)d")

_TAGS: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "replace"}
"""How PyAV shall read tags that are not UTF-8, which would else keep a file from being opened; since 19 none does."""

_log = logging.getLogger(__name__)


class _Input:
    """A binary file as PyAV reads it.

    PyAV prints and forgets what a callback raises unless it is an `Exception`, and takes it for the end of
    the file: Ctrl-C is therefore kept here, and raised by `_av_errors`.
    """

    def __init__(self, file: Any, name: str) -> None:
        self.name = name  # FFmpeg looks at its suffix
        self.interrupt: KeyboardInterrupt | None = None
        self._file = file
        if file.seekable():
            self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if self.interrupt is not None:
            return b""  # FFmpeg asks again after the end; the pipe may still be open
        try:
            data: bytes = self._file.read1(size)  # what a pipe has by now, not what it may have later
            return data
        except KeyboardInterrupt as interrupt:
            self.interrupt = interrupt
            return b""


@dataclass
class _Pictures:
    """A numbered sequence of still images, which FFmpeg opens by itself."""

    name: str
    first: int
    interrupt: KeyboardInterrupt | None = None


_Readable = _Input | _Pictures


@dataclass(frozen=True)
class _Seeking:
    """Where reading may begin.

    Args:
        start: seconds after the first frame before which no frame is needed.
        open_again: the container from its beginning, where seeking failed.
    """

    start: Fraction
    open_again: Callable[[], InputContainer]


@contextmanager
def _av_errors(source: _Readable, doing: str) -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError) as error:
        if source.interrupt is not None:
            raise source.interrupt from None
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{source.name}: {doing}: {reason}") from error
    if source.interrupt is not None:
        raise source.interrupt


def is_pattern(path: str | Path) -> bool:
    """Whether a path names a sequence of images, as frame_%03d.png does, and no file."""
    return bool(_PATTERN.search(Path(path).name)) and not Path(path).exists()


def open_pictures(path: str | Path, fps: Fraction | None, faults: Faults, target: PixelLayout | None = None) -> Opened:
    """Images numbered one after the other from the lowest number there is.

    Raises:
        SourceError: there is none, or they cannot be read.
    """
    name, folder = str(path), Path(path).parent
    found = _PATTERN.search(Path(path).name)
    assert found is not None
    before, after = Path(path).name[: found.start()], Path(path).name[found.end() :]
    width = int(found[1].removeprefix("0") or 0)
    digits = re.compile(re.escape(before) + rf"(\d{{{max(1, width)},}})" + re.escape(after))
    matches = (digits.fullmatch(entry.name) for entry in folder.iterdir()) if folder.is_dir() else iter(())
    numbers = sorted(
        {int(match[1]) for match in matches if match and len(match[1]) == max(width, len(str(int(match[1]))))}
    )
    if not numbers:
        raise SourceError(f"{name}: there are no such images ({before}0{after}, {before}1{after} ...)")
    run = next((index for index, number in enumerate(numbers) if number != numbers[0] + index), len(numbers))
    if run < len(numbers):
        faults.meet(
            f"image {numbers[0] + run} is missing: {run} images from {numbers[0]} on are read, "
            f"{len(numbers) - run} after it are not"
        )
    source = _Pictures(name, numbers[0])
    number = str(numbers[0]).zfill(width)
    with _av_errors(source, "cannot be opened as images"), (folder / f"{before}{number}{after}").open("rb") as first:
        has_profile = has_icc_profile(first.read(READ_BYTES))
    options = {"start_number": str(numbers[0]), "framerate": str(fps or Fraction(25)), "protocol_whitelist": "file"}
    with _av_errors(source, "cannot be opened as images"):
        container = av.open(name, "r", format="image2", options=options)
    opened = _opened(container, source, None, fps, faults, lambda: None, None, target, has_profile)
    return replace(opened, num_frames=run)


def open_container(
    file: BinaryIO,
    name: str,
    stream: int | None,
    fps: Fraction | None,
    faults: Faults,
    start: Fraction = Fraction(0),
    target: PixelLayout | None = None,
) -> Opened:
    """A file or pipe that FFmpeg knows.

    Args:
        stream: number of the video stream in the container; None for the one that FFmpeg finds best.
        fps: of a stream that has no time stamps.
        start: seconds after the first frame before which no frame is needed: those of a file may be left out.
        target: what frames are converted to where they are something else; None: they must be of a coded format.

    Raises:
        SourceError: it cannot be opened as asked.
    """
    source = _Input(file, name)
    begin = file.peek(READ_BYTES)[:READ_BYTES]  # type: ignore[attr-defined]  # a BufferedReader
    is_mp4 = begin[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    cut = missing_end(file) if file.seekable() else None
    options = {"protocol_whitelist": "file,crypto,data"}  # keeps a playlist from reaching over the network

    def open_it() -> InputContainer:
        no_size = "; headerless raw video needs --size too" if target is not None else ""
        with _av_errors(source, f"cannot be opened as a video{no_size}"):
            return av.open(source, "r", options=options, **_TAGS)

    def open_again() -> InputContainer:
        file.seek(0)
        return open_it()

    try:
        container = open_it()
        if cut is not None:
            faults.meet(cut)
        seeking = _Seeking(start, open_again) if start and file.seekable() else None
        return _opened(container, source, stream, fps, faults, file.close, seeking, target, has_icc_profile(begin))
    except SourceError as error:
        if is_mp4 and not file.seekable():
            raise SourceError(
                f"{error}; an mp4 whose index (moov) comes last cannot be read from a pipe: name the file in place of "
                "-, or make one that can: `ffmpeg -i IN -c copy -movflags +faststart OUT.mp4`"
            ) from error
        if cut is not None and str(cut) not in str(error):
            raise SourceError(f"{error}; {cut}") from error
        raise


def _opened(
    container: InputContainer,
    source: _Readable,
    number: int | None,
    fps: Fraction | None,
    faults: Faults,
    close_file: Callable[[], None],
    seeking: _Seeking | None,
    target: PixelLayout | None,
    has_profile: bool,
) -> Opened:
    """A container ready to be read: from its first frame, or by seeking from one that is early enough."""
    name = source.name
    try:
        stream = _video_stream(container, number, name)
        has_times = isinstance(source, _Input) and not container.format.flags & _NO_TIME_STAMPS
        if fps is not None and has_times:
            raise SourceError(f"{name}: has time stamps of its own: leave --fps out")
        decoded = _decode(container, stream, source, faults)
        first = next(decoded, None)
        if first is None:
            raise SourceError(f"{name}: its video stream has no frames{_found(faults)}")
        try:
            video = _format_of(container, stream, first, fps, has_times, name, target)
            video.check()
            conversion = None
            if target is not None and first.format.name not in (target.name, *_full_range_names(target)):
                conversion = Conversion(first.format, target, video.color_range)
                if conversion.moves_chroma:
                    video = replace(video, chroma_location=_CHROMA_LOCATIONS["center"] if target.cell_width > 1 else 0)
                lost = "; ".join(conversion.lost) or "nothing is lost"
                _log.warning("%s: %s is converted to %s: %s", name, first.format.name, target.name, lost)
        except ConfigError as error:
            raise SourceError(f"{name}: {error}") from error
        if conversion is None:
            _check_opaque(first, f"{name}: frame 0")
        left_out = _what_is_left_out(container, stream, first, name, has_profile)
        decoded, first_pts, pix_fmt = chain([first], decoded), None, first.format.name
        if seeking is not None and has_times and first.pts is not None:
            wanted = first.pts + floor(seeking.start / video.time_base)
            sought = _sought(container, stream, source, faults, first.pts, wanted)
            if sought is not None:
                decoded, first_pts = sought, first.pts
            else:
                container.close()
                container = seeking.open_again()
                stream = _video_stream(container, number, name)
                decoded = _decode(container, stream, source, faults)
    except BaseException:
        container.close()
        raise

    def close() -> None:
        container.close()
        close_file()

    frames = _repacked_frames(decoded, video, pix_fmt, fps, name, faults, first_pts, conversion)
    return Opened(name, video, _num_frames(container, stream), frames, close, faults, first_pts, left_out)


def _sought(
    container: InputContainer, stream: VideoStream, source: _Readable, faults: Faults, first_pts: int, wanted: int
) -> Iterator[av.VideoFrame] | None:
    """Frames from a key frame on that is shown at `wanted` or before; None where seeking leads to none.

    What FFmpeg seeks by is up to the container (decoding times, some index of its own), so where it lands is looked at,
    and a landing that is too late is tried again from further back. Frames shown before the key frame may lack what
    they are predicted from: they are left out.
    """
    one_second = max(1, round(1 / Fraction(stream.time_base or 1)))
    for step_back in (0, one_second, 4 * one_second, 16 * one_second):
        target = wanted - step_back
        if target <= first_pts:
            break
        try:
            container.seek(target, stream=stream, backward=True)
        except (av.FFmpegError, OSError, ValueError):
            break
        decoded = _decode(container, stream, source, faults, wanted)
        for frame in decoded:
            if frame.pts is None or frame.pts > wanted:
                break
            if frame.key_frame and not frame.is_corrupt:
                return chain([frame], decoded)
    return None


def _found(faults: Faults) -> str:
    return "".join(f"; {words}" for words in faults.found)


def _video_stream(container: InputContainer, number: int | None, name: str) -> VideoStream:
    stream = container.streams.best("video") if number is None else _numbered_stream(container, number, name)
    # FFmpeg shows a text file as the picture of a terminal, and the cover of a song as a video.
    is_cover = stream is not None and number is None and stream.disposition & Disposition.attached_pic
    if container.format.name == "tty" or stream is None or is_cover:
        raise SourceError(f"{name}: has no video stream (FFmpeg takes it for {container.format.long_name})")
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    if context is None:
        raise SourceError(f"{name}: this FFmpeg has no decoder for its video stream")
    if context.width and context.height:  # else known with the first frame only
        try:
            VideoFormat(context.width, context.height, "gray").check()
        except ConfigError as error:
            raise SourceError(f"{name}: {error}") from error
    # Bounds what a later change of size may ask memory for.
    context.options = {"max_pixels": str(MAX_PIXELS)}
    # Threads over frames would report a bad packet late, and PyAV drops the frames that come with the report.
    stream.thread_type = "SLICE"
    return stream


def _numbered_stream(container: InputContainer, number: int, name: str) -> Any:
    kinds = [str(stream.type) for stream in container.streams]
    if not 0 <= number < len(kinds) or kinds[number] != "video":
        found = ", ".join(f"{index} {kind}" for index, kind in enumerate(kinds))
        raise SourceError(f"{name}: stream {number} is no video; its streams are {found}")
    return container.streams[number]


def _decode(
    container: InputContainer, stream: VideoStream, source: _Readable, faults: Faults, wanted: int | None = None
) -> Iterator[av.VideoFrame]:
    """All frames that can be had; a bad packet costs no others.

    Args:
        wanted: after seeking, the time stamp before which nobody looks: what is wrong with frames before it is not
            counted, and packets before the first key frame are passed over.
    """
    packets = container.demux(stream)
    num_packets = 0
    has_begun = counts = wanted is None
    while True:
        packet = None
        try:
            packet = next(packets, None)
            if packet is None:
                break
            num_packets += packet.size > 0
            has_begun = has_begun or packet.is_keyframe
            if not has_begun:
                continue
            frames = packet.decode()
        except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
            if source.interrupt is not None:
                raise source.interrupt from None
            reason = getattr(error, "strerror", None) or str(error)
            if counts:
                faults.meet(f"a packet cannot be decoded: {reason}")
            if isinstance(error, (av.EOFError, av.OSError)) and packet is None:
                break
            continue
        if source.interrupt is not None:
            raise source.interrupt
        for frame in frames:
            assert isinstance(frame, av.VideoFrame)
            counts = counts or (wanted is not None and frame.pts is not None and frame.pts >= wanted)
            if frame.is_corrupt and counts:
                faults.meet("a frame is damaged")
            yield frame
    if isinstance(source, _Input) and not hasattr(source, "seek") and num_packets < stream.frames:
        faults.meet(f"ends after {num_packets} of the {stream.frames} frames that it announces")


def _format_of(
    container: InputContainer,
    stream: VideoStream,
    frame: av.VideoFrame,
    fps: Fraction | None,
    has_times: bool,
    name: str,
    target: PixelLayout | None,
) -> VideoFormat:
    layout = target or _coded_layout(frame, name)
    color_range = 2 if frame.format.name in _FULL_RANGE_NAMES else frame.color_range
    # Where a demuxer makes time stamps up, its average rate is 25 whatever the codec's headers say.
    rates = (stream.average_rate, stream.guessed_rate) if has_times else (fps, stream.guessed_rate, stream.average_rate)
    side_data = _side_data(stream, frame)
    turned = _orientation(side_data, frame.rotation, name)
    screen, light = _hdr(side_data)
    return VideoFormat(
        width=frame.width,
        height=frame.height,
        pix_fmt=layout.name,
        # PyAV 19 has a rational of its own, which is false where nothing is known.
        time_base=Fraction(stream.time_base or Fraction(1, 25)),
        frame_rate=Fraction(next((rate for rate in rates if rate), 0)),
        sample_aspect_ratio=Fraction(stream.sample_aspect_ratio or 0),
        color_primaries=frame.color_primaries,
        color_trc=frame.color_trc,
        color_space=0 if layout.is_rgb else frame.colorspace,
        color_range=color_range or (2 if layout.is_rgb else 0),
        chroma_location=_chroma_location(container, stream) if layout.cell_width > 1 else 0,
        field_order=_FIELD_ORDERS.get(stream.codec_context.field_order, 0),
        rotation=turned[0],
        mirrored=turned[1],
        mastering_display=screen,
        content_light=light,
    )


def _side_data(stream: VideoStream, frame: av.VideoFrame) -> Mapping[Any, Any]:
    """What a frame has beside its samples, by PyAV's names; of a PNG nothing.

    PyAV 18 frees the metadata of side data together with the frame that owns it, and again, which ends the process. The
    colour profile of a PNG is what has any.
    """
    return {} if stream.codec_context.name in ("png", "apng") else frame.side_data


def _integers(side_data: Mapping[Any, Any], kind: str, dtype: str) -> NDArray[Any] | None:
    """Native integers of a side data's struct; None where there is none."""
    found = side_data.get(kind)
    return None if found is None else np.frombuffer(memoryview(found), dtype)


def _orientation(side_data: Mapping[Any, Any], degrees: int, name: str) -> tuple[int, bool]:
    matrix = _integers(side_data, "DISPLAYMATRIX", "=i4")
    if matrix is None:
        return 0, False
    found = orientation([int(value) for value in matrix[:9]])
    if found is None:
        _log.warning("%s: rotation by %d degrees on display is left out: only right angles are kept", name, degrees)
        return 0, False
    return found


def _hdr(side_data: Mapping[Any, Any]) -> tuple[MasteringDisplay | None, ContentLight | None]:
    """AVMasteringDisplayMetadata (ten rationals, two flags) and AVContentLightMetadata in the integers of HEVC."""
    screen = light = None
    words = _integers(side_data, "MASTERING_DISPLAY_METADATA", "=i4")
    if words is not None and (words[20] or words[21]):
        terms = [int(word) for word in words[:20]]
        ratios = [Fraction(n, d) if d else Fraction(0) for n, d in zip(terms[::2], terms[1::2], strict=True)]
        *places, darkest, brightest = ratios
        units = [round(place * 50_000) if words[20] else 0 for place in places]
        lights = [round(light * 10_000) if words[21] else 0 for light in (brightest, darkest)]
        screen = MasteringDisplay.of_values([*units, *lights])
    words = _integers(side_data, "CONTENT_LIGHT_LEVEL", "=u4")
    if words is not None:
        light = ContentLight(int(words[0]), int(words[1]))
    return screen, light


def _what_is_left_out(
    container: InputContainer, stream: VideoStream, frame: av.VideoFrame, name: str, has_profile: bool
) -> str:
    """All that a source has and a .c3v stream has not, in words for who encodes it; empty where there is nothing."""
    kinds: dict[str, int] = {}
    for other in container.streams:
        if other.index != stream.index:
            kind = "cover picture" if other.disposition & Disposition.attached_pic else str(other.type)
            kinds[kind] = kinds.get(kind, 0) + 1
    names = {
        "video": "other video streams",
        "data": "data streams",
        "subtitle": "subtitles",
        "attachment": "attachments",
    }
    left_out = [names.get(kind, kind) for kind in kinds if kind != "unknown"]
    if {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1":
        left_out.append("transparency (the alpha channel)")
    side_data = _side_data(stream, frame)
    left_out += [words for kind, words in _DROPPED_SIDE_DATA.items() if side_data.get(kind) is not None]
    if has_profile and _DROPPED_SIDE_DATA["ICC_PROFILE"] not in left_out:
        left_out.append(_DROPPED_SIDE_DATA["ICC_PROFILE"])
    hint = ""
    if "audio" in kinds:
        place = "IN" if name == "standard input" else shlex.quote(name)
        hint = (
            "; to bring the audio back after decoding to OUT.mkv: "
            f"`ffmpeg -copyts -i OUT.mkv -i {place} -map 0:v -map 1:a -c copy WITH_AUDIO.mkv`"
        )
    return f"left out, since only pictures are coded: {', '.join(left_out)}{hint}" if left_out else ""


def _coded_layout(frame: av.VideoFrame, name: str) -> PixelLayout:
    found = frame.format.name
    pix_fmt = _FULL_RANGE_NAMES.get(found) or REPACKED.get(found) or _WITH_ALPHA_PLANE.get(found, found)
    if pix_fmt in LAYOUTS:
        return LAYOUTS[pix_fmt]
    target = nearest(frame.format)
    lost = [f"the lowest {depth_of(frame.format) - 10} bits are lost"] if 10 < depth_of(frame.format) <= 16 else []
    if any(component.is_alpha for component in frame.format.components):
        lost.append("transparency is lost")
    note = f" ({', '.join(lost)})" if lost else ""
    if family_of(frame.format) is None:
        # FFV1 has no gbrp of 8 bits
        ffmpeg_name = "bgr0" if target == "gbrp" else target
        how = f"convert it first: `ffmpeg -i IN -pix_fmt {ffmpeg_name} -c:v ffv1 OUT.mkv`"
    else:
        how = f"--pix-fmt {target} converts it on the way in"
    known = ", ".join(LAYOUTS)
    raise SourceError(f"{name}: pixel format {found} is not supported: must be one of {known}; {how}{note}")


def _full_range_names(layout: PixelLayout) -> list[str]:
    """Other names of the same samples."""
    return [name for name, coded in _FULL_RANGE_NAMES.items() if coded == layout.name]


def _chroma_location(container: InputContainer, stream: VideoStream) -> int:
    """The code point of a stream's chroma location.

    PyAV 18 has no property for it; FFmpeg's description of the container tells it when asked to be verbose:
    `Stream #0:0: Video: h264 (High), ..., yuv420p(tv, bt709, progressive, left), 352x288 ...`.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    av.logging.set_libav_level(av.logging.VERBOSE)
    try:
        description = container.dumps_format()  # type: ignore[attr-defined]  # not in PyAV's stubs
    finally:
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's default; PyAV cannot tell what it was
        av.logging.set_level(level)
    # The pixel format's bracket follows its name at once, the codec's after a space.
    details = re.search(rf"Stream #0:{stream.index}\b[^\n]*: Video: [^\n]*?\w\(([^)\n]*)\)", description)
    words = details[1].split(", ") if details else []
    return next((_CHROMA_LOCATIONS[word] for word in words if word in _CHROMA_LOCATIONS), 0)


def _num_frames(container: InputContainer, stream: VideoStream) -> int | None:
    if stream.frames:
        return stream.frames
    if container.duration and stream.average_rate:
        return round(Fraction(container.duration, av.time_base) * Fraction(stream.average_rate)) or None
    return None


def _repacked_frames(
    decoded: Iterator[av.VideoFrame],
    video: VideoFormat,
    pix_fmt: str,
    fps: Fraction | None,
    name: str,
    faults: Faults,
    first_pts: int | None,
    conversion: Conversion | None,
) -> Iterator[Frame]:
    """Frames in the coded layout, with time stamps that grow.

    A missing time stamp is the one before plus that frame's duration, or one frame at the nominal rate; one that does
    not grow becomes the one before plus 1.
    """
    reformatter = VideoReformatter()
    nominal = max(1, round(1 / (video.frame_rate * video.time_base))) if video.frame_rate else 1
    previous: tuple[int, int] | None = None
    for index, frame in enumerate(decoded):
        found = frame.width, frame.height, frame.format.name
        where, before = f"frame {index}", f"--frames 0:{index}"
        if first_pts is not None:  # its number is not known
            seconds = float(((frame.pts or first_pts) - first_pts) * video.time_base)
            where, before = f"the frame at {seconds:g} s", f"--end {seconds:g}"
        if found != (video.width, video.height, pix_fmt):
            raise SourceError(
                f"{name}: {where} is {found[0]} x {found[1]} {found[2]}, those before are "
                f"{video.width} x {video.height} {pix_fmt}: encode them apart (first: {before})"
            )
        if conversion is None:
            _check_opaque(frame, f"{name}: {where}")
        pts, duration = frame.pts, nominal if fps is not None else max(0, frame.duration or 0)
        if fps is not None:
            pts = None  # the options name the rate, the demuxer guessed another
        if previous is None:
            pts = pts or 0
        elif pts is None:
            pts = previous[0] + (previous[1] or nominal)
        elif pts <= previous[0]:
            faults.meet("a time stamp that did not grow is moved")
            pts = previous[0] + 1
        previous = pts, duration
        if conversion is not None:
            yield Frame(conversion(frame), pts, duration)
            continue
        if pix_fmt in REPACKED:
            frame = reformatter.reformat(frame, format=video.pix_fmt, interpolation=SWSCALE_FLAGS, threads=1)
        yield Frame(copied_planes(frame, video.layout), pts, duration)


def _check_opaque(frame: av.VideoFrame, name: str) -> None:
    """Raise SourceError where a pixel lets through what is behind it."""
    found = frame.format.name
    if found == "pal8":
        palette = np.frombuffer(memoryview(frame.planes[1]), dtype=np.uint32)[:256]  # native 0xAARRGGBB
        is_opaque = bool((palette >> 24 == 255).all())
        target = "gbrp"
    elif found in ("rgba", "bgra", "argb", "abgr", "ya8"):
        place, size = found.index("a"), len(found.rstrip("8"))
        rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(frame.height, -1)
        is_opaque = bool((rows[:, : size * frame.width][:, place::size] == 255).all())
        target = "gray" if found == "ya8" else "gbrp"
    elif found in _WITH_ALPHA_PLANE:
        layout = LAYOUTS[_WITH_ALPHA_PLANE[found]]
        rows = np.frombuffer(memoryview(frame.planes[3]), layout.dtype.newbyteorder("<")).reshape(frame.height, -1)
        is_opaque = bool((rows[:, : frame.width] == layout.max_value).all())
        target = layout.name
    else:
        return
    if not is_opaque:
        raise SourceError(
            f"{name}: has transparent pixels ({found}), which are not coded; --pix-fmt {target} drops the "
            "transparency, ffmpeg's overlay lays it over a background"
        )
