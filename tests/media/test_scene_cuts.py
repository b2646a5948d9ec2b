# SPDX-License-Identifier: MIT
"""A segment begins where a scene does, exactly, and nowhere else: not at motion, light, noise or stills."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from c3video.c3.config import C3Config
from c3video.decoder import Decoder
from c3video.encoder import EncodeProgress, encode
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.media.scene_cuts import RunLengths, find_cut, likeness, small_picture, split_at_cuts, split_by_length
from c3video.video import ArraySource, Frame, VideoFormat

from ..conftest import QUICK_FIT, TINY_MODEL

Luma = np.ndarray
SIZE = (61, 83)
VIDEO = VideoFormat(SIZE[1], SIZE[0], "gray")


def scene(seed: int, num_frames: int, speed: float = 1.0, acceleration: float = 0.0, noise: float = 0.01) -> list[Luma]:
    """Luma (61, 83) on 0..1: a window that moves to the right over a picture of blobs."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    reach = int(speed * num_frames + acceleration * num_frames**2) + 1
    blobs = rng.normal(size=(height // 8 + 2, (width + reach) // 8 + 2)).repeat(8, axis=0).repeat(8, axis=1)
    kernel = np.hanning(15) / np.hanning(15).sum()
    for axis in (0, 1):
        blobs = np.apply_along_axis(np.convolve, axis, blobs, kernel, mode="same")
    frames = []
    for t in range(num_frames):
        x = int(speed * t + acceleration * t**2)
        frames.append(np.clip(0.5 + 0.25 * blobs[:height, x : x + width], 0, 1))
    return [np.clip(frame + rng.normal(scale=noise, size=SIZE), 0, 1) for frame in frames]


def frames_of(lumas: Sequence[Luma], max_value: int = 255) -> list[Frame]:
    dtype = np.uint8 if max_value == 255 else np.uint16
    return [Frame(((luma * max_value).astype(dtype),), pts, 1) for pts, luma in enumerate(lumas)]


def run_lengths(lumas: Sequence[Luma], size: int = 32) -> list[int]:
    return [len(run) for run in split_at_cuts(frames_of(lumas), VIDEO, RunLengths(size, size))]


@pytest.mark.parametrize("first", [2, 3, 4, 9, 20])
@pytest.mark.parametrize("speed", [0.0, 1.0, 3.0])
def test_cut_is_found_at_the_frame(first: int, speed: float) -> None:
    assert run_lengths(scene(1, first, speed) + scene(2, 24 - first, speed)) == [
        first,
        24 - first,
    ]


@pytest.mark.parametrize("seed", range(8))
def test_cuts_of_many_scenes(seed: int) -> None:
    lengths = [6, 4, 11, 7]
    joined = [luma for index, length in enumerate(lengths) for luma in scene(4 * seed + index, length)]
    assert run_lengths(joined) == lengths


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 400), (400, 16), (31, 33), (288, 352)])
def test_any_size_is_shrunk(size: tuple[int, int]) -> None:
    plane = np.full(size, 512, dtype=np.uint16)
    picture = small_picture(plane, 10)
    assert picture.shape[0] <= 32
    assert np.all(picture == 0.5)
    assert find_cut([picture] * 5) is None


def test_depth_does_not_matter() -> None:
    joined = scene(1, 5) + scene(2, 5)
    deep = VideoFormat(SIZE[1], SIZE[0], "gray10le")
    assert [len(run) for run in split_at_cuts(frames_of(joined, 1023), deep, RunLengths(32, 32))] == [5, 5]


@pytest.mark.parametrize(("speed", "acceleration"), [(0.5, 0.0), (5.0, 0.0), (20.0, 0.0), (40.0, 0.0), (0.0, 0.5)])
def test_pans_are_no_cuts(speed: float, acceleration: float) -> None:
    assert run_lengths(scene(3, 24, speed, acceleration)) == [24]


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_stills_under_noise_are_no_cuts(noise: float) -> None:
    assert run_lengths(scene(4, 20, 0.0, noise=noise)) == [20]


def test_nothing_but_noise_is_no_cut() -> None:
    rng = np.random.default_rng(0)
    assert run_lengths([rng.random(SIZE) for _ in range(30)]) == [30]


def test_flat_frames_are_no_cuts() -> None:
    assert run_lengths([np.full(SIZE, level) for level in (0.0, 0.0, 0.5, 0.5, 1.0, 1.0)]) == [6]


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("at", [1, 5, 12])
def test_flashes_are_no_cuts(at: int, length: int) -> None:
    lumas = scene(5, 24)
    glare = np.random.default_rng(1).random(SIZE).cumsum(axis=1)
    for index in range(at, at + length):
        lumas[index] = 1.0 - 0.2 * glare / glare.max()
    assert run_lengths(lumas) == [24]


def test_a_strange_frame_is_no_scene() -> None:
    lumas = scene(6, 20)
    lumas[9] = scene(7, 1)[0]
    assert run_lengths(lumas) == [20]


def test_light_that_goes_on_and_fades_are_no_cuts() -> None:
    lumas = scene(8, 20)
    assert run_lengths([0.4 * luma if index < 10 else luma for index, luma in enumerate(lumas)]) == [20]
    assert run_lengths([luma * (1 - index / 20) for index, luma in enumerate(lumas)]) == [20]
    other = scene(9, 20)
    assert run_lengths([a * (1 - i / 19) + b * i / 19 for i, (a, b) in enumerate(zip(lumas, other, strict=True))]) == [
        20
    ]


