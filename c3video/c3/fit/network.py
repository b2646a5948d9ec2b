# SPDX-License-Identifier: MIT
"""PatchNetwork: the differentiable twin of model/, in float32 torch.

    parameters --quantise--> latents --+--> entropy networks --> bits
                                       +--> upsampling --> synthesis --> samples

It computes what the exact decoder computes, up to the decoder's rounding; tests hold the two together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from c3video import native
from c3video.c3.config import C3Config
from c3video.c3.context import previous_offsets
from c3video.c3.fit import native_rate, native_synthesis
from c3video.c3.fit.quantize import add_noise, straight_through
from c3video.c3.fit.rate import laplace_bits
from c3video.c3.fit.tiles import tiled_map, tiled_sum
from c3video.c3.latents import interpolation_matrix
from c3video.c3.patch_model import LayerSpec, centred_window, layer_specs
from c3video.coding.fit.activation import activate

Window = tuple[int, int] | None

_TILE_COLUMNS = 8192
"""Columns a tile: 32 channels of them are 1 MiB, a CPU's second-level cache."""


@dataclass(frozen=True)
class Output:
    """One pass: samples (C, T, H, W), not yet clipped to [0, 1], and the bits of each grid (num_grids,)."""

    samples: Tensor
    grid_bits: Tensor


