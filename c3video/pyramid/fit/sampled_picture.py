# SPDX-License-Identifier: MIT
"""Tiles of a picture that stand for all of it where integers of weights are chosen: hundreds of passes over a few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from c3video.native.pyramid_fit import FitStep, Floats, PyramidFit
from c3video.pyramid.config import GROUPS, latent_shapes

TILE_SIDE = 256
"""Of a tile in luma samples. With half of it edges are too much of what weights are chosen for."""

_LEAST_TILES = 4
"""Fewer are not worth it: what they leave out of the picture is loss, what they save is little."""


def has_tiles(height: int, width: int) -> bool:
    """Whether a picture is large enough for tiles to stand for it."""
    return (height // TILE_SIDE) * (width // TILE_SIDE) >= _LEAST_TILES


def cut_planes(
    samples: Floats, layout: str, shape: tuple[int, int], corner: tuple[int, int], side: int
) -> list[Floats]:
    """A square of each plane of a picture.

    Args:
        samples: (S,) all planes one after the other.
        shape: (H, W) in luma samples.
        corner: (top, left) in luma samples, as the side a multiple of what chroma halves.
    """
    planes = [(group.shape(*shape), group.exponents) for group in GROUPS[layout] for _ in range(group.num_planes)]
    return _cut(samples, planes, corner, side)


@dataclass(frozen=True)
class SampledPicture:
    """What `PyramidFit` is to a picture, to tiles of it; without gradients by latents.

    Args:
        whole: the plan of the picture.
        tile: that of any of its tiles.
        corners: (top, left) of each in luma samples, multiples of latents of the coarsest grid.
    """

    whole: PyramidFit
    tile: PyramidFit
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, whole: PyramidFit) -> SampledPicture | None:
        """As many tiles as have room beside each other, spread over the picture, or None where they are few.

        Tiles follow each other in no order of place.
        """
        rows, columns = whole.height // TILE_SIDE, whole.width // TILE_SIDE
        if not has_tiles(whole.height, whole.width):
            return None
        unit = 1 << (whole.config.num_grids - 1)
        tops, lefts = _starts(whole.height, rows, unit), _starts(whole.width, columns, unit)
        corners = [(top, left) for top in tops for left in lefts]
        order = np.random.default_rng(len(corners)).permutation(len(corners))
        tile = PyramidFit(whole.config, whole.layout, TILE_SIDE, TILE_SIDE, whole.chroma_weight)
        return cls(whole, tile, tuple(corners[index] for index in order))

    def some(self, number: int, count: int) -> SampledPicture:
        """The `number`th `count` of the tiles, around and around."""
        first = number * count
        return replace(self, corners=tuple(self.corners[at % len(self.corners)] for at in range(first, first + count)))

    def cut(self, targets: Floats, corner: tuple[int, int]) -> Floats:
        """What samples of the tile at a corner have, out of the (S,) of the picture."""
        return _joined(cut_planes(targets, self.whole.layout, (self.whole.height, self.whole.width), corner, TILE_SIDE))

    def step(
        self,
        latents: Floats,
        weights: Floats,
        targets: Floats | None,
        rd_weight: float | None,
        *,
        wants_latents: bool = False,
        wants_weights: bool = True,
        num_threads: int = 1,
    ) -> FitStep:
        """Loss = weighted squared errors / num_samples + rd_weight * bits / num_pixels, and its gradient by weights.

        Bits and errors of the tiles are scaled up to all. A tile's edges are edges of a picture. None for `targets`
        leaves distortion out, for `rd_weight` rate.
        """
        assert not wants_latents
        whole, tile, share = self.whole, self.tile, 1.0 / len(self.corners)
        shapes = latent_shapes(whole.config, whole.height, whole.width)
        grids = [(shape, (k, k)) for k, shape in zip(whole.config.levels, shapes, strict=True)]
        bits, squared_errors = np.zeros(len(grids)), np.zeros(whole.num_planes)
        grads, loss = np.zeros(whole.num_weights), 0.0
        for corner in self.corners:
            found = tile.step(
                _joined(_cut(latents, grids, corner, TILE_SIDE)),
                weights,
                None if targets is None else self.cut(targets, corner),
                rd_weight,
                wants_latents=False,
                wants_weights=wants_weights,
                importance=None if whole.importance is None else self.cut(whole.importance, corner),
                num_threads=num_threads,
            )
            loss += share * found.loss
            bits += share * whole.num_pixels / tile.num_pixels * found.bits
            squared_errors += share * whole.num_samples / tile.num_samples * found.squared_errors
            if found.grad_weights is not None:
                grads += share * found.grad_weights
        return FitStep(bits, squared_errors, loss, None, grads.astype(np.float32) if wants_weights else None, None)


def _starts(length: int, count: int, unit: int) -> list[int]:
    """Where `count` tiles begin, spread over a length, on multiples of `unit`."""
    return [unit * ((length - TILE_SIDE) * index // max(1, count - 1) // unit) for index in range(count)]


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.concatenate([part.ravel() for part in parts])


def _cut(
    flat: Floats, arrays: Sequence[tuple[tuple[int, int], tuple[int, int]]], corner: tuple[int, int], side: int
) -> list[Floats]:
    """A square of arrays that lie one after the other.

    Args:
        arrays: (h, w) of each, and its (y, x) halvings against luma.
        corner, side: of the square, in luma samples.
    """
    (top, left), parts, at = corner, [], 0
    for (h, w), (y, x) in arrays:
        array = flat[at : at + h * w].reshape(h, w)
        parts.append(array[top >> y : (top + side) >> y, left >> x : (left + side) >> x])
        at += h * w
    return parts
