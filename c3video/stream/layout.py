# SPDX-License-Identifier: MIT
"""The layout of a .c3v stream, version 16: each structure is declared once, as a table of fields.

    stream = START, HEADER, model, crc32, record of segment 0, record of segment 1, ..., record of the index, TRAILER
           | START, HEADER, model, crc32, record of segment 0, TAIL_MAGIC
    model  = the fields of one of the models (docs/c3v.md, section 3.2)
    record = RECORD, payload (SEGMENT or INDEX), crc32

Writing, reading, sizes, the header listing of `c3v info` and the tables in docs/c3v.md all come from the
tables below; `python -m c3video.stream.layout` prints the latter. Integers are little-endian, a crc32 is
zlib's. A value has exactly one encoding: what a reader accepts is what a writer writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any

from c3video.config import (
    MODEL_CONFIGS,
    NOTHING_SAID,
    PRESET_NUMBERS,
    PROFILE_NUMBERS,
    EncoderSettings,
    ModelConfig,
)
from c3video.errors import ConfigError, CorruptSegmentError, StreamError
from c3video.limits import check_segment_size
from c3video.stream.fields import BLOB, SVARINT, U8, U16, U32, U64, VARINT, Constant, Data, Field, Structure, constant
from c3video.video import LAYOUTS, ContentLight, MasteringDisplay, VideoFormat

MAGIC = b"\x89C3V\r\n\x1a\n"
"""As in PNG: not text, and damaged by whatever changes line ends or strips the eighth bit."""
VERSION = 16
"""No file of the versions before was ever released; nothing reads them."""
TAIL_MAGIC = b"\x89C3Vend\n"
SYNC = b"C3R"
"""Starts a record; what a reader looks for after damage."""
SEGMENT_KIND, INDEX_KIND = 1, 2

MAX_PAYLOAD_BYTES = 1 << 30
MAX_INDEX_BYTES = 1 << 25
MAX_SEGMENTS = 1 << 20
MAX_TIME = (1 << 62) - 1
MAX_SEGMENT_SAMPLES = 1 << 31
"""Samples of a segment's frames; leaves room for 64 frames of 3840 x 2160 in 4:4:4."""


START = Structure(
    "start",
    (
        constant("magic", MAGIC, "marks a .c3v stream"),
        Field("version", U8, VERSION, VERSION, "of the format; anything else is refused"),
        Field("header_size", U16, 1, 4096, "bytes of the header after it; a crc32 of all so far comes next"),
    ),
)

_BASE, _RATE, _ASPECT = (
    (attrgetter(f"video.{name}.numerator"), attrgetter(f"video.{name}.denominator"))
    for name in ("time_base", "frame_rate", "sample_aspect_ratio")
)
_NUMBER, _KIND = attrgetter("video.layout.number"), attrgetter("model.KIND")
_PROFILE, _PRESET, _RD_WEIGHT = (attrgetter(f"settings.{name}") for name in ("profile", "preset", "rd_weight"))
_PROFILES, _PRESETS = (
    ", ".join(f"{number} {name}" for name, number in numbers.items()) for numbers in (PROFILE_NUMBERS, PRESET_NUMBERS)
)
_KINDS = ", ".join(f"{kind}: {model.FIELDS.name}" for kind, model in MODEL_CONFIGS.items())


def _turns(header: Header) -> int:
    return header.video.rotation // 90


def _mirrored(header: Header) -> int:
    return int(header.video.mirrored)


def _screen(header: Header) -> tuple[int, ...]:
    screen = header.video.mastering_display
    return () if screen is None else screen.values


def _light(header: Header) -> tuple[int, ...]:
    light = header.video.content_light
    return () if light is None else (light.max_content, light.max_average)


