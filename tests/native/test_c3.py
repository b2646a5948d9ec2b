# SPDX-License-Identifier: MIT
"""The C++ kernels against the oracle, on every instruction set that this machine has, and against hostile input."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.c3.config import PAPER_MODELS, C3Config, LatentGrid
from c3video.c3.engine import ENGINES
from c3video.c3.patch_model import PatchModel
from c3video.c3.payload import decode_patch, encode_patch
from c3video.c3.synthesis import synthesise
from c3video.c3.weight_coding import NETWORKS, choose_code
from c3video.decoder import Decoder
from c3video.engine import choose_engine
from c3video.errors import CorruptSegmentError
from tests.conftest import encode_quickly, moving_clip

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")
KERNELS = ENGINES["native"]


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


def random_case(random_patch: Callable, trial: int) -> tuple[PatchModel, tuple[np.ndarray, ...], tuple[int, int, int]]:
    """A patch whose sizes, windows, context sizes and symbols depend on `trial`."""
    rng = np.random.default_rng(trial)
    config = C3Config(
        grids=(
            LatentGrid(0, 0, True),
            LatentGrid(1, 1, True),
            LatentGrid(5, 0),
            LatentGrid(0, 2, True),
            LatentGrid(7, 7),
        ),
        q_step_256=int(rng.integers(1, 1025)),
        context_size=(3, 5, 7, 9)[trial % 4],
        previous_size=1 + trial % 9,
        previous_range=65 if trial % 3 else 9,
        entropy_layers=((8, 8), (5,), (16, 7, 4))[trial % 3],
        synthesis_layers=((32, 32), (), (5, 33), (64,))[trial % 4],
        residual_layers=trial % 4,
        residual_time_size=1 + 2 * (trial % 2),
    )
    shape = tuple(int(n) for n in rng.integers(1, [6, 40, 90])) if trial else (1, 1, 1)
    model, _ = random_patch(config, (1, 3, 4, 6)[trial % 4], shape, trial)
    corners = [
        tuple(int(c) for c in rng.integers(0, config.previous_range - config.previous_size + 1, 2))
        if grid.previous_window
        else None
        for grid in config.grids
    ]
    symbols = []
    for grid in config.grids:
        values = np.rint(rng.laplace(scale=rng.choice([0.1, 1.5, 30]), size=grid.shape(*shape))).astype(np.int64)
        values[rng.random(values.shape) < 0.01] = rng.choice([-60000, 300, 60000])
        symbols.append(values)
    return replace(model, windows=tuple(corners)), tuple(symbols), shape


@pytest.mark.parametrize("name", PAPER_MODELS)
@pytest.mark.parametrize("shape", [(1, 9, 11), (3, 20, 31)])
def test_published_settings_give_the_oracle_s_symbols(
    random_patch: Callable, isa: str, name: str, shape: tuple[int, int, int]
) -> None:
    model, symbols = random_patch(PAPER_MODELS[name], 3, shape, 5)
    codes = {n: choose_code([x for x in model.layers if x.spec.network == n]) for n in NETWORKS}
    data, _ = encode_patch(model, codes, symbols)
    for engine in ENGINES.values():
        decoded = decode_patch(data, model.config, 3, shape, engine.open_reader, engine.decode_grid)
        assert decoded.model.windows == model.windows
        assert all(np.array_equal(a, b) for a, b in zip(decoded.symbols, symbols, strict=True))


@pytest.mark.parametrize("trial", range(12))
def test_symbols_and_samples_equal_the_oracle_s(random_patch: Callable, isa: str, trial: int) -> None:
    model, symbols, shape = random_case(random_patch, trial)
    codes = {n: choose_code([x for x in model.layers if x.spec.network == n]) for n in NETWORKS}
    data, _ = encode_patch(model, codes, symbols)
    channels = model.num_channels
    decoded = decode_patch(data, model.config, channels, shape, KERNELS.open_reader, KERNELS.decode_grid)
    assert decoded.model.windows == model.windows
    assert all(np.array_equal(a, b) for a, b in zip(decoded.symbols, symbols, strict=True))
    for max_value in (255, 1023):
        assert np.array_equal(
            KERNELS.synthesise(model, symbols, shape, max_value), synthesise(model, symbols, shape, max_value)
        )


def test_frames_of_a_stream_do_not_depend_on_the_engine(isa: str) -> None:
    data = encode_quickly(moving_clip(5, 30, 44, "yuv422p10le"), patch_size=(16, 20), segment_frames=3)
    frames = {}
    for engine in ("numpy", "native"):
        with Decoder(io.BytesIO(data), engine=engine, threads=2) as clip:
            frames[engine] = [plane.tobytes() for frame in clip for plane in frame.planes]
    assert frames["native"] == frames["numpy"]


def test_native_is_chosen_where_it_was_built() -> None:
    assert choose_engine() == "native"


def test_damage_gives_our_error_or_the_oracle_s_symbols(random_patch: Callable, isa: str) -> None:
    """Payloads that pass a CRC: what native makes of them is what the oracle makes of them."""
    config = C3Config(grids=(LatentGrid(0, 0, True), LatentGrid(1, 1)), synthesis_layers=(8,))
    model, symbols = random_patch(config, 3, (2, 9, 7))
    codes = {n: choose_code([x for x in model.layers if x.spec.network == n]) for n in NETWORKS}
    data, _ = encode_patch(model, codes, symbols)
    rng = np.random.default_rng(0)

    def outcome(broken: bytes, *engine: Callable) -> object:
        try:
            return [grid.tolist() for grid in decode_patch(broken, config, 3, (2, 9, 7), *engine).symbols]
        except CorruptSegmentError:
            return "corrupt"

    for _ in range(60):
        broken = bytearray(data)
        if rng.random() < 0.5:
            broken[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        else:
            broken[10:] = rng.integers(0, 256, 4 * int(rng.integers(0, 60)), dtype=np.uint8).tobytes()
        assert outcome(bytes(broken)) == outcome(bytes(broken), KERNELS.open_reader, KERNELS.decode_grid)


class TestSeam:
    """Wrong dtype, shape, strides or range raise; nothing crashes."""

    def layer(self, weight: object = None, bias: object = None, bits: int = 18) -> object:
        weight = np.ones((2, 3), np.int32) if weight is None else weight
        return native.extension().Layer(weight, np.zeros(2, np.int32) if bias is None else bias, bits)

    @pytest.mark.parametrize(
        "weight",
        [
            np.ones((2, 3), np.int64),
            np.ones((2, 3), np.float32),
            np.ones((2, 6), np.int32)[:, ::2],
            np.ones(6, np.int32),
            np.full((2, 3), 32768, np.int32),
            np.full((2, 3), 20000, np.int32),
            np.ones((65, 3), np.int32),
            np.ones((0, 3), np.int32),
            "weights",
        ],
    )
    def test_layers(self, weight: object) -> None:
        assert self.layer() is not None
        with pytest.raises((TypeError, ValueError)):
            self.layer(weight)

    def test_layer_biases_and_bits(self) -> None:
        for bias, bits in [(np.zeros(3, np.int32), 18), (np.full(2, 2**30, np.int32), 18), (None, 5), (None, 99)]:
            with pytest.raises((TypeError, ValueError)):
                self.layer(None, bias, bits)

    def test_tables(self) -> None:
        good = [np.full(64, 2, np.int32), np.arange(1024, dtype=np.int32) * 8, np.zeros(8192, np.int32)]
        with pytest.raises(ValueError, match=r"2\^24"):
            native.extension().Tables(*good)
        with pytest.raises(ValueError, match="radii"):
            native.extension().Tables(good[0][:5], *good[1:])
        with pytest.raises(ValueError, match="cut off"):
            native.extension().Tables(good[0], np.full(1024, 8191, np.int32), good[2])

    def test_residuals(self) -> None:
        reader, tables = native.extension().Reader(bytes(range(1, 41))), native.probability_tables()
        for scales, fractions in [([64], [0]), ([-1], [0]), ([0], [8]), ([0], [-9]), ([0, 0], [0])]:
            with pytest.raises(ValueError, match=r"scale|table"):
                reader.residuals(tables, np.array(scales, np.int32), np.array(fractions, np.int32))

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": [0, 4, 4]},
            {"shape": [4, 4]},
            {"shape": [1 << 20, 1 << 20, 4]},
            {"slopes": [0, 0]},
            {"slopes": [4, -1]},
            {"q_step_256": 0},
            {"taps": np.array([[0, 1, 0]], np.int32)},
            {"taps": np.array([[0, 0, 0]], np.int32)},
            {"taps": np.array([[1, 0, 1]], np.int32)},
            {"taps": np.array([[0, -1, 2]], np.int32)},
            {"taps": np.array([[0, -1]], np.int32)},
            {"taps": np.zeros((0, 3), np.int32)},
            {"layers": []},
            {"isa": "mmx"},
        ],
    )
    def test_grids(self, change: dict) -> None:
        hidden = self.layer(np.ones((2, 1), np.int32))
        last = self.layer(np.ones((2, 2), np.int32), np.array([0, -35 << 16], np.int32))  # a wide scale: no escapes
        arguments = {
            "tables": native.probability_tables(),
            "shape": [2, 4, 4],
            "slopes": [4, 0],
            "q_step_256": 77,
            "taps": np.array([[0, -1, 0]], np.int32),
            "layers": [hidden, last],
            "isa": "",
        }
        reader = native.extension().Reader(np.random.default_rng(0).bytes(400))
        decode_grid = native.extension().decode_grid
        assert decode_grid(reader, **arguments).shape == (2, 4, 4)
        with pytest.raises((TypeError, ValueError)) as error:
            decode_grid(reader, **{**arguments, **change})
        assert not isinstance(error.value, native.extension().Corrupt)

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": [2, 4]},
            {"shape": [2, 5, 4]},
            {"shape": [1 << 20, 1 << 20, 4]},
            {"max_value": 0},
            {"residual_time_size": 2},
            {"symbols": [np.zeros((2, 4, 4), np.int64)]},
            {"symbols": [np.zeros((2, 4, 8), np.int32)[:, :, ::2]]},
            {"symbols": []},
            {"exponents": np.array([[8, 0]], np.int32)},
            {"exponents": np.array([[0, 0], [0, 0]], np.int32)},
            {"pointwise": []},
            {"pointwise": [None]},
        ],
    )
    def test_synthesis(self, change: dict) -> None:
        arguments = {
            "shape": [2, 4, 4],
            "q_step_256": 77,
            "max_value": 255,
            "residual_time_size": 1,
            "symbols": [np.zeros((2, 4, 4), np.int32)],
            "exponents": np.array([[0, 0]], np.int32),
            "pointwise": [self.layer(np.ones((2, 1), np.int32))],
            "residual": [],
            "isa": "",
        }
        assert native.extension().synthesise(**arguments).shape == (2, 2, 4, 4)
        with pytest.raises((TypeError, ValueError)):
            native.extension().synthesise(**{**arguments, **change})


@pytest.mark.parametrize("shape", [(20, 60, 2), (3, 300, 1), (40, 1, 1), (2, 1, 90), (12, 2, 30), (1, 150, 3)])
@pytest.mark.parametrize("corner", [(0, 0), (56, 0), (0, 56), (28, 28), (33, 25), (56, 56)])
def test_shapes_of_which_a_wave_crosses_little_give_the_oracle_s_symbols(
    random_patch: Callable, isa: str, shape: tuple[int, int, int], corner: tuple[int, int]
) -> None:
    """Where windows are, says how far frames lie apart; rows of the ring are as short as shapes let them be."""
    config = C3Config((LatentGrid(0, 0, True),), context_size=9, previous_size=9, synthesis_layers=())
    model, symbols = random_patch(config, 3, shape, sum(corner))
    model = replace(model, windows=(corner,))
    codes = {n: choose_code([x for x in model.layers if x.spec.network == n]) for n in NETWORKS}
    data, _ = encode_patch(model, codes, symbols)
    decoded = decode_patch(data, config, 3, shape, KERNELS.open_reader, KERNELS.decode_grid)
    assert np.array_equal(decoded.symbols[0], symbols[0])


@pytest.mark.parametrize("shape", [[0, 8, 8], [1, 8], [1 << 12, 1 << 12, 1 << 12]])
def test_memory_of_impossible_shapes_is_a_value_error(shape: list[int]) -> None:
    taps = np.array([[0, -1, 0], [0, 0, 1]], dtype=np.int32)
    with pytest.raises(ValueError, match=r"an empty grid|shape|2\^28"):
        native.extension().grid_memory(shape, 2, taps, 1, native.isa())
    with pytest.raises(ValueError, match=r"an empty grid|shape|2\^28"):
        native.extension().synthesis_memory(shape, np.zeros((1, 2), dtype=np.int32), 3, 1, 0, native.isa())
