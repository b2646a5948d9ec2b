# SPDX-License-Identifier: MIT
"""A segment of C3 patches: bytes -> networks and latents of each patch -> cells -> frames."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config
from c3video.c3.engine import ENGINES, C3Engine
from c3video.c3.patches import PatchGrid
from c3video.c3.payload import CodedPatch, decode_patch
from c3video.engine import EngineName
from c3video.errors import CorruptSegmentError
from c3video.segment_model import SegmentFacts
from c3video.stream.layout import Header, Segment
from c3video.video import Planes, cells_to_planes, frame_crc32


def patch_grid(header: Header) -> PatchGrid:
    """The patches of every segment of a stream."""
    return PatchGrid(header.patch_rows, header.patch_columns, header.video.cell_shape)


def decode_patches(header: Header, segment: Segment, engine: EngineName, threads: int) -> Iterator[Planes]:
    """Planes of a segment's frames in display order, each checked against its hash; patches are decoded side by side.

    Raises:
        CorruptSegmentError: the bytes of a patch do not decode, or a frame differs from its hash.
    """
    grid, layout, kernels = patch_grid(header), header.video.layout, ENGINES[engine]

    def decode(job: tuple[int, tuple[int, int, int]]) -> NDArray[np.uint16]:
        number, shape = job
        patch = _read_patch(header, segment, number, shape, kernels)
        return kernels.synthesise(patch.model, patch.symbols, shape, layout.max_value)

    num_frames = len(segment.pts)
    with ThreadPoolExecutor(threads) as executor:
        cells = grid.assemble(list(executor.map(decode, enumerate(grid.shapes(num_frames)))))
    cells = cells.astype(layout.dtype)
    for index in range(num_frames):
        planes = cells_to_planes(cells[:, index], header.video)
        segment.check_frame(index, frame_crc32(planes))
        yield planes


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
    parts: dict[str, float] = {}
    windows = []
    for number, shape in enumerate(patch_grid(header).shapes(len(segment.pts))):
        patch = _read_patch(header, segment, number, shape, ENGINES["numpy"])  # the one that keeps accounts
        windows.append(patch.model.windows)
        assert patch.bits is not None
        for name, bits in patch.bits.by_part().items():
            parts[name] = parts.get(name, 0.0) + bits
    shown = " ".join("-" if window is None else f"{window[0]},{window[1]}" for window in windows[0])
    return SegmentFacts(parts, {"previous_windows": windows}, f"windows of patch 0: {shown}")
