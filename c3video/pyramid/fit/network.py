# SPDX-License-Identifier: MIT
"""The pyramid model in floats: what a fit differentiates, written to be read.

    latents --> contexts --> entropy network --> bits
       |
       +--> upsampled to the planes' resolution --> synthesis of each group --> samples

The native kernel (native/pyramid_fit.py) computes the same with its gradients, many times faster; here autograd finds
them, on any device and in any precision. Integers round and saturate where this does not, but for hidden units, which
stop at the largest value that the decoder's int16 can hold, and for samples, which are clipped to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from c3video.pyramid.config import GROUPS, PREVIOUS_TAPS, TAPS, PlaneGroup, PyramidConfig, latent_shapes, weight_shapes

ENTROPY_LIMIT, SYNTHESIS_LIMIT, REFINE_LIMIT = 32767.0 / 2**8, 32767.0 / 2**10, 32767.0 / 2**13
"""Largest hidden units: int16 at their binary points."""

SCALE_OUTPUT_RANGE = (-3.0, 4.875)
"""Of the network's second output: scale indexes 0..63, eight a nat, 24 at zero."""

LEAST_PROBABILITY = 2.0**-16
"""Of a slot of a table: MIN_WIDTH of the Laplace tables."""

GIVEN_GAIN = 32.0
"""Steps of a latent that a given plane spans from 0 to 1."""


