# SPDX-License-Identifier: MIT
"""Cutting a segment into patches and assembling them again. Patches tile the frame; they do not overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_DEFAULT_PATCH = (288, 352)
"""(height, width) in luma samples up to which a frame stays whole by default: CIF is one patch, 1080p is 4 x 6."""


@dataclass(frozen=True)
class PatchGrid:
    """Rows and columns of patches over a frame of cells; edge i of n over a length L lies at i * L // n.

    Args:
        rows, columns: number of patches each way.
        cell_shape: (Hc, Wc) of the frame in cells.
    """

    rows: int
    columns: int
    cell_shape: tuple[int, int]

    @classmethod
    def for_patch_size(
        cls, patch_size: tuple[int, int] | None, frame_size: tuple[int, int], cell_shape: tuple[int, int]
    ) -> PatchGrid:
        """The fewest equal patches that are no larger than `patch_size`.

        Args:
            patch_size: (height, width) in luma samples; None for the default.
            frame_size: (height, width) in luma samples.
        """
        limits = patch_size or LARGEST_DEFAULT_PATCH
        rows, columns = (
            min(cells, -(-length // limit)) for length, limit, cells in zip(frame_size, limits, cell_shape, strict=True)
        )
        return cls(rows, columns, cell_shape)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """(rows, columns) of cells of each patch, row by row."""
        height, width = self.cell_shape
        for row in range(self.rows):
            for column in range(self.columns):
                yield (
                    slice(row * height // self.rows, (row + 1) * height // self.rows),
                    slice(column * width // self.columns, (column + 1) * width // self.columns),
                )

    def shapes(self, num_frames: int) -> list[tuple[int, int, int]]:
        """(T, H, W) in cells of each patch of a segment of `num_frames`."""
        return [(num_frames, rows.stop - rows.start, columns.stop - columns.start) for rows, columns in self]

    def cut(self, cells: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """(C, T, Hc, Wc) -> views (C, T, H, W) of the patches."""
        return [cells[:, :, rows, columns] for rows, columns in self]

    def assemble(self, patches: list[NDArray[np.uint16]]) -> NDArray[np.uint16]:
        """The inverse of `cut`."""
        num_channels, num_frames = patches[0].shape[:2]
        cells = np.empty((num_channels, num_frames, *self.cell_shape), dtype=np.uint16)
        for (rows, columns), patch in zip(self, patches, strict=True):
            cells[:, :, rows, columns] = patch
        return cells
