# SPDX-License-Identifier: MIT
"""Frames that share their networks: which latent frames a run has, and which of them make a frame.

    layer 0, span 2^5   |-------------------- what stays --------------------|
    layer 1, span 1     | t = 0 | t = 1 | t = 2 | t = 3 | ...

A layer is a row of latent frames, each with all grids of a picture. A latent frame of a layer of span 2^s is part of
2^s frames. The latents of a frame are the sums of those of its layers: what stays still is coded once, what moves
beside it, and networks that were made for pictures serve both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from c3video.limits import check_range

MAX_LAYERS = 4
MAX_SPAN = 6
"""A latent frame is part of 2^MAX_SPAN frames at most."""


@dataclass(frozen=True)
class LatentFrame:
    """One latent frame of a run.

    Args:
        layer: whose it is.
        first: the first frame that it is part of.
        before: number of the latent frame before it in its layer, None for the layer's first.
    """

    layer: int
    first: int
    before: int | None


@dataclass(frozen=True)
class RunShape:
    """The latent frames of a run.

    Args:
        num_frames: frames of the run.
        spans: of each layer the exponent s, falling: 0 <= s <= MAX_SPAN.

    Raises:
        ConfigError: what a stream may not carry.
    """

    num_frames: int
    spans: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range("layers", len(self.spans), 1, MAX_LAYERS)
        for above, span in zip((MAX_SPAN + 1, *self.spans), self.spans, strict=False):
            check_range("span of a layer", span, 0, above - 1)

    @cached_property
    def latent_frames(self) -> tuple[LatentFrame, ...]:
        """In coding order: as frames need them, longer spans first."""
        found: list[LatentFrame] = []
        newest: dict[int, int] = {}
        for frame in range(self.num_frames):
            for layer, span in enumerate(self.spans):
                if frame % (1 << span) == 0:
                    found.append(LatentFrame(layer, frame, newest.get(layer)))
                    newest[layer] = len(found) - 1
        return tuple(found)

    @cached_property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Of each frame the numbers of the latent frames that it is the sum of, by layer."""
        newest: dict[int, int] = {}
        parts, number = [], 0
        for frame in range(self.num_frames):
            while number < len(self.latent_frames) and self.latent_frames[number].first == frame:
                newest[self.latent_frames[number].layer] = number
                number += 1
            parts.append(tuple(newest[layer] for layer in range(len(self.spans))))
        return tuple(parts)


def is_later(number: int) -> bool:
    """Whether a latent frame is coded as one after others: all but the first of a run, which is as a picture."""
    return number > 0


Windows = Sequence[tuple[int, int]]
"""(y, x) of each grid: how far off in the latent frame before the taps lie."""
