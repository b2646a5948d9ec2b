# SPDX-License-Identifier: MIT
"""The tables of the stream: values and byte counts of every type, ranges, and the documentation of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from c3video.c3.config import C3_MODEL, C3Config, LatentGrid
from c3video.config import MODEL_CONFIGS, PRESET_NUMBERS, PRESETS, PROFILE_NUMBERS, PROFILES, EncoderSettings
from c3video.errors import ConfigError, CorruptSegmentError, StreamError
from c3video.hybrid.config import HYBRID_MODEL, HybridConfig, max_slices
from c3video.pyramid.config import PyramidConfig
from c3video.stream import layout as syntax
from c3video.stream.fields import BLOB, SVARINT, U8, U16, U32, U64, VARINT, Constant, Field, FieldType, Structure
from c3video.stream.layout import HEADER, Header, Segment
from c3video.video import LAYOUTS, ContentLight, MasteringDisplay, VideoFormat

DOCS = Path(__file__).resolve().parents[2] / "docs" / "c3v.md"

# Every field has a value of its own, so that two that are swapped are seen.
HEADER_A = Header(
    VideoFormat(
        width=321,
        height=179,
        pix_fmt="yuv420p10le",
        time_base=Fraction(1001, 30000),
        frame_rate=Fraction(24000, 1001),
        sample_aspect_ratio=Fraction(40, 33),
        color_primaries=9,
        color_trc=16,
        color_space=10,
        color_range=2,
        chroma_location=3,
        field_order=2,
        rotation=270,
        mirrored=True,
        mastering_display=MasteringDisplay((34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450), 10_000_000, 1),
        content_light=ContentLight(1000, 400),
    ),
    C3Config(
        grids=(LatentGrid(0, 1, True), LatentGrid(5, 6), LatentGrid(7, 2, True)),
        q_step_256=300,
        context_size=5,
        previous_size=3,
        previous_range=33,
        entropy_layers=(8, 12),
        synthesis_layers=(24, 20, 16),
        residual_layers=2,
        residual_time_size=3,
    ),
    segment_frames=48,
    patch_rows=4,
    patch_columns=11,
    settings=EncoderSettings.of("paper", "slow", 0.0025),
)
HEADER_A_HEX = (
    "ffff7f 4101 b300 06 e907 b0ea01 c0bb01 e907 28 21 09 10 0a 02 03 02 03 01"
    "0a d0840000 803e0000 c2330000 c4860000 4c1d0000 b80b0000 133d0000 42400000 80969800 01000000 02 e803 9001"
    "03 04 a0cb9801 3000 0400 0b00 01"
    "03 000507 010602 010001 2c01 05 03 21 02 080c 00 03 181410 02 03"
)
HEADER_B = replace(
    HEADER_A,
    video=replace(
        HEADER_A.video, field_order=0, rotation=0, mirrored=False, mastering_display=None, content_light=None
    ),
    model=HybridConfig(
        num_slices=6,
        key=PyramidConfig(
            num_grids=5,
            num_taps=7,
            entropy_layers=(9, 10),
            synthesis_width=12,
            refine_width=3,
            filter_reach=2,
            patch_size=256,
            num_hyper=3,
        ),
    ),
    patch_rows=1,
    patch_columns=1,
    settings=EncoderSettings(),
)
HEADER_B_HEX = (
    "ff070e 4101 b300 06 e907 b0ea01 c0bb01 e907 28 21 09 10 0a 02 03 00 00 00 00 3000fb01 06 05 07 090a 0c 03 02 02 03"
)


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        (U8, 0, "00"),
        (U8, 255, "ff"),
        (U16, 0x1234, "3412"),
        (U32, 0x12345678, "78563412"),
        (U64, 1, "0100000000000000"),
        (U64, (1 << 64) - 1, "ff" * 8),
        (VARINT, 0, "00"),
        (VARINT, 127, "7f"),
        (VARINT, 128, "8001"),
        (VARINT, 300, "ac02"),
        (VARINT, (1 << 32) - 1, "ffffffff0f"),
        (VARINT, (1 << 63) - 1, "ff" * 8 + "7f"),
        (SVARINT, 0, "00"),
        (SVARINT, -1, "01"),
        (SVARINT, 1, "02"),
        (SVARINT, -64, "7f"),
        (SVARINT, 64, "8001"),
        (SVARINT, (1 << 62) - 1, "fe" + "ff" * 7 + "7f"),
        (SVARINT, 1 - (1 << 62), "fd" + "ff" * 7 + "7f"),
        (BLOB, b"", "00"),
        (BLOB, b"abc", "03616263"),
        (BLOB, bytes(128), "8001" + "00" * 128),
        (Constant(b"\x01\x02"), b"\x01\x02", "0102"),
    ],
)
def test_each_type_has_this_value_and_these_bytes(kind: FieldType, value: object, data: str) -> None:
    encoded = bytes.fromhex(data)
    assert kind.write(value) == encoded
    assert kind.read(b"\x77" + encoded + b"\x77", 1) == (value, 1 + len(encoded))
    assert kind.size_bytes in (None, len(encoded))
    for size in range(len(encoded)):
        with pytest.raises(ValueError, match="are needed"):
            kind.read(encoded[:size], 0)


@pytest.mark.parametrize("data", ["8000", "ff00", "808000", "ff" * 9 + "01"])
def test_a_varint_has_one_form_only(data: str) -> None:
    with pytest.raises(ValueError, match="varint"):
        VARINT.read(bytes.fromhex(data), 0)


@pytest.mark.parametrize(("header", "expected"), [(HEADER_A, HEADER_A_HEX), (HEADER_B, HEADER_B_HEX)])
def test_header_bytes_of_version_16_are_these(header: Header, expected: str) -> None:
    """Change them only with the format version."""
    data = syntax.write_header(header)
    payload = bytes.fromhex(expected)
    assert data[:11] == b"\x89C3V\r\n\x1a\n\x10" + len(payload).to_bytes(2, "little")
    assert data[11:-4] == payload
    assert syntax.read_header(payload) == header


def changed_header(header: Header, change: dict[str, Any]) -> bytes:
    """The payload of a header with other values, which `write_header` might refuse as a whole."""
    values = HEADER.values_of(header, header.video) | header.model.FIELDS.values_of(header.model) | change
    return HEADER.write(values) + MODEL_CONFIGS[values["model_kind"]].FIELDS.write(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"num_mastering": 1, "mastering_display": (0,)},
            "1 numbers of a mastering display, 0 of content light: a part of them",
        ),
        (
            {"num_content_light": 1, "content_light": (0,)},
            "0 numbers of a mastering display, 1 of content light: a part of them",
        ),
        ({"num_mastering": 10, "mastering_display": (131071, *9 * (0,))}, "chromaticity of mastering_display = 131071"),
    ],
)
def test_what_is_said_of_showing_pictures_is_whole(change: dict[str, Any], words: str) -> None:
    with pytest.raises(StreamError, match=words):
        syntax.read_header(changed_header(HEADER_B, change))


def test_there_are_no_more_hyper_grids_than_others() -> None:
    with pytest.raises(StreamError, match=r"num_hyper = 3: must be in 0\.\.2"):
        syntax.read_header(changed_header(HEADER_B, {"num_grids": 2}))


@pytest.mark.parametrize(
    ("at", "new", "words"),
    [(0, 4, "field_order at byte"), (1, 4, "quarter_turns at byte"), (2, 2, "mirrored at byte")],
)
def test_what_is_said_of_showing_pictures_is_in_range(at: int, new: int, words: str) -> None:
    payload = bytearray.fromhex(HEADER_A_HEX)
    payload[payload.index(bytes.fromhex("02 03 02 03 01 0a")) + 2 + at] = new  # after color_range, chroma_location
    with pytest.raises(StreamError, match=words):
        syntax.read_header(bytes(payload))


USUAL_MODEL = HybridConfig(key=PyramidConfig(num_hyper=4))


def usual_header() -> Header:
    return Header(VideoFormat(16, 8, "yuv420p", Fraction(1, 25), Fraction(25)), USUAL_MODEL, 64, 1, 1)


def test_a_header_where_nothing_is_unusual_has_a_mask_and_what_must_be_said() -> None:
    video = replace(usual_header().video, color_range=1, chroma_location=1, field_order=1)
    header = replace(usual_header(), video=video, settings=EncoderSettings.of("default", "fast", 1e-3))
    payload = syntax.write_header(header)[syntax.START.size_bytes : -4]
    assert payload.hex() == "000000" + "1000" + "0800" + "19" + "19" + "c0843d" + "0000" + "01"
    assert syntax.read_header(payload) == header


@pytest.mark.parametrize(
    "field", [field for field in (*HEADER.fields, *HYBRID_MODEL.fields) if field.usual is not None]
)
def test_a_usual_value_that_is_written_is_refused(field: Field) -> None:
    """Else a header had several forms."""
    structure = HEADER if field in HEADER.fields else HYBRID_MODEL
    usual = [other for other in structure.fields if other.usual is not None]
    values = {other.name: other.low for other in structure.fields}
    values |= {other.name: other.usual for other in usual}
    items = (field.usual,) if field.count is None else field.usual
    data = structure.write(values)
    mask, at = (1 << usual.index(field)).to_bytes(structure.mask_bytes, "little"), structure.mask_bytes
    for other in structure.fields[: structure.fields.index(field)]:
        at += len(other.type.write(values[other.name])) if other.usual is None else 0
    data = mask + data[len(mask) : at] + b"".join(map(field.type.write, items)) + data[at:]
    with pytest.raises(StreamError, match=f"{field.name} at byte {100 + at}: .*: is usual and must not be written"):
        structure.read(data, 100)


def test_mask_has_no_bits_of_no_field() -> None:
    payload = bytearray(syntax.write_header(usual_header())[syntax.START.size_bytes : -4])
    payload[2] |= 0x80
    with pytest.raises(StreamError, match=r"header: mask at byte 11: 0x8.....: has more than 23 bits"):
        syntax.read_header(bytes(payload))


def test_usual_values_are_as_many_as_are_counted() -> None:
    values = HYBRID_MODEL.values_of(HybridConfig(1)) | {"num_entropy_layers": 1, "entropy_layers": (9,)}
    data = bytearray(HYBRID_MODEL.write(values))
    assert HYBRID_MODEL.read(data, 0)["entropy_layers"] == (9,)
    data[0] &= ~8  # the widths are no longer there
    with pytest.raises(StreamError, match=r"entropy_layers at byte 4: 2 values: must be 1 \(num_entropy_layers\)"):
        HYBRID_MODEL.read(data[:-1], 0)


@pytest.mark.parametrize("model", [HEADER_A, replace(HEADER_B, model=HybridConfig(2))])
@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_header_round_trip_of_every_pixel_format(pix_fmt: str, model: Header) -> None:
    header = replace(model, video=VideoFormat(64, 48, pix_fmt))
    payload = syntax.write_header(header)[syntax.START.size_bytes : -4]
    assert syntax.read_header(payload) == header


def test_describe_lists_every_field_with_its_value() -> None:
    listing = syntax.describe(HEADER_A)
    assert list(listing) == [field.name for field in (*HEADER.fields, *C3_MODEL.fields)]
    assert listing["pix_fmt"] == "yuv420p10le"
    assert listing["grid_space_exponents"] == (1, 6, 2)
    listing = syntax.describe(HEADER_B)
    assert list(listing) == [field.name for field in (*HEADER.fields, *HYBRID_MODEL.fields)]
    assert (listing["model_kind"], listing["num_slices"]) == (2, 6)


def test_settings_of_the_encoder_are_told_by_name() -> None:
    listing = syntax.describe(HEADER_A)
    assert [listing[name] for name in ("profile", "preset", "rd_weight")] == ["paper", "slow", 0.0025]
    listing = syntax.describe(HEADER_B)
    assert [listing[name] for name in ("profile", "preset", "rd_weight")] == [None, None, None]
    later = replace(HEADER_B, settings=EncoderSettings(200, 201, 1))
    payload = syntax.write_header(later)[syntax.START.size_bytes : -4]
    listing = syntax.describe(syntax.read_header(payload))
    assert [listing[name] for name in ("profile", "preset", "rd_weight")] == ["number 200", "number 201", 1e-9]


def test_every_profile_and_preset_has_a_number() -> None:
    assert set(PROFILE_NUMBERS) == set(PROFILES)
    assert set(PRESET_NUMBERS) == set(PRESETS)
    for numbers in (PROFILE_NUMBERS, PRESET_NUMBERS):
        assert len(set(numbers.values())) == len(numbers)
        assert 0 not in numbers.values()


@pytest.mark.parametrize(
    ("structure", "values", "num_checked"),
    [
        (HEADER, HEADER.values_of(HEADER_A, HEADER_A.video), 25),
        (C3_MODEL, C3_MODEL.values_of(HEADER_A.model), 18),
        (HYBRID_MODEL, HYBRID_MODEL.values_of(HEADER_B.model), 2),
    ],
)
def test_every_header_value_out_of_range_is_refused_by_name_and_offset(
    structure: Structure, values: dict[str, Any], num_checked: int
) -> None:
    checked = 0
    for field in structure.fields:
        for value in (field.low - 1, field.high + 1):
            bad = values | {field.name: value if field.count is None else (value, *values[field.name][1:])}
            if any(other.count == field.name for other in structure.fields):
                continue  # a wrong count is refused as such, see below
            with pytest.raises(ConfigError, match=rf"{structure.name}: {field.name} = {value}: must be in {field.low}"):
                structure.write(bad)
            largest = (1 << 8 * field.type.size_bytes) - 1 if field.type.size_bytes else (1 << 63) - 1
            if not 0 <= value <= largest:
                continue
            unusual = [bad[other.name] != other.usual for other in structure.fields if other.usual is not None]
            mask = sum(1 << bit for bit, is_set in enumerate(unusual) if is_set)
            data, offset = mask.to_bytes(structure.mask_bytes, "little"), -1
            for other in structure.fields:
                offset = len(data) if other is field else offset
                item = bad[other.name]
                if item != other.usual:
                    data += b"".join(map(other.type.write, item if other.count else (item,)))
            with pytest.raises(StreamError, match=f"{structure.name}: {field.name} at byte {100 + offset}") as caught:
                structure.read(data, 100)
            assert caught.value.offset_bytes == 100 + offset
            checked += 1
    assert checked >= num_checked


def test_wrong_count_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 entropy_layers: must be 3"):
        C3_MODEL.write(C3_MODEL.values_of(HEADER_A.model) | {"num_entropy_layers": 3})


@pytest.mark.parametrize("header", [HEADER_A_HEX, HEADER_B_HEX])
def test_header_that_is_cut_or_has_more_behind_it_is_refused(header: str) -> None:
    payload = bytes.fromhex(header)
    for size in range(len(payload)):
        with pytest.raises(StreamError, match="are needed"):
            syntax.read_header(payload[:size])
    with pytest.raises(StreamError, match="1 bytes are left over"):
        syntax.read_header(payload + b"\0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pix_fmt": 99}, "pix_fmt = 99"),
        ({"shared_entropy": 1}, "a shared entropy network"),
        ({"context_size": 4}, "context_size = 4: must be odd"),
        ({"previous_range": 1}, "previous_range"),
        ({"residual_time_size": 2}, "residual_time_size = 2"),
        ({"time_base_num": 2, "time_base_den": 4}, "time_base = 2/4: must be in lowest terms"),
        ({"width": 16384, "height": 16384}, "268435456 luma samples"),
        ({"patch_rows": 91}, "91 x 11 patches"),
        ({"width": 8192, "height": 8192, "patch_rows": 1}, "cells of a patch"),
        (
            {"width": 8192, "height": 8192, "patch_rows": 256, "patch_columns": 256},
            "samples of a segment",
        ),
    ],
)
def test_header_that_makes_no_sense_as_a_whole_is_refused(change: dict[str, int], words: str) -> None:
    check_refused(HEADER_A, change, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch_rows": 2}, "2 x 1 patches: must be 1 x 1"),
        ({"patch_columns": 2}, "1 x 2 patches: must be 1 x 1"),
        ({"num_slices": 7}, r"num_slices = 7: must be in 1\.\.6 with 179 rows"),
        ({"width": 16384, "height": 8192}, "samples of a frame = 201326592"),
        ({"width": 8192, "height": 8192}, "samples of a segment"),
    ],
)
def test_frame_model_header_that_makes_no_sense_as_a_whole_is_refused(change: dict[str, int], words: str) -> None:
    check_refused(HEADER_B, change, words)


def check_refused(header: Header, change: dict[str, int], words: str) -> None:
    with pytest.raises(StreamError, match=words) as caught:
        syntax.read_header(changed_header(header, change))
    assert caught.value.offset_bytes == syntax.START.size_bytes


@pytest.mark.parametrize(("height", "most"), [(1, 1), (32, 1), (33, 2), (1080, 34), (16384, 512)])
def test_each_slice_has_a_row_of_the_coarsest_subband(height: int, most: int) -> None:
    assert max_slices(height) == most


def test_what_a_reader_would_refuse_is_not_written() -> None:
    with pytest.raises(ConfigError, match="smaller patches or fewer frames"):
        syntax.write_header(replace(HEADER_A, video=VideoFormat(8192, 8192, "gray"), patch_rows=1, patch_columns=1))
    with pytest.raises(ConfigError, match="segment_frames = 0"):
        syntax.write_header(replace(HEADER_A, segment_frames=0))


def segment(pts: tuple[int, ...], durations: tuple[int, ...], num_patches: int = 44) -> Segment:
    hashes = tuple(range(0xFFFF - len(pts), 0xFFFF))
    return Segment(7, pts, durations, hashes, tuple(bytes(i) for i in range(num_patches)))


MILLISECONDS = tuple(1001 * frame // 30 for frame in range(48))
"""Time stamps of 29.97 frames a second."""


@pytest.mark.parametrize(
    ("pts", "durations", "time_bytes"),
    [
        ((0,), (0,), 4),  # first, least step, how many bytes are above it, duration
        ((-5,), (3,), 4),
        ((0, 1), (1, 1), 4),
        ((-64, -63, -62, -61), (1, 1, 1, 1), 4),
        ((0, 1, 3, 6), (1, 2, 3, 0), 5),  # 0, 1 and 2 in two bits each: one byte
        ((0, 300, 600), (300, 300, 300), 6),
        ((0, 300, 601), (300, 301, 5), 6),
        (((1 << 62) - 2, (1 << 62) - 1), (1, 9), 12),
        (tuple(range(48)), (1,) * 48, 4),
        (MILLISECONDS, (*(b - a for a, b in pairwise(MILLISECONDS)), 33), 10),  # 47 bits: 6 bytes
        ((0, 1, 1 << 60), (1, (1 << 60) - 1, 5), 19),  # 60 bits each: 15 bytes
    ],
)
def test_segment_round_trip_and_size(pts: tuple[int, ...], durations: tuple[int, ...], time_bytes: int) -> None:
    original = segment(pts, durations)
    record = syntax.write_segment(original, HEADER_A)
    patch_bytes = sum(1 + i for i in range(44))
    assert len(record) == 20 + 1 + time_bytes + 2 * len(pts) + patch_bytes
    assert original.size_bytes == len(record)
    head = syntax.read_record_head(record[:16], 0)
    assert (head.kind, head.number, head.payload_size) == (syntax.SEGMENT_KIND, 7, len(record) - 20)
    assert syntax.read_segment(7, record[16:-4], HEADER_A, 16) == original


@pytest.mark.parametrize(
    ("pts", "expected"),
    [
        ((0, 1, 3, 6), "04 00 01 01 24 00"),  # 0, 1 and 2 above 1, the first in the lowest bits: 0b10_01_00
        ((-5, 28, 62, 95), "04 09 21 01 04 00"),  # 0, 1 and 0 above 33: 2 bits each, since 3 of them fill the byte
        (tuple(33 * i + (i > 8) for i in range(10)), "0a 00 21 02 0001 00"),  # a bit each of 9: the last begins a byte
        ((0, 300, 900), "03 00 ac02 03 00c012 00"),  # 0 and 300 above 300: 9 bits need 3 bytes, which have 12 for each
    ],
)
def test_time_stamps_by_hand(pts: tuple[int, ...], expected: str) -> None:
    record = syntax.write_segment(segment(pts, (0,) * len(pts)), HEADER_A)
    assert record[16:].startswith(bytes.fromhex(expected))


@pytest.mark.parametrize("seed", range(20))
def test_any_time_stamps_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    spread = int(rng.choice([1, 2, 3, 17, 1 << 20]))
    steps = rng.integers(1, 1 + spread, rng.integers(0, 48)) + int(rng.integers(0, 1000))
    pts = tuple(int(at) for at in np.concatenate([[rng.integers(-9, 9)], steps]).cumsum())
    original = segment(pts, (*(b - a for a, b in pairwise(pts)), 5))
    record = syntax.write_segment(original, HEADER_A)
    assert syntax.read_segment(7, record[16:-4], HEADER_A, 16) == original


def test_durations_but_the_last_follow_from_the_time_stamps() -> None:
    record = syntax.write_segment(segment((0, 2, 5), (9, 9, 9)), HEADER_A)
    assert syntax.read_segment(7, record[16:-4], HEADER_A, 16).durations == (2, 3, 9)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (segment((), ()), "0 time stamps: must be in 1..48"),
        (segment(tuple(range(49)), (1,) * 49), "49 time stamps: must be in 1..48"),
        (segment((0, 1), (1,)), "1 durations"),
        (segment((0,), (1,), 43), "43 patches: must be in 44..44"),
        (segment((0, 0), (1, 1)), "time stamp 0 after 0"),
        (segment((0, 2, 1), (1, 1, 1)), "time stamp 1 after 2"),
        (segment((1 << 62,), (1,)), "time stamp"),
        (segment((-(1 << 62),), (1,)), "first_pts"),
        (replace(segment((0,), (1,)), frame_hashes=(1, 2)), "2 frame_hashes: must be 1"),
        (replace(segment((0,), (1,)), number=-1), "number = -1"),
    ],
)
def test_segment_that_no_stream_may_carry_is_not_written(bad: Segment, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        syntax.write_segment(bad, HEADER_A)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("00", "num_frames"),
        ("31 00 01 00 01" + "0000" * 49, "num_frames = 49: must be in 1..48"),
        ("01 00 01 00 01 0000", "least_step = 1"),
        ("02 00 00 00 01" + "0000" * 2, "least_step = 0"),
        ("01 00 00 01 00 01 0000", "1 bytes are not how steps of 1 frames"),
        ("03 00 01 01 00 01" + "0000" * 3, "1 bytes are not how steps of 3 frames"),  # all alike
        ("03 00 01 01 21 01" + "0000" * 3, "1 bytes are not how steps of 3 frames"),  # 1 and 2 above it: not the least
        ("04 00 01 01 44 01" + "0000" * 4, "1 bytes are not how steps of 4 frames"),  # a bit too many
        ("03 00 01 02 0001 01" + "0000" * 3, "2 bytes are not how steps of 3 frames"),  # would fit in one
        ("02 feffffffffffffff7f 01 00 01" + "0000" * 2, "last time stamp"),
        ("03 00 01 80 40" + "00" * 4096 + "ff" * 4096 + "01" + "0000" * 3, "step_excess at byte"),
        ("03 00 01 fe 3f" + "00" * 4095 + "ff" * 4095 + "01" + "0000" * 3, "step_excess: a step longer"),
        ("03 00 01 12" + "00" * 9 + "ff" * 9 + "01" + "0000" * 3, "step_excess: a step longer"),
    ],
)
def test_segment_payload_that_makes_no_sense_is_refused(start: str, words: str) -> None:
    with pytest.raises(CorruptSegmentError, match=words) as caught:
        syntax.read_segment(3, bytes.fromhex(start) + bytes(44), HEADER_A, 50)
    assert caught.value.segment == 3
    assert caught.value.offset_bytes is not None


def test_index_round_trip_and_its_sum() -> None:
    entries = (syntax.IndexEntry(120, 32, -4), syntax.IndexEntry(1 << 20, 5, 28))
    data = syntax.write_end(entries, 77)
    assert len(data) == 20 + (1 + 3 + 2 + 2 + 1) + 16
    assert syntax.read_index(2, data[16:-20], 0) == entries
    wrong_sum = data[16:-21] + bytes([data[-21] + 1])
    with pytest.raises(StreamError, match="total_frames = 38"):
        syntax.read_index(2, wrong_sum, 0)


def test_one_segment_has_no_index() -> None:
    entry = syntax.IndexEntry(120, 32, -4)
    assert syntax.write_end((entry,), 77) == syntax.TAIL_MAGIC
    values = {"num_segments": 1, "segment_sizes": (120,), "segment_num_frames": (32,), "segment_first_pts": (-4,)}
    with pytest.raises(StreamError, match="of one segment, which has none"):
        syntax.read_index(1, syntax.INDEX.write(values | {"total_frames": 32}), 0)


def test_sizes_of_fixed_structures() -> None:
    assert (syntax.START.size_bytes, syntax.RECORD.size_bytes, syntax.TRAILER.size_bytes) == (11, 16, 16)
    assert syntax.RECORD_OVERHEAD_BYTES == 20


def test_documentation_has_the_tables_of_the_code() -> None:
    """`python -m c3video.stream.layout` prints what belongs there."""
    text = DOCS.read_text()
    tables = syntax.markdown_tables()
    for name, table in tables.items():
        assert table in text, f"docs/c3v.md: the table of {name} differs"
    assert text.count(next(iter(tables.values())).splitlines()[0]) == len(tables)


def test_no_field_is_newer_than_the_format() -> None:
    assert all(1 <= f.since <= syntax.VERSION for s in syntax.STRUCTURES for f in s.fields)