HEADER = Structure(
    "header",
    (
        Field("width", U16, 1, 16384, "luma samples a row"),
        Field("height", U16, 1, 16384, "luma rows; width x height is at most 2^27"),
        Field(
            "pix_fmt",
            U8,
            0,
            255,
            "number of the pixel format (table of section 10)",
            get=_NUMBER,
            usual=LAYOUTS["yuv420p"].number,
        ),
        Field("time_base_num", VARINT, 1, (1 << 31) - 1, "seconds a unit of pts, numerator", get=_BASE[0], usual=1),
        Field("time_base_den", VARINT, 1, (1 << 31) - 1, "denominator", get=_BASE[1]),
        Field(
            "frame_rate_num",
            VARINT,
            0,
            (1 << 31) - 1,
            "nominal frames a second, numerator; 0: not known",
            get=_RATE[0],
        ),
        Field("frame_rate_den", VARINT, 1, (1 << 31) - 1, "denominator", get=_RATE[1], usual=1),
        Field(
            "sample_aspect_num",
            VARINT,
            0,
            (1 << 31) - 1,
            "width : height of a luma sample; 0: not known",
            get=_ASPECT[0],
            usual=0,
        ),
        Field("sample_aspect_den", VARINT, 1, (1 << 31) - 1, "denominator", get=_ASPECT[1], usual=1),
        Field("color_primaries", U8, 0, 255, "code point of ISO/IEC 23091-2; 2: unspecified", usual=2),
        Field("color_trc", U8, 0, 255, "transfer characteristics, likewise", usual=2),
        Field("color_space", U8, 0, 255, "matrix coefficients, likewise", usual=2),
        Field("color_range", U8, 0, 2, "0: unspecified, 1: limited (tv), 2: full (pc)", usual=1),
        Field("chroma_location", U8, 0, 6, "0: unspecified, else as AVChromaLocation of FFmpeg: 1 left ...", usual=1),
        Field(
            "field_order",
            U8,
            0,
            3,
            "0: unknown, 1: progressive, 2: top field first, 3: bottom field first",
            since=5,
            usual=1,
        ),
        Field("quarter_turns", U8, 0, 3, "by which a player turns pictures clockwise", since=5, get=_turns, usual=0),
        Field("mirrored", U8, 0, 1, "1: it flips them left to right before that", since=5, get=_mirrored, usual=0),
        Field("num_mastering", U8, 0, 10, "10 where the mastering display is known, else 0", since=5, usual=0),
        Field(
            "mastering_display",
            U32,
            0,
            (1 << 32) - 1,
            "x and y of red, green, blue and white in 0.00002, at most 65535; max, min luminance in 0.0001 cd/m2",
            "num_mastering",
            since=5,
            get=_screen,
            usual=(),
        ),
        Field("num_content_light", U8, 0, 2, "2 where the content light level is known, else 0", since=5, usual=0),
        Field(
            "content_light",
            U16,
            0,
            65535,
            "MaxCLL, MaxFALL in cd/m2",
            "num_content_light",
            since=5,
            get=_light,
            usual=(),
        ),
        Field(
            "profile", U8, 0, 255, f"that it was encoded with; 0: not said, {_PROFILES}", since=6, get=_PROFILE, usual=1
        ),
        Field(
            "preset",
            U8,
            0,
            255,
            f"likewise; 0: not said, {_PRESETS}",
            since=6,
            get=_PRESET,
            usual=PRESET_NUMBERS["fast"],
        ),
        Field("rd_weight", VARINT, 0, 10**9, "likewise, in 10^-9; 0: not said", since=6, get=_RD_WEIGHT),
        Field("segment_frames", U16, 1, 1024, "most frames a segment", usual=64),
        Field("patch_rows", U16, 1, 256, "rows of patches; edge i lies at cell row i * Hc // patch_rows", usual=1),
        Field("patch_columns", U16, 1, 256, "columns; edge i lies at cell column i * Wc // patch_columns", usual=1),
        Field("model_kind", U8, min(MODEL_CONFIGS), max(MODEL_CONFIGS), _KINDS, since=2, get=_KIND, usual=2),
    ),
)

_FRACTIONS = {"time_base": "time_base", "frame_rate": "frame_rate", "sample_aspect_ratio": "sample_aspect"}
"""Attributes of VideoFormat that are two fields, by the start of their names."""
_PLAIN_VIDEO_FIELDS = {field.name for field in HEADER.fields if field.get is None} & {
    attribute.name for attribute in fields(VideoFormat)
}

CHECK = Structure("check", (Field("crc32", U32, 0, (1 << 32) - 1, "of the bytes named beside it"),))

