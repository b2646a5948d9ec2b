# SPDX-License-Identifier: MIT
"""The integers of the decoder do what the floats of a fit do, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from c3video.pyramid.config import PyramidConfig, latent_shapes, weight_shapes
from c3video.pyramid.contexts import as_hyper_context, enlarge, parent_inputs, plan_walk
from c3video.pyramid.entropy import SCALE_ORIGIN, predict
from c3video.pyramid.fit.network import contexts, entropy_outputs, hyper_contexts, reconstruct
from c3video.pyramid.priors import CUBIC_KERNEL
from c3video.pyramid.synthesis import layout_key, synthesise
from c3video.pyramid.weights import quantise
from c3video.video import VideoFormat

CONFIG = PyramidConfig(num_grids=5, num_hyper=3)


def random_floats(layout: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of the size that fits give: a step of a latent changes a sample by some hundredths."""
    rng = np.random.default_rng(seed)
    scales = {
        "m": 0.02,
        "v1": 0.1,
        "v2": 0.05,
        "r1": 0.2,
        "r2": 0.2,
        "l": 0.05,
        "w1": 0.3,
        "w2": 0.3,
        "w3": 0.2,
        "h1": 0.2,
        "hl": 0.1,
    }
    floats = {
        name: rng.normal(scale=scales.get(name.split(".")[0], 0.05), size=shape)
        for name, shape in weight_shapes(CONFIG, layout).items()
    }
    floats["u"] = (np.array(CUBIC_KERNEL) + rng.integers(-3, 4, floats["u"].shape)) / 256  # what integers can say
    for name in floats:
        if name.startswith("c2"):
            floats[name] += 0.5
    return floats


def latents(height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.rint(rng.laplace(scale=1.0, size=shape)) for shape in latent_shapes(CONFIG, height, width)]


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p10le", "yuv422p10le", "gbrp10le"])
def test_samples(pix_fmt: str) -> None:
    video = VideoFormat(53, 37, pix_fmt)
    layout = layout_key(video.layout)
    floats, symbols = random_floats(layout), latents(37, 53)
    planes = synthesise(quantise(CONFIG, layout, floats), [grid.astype(int) for grid in symbols], video.layout)
    tensors = {name: torch.from_numpy(array) for name, array in floats.items()}
    expected = reconstruct([torch.from_numpy(grid) for grid in symbols], tensors, layout)
    for plane, samples in zip(planes, expected, strict=True):
        difference = plane / video.layout.max_value - samples.numpy()
        assert np.abs(difference).max() < 0.01
        assert np.sqrt(np.mean(difference**2)) < 0.002
        assert samples.std() > 0.02


def test_locations_and_scales() -> None:
    floats, grids = random_floats("gray"), latents(20, 30)
    weights = quantise(CONFIG, "gray", floats)
    tensors = {name: torch.from_numpy(array) for name, array in floats.items()}
    levels = CONFIG.hyper_levels
    of_samples, hyper = grids[: CONFIG.num_grids], grids[CONFIG.num_grids :]
    enlarged = hyper_contexts([torch.from_numpy(grid) for grid in hyper], levels, [grid.shape for grid in of_samples])
    planes: dict[int, np.ndarray] = {}
    for k in range(CONFIG.num_grids - 1, -1, -1):
        above = [of_samples[j] if j < len(of_samples) else None for j in (k + 1, k + 2)]
        planes = {level: enlarge(plane, grids[k].shape) for level, plane in planes.items()}
        planes |= {level: as_hyper_context(grid) for level, grid in zip(levels, hyper, strict=True) if level == k}
        zeros = np.zeros(grids[k].shape)
        known = [parent_inputs(grids[k].shape, *above), np.stack([planes.get(level, zeros) for level in levels])]
        own, *parents = (None if grid is None else torch.from_numpy(grid) for grid in (grids[k], *above))
        assert own is not None
        location, scale_output = entropy_outputs(
            contexts(own, *parents, CONFIG.num_taps), k, tensors, None, enlarged[k]
        )
        walk = plan_walk(CONFIG, grids[k].shape)
        flat = walk.empty()
        rows, columns = np.indices(grids[k].shape).reshape(2, -1)
        flat[walk.places(rows, columns)] = grids[k].ravel()
        for rows, columns, inputs in walk.contexts(flat, np.concatenate(known)):
            steps, fractions, scales = predict(inputs, weights, k)
            np.testing.assert_allclose(steps + fractions / 16, location[rows, columns].numpy(), atol=0.05)
            wanted = np.clip(SCALE_ORIGIN + 8 * scale_output[rows, columns].numpy(), 0, 63)
            np.testing.assert_allclose(scales, wanted, atol=0.7)
