# SPDX-License-Identifier: MIT
"""The C++ kernels of the hybrid model against the oracle, on every instruction set, and against hostile arguments."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from c3video import native
from c3video.hybrid import reconstruction
from c3video.hybrid.compensation import (
    MAX_VECTOR,
    RISES,
    SAMPLE_BITS,
    TAPS,
    MotionField,
    _interpolate,
    block_shape,
    compensate,
    finish,
    rising,
    whole_field,
)
from c3video.hybrid.loop_filter import FILTER_SHAPES, LoopFilter, filter_of, plane_filters
from c3video.hybrid.loop_filter import filter_plane as filter_by_oracle
from c3video.hybrid.wavelet import LIMIT, subband_shapes, synthesise
from c3video.native.frames import PhasePlanes, block_errors, filter_plane, predict_plane, reconstruct_plane
from tests.hybrid.streams import split_field

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

SHAPES = [(37, 50), (1, 1), (5, 70), (180, 320), (1, 33), (33, 1), (2, 2), (61, 300)]
SHIFTS = [(0, 0), (1, 1), (0, 1), (1, 0)]


@pytest.fixture(params=native.instruction_sets() or [""])
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("C3VIDEO_ISA", request.param)
    return request.param


def test_tables_are_those_of_the_oracle() -> None:
    assert native.extension().taps() == TAPS.tolist()
    assert {side: tuple(native.extension().rise(side)) for side in RISES} == RISES


def random_motion(
    rng: np.random.Generator, blocks: tuple[int, int], num_references: int, kind: str
) -> MotionField | None:
    """Vectors that all differ, near or far, or patches of equal ones, so that windows join in all ways."""
    if num_references == 0:
        return None
    far = {"near": 50, "far": MAX_VECTOR, "patches": 9}[kind]
    quarters = (2 * blocks[0], 2 * blocks[1])
    vectors = rng.integers(-far, far + 1, (num_references, 2, *quarters))
    modes = rng.integers(0, 3 if num_references == 2 else 1, quarters)
    splits = rng.integers(0, 4, blocks) * (rng.random(blocks) < rng.random())
    if kind == "far":
        vectors[..., 0, 0], vectors[..., -1, -1] = -MAX_VECTOR, MAX_VECTOR
    if kind == "patches":
        places = tuple(np.arange(n) // rng.integers(1, 9) for n in quarters)
        vectors = vectors[:, :, places[0][:, None], places[1]]
        modes = modes[places[0][:, None] // 2, places[1]]
        vectors[rng.random(vectors.shape) < 0.3] //= 4
        vectors[rng.random(vectors.shape) < 0.1] *= 4
    return split_field(vectors, modes, splits)


def random_case(trial: int) -> dict[str, Any]:
    """Arguments of `reconstruct_plane`; kinds, sizes and depths all meet over the trials."""
    rng = np.random.default_rng(trial)
    shape, shifts = SHAPES[trial % 8], SHIFTS[(trial + trial // 8) % 4]
    bit_depth, block_size = (8, 10, 12)[trial // 2 % 3], (8, 16, 32)[trial % 3]
    num_references, levels = (2, 1, 2, 0)[trial // 3 % 4], trial % 7
    bands = []
    for band_shape in subband_shapes(shape, levels):
        band = np.rint(rng.laplace(scale=rng.choice([0.05, 1, 40]), size=band_shape)).astype(np.int32)
        band[rng.random(band_shape) < 0.003] = rng.choice([-(2**20), 2**20, 70000, -(2**31), 2**31 - 1])
        bands.append(band * np.int32(rng.random() < 0.7))
    most = int(rng.choice([300, 32767]))
    blocks = (-(-shape[0] // (block_size >> shifts[0])), -(-shape[1] // (block_size >> shifts[1])))
    dtype = rng.choice([np.uint8, np.uint16]) if bit_depth == 8 else np.uint16
    return {
        "references": [rng.integers(0, 1 << bit_depth, shape).astype(dtype) for _ in range(num_references)],
        "field": random_motion(rng, blocks, num_references, ("near", "far", "patches")[trial // 2 % 3]),
        "block_size": block_size,
        "shifts": shifts,
        "bit_depth": bit_depth,
        "symbols": bands,
        "steps": [int(step) for step in rng.integers(1, most + 1, len(bands))],
    }


def expected(case: dict[str, Any]) -> np.ndarray:
    coefficients = []
    for band, step in zip(case["symbols"], case["steps"], strict=True):
        size = (16 * np.abs(band.astype(np.int64)) - 1) * step >> 4
        coefficients.append(np.clip(np.sign(band) * size, -LIMIT, LIMIT))
    residual = synthesise(coefficients)
    prediction = np.zeros_like(residual)
    if case["field"] is not None:
        prediction = compensate(
            case["references"], case["field"], case["block_size"], case["shifts"], case["bit_depth"]
        )
    return finish(prediction, residual, case["bit_depth"])


@cache
def case_and_plane(trial: int) -> tuple[dict[str, Any], np.ndarray]:
    case = random_case(trial)
    return case, expected(case)


@pytest.mark.parametrize("trial", range(72))
def test_planes_equal_the_oracle_s(isa: str, trial: int) -> None:
    case, want = case_and_plane(trial)
    for num_threads in (1, 2, 3):
        plane = reconstruct_plane(**case, num_threads=num_threads)
        assert plane.dtype == np.uint16
        assert np.array_equal(plane, want), num_threads


@cache
def case_and_prediction(trial: int) -> tuple[dict[str, Any], np.ndarray]:
    case = random_case(trial)
    arguments = {key: case[key] for key in ("references", "field", "block_size", "shifts", "bit_depth")}
    arguments["shape"] = SHAPES[trial % 8]
    return arguments, reconstruction.predict_plane(**arguments)


@pytest.mark.parametrize("trial", range(24))
def test_predictions_equal_the_oracle_s(isa: str, trial: int) -> None:
    arguments, want = case_and_prediction(trial)
    for num_threads in (1, 2, 3):
        found = predict_plane(**arguments, num_threads=num_threads)
        assert found.dtype == np.int16
        assert np.array_equal(found, want), num_threads


@cache
def plane_of_one_vector(eighths_of_luma: tuple[int, int], references: int) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(3)
    vectors = np.empty((references, 2, 5, 40), dtype=np.int64)
    vectors[:, 0], vectors[:, 1] = eighths_of_luma
    case = {
        "references": [rng.integers(0, 1024, (75, 640)).astype(np.uint16) for _ in range(references)],
        "field": whole_field(vectors, np.full((5, 40), 2 * (references - 1))),
        "block_size": 16,
        "shifts": (0, 0),
        "bit_depth": 10,
        "symbols": [np.zeros(shape, np.int32) for shape in subband_shapes((75, 640), 3)],
        "steps": [1] * 10,
    }
    return case, expected(case)


@pytest.mark.parametrize("eighths_of_luma", [(0, 0), (4, 0), (0, 6), (2, 2), (1, 3)])
@pytest.mark.parametrize("references", [1, 2])
def test_plane_of_one_vector_equals_the_oracle_s(isa: str, eighths_of_luma: tuple[int, int], references: int) -> None:
    """Where all windows join into one; rows or columns or both fall on samples."""
    case, want = plane_of_one_vector(eighths_of_luma, references)
    assert np.array_equal(reconstruct_plane(**case), want)


def test_largest_values_equal_the_oracle_s(isa: str) -> None:
    """References and subbands of the largest contrast: no sum of the kernels runs over."""
    shape = (64, 96)
    checks = (np.indices(shape).sum(axis=0) % 2 * 255).astype(np.uint16)
    for sign in (-1, 1):
        bands = []
        for index, band_shape in enumerate(subband_shapes(shape, 4)):
            band = np.full(band_shape, sign * 2**20, dtype=np.int32)
            band[index % 2 :: 2] *= -1
            band[:, ::3] *= -1
            bands.append(band)
        field = whole_field(np.full((2, 2, 8, 12), 2), np.full((8, 12), 2))
        case = {"references": [checks, 255 - checks], "field": field, "block_size": 8, "shifts": (0, 0), "bit_depth": 8}
        case |= {"symbols": bands, "steps": [32767] * len(bands)}
        assert np.array_equal(reconstruct_plane(**case), expected(case))


def random_search(trial: int) -> dict[str, Any]:
    """Arguments of `block_errors` with plane and depth of the references."""
    rng = np.random.default_rng(trial)
    shape = [(37, 50), (1, 1), (5, 70), (30, 50), (1, 33), (33, 1), (2, 2), (20, 90)][trial % 8]
    block_size, bit_depth = (8, 16, 32)[trial % 3], (8, 10)[trial // 2 % 2]
    far = (20, MAX_VECTOR)[trial % 2]
    blocks, count = block_shape(shape, block_size), 3
    planes = [rng.integers(0, 1 << bit_depth, shape).astype(np.uint16) for _ in range(2)]
    noise = rng.normal(scale=rng.choice([100, 3000]), size=shape)
    mid = planes[0].astype(np.int64) - (1 << (bit_depth - 1)) << (SAMPLE_BITS - bit_depth)
    return {
        "planes": planes,
        "bit_depth": bit_depth,
        "current": np.clip(mid + noise, -8192, 8191).astype(np.int16),
        "vectors": rng.integers(-far, far + 1, (count, 2, *blocks)) * rng.integers(0, 2, (count, 1, 1, 1)),
        "block_size": block_size,
        "other": rng.integers(-far, far + 1, (2, *blocks)) if trial % 4 > 1 else None,
    }


def found_errors(search: dict[str, Any], num_threads: int = 1) -> np.ndarray:
    phases = [PhasePlanes(plane, search["bit_depth"], num_threads) for plane in search["planes"]]
    other = None if search["other"] is None else (phases[1], search["other"])
    return block_errors(search["current"], phases[0], search["vectors"], search["block_size"], other, num_threads)


def expected_errors(search: dict[str, Any]) -> np.ndarray:
    """Each block's whole plane moved by its vector, cut to its window."""
    side, current = search["block_size"], search["current"].astype(np.int64)
    height, width = current.shape
    rise = rising(np.arange(side), side)
    window = np.concatenate([rise, 64 - rise])

    def moved(reference: int, vector: np.ndarray) -> np.ndarray:
        plane = search["planes"][reference].astype(np.int64) - (1 << (search["bit_depth"] - 1))
        vectors = np.broadcast_to(vector[:, None, None], (2, height, width))
        return _interpolate(plane, vectors, (0, 0), search["bit_depth"])

    errors = np.zeros((len(search["vectors"]), *search["vectors"].shape[2:]))
    for k, row, column in np.ndindex(errors.shape):
        prediction = moved(0, search["vectors"][k, :, row, column])
        if search["other"] is not None:
            prediction = (prediction + moved(1, search["other"][:, row, column]) + 1) >> 1
        weights = []
        for start, length in ((row * side - side // 2, height), (column * side - side // 2, width)):
            weight = np.zeros(length)
            inside = np.arange(max(start, 0), min(start + 2 * side, length))
            weight[inside] = window[inside - start]
            weights.append(weight)
        squares = (prediction - current) ** 2 * np.outer(*weights) / 4096
        errors[k, row, column] = squares.sum() / (1 << (2 * SAMPLE_BITS))
    return errors


@cache
def search_and_errors(trial: int) -> tuple[dict[str, Any], np.ndarray]:
    search = random_search(trial)
    return search, expected_errors(search)


@pytest.mark.parametrize("trial", range(16))
def test_block_errors_are_the_weighted_squares(isa: str, trial: int) -> None:
    search, want = search_and_errors(trial)
    found = found_errors(search)
    assert found.dtype == np.float32
    assert np.allclose(found, want, rtol=0.01, atol=3e-6)
    for num_threads in (2, 3):
        assert np.array_equal(found_errors(search, num_threads), found)


@pytest.mark.parametrize("trial", range(12))
def test_block_errors_do_not_depend_on_the_instruction_set(monkeypatch: pytest.MonkeyPatch, trial: int) -> None:
    search = random_search(trial)
    search["current"] = search["current"] * 4  # wraps around: differences that saturate
    found = []
    for name in native.instruction_sets():
        monkeypatch.setenv("C3VIDEO_ISA", name)
        found.append(found_errors(search).tobytes())
    assert len(set(found)) == 1


def test_phase_planes_equal_the_oracle_s(isa: str) -> None:
    rng = np.random.default_rng(0)
    for bit_depth, shape in ((8, (37, 50)), (10, (40, 600)), (8, (1, 1))):
        plane = rng.integers(0, 1 << bit_depth, shape).astype(np.uint16)
        phases = PhasePlanes(plane, bit_depth, num_threads=2)
        for y, x in np.ndindex(4, 4):
            vectors = np.empty((2, *shape), dtype=np.int64)
            vectors[0], vectors[1] = y, x
            centred = plane.astype(np.int64) - (1 << (bit_depth - 1))
            assert np.array_equal(phases.plane(y, x), _interpolate(centred, vectors, (0, 0), bit_depth))


class TestSeam:
    """Wrong dtype, shape, strides or range raise; nothing crashes."""

    def arguments(self) -> dict[str, Any]:
        return {
            "shape": (40, 24),
            "references": [np.zeros((40, 24), np.uint16)] * 2,
            "vectors": np.zeros((2, 2, 6, 4), np.int32),
            "modes": np.zeros((6, 4), np.int32),
            "splits": np.zeros((3, 2), np.int32),
            "block_size": 16,
            "shifts": (0, 0),
            "bit_depth": 8,
            "symbols": [np.zeros(shape, np.int32) for shape in subband_shapes((40, 24), 1)],
            "steps": [1, 2, 3, 32767],
            "num_threads": 1,
            "isa": "",
        }

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": (40, 25)},
            {"shape": (0, 0), "references": [], "symbols": [np.zeros((0, 0), np.int32)], "steps": [1]},
            {"shape": (-1, 24)},
            {"shape": (1 << 20, 1)},
            {"references": [np.zeros((40, 24), np.uint16)]},
            {"references": [np.zeros((40, 24), np.uint16)] * 3},
            {"references": [np.zeros((40, 24), np.uint16), np.zeros((40, 23), np.uint16)]},
            {"references": [np.zeros((40, 24), np.uint8)] * 2},
            {"references": [np.zeros((40, 48), np.uint16)[:, ::2]] * 2},
            {"vectors": np.full((2, 2, 6, 4), 4097, np.int32)},
            {"vectors": np.full((2, 2, 6, 4), -(2**31), np.int32)},
            {"vectors": np.zeros((1, 2, 6, 4), np.int32)},
            {"vectors": np.zeros((2, 2, 6, 6), np.int32)},
            {"vectors": np.zeros((2, 2, 3, 2), np.int32)},
            {"vectors": np.zeros((2, 2, 6, 4), np.int64)},
            {"vectors": np.zeros((2, 2, 6, 8), np.int32)[..., ::2]},
            {"modes": np.full((6, 4), 3, np.int32)},
            {"modes": np.full((6, 4), -1, np.int32)},
            {"modes": np.zeros((3, 2), np.int32)},
            {"splits": np.zeros((6, 4), np.int32)},
            {"splits": np.zeros((3, 2), np.int64)},
            {"block_size": 4},
            {"block_size": 64},
            {"block_size": 0},
            {"shifts": (2, 0)},
            {"shifts": (0, -1)},
            {"shifts": (1, 0)},
            {"bit_depth": 9},
            {"bit_depth": 16},
            {"symbols": []},
            {"symbols": [np.zeros((20, 12), np.int32)] * 3},
            {"symbols": [np.zeros((20, 12), np.int64)] * 4},
            {"symbols": [np.zeros((20, 12), np.int32)] * 3 + [np.zeros((20, 11), np.int32)]},
            {"symbols": [np.zeros((20, 24), np.int32)[:, ::2]] * 4},
            {"symbols": [np.zeros((20, 12), np.int32)] * 28, "steps": [1] * 28},
            {"steps": [1, 2, 3]},
            {"steps": [1, 2, 3, 0]},
            {"steps": [1, 2, 3, 32768]},
            {"num_threads": 0},
            {"num_threads": 100000},
            {"isa": "mmx"},
        ],
    )
    def test_planes(self, change: dict[str, Any]) -> None:
        arguments = self.arguments()
        assert native.extension().reconstruct_plane(**arguments).shape == (40, 24)
        with pytest.raises((TypeError, ValueError)):
            native.extension().reconstruct_plane(**{**arguments, **change})

    @pytest.mark.parametrize(
        "change",
        [
            {"shape": (40, 25)},
            {"shape": (0, 0), "references": []},
            {"references": [np.zeros((40, 24), np.uint16)]},
            {"vectors": np.full((2, 2, 6, 4), 4097, np.int32)},
            {"modes": np.full((6, 4), 3, np.int32)},
            {"block_size": 4},
            {"shifts": (2, 0)},
            {"bit_depth": 9},
            {"num_threads": 0},
            {"isa": "mmx"},
        ],
    )
    def test_predictions(self, change: dict[str, Any]) -> None:
        arguments = {key: value for key, value in self.arguments().items() if key not in ("symbols", "steps")}
        assert native.extension().predict_plane(**arguments).shape == (40, 24)
        with pytest.raises((TypeError, ValueError)):
            native.extension().predict_plane(**{**arguments, **change})

    def test_one_reference_has_one_mode(self) -> None:
        arguments = {**self.arguments(), "references": [np.zeros((40, 24), np.uint16)]}
        arguments["vectors"] = arguments["vectors"][:1]
        assert native.extension().reconstruct_plane(**arguments).shape == (40, 24)
        with pytest.raises(ValueError, match="mode"):
            native.extension().reconstruct_plane(**{**arguments, "modes": np.ones((6, 4), np.int32)})

    def test_python_face_takes_what_fits_and_raises_on_the_rest(self) -> None:
        case = random_case(0)
        plane = reconstruct_plane(**case)
        apart = [np.repeat(reference, 2, axis=1)[:, ::2] for reference in case["references"]]
        assert np.array_equal(reconstruct_plane(**{**case, "references": apart}), plane)
        field = case["field"]
        for change in (
            {"field": None},
            {"references": []},
            {"references": [reference.astype(np.float32) for reference in case["references"]]},
            {"field": replace(field, vectors=field.vectors + 2**32)},
            {"field": replace(field, vectors=field.vectors.astype(np.float64))},
            {"symbols": []},
            {"symbols": [np.zeros(3, np.int32)]},
        ):
            with pytest.raises((TypeError, ValueError)):
                reconstruct_plane(**{**case, **change})

    def test_samples_beyond_their_depth_do_no_harm(self, isa: str) -> None:
        arguments = {**self.arguments(), "references": [np.full((40, 24), 65535, np.uint16)] * 2}
        for vector in (0, 2):
            arguments["vectors"] = np.full((2, 2, 6, 4), vector, np.int32)
            assert native.extension().reconstruct_plane(**arguments).max() < 256

    @pytest.mark.parametrize(
        "change",
        [
            {"samples": np.zeros((0, 4), np.uint16)},
            {"samples": np.zeros((4, 4), np.uint8)},
            {"samples": np.zeros((4, 8), np.uint16)[:, ::2]},
            {"samples": np.zeros((40000, 1), np.uint16)},
            {"bit_depth": 14},
            {"num_threads": 0},
            {"isa": "mmx"},
        ],
    )
    def test_phases(self, change: dict[str, Any]) -> None:
        arguments = {"samples": np.zeros((4, 4), np.uint16), "bit_depth": 8, "num_threads": 1, "isa": ""}
        phases = native.extension().Phases(**arguments)
        for phase in ((4, 0), (0, -1)):
            with pytest.raises(ValueError, match="phase"):
                phases.plane(*phase)
        with pytest.raises((TypeError, ValueError)):
            native.extension().Phases(**{**arguments, **change})

    @pytest.mark.parametrize(
        "change",
        [
            {"current": np.zeros((40, 25), np.int16)},
            {"current": np.zeros((40, 24), np.uint16)},
            {"current": np.zeros((40, 48), np.int16)[:, ::2]},
            {"phases": None},
            {"vectors": np.zeros((5, 2, 3, 3), np.int32)},
            {"vectors": np.zeros((5, 1, 3, 2), np.int32)},
            {"vectors": np.zeros((5, 2, 3, 2), np.int64)},
            {"vectors": np.full((5, 2, 3, 2), 4097, np.int32)},
            {"block_size": 64},
            {"other": None},
            {"other_vectors": None},
            {"other_vectors": np.zeros((2, 2, 2), np.int32)},
            {"other_vectors": np.full((2, 3, 2), -4097, np.int32)},
            {
                "other": native.extension().Phases(np.zeros((40, 25), np.uint16), 8, 1, "")
                if native.available()
                else None
            },
            {"num_threads": 0},
            {"isa": "mmx"},
        ],
    )
    def test_errors(self, change: dict[str, Any]) -> None:
        phases = native.extension().Phases(np.zeros((40, 24), np.uint16), 8, 1, "")
        arguments = {
            "current": np.zeros((40, 24), np.int16),
            "phases": phases,
            "vectors": np.zeros((5, 2, 3, 2), np.int32),
            "block_size": 16,
            "other": phases,
            "other_vectors": np.zeros((2, 3, 2), np.int32),
            "num_threads": 1,
            "isa": "",
        }
        assert native.extension().block_errors(**arguments).shape == (5, 3, 2)
        with pytest.raises((TypeError, ValueError)):
            native.extension().block_errors(**{**arguments, **change})


