# SPDX-License-Identifier: MIT
"""The C++ motion search: it finds what moved, prices it as the coder does, and lets no argument crash it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.coding.sparse_tables import all_costs
from c3video.hybrid.compensation import (
    BACKWARD,
    BLOCK_SIZE,
    BOTH,
    COLUMNS,
    FORWARD,
    MAX_VECTOR,
    ROWS,
    MotionField,
    block_shape,
    compensate,
    finish,
    whole_field,
)
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.motion_search import COMPONENT_BITS, MODE_BITS, FrameSearch
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import CUT_CLASS, MERGE_CLASS, OFFSET_CLASS, UNIT_CLASS, EarlierMotion, to_symbols
from c3video.hybrid.payload import prior
from c3video.hybrid.symbol_coding import write_motion
from c3video.native.frames import PhasePlanes
from c3video.native.search import coarse_vectors, search_field
from c3video.native.symbols import native_network
from tests.hybrid.streams import expected_vectors, plain_field, split_field

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


def centred(luma: np.ndarray) -> np.ndarray:
    return (luma.astype(np.int16) - 128) << 6


FRAMES = {1: CodedFrame(1, (0,), 1), 2: CodedFrame(1, (0, 2), 2)}
"""By number of references."""


def search(current: np.ndarray, references: list[np.ndarray], **changes: Any) -> MotionField:
    arguments = {
        "current": centred(current),
        "phases": [PhasePlanes(reference, 8) for reference in references],
        "starts": np.zeros((len(references), 2, *block_shape(current.shape, BLOCK_SIZE)), dtype=np.int64),
        "slope": SLOPE,
        "frame": FRAMES[len(references)],
        "earlier": None,
        "network": prior("motion"),
        "component_bits": COMPONENT_BITS,
        "mode_bits": MODE_BITS,
    }
    return search_field(**{**arguments, **changes})


@pytest.mark.parametrize("seed", range(3))
def test_unit_that_is_asked_for_is_the_one_tried(seed: int) -> None:
    """One of the two gives what a search with both of them finds."""
    current, references, _ = random_scene(seed)
    both = search(current, references)
    alone = {unit: search(current, references, unit=unit) for unit in (1, 2)}
    assert [field.unit for field in alone.values()] == [1, 2]
    assert not (alone[2].vectors % 2).any()
    np.testing.assert_array_equal(alone[both.unit].vectors, both.vectors)
    np.testing.assert_array_equal(alone[both.unit].splits, both.splits)


def motion_bits(field: MotionField) -> float:
    counter, frame = SymbolCounter(), FRAMES[len(field.vectors)]
    write_motion(counter, prior("motion"), to_symbols(wide(field), frame, None), frame.depth)
    return counter.estimated_bits


def wide(field: MotionField) -> MotionField:
    arrays = (field.vectors, field.modes, field.splits, field.offsets)
    return MotionField(*(array.astype(np.int64) for array in arrays), field.unit)


def test_a_shifted_picture_is_found(isa: str) -> None:
    wide = texture(np.random.default_rng(0), (160, 190))
    current, reference = wide[20:140, 20:171], wide[23:143, 13:164]
    field = search(current, [reference])
    assert field.vectors.dtype == field.modes.dtype == field.splits.dtype == np.int32
    assert field.vectors.shape == (1, 2, *field.modes.shape)
    assert field.splits.shape == block_shape(current.shape, BLOCK_SIZE)
    assert not field.modes.any()
    inside = np.s_[2:-2, 2:-2]  # blocks whose windows see nothing that the reference does not show
    assert (field.vectors[0, 0][inside] == -12).all()
    assert (field.vectors[0, 1][inside] == 28).all()
    assert not field.splits[1:-1, 1:-1].any()
    assert motion_bits(field) < 260


def test_far_motion_is_found_from_its_start() -> None:
    wide = texture(np.random.default_rng(1), (260, 300))
    current, reference = wide[100:196, 100:228], wide[40:136, 20:148]
    starts = np.full((1, 2, 6, 8), 236)
    starts[:, 1] = 324
    vectors = search(current, [reference], starts=starts).vectors
    # Further down and right lies what the reference does not show.
    assert (vectors[0, 0, :4, :4] == 240).all()
    assert (vectors[0, 1, :4, :4] == 320).all()


@pytest.mark.parametrize("towards", [(-60, 200), (250, -90), (0, 0), (7, 3)])
def test_a_search_may_begin_far_away(isa: str, towards: tuple[int, int]) -> None:
    """What moves by up to 256 samples is found to some samples, wherever the reference shows it."""
    y, x = towards
    wide = texture(np.random.default_rng(11), (700, 900))
    current, reference = wide[260:500, 260:580], wide[260 - y : 500 - y, 260 - x : 580 - x]
    found = coarse_vectors(centred(current), centred(reference)) / 4
    shown = np.ones((15, 20), dtype=bool)
    for axis, step, count in ((0, y, 15), (1, x, 20)):
        place = 16 * np.arange(count) + step
        inside = (place >= 48) & (place <= 16 * count - 64)
        shown &= inside[:, None] if axis == 0 else inside[None, :]
    errors = np.abs(found - np.array([y, x])[:, None, None]).max(axis=0)
    if y or x:
        assert (errors[shown] <= 3).mean() > 0.9 if shown.any() else y == 250
    else:
        assert not found.any()


def test_the_mean_of_two_pictures_is_predicted_from_both(isa: str) -> None:
    rng = np.random.default_rng(2)
    first, second = (texture(rng, (160, 190)) for _ in range(2))
    current = (first[20:116, 20:148].astype(np.int64) + second[20:116, 20:148] + 1 >> 1).astype(np.uint8)
    field = search(current, [first[22:118, 17:145], second[19:115, 23:151]])
    inside = np.s_[..., 2:-2, 2:-2]
    assert (field.modes[inside] == BOTH).all()
    for reference, right in ((0, (-8, 12)), (1, (4, -12))):
        assert (field.vectors[reference][inside] == np.array(right)[:, None, None]).all()


def test_what_is_hidden_on_one_side_comes_from_the_other(isa: str) -> None:
    rng = np.random.default_rng(3)
    current, other = texture(rng, (96, 128)), texture(rng, (96, 128))
    left = np.arange(128)[None, :] < 64
    views = [np.where(left, current, other), np.where(left, other, current)]
    field = search(current, views)
    assert (field.modes[:, :6] == FORWARD).all()
    assert (field.modes[:, 10:] == BACKWARD).all()
    assert not field.vectors[1][:, field.modes == FORWARD].any()
    assert not field.vectors[0][:, field.modes == BACKWARD].any()


@pytest.mark.parametrize("frame", FRAMES.values())
def test_what_moves_alike_is_one_part(isa: str, frame: CodedFrame) -> None:
    """Two superblocks beside each other: the first one's motion is coded, and the second takes it over."""
    reference = texture(np.random.default_rng(4), (84, 148))
    views = [reference[10:74, 10:138] for _ in frame.references]
    field = search(reference[12:76, 7:135], views)
    inside = np.s_[..., 2:-2, 2:-2]
    assert (field.vectors[0][inside] == np.array([8, -12])[:, None, None]).all()
    alike = split_field(np.broadcast_to(field.vectors[..., 3:4, 3:4], field.vectors.shape), field.modes, field.splits)
    symbols = to_symbols(alike, frame, None)
    assert symbols.classes[-2:].tolist() == [CUT_CLASS, MERGE_CLASS]
    assert not symbols.symbols[-2:].any()


