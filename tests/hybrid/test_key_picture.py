# SPDX-License-Identifier: MIT
"""First frames that are pictures of the pyramid model: what is made of them, and segments that begin with one."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.decoder import Decoder
from c3video.errors import CorruptSegmentError
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.decode import account, decode_frames
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.key_picture import plane_symbols
from c3video.hybrid.subbands import subband_steps
from c3video.hybrid.wavelet import EXACT_LIMIT, analyse, analyse_exactly, subband_shapes, synthesise
from c3video.pyramid.config import PyramidConfig
from tests.document_decoder import decode as decode_by_document
from tests.document_pyramid import Config, make_planes
from tests.document_pyramid import decode as decode_picture_by_document
from tests.hybrid.streams import frame_header, synthetic_segment, synthetic_stream
from tests.hybrid.test_decode import NAMES, assert_equal

SMALL = PyramidConfig(
    num_grids=4,
    num_taps=5,
    entropy_layers=(6,),
    synthesis_width=5,
    refine_width=2,
    filter_reach=1,
    patch_size=128,
    num_hyper=2,
)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 1), (2, 3), (37, 50), (64, 33)])
@pytest.mark.parametrize("levels", [0, 1, 4, 5])
def test_exact_analysis_is_synthesis_backwards(size: tuple[int, int], levels: int) -> None:
    rng = np.random.default_rng(3)
    plane = rng.integers(-8192, 8193, size)
    bands = analyse_exactly(plane, levels)
    assert tuple(band.shape for band in bands) == subband_shapes(size, levels)
    np.testing.assert_array_equal(synthesise(bands), plane)
    for band, wanted in zip(bands, analyse(plane.astype(np.float64), levels), strict=True):
        np.testing.assert_allclose(band, wanted, atol=4 * levels + 1)


def test_exact_analysis_holds_what_would_leave_its_range() -> None:
    plane = 8192 * np.where(np.indices((64, 64)).sum(axis=0) // 3 % 2, 1, -1)
    assert max(np.abs(band).max() for band in analyse_exactly(plane, 5)) <= EXACT_LIMIT
    white = analyse_exactly(np.full((64, 64), 8192), 5)
    assert 0.98 * EXACT_LIMIT < white[0].min() <= white[0].max() < EXACT_LIMIT
    assert max(np.abs(band).max() for band in white[1:]) <= 32


@pytest.mark.skipif(not native.available(), reason="the extension was not built")
@pytest.mark.parametrize("isa", native.instruction_sets())
@pytest.mark.parametrize("bit_depth", [8, 10, 12])
@pytest.mark.parametrize(
    ("size", "levels"), [((1, 1), 5), ((1, 70), 4), ((33, 1), 5), ((70, 131), 5), ((64, 2), 4), ((5, 6), 0)]
)
def test_engines_find_the_same_symbols(
    monkeypatch: pytest.MonkeyPatch, isa: str, bit_depth: int, size: tuple[int, int], levels: int
) -> None:
    monkeypatch.setenv("C3VIDEO_ISA", isa)
    rng = np.random.default_rng(levels)
    for step_index in (0, 30, 85):
        steps = subband_steps(step_index, levels) if levels else (7,)
        for plane in (
            rng.integers(0, 1 << bit_depth, size),
            rng.choice([0, (1 << bit_depth) - 1], size),
            rng.integers(0, 1 << bit_depth, (1, 1)) + np.zeros(size, dtype=np.int64),
        ):
            samples = plane.astype(np.uint8 if bit_depth == 8 else np.uint16)
            found = ENGINES["native"].plane_symbols(samples, bit_depth, steps)
            for band, wanted in zip(found, plane_symbols(samples, bit_depth, steps), strict=True):
                np.testing.assert_array_equal(band, wanted)


@pytest.mark.parametrize(("engine", "threads"), [("numpy", 1), *((name, n) for name in NAMES[1:] for n in (1, 2, 7))])
@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "gop"),
    [
        ((33, 14), "yuv420p", HybridConfig(num_slices=2), 6, 4),
        ((140, 130), "yuv420p10le", HybridConfig(num_slices=3, key=SMALL), 2, 1),
        ((18, 11), "yuv422p", HybridConfig(), 3, 2),
        ((9, 13), "yuv444p10le", HybridConfig(key=SMALL), 3, 1),
        ((7, 9), "gbrp", HybridConfig(), 4, 32),
        ((20, 19), "gbrp10le", HybridConfig(key=SMALL), 2, 1),
        ((1, 1), "gray", HybridConfig(), 2, 1),
        ((12, 31), "gray10le", HybridConfig(), 1, 8),
    ],
)
def test_segments_that_begin_with_a_picture(
    engine: str,
    threads: int,
    size: tuple[int, int],
    pix_fmt: str,
    config: HybridConfig,
    num_frames: int,
    gop: int,
) -> None:
    header = frame_header(*size, pix_fmt, config)
    made = synthetic_segment(header, num_frames, gop=gop, density=0.1, seed=2, has_picture=True)
    assert_equal(decode_frames(header, made.segment, ENGINES[engine], threads), made.planes)


@pytest.mark.parametrize(
    ("size", "pix_fmt", "config", "num_frames", "gop", "key"),
    [
        ((66, 19), "yuv420p", HybridConfig(num_slices=2, key=SMALL), 3, 2, "420"),
        ((11, 14), "yuv422p10le", HybridConfig(key=SMALL), 2, 1, "422"),
        ((9, 12), "gbrp", HybridConfig(key=SMALL), 2, 1, "rgb"),
        ((5, 1), "gray", HybridConfig(), 1, 1, "gray"),
    ],
)
def test_pictures_decode_as_the_document_says(
    size: tuple[int, int], pix_fmt: str, config: HybridConfig, num_frames: int, gop: int, key: str
) -> None:
    header = frame_header(*size, pix_fmt, config)
    video, model = header.video, config.key
    made = synthetic_segment(header, num_frames, gop=gop, density=0.2, exponents=(4, 2), seed=7, has_picture=True)
    theirs = Config(
        model.num_grids,
        model.num_taps,
        model.entropy_layers,
        model.synthesis_width,
        model.refine_width,
        model.filter_reach,
        model.patch_size,
        num_hyper=model.num_hyper,
    )

    def picture_planes(data: bytes) -> list[list[list[int]]]:
        weights, grids = decode_picture_by_document(data, theirs, key, *size)
        return make_planes(weights, grids, key, video.layout.max_value)

    decoded = decode_by_document(
        made.segment.patches[0],
        num_frames,
        list(zip(video.plane_shapes, video.layout.planes, strict=True)),
        video.layout.bit_depth,
        config.num_slices,
        video.layout.is_rgb,
        picture_planes,
    )
    dtype = video.layout.dtype
    assert_equal([tuple(np.array(plane, dtype=dtype) for plane in frame) for frame in decoded], made.planes)


@pytest.mark.parametrize("engine", NAMES)
def test_damaged_pictures_name_the_segment(engine: str) -> None:
    header = frame_header(20, 30, "yuv420p", HybridConfig(key=SMALL))
    made = synthetic_segment(header, 3, gop=2, density=0.1, seed=2, has_picture=True)
    rng, data = np.random.default_rng(2), made.segment.patches[0]
    picture = made.model.picture
    assert picture is not None
    start = data.index(picture)
    with pytest.raises(CorruptSegmentError, match="segment 9: picture at byte"):
        list(decode_frames(header, replace(made.segment, number=9, patches=(data[:20],)), ENGINES[engine], 2))
    assert data[start + 4] != 0
    num_places, num_found = (40, 0) if engine == "native" else (3, 0)
    for position in start + rng.choice(len(picture), num_places, replace=False):
        broken = bytearray(data)
        broken[position] ^= 1 << int(rng.integers(8))
        segment = replace(made.segment, number=9, patches=(bytes(broken),))
        found = ""
        try:  # a latent that is far too large may as well be a little larger
            assert_equal(decode_frames(header, segment, ENGINES[engine], 2), made.planes)
        except CorruptSegmentError as error:
            found = str(error)
        assert found.startswith("segment 9, frame 0: ") or not found
        num_found += bool(found)
    assert num_found >= 0.8 * num_places


@pytest.mark.parametrize("threads", [1, 3])
def test_a_picture_comes_out_before_what_is_damaged_after_it(threads: int) -> None:
    header = frame_header(20, 30, "yuv420p", HybridConfig(key=SMALL))
    made = synthetic_segment(header, 3, gop=2, density=0.3, has_picture=True)
    data = bytearray(made.segment.patches[0])
    data[-3] ^= 16
    frames = decode_frames(header, replace(made.segment, patches=(bytes(data),)), ENGINES["numpy"], threads)
    assert_equal([next(frames)], made.planes[:1])
    with pytest.raises(CorruptSegmentError, match="segment 0, frame 2"):
        next(frames)


@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("num_frames", [1, 4])
def test_account_finds_the_bits_of_a_picture(engine: str, num_frames: int) -> None:
    header = frame_header(20, 30, "yuv420p", HybridConfig(key=SMALL))
    made = synthetic_segment(header, num_frames, gop=2, density=0.1, has_picture=True)
    opened, bits = account(header, made.segment, ENGINES[engine])
    assert opened.parsed.picture == made.model.picture
    assert made.model.picture is not None
    found, promised = bits.by_part(), made.bits.by_part()
    assert found["level 0"] == promised["level 0"] == 8 * len(made.model.picture)
    assert sum(found.values()) == pytest.approx(8 * len(made.segment.patches[0]))
    for part, value in promised.items():
        assert found[part] == pytest.approx(value, abs=70), part


def test_a_stream_of_pictures_and_what_follows_them() -> None:
    header = frame_header(20, 24, segment_frames=5)
    data, planes = synthetic_stream(header, (3, 1), gop=2, density=0.1, has_picture=True)
    with Decoder(io.BytesIO(data), threads=2) as clip:
        assert_equal([frame.planes for frame in clip], planes)
    with Decoder(io.BytesIO(data)) as clip:
        assert_equal([frame.planes for frame in clip.frames(1, 2)], planes[3:])