def random_filter(rng: np.random.Generator, largest: int) -> LoopFilter:
    sizes = [int(np.prod(shape)) for shape in FILTER_SHAPES]
    network = filter_of(rng.integers(-largest, largest + 1, sum(sizes)))
    network.check()
    return network


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bit_depth", [8, 10, 12])
def test_filtered_planes_are_those_of_the_oracle(isa: str, shape: tuple[int, int], bit_depth: int) -> None:
    """Steps from the least to the largest, weights that saturate what they can, any number of threads."""
    rng = np.random.default_rng(bit_depth)
    samples = rng.integers(0, 1 << bit_depth, shape).astype(np.uint16)
    smooth = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % (1 << bit_depth)).astype(np.uint16)
    networks = [*plane_filters(0), plane_filters(1)[0], random_filter(rng, 2600), random_filter(rng, 40)]
    for step in (1, 19, 700, 32767):
        for network in networks:
            for plane in (samples, smooth):
                found = filter_plane(plane, step, bit_depth, network, 1 + step % 3)
                assert np.array_equal(found, filter_by_oracle(plane, step, bit_depth, network))


def test_filters_refuse_what_they_cannot_compute() -> None:
    samples, (network, *_) = np.zeros((4, 4), np.uint16), plane_filters(0)
    for step in (0, 32768):
        with pytest.raises(ValueError, match="step"):
            filter_plane(samples, step, 8, network)
    with pytest.raises(ValueError, match="2\\^31"):
        filter_plane(samples, 1, 8, replace(network, first=np.full((12, 24), 32767)))
    layer = native.extension().PyramidLayer(np.zeros((2, 3), np.int32), np.zeros(2, np.int32), 0, 1)
    with pytest.raises(ValueError, match="layers of 24"):
        native.extension().filter_plane(samples, 1, 8, layer, layer, layer, 1, native.isa())
