# SPDX-License-Identifier: MIT
"""Fits of runs: which layers, which windows, and that sharing beats frames that stand alone."""

from __future__ import annotations

import io

import numpy as np
import pytest

from c3video import native
from c3video.config import PROFILES
from c3video.decoder import Decoder
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.fit.loop import fit_picture, fit_run
from c3video.pyramid.fit.stillness import choose_spans, still_share
from c3video.pyramid.fit.windows import find_windows
from tests.conftest import encode_quickly, moving_clip

needs_native = pytest.mark.skipif(not native.available(), reason="the extension was not built")


def test_windows_follow_the_picture() -> None:
    base = np.random.default_rng(0).integers(0, 256, (160, 180))
    frames = [base[20 + 4 * t : 116 + 4 * t, 40 - 2 * t : 150 - 2 * t] for t in range(4)]
    windows = find_windows(frames, 7)
    assert windows[:2] == [(4, -2), (2, -1)]
    assert windows[6] == (0, 0)  # too few latents to say


def test_windows_stay_where_nothing_moves() -> None:
    base = np.random.default_rng(0).integers(0, 256, (64, 64))
    assert find_windows([base, base, base], 3) == [(0, 0)] * 3
    assert find_windows([base], 2) == [(0, 0)] * 2


def test_still_blocks_are_counted() -> None:
    frames = [np.full((40, 50), 100) for _ in range(4)]
    for t, frame in enumerate(frames):
        frame[:16, :16] += 40 * (t % 2)
    # Of 3 x 4 blocks one flickers by 20 of 255 about its mean: a variance of 6.2e-3.
    assert still_share(frames, 255, 1e-6) == pytest.approx(11 / 12)
    assert still_share(frames, 255, 7e-3) == 1.0
    assert choose_spans(frames, 255, 1e-3) == (2, 0)
    assert choose_spans([frame + 30 * t for t, frame in enumerate(frames)], 255, 1e-3) == (0,)
    assert choose_spans(frames * 20, 255, 1e-3) == (6, 0)


@needs_native
def test_frames_together_are_better_than_alone() -> None:
    source = moving_clip(4, 48, 64)
    frames = [frame.planes for frame in source]
    config = PyramidFitConfig(noise_steps=60, network_steps=10, annealing=1.0, rounding_steps=1)
    together = fit_run(frames, source.format, PyramidConfig(num_previous=9), config, (2, 0))
    alone = [fit_picture(planes, source.format, PyramidConfig(num_hyper=4), config) for planes in frames]
    assert together.loss < 0.8 * sum(picture.loss for picture in alone) / len(alone)


@needs_native
@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_segment_is_a_run_where_it_has_frames(num_frames: int) -> None:
    """Hashes of frames hold the decoder to what the encoder showed, on both engines."""
    data = encode_quickly(moving_clip(num_frames, 20, 36), PROFILES["pyramid"].model)  # type: ignore[arg-type]
    for engine in ("native", "numpy"):
        with Decoder(io.BytesIO(data), engine=engine) as clip:  # type: ignore[arg-type]
            assert len(list(clip)) == num_frames
