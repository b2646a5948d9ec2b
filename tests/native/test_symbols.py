# SPDX-License-Identifier: MIT
"""The C++ readers of subbands and motion against the oracle, on every instruction set, and against hostile input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.coding import sparse_tables
from c3video.coding.rangecoder import SymbolReader, SymbolWriter
from c3video.errors import CorruptSegmentError
from c3video.hybrid import motion_symbols, subbands
from c3video.hybrid import symbol_coding as oracle
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame, coding_order
from c3video.hybrid.signs import sign_tables
from c3video.native import symbols as context
from tests.hybrid.test_symbol_coding import random_field, random_network, random_symbols, sparse_field

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

GRAY = ((0, 0),)
YUV420 = ((0, 0), (1, 1), (1, 1))
YUV422 = ((0, 0), (0, 1), (0, 1))
YUV444 = ((0, 0), (0, 0), (0, 0))


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


def layouts_of(size: tuple[int, int], shifts: Sequence[tuple[int, int]], num_slices: int) -> Sequence[Any]:
    shapes = [(-(-size[0] // (1 << dy)), -(-size[1] // (1 << dx))) for dy, dx in shifts]
    return subbands.slice_layouts(shapes, shifts, num_slices)


def subband_network(seed: int, weights: int = 300) -> ContextNetwork:
    rng = np.random.default_rng(seed)
    network = random_network(rng, subbands.NUM_INPUTS, subbands.NUM_CLASSES)
    return ContextNetwork(*(array * weights // 300 for array in network.arrays()))


def motion_network(seed: int) -> ContextNetwork:
    return random_network(np.random.default_rng(seed), motion_symbols.NUM_INPUTS, motion_symbols.NUM_CLASSES)


def write_slice(
    network: ContextNetwork, layout: subbands.SliceLayout, frames: Sequence[CodedFrame], seed: int
) -> tuple[bytes, list[subbands.FrameSymbols]]:
    """A payload of random symbols, and the symbols."""
    rng = np.random.default_rng(seed)
    writer, found = SymbolWriter(), {}
    for frame in frames:
        symbols = random_symbols(rng, layout)
        reference = subbands.reference_magnitudes([found[index] for index in frame.references], layout)
        oracle.write_subbands(writer, network, symbols, reference, frame.depth)
        found[frame.index] = symbols
    return writer.finish(), [found[frame.index] for frame in frames]


def oracle_slice(
    payload: bytes, network: ContextNetwork, layout: subbands.SliceLayout, frames: Sequence[CodedFrame]
) -> list[subbands.FrameSymbols]:
    reader, found = SymbolReader(payload), {}
    for frame in frames:
        reference = subbands.reference_magnitudes([found[index] for index in frame.references], layout)
        found[frame.index] = oracle.read_subbands(reader, network, layout, reference, frame.depth)
    reader.finish()
    return list(found.values())


def listed(frames: Sequence[Any]) -> list[Any]:
    """Symbols as plain lists, whatever their type."""
    return [[[band.tolist() for band in plane] for plane in frame] for frame in frames]


def listed_fields(fields: Sequence[MotionField | None]) -> list[Any]:
    return [
        None
        if field is None
        else (field.vectors.tolist(), field.modes.tolist(), field.splits.tolist(), field.offsets.tolist(), field.unit)
        for field in fields
    ]


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except CorruptSegmentError:
        return "corrupt"


def damaged(payload: bytes, seed: int, count: int) -> list[bytes]:
    """Payloads with a flipped bit, cut, of random words, or empty."""
    rng = np.random.default_rng(seed)
    result = [b"", payload + payload[-4:], payload[4:], payload[:-4], payload[:-1]]
    for _ in range(count):
        broken = bytearray(payload)
        broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        result.append(bytes(broken))
        result.append(rng.bytes(4 * int(rng.integers(1, 60))))
    return result


def test_tables_are_the_oracle_s() -> None:
    tables = native.sparse_tables()
    for zero in range(sparse_tables.NUM_ZEROS):
        for tail in range(sparse_tables.NUM_TAILS + 1):
            assert tables.bounds(zero, tail) == sparse_tables.cumulative(zero, tail).tolist()
            if tail != sparse_tables.FLAG:
                bounds = sparse_tables.magnitude_cumulative(zero, tail)
                assert tables.magnitude_bounds(zero, tail) == bounds.tolist()


def test_symbols_under_given_tables_come_back() -> None:
    """Between residuals of other tables, as differences of networks and motion share a payload."""
    rng = np.random.default_rng(0)
    zeros, tails = rng.integers(0, 64, 3000), rng.integers(0, 16, 3000)
    symbols = np.rint(rng.laplace(0, 4, 3000)).astype(np.int64)
    symbols[::100] = rng.integers(-(1 << 20), 1 << 20, 30)
    scales, fractions, residuals = rng.integers(0, 64, 50), rng.integers(-8, 8, 50), rng.integers(-40, 41, 50)
    writer = SymbolWriter()
    writer.code(scales, fractions, residuals)
    writer.code_sparse(zeros, tails, symbols)
    writer.code(scales, fractions, residuals)
    reader = native.NativeReader(writer.finish())
    np.testing.assert_array_equal(reader.code(scales, fractions), residuals)
    np.testing.assert_array_equal(reader.code_sparse(zeros, tails), symbols)
    np.testing.assert_array_equal(reader.code(scales, fractions), residuals)
    reader.finish()


@cache
def slice_cases(size: tuple[int, int], shifts: tuple[tuple[int, int], ...], num_slices: int) -> list[tuple[Any, ...]]:
    """Payload, network, layout, frames and symbols of each slice; made once for all instruction sets."""
    frames, cases = coding_order(4, 3), []
    for index, layout in enumerate(layouts_of(size, shifts, num_slices)):
        network = subband_network(index, (300, 40, 2000)[index])
        payload, symbols = write_slice(network, layout, frames, index)
        cases.append((payload, network, layout, frames, listed(symbols)))
    return cases


@pytest.mark.parametrize("shifts", [GRAY, YUV420, YUV422, YUV444])
@pytest.mark.parametrize("size", [(37, 50), (1, 1), (3, 70), (16, 16), (2, 1), (45, 287)])
@pytest.mark.parametrize("num_slices", [1, 3])
def test_slices_come_back(
    isa: str, size: tuple[int, int], shifts: tuple[tuple[int, int], ...], num_slices: int
) -> None:
    for payload, network, layout, frames, symbols in slice_cases(size, shifts, num_slices):
        found = list(context.read_slice(payload, network, layout, frames))
        assert listed(found) == symbols
        assert all(band.dtype == np.int32 for plane in found[0] for band in plane)


@cache
def misfits() -> list[tuple[bytes, ContextNetwork, subbands.SliceLayout, Sequence[CodedFrame], list[Any]]]:
    """Slices of subbands of any shapes, some of them empty."""
    frames, network, rng = coding_order(4, 4), subband_network(7), np.random.default_rng(7)
    cases = []
    for _ in range(6):
        layout = subbands.SliceLayout(
            tuple(
                tuple((int(h), int(w)) for h, w in rng.integers(0, (14, 150), (bands, 2))) for bands in (16, 13, 7, 1)
            )
        )
        payload, symbols = write_slice(network, layout, frames, 1)
        cases.append((payload, network, layout, frames, listed(symbols)))
    return cases


def test_shapes_of_subbands_need_not_fit_each_other(isa: str) -> None:
    """What a context takes from a subband of another size is what the oracle takes."""
    for payload, network, layout, frames, symbols in misfits():
        assert listed(list(context.read_slice(payload, network, layout, frames))) == symbols


def test_networks_at_the_edge_of_what_is_allowed(isa: str) -> None:
    """Sums near 2^30, activations at both ends of 16 bits, levels beyond those that have biases."""
    rng = np.random.default_rng(3)
    frames = [replace(frame, depth=3 * frame.depth) for frame in coding_order(4, 4)]
    (layout,) = layouts_of((21, 34), YUV420, 1)
    for first, second, last in [(15000, 1500, 2500), (20000, 100, 1000), (100, 1700, 2500)]:
        network = ContextNetwork(
            *(
                rng.choice([-1, 1], array.shape) * rng.integers(0, limit + 1, array.shape)
                for array, limit in zip(
                    subband_network(0).arrays(), (first, 32767, 32767, second, 32767, last, 32767), strict=True
                )
            )
        )
        network.check()
        payload, symbols = write_slice(network, layout, frames, 5)
        assert listed(list(context.read_slice(payload, network, layout, frames))) == listed(symbols)


def test_symbols_are_clipped_as_the_oracle_clips_them(isa: str) -> None:
    layout = subbands.SliceLayout((((3, 5),),))
    network = subband_network(1)
    rng = np.random.default_rng(1)
    seen = np.where(rng.random((3, 5)) < 0.5, rng.choice([-1, 1], (3, 5)) * subbands.MAX_SYMBOL, 0)
    reference = layout.empty()
    writer = SymbolWriter()
    features = np.concatenate([subbands.causal_features(seen), subbands.known_features([[seen]], reference, 0, 0)])
    writer.code_magnitudes(*network.predict(features, subbands.symbol_class(0, 0, 0), 0), np.abs(seen * 20).ravel())
    writer.code_signs(*sign_tables([seen], 0, subbands.symbol_class(0, 0, 0)))
    payload, frames = writer.finish(), coding_order(1, 1)
    assert listed(oracle_slice(payload, network, layout, frames)) == [[[seen.tolist()]]]
    assert listed(list(context.read_slice(payload, network, layout, frames))) == [[[seen.tolist()]]]


@cache
def damaged_slices() -> list[tuple[bytes, object]]:
    """Payloads, and what the oracle makes of them."""
    frames = coding_order(2, 2)
    (layout,) = layouts_of((9, 14), YUV420, 1)
    network = subband_network(2)
    payload, _ = write_slice(network, layout, frames, 2)
    return [
        (broken, outcome(lambda broken=broken: listed(oracle_slice(broken, network, layout, frames))))
        for broken in damaged(payload, 0, 12)
    ]


def test_damaged_slices_give_our_error_or_the_oracle_s_symbols(isa: str) -> None:
    frames = coding_order(2, 2)
    (layout,) = layouts_of((9, 14), YUV420, 1)
    network = subband_network(2)
    for broken, expected in damaged_slices():
        found = outcome(lambda broken=broken: listed(list(context.read_slice(broken, network, layout, frames))))
        assert found == expected


def test_symbols_of_damaged_slices_are_the_oracle_s_before_the_end_tells(isa: str) -> None:
    frame = coding_order(1, 1)[0]
    (layout,) = layouts_of((9, 14), YUV420, 1)
    network = subband_network(2)
    payload, _ = write_slice(network, layout, [frame], 2)
    for broken in damaged(payload, 1, 12):
        if len(broken) % 4:
            continue
        expected = outcome(
            lambda broken=broken: listed(
                [oracle.read_subbands(SymbolReader(broken), network, layout, layout.empty(), frame.depth)]
            )
        )
        found = outcome(lambda broken=broken: listed([context.SliceReader(broken, network, layout, [frame]).read()]))
        assert found == expected


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 4), (4, 1), (12, 3)])
def test_motion_comes_back(isa: str, shape: tuple[int, int]) -> None:
    """After weights in the same payload, and at distances that differ."""
    network, frames = (
        motion_network(1),
        [*coding_order(6, 2), CodedFrame(19, (5, 3), 9), CodedFrame(7, (3, 19), 2), CodedFrame(9, (7, 2), 1)],
    )
    rng = np.random.default_rng(1)
    fields = [random_field(rng, shape, len(frame.references)) if frame.references else None for frame in frames]
    scales = np.full(9, 30)
    writer = SymbolWriter()
    writer.code(scales, np.zeros_like(scales), np.arange(9))
    oracle.write_frames_motion(writer, network, fields, frames)
    coder = native.NativeReader(writer.finish())
    np.testing.assert_array_equal(coder.code(scales, np.zeros_like(scales)), np.arange(9))
    found = list(context.read_motion(coder, network, shape, frames))
    assert listed_fields(found) == listed_fields(fields)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (9, 4), (4, 13)])
def test_symbols_are_listed_as_the_oracle_lists_them(isa: str, shape: tuple[int, int]) -> None:
    """Also of fields that mostly move alike, so that large parts and motions taken over are among them."""
    rng = np.random.default_rng(2)
    frames = [*coding_order(9, 4), CodedFrame(19, (3, 8), 7)]
    for density in (1.0, 0.1, 0.01):
        fields = [
            sparse_field(rng, shape, len(frame.references), density) if frame.references else None for frame in frames
        ]
        expected = oracle.list_frames_motion(fields, frames, motion_symbols.to_symbols)
        found = oracle.list_frames_motion(fields, frames, context.list_symbols)
        for coded, symbols in zip(found, expected, strict=True):
            assert (coded is None) == (symbols is None)
            if coded is not None and symbols is not None:
                np.testing.assert_array_equal(coded.classes, symbols.classes)
                np.testing.assert_array_equal(coded.features, symbols.features)
                np.testing.assert_array_equal(coded.symbols, symbols.symbols)
        network, writer = motion_network(3), SymbolWriter()
        oracle.write_frames_motion(writer, network, fields, frames, context.list_symbols)
        payload = writer.finish()
        read = list(context.read_motion(native.NativeReader(payload), network, shape, frames))
        assert listed_fields(read) == listed_fields(fields)
        read = list(oracle.read_frames_motion(SymbolReader(payload), network, shape, frames))
        assert listed_fields(read) == listed_fields(fields)


@cache
def damaged_motion(frame: CodedFrame) -> list[tuple[bytes, object]]:
    """Payloads, and what the oracle makes of them."""
    network, shape = motion_network(4), (4, 5)
    writer = SymbolWriter()
    field = random_field(np.random.default_rng(4), shape, 2)
    oracle.write_motion(writer, network, motion_symbols.to_symbols(field, frame, None), frame.depth)

    def read(broken: bytes) -> object:
        coder = SymbolReader(broken)
        field = oracle.read_motion(coder, network, shape, frame, None)
        return listed_fields([field]), outcome(coder.finish)

    return [(broken, outcome(lambda broken=broken: read(broken))) for broken in damaged(writer.finish(), 3, 30)]


@pytest.mark.parametrize("frame", [CodedFrame(6, (5, 20), 2), CodedFrame(20, (17, 3), 1)])
def test_damaged_motion_gives_our_error_or_the_oracle_s_vectors(isa: str, frame: CodedFrame) -> None:
    """Huge differences among them: predictions and vectors are clipped alike."""
    network, shape = motion_network(4), (4, 5)

    def read_natively(broken: bytes) -> object:
        reader = context.MotionReader(broken, network, shape)
        return listed_fields([reader.read(frame, None)]), outcome(reader.finish)

    for broken, expected in damaged_motion(frame):
        assert outcome(lambda broken=broken: read_natively(broken)) == expected


class TestSeam:
    """Wrong dtype, shape, strides or range raise; nothing crashes."""

    def arrays(self) -> list[np.ndarray]:
        return [array.astype(np.int32) for array in subband_network(0).arrays()]

    def test_network(self) -> None:
        good = self.arrays()
        assert native.extension().ContextNetwork(*good) is not None
        for index, array in enumerate(good):
            for bad in (
                array.astype(np.int64),
                array.astype(np.float32),
                array[:-1],
                array[..., :-1],
                array[None],
                np.repeat(array, 2, axis=-1)[..., ::2],
                np.full_like(array, 32768),
                np.full_like(array, -(2**31)),
                "weights",
            ):
                with pytest.raises((TypeError, ValueError)):
                    native.extension().ContextNetwork(*good[:index], bad, *good[index + 1 :])

    @pytest.mark.parametrize("index", [0, 3, 5])
    def test_network_whose_sums_may_overflow(self, index: int) -> None:
        good = self.arrays()
        with pytest.raises(ValueError, match=r"2\^30"):
            native.extension().ContextNetwork(*good[:index], np.full_like(good[index], 32767), *good[index + 1 :])
        network = ContextNetwork(*good[:index], np.full_like(good[index], 32767), *good[index + 1 :])
        with pytest.raises(CorruptSegmentError):
            context.SliceReader(bytes([1, 0, 0, 0]), network, layouts_of((8, 8), GRAY, 1)[0], coding_order(1, 1))

    def test_tables(self) -> None:
        zero, tail = np.full(64, 5, np.int32), np.full(16, 5, np.int32)
        assert native.extension().SparseTables(zero, tail) is not None
        for bad in [(zero[1:], tail), (zero, tail[1:]), (zero * 0, tail), (zero, tail - 6), (zero, tail + 2**30)]:
            with pytest.raises((TypeError, ValueError)):
                native.extension().SparseTables(*bad)
        for place in [(-1, 0), (64, 0), (0, -1), (0, 17)]:
            with pytest.raises(ValueError, match="table index"):
                native.sparse_tables().bounds(*place)

    def test_symbols(self) -> None:
        for zeros, tails in [([64], [0]), ([-1], [0]), ([0], [17]), ([0], [-1]), ([0, 0], [0])]:
            with pytest.raises(ValueError, match=r"table index|as many"):
                native.NativeReader(bytes(range(1, 41))).code_sparse(np.array(zeros), np.array(tails))

    @pytest.mark.parametrize(
        "shapes",
        [
            [],
            [[]],
            [[(2, 2)] * 2],
            [[(2, 2)] * 19],
            [[(2, 2)]] * 5,
            [[(-1, 2)]],
            [[(2, 40000)]],
            [[(1 << 15, 1 << 15)]],
            [[(2, 2, 2)]],
            [[(2, 1 << 40)]],
            [[2]],
            "shapes",
        ],
    )
    def test_layouts(self, shapes: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            native.extension().Slice(shapes)

    @pytest.mark.parametrize(
        "change",
        [
            {"reader": None},
            {"tables": None},
            {"network": None},
            {"network": "network"},
            {"signs": None},
            {"signs": "network"},
            {"slice": None},
            {"slice": "another"},
            {"depth": -1},
            {"depth": 1 << 40},
            {"own": None},
            {"own": "another"},
            {"references": ["own"]},
            {"references": ["first", "another"]},
            {"references": ["first", None]},
            {"references": ["first", "second", "first"]},
            {"references": None},
            {"isa": "mmx"},
        ],
    )
    def test_slices(self, change: dict[str, Any]) -> None:
        ours, another = native.extension().Slice([[(4, 4)] * 4]), native.extension().Slice([[(4, 4)] * 3 + [(4, 5)]])
        features = {name: ours.new_features() for name in ("own", "first", "second")}
        features["another"] = another.new_features()

        def read(**changed: Any) -> list[np.ndarray]:
            arguments = {
                "reader": native.extension().Reader(np.random.default_rng(0).bytes(400)),
                "tables": native.sparse_tables(),
                "network": native.extension().ContextNetwork(*self.arrays()),
                "signs": context.native_signs(),
                "slice": "ours",
                "depth": 0,
                "references": ["first", "second"],
                "own": "own",
                "isa": "",
                **changed,
            }
            arguments["own"] = features.get(arguments["own"])
            arguments["slice"] = {"ours": ours, "another": another}.get(arguments["slice"])
            if arguments["references"] is not None:
                arguments["references"] = [features.get(name) for name in arguments["references"]]
            return native.extension().read_slice(**arguments)

        assert [band.shape for band in read()] == [(4, 4)] * 4
        assert len(read(references=["first", "first"])) == 4
        with pytest.raises((TypeError, ValueError)) as error:
            read(**change)
        assert not isinstance(error.value, native.extension().Corrupt)

    @pytest.mark.parametrize(
        "change",
        [
            {"network": subband_network(0)},
            {"shape": (0, 4)},
            {"shape": (4, -1)},
            {"shape": (1 << 15, 1 << 15)},
            {"shape": (4, 1 << 20)},
            {"shape": (4,)},
            {"frame": CodedFrame(4, (4,), 1)},
            {"frame": CodedFrame(4, (5,), 1)},
            {"frame": CodedFrame(4, (1, 4), 1)},
            {"frame": CodedFrame(4, (5, 2), 1)},
            {"frame": CodedFrame(4, (1, 1 << 20), 1)},
            {"frame": CodedFrame(0, (-1, 1 << 31), 1)},
            {"frame": CodedFrame(4, (1, 1 << 40), 1)},
            {"frame": CodedFrame(4, (1, 5), -1)},
        ],
    )
    def test_motion(self, change: dict[str, Any]) -> None:
        def read(network: ContextNetwork, shape: Any, frame: CodedFrame) -> MotionField:
            return context.MotionReader(np.random.default_rng(0).bytes(4000), network, shape).read(frame, None)

        arguments = {"network": motion_network(0), "shape": (2, 3), "frame": CodedFrame(4, (1, 5), 1)}
        field = read(**arguments)
        assert field.vectors.shape == (2, 2, 4, 6)
        with pytest.raises((TypeError, ValueError)) as error:
            read(**{**arguments, **change})
        assert not isinstance(error.value, CorruptSegmentError)

    @pytest.mark.parametrize(
        "change",
        [
            {"vectors": np.zeros((1, 2, 4, 6), np.int32)},
            {"vectors": np.zeros((2, 2, 4, 5), np.int32)},
            {"vectors": np.full((2, 2, 4, 6), 4097, np.int32)},
            {"vectors": np.zeros((2, 2, 4, 6), np.int64)},
            {"modes": np.full((4, 6), 3, np.int32)},
            {"modes": np.full((4, 6), -1, np.int32)},
            {"modes": np.zeros((4, 4), np.int32)},
            {"splits": np.full((2, 3), 4, np.int32)},
            {"splits": np.zeros((0, 3), np.int32)},
            {"times": [1, 0]},
            {"times": [-1]},
            {"offsets": np.zeros((1, 2), np.int32)},
            {"offsets": np.full((2, 2), 4097, np.int32)},
            {"offsets": np.ones((2, 2), np.int32), "unit": 2},
            {"vectors": np.ones((2, 2, 4, 6), np.int32), "unit": 2},
            {"unit": 0},
            {"unit": 3},
            {"earlier": ((2, 2, 4, 6), (4, 4), [1, 2], 1, 0)},
            {"earlier": ((1, 2, 4, 6), (4, 6), [1], 0, 1)},
            {"earlier": ((1, 2, 4, 6), (4, 6), [1], 1, 0)},
            {"earlier": ((1, 2, 4, 6), (4, 6), [1], -1, 0)},
            {"earlier": ((1, 2, 4, 6), (4, 6), [0], 0, 0)},
            {"earlier": ((1, 2, 4, 6), (4, 6), [1, 2, 3], 0, 0)},
        ],
    )
    def test_fields_that_are_listed(self, change: dict[str, Any]) -> None:
        """An earlier field is given as the shapes of its vectors and modes, times, which counts, and all modes."""
        arguments = {
            "vectors": np.zeros((2, 2, 4, 6), np.int32),
            "modes": np.zeros((4, 6), np.int32),
            "splits": np.zeros((2, 3), np.int32),
            "offsets": np.zeros((2, 2), np.int32),
            "unit": 1,
            "times": [2, -1],
            "earlier": ((1, 2, 4, 6), (4, 6), [3], 0, 0),
        }

        def listed(arguments: dict[str, Any]) -> Any:
            vectors, modes, times, reference, mode = arguments["earlier"]
            earlier = native.extension().EarlierMotion(
                np.zeros(vectors, np.int32), np.full(modes, mode, np.int32), times, reference
            )
            return native.extension().list_motion(**{**arguments, "earlier": earlier}, isa="")

        classes, features, symbols = listed(arguments)
        assert len(classes) == len(symbols) == features.shape[1]
        with pytest.raises((TypeError, ValueError)):
            listed({**arguments, **change})

    def test_networks_and_frames_that_do_not_fit_a_slice(self) -> None:
        (layout,) = layouts_of((8, 8), GRAY, 1)
        frames, payload = coding_order(1, 1), np.random.default_rng(0).bytes(4000)
        with pytest.raises(ValueError, match="subbands"):
            context.SliceReader(payload, motion_network(0), layout, frames).read()
        reader = context.SliceReader(payload, subband_network(0), layout, frames)
        reader.read()
        with pytest.raises(IndexError):
            reader.read()

    def test_symbols_outlive_their_reader(self) -> None:
        """Blocks of symbols are used again, but not while an array shows one."""
        frames = coding_order(9, 4)
        (layout,) = layouts_of((40, 61), YUV420, 1)
        payload, symbols = write_slice(subband_network(0), layout, frames, 0)
        reader = context.SliceReader(payload, subband_network(0), layout, frames)
        kept = []
        for place in range(len(frames)):
            found = reader.read()
            if place % 2:
                kept.append(found)
        reader.finish()
        del reader, found
        assert listed(kept) == listed(symbols[1::2])