def test_frames_that_alternate_are_no_cuts() -> None:
    one, other = scene(10, 12, 0.0), scene(11, 12, 0.0)
    assert run_lengths([luma for pair in zip(one, other, strict=True) for luma in pair]) == [24]


def test_likeness_ignores_gain_and_offset() -> None:
    one, other = (scene(seed, 1)[0].astype(np.float32) for seed in (1, 2))
    assert likeness(one, one) == pytest.approx(1.0)
    assert likeness(one, 0.3 * one + 0.2) == pytest.approx(1.0, abs=0.01)
    assert abs(likeness(one, other)) < 0.5


def test_runs_are_filled_up_after_a_cut_and_hold_all_frames_in_order() -> None:
    frames = frames_of(scene(1, 3) + scene(2, 12))
    runs = list(split_at_cuts(frames, VIDEO, RunLengths(5, 5)))
    assert [len(run) for run in runs] == [3, 5, 5, 2]
    assert [frame.pts for run in runs for frame in run] == list(range(15))
    assert list(split_at_cuts([], VIDEO, RunLengths(5, 5))) == []
    assert [len(run) for run in split_at_cuts(frames, VIDEO, RunLengths(1, 1))] == [1] * 15


@pytest.mark.parametrize("split", [split_at_cuts, split_by_length])
@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(1, [1]), (10, [10]), (14, [14]), (15, [10, 5]), (24, [10, 14]), (25, [10, 10, 5]), (33, [10, 10, 13])],
)
def test_few_frames_that_are_left_join_those_before(
    split: Callable[..., Iterator[list[Frame]]], num_frames: int, expected: list[int]
) -> None:
    lengths = RunLengths(10, 14)
    runs = list(split(frames_of(scene(1, num_frames)), VIDEO, lengths))
    assert lengths.num_runs(num_frames) == len(runs)
    assert [len(run) for run in runs] == expected
    assert [frame.pts for run in runs for frame in run] == list(range(num_frames))


def test_no_frames_make_no_run() -> None:
    assert RunLengths(10, 14).num_runs(0) == 0
    assert list(split_by_length([], VIDEO, RunLengths(10, 14))) == []


def test_few_frames_before_a_cut_join_those_before_them() -> None:
    frames = frames_of(scene(1, 14) + scene(2, 13) + scene(3, 4))
    assert [len(run) for run in split_at_cuts(frames, VIDEO, RunLengths(10, 14))] == [14, 13, 4]
    assert [len(run) for run in split_at_cuts(frames, VIDEO, RunLengths(10, 13))] == [10, 4, 13, 4]


@pytest.mark.parametrize("most", [10, 14])
def test_no_more_than_a_run_is_held(most: int) -> None:
    asked = 0

    def source() -> Iterator[Frame]:
        nonlocal asked
        for frame in frames_of(scene(1, 7) + scene(2, 30)):
            asked += 1
            yield frame

    given = 0
    for run in split_at_cuts(source(), VIDEO, RunLengths(10, most)):
        assert asked - given <= (10 if most == 10 else most + 1)
        given += len(run)
    assert given == 37


def two_scenes(first: int, second: int) -> ArraySource:
    """Small frames of 4:2:0."""
    video = VideoFormat(32, 24, "yuv420p")
    planes = []
    for luma in scene(1, first) + scene(2, second):
        chroma = np.full((12, 16), 128, dtype=np.uint8)
        planes.append(((luma[:24, :32] * 255).astype(np.uint8), chroma, chroma))
    return ArraySource(planes, video)


@pytest.mark.parametrize("model", [TINY_MODEL, HybridConfig()])
def test_segments_of_a_stream_end_at_cuts(model: C3Config | HybridConfig) -> None:
    fit = QUICK_FIT if isinstance(model, C3Config) else HybridFitConfig(plans=1, passes=0)
    source, file = two_scenes(3, 7), io.BytesIO()
    progress: list[EncodeProgress] = []
    reports = encode(source, file, model, fit, segment_frames=5, report=progress.append)
    assert [report.num_frames for report in reports] == [3, 5, 2]
    estimates = {step.segment: step.num_segments for step in progress}
    assert estimates == {0: 3, 1: 3, 2: 3}  # the next segment is read before the one in hand is fitted
    with Decoder(io.BytesIO(file.getvalue())) as clip:
        assert clip.header.segment_frames == 5
        whole = list(clip)
        alone = list(clip.frames(1, 2))
        last = list(clip.frames(2))
    assert [frame.pts for frame in whole] == list(range(10))
    assert [frame.pts for frame in alone + last] == [3, 4, 5, 6, 7, 8, 9]
    for one, other in zip(whole[3:], alone + last, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    assert sum(report.size_bytes for report in reports) < len(file.getvalue())


def test_segments_run_on_over_cuts_where_asked() -> None:
    file = io.BytesIO()
    reports = encode(two_scenes(3, 7), file, TINY_MODEL, QUICK_FIT, segment_frames=5, scene_cuts=False)
    assert [report.num_frames for report in reports] == [5, 5]
