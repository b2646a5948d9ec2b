# SPDX-License-Identifier: MIT
"""The layout of a .c3v stream, version 4: each structure is declared once, as a table of fields.

    stream = START, HEADER, model, crc32, record of segment 0, record of segment 1, ..., record of the index, TRAILER
    model  = C3_MODEL or HYBRID_MODEL
    record = RECORD, payload (SEGMENT or INDEX), crc32

Writing, reading, sizes, the header listing of `c3v info` and the tables in docs/c3v.md all come from the
tables below; `python -m c3video.stream.layout` prints the latter. Integers are little-endian, a crc32 is
zlib's. A value has exactly one encoding: what a reader accepts is what a writer writes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any, Protocol

from c3video.coding.varint import read_varint, write_varint
from c3video.config import C3Config, HybridConfig, LatentGrid
from c3video.errors import ConfigError, CorruptSegmentError, StreamError
from c3video.hybrid.subbands import MAX_LEVELS
from c3video.video import LAYOUTS, VideoFormat

MAGIC = b"\x89C3V\r\n\x1a\n"
"""As in PNG: not text, and damaged by whatever changes line ends or strips the eighth bit."""
VERSION = 4
"""No file of the versions before was ever released; nothing reads them."""
TAIL_MAGIC = b"\x89C3Vend\n"
SYNC = b"C3R"
"""Starts a record; what a reader looks for after damage."""
SEGMENT_KIND, INDEX_KIND = 1, 2
C3_KIND, HYBRID_KIND = 1, 2
"""Numbers of the models in a header; never reused."""

MAX_PAYLOAD_BYTES = 1 << 30
MAX_INDEX_BYTES = 1 << 25
MAX_SEGMENTS = 1 << 20
MAX_TIME = (1 << 62) - 1
MAX_PATCH_CELLS = 1 << 26
"""Cells of a patch x segment_frames; leaves room for 32 whole frames of 1920 x 1080 in 4:4:4."""
MAX_FRAME_SAMPLES = 1 << 27
"""Samples of a frame of the hybrid model, which has no patches; leaves room for 7680 x 4320 in 4:4:4."""
MAX_SEGMENT_SAMPLES = 1 << 31
"""Samples of a segment's frames; leaves room for 64 frames of 3840 x 2160 in 4:4:4."""


