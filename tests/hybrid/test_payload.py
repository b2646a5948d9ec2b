# SPDX-License-Identifier: MIT
"""Segments of the hybrid model: what is written is read back, byte for byte; what is damaged is called so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from c3video.coding.rangecoder import SymbolReader, SymbolWriter
from c3video.errors import CorruptSegmentError
from c3video.hybrid.compensation import BLOCK_SIZE, block_shape
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.payload import (
    CONTEXT_NETWORKS,
    MAX_GOP,
    HybridParameters,
    HybridSymbols,
    code_filters,
    code_steps,
    encode_payload,
    filter_bits,
    first_steps,
    parse_payload,
    prior,
    read_network,
    read_slice,
    step_bits,
)
from c3video.hybrid.subbands import SliceLayout, join_slices, slice_layouts
from c3video.hybrid.symbol_coding import read_frames_motion
from c3video.stream.layout import Header
from tests.hybrid.streams import SyntheticSegment, frame_header, synthetic_segment

NUM_FRAMES = 4


def layouts_of(header: Header, config: HybridConfig) -> Sequence[SliceLayout]:
    return slice_layouts(header.video.plane_shapes, header.video.layout.planes, config.num_slices)


def decoded(data: bytes, num_frames: int, header: Header) -> tuple[HybridParameters, HybridSymbols]:
    """Everything that the bytes say, by the oracle."""
    config = header.model
    assert isinstance(config, HybridConfig)
    parsed = parse_payload(data, num_frames, config)
    coder = SymbolReader(parsed.payloads[0])
    networks = {name: read_network(coder, name, code) for name, code in parsed.codes.items()}
    steps = code_steps(coder, parsed.frames, parsed.first_steps, None)
    filters = code_filters(coder, parsed.frames, len(header.video.plane_shapes), None)
    blocks = block_shape(header.video.plane_shapes[0], BLOCK_SIZE)
    fields = tuple(read_frames_motion(coder, networks["motion"], blocks, parsed.frames))
    assert parsed.picture is None
    slices = [
        list(read_slice(SymbolReader(payload), networks["subbands"], layout, parsed.frames))
        for payload, layout in zip(parsed.payloads[1:], layouts_of(header, config), strict=True)
    ]
    frames = tuple(join_slices(parts) for parts in zip(*slices, strict=True))
    exponents = {name: None if code is None else code.exponent for name, code in parsed.codes.items()}
    symbols = HybridSymbols(fields, frames, filters)
    return HybridParameters(parsed.gop, steps, networks, exponents, parsed.chroma_offset), symbols


@pytest.fixture(scope="module")
def header() -> Header:
    return frame_header(38, 22, "yuv420p", HybridConfig(2))


@pytest.fixture(scope="module")
def made(header: Header) -> SyntheticSegment:
    return synthetic_segment(header, NUM_FRAMES, gop=3, density=0.1, exponents=(3, None), seed=3)


def test_symbols_and_networks_come_back(header: Header, made: SyntheticSegment) -> None:
    model, symbols = decoded(made.segment.patches[0], NUM_FRAMES, header)
    assert (model.gop, model.step_indexes, model.exponents) == (
        made.model.gop,
        made.model.step_indexes,
        made.model.exponents,
    )
    for name in CONTEXT_NETWORKS:
        for found, expected in zip(model.networks[name].arrays(), made.model.networks[name].arrays(), strict=True):
            np.testing.assert_array_equal(found, expected)
    for field, expected_field in zip(symbols.fields, made.symbols.fields, strict=True):
        assert (field is None) == (expected_field is None)
        if field is not None and expected_field is not None:
            np.testing.assert_array_equal(field.vectors, expected_field.vectors)
            np.testing.assert_array_equal(field.modes, expected_field.modes)
            np.testing.assert_array_equal(field.splits, expected_field.splits)
    for planes, expected_planes in zip(symbols.frames, made.symbols.frames, strict=True):
        for bands, expected_bands in zip(planes, expected_planes, strict=True):
            for band, expected_band in zip(bands, expected_bands, strict=True):
                np.testing.assert_array_equal(band, expected_band)


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "gop", "exponents"),
    [
        ((38, 22), "yuv420p", HybridConfig(2), 4, 3, (3, None)),
        ((9, 40), "yuv444p10le", HybridConfig(), 1, 32, (None, None)),
        ((70, 3), "gray", HybridConfig(3), 3, 1, (0, 8)),
        ((1, 1), "yuv422p", HybridConfig(), 2, 1, (None, 0)),
    ],
)
def test_what_is_read_is_written_as_the_same_bytes(
    size: tuple[int, int],
    pix_fmt: str,
    config: HybridConfig,
    num_frames: int,
    gop: int,
    exponents: tuple[int | None, int | None],
) -> None:
    header = frame_header(*size, pix_fmt, config)
    data = synthetic_segment(header, num_frames, gop=gop, exponents=exponents, density=0.1).segment.patches[0]
    model, symbols = decoded(data, num_frames, header)
    again, _ = encode_payload(model, symbols, num_frames, config, layouts_of(header, config))
    assert again == data


def test_bits_add_up_to_the_bytes(made: SyntheticSegment) -> None:
    bits, size_bits = made.bits, 8 * len(made.segment.patches[0])
    assert sum(bits.by_part().values()) == pytest.approx(size_bits)
    assert list(bits.by_part()) == [
        *(f"level {level}" for level in range(4)),
        "motion",
        "steps",
        "filters",
        "subbands weights",
        "motion weights",
        "segment overhead",
    ]
    assert bits.depths == (0, 1, 2, 3)
    assert bits.weights["motion"] == 0.0
    # Head, sizes, and the ends of three payloads.
    assert 0 < bits.overhead < 8 * (1 + 4 + 1 + 9 + 1 + 3 * 2 + 3 * 8)


def test_a_segment_that_says_nothing_is_small() -> None:
    """Zeros everywhere under the priors: payloads of a few words."""
    header = frame_header(64, 64)
    made = synthetic_segment(header, 3, gop=2, density=0.0, reach=0, exponents=(None, None))
    assert len(made.segment.patches[0]) < 1500


def test_every_cut_is_an_error(header: Header, made: SyntheticSegment) -> None:
    data = made.segment.patches[0]
    for size in [*range(40), *range(40, len(data), 101)]:
        with pytest.raises(CorruptSegmentError):
            parse_payload(data[:size], NUM_FRAMES, HybridConfig(2))
    with pytest.raises(CorruptSegmentError, match="1 bytes are left over"):
        parse_payload(data + b"\0", NUM_FRAMES, HybridConfig(2))
    assert decoded(data, NUM_FRAMES, header)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "gop at byte 0"),
        (b"\x00", "gop = 0"),
        (bytes([MAX_GOP + 1]), "gop = 33"),
        (b"\x01\x55", "quantisation steps at byte 1"),
        (b"\x01\x56\x00", "quantisation step index = 86"),
        (b"\x01\x10\x10", "chroma offset at byte 3"),
        (b"\x01\x10\x10\x19", "chroma offset = 25: must be in 0..24"),
        (b"\x01\x10\x10\x18", "kind of the first frame at byte 4"),
        (b"\x01\x10\x10\x00\x02", "kind of the first frame = 2"),
        (b"\x01\x10\x10\x00\x01", "size of picture at byte 5"),
        (b"\x01\x10\x10\x00\x01\x04\x00\x00\x00", "picture at byte 6 of 9: 4 bytes are needed"),
        (b"\x01\x10\x10\x00\x01\x00\x02", "network flag = 2"),
        (b"\x01\x10\x10\x00\x00\x02", "network flag = 2"),
        (b"\x01\x10\x10\x00\x00\x01\x09", "exponent of differences = 9"),
        (b"\x01\x10\x10\x00\x00\x01\x00\x01\x02\x03\x04\x05\x06\x40", "scale index = 64"),
        (b"\x01\x10\x10\x00\x00\x00\x00\x04\x01\x02\x03", "payload at byte 8"),
        (b"\x01\x10\x10\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "payload at byte 16"),
        (b"\x01\x10\x10\x00\x00\x00\x00\x80\x00", "needless last byte"),
        (b"\x01\x10\x10\x00\x00\x00\x00" + b"\xff" * 10, "more than 9 bytes"),
    ],
)
def test_heads_that_make_no_sense_are_named(head: bytes, words: str) -> None:
    with pytest.raises(CorruptSegmentError, match=words):
        parse_payload(head, 2, HybridConfig())


def test_differences_that_leave_16_bits_are_an_error() -> None:
    """Escapes of the widest table, shifted by 8: sums beyond what a decoder may have to hold."""
    header = frame_header(8, 8)
    made = synthetic_segment(header, 1)
    arrays = [array.copy() for array in prior("subbands").arrays()]
    arrays[0][0, 0] += 1 << 20
    networks = {**made.model.networks, "subbands": type(prior("subbands"))(*arrays)}
    model = HybridParameters(made.model.gop, made.model.step_indexes, networks, {"subbands": 8, "motion": None})
    with pytest.raises(CorruptSegmentError, match="must fit 16 bits"):
        encode_payload(model, made.symbols, 1, HybridConfig(), layouts_of(header, HybridConfig()))


def test_steps_come_back_and_cost_what_is_promised() -> None:
    frames = coding_order(19, 4)
    steps = [(7 * place) % 86 for place in range(19)]
    writer = SymbolWriter()
    assert code_steps(writer, frames, first_steps(frames, steps), steps) == tuple(steps)
    assert writer.estimated_bits == pytest.approx(step_bits(frames, steps))
    reader = SymbolReader(writer.finish())
    assert code_steps(reader, frames, first_steps(frames, steps), None) == tuple(steps)
    reader.finish()


def test_a_step_of_each_depth_is_all_that_short_segments_have() -> None:
    for num_frames, gop in ((1, 8), (2, 8), (3, 8)):
        frames = coding_order(num_frames, gop)
        writer = SymbolWriter()
        steps = tuple(range(num_frames))
        assert first_steps(frames, steps) == list(steps)
        assert code_steps(writer, frames, steps, steps) == steps
        assert writer.estimated_bits == 0.0


@pytest.mark.parametrize(("first", "second"), [(0, -1), (85, 86)])
def test_a_step_that_there_is_not_is_an_error(first: int, second: int) -> None:
    frames = coding_order(3, 1)
    writer = SymbolWriter()
    with pytest.raises(CorruptSegmentError, match=f"quantisation step index {second}: must be in 0..85"):
        code_steps(writer, frames, (40, first), (40, first, second))
    reader = SymbolReader(writer.finish())
    with pytest.raises(CorruptSegmentError, match=f"quantisation step index {second}: must be in 0..85"):
        code_steps(reader, frames, (40, first), None)


def test_filters_come_back_and_cost_what_is_promised() -> None:
    frames = coding_order(9, 4)
    filters = [(place % 4, place % 3, 2 - place % 3) for place in range(9)]
    writer = SymbolWriter()
    assert code_filters(writer, frames, 3, filters) == filters
    assert writer.estimated_bits == pytest.approx(filter_bits(frames, filters))
    reader = SymbolReader(writer.finish())
    assert code_filters(reader, frames, 3, None) == filters
    reader.finish()
    steady = [filters[1]] * 9
    assert filter_bits(frames, steady) < filter_bits(frames, filters)
    assert code_filters(writer, (), 3, []) == []


@pytest.mark.parametrize("filters", [[(4, 0)], [(0, 3)], [(-1, 0)], [(3, 2), (3, 2), (3, 3)]])
def test_filters_that_there_are_not_are_an_error(filters: list[tuple[int, ...]]) -> None:
    frames = coding_order(3, 2)[: len(filters)]
    with pytest.raises(CorruptSegmentError, match="of a frame: must be in 0"):
        code_filters(SymbolWriter(), frames, 2, filters)


def test_random_payloads_end_in_our_error_or_in_symbols(header: Header) -> None:
    """A payload that is no encoder's mostly has something left; it may by chance have not, and is then one."""
    rng = np.random.default_rng(0)
    small = frame_header(8, 8, "gray", HybridConfig())
    noticed = 0
    for _ in range(40):
        words = [rng.integers(0, 256, 4 * int(rng.integers(0, 30)), dtype=np.uint8).tobytes() for _ in range(2)]
        data = b"\x01\x10\x10\x00\x00" + b"".join(bytes([len(word)]) + word for word in words)
        try:
            decoded(data, 2, small)
        except CorruptSegmentError:
            noticed += 1
    assert noticed >= 30