def test_motion_of_an_earlier_frame_is_taken_over(isa: str) -> None:
    """What is coarse, and noisy, is not worth bits that say something else."""
    rng = np.random.default_rng(12)
    reference = np.full((128, 128), 128.0)
    noisy = [
        np.clip(reference + rng.normal(scale=9.0, size=reference.shape), 0, 255).astype(np.uint8) for _ in range(2)
    ]
    before = whole_field(np.full((1, 2, 8, 8), 2), np.zeros((8, 8), dtype=np.int64))
    earlier = EarlierMotion(before, CodedFrame(2, (0,), 1))
    field = search(noisy[0], [noisy[1]], slope=0.1, earlier=earlier)
    symbols = to_symbols(wide(field), FRAMES[1], earlier)
    # Half as far, in half the time, but for what noise adds to all.
    assert (field.vectors == 1 + field.offsets[:, :, None, None]).all()
    assert symbols.classes.tolist() == [UNIT_CLASS, *[OFFSET_CLASS] * 2, *[CUT_CLASS, MERGE_CLASS] * 4]
    assert not symbols.symbols[symbols.classes != OFFSET_CLASS].any()


def random_scene(trial: int) -> tuple[np.ndarray, list[np.ndarray], dict[str, Any]]:
    rng = np.random.default_rng(trial)
    shape = [(70, 90), (1, 1), (100, 9), (33, 130), (48, 64)][trial % 5]
    number, far = 1 + trial % 2, (30, MAX_VECTOR)[trial // 2 % 2]
    planes = [texture(rng, (shape[0] + 40, shape[1] + 40)) for _ in range(2)]
    planes.append(planes[0])
    views = []
    for plane in planes:
        y, x = rng.integers(0, 40, 2)
        views.append(plane[y : y + shape[0], x : x + shape[1]])
    starts = rng.integers(-far, far + 1, (number, 2, *block_shape(shape, BLOCK_SIZE)))
    changes = {
        "starts": starts,
        "passes": 1 + trial % 3,
        "slope": (1e-6, 1e-4)[trial // 3 % 2],
    }
    if number == 2:
        changes["frame"] = [CodedFrame(1, (0, 2), 3), CodedFrame(8, (4, 0), 1), CodedFrame(7, (0, 10), 2)][trial % 3]
    if trial % 4 > 1:
        quarters = (2 * changes["starts"].shape[2], 2 * changes["starts"].shape[3])
        field = plain_field(
            rng.integers(-far, far + 1, (2, 2, *quarters)),
            rng.integers(0, 3, quarters),
            np.zeros((1, 1), dtype=np.int64),
        )
        changes["earlier"] = EarlierMotion(field, CodedFrame(12, (5, 20), 4), trial % 2)
    return views[0], views[1 : 1 + number], changes


@pytest.mark.parametrize("trial", range(20))
def test_neither_threads_nor_instruction_sets_matter(monkeypatch: pytest.MonkeyPatch, trial: int) -> None:
    current, references, changes = random_scene(trial)
    found = set()
    for name in native.instruction_sets():
        monkeypatch.setenv("C3VIDEO_ISA", name)
        for num_threads in (1, 2, 5):
            field = search(current, references, num_threads=num_threads, **changes)
            assert abs(field.vectors).max() <= MAX_VECTOR
            arrays = (field.vectors, field.modes, field.splits, field.offsets)
            found.add((*(array.tobytes() for array in arrays), field.unit))
    assert len(found) == 1


def test_dear_bits_smooth_the_field() -> None:
    rng = np.random.default_rng(5)
    current, reference = (rng.integers(0, 256, (96, 128)).astype(np.uint8) for _ in range(2))
    bits = [motion_bits(search(current, [reference], slope=slope)) for slope in (1e-4, 1e-2, 1.0)]
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] < 0.5 * bits[0]


@pytest.mark.parametrize("frame", [CodedFrame(1, (0,), 1), CodedFrame(1, (0, 5), 2), CodedFrame(8, (4, 0), 1)])
def test_where_nothing_moves_nothing_is_said(frame: CodedFrame) -> None:
    flat = [np.full((96, 128), 128, np.uint8)] * (1 + len(frame.references))
    field = FIT_ENGINES["native"].search(FrameSearch(flat[0], flat[1:], frame, None, prior("motion"), 8, SLOPE), 1)
    assert field.vectors.dtype == field.modes.dtype == np.int64
    assert not field.vectors.any()
    assert not to_symbols(field, frame, None).symbols.any()


@pytest.mark.parametrize(("split", "towards"), [(ROWS, (1, 0)), (COLUMNS, (0, 1))])
def test_a_block_is_split_where_its_parts_move_apart(isa: str, split: int, towards: tuple[int, int]) -> None:
    """A picture made by the compensation of a field in which one block is split. How it is split is found; its vector
    goes only part of the way, as the windows of its neighbours, which stand still, lie over it."""
    reference = texture(np.random.default_rng(8), (80, 96))
    vectors, splits = np.zeros((1, 2, 10, 12), dtype=np.int64), np.zeros((5, 6), dtype=np.int64)
    splits[2, 3] = split
    moved = np.s_[4 + towards[0] : 6, 6 + towards[1] : 8]
    vectors[0, 0][moved], vectors[0, 1][moved] = 3, -4
    made = plain_field(vectors, np.zeros((10, 12), dtype=np.int64), splits)
    prediction = compensate([reference], made, BLOCK_SIZE, (0, 0), 8)
    current = finish(prediction, np.zeros_like(prediction), 8).astype(np.uint8)
    field = search(current, [reference], slope=1e-6)
    assert field.splits[2, 3] == split
    y, x = field.vectors[0, :, 5, 7]
    assert 1 <= y <= 3
    assert -4 <= x <= -1
    still = np.ones((2, 2), dtype=bool)
    still[towards[0] :, towards[1] :] = False
    assert not field.vectors[0, :, 4:6, 6:8][:, still].any()
    # Where nothing is near it, nothing is split.
    assert not field.splits[0].any()


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
            {"units": (0, 1)},
            {"units": (2, 1)},
            {"units": (1, 3)},
            {"units": (1,)},
            {"times": [1]},
            {"times": [0, 1]},
            {"times": [-1, 1]},
            {"times": [1, 0]},
            {"times": [1, 1 << 16]},
            {"network": native_network(prior("subbands"))},
            {"network": None},
            {"costs": np.zeros((64, 16, 65), np.float32)},
            {"costs": np.full((64, 17, 65), np.nan, np.float32)},
            {"depth": -1},
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
            "slope": SLOPE,
            "times": [1, -1],
            "earlier": None,
            "network": native_network(prior("motion")),
            "costs": all_costs(),
            "depth": 2,
            "component_bits": np.ones(4, np.float32),
            "mode_bits": [1.0, 1.0, 1.0],
            "units": (1, 2),
            "passes": 2,
            "num_threads": 1,
            "isa": "",
        }
        vectors, modes, splits, offsets, unit = native.extension().search_field(**arguments)
        assert vectors.shape == (2, 2, 6, 4)
        assert modes.shape == (6, 4)
        assert splits.shape == (3, 2)
        assert offsets.shape == (2, 2)
        assert unit in (1, 2)
        with pytest.raises((TypeError, ValueError)):
            native.extension().search_field(**{**arguments, **change})

    @pytest.mark.parametrize("change", [{"slope": 1.0}, {"slope": 1e-30}, {"frame": CodedFrame(32768, (32767, 0), 1)}])
    def test_extreme_arguments_do_no_harm(self, change: dict[str, Any]) -> None:
        current, references, changes = random_scene(3)
        for bits in (np.zeros(1), np.full(3, 1e6), np.zeros(65536)):
            field = search(current, references, **{**changes, "component_bits": bits, **change})
            assert abs(field.vectors).max() <= MAX_VECTOR
            assert set(np.unique(field.modes)) <= {FORWARD, BACKWARD, BOTH}


