# SPDX-License-Identifier: MIT
"""Runs of frames as bytes: what went in comes out of both engines, the first frame first, damage is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from c3video import native
from c3video.errors import ConfigError, CorruptSegmentError
from c3video.native.pyramid import NATIVE, NATIVE_WRITING
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.contexts import previous_inputs
from c3video.pyramid.payload import NUMPY, NUMPY_WRITING, PatchReading
from c3video.pyramid.run_payload import decode_run, encode_run, sum_layers
from c3video.pyramid.runs import RunShape
from c3video.pyramid.weights import MAX_CONTEXT, PyramidWeights
from c3video.video import VideoFormat
from tests.pyramid.models import random_symbols, random_weights

needs_native = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")


@dataclass(frozen=True)
class Run:
    """A run of random integers."""

    video: VideoFormat
    config: PyramidConfig
    weights: PyramidWeights
    shape: RunShape
    windows: list[tuple[int, int]]
    symbols: list[list[np.ndarray]]


CASES = (
    # (height, width), frames, spans, num_previous, largest window, changes of the configuration
    ((37, 50), 5, (0,), 9, 0, {"num_hyper": 4}),
    ((66, 257), 3, (2, 0), 9, 3, {"patch_size": 128, "num_taps": 16, "num_hyper": 2}),
    ((40, 33), 6, (3, 1, 0), 5, 31, {"num_grids": 4, "num_taps": 4, "entropy_layers": (5,)}),
    ((1, 9), 4, (6, 5, 1, 0), 1, 7, {"num_grids": 8, "num_taps": 7, "num_hyper": 4}),
    ((130, 3), 2, (1,), 4, 2, {"num_grids": 1, "entropy_layers": (48, 4), "patch_size": 128}),
    ((64, 70), 3, (0,), 9, 1, {"num_grids": 3, "num_taps": 9, "num_hyper": 3}),
)


def run_of(trial: int) -> Run:
    (height, width), num_frames, spans, num_previous, reach, changes = CASES[trial]
    config = PyramidConfig(num_previous=num_previous, **changes)  # type: ignore[arg-type]
    rng = np.random.default_rng(trial)
    weights = random_weights(config, "gray", trial, extreme=trial == 5)
    shape = RunShape(num_frames, spans)
    windows = [(int(y), int(x)) for y, x in rng.integers(-reach, reach + 1, (config.num_grids, 2))]
    symbols = []
    for number in range(len(shape.latent_frames)):
        grids = random_symbols(config, height, width, 100 * trial + number, (0.7, 3.0, 0.2)[trial % 3])
        if number % 2:  # mostly empty: the network is passed by, but for where it must not be
            grids = [grid * (rng.random(grid.shape) < 0.05) for grid in grids]
        symbols.append(grids)
    return Run(VideoFormat(width, height, "gray"), config, weights, shape, windows, symbols)


def bytes_of(run: Run, native_engine: bool = False, num_threads: int = 1) -> bytes:
    writing = NATIVE_WRITING if native_engine else NUMPY_WRITING
    weights, shape = run.weights, run.shape
    return encode_run(weights, shape, run.windows, run.symbols, run.video, None, writing, num_threads)[0]


def frames_of(run: Run) -> list[list[np.ndarray]]:
    return [sum_layers([run.symbols[part] for part in parts]) for parts in run.shape.parts]


def assert_same(found: Sequence[Sequence[np.ndarray]], wanted: Sequence[Sequence[np.ndarray]]) -> None:
    for of_frame, expected in zip(found, wanted, strict=True):
        for grid, other in zip(of_frame, expected, strict=True):
            np.testing.assert_array_equal(grid, other)


def test_latent_frames_come_when_frames_need_them() -> None:
    shape = RunShape(6, (2, 0))
    assert [(f.layer, f.first, f.before) for f in shape.latent_frames] == [
        *((0, 0, None), (1, 0, None), (1, 1, 1), (1, 2, 2), (1, 3, 3), (0, 4, 0), (1, 4, 4), (1, 5, 6))
    ]
    assert shape.parts == ((0, 1), (0, 2), (0, 3), (0, 4), (5, 6), (5, 7))


@pytest.mark.parametrize("spans", [(), (0, 0), (1, 2), (7,), (-1,), (6, 5, 4, 3, 2)])
def test_layers_that_no_stream_has_are_refused(spans: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="layer"):
        RunShape(4, spans)


def test_taps_in_the_frame_before_lie_around_the_window() -> None:
    previous = np.arange(12).reshape(3, 4)
    previous[2, 3] = 30_000
    found = previous_inputs((3, 4), previous, (1, -2), 9)
    assert found[0].tolist() == [[0, 0, 4, 5], [0, 0, 8, 9], [0, 0, 0, 0]]  # (y + 1, x - 2), zeros outside
    assert found[2].tolist() == [[0, 4, 5, 6], [0, 8, 9, 10], [0, 0, 0, 0]]  # one to the right
    assert previous_inputs((3, 4), previous, (0, 0), 1)[0, 2, 3] == MAX_CONTEXT
    assert not previous_inputs((3, 4), None, (5, 5), 2).any()


def test_a_sum_of_layers_stays_a_latent() -> None:
    layers = [[np.array([[30_000, -30_000, 5]])], [np.array([[30_000, -30_000, -7]])]]
    assert sum_layers(layers)[0].tolist() == [[32767, -32767, -2]]


@pytest.mark.parametrize("trial", range(len(CASES)))
def test_what_went_in_comes_out(trial: int) -> None:
    run = run_of(trial)
    data = bytes_of(run)
    coded = decode_run(data, run.config, run.video, run.shape.num_frames)
    assert coded.shape == run.shape
    assert list(coded.windows) == run.windows
    for name, array in run.weights.arrays.items():
        np.testing.assert_array_equal(coded.weights.arrays[name], array, err_msg=name)
    assert_same(list(coded.frames), frames_of(run))
    assert sum(coded.bits.by_part().values()) == pytest.approx(8 * len(data))


@needs_native
@pytest.mark.parametrize("isa", native.instruction_sets() or [""])
@pytest.mark.parametrize("trial", range(len(CASES)))
def test_the_native_engine_does_the_same(trial: int, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C3VIDEO_ISA", isa)
    run = run_of(trial)
    data = bytes_of(run)
    for num_threads in (1, 3):
        assert bytes_of(run, native_engine=True, num_threads=num_threads) == data
        coded = decode_run(data, run.config, run.video, run.shape.num_frames, NATIVE, num_threads)
        assert_same(list(coded.frames), frames_of(run))


def outcome(data: bytes, run: Run, reading: PatchReading) -> list[list[list[list[int]]]] | None:
    try:
        frames = list(decode_run(data, run.config, run.video, run.shape.num_frames, reading).frames)
    except CorruptSegmentError:
        return None
    return [[grid.tolist() for grid in grids] for grids in frames]


@needs_native
def test_damage_is_noticed_or_decodes_to_the_same_on_both_engines() -> None:
    config = PyramidConfig(
        num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=4, refine_width=0, num_previous=2
    )
    weights = random_weights(config, "420", seed=1)
    shape = RunShape(3, (1, 0))
    symbols = [random_symbols(config, 9, 14, seed) for seed in range(len(shape.latent_frames))]
    run = Run(VideoFormat(14, 9, "yuv420p"), config, weights, shape, [(0, 1), (2, 0), (0, 0)], symbols)
    data = bytes_of(run)
    assert outcome(data, run, NUMPY) is not None
    rng = np.random.default_rng(0)
    for at in range(0, len(data), 29):
        damaged = bytearray(data)
        damaged[at] ^= int(rng.integers(1, 256))
        assert outcome(bytes(damaged), run, NATIVE) == outcome(bytes(damaged), run, NUMPY)
        assert outcome(data[:at], run, NATIVE) is None
    with pytest.raises(CorruptSegmentError):
        list(decode_run(data + bytes(4), run.config, run.video, 3).frames)
