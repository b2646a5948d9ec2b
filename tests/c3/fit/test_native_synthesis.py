# SPDX-License-Identifier: MIT
"""The native synthesis of a fit against torch in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from c3video.c3.fit.native_synthesis import clipped_mse, pointwise, residuals, upsample, upsample_grids
from c3video.c3.fit.network import _convolve, _pointwise
from c3video.c3.latents import interpolation_matrix
from c3video.coding.fit.activation import activate

native = pytest.importorskip("c3video.native._native")


@pytest.fixture(params=[1, 3])
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator) * scale


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest value: single elements may be small differences of large ones."""
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    found, wanted = found.detach(), wanted.detach()
    assert float((found.double() - wanted).abs().max()) <= tolerance * float(wanted.abs().max()) + 1e-12


def compare(native_fn: Callable[..., Tensor], torch_fn: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Values and gradients of native_fn(*inputs) in float32 against torch_fn in float64."""
    single = [x.clone().requires_grad_() for x in inputs]
    double = [x.double().requires_grad_() for x in inputs]
    found, wanted = native_fn(*single), torch_fn(*double)
    assert_close(found, wanted)
    grad = normal(*wanted.shape, seed=99)
    for a, b in zip(
        torch.autograd.grad(found, single, grad), torch.autograd.grad(wanted, double, grad.double()), strict=True
    ):
        assert_close(a, b)


def layers(widths: Sequence[int]) -> list[Tensor]:
    tensors = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        tensors += [normal(outputs, inputs, seed=i, scale=1.5 / inputs**0.5), normal(outputs, seed=i)]
    return tensors


@pytest.mark.parametrize(
    ("widths", "num_columns"),
    [
        ((10, 32, 32, 6), 9000),
        ((6, 32, 32, 3), 576),
        ((1, 1), 1),
        ((16, 4, 5), 15),
        ((3, 64, 7, 9, 63, 1), 771),
        ((13, 18, 33, 4), 17),
    ],
)
def test_pointwise_equals_torch(widths: tuple[int, ...], num_columns: int, num_threads: int) -> None:
    compare(lambda x, *w: pointwise(x, w), _pointwise, [normal(widths[0], num_columns), *layers(widths)])


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("time_size", [1, 3])
@pytest.mark.parametrize(
    "shape",
    [(6, 3, 20, 40), (3, 4, 30, 33), (1, 1, 1, 1), (2, 2, 1, 17), (4, 1, 5, 1), (5, 2, 2, 2), (6, 1, 131, 700)],
)
def test_residuals_equal_torch(shape: tuple[int, ...], time_size: int, num_layers: int, num_threads: int) -> None:
    channels = shape[0]

    def wanted(samples: Tensor, *weights: Tensor) -> Tensor:
        for index in range(num_layers):
            samples = activate(samples) if index else samples
            samples = samples + _convolve(samples, weights[2 * index], weights[2 * index + 1])
        return samples

    weights = []
    for index in range(num_layers):
        weights += [normal(channels, channels, time_size, 3, 3, scale=0.2, seed=index), normal(channels, seed=index)]
    compare(lambda x, *w: residuals(x, w), wanted, [normal(*shape), *weights])


def interpolated(latents: Tensor, exponents: Sequence[tuple[int, int]], shape: tuple[int, int, int]) -> Tensor:
    planes, start = [], 0
    for time_exponent, space_exponent in exponents:
        axes = (time_exponent, space_exponent, space_exponent)
        sizes = [-(-size // (1 << e)) for size, e in zip(shape, axes, strict=True)]
        grid = latents[start : start + int(np.prod(sizes))].view(sizes)
        start += grid.numel()
        matrices = [
            torch.from_numpy(interpolation_matrix(i, o, e)) / 2.0 ** (e + 1)
            for i, o, e in zip(sizes, shape, axes, strict=True)
        ]
        planes.append(torch.einsum("ta,hb,wc,abc->thw", *matrices, grid))
    return torch.stack(planes)


@pytest.mark.parametrize("shape", [(16, 18, 40), (5, 33, 70), (1, 1, 1), (3, 2, 9), (40, 5, 3)])
def test_upsample_equals_the_interpolation_matrices(shape: tuple[int, int, int], num_threads: int) -> None:
    exponents = [(5, 0), (3, 0), (0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (0, 3), (5, 5), (7, 7)]
    count = sum(
        int(np.prod([-(-size // (1 << e)) for size, e in zip(shape, (a, b, b), strict=True)])) for a, b in exponents
    )
    compare(
        lambda x: upsample_grids(x, exponents, shape, 0.3),
        lambda x: interpolated(x * 0.3, exponents, shape),
        [normal(count)],
    )


def test_upsample_of_one_grid() -> None:
    shape = (3, 9, 10)
    compare(
        lambda x: upsample(x, (1, 2), shape),
        lambda x: interpolated(x.flatten(), [(1, 2)], shape)[0],
        [normal(2, 3, 3)],
    )


@pytest.mark.parametrize("count", [1, 15, 5000, 20_001])
def test_clipped_mse_equals_torch(count: int, num_threads: int) -> None:
    target = torch.rand(count, generator=torch.Generator().manual_seed(1))
    samples = normal(count, scale=0.7) + 0.5
    samples[0] = 0.0  # the bounds themselves have a slope
    compare(
        lambda x: clipped_mse(x, target), lambda x: (x.clamp(0.0, 1.0) - target.double()).square().mean(), [samples]
    )


def test_what_is_not_a_number_stays_visible() -> None:
    samples = torch.full((2, 1, 3, 3), torch.nan)
    assert clipped_mse(samples, torch.zeros_like(samples)).isnan()
    assert residuals(samples, [torch.zeros(2, 2, 1, 3, 3), torch.zeros(2)]).isnan().all()
    assert pointwise(torch.full((2, 3), torch.nan), layers((2, 4, 1))).isnan().all()


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_instruction_sets_agree(isa: str) -> None:
    if isa not in native.instruction_sets():
        pytest.skip(f"no {isa} here")
    inputs, grad, weights = normal(9, 500), normal(5, 500), layers((9, 33, 18, 5))
    outputs, grad_inputs, grads = torch.empty(5, 500), torch.empty(9, 500), [torch.empty_like(w) for w in weights]
    native.fit_pointwise(inputs, weights, outputs, 2, isa)
    native.fit_pointwise_backward(inputs, weights, grad, grad_inputs, grads, 2, isa)
    double = [x.double().requires_grad_() for x in (inputs, *weights)]
    wanted = _pointwise(*double)
    assert_close(outputs, wanted)
    for a, b in zip((grad_inputs, *grads), torch.autograd.grad(wanted, double, grad.double()), strict=True):
        assert_close(a, b)

    samples, grad = normal(5, 2, 12, 37), normal(5, 2, 12, 37, seed=1)
    weight, bias = normal(5, 5, 3, 3, 3, scale=0.2), normal(5)
    results = [torch.empty_like(x) for x in (samples, samples, weight, bias)]
    native.fit_residual(samples, weight, bias, True, results[0], 2, isa)
    native.fit_residual_backward(samples, weight, bias, True, grad, *results[1:], 2, isa)
    double = [x.double().requires_grad_() for x in (samples, weight, bias)]
    wanted = activate(double[0]) + _convolve(activate(double[0]), *double[1:])
    for a, b in zip(results, (wanted, *torch.autograd.grad(wanted, double, grad.double())), strict=True):
        assert_close(a, b)

    latents, planes, grad_latents = normal(2 * 5 * 9), torch.empty(1, 3, 9, 18), torch.empty(2 * 5 * 9)
    native.fit_upsample(latents, planes, [[1, 1]], 2.0, 2, isa)
    assert_close(planes, interpolated(latents.double() * 2.0, [(1, 1)], (3, 9, 18)))
    native.fit_upsample_backward(planes, grad_latents, [[1, 1]], 2.0, 2, isa)
    leaf = latents.double().requires_grad_()
    (wanted,) = torch.autograd.grad(interpolated(leaf * 2.0, [(1, 1)], (3, 9, 18)), leaf, planes.double())
    assert_close(grad_latents, wanted)

    slope = torch.empty(1001)
    x, y = normal(1001), normal(1001, seed=1)
    assert native.fit_clipped_mse(x, y, slope, 2, isa) == pytest.approx(float((x.clamp(0, 1) - y).square().mean()))
    assert_close(slope, 2.0 / 1001 * (x - y).double() * ((x >= 0) & (x <= 1)))


def test_a_thread_count_repeats_bit_for_bit(num_threads: int) -> None:
    x, weights = normal(6, 10_000), layers((6, 32, 32, 3))

    def gradients() -> list[Tensor]:
        leaves = [t.clone().requires_grad_() for t in (x, *weights)]
        samples = pointwise(leaves[0], leaves[1:]).view(3, 4, 50, 50)
        samples = residuals(samples, [normal(3, 3, 3, 3, 3, scale=0.1), torch.zeros(3)])
        return [*torch.autograd.grad(clipped_mse(samples, torch.zeros_like(samples)), leaves)]

    for a, b in zip(gradients(), gradients(), strict=True):
        assert torch.equal(a, b)


BAD_CALLS: dict[str, Callable[[], object]] = {
    "dtype": lambda: pointwise(torch.zeros(2, 5, dtype=torch.float64), layers((2, 3))),
    "widths": lambda: pointwise(torch.zeros(2, 5), layers((3, 3))),
    "bias": lambda: pointwise(torch.zeros(2, 5), [torch.zeros(3, 2), torch.zeros(4)]),
    "no bias": lambda: pointwise(torch.zeros(2, 5), [torch.zeros(3, 2)]),
    "no layers": lambda: pointwise(torch.zeros(2, 5), []),
    "too wide": lambda: pointwise(torch.zeros(2, 5), layers((2, 65, 1))),
    "dimensions": lambda: pointwise(torch.zeros(10), layers((2, 3))),
    "channels": lambda: residuals(torch.zeros(7, 1, 2, 2), [torch.zeros(7, 7, 1, 3, 3), torch.zeros(7)]),
    "kernel": lambda: residuals(torch.zeros(2, 1, 2, 2), [torch.zeros(2, 2, 2, 3, 3), torch.zeros(2)]),
    "residual bias": lambda: residuals(torch.zeros(2, 1, 2, 2), [torch.zeros(2, 2, 1, 3, 3), torch.zeros(3)]),
    "empty": lambda: residuals(torch.zeros(2, 1, 0, 2), [torch.zeros(2, 2, 1, 3, 3), torch.zeros(2)]),
    "latents": lambda: upsample_grids(torch.zeros(5), [(0, 0)], (1, 2, 3)),
    "exponents": lambda: upsample_grids(torch.zeros(6), [(0, -1)], (1, 2, 3)),
    "no grids": lambda: upsample_grids(torch.zeros(0), [], (1, 2, 3)),
    "target": lambda: clipped_mse(torch.zeros(2, 3), torch.zeros(3, 2)),
    "strides": lambda: native.fit_clipped_mse(torch.zeros(8)[::2], torch.zeros(4), None, 1, ""),
    "threads": lambda: native.fit_clipped_mse(torch.zeros(4), torch.zeros(4), None, 0, ""),
    "overlap": lambda: native.fit_pointwise((x := torch.zeros(2, 5)), layers((2, 2)), x, 1, ""),
    "isa": lambda: native.fit_clipped_mse(torch.zeros(4), torch.zeros(4), None, 1, "z80"),
    "gradient": lambda: native.fit_pointwise_backward(
        torch.zeros(2, 5), layers((2, 3)), torch.zeros(3, 5), None, [torch.zeros(3, 2), torch.zeros(2)], 1, ""
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_what_does_not_fit_raises(name: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        BAD_CALLS[name]()
