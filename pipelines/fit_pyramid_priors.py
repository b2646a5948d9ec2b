# SPDX-License-Identifier: MIT
"""A folder of pictures -> a prior of the pyramid model, which ships with the package and is part of the format.

    pictures --> one crop of each --> latents of their own for every crop, one set of weights for all --> integers

    python -m pipelines.fit_pyramid_priors pictures/ --layout rgb --rd-weight 1e-3 --out 5.i16
    python -m pipelines.fit_pyramid_priors pictures/ --layout rgb --rd-weight 4e-3 --start 5.i16 --passes 90 --out 6.i16

Every pass moves the latents of all crops once and the weights once, by the mean of all gradients: with fewer crops a
step the networks run after each crop in turn and settle for none (eval/results/pyramid_trials.md). The state is kept
beside the output after each tenth of the passes; the same command goes on from there.

Pictures on which results are reported must not be among them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from c3video.errors import C3VideoError, SourceError
from c3video.native.pyramid_fit import Adam, Floats, PyramidFit, add_noise
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.fit.soap import Soap
from c3video.pyramid.fit.stages import weight_views
from c3video.pyramid.fit.start import prior_weights, start_weights
from c3video.pyramid.priors import Prior
from c3video.pyramid.weights import quantise

PIXEL_FORMATS = {"gray": "gray", "420": "yuv420p", "422": "yuv422p", "444": "yuv444p", "rgb": "gbrp"}
"""By layout: what swscale makes of a picture; YUV is BT.601 of limited range, gray of full range."""

TEMPERATURE, NOISE_DEVIATION = (0.5, 0.08), (0.22, 0.15)
"""Of soft rounding and of Gaussian noise, from the first pass to the last."""


@dataclass(frozen=True)
class Training:
    """How a prior is fitted.

    Args:
        rd_weight: weight of bpp against MSE on [0, 1].
        passes: over all crops.
        rate, latent_rate: of weights (SOAP) and latents (Adam), falling by a half cosine.
        crops, size: how many pictures take part, and the side of the part of each.
        seed: of places of crops, initial weights and noise.
    """

    rd_weight: float
    passes: int
    crops: int
    size: int
    rate: float = 1e-2
    latent_rate: float = 0.24
    seed: int = 0


class Crop:
    """A training picture's part and its latents.

    Args:
        planes: samples on [0, 1], all planes one after the other.
    """

    def __init__(self, config: PyramidConfig, layout: str, height: int, width: int, planes: Floats) -> None:
        self.plan, self.planes = PyramidFit(config, layout, height, width), planes
        self.latents = np.zeros(self.plan.num_latents, dtype=np.float32)
        # Gradients fall by orders in the first passes: a longer memory of their squares would stall the rest.
        self.adam = Adam(self.latents, beta1=0.8, beta2=0.9, epsilon=1e-12)

    def step(self, weights: Floats, training: Training, done: float, seed: int) -> Floats:
        """Move the latents once; the gradient of the weights (W,) by the mean loss of a pixel, times pixels."""
        noisy, slopes = add_noise(
            self.latents,
            TEMPERATURE[0] + (TEMPERATURE[1] - TEMPERATURE[0]) * done,
            gaussian=NOISE_DEVIATION[0] + (NOISE_DEVIATION[1] - NOISE_DEVIATION[0]) * done,
            seed=seed,
        )
        found = self.plan.step(noisy, weights, self.planes, training.rd_weight)
        assert found.grad_latents is not None
        assert found.grad_weights is not None
        self.adam.step(found.grad_latents, training.latent_rate * max(0.02, falling(done)), slopes=slopes)
        return found.grad_weights * self.plan.num_pixels

    def loss(self, weights: Floats, rd_weight: float) -> float:
        """MSE + rd_weight * bpp of the rounded latents."""
        return self.plan.step(
            np.rint(self.latents), weights, self.planes, rd_weight, wants_latents=False, wants_weights=False
        ).loss


def falling(done: float) -> float:
    """A half cosine from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def read_crop(
    path: Path, layout: str, size: int, random: np.random.Generator, enlargement: float = 1.0
) -> tuple[int, int, Floats]:
    """(height, width, samples on [0, 1]) of a part, at a random even place, of an enlarged picture.

    Raises SourceError.
    """
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            h, w = (round(enlargement * length) for length in (frame.height, frame.width))
            picture = frame.reformat(w, h, "rgb24", interpolation="BICUBIC").to_ndarray()
    except (av.error.FFmpegError, StopIteration) as error:
        raise SourceError(f"{path}: is no picture that can be read ({error})") from None
    h, w = (min(size, length) // 2 * 2 for length in picture.shape[:2])
    y, x = (2 * int(random.integers(0, (a - b) // 2 + 1)) for a, b in zip(picture.shape[:2], (h, w), strict=True))
    part = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(picture[y : y + h, x : x + w], dtype=np.uint8), format="rgb24"
    )
    planes = []
    for plane in part.reformat(format=PIXEL_FORMATS[layout]).planes:
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(plane.height, -1)
        planes.append(rows[:, : plane.width].ravel())
    return h, w, np.concatenate(planes).astype(np.float32) / 255.0


def fit_prior(
    crops: Sequence[Crop], weights: Floats, config: PyramidConfig, layout: str, training: Training, state: Path
) -> Floats:
    """Weights (W,) for all crops, from `weights` or from where `state` was left."""
    first = _restore(state, crops, weights, training)
    soap = Soap(weight_views(weights, config, layout))
    num_pixels = sum(crop.plan.num_pixels for crop in crops)
    with tqdm(total=training.passes, initial=first, desc=f"rd_weight {training.rd_weight:g}", unit="pass") as progress:
        for step in range(first, training.passes):
            done = step / training.passes
            grads = np.zeros_like(weights)
            for index, crop in enumerate(crops):
                seed = (training.seed * 1_000_003 + step) * 10_007 + index
                grads += crop.step(weights, training, done, seed) / num_pixels
            soap.step(weight_views(grads, config, layout), training.rate * max(0.01, falling(done)))
            progress.update()
            if (step + 1) % max(1, training.passes // 10) == 0:
                progress.set_postfix_str(f"loss {mean_loss(crops, weights, training.rd_weight):.4e}")
                _keep(state, crops, weights, training, step + 1)
    return weights


def mean_loss(crops: Sequence[Crop], weights: Floats, rd_weight: float) -> float:
    """Of all crops by their pixels, latents rounded."""
    losses = [crop.loss(weights, rd_weight) * crop.plan.num_pixels for crop in crops]
    return sum(losses) / sum(crop.plan.num_pixels for crop in crops)


def _keep(state: Path, crops: Sequence[Crop], weights: Floats, training: Training, step: int) -> None:
    arrays: dict[str, NDArray[Any]] = {"weights": weights, "step": np.array(step), "training": np.array(repr(training))}
    for i, crop in enumerate(crops):
        arrays[f"latents{i}"] = crop.latents
        arrays[f"means{i}"], arrays[f"squares{i}"] = crop.adam.mean, crop.adam.square
    part = state.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]
    part.replace(state)


def _restore(state: Path, crops: Sequence[Crop], weights: Floats, training: Training) -> int:
    """Passes that are done. SOAP's averages are not kept: they are found again within a few steps."""
    if not state.exists():
        return 0
    with np.load(state) as kept:
        if str(kept["training"]) != repr(training) or kept["weights"].shape != weights.shape:
            raise C3VideoError(f"{state}: is of another fit ({kept['training']}), remove it to start anew")
        weights[:] = kept["weights"]
        step = int(kept["step"])
        for i, crop in enumerate(crops):
            crop.latents[:] = kept[f"latents{i}"]
            crop.adam.mean[:], crop.adam.square[:], crop.adam.num_steps = kept[f"means{i}"], kept[f"squares{i}"], step
    return step


def to_prior(weights: NDArray[np.floating], config: PyramidConfig, layout: str) -> Prior:
    """The nearest integers; all weights of an array alike."""
    arrays = quantise(config, layout, weight_views(weights, config, layout)).arrays
    zeros = {name: np.zeros_like(array) for name, array in arrays.items()}
    return Prior(config, layout, arrays, zeros, zeros)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m pipelines.fit_pyramid_priors",
    )
    parser.add_argument("pictures", type=Path, help="folder of .png files, none of those that results are reported on")
    parser.add_argument("--layout", choices=sorted(PIXEL_FORMATS), required=True)
    parser.add_argument("--rd-weight", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the .i16 file; OUT.npz beside it holds the state")
    parser.add_argument("--start", type=Path, help="prior of a neighbouring rate to start from")
    parser.add_argument("--passes", type=int, default=200, help="over all crops (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=54, help="pictures that take part (default: %(default)s)")
    parser.add_argument("--size", type=int, default=192, help="side of crops (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=Training.rate, help="of weights (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    training = Training(options.rd_weight, options.passes, options.crops, options.size, options.rate, seed=options.seed)
    config, random = PyramidConfig(), np.random.default_rng(options.seed)
    files = sorted(options.pictures.glob("*.png"))
    if not files:
        parser.error(f"{options.pictures}: holds no .png files")
    try:
        if options.start:
            prior = Prior.from_bytes(options.start.read_bytes(), 0)
            config, weights = replace(prior.config, prior=0), prior_weights(prior)
        else:
            weights = start_weights(config, options.layout, options.seed)
        chosen = [files[i * len(files) // training.crops] for i in range(training.crops)]
        parts = [read_crop(path, options.layout, training.size, random) for path in chosen]
        crops = [Crop(config, options.layout, *part) for part in parts]
        state = options.out.with_suffix(".npz")
        weights = fit_prior(crops, weights, config, options.layout, training, state)
        found = to_prior(weights, config, options.layout)
    except C3VideoError as error:
        print(f"fit_pyramid_priors: {error}", file=sys.stderr)
        return 1
    losses = [mean_loss(crops, each, options.rd_weight) for each in (weights, prior_weights(found))]
    print(f"loss on {len(crops)} crops: {losses[0]:.4e} in floats, {losses[1]:.4e} in integers", file=sys.stderr)
    options.out.write_bytes(found.to_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
