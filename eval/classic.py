# SPDX-License-Identifier: MIT
"""x264, x265, SVT-AV1 and VP9 on the same frames, through PyAV: figures to hold ours against.

    frames -> encoder (one thread, constant quality, default GOP) -> packets -> decoder -> frames

Sizes are bytes of the elementary stream, without a container and without the SEI message in which x264
and x265 write their version: it is no part of the picture and, at some 700 and 2,300 bytes, would weigh on
short clips.

RGB is coded as Y'CbCr of full range (BT.601), 4:4:4 where the codec has it, since none of them does well on RGB planes;
what it costs to go there and back, beyond 48 dB, is the codec's loss.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from c3video.errors import ConfigError
from c3video.media.avframe import to_av_frame
from c3video.metrics import Comparison, measure
from c3video.video import Frame, Planes, VideoFormat

_SEI_USER_DATA_UNREGISTERED = 5
_M_PERTURB = -6  # of glibc's malloc.h
_DEFAULT_FRAME_RATE = Fraction(25)
_ACCURATE = (
    Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP | Interpolation.ACCURATE_RND
)


@dataclass(frozen=True)
class Codec:
    """How an encoder is asked for one thread and a constant quality.

    Args:
        encoder, decoder: FFmpeg's names.
        options: besides preset, crf and tune.
        preset_option: the encoder's name for its effort.
        default_preset: of that effort.
        crf_range: best and worst quality.
        crf_step: finest step of the crf that the encoder takes.
        sei_nal_type: NAL unit type of its SEI messages; None for codecs without.
        least_side: of a frame that it can be trusted with, in samples.
    """

    encoder: str
    decoder: str
    options: tuple[tuple[str, str], ...]
    preset_option: str
    default_preset: str
    crf_range: tuple[int, int]
    crf_step: Fraction
    sei_nal_type: int | None = None
    least_side: int = 1


CODECS = {
    "x264": Codec("libx264", "h264", (), "preset", "medium", (0, 51), Fraction(1, 10), sei_nal_type=6),
    "x265": Codec(
        "libx265",
        "hevc",
        # Wavefronts would cost rate and its own thread pool would escape `thread_count`.
        (("x265-params", "pools=none:frame-threads=1:log-level=none"),),
        "preset",
        "medium",
        (0, 51),
        Fraction(1, 10),
        sei_nal_type=39,
        # The x265 in PyAV 18 wrote past its buffers on frames 48 wide and aborted the process.
        least_side=64,
    ),
    "svtav1": Codec("libsvtav1", "libdav1d", (("svtav1-params", "lp=1"),), "preset", "6", (1, 63), Fraction(1)),
    "vp9": Codec("libvpx-vp9", "vp9", (("deadline", "good"),), "cpu-used", "1", (0, 63), Fraction(1)),
}


@dataclass(frozen=True)
class ClassicEncode:
    """One encode and what comes out of its decoder.

    Args:
        codec: a key of `CODECS`.
        tune: None for the encoder's default.
        size_bytes: all packets, without version SEI messages.
        raw_size_bytes: all packets.
        frames: decoded, in display order, with the time stamps of the frames that went in.
        encode_cpu_seconds, decode_cpu_seconds: of the whole process, on one thread.
    """

    codec: str
    preset: str
    tune: str | None
    crf: float
    size_bytes: int
    raw_size_bytes: int
    frames: tuple[Frame, ...]
    encode_cpu_seconds: float
    decode_cpu_seconds: float


def encode(
    frames: Sequence[Frame],
    format: VideoFormat,
    codec: str,
    crf: float,
    *,
    preset: str | None = None,
    tune: str | None = None,
) -> ClassicEncode:
    """Encode frames and decode them again.

    Colour description is not passed on: it would add some bytes, and no sample depends on it. Frames are
    taken to be equally spaced.

    Args:
        frames: at least one, all of `format`.
        codec: a key of `CODECS`.
        crf: the encoder's constant quality; smaller is better and larger.
        preset: the encoder's effort, None for "medium" or what comes near it.
        tune: x264 and x265 only: "psnr", "ssim", "grain" ...

    Raises:
        ConfigError: an unknown codec, or one that this PyAV lacks, or that refuses the pixel format or an
            option.
    """
    chosen = _codec(codec)
    preset = preset or chosen.default_preset
    if not frames:
        raise ConfigError(f"{codec}: no frames to encode")
    if min(format.width, format.height) < chosen.least_side:
        raise ConfigError(
            f"{codec}: frames of {format.width}x{format.height}; sides must be at least {chosen.least_side}"
        )
    if tune is not None and codec not in ("x264", "x265"):
        raise ConfigError(f"{codec}: tune = {tune!r} cannot be given; only x264 and x265 have it")
    options = dict(chosen.options) | {chosen.preset_option: preset, "crf": f"{crf:g}"}
    if tune is not None:
        options["tune"] = tune
    if codec == "svtav1":
        os.environ.setdefault("SVT_LOG", "1")  # it writes its settings to stderr, past FFmpeg's logging
    coded = coded_format(format, codec)
    packets, encode_seconds = _encode_packets([coded_picture(x, format, coded) for x in frames], coded, chosen, options)
    pictures, decode_seconds = _decode_packets(packets, coded, chosen)
    decoded = [decoded_planes(picture, coded, format) for picture in pictures]
    if len(decoded) != len(frames):
        raise ConfigError(f"{codec}: {len(frames)} frames went in, {len(decoded)} came out")
    raw_size_bytes = sum(map(len, packets))
    sei_bytes = sum(version_sei_bytes(packet, chosen.sei_nal_type) for packet in packets) if chosen.sei_nal_type else 0
    return ClassicEncode(
        codec=codec,
        preset=preset,
        tune=tune,
        crf=crf,
        size_bytes=raw_size_bytes - sei_bytes,
        raw_size_bytes=raw_size_bytes,
        frames=tuple(Frame(planes, frame.pts, frame.duration) for planes, frame in zip(decoded, frames, strict=True)),
        encode_cpu_seconds=encode_seconds,
        decode_cpu_seconds=decode_seconds,
    )


def at_size(
    frames: Sequence[Frame],
    format: VideoFormat,
    codec: str,
    target_bytes: int,
    *,
    preset: str | None = None,
    tune: str | None = None,
) -> tuple[ClassicEncode, Comparison]:
    """The encode whose size is nearest to `target_bytes`, found by bisection over the crf, and its quality.

    The result's `size_bytes` says how near: the crf has steps and an end (`Codec`), and sizes do not fall
    strictly with it, so the nearest of the eight or so encodes that were tried is returned.

    Raises:
        ConfigError: as `encode`.
    """
    chosen = _codec(codec)
    low, high = (int(end / chosen.crf_step) for end in chosen.crf_range)  # in steps
    best: ClassicEncode | None = None
    while low <= high:
        middle = (low + high) // 2
        tried = encode(frames, format, codec, float(middle * chosen.crf_step), preset=preset, tune=tune)
        if best is None or abs(tried.size_bytes - target_bytes) < abs(best.size_bytes - target_bytes):
            best = tried
        if tried.size_bytes > target_bytes:
            low = middle + 1
        else:
            high = middle - 1
    assert best is not None  # every codec's range has steps
    return best, measure(frames, best.frames, format, size_bytes=best.size_bytes)


def coded_format(format: VideoFormat, codec: str) -> VideoFormat:
    """What frames of a format are given to a codec as: themselves, Y'CbCr for RGB, 4:2:0 for gray where it must be."""
    if format.layout.is_rgb and format.layout.bit_depth == 8:
        pix_fmt = "yuv420p" if codec == "svtav1" else "yuv444p"
        return replace(format, pix_fmt=pix_fmt, color_space=5, color_range=2)
    if format.pix_fmt == "gray" and codec in ("svtav1", "vp9"):
        return replace(format, pix_fmt="yuv420p")
    return format


