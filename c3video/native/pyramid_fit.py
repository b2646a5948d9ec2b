# SPDX-License-Identifier: MIT
"""One step of a fit of the pyramid model on the native engine: rate, distortion, gradients; float32 on the CPU.

`pyramid/fit/network.py` is the definition. Everything lies in flat arrays: latents grid by grid, finest first, hyper
grids last, each (h, w) row by row; weights in the order of `weight_shapes`; samples plane by plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.pyramid.config import GROUPS, LONGEST_CHOICE, TAPS, PyramidConfig, latent_shapes, weight_shapes

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FitStep:
    """What a step found.

    Args:
        bits: (N,) of each grid, hyper grids last.
        squared_errors: (P,) sums over the samples of each plane, on [0, 1], each times its importance.
        loss: squared_errors / num_samples + rd_weight * bits / num_pixels, of the parts that were asked for.
        grad_latents: (L,) gradient of the loss, or None.
        grad_weights: (W,) likewise, or None.
        grad_previous: (L,) likewise by the latents of the frame before, or None.
    """

    bits: Doubles
    squared_errors: Doubles
    loss: float
    grad_latents: Floats | None
    grad_weights: Floats | None
    grad_previous: Floats | None = None


@dataclass(frozen=True, eq=False)
class Before:
    """What a latent frame after the first knows of the one before it.

    Args:
        latents: (L,), or None for zeros.
        windows: (y, x) of each resolution, where its grids' taps lie in it.
    """

    latents: Floats | None
    windows: Sequence[tuple[int, int]]


class PyramidFit:
    """The plan of a fit: sizes and the memory that steps share. Steps on one plan take turns.

    Args:
        config: of the model.
        layout: a key of GROUPS.
        height, width: of the picture in luma samples, 1..32768.
        chroma_weight: factor of the squared errors of planes after the first in the loss.
        importance: (S,) likewise of each sample, above 0, all planes one after the other; None: 1 of all.
    """

    def __init__(
        self,
        config: PyramidConfig,
        layout: str,
        height: int,
        width: int,
        chroma_weight: float = 1.0,
        importance: Floats | None = None,
    ) -> None:
        config.check()
        groups = GROUPS[layout]
        self.config, self.layout, self.height, self.width = config, layout, height, width
        self._plan = native.extension().PyramidFitPlan(
            height,
            width,
            config.num_grids,
            list(TAPS[: config.num_taps]),
            config.num_previous,
            list(config.entropy_layers),
            config.synthesis_width,
            config.refine_width,
            config.filter_reach,
            config.patch_size,
            config.num_hyper,
            [(g.num_planes, *g.exponents, g.num_given, g.first_grid) for g in groups],
        )
        self.num_latents: int = self._plan.num_latents
        self.num_weights: int = self._plan.num_weights
        self.num_samples: int = self._plan.num_samples
        self.num_planes = sum(group.num_planes for group in groups)
        self.num_pixels = height * width
        self.chroma_weight, self.importance = chroma_weight, importance
        self.plane_weights = np.array([1.0] + [chroma_weight] * (self.num_planes - 1))
        assert self.num_latents == sum(h * w for h, w in latent_shapes(config, height, width))
        assert self.num_weights == sum(math.prod(shape) for shape in weight_shapes(config, layout).values())

    def step(
        self,
        latents: Floats,
        weights: Floats,
        targets: Floats | None,
        rd_weight: float | None,
        *,
        share: float = 1.0,
        wants_latents: bool = True,
        wants_weights: bool = True,
        importance: Floats | None = None,
        samples: Floats | None = None,
        before: Before | None = None,
        num_threads: int = 1,
    ) -> FitStep:
        """Loss = weighted squared errors / num_samples + rd_weight * bits / num_pixels, and its gradients.

        Results are the same each time for one number of threads; between numbers they differ by float rounding.

        Args:
            latents: (L,) y_hat in steps.
            weights: (W,).
            targets: (S,) all planes one after the other, on [0, 1]; None leaves the distortion out.
            rd_weight: weight of bits a pixel; None leaves the rate out.
            share: factor of the squared errors in the loss.
            wants_latents, wants_weights: which gradients to find.
            importance: (S,) in place of the plan's own.
            samples: (S,) if given, the planes are written there, clipped to [0, 1]; needs targets.
            before: of a latent frame after the first.
            num_threads: threads to use.

        Raises:
            ValueError: sizes that do not fit the plan, or arrays that overlap.
        """
        levels = self.config.levels
        bits, squared_errors = np.zeros(len(levels)), np.zeros(self.num_planes)
        factors = share * self.plane_weights
        grad_latents = np.empty(self.num_latents, dtype=np.float32) if wants_latents else None
        previous = before.latents if before else None
        wants_previous = wants_latents and previous is not None and rd_weight is not None
        grad_previous = np.empty(self.num_latents, dtype=np.float32) if wants_previous else None
        grad_weights = np.empty(self.num_weights) if wants_weights else None
        native.extension().pyramid_fit_step(
            self._plan,
            latents,
            before is not None,
            previous,
            [before.windows[level] if before else (0, 0) for level in levels],
            weights,
            np.empty(0, dtype=np.float32) if targets is None else targets,
            None if rd_weight is None else rd_weight / self.num_pixels,
            None if targets is None else factors / self.num_samples,
            self.importance if importance is None else importance,
            bits,
            squared_errors,
            samples,
            grad_latents,
            grad_previous,
            grad_weights,
            num_threads,
            native.isa(),
        )
        rate = 0.0 if rd_weight is None else rd_weight * float(bits.sum()) / self.num_pixels
        return FitStep(
            bits,
            squared_errors,
            float(factors @ squared_errors) / self.num_samples + rate,
            grad_latents,
            None if grad_weights is None else grad_weights.astype(np.float32),
            grad_previous,
        )

    def choose(
        self,
        latents: Floats,
        weights: Floats,
        targets: Floats,
        rd_weight: float,
        *,
        num_grids: int,
        longest: int = LONGEST_CHOICE,
        num_threads: int = 1,
    ) -> tuple[int, float]:
        """Choose integers of latents, alone and by rectangles, in place, where the loss of `step` falls.

        They take the value of a neighbour, or a single one moves by one.

        Args:
            latents: (L,) whole numbers.
            weights, targets, rd_weight: as of `step`.
            num_grids: of the finest grids whose latents are gone through, once each.
            longest: side of a rectangle in the finest grid, 1..LONGEST_CHOICE; a quarter of that in each coarser one.
            num_threads: threads to use; the choice is the same on any number, but for the slopes' rounding.

        Returns:
            Latents that changed, and by how much the loss fell.

        Raises:
            ValueError: sizes that do not fit the plan, or arrays that overlap.
        """
        slopes = self.step(latents, weights, targets, None, wants_weights=False, num_threads=num_threads).grad_latents
        assert slopes is not None
        changes, gain = native.extension().pyramid_choose(
            self._plan,
            latents,
            weights,
            targets,
            slopes,
            rd_weight / self.num_pixels,
            self.plane_weights / self.num_samples,
            self.importance,
            num_grids,
            longest,
            num_threads,
            native.isa(),
        )
        return int(changes), float(gain)


def add_noise(
    latents: Floats,
    temperature: float,
    *,
    gaussian: float | None = None,
    noise: Floats | None = None,
    seed: int = 0,
    num_threads: int = 1,
) -> tuple[Floats, Floats]:
    """Stage 1: soft rounding, noise, and the mean of a latent given its noisy value, as `add_noise` of C3's fit.

    Just one of `gaussian` and `noise` says which noise.

    Args:
        latents: (L,).
        temperature: of the soft rounding, above 0.
        gaussian: standard deviation of Gaussian noise.
        noise: (L,) to add.
        seed: 0 .. 2^64 - 1; seed and position determine a latent's noise, on any number of threads.
        num_threads: threads to use.

    Returns:
        (L,) noisy values and (L,) their slopes by the latents.

    Source: C3 section 3.1; Agustsson and Theis, Universally Quantized Neural Compression, arXiv 2006.09952.
    """
    if (gaussian is None) == (noise is None):
        raise ValueError("one of gaussian and noise")
    steps, slopes = np.empty_like(latents), np.empty_like(latents)
    native.extension().pyramid_add_noise(
        latents, temperature, gaussian or 0.0, seed, noise, steps, slopes, num_threads, native.isa()
    )
    return steps, slopes


class Adam:
    """Adam (Kingma and Ba, 2015) on one flat array, in place.

    Args:
        parameter: (L,) float32, changed by `step`.
        beta1, beta2, epsilon: as in torch.optim.Adam.
        longest: times the learning rate, what a step moves a parameter by at most. Adam's own steps are longer where
            gradients grow faster than the mean of their squares, by up to 1 / sqrt(1 - beta2).
    """

    def __init__(
        self,
        parameter: Floats,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        longest: float = math.inf,
    ) -> None:
        self.parameter, self.beta1, self.beta2, self.epsilon = parameter, beta1, beta2, epsilon
        self.longest = longest
        self.mean, self.square = np.zeros_like(parameter), np.zeros_like(parameter)
        self.num_steps = 0

    def step(
        self,
        grad: Floats,
        rate: float,
        *,
        slopes: Floats | None = None,
        num_threads: int = 1,
    ) -> None:
        """One step with learning rate `rate` along grad (L,) times slopes (L,)."""
        self.num_steps += 1
        native.extension().pyramid_adam(
            self.parameter,
            grad,
            slopes,
            self.mean,
            self.square,
            rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.longest,
            self.num_steps,
            num_threads,
            native.isa(),
        )