RECORD = Structure(
    "record",
    (
        constant("sync", SYNC, "starts a record"),
        Field("kind", U8, SEGMENT_KIND, INDEX_KIND, "1: segment, 2: index, the last record"),
        Field("number", U32, 0, MAX_SEGMENTS, "segment: counts from 0; index: number of segments"),
        Field("payload_size", U32, 1, MAX_PAYLOAD_BYTES, "index: at most 2^25; its crc32 follows it"),
        Field("head_crc32", U32, 0, (1 << 32) - 1, "of the 12 bytes before"),
    ),
)

SEGMENT = Structure(
    "segment",
    (
        Field("num_frames", VARINT, 1, 1024, "frames; at most segment_frames of the header"),
        Field("first_pts", SVARINT, -MAX_TIME, MAX_TIME, "of the first frame, in units of time_base"),
        Field("least_step", VARINT, 0, MAX_TIME, "least step from a time stamp to the next; 0 for one frame", since=15),
        Field("step_excess", BLOB, 0, 8191, "what each step is above it, all in as many bits", since=15),
        Field("last_duration", VARINT, 0, MAX_TIME, "of the last frame; 0: not known"),
        Field(
            "frame_hashes",
            U16,
            0,
            65535,
            "lower 16 bits of the crc32 of each decoded frame (section 10)",
            "num_frames",
            since=9,
        ),
        Field(
            "patches",
            BLOB,
            0,
            MAX_PAYLOAD_BYTES,
            "row by row (sections 6 to 9, 17, or those of c3v_pyramid.md)",
            "num_patches",
        ),
    ),
)

INDEX = Structure(
    "index",
    (
        Field("segment_sizes", VARINT, 1, 1 << 31, "bytes of each segment's record", "num_segments"),
        Field("segment_num_frames", VARINT, 1, 1024, "its frames", "num_segments"),
        Field("segment_first_pts", SVARINT, -MAX_TIME, MAX_TIME, "its first time stamp", "num_segments"),
        Field("total_frames", VARINT, 0, MAX_SEGMENTS * 1024, "sum of the frames"),
    ),
)

TRAILER = Structure(
    "trailer",
    (
        Field("index_offset", U64, 1, (1 << 63) - 1, "of the index record, from the start of the stream"),
        constant("tail_magic", TAIL_MAGIC, "ends the stream; nothing may follow"),
    ),
)

STRUCTURES = (START, HEADER, *(model.FIELDS for model in MODEL_CONFIGS.values()), RECORD, SEGMENT, INDEX, TRAILER)