class FieldType(Protocol):
    """How one value becomes bytes."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int | None:
        """None where it depends on the value."""

    def write(self, value: Any) -> bytes: ...

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """Value at `data[at:]`, and where it ends. Raises ValueError."""


@dataclass(frozen=True)
class Unsigned:
    """u8, u16, u32, u64: an unsigned integer of 1, 2, 4 or 8 bytes, low byte first."""

    size_bytes: int

    @property
    def name(self) -> str:
        return f"u{8 * self.size_bytes}"

    def write(self, value: int) -> bytes:
        return value.to_bytes(self.size_bytes, "little")

    def read(self, data: bytes, at: int) -> tuple[int, int]:
        value, end = _take(data, at, self.size_bytes)
        return int.from_bytes(value, "little"), end


@dataclass(frozen=True)
class Varint:
    """varint: 1 to 9 bytes of 7 bits each, low bits first; all but the last have their top bit set.

    The last is 0 only for the value 0, so that each value has one form.
    svarint: a varint that carries v >= 0 as 2v and v < 0 as -2v - 1.
    """

    signed: bool
    size_bytes: None = None

    @property
    def name(self) -> str:
        return "svarint" if self.signed else "varint"

    def write(self, value: int) -> bytes:
        return write_varint(2 * abs(value) - (value < 0) if self.signed else value)

    def read(self, data: bytes, at: int) -> tuple[int, int]:
        value, end = read_varint(data, at)
        return ((value >> 1) ^ -(value & 1) if self.signed else value), end


@dataclass(frozen=True)
class Blob:
    """blob: a varint n, then n bytes. The range is that of n."""

    name: str = "blob"
    size_bytes: None = None

    def write(self, value: bytes) -> bytes:
        return VARINT.write(len(value)) + value

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        size, at = VARINT.read(data, at)
        return _take(data, at, size)


@dataclass(frozen=True)
class Constant:
    """bytes: always these."""

    content: bytes
    name: str = "bytes"

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def write(self, value: bytes) -> bytes:
        return value

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        value, end = _take(data, at, len(self.content))
        if value != self.content:
            raise ValueError(f"{value.hex(' ')} instead of {self.content.hex(' ')}")
        return value, end


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError(f"{size} bytes are needed, {len(data) - at} are left")
    return data[at : at + size], at + size


U8, U16, U32, U64 = Unsigned(1), Unsigned(2), Unsigned(4), Unsigned(8)
VARINT, SVARINT, BLOB = Varint(signed=False), Varint(signed=True), Blob()


@dataclass(frozen=True)
class Field:
    """One line of a table.

    Args:
        low, high: the range of each value (of its length, for a blob), both ends allowed.
        count: for a field that is repeated, the name of the number of values: an earlier field, or a count
            that the structure is read with.
        since: version of the format that brought the field.
    """

    name: str
    type: FieldType
    low: int
    high: int
    meaning: str
    count: str | None = None
    since: int = 1

    def check(self, value: int | bytes) -> None:
        """Raise ValueError where a value is out of range."""
        number, of = (value, "") if isinstance(value, int) else (len(value), " bytes")
        if not self.low <= number <= self.high:
            raise ValueError(f"{number}{of}: must be in {self.low}..{self.high}")


def _constant(name: str, content: bytes, meaning: str) -> Field:
    return Field(name, Constant(content), len(content), len(content), meaning)


@dataclass(frozen=True)
class Structure:
    """Fields one after the other, without padding; values are a dict by name of int, bytes or tuples."""

    name: str
    fields: tuple[Field, ...]

    @property
    def size_bytes(self) -> int:
        """Size of a structure whose fields all have a fixed one."""
        sizes = [field.type.size_bytes for field in self.fields if field.count is None]
        assert len(sizes) == len(self.fields)
        return sum(size for size in sizes if size is not None)

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Bytes of `values`, which hold the counts too; constants may be left out.

        Raises:
            ConfigError: a value is out of its range.
        """
        out = bytearray()
        for field in self.fields:
            value = field.type.content if isinstance(field.type, Constant) else values[field.name]
            if field.count is not None and len(value) != values[field.count]:
                raise ConfigError(
                    f"{self.name}: {len(value)} {field.name}: must be {values[field.count]} ({field.count})"
                )
            for item in (value,) if field.count is None else value:
                try:
                    field.check(item)
                except ValueError as error:
                    raise ConfigError(f"{self.name}: {field.name} = {error}") from None
                out += field.type.write(item)
        return bytes(out)

    def read(self, data: bytes, offset_bytes: int, **counts: int) -> dict[str, Any]:
        """Values of a structure that fills `data`.

        Args:
            offset_bytes: place of `data` in the stream, for messages.
            counts: those that no field of the structure holds.

        Raises:
            StreamError: bytes are missing or left over, or a value is out of its range.
        """
        values, at = self.read_start(data, offset_bytes, 0, **counts)
        self.check_end(data, offset_bytes, at)
        return values

    def read_start(self, data: bytes, offset_bytes: int, at: int, **counts: int) -> tuple[dict[str, Any], int]:
        """Values of a structure that starts at `data[at:]`, and where it ends. Otherwise as `read`."""
        values: dict[str, Any] = dict(counts)
        for field in self.fields:
            items = []
            for _ in range(1 if field.count is None else values[field.count]):
                try:
                    item, end = field.type.read(data, at)
                    field.check(item)
                except ValueError as error:
                    raise StreamError(
                        f"{self.name}: {field.name} at byte {offset_bytes + at}: {error}",
                        offset_bytes=offset_bytes + at,
                    ) from None
                items.append(item)
                at = end
            values[field.name] = items[0] if field.count is None else tuple(items)
        return values, at

    def check_end(self, data: bytes, offset_bytes: int, at: int) -> None:
        """Raise StreamError where `data` goes on after `at`."""
        if at != len(data):
            raise StreamError(
                f"{self.name}: {len(data) - at} bytes are left over at byte {offset_bytes + at}",
                offset_bytes=offset_bytes + at,
            )


START = Structure(
    "start",
    (
        _constant("magic", MAGIC, "marks a .c3v stream"),
        Field("version", U8, VERSION, VERSION, "of the format; anything else is refused"),
        Field("header_size", U16, 1, 4096, "bytes of the header after it; a crc32 of all so far comes next"),
    ),
)