def coded_picture(frame: Frame, format: VideoFormat, coded: VideoFormat) -> av.VideoFrame:
    """A frame of `format` as a picture of `coded`."""
    if format.layout.is_rgb and not coded.layout.is_rgb:
        return to_av_frame(frame, format).reformat(
            format=coded.pix_fmt,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_ACCURATE,
        )
    if format.layout.is_gray and not coded.layout.is_gray:
        chroma = (np.full(shape, 128, np.uint8) for shape in coded.plane_shapes[1:])
        return to_av_frame(replace(frame, planes=(frame.planes[0], *chroma)), coded)
    return to_av_frame(frame, format)


def decoded_planes(picture: av.VideoFrame, coded: VideoFormat, format: VideoFormat) -> Planes:
    """The inverse: planes of `format` of a decoded picture."""
    if format.layout.is_rgb and not coded.layout.is_rgb:
        picture = picture.reformat(
            format="gbrp",
            src_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_ACCURATE,
        )
    return _planes(picture, format)


def version_sei_bytes(packet: bytes, sei_nal_type: int) -> int:
    """Bytes, start codes included, of SEI NAL units that hold nothing but unregistered user data.

    Args:
        packet: Annex B byte stream, H.264 (`sei_nal_type` 6) or HEVC (39).
    """
    starts = [match.start() for match in re.finditer(rb"\x00?\x00\x00\x01", packet)]
    num_bytes = 0
    for start, end in zip(starts, [*starts[1:], len(packet)], strict=True):
        nal = packet[packet.index(1, start) + 1 : end]
        if sei_nal_type == 6:
            nal_type, header_bytes = nal[0] & 0x1F, 1
        else:
            nal_type, header_bytes = nal[0] >> 1 & 0x3F, 2
        if nal_type == sei_nal_type and set(_sei_payload_types(nal[header_bytes:])) == {_SEI_USER_DATA_UNREGISTERED}:
            num_bytes += end - start
    return num_bytes


