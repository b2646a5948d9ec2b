# SPDX-License-Identifier: MIT
"""Other codecs on the clips of a run: x264, x265, SVT-AV1 and VP9, one thread, default GOP, constant quality.

    OUT/clips.json -> encoder -> OUT/classic/STREAM.ivf (its packets) and STREAM.json (settings, bytes, seconds)

Frames go through one at a time, so that a clip of any length fits in memory. What is there is not made again.
`eval.classic` has the encoders' settings.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error

from c3video.errors import C3VideoError, ConfigError, SourceError
from c3video.video import Frame, Planes, VideoFormat
from eval import classic
from handover.clips import Clip, read_clips
from handover.files import draft, read_json, write_json

CRFS = {
    "x264": (17, 22, 27, 32, 37, 42),
    "x265": (17, 22, 27, 32, 37, 42),
    "svtav1": (20, 28, 36, 44, 52, 60),
    "vp9": (20, 28, 36, 44, 52, 60),
}
"""Qualities of each codec: some 40 to 26 dB on small clips."""

_FOURCC = {"x264": b"H264", "x265": b"HEVC", "svtav1": b"AV01", "vp9": b"VP90"}
_IVF_HEADER = struct.Struct("<4sHH4sHHIIII")
_IVF_FRAME = struct.Struct("<IQ")


@dataclass(frozen=True)
class Setting:
    """A codec with its effort: one curve.

    Args:
        codec: a key of `eval.classic.CODECS`.
        tune: "" for the encoder's default.
    """

    codec: str
    preset: str
    tune: str = ""

    @classmethod
    def parse(cls, text: str) -> Setting:
        """codec, codec:preset or codec:preset:tune. Raises ConfigError."""
        codec, preset, tune, *rest = [*text.split(":"), "", ""]
        if codec not in classic.CODECS:
            raise ConfigError(f"codec {codec!r}: must be one of {', '.join(classic.CODECS)}")
        if any(rest):
            raise ConfigError(f"{text!r}: must look like codec:preset:tune")
        if tune and codec not in ("x264", "x265"):
            raise ConfigError(f"{text!r}: only x264 and x265 have a tune")
        return cls(codec, preset or classic.CODECS[codec].default_preset, tune)


def encode_to_ivf(
    frames: Iterable[Frame], format: VideoFormat, setting: Setting, crf: float, out: BinaryIO
) -> dict[str, Any]:
    """Encode frames and write the packets as they come.

    Returns:
        Frames, bytes of the elementary stream with and without version text, seconds in the encoder.

    Raises:
        ConfigError: the encoder cannot be had, or refuses the pixel format or an option.
    """
    codec = classic.CODECS[setting.codec]
    if min(format.width, format.height) < codec.least_side:
        raise ConfigError(
            f"{setting.codec}: frames of {format.width}x{format.height}; sides must be at least {codec.least_side}"
        )
    coded = classic.coded_format(format, setting.codec)
    options = dict(codec.options) | {codec.preset_option: setting.preset, "crf": f"{crf:g}"}
    if setting.tune:
        options["tune"] = setting.tune
    if setting.codec == "svtav1":
        os.environ.setdefault("SVT_LOG", "1")  # it writes its settings to stderr, past FFmpeg's logging
    rate = format.frame_rate or Fraction(25)
    seconds = cpu_seconds = 0.0
    num_frames = size_bytes = text_bytes = num_packets = 0
    out.write(_ivf_header(setting.codec, format, rate, 0))

    def pictures() -> Iterator[av.VideoFrame | None]:
        for index, frame in enumerate(frames):
            picture = classic.coded_picture(frame, format, coded)
            picture.pts, picture.time_base = index, 1 / rate
            yield picture
        yield None  # flushes the encoder

    try:
        with classic.opened_encoder(codec, coded, rate, options) as context:
            for picture in pictures():
                num_frames += picture is not None
                # What it takes to have the next frame is not the encoder's time.
                started, cpu_started = time.perf_counter(), time.process_time()
                packets = [bytes(packet) for packet in context.encode(picture)]
                seconds += time.perf_counter() - started
                cpu_seconds += time.process_time() - cpu_started
                for packet in packets:
                    out.write(_IVF_FRAME.pack(len(packet), num_packets) + packet)
                    num_packets += 1
                    size_bytes += len(packet)
                    if codec.sei_nal_type:
                        text_bytes += classic.version_sei_bytes(packet, codec.sei_nal_type)
    except (av.error.FFmpegError, ValueError) as error:
        raise ConfigError(
            f"{codec.encoder} cannot encode {format.width}x{format.height} {coded.pix_fmt} with {options}: {error}"
        ) from error
    out.seek(0)
    out.write(_ivf_header(setting.codec, format, rate, num_packets))
    return {
        "pix_fmt": coded.pix_fmt,
        "num_frames": num_frames,
        "size_bytes": size_bytes - text_bytes,
        "raw_size_bytes": size_bytes,
        "encode_seconds": round(seconds, 4),
        "encode_cpu_seconds": round(cpu_seconds, 4),
    }


def _ivf_header(codec: str, format: VideoFormat, rate: Fraction, num_packets: int) -> bytes:
    size = format.width, format.height
    return _IVF_HEADER.pack(
        b"DKIF", 0, _IVF_HEADER.size, _FOURCC[codec], *size, rate.numerator, rate.denominator, num_packets, 0
    )


class IvfDecoder:
    """Frames of a file of `encode_to_ivf`, one at a time, with the seconds that its decoder took so far.

    Args:
        format: of the frames that were encoded.
    """

    def __init__(self, path: Path, codec: str, format: VideoFormat) -> None:
        self._path, self._codec, self._format = path, classic.CODECS[codec], format
        self._coded = classic.coded_format(format, codec)
        self.seconds = self.cpu_seconds = 0.0

    def __iter__(self) -> Iterator[Planes]:
        """Raises SourceError where the file is damaged or decodes to another pixel format."""
        context = classic.single_threaded(self._codec.decoder, "r")
        for data in [*_packets(self._path), None]:
            started, cpu_started = time.perf_counter(), time.process_time()
            try:
                pictures = context.decode(av.Packet(data) if data is not None else None)
            except av.error.FFmpegError as error:
                raise SourceError(f"{self._path}: cannot be decoded: {error}") from error
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.process_time() - cpu_started
            for picture in pictures:
                # FFmpeg's H.264 and HEVC decoders give luma alone as 4:2:0 with flat chroma.
                if picture.format.name != self._coded.pix_fmt and not self._format.layout.is_gray:
                    raise SourceError(
                        f"{self._path}: {picture.format.name} was decoded from what was {self._coded.pix_fmt}"
                    )
                yield classic.decoded_planes(picture, self._coded, self._format)


def _packets(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(_IVF_HEADER.size)
        while head := file.read(_IVF_FRAME.size):
            if len(head) < _IVF_FRAME.size:
                raise SourceError(f"{path}: is truncated")
            size = _IVF_FRAME.unpack(head)[0]
            data = file.read(size)
            if len(data) < size:
                raise SourceError(f"{path}: is truncated")
            yield data


def run(
    out: Path,
    clips: Sequence[Clip],
    settings: Sequence[Setting],
    crfs: Sequence[float] | None = None,
    budget_minutes: float | None = None,
) -> int:
    """Encode what is missing; returns how many encodes the budget left for the next run.

    A codec that refuses a clip is said and passed over.

    Raises:
        SourceError: a clip cannot be read.
    """
    deadline = None if budget_minutes is None else time.time() + 60 * budget_minutes
    jobs = [(clip, setting, crf) for clip in clips for setting in settings for crf in crfs or CRFS[setting.codec]]
    refused: set[tuple[str, str]] = set()
    left = 0
    for clip, setting, crf in jobs:
        if (clip.name, setting.codec) in refused:
            continue
        path = out / "classic" / f"{stream_name(clip, setting, crf)}.json"
        if path.exists():
            if read_json(path)["frames"] != [clip.first, clip.last]:
                raise ConfigError(f"{path}: is of other frames than {clip.first}:{clip.last}: take another folder")
            continue
        if deadline is not None and time.time() > deadline:
            left += 1
            continue
        try:
            record = _encode_clip(path, clip, setting, crf)
        except ConfigError as error:
            refused.add((clip.name, setting.codec))
            _say(f"classic: passed over: {clip.name}: {error}")
            continue
        _say(f"classic: {path.stem}: {record['size_bytes']} bytes, {record['encode_cpu_seconds']:.1f} s")
    if left:
        _say(f"classic: {left} encodes are left for the next run (budget)")
    return left


def _encode_clip(path: Path, clip: Clip, setting: Setting, crf: float) -> dict[str, Any]:
    with draft(path.with_suffix(".ivf")) as stream:
        with clip.open() as source, stream.open("wb") as file:
            record = encode_to_ivf(source, source.format, setting, crf, file)
        if record["num_frames"] != clip.num_frames:
            raise SourceError(f"{clip.path}: gave {record['num_frames']} frames, not {clip.num_frames}")
        decoder = IvfDecoder(stream, setting.codec, source.format)
        num_decoded = sum(1 for _ in islice(decoder, clip.num_frames + 1))
        if num_decoded != clip.num_frames:
            raise ConfigError(f"{setting.codec}: {clip.num_frames} frames went in, {num_decoded} came out")
    record = {
        "clip": clip.name,
        "frames": [clip.first, clip.last],
        "codec": setting.codec,
        "encoder": classic.CODECS[setting.codec].encoder,
        "preset": setting.preset,
        "tune": setting.tune,
        "crf": crf,
        **record,
        "decode_seconds": round(decoder.seconds, 4),
        "decode_cpu_seconds": round(decoder.cpu_seconds, 4),
    }
    write_json(path, record)
    return record


def stream_name(clip: Clip, setting: Setting, crf: float) -> str:
    """Name of a stream's files."""
    parts = (clip.name, classic.CODECS[setting.codec].encoder, setting.preset, setting.tune, f"{crf:g}")
    return "_".join(part for part in parts if part)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode the clips of a run folder with other codecs."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.classic_set",
        description="Encode the clips of OUT/clips.json with x264, x265, SVT-AV1 and VP9 to OUT/classic/.",
        epilog="example: python -m eval.classic_set runs/clips --codecs x264:medium,x265:veryslow:psnr --crf 22,32",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of a run, with clips.json")
    parser.add_argument(
        "--codecs",
        default="x264:medium,x265:medium,svtav1:6,vp9:1",
        metavar="C,C",
        help="codec, codec:preset or codec:preset:tune, of " + ", ".join(classic.CODECS) + " (default: %(default)s)",
    )
    parser.add_argument("--crf", metavar="N,N", help="qualities (default: six from fine to coarse)")
    parser.add_argument("--clips", metavar="A,B", help="only these clips")
    parser.add_argument("--budget-minutes", type=float, metavar="M", help="stop then; run again to go on")
    options = parser.parse_args(arguments)
    try:
        settings = [Setting.parse(text) for text in options.codecs.split(",")]
        crfs = [float(text) for text in options.crf.split(",")] if options.crf else None
        clips = read_clips(options.out, options.clips.split(",") if options.clips else None)
        run(options.out, clips, settings, crfs, options.budget_minutes)
    except (C3VideoError, OSError, ValueError) as error:
        print(f"classic_set: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("classic_set: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