HEADER = Structure(
    "header",
    (
        Field("width", U16, 1, 16384, "luma samples a row"),
        Field("height", U16, 1, 16384, "luma rows; width x height is at most 2^27"),
        Field("pix_fmt", U8, 0, 255, "number of the pixel format (table of section 10)"),
        Field("time_base_num", VARINT, 1, (1 << 31) - 1, "seconds a unit of pts, numerator"),
        Field("time_base_den", VARINT, 1, (1 << 31) - 1, "denominator"),
        Field("frame_rate_num", VARINT, 0, (1 << 31) - 1, "nominal frames a second, numerator; 0: not known"),
        Field("frame_rate_den", VARINT, 1, (1 << 31) - 1, "denominator"),
        Field("sample_aspect_num", VARINT, 0, (1 << 31) - 1, "width : height of a luma sample; 0: not known"),
        Field("sample_aspect_den", VARINT, 1, (1 << 31) - 1, "denominator"),
        Field("color_primaries", U8, 0, 255, "code point of ISO/IEC 23091-2; 2: unspecified"),
        Field("color_trc", U8, 0, 255, "transfer characteristics, likewise"),
        Field("color_space", U8, 0, 255, "matrix coefficients, likewise"),
        Field("color_range", U8, 0, 2, "0: unspecified, 1: limited (tv), 2: full (pc)"),
        Field("chroma_location", U8, 0, 6, "0: unspecified, else as AVChromaLocation of FFmpeg: 1 left ..."),
        Field("segment_frames", U16, 1, 1024, "most frames a segment"),
        Field("patch_rows", U16, 1, 256, "rows of patches; edge i lies at cell row i * Hc // patch_rows"),
        Field("patch_columns", U16, 1, 256, "columns; edge i lies at cell column i * Wc // patch_columns"),
        Field("model_kind", U8, C3_KIND, HYBRID_KIND, "1: C3 model, 2: hybrid model", since=2),
    ),
)

C3_MODEL = Structure(
    "C3 model",
    (
        Field("num_grids", U8, 1, 16, "latent grids"),
        Field("grid_time_exponents", U8, 0, 7, "a grid has ceil(T / 2^this) frames", "num_grids"),
        Field("grid_space_exponents", U8, 0, 7, "of ceil(H / 2^this) x ceil(W / 2^this)", "num_grids"),
        Field("grid_previous_windows", U8, 0, 1, "1: sees the previous latent frame", "num_grids"),
        Field("q_step_256", U16, 1, 1024, "quantisation step of the latents in units of 1/256"),
        Field("context_size", U8, 3, 9, "odd side of the causal window"),
        Field("previous_size", U8, 1, 8, "side of the window in the previous latent frame"),
        Field("previous_range", U8, 1, 65, "odd side of the wide window that it lies in; >= previous_size"),
        Field("num_entropy_layers", U8, 1, 3, "hidden layers of the entropy networks"),
        Field("entropy_layers", U8, 4, 64, "their widths", "num_entropy_layers"),
        Field("num_synthesis_layers", U8, 0, 4, "pointwise hidden layers of the synthesis"),
        Field("synthesis_layers", U8, 4, 64, "their widths", "num_synthesis_layers"),
        Field("residual_layers", U8, 0, 4, "residual convolutions at the end of the synthesis"),
        Field("residual_time_size", U8, 1, 3, "3: they are 3x3x3, 1: 3x3"),
    ),
)

HYBRID_MODEL = Structure(
    "hybrid model",
    (
        Field("block_size", U8, 8, 32, "side of a motion block in luma samples: 8, 16 or 32", since=2),
        Field("num_slices", U8, 1, 64, "runs of rows whose subbands are coded apart", since=2),
    ),
)

MODELS = {C3_KIND: C3_MODEL, HYBRID_KIND: HYBRID_MODEL}
"""The structure behind HEADER by model_kind."""

CHECK = Structure("check", (Field("crc32", U32, 0, (1 << 32) - 1, "of the bytes named beside it"),))

