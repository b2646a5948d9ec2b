# SPDX-License-Identifier: MIT
"""The native rate, noise and rounding against torch in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from c3video.c3.config import C3Config, LatentGrid
from c3video.c3.context import previous_offsets
from c3video.c3.fit import quantize
from c3video.c3.fit.native_rate import add_noise, grid_bits, patch_bits, straight_through
from c3video.c3.fit.network import PatchNetwork
from c3video.config import c3_config

native = pytest.importorskip("c3video.native._native")


@pytest.fixture(params=[1, 3])
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def uniform_of(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)).clamp(1e-6, 1 - 1e-6)


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the largest value."""
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    error = (found.detach().double() - wanted.detach()).abs()
    assert float(error.max()) <= tolerance * float(wanted.detach().abs().max()) + 1e-12


class Case:
    """A network in float64 with wild weights, and the arguments of `patch_bits` that say the same."""

    def __init__(self, config: C3Config, shape: tuple[int, int, int], windows: Sequence, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        windows = [w if grid.previous_window else None for w, grid in zip(windows, config.grids, strict=True)]
        self.network = PatchNetwork(config, 3, shape, torch.full((3,), 0.5), windows, generator)
        self.windows = windows
        with torch.no_grad():
            for weight in self.network.weights:
                weight += 0.2 * torch.randn(weight.shape, generator=generator)
        self.steps = 1.5 * torch.randn(sum(self.network.grid_sizes), generator=generator)
        specs = self.network.specs
        self.weights = [w.detach() for i, w in enumerate(self.network.weights) if specs[i // 2].network == "entropy"]
        corners = [None if window is None else previous_offsets(config, window)[0] for window in windows]
        q_step = config.q_step_256 / 256.0
        self.arguments = (self.network.grid_shapes, corners, config.context_size, config.previous_size, q_step)
        self.network.double()

    def wanted(self, factors: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        leaves = [t.double().requires_grad_() for t in (self.steps, *self.weights)]
        grids, per_grid = self.network.split_grids(leaves[0]), len(self.weights) // len(self.windows)
        layers = [leaves[i : i + per_grid] for i in range(1, len(leaves), per_grid)]
        bits = torch.stack([self.network._grid_bits(*a) for a in zip(grids, self.windows, layers, strict=True)])
        weighted = bits if factors is None else bits * factors.double()
        return bits.detach(), list(torch.autograd.grad(weighted.sum(), leaves))

    def found(self, factors: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        leaves = [t.clone().requires_grad_() for t in (self.steps, *self.weights)]
        bits = patch_bits(leaves[0], *self.arguments, leaves[1:])
        weighted = bits if factors is None else bits * factors
        return bits.detach(), list(torch.autograd.grad(weighted.sum(), leaves))

    def check(self, factors: Tensor | None = None) -> None:
        (found, found_grads), (wanted, wanted_grads) = self.found(factors), self.wanted(factors)
        assert_close(found, wanted)
        for a, b in zip(found_grads, wanted_grads, strict=True):
            assert_close(a, b, 1e-4)


CENTRE = (31, 31)
SMALL = C3Config(grids=(LatentGrid(0, 0, True), LatentGrid(5, 0), LatentGrid(1, 1, True), LatentGrid(2, 2)))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (5, 13, 21), (3, 40, 67), (2, 2, 500)])
def test_bits_and_gradients_are_those_of_torch(num_threads: int, shape: tuple[int, int, int]) -> None:
    Case(SMALL, shape, [CENTRE] * 4).check()


@pytest.mark.parametrize("window", [(0, 0), (61, 61), (61, 0), (32, 25), (40, 61)])
def test_windows_may_lie_anywhere_even_outside_the_grid(window: tuple[int, int]) -> None:
    Case(SMALL, (4, 12, 20), [window] * 4).check()


@pytest.mark.parametrize("context_size", [3, 5, 9])
@pytest.mark.parametrize("previous_size", [1, 3, 8, 9])
@pytest.mark.parametrize("hidden", [(4,), (2, 2), (8, 5, 17), (64, 64)])
def test_all_sizes_of_the_family(context_size: int, previous_size: int, hidden: tuple[int, ...]) -> None:
    sizes = {"context_size": context_size, "previous_size": previous_size, "entropy_layers": hidden}
    config = replace(SMALL, q_step_256=51, **sizes)
    Case(config, (3, 9, 14), [(28, 33)] * 4).check()


def test_the_profile_of_the_codec(num_threads: int) -> None:
    config = c3_config("paper")
    Case(config, (4, 33, 50), [CENTRE] * len(config.grids)).check()


def test_each_grid_has_its_own_upstream_gradient() -> None:
    Case(SMALL, (4, 12, 20), [CENTRE] * 4).check(torch.tensor([0.5, -2.0, 0.0, 3.0]))


def test_one_grid_alone(num_threads: int) -> None:
    case = Case(replace(SMALL, grids=(LatentGrid(0, 0, True),)), (3, 7, 9), [(30, 32)])
    grid = case.steps.view(3, 7, 9).clone().requires_grad_()
    bits = grid_bits(grid, (-2, 0), 4, 7, case.arguments[4], case.weights)
    assert bits.shape == ()
    wanted, (grad, *_) = case.wanted()
    assert_close(bits, wanted[0])
    assert_close(torch.autograd.grad(bits, grid)[0].flatten(), grad, 2e-5)


def test_latents_at_their_limit_of_bits_pull_nothing() -> None:
    config = replace(SMALL, grids=(LatentGrid(0, 0),))
    case = Case(config, (2, 6, 7), [None])
    case.steps = torch.full_like(case.steps, 0.0)
    case.steps[17] = 4000.0
    case.weights[:] = [torch.zeros_like(w) for w in case.weights]
    found, grads = case.found()
    wanted, _ = case.wanted()
    assert_close(found, wanted)
    assert grads[0][17] == 0.0


def test_log_scale_beyond_its_range_pulls_nothing() -> None:
    for bias in (-100.0, 100.0):
        case = Case(replace(SMALL, grids=(LatentGrid(0, 0),)), (2, 6, 7), [None])
        case.weights[-1][1] = bias
        case.check()
        assert case.found()[1][-1][1] == 0.0


def test_without_gradients_the_bits_are_the_same() -> None:
    case = Case(SMALL, (4, 12, 20), [CENTRE] * 4)
    assert torch.equal(patch_bits(case.steps, *case.arguments, case.weights), case.found()[0])


def test_a_second_backward_pass_raises() -> None:
    case = Case(SMALL, (1, 3, 4), [CENTRE] * 4)
    bits = patch_bits(case.steps.requires_grad_(), *case.arguments, case.weights).sum()
    bits.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second"):
        bits.backward()
    noisy = add_noise(torch.zeros(5, requires_grad=True), 0.2, 1.4, 1).sum()
    noisy.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        noisy.backward()


def test_results_repeat_bit_for_bit(num_threads: int) -> None:
    case = Case(SMALL, (4, 33, 50), [CENTRE] * 4)
    first, second = case.found(), case.found()
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_nan_stays_visible() -> None:
    case = Case(SMALL, (4, 12, 20), [CENTRE] * 4)
    case.steps[3] = torch.nan
    bits, grads = case.found()
    assert bits[0].isnan()
    assert not bits[1:].isnan().any()
    assert grads[0].isnan().any()
    assert grads[1].isnan().any()


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_instruction_sets_agree(isa: str) -> None:
    if isa not in native.instruction_sets():
        pytest.skip(f"no {isa} here")
    case = Case(SMALL, (4, 33, 50), [CENTRE] * 4)
    shapes, corners, *sizes = case.arguments
    plan = native.RatePlan([list(s) for s in shapes], corners, *sizes, [8, 8])
    flat = torch.cat([w.flatten() for w in case.weights])
    results = []
    for name in (isa, ""):
        bits = torch.empty(len(shapes), dtype=torch.float64)
        grads = (torch.empty_like(case.steps), torch.empty_like(flat))
        native.fit_grid_bits(plan, case.steps, flat, bits, *grads, 2, name)
        steps, slopes = torch.empty_like(case.steps), torch.empty_like(case.steps)
        native.fit_add_noise(case.steps, [len(steps)], [1.0], 0.2, 1.5, 7, None, steps, slopes, 2, name)
        results.append((bits.float(), *grads, steps, slopes))
    for a, b in zip(*results, strict=True):
        assert_close(a, b.double(), 2e-5)


def test_wrong_input_raises() -> None:
    case = Case(SMALL, (4, 12, 20), [CENTRE] * 4)
    shapes, corners, *sizes = case.arguments
    with pytest.raises(ValueError, match="weights of shapes"):
        patch_bits(case.steps, *case.arguments, [*case.weights[:-1], torch.zeros(3)])
    with pytest.raises(ValueError, match="latents"):
        patch_bits(case.steps[:-1], *case.arguments, case.weights)
    with pytest.raises(TypeError):
        patch_bits(case.steps.double(), *case.arguments, case.weights)
    with pytest.raises(ValueError, match="corner"):
        patch_bits(case.steps, shapes, [(300, 0), *corners[1:]], *sizes, case.weights)
    with pytest.raises(ValueError, match="axis"):
        native.RatePlan([[1, 0, 5]], [None], 7, 4, 0.3, [8])
    with pytest.raises(ValueError, match="2\\^28"):
        native.RatePlan([[32768, 32768, 1]], [None], 7, 4, 0.3, [8])
    plan = native.RatePlan([[1, 2, 5]], [None], 7, 4, 0.3, [8])
    x, weights, bits = torch.zeros(10), torch.zeros(218), torch.zeros(1, dtype=torch.float64)
    native.fit_grid_bits(plan, x, weights, bits, None, None, 1, "")
    for arguments in [
        (torch.zeros(20)[::2], weights, bits, None, None, 1, ""),
        (x, weights[1:], bits, None, None, 1, ""),
        (x, weights, torch.zeros(2, dtype=torch.float64), None, None, 1, ""),
        (x, weights, bits, x, torch.zeros(218), 1, ""),
        (x, weights, bits, torch.zeros(10), None, 1, ""),
        (x, weights, bits, None, None, 0, ""),
        (x, weights, bits, None, None, 1, "none"),
    ]:
        with pytest.raises((ValueError, TypeError)):
            native.fit_grid_bits(plan, *arguments)
    with pytest.raises(ValueError, match="temperature"):
        add_noise(x, 0.0, 1.5, 0)
    with pytest.raises(ValueError, match="sum"):
        add_noise(x, 0.1, 1.5, 0, [4, 5], [1.0, 1.0])


@pytest.mark.parametrize(("temperature", "a"), [(0.3, 1.75), (0.2, 1.4), (0.1, 1.0), (1.0, 1.1)])
@pytest.mark.parametrize("count", [1, 17, 5000])
def test_noise_is_that_of_torch_for_the_same_uniforms(
    num_threads: int, temperature: float, a: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    uniform, x = uniform_of(count), normal(count, seed=1, scale=0.7)
    sizes = [count // 3, count - count // 3]
    factors = torch.cat([torch.full((n,), f) for n, f in zip(sizes, (3.25, 0.5), strict=True)])
    monkeypatch.setattr(quantize.torch, "rand", lambda *_, **__: uniform.double())
    leaf, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    found = add_noise(leaf, temperature, a, 0, sizes, [3.25, 0.5], uniform)
    wanted = quantize.add_noise(wide * factors.double(), temperature, a, torch.Generator())
    # The inverse of the soft rounding is steep at the ends of a step: up to a thousand at the lowest temperature.
    tolerance = 5e-5 if temperature < 0.2 else 2e-6
    torch.testing.assert_close(found.detach().double(), wanted.detach(), rtol=1e-6, atol=tolerance)
    upstream = normal(count, seed=2)
    (grad,) = torch.autograd.grad(found, leaf, upstream)
    (wanted_grad,) = torch.autograd.grad(wanted, wide, upstream.double())
    # Near the ends of a step the slope falls steeply: a rounding of x changes it in the fourth place.
    error = (grad.double() - wanted_grad).norm() / wanted_grad.norm()
    assert float(error) < 1e-4


def test_noise_follows_from_seed_and_position_alone() -> None:
    x = normal(5000, scale=2.0)
    whole = add_noise(x, 0.2, 1.5, 2**64 - 1)
    torch.set_num_threads(2)
    try:
        assert torch.equal(whole, add_noise(x, 0.2, 1.5, 2**64 - 1))
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(whole[:100], add_noise(x[:100], 0.2, 1.5, 2**64 - 1), rtol=0, atol=0)
    assert (whole - add_noise(x, 0.2, 1.5, 1)).abs().mean() > 0.05


def test_noise_of_the_seed_is_uniform_and_uncorrelated() -> None:
    """With a = 1 and x half way between two steps, noise is read off a high temperature."""
    count = 400_000
    for seed in (0, 1, 12345):
        noise = add_noise(torch.zeros(count), 50.0, 1.0, seed).double()
        assert noise.abs().max() <= 0.5
        assert abs(noise.mean()) < 5 * (1 / 12 / count) ** 0.5
        assert noise.var() == pytest.approx(1 / 12, rel=0.01)
        counts = torch.histc(noise, bins=64, min=-0.5, max=0.5)
        chi_squared = ((counts - count / 64) ** 2 / (count / 64)).sum()
        assert chi_squared < 63 + 5 * (2 * 63) ** 0.5
        for lag in (1, 2, 3, 160):
            assert abs((noise[lag:] * noise[:-lag]).mean() * 12) < 5 / count**0.5


def test_noise_of_the_seed_has_the_distribution_of_torch() -> None:
    x = torch.full((200_000,), 0.3)
    found = add_noise(x, 0.2, 1.6, 5).sort().values
    wanted = quantize.add_noise(x, 0.2, 1.6, torch.Generator().manual_seed(5)).sort().values
    assert (found - wanted).abs().mean() < 3e-3


def test_very_low_temperatures_stay_finite() -> None:
    x = torch.linspace(-3, 3, 1001).requires_grad_()
    noisy = add_noise(x, 1e-3, 1.0, 3)
    assert noisy.isfinite().all()
    assert torch.autograd.grad(noisy.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("temperature", [1e-4, 0.1, 0.5])
def test_straight_through_is_that_of_torch(num_threads: int, temperature: float) -> None:
    x = normal(3001, scale=1.3)
    x[:5] = torch.tensor([0.5, 1.5, -0.5, 2.5, 1e5 + 0.25])
    leaf, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    found = straight_through(leaf, temperature, [1001, 2000], [1.0, 2.0])
    factors = torch.cat([torch.full((1001,), 1.0), torch.full((2000,), 2.0)]).double()
    assert torch.equal(found.detach(), torch.round(x * factors.float()))
    wanted = quantize.straight_through(wide * factors, temperature)
    (grad,), (wanted_grad,) = torch.autograd.grad(found.sum(), leaf), torch.autograd.grad(wanted.sum(), wide)
    # Half way between two steps the slope is large and steep.
    assert float((grad.double() - wanted_grad).norm() / wanted_grad.norm()) < 1e-3 if temperature < 0.01 else 1e-5


@pytest.mark.parametrize("fn", [lambda x: add_noise(x, 0.2, 1.4, 1), lambda x: straight_through(x, 0.2)])
def test_nan_latents_stay_nan(fn: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([0.3, torch.nan, -1.2])
    assert fn(x).isnan().tolist() == [False, True, False]
