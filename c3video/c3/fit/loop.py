# SPDX-License-Identifier: MIT
"""Overfitting one patch: window, noise stage, straight-through stage, weights on their grid.

    window     where each previous-frame window belongs             (c3/fit/windows.py)
    noise      soft rounding and noise, Adam, cosine                (paper section 3.1, stage 1)
    rounding   straight-through, decaying steps, best kept          (stage 2)
    weights    binary points of the weights, then a last rounding stage with the weights on their grid

The loss is MSE over all coded samples on [0, 1] + rd_weight * bpp, as the paper's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.network import Output, PatchNetwork, Window, default_windows
from c3video.c3.fit.precision import PrecisionSearch, on_grid, search_precisions, to_layers, weight_bits
from c3video.c3.fit.windows import correlated_window, heaviest_window
from c3video.c3.patch_model import PatchModel, Precision
from c3video.errors import FitError
from c3video.progress import Progress

_MAX_RETURNS = 10
"""So often a stage goes back to its best parameters, each time with half the step, before it gives up."""

_RUNAWAY = 3.0
"""A stage has run away when its mean loss is so many times its best."""


@dataclass(frozen=True)
class FittedPatch:
    """A patch ready to be coded.

    Args:
        model: its integers.
        symbols: per grid (t, h, w).
        estimated_bits: what the differentiable rate and the weight tables promise.
        loss: MSE + rd_weight * bpp of the float twin, weights on their grid.
        notes: what went wrong and was mended.
    """

    model: PatchModel
    symbols: tuple[NDArray[np.int64], ...]
    estimated_bits: float
    loss: float
    notes: tuple[str, ...] = ()


def fit_patch(
    samples: Tensor,
    num_pixels: int,
    model_config: C3Config,
    fit_config: C3FitConfig,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    network_type: type[PatchNetwork] = PatchNetwork,
    search: PrecisionSearch = search_precisions,
) -> FittedPatch:
    """Overfit a model to a patch.

    Args:
        samples: (C, T, H, W) float32 on [0, 1], on the device that fits.
        num_pixels: luma samples of the patch, the pixels of bpp.
        seed: of initial weights and noise; same seed and machine, same fit.
        report: called after each step.
        network_type, search: stand-ins for what is fitted and for how binary points are chosen, to ablate.

    Raises:
        FitError: the fit could not be kept finite.
    """
    fit = _PatchFit(samples, num_pixels, model_config, fit_config, seed, report, network_type, search)
    fit.find_windows()
    fit.noise_stage()
    fit.rounding_stage("rounding", fit_config.rounding_steps)
    precisions = fit.choose_precisions()
    fit.rounding_stage("weights", fit_config.weight_steps, precisions)
    return fit.finish(precisions)


@dataclass
class _Best:
    """The best parameters so far, and the moments with which the optimiser stood there."""

    loss: float
    state: dict[str, Tensor]
    moments: dict[str, Any] = field(default_factory=dict)


@dataclass
class _PatchFit:
    samples: Tensor
    num_pixels: int
    model_config: C3Config
    config: C3FitConfig
    seed: int
    report: Callable[[Progress], None]
    network_type: type[PatchNetwork]
    search: PrecisionSearch
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model_config.check()
        self.config.check()
        self.generator = torch.Generator(self.samples.device).manual_seed(self.seed)
        self.done = 0
        self.network = self._new_network(default_windows(self.model_config))

    @property
    def total_steps(self) -> int:
        config = self.config
        wide = config.window_steps if config.window_search == "wide" and self._can_place_windows else 0
        return wide + config.noise_steps + config.rounding_steps + config.weight_steps

    @property
    def _can_place_windows(self) -> bool:
        config = self.model_config
        return config.windows_move and any(g.previous_window for g in config.grids) and self.samples.shape[1] > 1

    def _new_network(self, windows: list[Window], wide: bool = False) -> PatchNetwork:
        return self.network_type(
            self.model_config,
            len(self.samples),
            (self.samples.shape[1], self.samples.shape[2], self.samples.shape[3]),
            self.samples.mean(dim=(1, 2, 3)).cpu(),
            windows,
            torch.Generator().manual_seed(self.seed),
            wide,
        ).to(self.samples.device)

    def _adam(self, rate: float) -> torch.optim.Adam:
        groups = [
            {"params": [self.network.latents], "factor": self.config.latent_rate},
            {"params": list(self.network.weights), "factor": 1.0},
        ]
        optimizer = torch.optim.Adam(groups, fused=True)
        _set_rate(optimizer, rate)
        return optimizer

    def _measure(self, output: Output, extra_bits: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, mse, bpp) of one pass."""
        mse = self.network.distortion(output.samples, self.samples)
        bpp = (output.grid_bits.sum() + extra_bits) / self.num_pixels
        return mse + self.config.rd_weight * bpp, mse, bpp

    def _step(
        self,
        stage: str,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        mse: Tensor,
        bpp: Tensor,
        counts: bool = True,
    ) -> float:
        """One descent; returns the loss before it. Non-finite gradients are not applied."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_gradient_norm)
        if torch.isfinite(norm):
            optimizer.step()
        self.done += counts
        value = float(loss.detach())
        self.report(Progress(stage, self.done, self.total_steps, value, float(mse.detach()), float(bpp.detach())))
        return value if torch.isfinite(norm) else math.nan

    def _noisy_steps(self, stage: str, num_steps: int, schedule_steps: int) -> Iterator[int]:
        """Stage 1 on the current network, `num_steps` of a schedule of `schedule_steps`; yields after each step."""
        config = self.config
        optimizer = self._adam(config.learning_rate)
        best, average, factor, num_returns = _Best(math.inf, {}), None, 1.0, 0
        for step in range(num_steps):
            done = step / max(1, schedule_steps - 1)
            cosine = 0.5 * (1.0 + math.cos(math.pi * step / schedule_steps))
            _set_rate(optimizer, config.learning_rate * factor * cosine)
            temperature = config.temperature_start + (config.temperature_end - config.temperature_start) * done
            a = config.kumaraswamy_start + (config.kumaraswamy_end - config.kumaraswamy_start) * done
            noisy = self.network.quantise(temperature, a, self.generator)
            loss = self._step(stage, optimizer, *self._measure(self.network(noisy)))
            average = loss if average is None else 0.9 * average + 0.1 * loss
            # A fit that runs away goes back to where it was good and on with half the step, for good. Its moments go
            # back too: with new ones Adam moves every parameter by the whole rate at once, and fits ran away again.
            if not math.isfinite(average) or (step > 20 and average > _RUNAWAY * best.loss):
                if not best.state:
                    raise FitError(f"fit of seed {self.seed} does not stay finite (step {step}, loss {loss:.3g})")
                self.network.load_state_dict(best.state)
                num_returns += 1
                if num_returns > _MAX_RETURNS:
                    self.notes.append(f"step {step}: gave up stage 1 at loss {best.loss:.3g}")
                    self.done += num_steps - step - 1
                    return
                optimizer.load_state_dict(copy.deepcopy(best.moments))
                factor, average = factor * 0.5, best.loss
                self.notes.append(f"step {step}: loss {loss:.3g}, went back to {best.loss:.3g} with half the step")
            elif step % 20 == 0 and average < best.loss:
                best = _Best(average, self._state(), copy.deepcopy(optimizer.state_dict()))
            yield step
        if average is not None and best.loss < average:
            self._keep_better(best.state)

    def _keep_better(self, state: dict[str, Tensor]) -> None:
        """Go back to `state` if the loss with rounded latents is lower there than here."""
        here, loss = self._state(), self._rounded_loss()
        self.network.load_state_dict(state)
        if not self._rounded_loss() < loss:
            self.network.load_state_dict(here)

    def _rounded_loss(self) -> float:
        with torch.no_grad():
            return float(self._measure(self.network(torch.round(self.network.in_steps())))[0])

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def find_windows(self) -> None:
        """Place the previous-frame windows the paper's way, with a network that is thrown away afterwards."""
        config = self.config
        if config.window_search != "wide" or not self._can_place_windows:
            return
        windows = list(self.network.windows)
        self.network = self._new_network(windows, wide=True)
        for _ in self._noisy_steps("window", config.window_steps, config.noise_steps):
            pass
        for index, window in enumerate(windows):
            if window is not None:
                windows[index] = heaviest_window(self.network.context_weight(index).detach(), self.model_config)
        self.network = self._new_network(windows)

    def noise_stage(self) -> None:
        """Stage 1. With "correlation", the windows are placed once the latents show what moves."""
        config = self.config
        for step in self._noisy_steps("noise", config.noise_steps, config.noise_steps):
            is_due = config.window_search == "correlation" and step + 1 == config.window_steps
            if is_due and self._can_place_windows:
                self._place_windows_by_correlation()

    def _place_windows_by_correlation(self) -> None:
        network = self.network
        grids = network.split_grids(network.in_steps().detach())
        for index, grid in enumerate(grids):
            if network.windows[index] is None or len(grid) < 2 or not bool(grid.any()):
                continue
            window = correlated_window(grid, self.model_config)
            if window != network.windows[index]:
                network.windows[index] = window
                with torch.no_grad():
                    network.context_weight(index)[:, self.model_config.context_size**2 // 2 :] = 0.0

    def rounding_stage(self, stage: str, num_steps: int, precisions: dict[str, Precision] | None = None) -> None:
        """Stage 2: straight-through rounding of the latents (and of the weights, with `precisions`), best kept."""
        network, config = self.network, self.config

        def measure() -> tuple[Tensor, Tensor, Tensor]:
            steps = network.quantise(config.rounding_temperature, None, self.generator)
            weights = None if precisions is None else on_grid(network.specs, list(network.weights), precisions)
            return self._measure(network(steps, weights))

        rate, stale = config.rounding_learning_rate, 0
        optimizer = self._adam(rate)
        best = _Best(math.inf, self._state())
        for _ in range(num_steps):
            before = self._state()
            loss = self._step(stage, optimizer, *measure())
            stale += 1
            if loss < best.loss:
                best, stale = _Best(loss, before), 0
            elif stale == config.rounding_patience:
                rate, stale = rate * config.rounding_decay, 0
                _set_rate(optimizer, rate)
        with torch.no_grad():
            last = float(measure()[0])
        if not last < best.loss:
            network.load_state_dict(best.state)

    def choose_precisions(self) -> dict[str, Precision]:
        """Binary points of the weights, by rate and distortion of the rounded latents."""
        network = self.network
        steps = torch.round(network.in_steps().detach())

        def loss(weights: list[Tensor], bits: float) -> float:
            return float(self._measure(network(steps, weights), bits)[0])

        return self.search(network.specs, list(network.weights), loss)

    def finish(self, precisions: dict[str, Precision]) -> FittedPatch:
        """The integers."""
        network = self.network
        layers = to_layers(network.specs, list(network.weights), precisions)
        with torch.no_grad():
            steps = torch.round(network.in_steps())
            output = network(steps, on_grid(network.specs, list(network.weights), precisions))
            bits_of_weights = sum(weight_bits(layers, name) for name in precisions)
            loss = float(self._measure(output, bits_of_weights)[0])
            estimated_bits = float(output.grid_bits.sum()) + bits_of_weights
        if not math.isfinite(loss):
            raise FitError(f"fit of seed {self.seed} ended with loss {loss}")
        symbols = tuple(grid.cpu().numpy().astype(np.int64) for grid in network.split_grids(steps))
        model = PatchModel(self.model_config, len(self.samples), layers, tuple(network.windows))
        return FittedPatch(model, symbols, estimated_bits, loss, tuple(self.notes))


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]
