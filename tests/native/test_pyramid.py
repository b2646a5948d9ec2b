# SPDX-License-Identifier: MIT
"""The C++ of the pyramid model against the oracle: every instruction set, several threads, hostile input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video import native
from c3video.errors import CorruptSegmentError
from c3video.native.pyramid import NATIVE, NATIVE_WRITING, synthesise
from c3video.pyramid.config import TAPS, PyramidConfig
from c3video.pyramid.payload import NUMPY, PatchReading, decode_picture, encode_picture, patch_places
from c3video.pyramid.synthesis import synthesise as synthesise_plainly
from c3video.video import VideoFormat
from tests.pyramid.models import NUM_CASES, case, random_symbols, random_weights
from tests.pyramid.test_payload import SMALL, VIDEO, small_picture

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


@pytest.mark.parametrize("trial", range(NUM_CASES))
def test_latents_and_samples_equal_the_oracle_s(isa: str, trial: int) -> None:
    made = case(trial)
    for num_threads in (1, 7):
        coded = decode_picture(made.data, made.config, made.video, NATIVE, num_threads)
        assert coded.bits.by_part().keys() == made.bits.by_part().keys()
        for name, bits in made.bits.by_part().items():  # by tables; the last words are not full
            assert coded.bits.by_part()[name] == pytest.approx(bits, rel=1e-3, abs=64 * 3)
        for found, given in zip(coded.symbols, made.symbols, strict=True):
            assert found.dtype == np.int16
            np.testing.assert_array_equal(found, given)
        for name, array in made.weights.arrays.items():
            np.testing.assert_array_equal(coded.weights.arrays[name], array)
        planes = synthesise(coded.weights, coded.symbols, made.video.layout, num_threads)
        for plane, wanted in zip(planes, made.planes, strict=True):
            assert plane.dtype == wanted.dtype
            np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("trial", range(NUM_CASES))
def test_written_bytes_equal_the_oracle_s(isa: str, trial: int) -> None:
    made = case(trial)
    for num_threads in (1, 3):
        data, bits = encode_picture(made.weights, made.symbols, made.video, None, NATIVE_WRITING, num_threads)
        assert data == made.data
        for part, value in made.bits.by_part().items():
            # The oracle looks up what a residual costs in float32.
            assert bits.by_part()[part] == pytest.approx(value, rel=1e-4, abs=0.05), part


def test_a_writer_refuses_what_no_table_holds() -> None:
    writer = NATIVE_WRITING.open_writer()
    zero = np.array([0])
    for scales, fractions, residuals in (([64], [0], [0]), ([0], [8], [0]), ([0], [0], [1 << 20]), ([0], [0], [0, 0])):
        with pytest.raises(ValueError, match=r"table index|residual"):
            writer.code(np.array(scales), np.array(fractions), np.array(residuals))
    assert writer.finish() == b""
    writer.code(zero, zero, np.array([-(1 << 20) + 1]))
    assert NATIVE.open_reader(writer.finish()).code(zero, zero).tolist() == [-(1 << 20) + 1]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gbrp", "gray"])
@pytest.mark.parametrize("size", [(131, 70), (97, 258), (259, 33)])
def test_bands_of_threads_meet(isa: str, pix_fmt: str, size: tuple[int, int]) -> None:
    """Large enough for several bands of rows, odd in most ways; weights that change much from place to place."""
    video = VideoFormat(size[1], size[0], pix_fmt)
    config = PyramidConfig(refine_width=5, num_hyper=4)
    layout = {"yuv420p": "420", "yuv422p10le": "422", "gbrp": "rgb", "gray": "gray"}[pix_fmt]
    for extreme in (False, True):
        weights = random_weights(config, layout, 11, extreme)
        symbols = random_symbols(config, *size, seed=4, scale=3.0)
        expected = synthesise_plainly(weights, symbols, video.layout)
        for num_threads in (1, 3, 16):
            planes = synthesise(weights, symbols, video.layout, num_threads)
            assert all(np.array_equal(a, b) for a, b in zip(planes, expected, strict=True)), (extreme, num_threads)


def test_sparse_latents_of_a_large_patch(isa: str) -> None:
    """Most contexts are blank: the network is passed by, but for where it must not be."""
    config = PyramidConfig(patch_size=256, num_hyper=4)
    video = VideoFormat(300, 260, "gray")
    weights = random_weights(config, "gray", 5)
    rng = np.random.default_rng(0)
    symbols = [grid * (rng.random(grid.shape) < 0.002) for grid in random_symbols(config, 260, 300, scale=2.0)]
    data, _ = encode_picture(weights, symbols, video)
    for num_threads in (1, 4):
        found = decode_picture(data, config, video, NATIVE, num_threads).symbols
        assert all(np.array_equal(a, b) for a, b in zip(found, symbols, strict=True))


def outcome(
    data: bytes, config: PyramidConfig, video: VideoFormat, num_threads: int = 1, reading: PatchReading = NATIVE
) -> list[list[list[int]]] | None:
    """The latents, or None where damage was noticed."""
    try:
        coded = decode_picture(data, config, video, reading, num_threads)
    except CorruptSegmentError:
        return None
    return [grid.tolist() for grid in coded.symbols]


def test_damaged_pictures_are_what_the_oracle_makes_of_them(isa: str) -> None:
    data, _, symbols = small_picture()
    rng = np.random.default_rng(0)
    assert outcome(data, SMALL, VIDEO) == [grid.tolist() for grid in symbols]
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= int(rng.integers(1, 256))
        assert outcome(bytes(damaged), SMALL, VIDEO) == outcome(bytes(damaged), SMALL, VIDEO, 1, NUMPY)
        assert outcome(data[:at], SMALL, VIDEO) is None


def test_damage_in_any_patch_is_the_same_on_threads(isa: str) -> None:
    config = replace(SMALL, patch_size=128)
    video = VideoFormat(300, 140, "gray")
    assert len(patch_places(config, 140, 300)) == 6
    weights = random_weights(config, "gray")
    data, _ = encode_picture(weights, random_symbols(config, 140, 300), video)
    rng = np.random.default_rng(1)
    for _ in range(40):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= int(rng.integers(1, 256))
        assert outcome(bytes(damaged), config, video, 3) == outcome(bytes(damaged), config, video, 1)
    for _ in range(20):
        assert outcome(b"\0" + rng.bytes(int(rng.integers(200))), config, video, 2) is None


@pytest.mark.parametrize("sizes", [(0, 8, 8), (9, 8, 8), (7, 0, 8), (7, 1 << 15, 1 << 15)])
def test_memory_of_impossible_pictures_is_a_value_error(sizes: tuple[int, int, int]) -> None:
    taps = np.array(TAPS[:12], dtype=np.int32)
    with pytest.raises(ValueError, match=r"1\.\.8 grids|2\^28 latents"):
        native.extension().pyramid_latents_memory(*sizes, 512, taps, 3, False, 0, 1, native.isa())
    with pytest.raises(ValueError, match=r"1\.\.8 grids|2\^28 latents"):
        native.extension().pyramid_synthesis_memory(sizes[0], 3, *sizes[1:], 1, native.isa())