RECORD_OVERHEAD_BYTES = RECORD.size_bytes + CHECK.size_bytes


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first segment.

    Args:
        segment_frames: most frames a segment.
        patch_rows, patch_columns: the patch grid of every segment; 1 and 1 with the hybrid model, which codes whole
            frames.
        settings: what the encoder was told, where it said so.
    """

    video: VideoFormat
    model: ModelConfig
    segment_frames: int
    patch_rows: int
    patch_columns: int
    settings: EncoderSettings = NOTHING_SAID

    @property
    def num_patches(self) -> int:
        return self.patch_rows * self.patch_columns

    def check(self) -> None:
        """Raise ConfigError for what a stream may not carry, which bounds the memory that a decoder needs."""
        self.video.check()
        self.model.check()
        HEADER.write(HEADER.values_of(self, self.video))
        self.model.check_segment(self.video, self.segment_frames, self.patch_rows, self.patch_columns)
        height, width = self.video.cell_shape
        samples = height * width * self.video.layout.num_cell_channels * self.segment_frames
        check_segment_size(
            "samples of a segment", samples, MAX_SEGMENT_SAMPLES, self.segment_frames, "fewer frames a segment"
        )


def _header_of(values: Mapping[str, Any], model: ModelConfig) -> Header:
    """Raises ConfigError, from checks that span fields."""
    names = {layout.number: name for name, layout in LAYOUTS.items()}
    if values["pix_fmt"] not in names:
        raise ConfigError(f"pix_fmt = {values['pix_fmt']}: must be one of {sorted(names)}")
    of_video: dict[str, Any] = {name: values[name] for name in _PLAIN_VIDEO_FIELDS}
    of_video |= {name: _fraction(values, start) for name, start in _FRACTIONS.items()}
    screen, light = values["mastering_display"], values["content_light"]
    if len(screen) not in (0, 10) or len(light) not in (0, 2):
        raise ConfigError(
            f"{len(screen)} numbers of a mastering display, {len(light)} of content light: a part of them"
        )
    of_video["rotation"], of_video["mirrored"] = 90 * values["quarter_turns"], bool(values["mirrored"])
    of_video["mastering_display"] = MasteringDisplay.of_values(screen) if screen else None
    of_video["content_light"] = ContentLight(*light) if light else None
    video = VideoFormat(pix_fmt=names[values["pix_fmt"]], **of_video)
    settings = EncoderSettings(values["profile"], values["preset"], values["rd_weight"])
    header = Header(video, model, values["segment_frames"], values["patch_rows"], values["patch_columns"], settings)
    header.check()
    return header


def _fraction(values: Mapping[str, Any], name: str) -> Fraction:
    numerator, denominator = values[f"{name}_num"], values[f"{name}_den"]
    fraction = Fraction(numerator, denominator)
    if fraction.denominator != denominator:
        raise ConfigError(f"{name} = {numerator}/{denominator}: must be in lowest terms")
    return fraction


def write_header(header: Header) -> bytes:
    """START, HEADER, the fields of its model and their crc32. Raises ConfigError."""
    header.check()
    model_fields = header.model.FIELDS
    payload = HEADER.write(HEADER.values_of(header, header.video))
    payload += model_fields.write(model_fields.values_of(header.model))
    data = START.write({"version": VERSION, "header_size": len(payload)}) + payload
    return data + write_check(data)


def read_header(payload: Data) -> Header:
    """The header of a stream, from the bytes of HEADER and its model. Raises StreamError."""
    values, at = HEADER.read_start(payload, START.size_bytes, 0)
    model = MODEL_CONFIGS[values["model_kind"]]
    model_values, at = model.FIELDS.read_start(payload, START.size_bytes, at)
    model.FIELDS.check_end(payload, START.size_bytes, at)
    try:
        return _header_of(values, model.from_values(model_values))
    except ConfigError as error:
        raise StreamError(f"header: {error}", offset_bytes=START.size_bytes) from error


def describe(header: Header) -> dict[str, Any]:
    """The fields of a header and of its model by name, in their order; pixel format and settings in words."""
    values = HEADER.values_of(header, header.video) | {"pix_fmt": header.video.pix_fmt} | header.settings.describe()
    model = header.model.FIELDS.values_of(header.model)
    return {field.name: values[field.name] for field in HEADER.fields} | {
        field.name: model[field.name] for field in header.model.FIELDS.fields
    }


def write_check(data: Data) -> bytes:
    """The crc32 that follows `data`."""
    return CHECK.write({"crc32": zlib.crc32(data)})


@dataclass(frozen=True)
class RecordHead:
    """What a record is and where it ends."""

    kind: int
    number: int
    payload_size: int


def write_record(kind: int, number: int, payload: bytes) -> bytes:
    """A whole record. Raises ConfigError."""
    head = RECORD.write({"kind": kind, "number": number, "payload_size": len(payload), "head_crc32": 0})
    head = head[: -CHECK.size_bytes]
    return head + write_check(head) + payload + write_check(payload)


def read_record_head(data: Data, offset_bytes: int) -> RecordHead:
    """The record that starts with the RECORD in `data`. Raises CorruptSegmentError."""
    try:
        if write_check(data[: -CHECK.size_bytes]) != data[-CHECK.size_bytes :]:
            raise StreamError("its crc32 does not match")
        values = RECORD.read(data, offset_bytes)
        if values["kind"] == INDEX_KIND and values["payload_size"] > MAX_INDEX_BYTES:
            raise StreamError(f"payload_size = {values['payload_size']}: must be in 1..{MAX_INDEX_BYTES} for an index")
    except StreamError as error:
        raise CorruptSegmentError(
            f"no segment or index at byte {offset_bytes}, where one should be: {error}; stream damaged",
            offset_bytes=offset_bytes,
        ) from None
    return RecordHead(values["kind"], values["number"], values["payload_size"])


@dataclass(frozen=True)
class Segment:
    """Frames that decode alone.

    Args:
        number: from 0.
        pts: time stamp of each frame in units of the time base, increasing.
        durations: of each frame, likewise. Only the last is written; others reach to the next frame's pts.
        frame_hashes: of each decoded frame, see `c3video.video.frame_hash`.
        patches: bytes of each patch, row by row, see `c3video.c3.payload`; the other models have one, see
            `c3video.pyramid.payload` and `c3video.hybrid.payload`.
    """

    number: int
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    frame_hashes: tuple[int, ...]
    patches: tuple[bytes, ...]

    def check_frame(self, index: int, found: int) -> None:
        """Raise CorruptSegmentError unless a decoded frame's hash is the one that the encoder saw."""
        if found != self.frame_hashes[index]:
            raise CorruptSegmentError(
                f"segment {self.number}, frame {index}: decoded to hash {found:04x}, the encoder saw "
                f"{self.frame_hashes[index]:04x}; the stream is damaged or this decoder is faulty",
                segment=self.number,
            )

    @property
    def size_bytes(self) -> int:
        """All of its bytes in a stream."""
        return RECORD_OVERHEAD_BYTES + len(SEGMENT.write(_segment_values(self)))


