# SPDX-License-Identifier: MIT
"""A segment of C3 patches: bytes -> networks and latents of each patch -> cells -> frames."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from c3video.c3.config import C3Config
from c3video.c3.engine import ENGINES, C3Engine
from c3video.c3.patches import PatchGrid
from c3video.c3.payload import CodedPatch, decode_patch
from c3video.engine import EngineName, choose_engine
from c3video.errors import CorruptSegmentError
from c3video.native import c3 as c3_kernels
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, cells_to_planes, frame_hash


def patch_grid(header: Header) -> PatchGrid:
    """The patches of every segment of a stream."""
    return PatchGrid(header.patch_rows, header.patch_columns, header.video.cell_shape)


def decode_patches(header: Header, segment: Segment, engine: EngineName, threads: int) -> Iterator[Planes]:
    """Planes of a segment's frames in display order, each checked against its hash; patches are decoded side by side.

    Raises:
        CorruptSegmentError: the bytes of a patch do not decode, or a frame differs from its hash.
    """
    grid, layout, kernels = patch_grid(header), header.video.layout, ENGINES[engine]
    num_frames = len(segment.pts)
    cells = np.empty((layout.num_cell_channels, num_frames, *header.video.cell_shape), layout.dtype)

    def decode(job: tuple[int, tuple[int, int, int], tuple[slice, slice]]) -> None:
        number, shape, (rows, columns) = job
        patch = _read_patch(header, segment, number, shape, kernels)
        # Each patch goes to its place at once: all of them beside the whole would take three times the memory.
        cells[:, :, rows, columns] = kernels.synthesise(patch.model, patch.symbols, shape, layout.max_value)

    jobs = zip(range(header.num_patches), grid.shapes(num_frames), grid, strict=True)
    with ThreadPoolExecutor(threads) as executor:
        deque(executor.map(decode, jobs), maxlen=0)  # raises what a patch raised
    for index in range(num_frames):
        planes = cells_to_planes(cells[:, index], header.video)
        segment.check_frame(index, frame_hash(planes))
        yield planes


def patches_memory(header: Header, num_frames: int, engine: EngineName, threads: int) -> int:
    """Most bytes that decoding a segment takes, estimated on the high side: its samples, and patches in the making."""
    config, layout = header.model, header.video.layout
    assert isinstance(config, C3Config)
    height, width = header.video.cell_shape
    whole = height * width * layout.num_cell_channels * layout.dtype.itemsize
    rows, columns = -(-height // header.patch_rows), -(-width // header.patch_columns)  # of the largest patch
    latents = sum(math.prod(grid.shape(num_frames, rows, columns)) for grid in config.grids)
    if engine == "native":
        samples = layout.num_cell_channels * rows * columns * num_frames
        kernels = _kernels_memory(config, layout.num_cell_channels, (num_frames, rows, columns))
        patch = 2 * samples + 4 * latents + kernels
    else:
        bordered = (rows + 2) * (columns + 32)
        widest = max((*config.synthesis_layers, layout.num_cell_channels, len(config.grids)))
        samples = layout.num_cell_channels * num_frames * bordered
        patch = 8 * (4 * samples + 3 * latents + (len(config.grids) * num_frames + 4 * widest) * bordered)
    return whole * (num_frames + 2) + patch * min(threads, header.num_patches)


@lru_cache
def _kernels_memory(config: C3Config, num_channels: int, shape: tuple[int, int, int]) -> int:
    """Most bytes of the kernels for a patch of `shape` (T, H, W) cells: of one grid, or of the synthesis."""
    grids = (c3_kernels.grid_memory(config, grid.shape(*shape), grid.previous_window) for grid in config.grids)
    return max(*grids, c3_kernels.synthesis_memory(config, num_channels, shape))


def _read_patch(
    header: Header, segment: Segment, number: int, shape: tuple[int, int, int], kernels: C3Engine
) -> CodedPatch:
    config = header.model
    assert isinstance(config, C3Config)
    channels = header.video.layout.num_cell_channels
    try:
        return decode_patch(segment.patches[number], config, channels, shape, kernels.open_reader, kernels.decode_grid)
    except CorruptSegmentError as error:
        message = f"segment {segment.number}, patch {number}: {error}"
        raise CorruptSegmentError(message, segment=segment.number) from error


def describe_patches(header: Header, segment: Segment) -> SegmentFacts:
    """Bits by part of a segment, and the windows of its patches. Raises CorruptSegmentError."""
    assert isinstance(header.model, C3Config)
    parts: dict[str, float] = {}
    windows = []
    for number, shape in enumerate(patch_grid(header).shapes(len(segment.pts))):
        patch = _read_patch(header, segment, number, shape, ENGINES[choose_engine()])
        windows.append(patch.model.windows)
        for name, bits in patch.bits.by_part().items():
            parts[name] = parts.get(name, 0.0) + bits
    if not header.model.windows_move:
        return SegmentFacts(parts, {}, "windows that see all around a latent")
    shown = " ".join("-" if window is None else f"{window[0]},{window[1]}" for window in windows[0])
    return SegmentFacts(parts, {"previous_windows": windows}, f"windows of patch 0: {shown}")