def test_what_the_whole_picture_moves_by_is_found_once(isa: str) -> None:
    """A field that differs from block to block moves on, but for 3 and 2 samples that the camera adds."""
    picture = texture(np.random.default_rng(21), (300, 300))
    rows, columns = np.indices((16, 16))
    before = plain_field(
        np.stack([4 * rows, -4 * columns])[None] * 2, np.zeros((16, 16), dtype=np.int64), np.zeros((8, 8), np.int64)
    )
    earlier = EarlierMotion(before, CodedFrame(2, (0,), 1))
    offsets = np.array([[12, 8]])
    made = plain_field(
        expected_vectors(FRAMES[1], earlier, offsets, 1), np.zeros((16, 16), np.int64), np.zeros((8, 8), np.int64)
    )
    reference = picture[:128, :128]
    prediction = compensate([reference], made, BLOCK_SIZE, (0, 0), 8)
    current = finish(prediction, np.zeros_like(prediction), 8).astype(np.uint8)
    field = search(current, [reference], earlier=earlier, slope=1e-4)
    assert field.offsets.tolist() == offsets.tolist()
    assert (field.vectors == made.vectors).mean() > 0.9
    alone = replace(wide(field), offsets=np.zeros((1, 2), np.int64))
    counts = [
        np.count_nonzero(coded.symbols)
        for coded in (to_symbols(wide(field), FRAMES[1], earlier), to_symbols(alone, FRAMES[1], None))
    ]
    assert 2 * counts[0] < counts[1]


@pytest.mark.parametrize("unit", [1, 2])
def test_vectors_are_halves_where_that_pays(isa: str, unit: int) -> None:
    """Blocks that move by quarters, or by halves, in all directions."""
    picture = texture(np.random.default_rng(22), (160, 160))
    vectors = unit * np.random.default_rng(23).integers(-8, 9, (1, 2, 8, 8))
    made = whole_field(vectors, np.zeros((8, 8), np.int64))
    reference = picture[:128, :128]
    prediction = compensate([reference], made, BLOCK_SIZE, (0, 0), 8)
    current = finish(prediction, np.zeros_like(prediction), 8).astype(np.uint8)
    field = search(current, [reference], slope=1e-4)
    assert field.unit == unit
    assert not (field.vectors % unit).any()
