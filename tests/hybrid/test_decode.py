# SPDX-License-Identifier: MIT
"""Segments of the hybrid model, decoded: any engine, any number of threads; damage says where it is."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.decoder import Decoder, decode_segment
from c3video.engine import choose_engine
from c3video.errors import CorruptSegmentError
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.decode import FRAMES_AHEAD, account, decode_frames, most_frames_held
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.reconstruction import reconstruct_plane
from c3video.stream.layout import Header
from c3video.video import Planes
from tests.hybrid.streams import SyntheticSegment, frame_header, synthetic_segment, synthetic_stream

NAMES = ["numpy", *(["native"] if native.available() else [])]


def assert_equal(frames: Iterable[Planes], expected: Sequence[Planes]) -> None:
    for planes, others in zip(frames, expected, strict=True):
        for plane, other in zip(planes, others, strict=True):
            np.testing.assert_array_equal(plane, other)
            assert plane.dtype == other.dtype


@pytest.fixture(scope="module")
def header() -> Header:
    return frame_header(33, 14, "yuv420p", HybridConfig(2))


@pytest.fixture(scope="module")
def made(header: Header) -> SyntheticSegment:
    return synthetic_segment(header, 6, gop=4, density=0.1)


@pytest.mark.parametrize(("engine", "threads"), [("numpy", 2), *((name, n) for name in NAMES[1:] for n in (1, 2, 7))])
def test_any_number_of_threads_gives_the_same_frames(
    header: Header, made: SyntheticSegment, engine: str, threads: int
) -> None:
    assert_equal(decode_frames(header, made.segment, ENGINES[engine], threads), made.planes)


@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "gop", "step_index"),
    [
        ((1, 1), "gray", HybridConfig(), 2, 1, 30),
        ((18, 11), "yuv422p", HybridConfig(), 3, 2, 85),
        ((9, 13), "yuv444p10le", HybridConfig(), 3, 1, 0),
        ((7, 9), "gbrp10le", HybridConfig(), 4, 32, 60),
    ],
)
def test_engines_agree_on_formats_sizes_and_steps(
    engine: str,
    size: tuple[int, int],
    pix_fmt: str,
    config: HybridConfig,
    num_frames: int,
    gop: int,
    step_index: int,
) -> None:
    header = frame_header(*size, pix_fmt, config)
    made = synthetic_segment(header, num_frames, gop=gop, step_index=step_index, density=0.3, reach=4000, seed=5)
    frames = list(decode_segment(header, made.segment, engine, 2))
    assert_equal([frame.planes for frame in frames], made.planes)
    assert [frame.pts for frame in frames] == list(made.segment.pts)


def test_segments_decode_alone_and_in_order() -> None:
    header = frame_header(20, 24, segment_frames=5)
    data, planes = synthetic_stream(header, (5, 5, 2), gop=2, density=0.1)
    with Decoder(io.BytesIO(data), threads=2) as clip:
        assert_equal([frame.planes for frame in clip], planes)
    with Decoder(io.BytesIO(data)) as clip:
        second = list(clip.frames(1, 2))
        assert_equal([frame.planes for frame in second], planes[5:10])
        assert [frame.pts for frame in second] == list(range(5, 10))


def test_readers_stay_a_few_frames_ahead_and_references_are_dropped() -> None:
    """So much may wait in memory, and no more."""
    header = frame_header(8, 8, "gray", HybridConfig(), segment_frames=30)
    made = synthetic_segment(header, 30, gop=8, density=0.0, reach=0)
    lock, read, reconstructed, most = threading.Lock(), 0, 0, 0

    def counting(*arguments: Any) -> Any:
        nonlocal read, most
        for part in ENGINES["numpy"].read_slice(*arguments):
            with lock:
                read += 1
                most = max(most, read - reconstructed)
            yield part

    def plane(*arguments: Any) -> Any:
        nonlocal reconstructed
        samples = reconstruct_plane(*arguments)
        with lock:
            reconstructed += 1
        return samples

    engine = replace(ENGINES["numpy"], read_slice=counting, reconstruct_plane=plane)
    assert_equal(decode_frames(header, made.segment, engine, 3), made.planes)
    assert most <= FRAMES_AHEAD + 3  # three may be under way


@pytest.mark.parametrize("engine", NAMES)
def test_hash_that_differs_names_segment_and_frame(header: Header, made: SyntheticSegment, engine: str) -> None:
    hashes = list(made.segment.frame_hashes)
    hashes[3] ^= 1
    with pytest.raises(CorruptSegmentError, match=r"segment 0, frame 3: decoded to hash") as caught:
        list(decode_frames(header, replace(made.segment, frame_hashes=tuple(hashes)), ENGINES[engine], 2))
    assert caught.value.segment == 0


@pytest.mark.parametrize("engine", NAMES)
def test_damaged_bytes_name_the_segment(header: Header, made: SyntheticSegment, engine: str) -> None:
    rng = np.random.default_rng(2)
    data = made.segment.patches[0]
    for position in rng.choice(len(data), 40 if engine == "native" else 1, replace=False):
        broken = bytearray(data)
        broken[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(CorruptSegmentError, match="segment 9") as caught:
            list(decode_frames(header, replace(made.segment, number=9, patches=(bytes(broken),)), ENGINES[engine], 2))
        assert caught.value.segment == 9


def test_an_error_on_one_thread_ends_the_others(header: Header, made: SyntheticSegment) -> None:
    def failing(*arguments: Any) -> Any:
        yield next(iter(ENGINES["numpy"].read_slice(*arguments)))
        raise CorruptSegmentError("as if")

    before = threading.active_count()
    with pytest.raises(CorruptSegmentError, match="segment 0, frame 4: as if"):  # the second in coding order
        list(decode_frames(header, made.segment, replace(ENGINES["numpy"], read_slice=failing), 4))
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_frames_come_out_before_later_ones_are_read(threads: int) -> None:
    """Frame 0 before frame 1, and never more than coding order needs and threads run ahead."""
    header = frame_header(8, 8, "gray", HybridConfig())
    made = synthetic_segment(header, 12, gop=8, density=0.0, reach=0)
    num_read, lock = 0, threading.Lock()

    def counting(*arguments: Any) -> Any:
        nonlocal num_read
        for part in ENGINES["numpy"].read_slice(*arguments):
            with lock:
                num_read += 1
            yield part

    ahead = FRAMES_AHEAD if threads > 1 else 0
    places = {frame.index: place for place, frame in enumerate(coding_order(12, 8))}
    frames = decode_frames(header, made.segment, replace(ENGINES["numpy"], read_slice=counting), threads)
    found = []
    for index, planes in enumerate(frames):
        found.append(planes)
        assert num_read <= max(places[shown] for shown in range(index + 1)) + 1 + ahead
    assert_equal(found, made.planes)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_frames_before_a_damaged_one_come_out_whatever_the_threads(
    header: Header, made: SyntheticSegment, threads: int
) -> None:
    hashes = list(made.segment.frame_hashes)
    hashes[3] ^= 1  # the fifth in coding order 0 4 2 1 3 5
    frames = decode_frames(header, replace(made.segment, frame_hashes=tuple(hashes)), ENGINES["numpy"], threads)
    assert_equal([next(frames) for _ in range(3)], made.planes[:3])
    with pytest.raises(CorruptSegmentError, match="frame 3"):
        next(frames)


def test_an_iterator_that_is_dropped_ends_its_threads(header: Header, made: SyntheticSegment) -> None:
    before = threading.active_count()
    frames = decode_frames(header, made.segment, ENGINES["numpy"], 3)
    next(frames)
    del frames
    assert threading.active_count() == before


@pytest.mark.parametrize(("num_frames", "gop", "held"), [(1, 8, (1, 1)), (9, 8, (5, 4)), (30, 1, (3, 1))])
def test_frames_held_are_those_that_coding_order_needs(num_frames: int, gop: int, held: tuple[int, int]) -> None:
    assert most_frames_held(num_frames, gop) == held


@pytest.mark.parametrize("engine", NAMES)
def test_account_finds_the_bits_that_the_writer_promised(header: Header, made: SyntheticSegment, engine: str) -> None:
    opened, bits = account(header, made.segment, ENGINES[engine])
    assert opened.step_indexes == made.model.step_indexes
    found, promised = bits.by_part(), made.bits.by_part()
    assert sum(found.values()) == pytest.approx(8 * len(made.segment.patches[0]))
    for part, value in promised.items():
        # A coder's last word and its state are of nobody; and where a frame begins in a payload, of which there are
        # three, is known to a word.
        assert found[part] == pytest.approx(value, abs=70), part


def test_every_engine_has_everything() -> None:
    for name in NAMES:
        engine = ENGINES[choose_engine(name)]
        assert all(getattr(engine, field) is not None for field in engine.__dataclass_fields__)
