# SPDX-License-Identifier: MIT
"""The encoder's inner loop in C++: choices, counts and the wavelet against NumPy, on every instruction set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.coding import sparse_tables
from c3video.coding.rangecoder import SymbolCounter
from c3video.errors import CorruptSegmentError
from c3video.hybrid import subbands, wavelet
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.symbol_choice import PlaneChoice
from c3video.hybrid.payload import encode_payload, prior
from c3video.hybrid.signs import sign_tables
from c3video.hybrid.subbands import FrameSymbols, SliceLayout, slice_layouts
from c3video.hybrid.symbol_coding import write_plane
from c3video.native import symbol_choice
from c3video.native.symbols import native_network, native_signs
from tests.hybrid.streams import frame_header, synthetic_segment
from tests.hybrid.test_symbol_coding import random_network, random_symbols
from tests.native.choices_in_order import choose_in_order

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

GRAY = ((0, 0),)
YUV420 = ((0, 0), (1, 1), (1, 1))
YUV444 = ((0, 0), (0, 0), (0, 0))
SIZES = [(37, 50), (1, 1), (3, 70), (16, 16), (2, 1), (45, 287), (72, 88)]


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


def layout_of(size: tuple[int, int], shifts: Sequence[tuple[int, int]]) -> SliceLayout:
    shapes = [(-(-size[0] // (1 << dy)), -(-size[1] // (1 << dx))) for dy, dx in shifts]
    return subbands.slice_layouts(shapes, shifts, 1)[0]


def wild_layout(seed: int) -> SliceLayout:
    """Shapes of subbands that do not fit each other, some of them empty."""
    rng = np.random.default_rng(seed)
    return SliceLayout(
        tuple(tuple((int(h), int(w)) for h, w in rng.integers(0, (14, 150), (bands, 2))) for bands in (16, 13, 7, 1))
    )


@cache
def networks() -> list[ContextNetwork]:
    """Of subbands: the one that comes with us, and a wild one."""
    return [prior("subbands"), random_network(np.random.default_rng(1), subbands.NUM_INPUTS, subbands.NUM_CLASSES)]


def case_of(layout: SliceLayout, seed: int) -> tuple[list[list[np.ndarray]], FrameSymbols]:
    """Coefficients in steps of 100, sparse and some of them huge, and references."""
    rng = np.random.default_rng(seed)
    coefficients = [
        [rng.laplace(0, 50, shape) * np.where(rng.random(shape) < 0.01, 1000, 1) for shape in plane]
        for plane in layout.shapes
    ]
    references = [random_symbols(rng, layout), random_symbols(rng, layout)]
    return coefficients, subbands.reference_magnitudes(references, layout)


def bits_of(network: ContextNetwork, symbols: FrameSymbols, reference: FrameSymbols, plane: int, depth: int) -> float:
    counter = SymbolCounter()
    write_plane(counter, network, symbols, reference, plane, depth)
    return counter.estimated_bits


def random_slopes(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(shape[0]).uniform(0.02, 0.4, shape).astype(np.float32)


DEPTHS = (1, 9)
"""One for each network; the latter is beyond those that have biases of their own."""
FITTING = "16x24-twice"
LAYOUTS = {
    FITTING: SliceLayout((wavelet.subband_shapes((16, 24), 3),) * 2),
    **{f"{h}x{w}-420": layout_of((h, w), YUV420) for h, w in SIZES},
    "37x50-444": layout_of((37, 50), YUV444),
    **{f"wild-{seed}": wild_layout(seed) for seed in range(3)},
}


def steps_of(bands: Sequence[np.ndarray]) -> tuple[int, ...]:
    return tuple(100 + band for band in range(len(bands)))


@cache
def chosen_by_numpy(name: str, passes: int) -> list[tuple[FrameSymbols, list[float]]]:
    """With each network: the symbols, and the bits of each plane."""
    layout = LAYOUTS[name]
    coefficients, reference = case_of(layout, passes)
    chosen = []
    for network, depth in zip(networks(), DEPTHS, strict=True):
        expected, bits = layout.empty(), []
        for plane, bands in enumerate(coefficients):
            slopes = [random_slopes(band.shape) for band in bands]
            choice = PlaneChoice(bands, steps_of(bands), slopes, network, expected, reference, plane, depth)
            choose_in_order(choice, passes)
            bits.append(bits_of(network, expected, reference, plane, depth))
        chosen.append((expected, bits))
    return chosen


def check_choices(name: str, passes: int) -> None:
    layout = LAYOUTS[name]
    coefficients, reference = case_of(layout, passes)
    wanted = chosen_by_numpy(name, passes)
    for network, depth, (expected, wanted_bits) in zip(networks(), DEPTHS, wanted, strict=True):
        found = layout.empty()
        for plane, bands in enumerate(coefficients):
            slopes = [random_slopes(band.shape) for band in bands]
            found[plane], bits = symbol_choice.choose_plane(
                bands, steps_of(bands), network, found, reference, plane, depth, slopes, passes
            )
            for ours, theirs in zip(found[plane], expected[plane], strict=True):
                np.testing.assert_array_equal(ours, theirs)
            assert bits == pytest.approx(wanted_bits[plane], rel=1e-6, abs=1e-3)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("passes", [0, 1])
def test_choices_are_numpy_s(isa: str, name: str, passes: int) -> None:
    check_choices(name, passes)


@pytest.mark.parametrize("passes", [2, 3])
def test_choices_that_look_ahead_are_numpy_s(isa: str, passes: int) -> None:
    check_choices(FITTING, passes)


@pytest.mark.parametrize("passes", [1, 2, 4])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_choices_in_order_are_alike_everywhere(passes: int, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On all instruction sets; and their bits are the counter's."""
    for name in ("45x287-420", "wild-1"):
        layout = LAYOUTS[name]
        coefficients, reference = case_of(layout, 6)
        seen = []
        for isa in native.instruction_sets():
            monkeypatch.setenv("C3VIDEO_ISA", isa)
            found = layout.empty()
            for plane, bands in enumerate(coefficients):
                found[plane], bits = symbol_choice.choose_plane(
                    [band.astype(kind) for band in bands],
                    [100] * len(bands),
                    networks()[0],
                    found,
                    reference,
                    plane,
                    1,
                    0.11,
                    passes,
                )
                assert bits == pytest.approx(bits_of(networks()[0], found, reference, plane, 1), rel=1e-6)
            seen.append([[band.tolist() for band in plane] for plane in found])
        assert all(one == seen[0] for one in seen)


