# SPDX-License-Identifier: MIT
"""The C++ motion search: it finds what moved, prices it as the coder does, and lets no argument crash it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.hybrid.compensation import (
    BACKWARD,
    BOTH,
    COLUMNS,
    FORWARD,
    MAX_VECTOR,
    QUARTERS,
    ROWS,
    MotionField,
    block_shape,
    compensate,
    finish,
)
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.motion_search import COMPONENT_BITS, MODE_BITS, SPLIT_BITS, FrameSearch
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import AROUND, Neighbours, carried_on, to_symbols, uses
from c3video.hybrid.payload import prior
from c3video.hybrid.symbol_coding import write_motion
from c3video.native.frames import PhasePlanes, block_errors
from c3video.native.search import search_field
from tests.hybrid.streams import split_field

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

SLOPE = 1e-5


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


def texture(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Smooth enough for a search to slide down, rough enough to be found in one place."""
    noise = np.fft.rfft2(rng.normal(size=shape))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    smooth = np.fft.irfft2(noise / (0.02 + frequency) ** 1.5, shape)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def _shifted(values: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """(bh, bw) of each block its neighbour at (dy, dx), 0 outside."""
    height, width = values.shape
    return np.pad(values, 1)[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def centred(luma: np.ndarray) -> np.ndarray:
    return (luma.astype(np.int16) - 128) << 6


def search(current: np.ndarray, references: list[np.ndarray], **changes: Any) -> MotionField:
    block_size = changes.pop("block_size", 16)
    arguments = {
        "current": centred(current),
        "phases": [PhasePlanes(reference, 8) for reference in references],
        "starts": np.zeros((len(references), 2, *block_shape(current.shape, block_size)), dtype=np.int64),
        "block_size": block_size,
        "slope": SLOPE,
        "component_bits": COMPONENT_BITS,
        "mode_bits": MODE_BITS,
        "split_bits": SPLIT_BITS,
    }
    return search_field(**{**arguments, **changes})


def of_blocks(field: MotionField) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and modes of a field in which no block is split."""
    assert not field.splits.any()
    return field.vectors[:, :, ::2, ::2], field.modes[::2, ::2]


NEVER = (0.0, *[1e6] * 3)
"""Split bits that leave all blocks whole."""


def motion_bits(field: MotionField, frame: CodedFrame) -> float:
    counter = SymbolCounter()
    write_motion(counter, prior("motion"), wide(field), frame)
    return counter.estimated_bits


def wide(field: MotionField) -> MotionField:
    return MotionField(field.vectors.astype(np.int64), field.modes.astype(np.int64), field.splits.astype(np.int64))


@pytest.mark.parametrize("block_size", [8, 16, 32])
def test_a_shifted_picture_is_found(isa: str, block_size: int) -> None:
    wide = texture(np.random.default_rng(0), (160, 190))
    current, reference = wide[20:140, 20:171], wide[23:143, 13:164]
    field = search(current, [reference], block_size=block_size)
    assert field.vectors.dtype == field.modes.dtype == field.splits.dtype == np.int32
    assert field.vectors.shape == (1, 2, *field.modes.shape)
    assert field.splits.shape == block_shape(current.shape, block_size)
    vectors, modes = field.vectors[:, :, ::2, ::2], field.modes[::2, ::2]
    assert not modes.any()
    edge = 2 if block_size == 8 else 1  # blocks whose windows see what the reference does not show
    assert (vectors[0, 0, edge:-edge, edge:-edge] == -12).all()
    assert (vectors[0, 1, edge:-edge, edge:-edge] == 28).all()
    assert not field.splits[edge:-edge, edge:-edge].any()
    assert motion_bits(field, CodedFrame(1, (0,), 1)) < 2.5 * modes.size + 60


def test_far_motion_is_found_from_its_start() -> None:
    wide = texture(np.random.default_rng(1), (260, 300))
    current, reference = wide[100:196, 100:228], wide[40:136, 20:148]
    starts = np.full((1, 2, 6, 8), 236)
    starts[:, 1] = 324
    vectors, _ = of_blocks(search(current, [reference], starts=starts, split_bits=NEVER))
    assert (vectors[0, 0, :2, :2] == 240).all()  # further down and right lies what the reference does not show
    assert (vectors[0, 1, :2, :2] == 320).all()


def test_the_mean_of_two_pictures_is_predicted_from_both(isa: str) -> None:
    rng = np.random.default_rng(2)
    first, second = (texture(rng, (160, 190)) for _ in range(2))
    current = (first[20:116, 20:148].astype(np.int64) + second[20:116, 20:148] + 1 >> 1).astype(np.uint8)
    vectors, modes = of_blocks(search(current, [first[22:118, 17:145], second[19:115, 23:151]], split_bits=NEVER))
    assert (modes[1:-1, 1:-1] == BOTH).all()
    for reference, right in ((0, (-8, 12)), (1, (4, -12))):
        assert (vectors[reference, :, 1:-1, 1:-1] == np.array(right)[:, None, None]).all()


def test_what_is_hidden_on_one_side_comes_from_the_other(isa: str) -> None:
    rng = np.random.default_rng(3)
    current, other = texture(rng, (96, 128)), texture(rng, (96, 128))
    left = np.arange(128)[None, :] < 64
    views = [np.where(left, current, other), np.where(left, other, current)]
    vectors, modes = of_blocks(search(current, views, split_bits=NEVER))
    assert (modes[:, :3] == FORWARD).all()
    assert (modes[:, 5:] == BACKWARD).all()
    assert not vectors[1][:, modes == FORWARD].any()
    assert not vectors[0][:, modes == BACKWARD].any()


def random_scene(trial: int) -> tuple[np.ndarray, list[np.ndarray], dict[str, Any]]:
    rng = np.random.default_rng(trial)
    shape = [(70, 90), (1, 1), (100, 9), (33, 130), (48, 64)][trial % 5]
    block_size = (8, 16, 32)[trial % 3]
    number, far = 1 + trial % 2, (30, MAX_VECTOR)[trial // 2 % 2]
    planes = [texture(rng, (shape[0] + 40, shape[1] + 40)) for _ in range(2)]
    planes.append(planes[0])
    views = []
    for plane in planes:
        y, x = rng.integers(0, 40, 2)
        views.append(plane[y : y + shape[0], x : x + shape[1]])
    starts = rng.integers(-far, far + 1, (number, 2, *block_shape(shape, block_size)))
    changes = {
        "starts": starts,
        "block_size": block_size,
        "passes": 1 + trial % 3,
        "slope": (1e-6, 1e-4)[trial // 3 % 2],
    }
    return views[0], views[1 : 1 + number], {**changes, "ratio": [(-1, 1), (2, 1), (-3, 7)][trial % 3]}


@pytest.mark.parametrize("trial", range(20))
def test_neither_threads_nor_instruction_sets_matter(monkeypatch: pytest.MonkeyPatch, trial: int) -> None:
    current, references, changes = random_scene(trial)
    found = set()
    for name in native.instruction_sets():
        monkeypatch.setenv("C3VIDEO_ISA", name)
        for num_threads in (1, 2, 5):
            field = search(current, references, num_threads=num_threads, **changes)
            assert abs(field.vectors).max() <= MAX_VECTOR
            found.add((field.vectors.tobytes(), field.modes.tobytes(), field.splits.tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("frame", [CodedFrame(1, (0,), 1), CodedFrame(1, (0, 4), 2), CodedFrame(8, (4, 0), 1)])
def test_no_block_gains_by_a_step(frame: CodedFrame) -> None:
    """Costs as the coder's own predictions make them: in the last pass, no vector that is used may have a better one
    beside it. The pictures are noisy, so that motion and residual pull apart."""
    rng = np.random.default_rng(7)
    wide = texture(rng, (140, 170)).astype(np.float64)
    views = [
        np.clip(wide[20 + y : 116 + y, 20 + x : 148 + x] + rng.normal(scale=25.0, size=(96, 128)), 0, 255).astype(
            np.uint8
        )
        for y, x in ((0, 0), (2, -3), (-2, 3))
    ]
    views[1][:, :40], views[2][:, 90:] = 0, 255  # hidden there
    current, references = centred(views[0]), [PhasePlanes(view, 8) for view in views[1 : 1 + len(frame.references)]]
    first, second = (frame.index - reference for reference in (*frame.references, 0)[:2])
    slope = 1e-3
    found = search(views[0], views[1 : 1 + len(references)], slope=slope, ratio=(second, first), split_bits=NEVER)
    vectors, modes = of_blocks(found)
    field = vectors.astype(np.int64)
    is_both = modes == BOTH
    assert len(references) == 1 or 0.2 < is_both.mean() < 0.8
    assert vectors.any()

    expected = []
    for reference in range(len(references)):
        known = uses(modes, reference)
        around = [
            Neighbours(
                np.stack([_shifted(np.where(known, part, 0), dy, dx) for dy, dx in AROUND[:3]]),
                np.stack([_shifted(known, dy, dx) for dy, dx in AROUND[:3]]),
            ).prediction()
            for part in field[reference]
        ]
        expected.append(np.stack(around))

    def costs(moved: np.ndarray) -> np.ndarray:
        """(bh, bw) of a field whose blocks are each on their own: the expected vectors stay."""
        level = 0.72 * slope * 256
        each = [block_errors(current, references[r], moved[r][None], 16)[0] for r in range(len(references))]
        errors = each[0] if len(references) == 1 else np.where(modes == BACKWARD, each[1], each[0])
        if len(references) == 2:
            mean = block_errors(current, references[0], moved[0][None], 16, (references[1], moved[1]))[0]
            errors = np.where(is_both, mean, errors)
        total = np.where(errors > level, level * (1 + np.log(np.maximum(errors, 1e-9) / level)), errors)
        for r in range(len(references)):
            difference = moved[r] - expected[r]
            if r == 1:
                difference = difference - np.where(is_both, carried_on(moved[0] - expected[0], frame), 0)
            total += slope * np.where(uses(modes, r), COMPONENT_BITS[abs(difference)].sum(axis=0), 0)
        return total

    least = costs(field)
    for reference in range(len(references)):
        for step in ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)):
            moved = field.copy()
            moved[reference] += np.array(step)[:, None, None] * uses(modes, reference)
            assert (costs(moved) >= least - 1e-6).all()


def test_dear_bits_smooth_the_field() -> None:
    rng = np.random.default_rng(5)
    current, reference = (rng.integers(0, 256, (96, 128)).astype(np.uint8) for _ in range(2))
    frame = CodedFrame(1, (0,), 1)
    bits = [
        motion_bits(search(current, [reference], component_bits=COMPONENT_BITS * np.float32(factor)), frame)
        for factor in (0.1, 1.0, 10.0)
    ]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 0.5 * bits[0]


@pytest.mark.parametrize("frame", [CodedFrame(1, (0,), 1), CodedFrame(1, (0, 5), 2), CodedFrame(8, (4, 0), 1)])
def test_the_fit_knows_what_the_coder_expects(frame: CodedFrame) -> None:
    rng = np.random.default_rng(6)
    flat = [np.full((96, 128), 128, np.uint8)] * (1 + len(frame.references))
    starts = [rng.integers(-90, 91, (2, 6, 8)) for _ in frame.references]
    field = FIT_ENGINES["native"].search(FrameSearch(flat[0], flat[1:], starts, frame, 16, 8, SLOPE), 1)
    assert field.vectors.dtype == field.modes.dtype == np.int64
    symbols = to_symbols(field, frame)
    assert not symbols.symbols[symbols.classes > 0].any()


@pytest.mark.parametrize("block_size", [16, 32])
@pytest.mark.parametrize(("split", "towards"), [(ROWS, (1, 0)), (COLUMNS, (0, 1)), (QUARTERS, (1, 1))])
def test_a_block_is_split_where_its_parts_move_apart(
    isa: str, block_size: int, split: int, towards: tuple[int, int]
) -> None:
    """A picture made by the compensation of a field in which one block is split. How it is split is found; its vector
    goes only part of the way, as the windows of its neighbours, which stand still, lie over it."""
    reference = texture(np.random.default_rng(8), (5 * block_size, 6 * block_size))
    vectors, splits = np.zeros((1, 2, 10, 12), dtype=np.int64), np.zeros((5, 6), dtype=np.int64)
    splits[2, 3] = split
    moved = np.s_[4 + towards[0] : 6, 6 + towards[1] : 8]
    vectors[0, 0][moved], vectors[0, 1][moved] = 3, -4
    made = MotionField(vectors, np.zeros((10, 12), dtype=np.int64), splits)
    prediction = compensate([reference], made, block_size, (0, 0), 8)
    current = finish(prediction, np.zeros_like(prediction), 8).astype(np.uint8)
    field = search(current, [reference], block_size=block_size)
    assert field.splits[2, 3] == split
    y, x = field.vectors[0, :, 5, 7]
    assert 1 <= y <= 3
    assert -4 <= x <= -1
    still = np.ones((2, 2), dtype=bool)
    still[towards[0] :, towards[1] :] = False
    assert not field.vectors[0, :, 4:6, 6:8][:, still].any()
    # Where nothing is near it, nothing is split.
    assert not field.splits[0].any()
    dear = search(current, [reference], block_size=block_size, split_bits=NEVER)
    assert not dear.splits.any()


def test_parts_are_equal_inside_as_their_split_says() -> None:
    current, references, changes = random_scene(7)
    field = search(current, references, **{**changes, "slope": 1e-6})
    assert field.splits.any()
    same = split_field(field.vectors.astype(np.int64), field.modes.astype(np.int64), field.splits.astype(np.int64))
    np.testing.assert_array_equal(field.vectors, same.vectors)
    np.testing.assert_array_equal(field.modes, same.modes)


class TestSeam:
    """Wrong dtype, shape, strides or range raise; nothing crashes."""

    @pytest.mark.parametrize(
        "change",
        [
            {"current": np.zeros((40, 25), np.int16)},
            {"current": np.zeros((40, 24), np.uint16)},
            {"current": np.zeros((40, 48), np.int16)[:, ::2]},
            {"current": np.zeros((0, 24), np.int16)},
            {"phases": []},
            {"phases": [None, None]},
            {"phases": 3},
            {"starts": np.zeros((1, 2, 3, 2), np.int32)},
            {"starts": np.zeros((3, 2, 3, 2), np.int32)},
            {"starts": np.zeros((2, 1, 3, 2), np.int32)},
            {"starts": np.zeros((2, 2, 3, 3), np.int32)},
            {"starts": np.zeros((2, 2, 3, 2), np.int64)},
            {"starts": np.full((2, 2, 3, 2), 4097, np.int32)},
            {"starts": np.full((2, 2, 3, 2), -(2**31), np.int32)},
            {"block_size": 4},
            {"block_size": 64},
            {"slope": 0.0},
            {"slope": -1.0},
            {"slope": float("nan")},
            {"slope": float("inf")},
            {"component_bits": np.zeros(0, np.float32)},
            {"component_bits": np.zeros((2, 2), np.float32)},
            {"component_bits": np.zeros(4, np.float64)},
            {"component_bits": np.array([np.nan], np.float32)},
            {"component_bits": np.array([-1.0], np.float32)},
            {"component_bits": np.array([1e30], np.float32)},
            {"mode_bits": [1.0, 1.0]},
            {"mode_bits": [1.0, 1.0, float("nan")]},
            {"mode_bits": [1.0, 1.0, -1.0]},
            {"split_bits": [1.0] * 3},
            {"split_bits": [1.0] * 3 + [float("inf")]},
            {"split_bits": [-1.0] + [1.0] * 3},
            {"ratio": (1, 0)},
            {"ratio": (1, -1)},
            {"ratio": (-(2**31), 1)},
            {"ratio": (1 << 17, 1)},
            {"passes": 0},
            {"passes": 101},
            {"num_threads": 0},
            {"num_threads": 100000},
            {"isa": "mmx"},
        ],
    )
    def test_hostile_arguments_raise(self, change: dict[str, Any]) -> None:
        phases = native.extension().Phases(np.zeros((40, 24), np.uint16), 8, 1, "")
        arguments = {
            "current": np.zeros((40, 24), np.int16),
            "phases": [phases, phases],
            "starts": np.zeros((2, 2, 3, 2), np.int32),
            "block_size": 16,
            "slope": SLOPE,
            "component_bits": np.ones(4, np.float32),
            "mode_bits": [1.0, 1.0, 1.0],
            "split_bits": [1.0] * 4,
            "ratio": (-1, 1),
            "passes": 2,
            "num_threads": 1,
            "isa": "",
        }
        vectors, modes, splits = native.extension().search_field(**arguments)
        assert vectors.shape == (2, 2, 6, 4)
        assert modes.shape == (6, 4)
        assert splits.shape == (3, 2)
        with pytest.raises((TypeError, ValueError)):
            native.extension().search_field(**{**arguments, **change})

    @pytest.mark.parametrize("change", [{"slope": 1.0}, {"slope": 1e-30}, {"ratio": (-65536, 1)}, {"ratio": (0, 1)}])
    def test_extreme_arguments_do_no_harm(self, change: dict[str, Any]) -> None:
        current, references, changes = random_scene(3)
        for bits in (np.zeros(1), np.full(3, 1e6), np.zeros(65536)):
            field = search(current, references, **{**changes, "component_bits": bits, **change})
            assert abs(field.vectors).max() <= MAX_VECTOR
            assert set(np.unique(field.modes)) <= {FORWARD, BACKWARD, BOTH}