RECORD = Structure(
    "record",
    (
        _constant("sync", SYNC, "starts a record"),
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
        Field("num_pts_steps", VARINT, 0, 1023, "1: one step for all, else num_frames - 1"),
        Field("pts_steps", VARINT, 1, MAX_TIME, "from each time stamp to the next", "num_pts_steps"),
        Field("last_duration", VARINT, 0, MAX_TIME, "of the last frame; 0: not known"),
        Field("frame_crcs", U32, 0, (1 << 32) - 1, "crc32 of each decoded frame (section 10)", "num_frames"),
        Field("patches", BLOB, 0, MAX_PAYLOAD_BYTES, "row by row (sections 6 to 8, or 17)", "num_patches"),
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
        _constant("tail_magic", TAIL_MAGIC, "ends the stream; nothing may follow"),
    ),
)

STRUCTURES = (START, HEADER, C3_MODEL, HYBRID_MODEL, RECORD, SEGMENT, INDEX, TRAILER)

RECORD_OVERHEAD_BYTES = RECORD.size_bytes + CHECK.size_bytes


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first segment.

    Args:
        segment_frames: most frames a segment.
        patch_rows, patch_columns: the patch grid of every segment; 1 and 1 with the hybrid model, which codes whole
            frames.
    """

    video: VideoFormat
    model: C3Config | HybridConfig
    segment_frames: int
    patch_rows: int
    patch_columns: int

    @property
    def num_patches(self) -> int:
        return self.patch_rows * self.patch_columns

    def check(self) -> None:
        """Raise ConfigError for what a stream may not carry, which bounds the memory that a decoder needs."""
        self.video.check()
        self.model.check()
        HEADER.write(_header_values(self))
        if isinstance(self.model, HybridConfig):
            self._check_frame_model(self.model)
        else:
            self._check_patches()
        height, width = self.video.cell_shape
        samples = height * width * self.video.layout.num_cell_channels
        self._check_size(
            "samples of a segment", samples * self.segment_frames, MAX_SEGMENT_SAMPLES, "fewer frames a segment"
        )

    def _check_patches(self) -> None:
        height, width = self.video.cell_shape
        if self.patch_rows > height or self.patch_columns > width:
            raise ConfigError(
                f"{self.patch_rows} x {self.patch_columns} patches: at most {height} x {width}, one a cell"
            )
        cells = -(-height // self.patch_rows) * -(-width // self.patch_columns) * self.segment_frames
        self._check_size("cells of a patch", cells, MAX_PATCH_CELLS, "smaller patches or fewer frames a segment")

    def _check_frame_model(self, model: HybridConfig) -> None:
        if self.num_patches != 1:
            raise ConfigError(
                f"{self.patch_rows} x {self.patch_columns} patches: must be 1 x 1, the hybrid model codes whole frames"
            )
        height, width = self.video.cell_shape
        samples = height * width * self.video.layout.num_cell_channels
        self._check_size("samples of a frame", samples, MAX_FRAME_SAMPLES, "a smaller picture")
        most = max_slices(self.video.height)
        if model.num_slices > most:
            raise ConfigError(
                f"num_slices = {model.num_slices}: must be in 1..{most} with {self.video.height} rows of luma"
            )

    def _check_size(self, name: str, value: int, limit: int, remedy: str) -> None:
        if value > limit:
            raise ConfigError(f"{name} = {value} with {self.segment_frames} frames: must be in 1..{limit}; {remedy}")


def max_slices(height: int) -> int:
    """Most slices of a frame with `height` rows of luma: each has a row of luma's coarsest subband."""
    return -(-height >> MAX_LEVELS)


def _header_values(header: Header) -> dict[str, Any]:
    video = header.video
    return {
        "width": video.width,
        "height": video.height,
        "pix_fmt": video.layout.number,
        "time_base_num": video.time_base.numerator,
        "time_base_den": video.time_base.denominator,
        "frame_rate_num": video.frame_rate.numerator,
        "frame_rate_den": video.frame_rate.denominator,
        "sample_aspect_num": video.sample_aspect_ratio.numerator,
        "sample_aspect_den": video.sample_aspect_ratio.denominator,
        "color_primaries": video.color_primaries,
        "color_trc": video.color_trc,
        "color_space": video.color_space,
        "color_range": video.color_range,
        "chroma_location": video.chroma_location,
        "segment_frames": header.segment_frames,
        "patch_rows": header.patch_rows,
        "patch_columns": header.patch_columns,
        "model_kind": HYBRID_KIND if isinstance(header.model, HybridConfig) else C3_KIND,
    }


