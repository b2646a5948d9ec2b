# SPDX-License-Identifier: MIT
"""A step of a fit over a run of frames, made of steps over its pictures: one for the bits of each latent frame, one for
the errors of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from c3video.native.pyramid_fit import Before, Doubles, FitStep, Floats, PyramidFit
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.runs import RunShape, Windows, is_later


@dataclass(frozen=True)
class RunPlan:
    """What `PyramidFit` is to a picture, to a run: latents lie latent frame by latent frame, samples frame by frame.

    Args:
        picture: the plan of one frame.
        windows: of each grid.
        counted: frames that a step goes over, and that stand for all; frame 0 is one of them.
    """

    picture: PyramidFit
    shape: RunShape
    windows: Windows
    counted: tuple[int, ...]

    @classmethod
    def of_all(cls, picture: PyramidFit, shape: RunShape, windows: Windows) -> RunPlan:
        """One whose steps go over all frames."""
        return cls(picture, shape, windows, tuple(range(shape.num_frames)))

    def sampled(self, most: int) -> RunPlan:
        """One whose steps go over `most` frames at most, 2 or more, from the first to the last."""
        last = self.shape.num_frames - 1
        if last < most:
            return self
        return replace(self, counted=tuple(round(last * i / (most - 1)) for i in range(most)))

    @property
    def config(self) -> PyramidConfig:
        return self.picture.config

    @property
    def layout(self) -> str:
        return self.picture.layout

    @property
    def num_latents(self) -> int:
        return self.picture.num_latents * len(self.shape.latent_frames)

    @property
    def num_pixels(self) -> int:
        return self.picture.num_pixels * self.shape.num_frames

    @property
    def num_samples(self) -> int:
        return self.picture.num_samples * self.shape.num_frames

    def step(
        self,
        latents: Floats,
        weights: Floats,
        targets: Floats | None,
        rd_weight: float | None,
        *,
        wants_latents: bool = True,
        wants_weights: bool = True,
        num_threads: int = 1,
    ) -> FitStep:
        """Loss = squared errors / num_samples + rd_weight * bits / num_pixels, and its gradients.

        Bits and errors of the frames that are counted are scaled up to all. None for `targets` leaves distortion out,
        for `rd_weight` rate.
        """
        num_frames, plan = self.shape.num_frames, self.picture
        rows = latents.reshape(len(self.shape.latent_frames), plan.num_latents)
        grads = np.zeros_like(rows) if wants_latents else None
        grad_weights: Doubles | None = np.zeros(plan.num_weights) if wants_weights else None
        bits, squared_errors, loss = np.zeros(len(self.config.levels)), np.zeros(plan.num_planes), 0.0

        def take(found: FitStep, scale: float, numbers: Sequence[int], before: int | None = None) -> None:
            nonlocal bits, squared_errors, loss, grad_weights
            loss += found.loss
            bits = bits + scale * found.bits
            squared_errors = squared_errors + scale * found.squared_errors
            if grad_weights is not None and found.grad_weights is not None:
                grad_weights += found.grad_weights
            if grads is not None and found.grad_latents is not None:
                for number in numbers:
                    grads[number] += found.grad_latents
                if before is not None and found.grad_previous is not None:
                    grads[before] += found.grad_previous

        scales = self._layer_scales()
        for number, frame in enumerate(self.shape.latent_frames):
            if rd_weight is None or frame.first not in self.counted:
                continue
            before = None
            if is_later(number):
                before = Before(None if frame.before is None else rows[frame.before], self.windows)
            found = plan.step(
                rows[number],
                weights,
                None,
                scales[frame.layer] * rd_weight / num_frames,
                before=before,
                wants_latents=wants_latents,
                wants_weights=wants_weights,
                num_threads=num_threads,
            )
            take(found, scales[frame.layer], (number,), frame.before)
        by_frame = None if targets is None else targets.reshape(num_frames, plan.num_samples)
        for frame_number in self.counted if by_frame is not None else ():
            parts = self.shape.parts[frame_number]
            found = plan.step(
                rows[parts[0]] if len(parts) == 1 else rows[list(parts)].sum(axis=0),
                weights,
                None if by_frame is None else by_frame[frame_number],
                None,
                share=1.0 / len(self.counted),
                wants_latents=wants_latents,
                wants_weights=wants_weights,
                num_threads=num_threads,
            )
            take(found, num_frames / len(self.counted), parts)
        return FitStep(
            bits,
            squared_errors,
            loss,
            None if grads is None else grads.ravel(),
            None if grad_weights is None else grad_weights.astype(np.float32),
            None,
        )

    def _layer_scales(self) -> list[float]:
        """Of each layer how many latent frames one that is counted stands for."""
        layers = range(len(self.shape.spans))
        frames = self.shape.latent_frames
        totals = [sum(frame.layer == layer for frame in frames) for layer in layers]
        counts = [sum(frame.layer == layer and frame.first in self.counted for frame in frames) for layer in layers]
        return [total / count for total, count in zip(totals, counts, strict=True)]
