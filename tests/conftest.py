# SPDX-License-Identifier: MIT
"""Tiny models and clips made in memory: no downloads, fixed seeds."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from c3video.c3.config import C3Config, C3FitConfig, LatentGrid
from c3video.c3.patch_model import Layer, PatchModel, Precision, centred_window, layer_specs
from c3video.encoder import encode
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.video import ArraySource, VideoFormat

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that tests start: each core has a process of tests already

TINY_MODEL = C3Config(
    grids=(LatentGrid(0, 1, True), LatentGrid(1, 2, True), LatentGrid(5, 0)),
    entropy_layers=(8, 8),
    synthesis_layers=(8, 8),
    residual_layers=2,
    residual_time_size=3,
)


@pytest.fixture
def tiny_model() -> C3Config:
    return TINY_MODEL


@pytest.fixture
def random_patch() -> Callable[..., tuple[PatchModel, tuple[np.ndarray, ...]]]:
    """make(config, num_channels, shape, seed) -> a PatchModel of random integers, and random symbols for it."""

    def make(
        config: C3Config, num_channels: int, shape: tuple[int, int, int], seed: int = 0
    ) -> tuple[PatchModel, tuple[np.ndarray, ...]]:
        rng = np.random.default_rng(seed)
        precision = Precision(8, 9)
        layers = tuple(
            Layer(
                spec,
                np.rint(rng.laplace(scale=40, size=spec.weight_shape)).astype(np.int64),
                np.rint(rng.laplace(scale=60, size=spec.bias_shape)).astype(np.int64),
                precision,
            )
            for spec in layer_specs(config, num_channels)
        )
        windows = tuple(centred_window(config) if grid.previous_window else None for grid in config.grids)
        symbols = tuple(
            np.rint(rng.laplace(scale=1.5, size=grid.shape(*shape))).astype(np.int64) for grid in config.grids
        )
        return PatchModel(config, num_channels, layers, windows), symbols

    return make


QUICK_FIT = C3FitConfig(noise_steps=12, rounding_steps=3, weight_steps=3, window_steps=6)


def moving_clip(num_frames: int, height: int, width: int, pix_fmt: str = "yuv420p", seed: int = 0) -> ArraySource:
    """Smooth planes with a square that moves over them, any pixel format and size."""
    video = VideoFormat(width, height, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))
    layout = video.layout
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(num_frames):
        planes = []
        for index, (h, w) in enumerate(video.plane_shapes):
            y, x = np.mgrid[:h, :w]
            plane = 0.3 + 0.4 * y / max(h, 2) + 0.05 * index + 0.1 * np.sin(x / 3.0)
            plane[h // 3 : h // 3 + 4, (t * 2) % max(w - 3, 1) : (t * 2) % max(w - 3, 1) + 4] = 0.9
            plane += rng.normal(scale=0.01, size=(h, w))
            planes.append(np.clip(plane * layout.max_value, 0, layout.max_value).astype(layout.dtype))
        frames.append(tuple(planes))
    return ArraySource(frames, video)


QUICK_PICTURE_FIT = PyramidFitConfig(noise_steps=25, network_steps=5, rounding_steps=1)


def encode_quickly(source: ArraySource, model: C3Config | PyramidConfig = TINY_MODEL, **options: Any) -> bytes:
    """A .c3v stream of few steps."""
    file = io.BytesIO()
    encode(source, file, model, QUICK_FIT if isinstance(model, C3Config) else QUICK_PICTURE_FIT, **options)
    return file.getvalue()


def write_png(path: Path, picture: np.ndarray) -> None:
    """A picture (h, w, 3) of uint8 as a file."""
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
