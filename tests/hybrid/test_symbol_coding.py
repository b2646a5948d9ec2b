# SPDX-License-Identifier: MIT
"""Subbands and motion fields: what is written at once is read back symbol by symbol."""

from __future__ import annotations

import numpy as np
import pytest

from c3video.coding.rangecoder import SymbolReader, SymbolWriter
from c3video.hybrid import motion_symbols, subbands
from c3video.hybrid import symbol_coding as frames
from c3video.hybrid.compensation import BOTH, MAX_VECTOR, WHOLE, MotionField, whole_field
from c3video.hybrid.context_network import ContextNetwork, network_shapes
from c3video.hybrid.frame_order import CodedFrame
from tests.hybrid.streams import split_field


def random_network(rng: np.random.Generator, num_inputs: int, num_classes: int) -> ContextNetwork:
    shapes = network_shapes(num_inputs, num_classes)
    return ContextNetwork(*(rng.integers(-300, 300, shape) for shape in shapes.values()))


def random_symbols(rng: np.random.Generator, layout: subbands.SliceLayout) -> subbands.FrameSymbols:
    """Sparse, with some far outliers."""
    return [
        [
            (rng.laplace(0, 3, shape) * (rng.random(shape) < 0.2) * np.where(rng.random(shape) < 0.02, 500, 1)).astype(
                np.int64
            )
            for shape in plane
        ]
        for plane in layout.shapes
    ]


def random_field(rng: np.random.Generator, shape: tuple[int, int], num_references: int) -> MotionField:
    quarters = (2 * shape[0], 2 * shape[1])
    modes = rng.integers(0, 3, quarters) if num_references == 2 else np.zeros(quarters, dtype=np.int64)
    vectors = rng.integers(-40, 40, (num_references, 2, *quarters))
    vectors[..., 0, 0] = MAX_VECTOR
    return split_field(vectors, modes, rng.integers(0, 4, shape))


def sparse_field(rng: np.random.Generator, shape: tuple[int, int], num_references: int, density: float) -> MotionField:
    """One that moves alike but for a share of its blocks."""
    field = random_field(rng, shape, num_references)
    moved = rng.random(shape) < density
    quarters = moved.repeat(2, axis=0).repeat(2, axis=1)
    vectors, modes = np.where(quarters, field.vectors, 5), np.where(quarters, field.modes, field.modes[0, 0])
    return split_field(vectors, modes, np.where(moved, field.splits, WHOLE))


@pytest.mark.parametrize("shape", [(37, 50), (1, 1), (3, 70), (16, 16)])
@pytest.mark.parametrize("num_slices", [1, 3])
def test_subbands_come_back(shape: tuple[int, int], num_slices: int) -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng, subbands.NUM_INPUTS, subbands.NUM_CLASSES)
    network.check()
    half = (-(-shape[0] // 2), -(-shape[1] // 2))
    layouts = subbands.slice_layouts((shape, half, half), ((0, 0), (1, 1), (1, 1)), num_slices)
    for layout in layouts:
        symbols, other = random_symbols(rng, layout), random_symbols(rng, layout)
        reference = subbands.reference_magnitudes([other, other], layout)
        writer = SymbolWriter()
        frames.write_subbands(writer, network, symbols, reference, 3)
        reader = SymbolReader(writer.finish())
        found = frames.read_subbands(reader, network, layout, reference, 3)
        reader.finish()
        for plane, bands in enumerate(symbols):
            for band, values in enumerate(bands):
                np.testing.assert_array_equal(found[plane][band], values)
        assert reader.estimated_bits == pytest.approx(writer.estimated_bits)


@pytest.mark.parametrize("frame", [CodedFrame(4, (1,), 1), CodedFrame(3, (0, 5), 2)])
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 4), (4, 1)])
def test_motion_comes_back(frame: CodedFrame, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    network = random_network(rng, motion_symbols.NUM_INPUTS, motion_symbols.NUM_CLASSES)
    field = random_field(rng, shape, len(frame.references))
    writer = SymbolWriter()
    frames.write_motion(writer, network, motion_symbols.to_symbols(field, frame, None), frame.depth)
    reader = SymbolReader(writer.finish())
    found = frames.read_motion(reader, network, shape, frame, None)
    reader.finish()
    np.testing.assert_array_equal(found.modes, field.modes)
    np.testing.assert_array_equal(found.vectors, field.vectors)
    np.testing.assert_array_equal(found.splits, field.splits)


def test_modes_are_cheap_to_predict_where_all_are_both() -> None:
    field = whole_field(np.zeros((2, 2, 4, 4), dtype=np.int64), np.full((4, 4), BOTH))
    assert not motion_symbols.to_symbols(field, CodedFrame(1, (0, 2), 2), None).symbols.any()