def _segment_values(segment: Segment) -> dict[str, Any]:
    steps = [after - before for before, after in pairwise(segment.pts)]
    least = min(steps, default=0)
    return {
        "num_frames": len(segment.pts),
        "first_pts": segment.pts[0],
        "least_step": least,
        "step_excess": _packed([step - least for step in steps]),
        "last_duration": segment.durations[-1],
        "frame_hashes": segment.frame_hashes,
        "patches": segment.patches,
        "num_patches": len(segment.patches),
    }


def _packed(values: Sequence[int]) -> bytes:
    """Values of 0 and more in as many bits each, low bits first, in as few bytes as hold the largest one so."""
    bits = max(values, default=0).bit_length()
    size = -(-bits * len(values) // 8)
    bits = 8 * size // max(1, len(values))
    return sum(value << (bits * place) for place, value in enumerate(values)).to_bytes(size, "little")


def _unpacked(data: bytes, count: int) -> list[int]:
    """The `count` values that `_packed` made bytes of; bytes that it never makes give values it packs otherwise."""
    bits, packed = 8 * len(data) // max(1, count), int.from_bytes(data, "little")
    return [packed >> (bits * place) & ((1 << bits) - 1) for place in range(count)]


def _segment_of(number: int, values: Mapping[str, Any], header: Header) -> Segment:
    num_frames, least, packed = values["num_frames"], values["least_step"], values["step_excess"]
    if num_frames > header.segment_frames:
        raise StreamError(f"num_frames = {num_frames}: must be in 1..{header.segment_frames} (segment_frames)")
    if (least > 0) != (num_frames > 1):
        raise StreamError(f"least_step = {least}: must be above 0 where there are frames to step to, and only there")
    excess = _unpacked(packed, num_frames - 1)
    if min(excess, default=0) or _packed(excess) != packed:
        raise StreamError(f"step_excess: {len(packed)} bytes are not how steps of {num_frames} frames are written")
    if max(excess, default=0) > MAX_TIME:  # of thousands of bits, may be: too long to say
        raise StreamError(f"step_excess: a step longer than {MAX_TIME}")
    steps = [least + each for each in excess]
    pts = tuple(accumulate(steps, initial=values["first_pts"]))
    if pts[-1] > MAX_TIME:
        raise StreamError(f"last time stamp {pts[-1]}: must be at most {MAX_TIME}")
    return Segment(number, pts, (*steps, values["last_duration"]), values["frame_hashes"], values["patches"])


def write_segment(segment: Segment, header: Header) -> bytes:
    """The whole record of a segment.

    Raises:
        ConfigError: a value is out of its range, or counts do not fit each other or the header.
    """
    for name, found, low, high in (
        ("time stamps", len(segment.pts), 1, header.segment_frames),
        ("durations", len(segment.durations), len(segment.pts), len(segment.pts)),
        ("patches", len(segment.patches), header.num_patches, header.num_patches),
    ):
        if not low <= found <= high:
            raise ConfigError(f"segment {segment.number}: {found} {name}: must be in {low}..{high}")
    if segment.pts[-1] > MAX_TIME:
        raise ConfigError(f"segment {segment.number}: time stamp {segment.pts[-1]}: must be at most {MAX_TIME}")
    for before, after in pairwise(segment.pts):
        if after <= before:
            raise ConfigError(f"segment {segment.number}: time stamp {after} after {before}: must be above it")
    return write_record(SEGMENT_KIND, segment.number, SEGMENT.write(_segment_values(segment)))


def read_segment(number: int, payload: Data, header: Header, offset_bytes: int) -> Segment:
    """A segment from the payload of its record, which lies at `offset_bytes`. Raises CorruptSegmentError."""
    try:
        values = SEGMENT.read(memoryview(payload), offset_bytes, num_patches=header.num_patches)
        return _segment_of(number, values, header)
    except StreamError as error:
        at = offset_bytes if error.offset_bytes is None else error.offset_bytes
        raise CorruptSegmentError(
            f"segment {number} (payload at byte {offset_bytes}): {error}", offset_bytes=at, segment=number
        ) from error


@dataclass(frozen=True)
class IndexEntry:
    """Where to find a segment without reading those before it."""

    size_bytes: int
    num_frames: int
    first_pts: int


def write_end(entries: Sequence[IndexEntry], offset_bytes: int) -> bytes:
    """What ends a stream at `offset_bytes`: index and trailer, or of one segment the magic of the latter alone."""
    if len(entries) == 1:
        return TAIL_MAGIC
    payload = INDEX.write(
        {
            "num_segments": len(entries),
            "segment_sizes": tuple(entry.size_bytes for entry in entries),
            "segment_num_frames": tuple(entry.num_frames for entry in entries),
            "segment_first_pts": tuple(entry.first_pts for entry in entries),
            "total_frames": sum(entry.num_frames for entry in entries),
        }
    )
    return write_record(INDEX_KIND, len(entries), payload) + TRAILER.write({"index_offset": offset_bytes})


def read_index(num_segments: int, payload: Data, offset_bytes: int) -> tuple[IndexEntry, ...]:
    """The index from the payload of its record, which lies at `offset_bytes`. Raises StreamError."""
    if num_segments == 1:
        raise StreamError("index: of one segment, which has none", offset_bytes=offset_bytes)
    values = INDEX.read(payload, offset_bytes, num_segments=num_segments)
    columns = ("segment_sizes", "segment_num_frames", "segment_first_pts")
    entries = tuple(IndexEntry(*entry) for entry in zip(*(values[name] for name in columns), strict=True))
    frames = sum(entry.num_frames for entry in entries)
    if frames != values["total_frames"]:
        raise StreamError(
            f"index: total_frames = {values['total_frames']}: its segments have {frames}",
            offset_bytes=offset_bytes,
        )
    return entries


def markdown_tables() -> dict[str, str]:
    """Each structure's table as it stands in docs/c3v.md, by name."""
    return {structure.name: _markdown_table(structure) for structure in STRUCTURES}


def _markdown_table(structure: Structure) -> str:
    lines = ["| field | type | range | usual | meaning | since |", "|---|---|---|---|---|---|"]
    for field in structure.fields:
        count = f" x {field.count}" if field.count else ""
        if isinstance(field.type, Constant):
            values = field.type.content.hex(" ").upper()
        else:
            values = f"{_number(field.low)}..{_number(field.high)}"
        usual = _usual(field.usual)
        lines.append(
            f"| `{field.name}` | {field.type.name}{count} | {values} | {usual} | {field.meaning} | {field.since} |"
        )
    return "\n".join(lines)


def _usual(value: int | tuple[int, ...] | None) -> str:
    """What a table says of a usual value."""
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "" if value is None else str(value)


def _number(value: int) -> str:
    """`value`, as a power of two where digits would hide one."""
    if abs(value) <= 1 << 16:
        return str(value)
    sign, magnitude = ("-" if value < 0 else ""), abs(value)
    if magnitude & (magnitude - 1) == 0:
        return f"{sign}2^{magnitude.bit_length() - 1}"
    if magnitude & (magnitude + 1) == 0:
        text = f"2^{magnitude.bit_length()} - 1"
        return f"-({text})" if sign else text
    return str(value)


if __name__ == "__main__":
    print("\n\n".join(f"### {name}\n\n{table}" for name, table in markdown_tables().items()))