def sign_bits_beyond_average(bands: Sequence[np.ndarray]) -> float:
    """What choices do not look at."""
    bits = 0.0
    for band in range(len(bands)):
        zeros, _, are_negative = sign_tables(bands, band, subbands.symbol_class(0, band, len(bands) // 3))
        bits += float(sparse_tables.sign_costs()[zeros, are_negative].sum())
    return bits


@pytest.mark.parametrize("seed", range(3))
def test_each_pass_costs_no_more_than_the_one_before(seed: int) -> None:
    """Where subbands fit each other, all that a choice does in its plane is known."""
    rng = np.random.default_rng(seed)
    plane = np.cumsum(np.cumsum(rng.normal(0, 40, (64, 96)), axis=0), axis=1) * rng.uniform(0.2, 1.0)
    bands = symbol_choice.analyse((plane - plane.mean()).astype(np.float32), 5)
    layout, slope, steps, losses = layout_of((64, 96), GRAY), 0.11, subbands.subband_steps(40, 5), []
    for passes in range(1, 6):
        found, bits = symbol_choice.choose_plane(
            bands, steps, networks()[0], layout.empty(), layout.empty(), 0, 0, slope, passes
        )
        error = 0.0
        for band, symbols, step in zip(bands, found, steps, strict=True):
            magnitudes = np.abs(symbols)
            levels = np.where(magnitudes > 0, magnitudes - 1.0 / 16.0, 0.0)
            error += float(np.square(np.abs(band.astype(np.float64)) / step - levels).sum())
        losses.append(error + slope * (bits - sign_bits_beyond_average(found)))
    assert losses[1] < 0.999 * losses[0]
    assert all(later <= earlier + 1e-3 for earlier, later in pairwise(losses))


@pytest.mark.parametrize("size", [*SIZES, (1, 64), (64, 1), (5, 5), (288, 352)])
@pytest.mark.parametrize("levels", [0, 1, 5])
def test_subbands_of_a_plane_are_numpy_s(isa: str, size: tuple[int, int], levels: int) -> None:
    rng = np.random.default_rng(9)
    for plane in (
        rng.integers(-(1 << 15), 1 << 15, size).astype(np.int16),
        rng.normal(0, 5e3, size).astype(np.float32),
    ):
        found = symbol_choice.analyse(plane, levels)
        expected = wavelet.analyse(plane.astype(np.float64), levels)
        assert [band.shape for band in found] == list(wavelet.subband_shapes(size, levels))
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=0.1)


def test_subbands_of_a_plane_are_alike_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(10).normal(0, 5e3, (45, 287)).astype(np.float32)
    seen = []
    for isa in native.instruction_sets():
        monkeypatch.setenv("C3VIDEO_ISA", isa)
        seen.append([band.tolist() for band in symbol_choice.analyse(plane, 5)])
    assert all(one == seen[0] for one in seen)


def written(
    symbols: FrameSymbols, reference: FrameSymbols, network: ContextNetwork | None = None, depth: int = 0
) -> bytes:
    writer = native.NativeWriter()
    symbol_choice.write_subbands(writer, network or networks()[0], symbols, reference, depth)
    return writer.finish()


class TestSeam:
    """Wrong dtype, shape, strides or range raise; nothing crashes."""

    ones = np.ones((4, 4))

    @pytest.mark.parametrize(
        "change",
        [
            {"coefficients": [ones] * 3},
            {"coefficients": [ones[:3], *[ones] * 3]},
            {"coefficients": [ones.astype(np.int64)] * 4},
            {"coefficients": [ones.astype(np.float16)] * 4},
            {"coefficients": [ones[None]] * 4},
            {"coefficients": [ones * np.nan] * 4},
            {"coefficients": [ones * -np.inf] * 4},
            {"coefficients": [ones * 1e12] * 4},
            {"coefficients": None},
            {"steps": [1] * 3},
            {"steps": [0] * 4},
            {"steps": [1 << 15] * 4},
            {"steps": [1 << 40] * 4},
            {"steps": "step"},
            {"symbols": [[]]},
            {"symbols": [[ones.astype(int)] * 2] * 2},
            {"symbols": [[ones] * 4] * 2},
            {"reference": [[ones.astype(int)] * 4, [ones.astype(int)] * 7]},
            {"reference": [[ones.astype(int)] * 4, [ones[1:].astype(int)] * 4]},
            {"plane": -1},
            {"plane": 4},
            {"depth": -1},
            {"slopes": [ones.astype(np.float32)] * 3},
            {"slopes": [ones[1:].astype(np.float32)] * 4},
            {"slopes": [ones.astype(np.float32) * np.nan] * 4},
            {"slopes": float("nan")},
            {"slopes": 1e12},
            {"passes": -1},
            {"passes": 1 << 20},
        ],
    )
    def test_choose_plane(self, change: dict[str, Any]) -> None:
        integers = [[self.ones.astype(np.int64)] * 4] * 2
        arguments: dict[str, Any] = {
            "coefficients": [self.ones] * 4,
            "steps": [1] * 4,
            "network": networks()[0],
            "symbols": integers,
            "reference": integers,
            "plane": 1,
            "depth": 0,
            "slopes": 0.1,
            "passes": 2,
        }
        assert len(symbol_choice.choose_plane(**arguments)[0]) == 4
        with pytest.raises((TypeError, ValueError, IndexError)):
            symbol_choice.choose_plane(**{**arguments, **change})

    def test_write_subbands(self) -> None:
        good = [[np.ones((4, 4), dtype=np.int64)] * 4]
        assert written(good, good)
        for bad in (
            [],
            [[]],
            [good[0][:3]],
            good * 5,
            [[band[1:] for band in good[0]]],
            [[band.astype(float) for band in good[0]]],
            [[band * (subbands.MAX_SYMBOL + 1) for band in good[0]]],
            [[band * -(2**63) for band in good[0]]],
        ):
            with pytest.raises((TypeError, ValueError)):
                written(bad, good)
        with pytest.raises(ValueError, match="depth"):
            written(good, good, depth=-1)
        with pytest.raises(ValueError, match="subbands"):
            written(good, good, prior("motion"))

    def test_references_may_be_of_any_size(self) -> None:
        good = [[np.ones((4, 4), dtype=np.int64)] * 4]
        for magnitude in (256, 2**40, -(2**63)):
            clipped = [[band * 255 for band in good[0]]]
            assert written(good, [[band * magnitude for band in good[0]]]) == written(good, clipped)

    def test_network_whose_sums_may_overflow(self) -> None:
        arrays = [array.copy() for array in networks()[0].arrays()]
        arrays[0][...] = 32767
        good = [[np.ones((4, 4), dtype=np.int64)] * 4]
        with pytest.raises(CorruptSegmentError):
            written(good, good, ContextNetwork(*arrays))

    def test_costs(self) -> None:
        costs, of_signs = sparse_tables.costs(), sparse_tables.sign_costs()
        symbols, coefficients = [np.ones((4, 4), dtype=np.int64)] * 4, [np.ones((4, 4))] * 4

        def choose(costs: Any, of_signs: Any) -> None:
            native.extension().choose_plane(
                native_network(networks()[0]),
                native_signs(),
                costs,
                of_signs,
                [],
                symbols,
                0,
                0,
                coefficients,
                [1] * 4,
                [],
                0.1,
                1,
                "",
            )

        choose(costs, of_signs)
        for bad in (costs[1:], costs.astype(np.float64), costs[..., ::-1], costs.ravel()):
            with pytest.raises(TypeError):
                choose(bad, of_signs)
        for bad in (of_signs[1:], of_signs.astype(np.float64), of_signs[:, ::-1], None):
            with pytest.raises(TypeError):
                choose(costs, bad)

    def test_analyse(self) -> None:
        good = np.ones((4, 4), dtype=np.float32)
        for plane, levels in [
            (good, -1),
            (good, 6),
            (good[None], 1),
            (good[:0], 1),
            (good.astype(np.float64), 1),
            (np.zeros((1, 1 << 16), dtype=np.int16), 1),
        ]:
            with pytest.raises((TypeError, ValueError)):
                symbol_choice.analyse(plane, levels)
        np.testing.assert_array_equal(symbol_choice.analyse(good[::-1, ::2], 0)[0], good[::-1, ::2])

    def test_unknown_instruction_set(self) -> None:
        with pytest.raises(ValueError, match="kernels"):
            native.extension().analyse(np.ones((4, 4), dtype=np.float32), 1, "abacus")


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "density"),
    [
        ((38, 150), "yuv420p", HybridConfig(num_slices=2), 4, 0.1),
        ((66, 67), "yuv444p10le", HybridConfig(), 3, 0.9),
        ((1, 70), "gray", HybridConfig(), 1, 0.3),
        ((40, 21), "gbrp", HybridConfig(), 2, 0.02),
    ],
)
def test_segments_are_written_as_the_same_bytes(
    isa: str, size: tuple[int, int], pix_fmt: str, config: HybridConfig, num_frames: int, density: float
) -> None:
    header = frame_header(*size, pix_fmt, config)
    for has_picture in (False, True):
        made = synthetic_segment(header, num_frames, gop=2, density=density, exponents=(2, 0), has_picture=has_picture)
        layouts = slice_layouts(header.video.plane_shapes, header.video.layout.planes, config.num_slices)
        writing = FIT_ENGINES["native"].writing
        data, bits = encode_payload(made.model, made.symbols, num_frames, config, layouts, writing)
        assert data == made.segment.patches[0]
        for part, value in made.bits.by_part().items():
            assert bits.by_part()[part] == pytest.approx(value, rel=1e-6, abs=1e-3), part


def test_what_is_no_symbol_of_a_table_is_refused() -> None:
    good, bad = np.array([3]), np.array([64])
    for zeros, tails, symbols in ((bad, good, good), (good, -good, good), (good, good, 1 << 20)):
        with pytest.raises(ValueError, match=r"out of range|below 2"):
            native.NativeWriter().code_sparse(zeros, tails, np.atleast_1d(symbols))
    with pytest.raises(ValueError, match="a table for each symbol"):
        native.NativeWriter().code_sparse(good, np.array([1, 2]), good)