def split_latents(latents: Tensor, config: PyramidConfig, height: int, width: int) -> list[Tensor]:
    """The flat latents (L,) as grids (h, w): those of samples, finest first, then the hyper grids, finest first."""
    shapes = latent_shapes(config, height, width)
    parts = latents.split([h * w for h, w in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def split_weights(weights: Tensor, config: PyramidConfig, layout: str) -> dict[str, Tensor]:
    """The flat weights (W,) as arrays by name."""
    shapes = weight_shapes(config, layout)
    parts = weights.split([math.prod(shape) for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


class _Held(torch.autograd.Function):
    """Clamp whose gradient passes at and beyond a bound too where it leads back from there."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)  # type: ignore[attr-defined]
        ctx.bounds = low, high  # type: ignore[attr-defined]
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (x,), (low, high), grad = ctx.saved_tensors, ctx.bounds, grad_outputs[0]  # type: ignore[attr-defined]
        return torch.where((x <= low) & (grad > 0) | (x >= high) & (grad < 0), 0.0, grad), None, None


def rectify(x: Tensor, limit: float) -> Tensor:
    """max(x, 0), at most `limit`. Beyond it a unit that is too large still finds back, and one that is too small does
    not try: others would run after what it never becomes, and the fit away."""
    return cast(Tensor, _Held.apply(functional.relu(x), -math.inf, limit))


def clip(samples: Tensor) -> Tensor:
    """Samples held to [0, 1]; the gradient passes, so that one finds back to a target within."""
    return samples + (samples.clamp(0.0, 1.0) - samples).detach()


def laplace_bits(x: Tensor, location: Tensor, scale_output: Tensor) -> Tensor:
    """Bits of latents x under Laplace distributions, all of one shape.

    Every slot of the tables is wider by LEAST_PROBABILITY than the distribution says. Residuals past about
    10 scales, at least 4 steps, are escapes: another 5 bits and more. A tail that falls with the fourth power of the
    distance stands for both, and keeps a gradient for what is far off.

    Args:
        x: latents in steps, whole or noisy.
        location: of the distribution, in steps.
        scale_output: scale = 2^-5 exp(3 + scale_output), held in the tables' range.

    Source: C3 (CVPR 2024), section 2, for the distribution; the tables of the decoder for the rest.
    """
    log_scale = _Held.apply(scale_output, *SCALE_OUTPUT_RANGE) + (3.0 - 5.0 * math.log(2.0))
    scale = torch.exp(log_scale)
    distance = (x - location).abs()
    # Below half a step from the location the bin holds the peak; beyond it both bounds lie on one flank.
    upper = torch.exp(-(distance - 0.5).abs() / scale)
    lower = torch.exp(-(distance + 0.5) / scale)
    inside = torch.where(distance < 0.5, 1.0 - 0.5 * (upper + lower), 0.5 * (upper - lower))
    far = distance / (10.0 * scale + 4.0)
    return -torch.log2(inside + LEAST_PROBABILITY / (1.0 + far * far) ** 2)


def contexts(own: Tensor, parent: Tensor | None, grandparent: Tensor | None, num_taps: int) -> Tensor:
    """Inputs of the entropy network for all latents of one grid of a patch.

    Args:
        own: (h, w).
        parent: the grid above, (ceil(h / 2), ceil(w / 2)), or None.
        grandparent: the one above that, or None.
        num_taps: causal taps.

    Returns:
        (num_taps + 7, h, w).
    """
    h, w = own.shape
    around = functional.pad(own, (3, 3, 3, 0))
    inputs = [around[3 + dy : 3 + dy + h, 3 + dx : 3 + dx + w] for dy, dx in TAPS[:num_taps]]
    if parent is None:
        inputs += [torch.zeros_like(own)] * 6
    else:
        padded = functional.pad(parent, (1, 1, 1, 1))
        y, x = torch.arange(h, device=own.device), torch.arange(w, device=own.device)
        py, px = (y[:, None] >> 1) + 1, (x[None, :] >> 1) + 1
        sy, sx = 2 * (y[:, None] & 1) - 1, 2 * (x[None, :] & 1) - 1
        places = ((py, px), (py + sy, px), (py, px + sx), (py + sy, px + sx), (py - sy, px), (py, px - sx))
        inputs += [padded[place] for place in places]
    if grandparent is None:
        inputs.append(torch.zeros_like(own))
    else:
        inputs.append(grandparent.repeat_interleave(4, 0).repeat_interleave(4, 1)[:h, :w])
    return torch.stack(inputs)


def previous_contexts(
    shape: tuple[int, int], previous: Tensor | None, window: tuple[int, int], like: Tensor, num_previous: int
) -> Tensor:
    """Further inputs (num_previous, h, w) of a later latent frame, from that part (h, w) of the one before or None."""
    h, w = shape
    if previous is None:
        return like.new_zeros(num_previous, h, w)
    reach = max(map(abs, window)) + 1
    around = functional.pad(previous, (reach, reach, reach, reach))
    corners = [(reach + window[0] + dy, reach + window[1] + dx) for dy, dx in PREVIOUS_TAPS[:num_previous]]
    return torch.stack([around[top : top + h, left : left + w] for top, left in corners])


def enlarge(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Hyper grids (G, ceil(h / 2), ceil(w / 2)) of a patch at twice their resolution, (G, h, w); zeros around them."""
    around = functional.pad(planes, (1, 1, 1, 1))
    y, x = torch.arange(shape[0], device=planes.device)[:, None], torch.arange(shape[1], device=planes.device)[None, :]
    py, px, sy, sx = (y >> 1) + 1, (x >> 1) + 1, 2 * (y & 1) - 1, 2 * (x & 1) - 1
    near = 9.0 * around[:, py, px] + 3.0 * around[:, py + sy, px]
    return (near + 3.0 * around[:, py, px + sx] + around[:, py + sy, px + sx]) / 16.0


def hyper_contexts(hyper: Sequence[Tensor], levels: Sequence[int], shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Further inputs (hyper, h, w) of each grid of a patch: hyper grids enlarged to it, zeros of those that are finer.

    Args:
        hyper: the parts (h, w) of the hyper grids, finest first.
        levels: how many times their sides are half those of luma.
        shapes: (h, w) of the part of each grid.
    """
    found = []
    planes: dict[int, Tensor] = {}
    for level in range(len(shapes) - 1, -1, -1):
        planes = {own: enlarge(plane[None], shapes[level])[0] for own, plane in planes.items()}
        planes |= {own: plane for own, plane in zip(levels, hyper, strict=True) if own == level}
        found.append(torch.stack([planes.get(own, hyper[0].new_zeros(shapes[level])) for own in levels]))
    return found[::-1]


def entropy_outputs(
    inputs: Tensor, grid: int, weights: dict[str, Tensor], later: Tensor | None = None, hyper: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Location and scale output (h, w) from contexts (inputs, h, w) of a grid.

    Args:
        grid: of `PyramidConfig.levels`.
        later: further contexts (num_previous, h, w) of a latent frame after the first.
        hyper: further contexts (num_hyper, h, w), None for zeros.
    """
    flat = inputs.flatten(1)  # (inputs, L)
    num_grids = len(weights["b1"])
    level = grid if grid < num_grids else grid - len(weights["hb"])
    bias = weights["b1"][grid] if grid < num_grids else weights["hb"][grid - num_grids]
    sums = weights["w1"] @ flat + bias[:, None]
    added = weights["b3"][:, None] + weights["l"] @ flat
    if later is not None:
        sums = sums + weights["p1"] @ later.flatten(1) + weights["pb"][level][:, None]
        added = added + weights["p3"][:, None] + weights["pl"] @ later.flatten(1)
    if hyper is not None:
        sums = sums + weights["h1"] @ hyper.flatten(1)
        added = added + weights["hl"] @ hyper.flatten(1)
    hidden = rectify(sums, ENTROPY_LIMIT)
    if "w2" in weights:
        hidden = rectify(weights["w2"] @ hidden + weights["b2"][:, None], ENTROPY_LIMIT)
    outputs = weights["w3"] @ hidden + added  # (2, L)
    location, scale_output = outputs.view(2, *inputs.shape[1:])
    return location, scale_output


def grid_bits(
    grids: Sequence[Tensor],
    weights: dict[str, Tensor],
    config: PyramidConfig,
    *,
    is_later: bool = False,
    previous: Sequence[Tensor] | None = None,
    windows: Sequence[tuple[int, int]] = (),
) -> Tensor:
    """Bits (N,) of the grids, hyper grids last, each over all its patches.

    Args:
        is_later: whether it is a latent frame after the first.
        previous: grids of the one before it, None for zeros.
        windows: (y, x) of each resolution in a later one.
    """
    bits = [grids[0].new_zeros(()) for _ in grids]
    num_grids, size = config.num_grids, config.patch_size

    def part_of(grid: Tensor, level: int, corner: tuple[int, int]) -> Tensor:
        return grid[corner[0] >> level :, corner[1] >> level :][: size >> level, : size >> level]

    corners = [(y, x) for y in range(0, grids[0].shape[0], size) for x in range(0, grids[0].shape[1], size)]
    for corner in corners:
        parts = [part_of(grid, level, corner) for grid, level in zip(grids, config.levels, strict=True)]
        shapes = [(part.shape[0], part.shape[1]) for part in parts]
        hyper: list[Tensor] = []
        if config.num_hyper:
            hyper = hyper_contexts(parts[num_grids:], config.hyper_levels, shapes[:num_grids])
        for k, own in enumerate(parts):
            end = num_grids if k < num_grids else len(parts)
            parent, grandparent = (parts[k + up] if k + up < end else None for up in (1, 2))
            later = None
            if is_later:
                level = config.levels[k]
                before = None if previous is None else part_of(previous[k], level, corner)
                later = previous_contexts(shapes[k], before, windows[level], own, config.num_previous)
            location, scale_output = entropy_outputs(
                contexts(own, parent, grandparent, config.num_taps),
                k,
                weights,
                later,
                hyper[k] if k < len(hyper) else None,
            )
            bits[k] = bits[k] + laplace_bits(own, location, scale_output).sum()
    return torch.stack(bits)


def _upsample_rows(planes: Tensor, kernel: Tensor, length: int) -> Tensor:
    """Planes (G, h, w) to (G, length, w) with length = 2h or 2h - 1."""
    h = planes.shape[1]
    padded = torch.cat([planes[:, :1], planes[:, :1], planes, planes[:, -1:], planes[:, -1:]], 1)
    even = sum(kernel[i] * padded[:, i : i + h] for i in range(4))
    odd = sum(kernel[3 - i] * padded[:, i + 1 : i + 1 + h] for i in range(4))
    assert isinstance(even, Tensor)
    assert isinstance(odd, Tensor)
    return torch.stack([even, odd], 2).flatten(1, 2)[:, :length]


def upsample(planes: Tensor, kernel: Tensor, shape: tuple[int, int]) -> Tensor:
    """Planes (G, h, w) of one level to `shape` (H, W) of the one below, by a kernel of 4 taps along each axis.

    Sample 2i reads places i - 2 .. i + 1 with the kernel, sample 2i + 1 reads i - 1 .. i + 2 with its mirror image.
    Edges are repeated.
    """
    columns = _upsample_rows(planes.transpose(1, 2), kernel, shape[1]).transpose(1, 2)
    return _upsample_rows(columns, kernel, shape[0])


def filtered(grid: Tensor, taps: Tensor) -> Tensor:
    """A grid (h, w) under symmetric taps (reach + 1,), the middle first, along each axis. Edges are repeated."""
    reach = len(taps) - 1
    kernel = torch.cat([taps[1:].flip(0), taps])
    padded = functional.pad(grid[None, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[0, 0]


def upsampled_levels(grids: Sequence[Tensor], kernels: Tensor | None, filters: Tensor | None = None) -> list[Tensor]:
    """All grids j >= k at the resolution of grid k, (N - k, h_k, w_k), for each k."""
    if filters is not None:
        grids = [filtered(grid, taps) for grid, taps in zip(grids, filters, strict=True)]
    levels = [grids[-1][None]]
    for k in range(len(grids) - 2, -1, -1):
        assert kernels is not None
        shape = (grids[k].shape[0], grids[k].shape[1])
        levels.append(torch.cat([grids[k][None], upsample(levels[-1], kernels[k], shape)]))
    return levels[::-1]


def pool(planes: Tensor, exponents: tuple[int, int]) -> Tensor:
    """Means (G, ceil(h / 2^y), ceil(w / 2^x)) of planes (G, h, w), edges repeated."""
    y, x = exponents
    bottom, right = -planes.shape[1] % (1 << y), -planes.shape[2] % (1 << x)
    padded = functional.pad(planes[None], (0, right, 0, bottom), mode="replicate")
    return functional.avg_pool2d(padded, (1 << y, 1 << x))[0]


def synthesise(inputs: Tensor, weights: dict[str, Tensor], group: int) -> Tensor:
    """Samples (C, h, w) of a group before they are clipped, from its inputs (Z, h, w)."""
    arrays = {name.split(".")[0]: array for name, array in weights.items() if name.endswith(f".{group}")}
    flat = inputs.flatten(1)
    hidden = rectify(arrays["v1"] @ flat + arrays["c1"][:, None], SYNTHESIS_LIMIT)
    x = arrays["v2"] @ hidden + arrays["c2"][:, None] + arrays["m"] @ flat
    x = x.view(-1, *inputs.shape[1:])
    if "r1" not in arrays:
        return x
    padded = functional.pad(x[None] - 0.5, (1, 1, 1, 1), mode="replicate")
    refined = rectify(functional.conv2d(padded, arrays["r1"], arrays["d1"]), REFINE_LIMIT)
    return x + functional.conv2d(refined, arrays["r2"][:, :, None, None], arrays["d2"])[0]


def group_inputs(group: PlaneGroup, levels: Sequence[Tensor]) -> Tensor:
    """Upsampled latents at the resolution of a group's planes."""
    if group.exponents == (1, 1):
        if len(levels) == 1:
            return levels[0].new_zeros(0, *group.shape(levels[0].shape[1], levels[0].shape[2]))
        return levels[1]
    return pool(levels[0], group.exponents)


def reconstruct(grids: Sequence[Tensor], weights: dict[str, Tensor], layout: str) -> list[Tensor]:
    """Planes (h, w) of a picture on [0, 1].

    Args:
        grids: latents, finest first; hyper grids after them do not matter.
        weights: by name.
        layout: a key of GROUPS.
    """
    levels = upsampled_levels(grids[: len(weights["b1"])], weights.get("u"), weights.get("f"))
    planes: list[Tensor] = []
    for index, group in enumerate(GROUPS[layout]):
        inputs = group_inputs(group, levels)
        if group.num_given:
            given = GIVEN_GAIN * (pool(torch.stack(planes), group.exponents) - 0.5)
            inputs = torch.cat([inputs, given])
        planes += clip(synthesise(inputs, weights, index)).unbind(0)
    return planes
