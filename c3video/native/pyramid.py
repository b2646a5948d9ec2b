# SPDX-License-Identifier: MIT
"""The pyramid model in C++: the integers of pyramid/payload.py and pyramid/synthesis.py, many times faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.errors import CorruptSegmentError
from c3video.pyramid.config import GROUPS, MAX_REACH, TAPS, PyramidConfig
from c3video.pyramid.contexts import wave_slope
from c3video.pyramid.payload import FrameBefore, PatchPlace, PatchReading, PatchWriting
from c3video.pyramid.weights import MAX_CONTEXT, PyramidWeights
from c3video.video import PixelLayout, Planes, VideoFormat

IntArray = NDArray[np.int64]


def _dense(weight: NDArray[np.int64], bias: NDArray[np.int64], half: int, largest_input: int) -> Any:
    flat = weight.reshape(len(weight), -1).astype(np.int32)
    return native.extension().PyramidLayer(flat, bias.astype(np.int32), half, largest_input)


def _code_patches(
    readers: list[Any],
    writers: list[Any],
    weights: PyramidWeights,
    grids: list[NDArray[np.int16]],
    before: FrameBefore | None,
    num_threads: int,
) -> list[float]:
    arrays, config = weights.entropy_arrays(is_later=before is not None), weights.config
    previous = before.grids if before and before.grids else []
    windows = [before.windows[level] if before else (0, 0) for level in config.levels]
    return native.extension().code_pyramid(
        native.probability_tables(),
        readers,
        writers,
        grids,
        [np.ascontiguousarray(grid, dtype=np.int16) for grid in previous],
        np.array(windows, dtype=np.int32),
        config.patch_size,
        np.array(TAPS[: config.num_taps], dtype=np.int32),
        wave_slope(config.num_taps),
        config.num_previous if before else 0,
        config.num_hyper,
        [_dense(arrays["w1"], bias, 1 << 3, MAX_CONTEXT) for bias in arrays["b1"]],
        [_dense(arrays["w2"], arrays["b2"] << 8, 1 << 11, 32767)] if "w2" in arrays else [],
        _dense(arrays["w3"], np.zeros(2, dtype=np.int64), 1 << 7, 32767),
        # The outputs are rounded by shifts of 8 and 9; a layer has one half for all its outputs.
        _dense(arrays["l"], arrays["b3"] + np.array([1 << 7, 1 << 8]), 0, MAX_CONTEXT),
        num_threads,
        native.isa(),
    )


def read_patches(
    coders: Sequence[native.NativeReader],
    weights: PyramidWeights,
    places: Sequence[PatchPlace],
    before: FrameBefore | None,
    num_threads: int,
) -> tuple[list[NDArray[np.int16]], list[float]]:
    """`payload.read_patches`, patches on several threads."""
    grids = [np.zeros((y.stop, x.stop), dtype=np.int16) for y, x in places[-1].slices]
    try:
        bits = _code_patches([coder.handle for coder in coders], [], weights, grids, before, num_threads)
    except native.extension().Corrupt as error:
        raise CorruptSegmentError(str(error)) from None
    return grids, bits


def write_patches(
    coders: Sequence[native.NativeWriter],
    weights: PyramidWeights,
    places: Sequence[PatchPlace],
    symbols: Sequence[NDArray[Any]],
    before: FrameBefore | None,
    num_threads: int,
) -> list[float]:
    """`payload.write_patches`, patches on several threads."""
    grids = [np.ascontiguousarray(grid, dtype=np.int16) for grid in symbols]
    return _code_patches([], [coder.handle for coder in coders], weights, grids, before, num_threads)


NATIVE = PatchReading(native.NativeReader, read_patches)
"""In place of `payload.NUMPY` where native.available()."""
NATIVE_WRITING = PatchWriting(native.NativeWriter, write_patches)
"""In place of `payload.NUMPY_WRITING` likewise."""


def synthesise(
    weights: PyramidWeights, symbols: Sequence[NDArray[np.integer]], layout: PixelLayout, num_threads: int = 1
) -> Planes:
    """`pyramid.synthesis.synthesise`, bands of rows on several threads."""
    arrays = weights.folded
    height, width = symbols[0].shape
    planes = tuple(np.empty((-(-height >> v), -(-width >> h)), dtype=layout.dtype) for v, h in layout.planes)
    run = native.extension().synthesise_pyramid_8 if layout.bit_depth == 8 else native.extension().synthesise_pyramid_16
    run(
        [np.ascontiguousarray(grid, dtype=np.int16) for grid in symbols[: weights.config.num_grids]],
        arrays.get("u", np.zeros((0, 4), dtype=np.int64)).astype(np.int32),
        _filters(arrays.get("f")),
        [_group_layers(weights, index) for index in range(len(GROUPS[weights.layout]))],
        list(planes),
        layout.max_value,
        num_threads,
        native.isa(),
    )
    return planes


def kernels_memory(config: PyramidConfig, video: VideoFormat, num_threads: int, has_previous: bool = False) -> int:
    """Most bytes that `read_patches` and `synthesise` take beside arguments and results, as the kernels count them.

    Args:
        has_previous: whether there is a latent frame before.
    """
    size = config.num_grids, video.height, video.width
    reading = native.extension().pyramid_latents_memory(
        *size,
        config.patch_size,
        np.array(TAPS[: config.num_taps], dtype=np.int32),
        wave_slope(config.num_taps),
        has_previous,
        config.num_hyper,
        num_threads,
        native.isa(),
    )
    making = native.extension().pyramid_synthesis_memory(
        size[0], len(video.plane_shapes), *size[1:], num_threads, native.isa()
    )
    return max(reading, making)


def _filters(taps: IntArray | None) -> NDArray[np.int32]:
    """Taps (grids, MAX_REACH + 1), those that a model has not are 0; (0, MAX_REACH + 1) for a model without filters."""
    if taps is None:
        return np.zeros((0, MAX_REACH + 1), dtype=np.int32)
    return np.pad(taps, [(0, 0), (0, MAX_REACH + 1 - taps.shape[1])]).astype(np.int32)


def _group_layers(weights: PyramidWeights, index: int) -> list[Any]:
    arrays = {name.split(".")[0]: array for name, array in weights.folded.items() if name.endswith(f".{index}")}
    layers = [
        _dense(arrays["v1"], arrays["c1"] << 7, 1 << 9, 32768),
        _dense(arrays["v2"], arrays["c2"] << 9, 1 << 8, 32767),
        _dense(arrays["m"], np.zeros(len(arrays["m"]), dtype=np.int64), 1 << 8, 32768),
    ]
    if weights.config.refine_width:
        layers.append(_dense(arrays["r1"], arrays["d1"] << 12, 1 << 11, 32768))
        layers.append(_dense(arrays["r2"], arrays["d2"] << 12, 1 << 11, 32767))
    return layers