class PatchNetwork(nn.Module):
    """Latents and weights of one patch.

    Args:
        config: shapes.
        num_channels: samples a cell.
        shape: (T, H, W) of the patch in cells.
        mean: (C,) mean sample of each channel, the start of the last bias (as the reference).
        windows: per grid the corner of its previous-frame window; None where it has none.
        wide: give every such grid the whole `previous_range` square instead, to learn where the window belongs.
        generator: source of the initial weights.
        engine: "native" or "torch"; None for native on a CPU where it was built. The same numbers up to float rounding.

    Attributes:
        latents: (L,) all grids, flat, in units of one latent gain; `quantised` turns them into steps.
        weights: of each layer in `layer_specs` order, weight then bias.
    """

    def __init__(
        self,
        config: C3Config,
        num_channels: int,
        shape: tuple[int, int, int],
        mean: Tensor,
        windows: Sequence[Window],
        generator: torch.Generator,
        wide: bool = False,
        engine: str | None = None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self.config, self.shape, self.windows, self.wide = config, shape, list(windows), wide
        self.specs = layer_specs(config, num_channels)
        self.grid_shapes = [grid.shape(*shape) for grid in config.grids]
        self.grid_sizes = [math.prod(grid_shape) for grid_shape in self.grid_shapes]
        # Latents are multiplied by the geometric mean of the factors by which their grid is coarser (paper: 2^k).
        gains = [2.0 ** ((grid.time_exponent + 2 * grid.space_exponent) / 3.0) for grid in config.grids]
        self._grid_factors = [gain * 256.0 / config.q_step_256 for gain in gains]
        steps = torch.cat([torch.full((n,), gain) for n, gain in zip(self.grid_sizes, gains, strict=True)])
        self._steps_per_unit = nn.Parameter(steps * (256.0 / config.q_step_256), requires_grad=False)
        self.latents = nn.Parameter(torch.zeros(sum(self.grid_sizes)))
        self.weights = nn.ParameterList()
        for index, spec in enumerate(self.specs):
            self.weights.append(nn.Parameter(self._initial_weight(spec, generator)))
            bias = torch.zeros(spec.bias_shape)
            self.weights.append(nn.Parameter(mean.clone() if index == len(self.specs) - 1 else bias))
        self._matrices = nn.ParameterList()
        for grid, grid_shape in zip(config.grids, self.grid_shapes, strict=True):
            exponents = (grid.time_exponent, grid.space_exponent, grid.space_exponent)
            for size_in, size_out, exponent in zip(grid_shape, shape, exponents, strict=True):
                matrix = torch.from_numpy(interpolation_matrix(size_in, size_out, exponent)).float()
                self._matrices.append(nn.Parameter(matrix / 2.0 ** (exponent + 1), requires_grad=False))

    def _initial_weight(self, spec: LayerSpec, generator: torch.Generator) -> Tensor:
        """Truncated normal, 1 / sqrt(inputs) wide; residual convolutions zero.

        An entropy network's first layer counts the inputs of the reference's masked 3-D convolution: it starts small.
        """
        shape = spec.weight_shape
        if len(shape) == 5:
            return torch.zeros(shape)
        fan_in = shape[1]
        if self._is_context_layer(spec):
            fan_in = 3 * self.config.previous_range**2
            if self.wide and self.config.grids[spec.grid].previous_window:
                shape = (shape[0], self.config.context_size**2 // 2 + self.config.previous_range**2)
        weight = torch.empty(shape)
        nn.init.trunc_normal_(weight, std=1.0, a=-2.0, b=2.0, generator=generator)
        return weight / math.sqrt(fan_in)

    def _is_context_layer(self, spec: LayerSpec) -> bool:
        first = next(other for other in self.specs if other.grid == spec.grid)
        return spec.network == "entropy" and spec is first

    @staticmethod
    def activate(x: Tensor) -> Tensor:
        """What lies between layers. A network with another one says so in `pointwise` and `is_native` too."""
        return activate(x)

    @staticmethod
    def pointwise(inputs: Tensor, *weights: Tensor) -> Tensor:
        """Columns (C_in, n) through the pointwise layers of the synthesis."""
        return _pointwise(inputs, *weights)

    def context_weight(self, grid: int) -> Tensor:
        """First-layer weights of a grid's entropy network: causal taps, then those of the previous frame's window."""
        network = self.config.entropy_network(grid)
        return self.weights[2 * next(index for index, spec in enumerate(self.specs) if spec.grid == network)]

    def in_steps(self) -> Tensor:
        """(L,) the latents in units of one quantisation step, not yet rounded."""
        return self.latents * self._steps_per_unit

    def split_grids(self, flat: Tensor) -> list[Tensor]:
        """(L,) -> per grid (t, h, w)."""
        parts = flat.split(self.grid_sizes)
        return [part.view(shape) for part, shape in zip(parts, self.grid_shapes, strict=True)]

    def forward(self, steps: Tensor, weights: Sequence[Tensor] | None = None) -> Output:
        """Samples and bits.

        Args:
            steps: (L,) quantised (or noisy) latents in steps.
            weights: stand-ins for the parameters, for instance on their grid.
        """
        used = list(self.weights) if weights is None else list(weights)
        return Output(self.synthesise(steps, used), self.rate(steps, used))

    @property
    def is_native(self) -> bool:
        """Whether the C++ kernels compute this network."""
        fits = self.latents.device.type == "cpu" and self.latents.dtype == torch.float32
        return self._engine != "torch" and fits and native.available()

    def quantise(self, temperature: float, a: float | None, generator: torch.Generator) -> Tensor:
        """(L,) latents in steps: noisy (stage 1) with `a`, the shape of the noise; rounded straight-through without.

        Args:
            temperature: of the soft rounding; without `a`, of its slope only.
            generator: of the noise.
        """
        if not self.is_native:
            steps = self.in_steps()
            if a is None:
                return straight_through(steps, temperature)
            return add_noise(steps, temperature, a, generator)
        if a is None:
            return native_rate.straight_through(self.latents, temperature, self.grid_sizes, self._grid_factors)
        seed = int(torch.randint(1 << 62, (), generator=generator))
        return native_rate.add_noise(self.latents, temperature, a, seed, self.grid_sizes, self._grid_factors)

    def rate(self, steps: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """(num_grids,) bits of the latents (L,) in steps."""
        config = self.config
        networks = [
            self._layer_weights(weights, [spec.grid == config.entropy_network(index) for spec in self.specs])
            for index in range(len(config.grids))
        ]
        if self.is_native and not self.wide:
            corners = [None if w is None else previous_offsets(config, w)[0] for w in self.windows]
            q_step = config.q_step_256 / 256.0
            flat = list(chain.from_iterable(networks))
            return native_rate.patch_bits(
                steps, self.grid_shapes, corners, config.context_size, config.previous_size, q_step, flat
            )
        grids = self.split_grids(steps)
        return torch.stack([self._grid_bits(*part) for part in zip(grids, self.windows, networks, strict=True)])

    def _layer_weights(self, weights: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor]:
        """Weights and biases of the layers that are wanted."""
        return [weight for index, weight in enumerate(weights) if wanted[index // 2]]

    def _grid_bits(self, grid: Tensor, window: Window, layers: list[Tensor]) -> Tensor:
        previous = torch.cat([torch.zeros_like(grid[:1]), grid[:-1]])  # (t, h, w)
        config, q_step = self.config, self.config.q_step_256 / 256.0
        num_causal = config.context_size**2 // 2
        inputs = [grid, previous]
        if window is None:
            inputs = [grid]
        elif self.wide:
            first = layers[0]
            kernels = first[:, num_causal:].reshape(-1, config.previous_range, config.previous_range)
            inputs = [grid, wide_correlation(previous * q_step, kernels)]
            layers = [first[:, :num_causal], *layers[1:]]

        def tile_bits(current: Tensor, *rest: Tensor) -> Tensor:
            weights = rest[len(inputs) - 1 :]
            taps = [causal_taps(current * q_step, config.context_size)]
            if window is not None and not self.wide:
                corner = previous_offsets(config, window)[0]
                taps.append(window_taps(rest[0] * q_step, corner, config.previous_size))
            pre = weights[0] @ torch.cat(taps, dim=1) + weights[1][:, None]  # (B, width, L)
            if self.wide and window is not None:
                pre = pre + rest[0].flatten(2)
            for weight, bias in zip(weights[2::2], weights[3::2], strict=True):
                pre = weight @ self.activate(pre) + bias[:, None]
            return laplace_bits(current.flatten(1), pre).sum()

        frames = max(1, 2 * _TILE_COLUMNS // (grid.shape[1] * grid.shape[2]))
        return tiled_sum(tile_bits, frames, inputs, layers)

    def synthesise(self, steps: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """(C, T, H, W) samples, not clipped, of the latents (L,) in steps."""
        is_residual = [len(spec.weight_shape) == 5 for spec in self.specs]
        is_pointwise = [s.network == "synthesis" and not r for s, r in zip(self.specs, is_residual, strict=True)]
        pointwise = self._layer_weights(weights, is_pointwise)
        planes = self._upsample(steps).flatten(1)  # (G, N)
        if self.is_native:
            samples = native_synthesis.pointwise(planes, pointwise)
        else:
            samples = tiled_map(self.pointwise, _TILE_COLUMNS, planes, pointwise)
        samples = samples.view(-1, *self.shape)
        residual = self._layer_weights(weights, is_residual)
        if self.is_native:
            return native_synthesis.residuals(samples, residual)
        for index in range(0, len(residual), 2):
            samples = self.activate(samples) if index else samples
            samples = samples + _convolve(samples, residual[index], residual[index + 1])
        return samples

    def distortion(self, samples: Tensor, target: Tensor) -> Tensor:
        """Mean squared error of `samples`, clipped to [0, 1], over all samples."""
        if self.is_native:
            return native_synthesis.clipped_mse(samples, target)
        return (samples.clamp(0.0, 1.0) - target).square().mean()

    def _upsample(self, steps: Tensor) -> Tensor:
        """(L,) -> (G, T, H, W) latents."""
        q_step = self.config.q_step_256 / 256.0
        if self.is_native:
            exponents = [(grid.time_exponent, grid.space_exponent) for grid in self.config.grids]
            return native_synthesis.upsample_grids(steps, exponents, self.shape, q_step)
        planes = []
        for index, (grid, spec) in enumerate(zip(self.split_grids(steps), self.config.grids, strict=True)):
            along_t, along_h, along_w = self._matrices[3 * index : 3 * index + 3]
            plane = grid * q_step
            if spec.space_exponent:
                plane = along_h @ (plane @ along_w.t())
            if spec.time_exponent:
                plane = (along_t @ plane.flatten(1)).view(self.shape)
            planes.append(plane)
        return torch.stack(planes)


def _pointwise(inputs: Tensor, *weights: Tensor) -> Tensor:
    """Columns (C_in, n) through pointwise layers; hardswish's scale is folded into the small matrices."""
    hidden, num_layers = inputs, len(weights) // 2
    for index in range(num_layers):
        weight, bias = weights[2 * index], weights[2 * index + 1]
        is_last = index == num_layers - 1
        gain = (1.0 if is_last else 1.5) * (1.0 if index == 0 else 2.0 / 3.0)
        hidden = torch.addmm((bias * (1.0 if is_last else 1.5))[:, None], weight * gain, hidden)
        if not is_last:
            hidden = F.hardswish(hidden)
    return hidden


def _convolve(samples: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3(x3) convolution with repeated edges, the taps in time as channels of a 2-D one: conv3d is slow on a CPU."""
    time_size, num_frames = weight.shape[2], samples.shape[1]
    pad = time_size // 2
    padded = F.pad(samples[None], (1, 1, 1, 1, pad, pad), mode="replicate")[0]  # (C, T + 2 pad, H + 2, W + 2)
    stacked = torch.stack([padded[:, t : t + num_frames] for t in range(time_size)], dim=1)
    frames = stacked.flatten(0, 1).transpose(0, 1)  # (T, C * kt, H + 2, W + 2)
    frames = frames.contiguous(memory_format=torch.channels_last)  # a third of the time on a CPU
    return F.conv2d(frames, weight.flatten(1, 2), bias).transpose(0, 1)


def causal_taps(frames: Tensor, size: int) -> Tensor:
    """(B, h, w) -> (B, size^2 // 2, h * w): the causal half of a square around each position, raster order."""
    half = size // 2
    padded = F.pad(frames[:, None], (half, half, half, 0))
    return F.unfold(padded, (half + 1, size))[:, : size * size // 2]


def window_taps(frames: Tensor, corner: tuple[int, int], size: int) -> Tensor:
    """(B, h, w) -> (B, size^2, h * w): a square whose top-left tap lies at offset `corner` = (dy, dx)."""
    return F.unfold(shifted(frames, corner, size)[:, None], size)


def shifted(frames: Tensor, corner: tuple[int, int], size: int) -> Tensor:
    """(B, h, w) -> (B, h + size - 1, w + size - 1) with element (y, x) taken from (y + dy, x + dx), zero outside."""
    pads, crops = [], []
    for length, offset in zip(frames.shape[1:], corner, strict=True):
        before, after = max(0, -offset), max(0, offset + size - 1)
        pads.append((before, after))
        crops.append(slice(max(0, offset), max(0, offset) + length + size - 1))
    padded = F.pad(frames, (*pads[1], *pads[0]))
    return padded[:, crops[0], crops[1]]


def wide_correlation(frames: Tensor, kernels: Tensor) -> Tensor:
    """Correlate frames with large odd kernels by FFT, zeros outside: (t, h, w), (n, k, k) -> (t, n, h, w)."""
    size = kernels.shape[-1]
    height, width = (length + size - 1 for length in frames.shape[1:])
    spectrum = torch.fft.rfft2(frames, s=(height, width))
    flipped = torch.fft.rfft2(kernels.flip(1, 2), s=(height, width))
    full = torch.fft.irfft2(spectrum[:, None] * flipped, s=(height, width))
    half = size // 2
    return full[..., half : half + frames.shape[1], half : half + frames.shape[2]]


def default_windows(config: C3Config) -> list[Window]:
    """Centred previous-frame windows for the grids that have one."""
    return [centred_window(config) if grid.previous_window else None for grid in config.grids]
