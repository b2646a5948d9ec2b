# SPDX-License-Identifier: MIT
"""A run of frames <-> bytes (docs/c3v_pyramid.md, section 7).

As a picture (payload.py), but that the first payload begins with the layers and the windows, and that each payload
holds one latent frame after the other: those that frame 0 needs, then those that begin at frame 1, and so on. So a
frame's latents are known when those of the frames before it are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.rangecoder import Coder
from c3video.errors import ConfigError
from c3video.pyramid.config import MAX_WINDOW, PyramidConfig
from c3video.pyramid.differences import Difference
from c3video.pyramid.payload import (
    MAX_SYMBOL,
    NUMPY,
    NUMPY_WRITING,
    FrameBefore,
    PatchReading,
    PatchWriting,
    PictureBits,
    account,
    check_latents,
    code_number,
    code_weights,
    join_payloads,
    patch_places,
    split_payloads,
)
from c3video.pyramid.runs import MAX_LAYERS, MAX_SPAN, RunShape, Windows, is_later
from c3video.pyramid.synthesis import layout_key
from c3video.pyramid.weights import PyramidWeights
from c3video.video import VideoFormat

Grids = Sequence[NDArray[Any]]
"""Latents (h, w) of each grid."""

_HEAD_SCALE = 20
"""Scale index of the tables of all numbers of the head."""


def code_head(
    coder: Coder, num_grids: int, shape: RunShape | None, windows: Windows | None
) -> tuple[tuple[int, ...], Windows]:
    """Code the spans of the layers and the window of each grid; `shape` and `windows` are what to write, or None.

    Raises:
        CorruptSegmentError: a number out of range.
    """

    def number(value: int | None, low: int, high: int, what: str) -> int:
        return code_number(coder, value, _HEAD_SCALE, low, high, what)

    more = number(None if shape is None else len(shape.spans) - 1, 0, MAX_LAYERS - 1, "layers but one")
    spans: list[int] = []
    for layer in range(more + 1):
        largest = spans[-1] - 1 if spans else MAX_SPAN
        spans.append(number(None if shape is None else shape.spans[layer], 0, largest, f"span of layer {layer}"))
    found = [
        tuple(
            number(None if windows is None else windows[k][axis], -MAX_WINDOW, MAX_WINDOW, f"window of grid {k}")
            for axis in (0, 1)
        )
        for k in range(num_grids)
    ]
    return tuple(spans), [(y, x) for y, x in found]


def sum_layers(layers: Sequence[Grids]) -> list[NDArray[np.int16]]:
    """Latents of a frame from those of its layers, clipped to what a latent may be."""
    return [
        np.clip(sum(grid.astype(np.int32) for grid in grids), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int16)
        for grids in zip(*layers, strict=True)
    ]


def encode_run(
    weights: PyramidWeights,
    shape: RunShape,
    windows: Windows,
    symbols: Sequence[Grids],
    video: VideoFormat,
    differences: Mapping[str, Difference] | None = None,
    writing: PatchWriting | None = None,
    num_threads: int = 1,
) -> tuple[bytes, PictureBits]:
    """Bytes of a run and their accounting; as `payload.encode_picture`, but for

    Args:
        shape: the latent frames.
        windows: of each grid.
        symbols: of each latent frame.
    """
    writing = writing or NUMPY_WRITING
    config = weights.config
    if len(symbols) != len(shape.latent_frames):
        raise ConfigError(f"{len(symbols)} latent frames: must be {len(shape.latent_frames)}")
    for grids in symbols:
        check_latents(weights, grids, video)
    places = patch_places(config, video.height, video.width)
    coders = [writing.open_writer() for _ in places]
    code_head(coders[0], config.num_grids, shape, windows)
    _, weight_bits = code_weights(coders[0], config, weights.layout, weights, differences)
    grid_bits = np.zeros(len(config.levels))
    for number, (frame, grids) in enumerate(zip(shape.latent_frames, symbols, strict=True)):
        before = None
        if is_later(number):
            before = FrameBefore(None if frame.before is None else symbols[frame.before], windows)
        grid_bits += writing.write_patches(coders, weights, places, grids, before, num_threads)
    data = join_payloads(config.prior, [coder.finish() for coder in coders])
    return data, account(data, weight_bits, grid_bits, config.num_hyper)


@dataclass(frozen=True)
class DecodedRun:
    """What the beginning of a run says.

    Args:
        frames: latents of each frame, its layers together, each read when it is asked for. Raises CorruptSegmentError.
        bits: of the weights by part, and after the last frame of the grids.
    """

    weights: PyramidWeights
    shape: RunShape
    windows: Windows
    frames: Iterator[Grids]
    bits: RunBits


@dataclass
class RunBits:
    """Where the bits went, as far as they have been read."""

    size_bits: float
    weights: dict[str, float]
    grids: NDArray[np.float64]
    num_hyper: int

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        overhead = self.size_bits - sum(self.weights.values()) - float(self.grids.sum())
        return PictureBits(self.weights, tuple(self.grids.tolist()), overhead, self.num_hyper).by_part()


def decode_run(
    data: bytes,
    config: PyramidConfig,
    video: VideoFormat,
    num_frames: int,
    reading: PatchReading = NUMPY,
    num_threads: int = 1,
) -> DecodedRun:
    """The integers of a run, its frames one by one.

    Args:
        config: shapes; the prior's number is that of the bytes.

    Raises:
        CorruptSegmentError: the bytes are too few or out of range.
    """
    places = patch_places(config, video.height, video.width)
    prior, payloads = split_payloads(data, len(places))
    coders = [reading.open_reader(payload) for payload in payloads]
    spans, windows = code_head(coders[0], config.num_grids, None, None)
    layout = layout_key(video.layout)
    weights, weight_bits = code_weights(coders[0], replace(config, prior=prior), layout, None, None)
    shape = RunShape(num_frames, spans)
    bits = RunBits(8.0 * len(data), weight_bits, np.zeros(len(config.levels)), config.num_hyper)

    def read_frames() -> Iterator[Grids]:
        newest: dict[int, Grids] = {}
        number = 0
        for frame in range(num_frames):
            while number < len(shape.latent_frames) and shape.latent_frames[number].first == frame:
                layer = shape.latent_frames[number].layer
                before = FrameBefore(newest.get(layer), windows) if is_later(number) else None
                newest[layer], found = reading.read_patches(coders, weights, places, before, num_threads)
                bits.grids += found
                number += 1
            if frame == num_frames - 1:
                for coder in coders:
                    coder.finish()
            yield sum_layers([newest[layer] for layer in range(len(spans))])

    return DecodedRun(weights, shape, windows, read_frames(), bits)