def _sei_payload_types(body: bytes) -> list[int]:
    """Payload types of the messages in an SEI NAL unit, after its header (H.264 7.3.2.3, HEVC 7.3.5)."""
    body = body.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention
    types, at = [], 0
    while at + 1 < len(body):  # the last byte is the trailing bits
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while body[at] == 0xFF:
                number, at = number + 255, at + 1
            numbers.append(number + body[at])
            at += 1
        types.append(numbers[0])
        at += numbers[1]
    return types


def _codec(name: str) -> Codec:
    try:
        return CODECS[name]
    except KeyError:
        raise ConfigError(f"codec = {name!r}: must be one of {', '.join(CODECS)}") from None


def single_threaded(name: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    """FFmpeg's encoder ("w") or decoder ("r") of that name, on one thread."""
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, VideoCodecContext)  # CODECS names no others
    context.thread_count = 1
    return context


@contextmanager
def zeroed_memory() -> Iterator[None]:
    """Allocations of the process start as zeros, where the C library is glibc, as they do in a new process.

    x264 (build 165) reads memory that it has not written: after much else in the process its bytes differed by up
    to 3.5% from one encode to the next, and in a new process they never do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(_M_PERTURB, 0xFF)  # the complement is what memory is filled with
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)


@contextmanager
def opened_encoder(
    codec: Codec, format: VideoFormat, frame_rate: Fraction, options: dict[str, str]
) -> Iterator[VideoCodecContext]:
    """An encoder on one thread that repeats itself, for pictures of a format."""
    with zeroed_memory():
        context = single_threaded(codec.encoder, "w")
        context.width, context.height, context.pix_fmt = format.width, format.height, format.pix_fmt
        context.framerate, context.time_base = frame_rate, 1 / frame_rate
        context.options = options
        context.bit_rate = 0  # libvpx aims at FFmpeg's default rate otherwise
        yield context


def _encode_packets(
    pictures: Sequence[av.VideoFrame], format: VideoFormat, codec: Codec, options: dict[str, str]
) -> tuple[list[bytes], float]:
    frame_rate = format.frame_rate or _DEFAULT_FRAME_RATE
    started = time.process_time()
    try:
        with opened_encoder(codec, format, frame_rate, options) as context:
            packets = []
            for index, picture in enumerate(pictures):
                picture.pts, picture.time_base = index, context.time_base
                packets += [bytes(packet) for packet in context.encode(picture)]
            packets += [bytes(packet) for packet in context.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise ConfigError(
            f"{codec.encoder} cannot encode {format.width}x{format.height} {format.pix_fmt} with {options}: {error}"
        ) from error
    return packets, time.process_time() - started


def _decode_packets(packets: list[bytes], format: VideoFormat, codec: Codec) -> tuple[list[av.VideoFrame], float]:
    started = time.process_time()
    context = single_threaded(codec.decoder, "r")
    pictures = [picture for packet in packets for picture in context.decode(av.Packet(packet))]
    pictures += context.decode(None)
    seconds = time.process_time() - started
    for picture in pictures:
        # FFmpeg's H.264 and HEVC decoders give luma alone as 4:2:0 with flat chroma.
        if picture.format.name != format.pix_fmt and not (
            format.layout.is_gray and picture.format.name == format.pix_fmt.replace("gray", "yuv420p")
        ):
            raise ConfigError(f"{codec.decoder} decoded {picture.format.name} from what was {format.pix_fmt}")
    return pictures, seconds


def _planes(picture: av.VideoFrame, format: VideoFormat) -> tuple[np.ndarray, ...]:
    """Copies of the planes without the padding of their rows."""
    dtype = np.dtype(format.layout.dtype)
    planes = []
    for plane, (height, width) in zip(picture.planes, format.plane_shapes):  # noqa: B905 (gray: see the caller)
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            :height, : width * dtype.itemsize
        ]
        planes.append(np.ascontiguousarray(rows).view(dtype))
    return tuple(planes)