def _model_values(model: C3Config | HybridConfig) -> dict[str, Any]:
    if isinstance(model, HybridConfig):
        return {"block_size": model.block_size, "num_slices": model.num_slices}
    return {
        "num_grids": len(model.grids),
        "grid_time_exponents": tuple(grid.time_exponent for grid in model.grids),
        "grid_space_exponents": tuple(grid.space_exponent for grid in model.grids),
        "grid_previous_windows": tuple(int(grid.previous_window) for grid in model.grids),
        "q_step_256": model.q_step_256,
        "context_size": model.context_size,
        "previous_size": model.previous_size,
        "previous_range": model.previous_range,
        "num_entropy_layers": len(model.entropy_layers),
        "entropy_layers": model.entropy_layers,
        "num_synthesis_layers": len(model.synthesis_layers),
        "synthesis_layers": model.synthesis_layers,
        "residual_layers": model.residual_layers,
        "residual_time_size": model.residual_time_size,
    }


def _header_of(values: Mapping[str, Any], model: C3Config | HybridConfig) -> Header:
    """Raises ConfigError, from checks that span fields."""
    names = {layout.number: name for name, layout in LAYOUTS.items()}
    if values["pix_fmt"] not in names:
        raise ConfigError(f"pix_fmt = {values['pix_fmt']}: must be one of {sorted(names)}")
    video = VideoFormat(
        width=values["width"],
        height=values["height"],
        pix_fmt=names[values["pix_fmt"]],
        time_base=_fraction(values, "time_base"),
        frame_rate=_fraction(values, "frame_rate"),
        sample_aspect_ratio=_fraction(values, "sample_aspect"),
        color_primaries=values["color_primaries"],
        color_trc=values["color_trc"],
        color_space=values["color_space"],
        color_range=values["color_range"],
        chroma_location=values["chroma_location"],
    )
    header = Header(video, model, values["segment_frames"], values["patch_rows"], values["patch_columns"])
    header.check()
    return header


def _model_of(kind: int, values: Mapping[str, Any]) -> C3Config | HybridConfig:
    if kind == HYBRID_KIND:
        return HybridConfig(block_size=values["block_size"], num_slices=values["num_slices"])
    grids = zip(
        values["grid_time_exponents"],
        values["grid_space_exponents"],
        values["grid_previous_windows"],
        strict=True,
    )
    return C3Config(
        grids=tuple(LatentGrid(time, space, bool(previous)) for time, space, previous in grids),
        q_step_256=values["q_step_256"],
        context_size=values["context_size"],
        previous_size=values["previous_size"],
        previous_range=values["previous_range"],
        entropy_layers=values["entropy_layers"],
        synthesis_layers=values["synthesis_layers"],
        residual_layers=values["residual_layers"],
        residual_time_size=values["residual_time_size"],
    )


def _fraction(values: Mapping[str, Any], name: str) -> Fraction:
    numerator, denominator = values[f"{name}_num"], values[f"{name}_den"]
    fraction = Fraction(numerator, denominator)
    if fraction.denominator != denominator:
        raise ConfigError(f"{name} = {numerator}/{denominator}: must be in lowest terms")
    return fraction


def write_header(header: Header) -> bytes:
    """START, HEADER, the fields of its model and their crc32. Raises ConfigError."""
    header.check()
    values = _header_values(header)
    payload = HEADER.write(values) + MODELS[values["model_kind"]].write(_model_values(header.model))
    data = START.write({"version": VERSION, "header_size": len(payload)}) + payload
    return data + write_check(data)


def read_header(payload: bytes) -> Header:
    """The header of a stream, from the bytes of HEADER and its model. Raises StreamError."""
    values, at = HEADER.read_start(payload, START.size_bytes, 0)
    kind = values["model_kind"]
    model_values, at = MODELS[kind].read_start(payload, START.size_bytes, at)
    MODELS[kind].check_end(payload, START.size_bytes, at)
    try:
        return _header_of(values, _model_of(kind, model_values))
    except ConfigError as error:
        raise StreamError(f"header: {error}", offset_bytes=START.size_bytes) from error


def describe(header: Header) -> dict[str, Any]:
    """The fields of a header and of its model by name, in their order; the pixel format by name."""
    values = _header_values(header) | {"pix_fmt": header.video.pix_fmt}
    model = _model_values(header.model)
    return {field.name: values[field.name] for field in HEADER.fields} | {
        field.name: model[field.name] for field in MODELS[values["model_kind"]].fields
    }


def write_check(data: bytes) -> bytes:
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


def read_record_head(data: bytes, offset_bytes: int) -> RecordHead:
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
        frame_crcs: crc32 of each decoded frame, see `c3video.video.frame_crc32`.
        patches: bytes of each patch, row by row, see `c3video.c3.payload`; the hybrid model has one, see
            `c3video.hybrid.payload`.
    """

    number: int
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    frame_crcs: tuple[int, ...]
    patches: tuple[bytes, ...]

    def check_frame(self, index: int, crc: int) -> None:
        """Raise CorruptSegmentError unless a decoded frame's crc32 is the one that the encoder saw."""
        if crc != self.frame_crcs[index]:
            raise CorruptSegmentError(
                f"segment {self.number}, frame {index}: decoded to CRC {crc:08x}, the encoder saw "
                f"{self.frame_crcs[index]:08x}; the stream is damaged or this decoder is faulty",
                segment=self.number,
            )

    @property
    def size_bytes(self) -> int:
        """All of its bytes in a stream."""
        return RECORD_OVERHEAD_BYTES + len(SEGMENT.write(_segment_values(self)))


def _segment_values(segment: Segment) -> dict[str, Any]:
    steps = tuple(after - before for before, after in zip(segment.pts, segment.pts[1:], strict=False))
    if len(set(steps)) == 1:
        steps = steps[:1]
    return {
        "num_frames": len(segment.pts),
        "first_pts": segment.pts[0],
        "num_pts_steps": len(steps),
        "pts_steps": steps,
        "last_duration": segment.durations[-1],
        "frame_crcs": segment.frame_crcs,
        "patches": segment.patches,
        "num_patches": len(segment.patches),
    }


def _segment_of(number: int, values: Mapping[str, Any], header: Header) -> Segment:
    num_frames, steps = values["num_frames"], values["pts_steps"]
    if num_frames > header.segment_frames:
        raise StreamError(f"num_frames = {num_frames}: must be in 1..{header.segment_frames} (segment_frames)")
    if len(steps) != num_frames - 1:
        if len(steps) != 1 or num_frames == 1:
            raise StreamError(f"num_pts_steps = {len(steps)}: must be 1 or num_frames - 1 = {num_frames - 1}")
        steps *= num_frames - 1
    elif len(steps) > 1 and len(set(steps)) == 1:
        raise StreamError(f"{len(steps)} equal pts_steps: must be written as one")
    pts = tuple(accumulate(steps, initial=values["first_pts"]))
    if pts[-1] > MAX_TIME:
        raise StreamError(f"last time stamp {pts[-1]}: must be at most {MAX_TIME}")
    return Segment(number, pts, (*steps, values["last_duration"]), values["frame_crcs"], values["patches"])


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
    return write_record(SEGMENT_KIND, segment.number, SEGMENT.write(_segment_values(segment)))


def read_segment(number: int, payload: bytes, header: Header, offset_bytes: int) -> Segment:
    """A segment from the payload of its record, which lies at `offset_bytes`. Raises CorruptSegmentError."""
    try:
        return _segment_of(number, SEGMENT.read(payload, offset_bytes, num_patches=header.num_patches), header)
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


def write_index(entries: Sequence[IndexEntry], offset_bytes: int) -> bytes:
    """The record of the index, which will lie at `offset_bytes`, and the trailer."""
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


def read_index(num_segments: int, payload: bytes, offset_bytes: int) -> tuple[IndexEntry, ...]:
    """The index from the payload of its record, which lies at `offset_bytes`. Raises StreamError."""
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
    lines = ["| field | type | range | meaning | since |", "|---|---|---|---|---|"]
    for field in structure.fields:
        count = f" x {field.count}" if field.count else ""
        if isinstance(field.type, Constant):
            values = field.type.content.hex(" ").upper()
        else:
            values = f"{_number(field.low)}..{_number(field.high)}"
        lines.append(f"| `{field.name}` | {field.type.name}{count} | {values} | {field.meaning} | {field.since} |")
    return "\n".join(lines)


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
