# SPDX-License-Identifier: MIT
"""A step of the native fit against the torch definition in float64, by autograd."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from c3video import native
from c3video.native.pyramid_fit import Before, FitStep, PyramidFit
from c3video.pyramid.config import GROUPS, PyramidConfig, latent_shapes, weight_shapes
from c3video.pyramid.fit.network import grid_bits, reconstruct, rectify, split_latents, split_weights

pytestmark = pytest.mark.skipif(not native.available(), reason="the extension was not built")

SMALL = PyramidConfig(patch_size=128, num_hyper=4)


class Case:
    """A picture of random latents and targets, with wild weights."""

    def __init__(
        self,
        config: PyramidConfig,
        layout: str,
        height: int,
        width: int,
        seed: int = 0,
        chroma_weight: float = 1.0,
        with_importance: bool = False,
    ) -> None:
        self.config, self.layout, self.height, self.width = config, layout, height, width
        self.chroma_weight = chroma_weight
        rng = np.random.default_rng(seed)
        count = sum(h * w for h, w in latent_shapes(config, height, width))
        self.latents = (2.0 * rng.standard_normal(count) * (rng.random(count) < 0.7)).astype(np.float32)
        self.latents[:: count // 7] *= 40.0
        weights = []
        for name, shape in weight_shapes(config, layout).items():
            inputs = math.prod(shape[1:]) if len(shape) > 1 else 4
            weights.append(rng.standard_normal(math.prod(shape)) * (0.7 if name[0] != "u" else 0.3) / math.sqrt(inputs))
            if name[0] == "c":
                weights[-1] += 0.4
        self.weights = np.concatenate(weights).astype(np.float32)
        samples = sum(g.num_planes * math.prod(g.shape(height, width)) for g in GROUPS[layout])
        self.targets = rng.random(samples).astype(np.float32)
        self.importance = np.exp(rng.standard_normal(samples)).astype(np.float32) if with_importance else None
        self.rd_weight = 0.03

    def wanted(self, with_rate: bool = True, with_distortion: bool = True) -> FitStep:
        leaves = [torch.from_numpy(a).double().requires_grad_() for a in (self.latents, self.weights)]
        grids = split_latents(leaves[0], self.config, self.height, self.width)
        weights = split_weights(leaves[1], self.config, self.layout)
        bits = grid_bits(grids, weights, self.config)
        errors, start = [], 0
        importance = np.ones_like(self.targets) if self.importance is None else self.importance
        for plane in reconstruct(grids, weights, self.layout):
            target, counts = (
                torch.from_numpy(array[start : start + plane.numel()]).double().view(plane.shape)
                for array in (self.targets, importance)
            )
            errors.append((counts * (plane - target).square()).sum())
            start += plane.numel()
        squared_errors = torch.stack(errors)
        loss = torch.zeros((), dtype=torch.float64)
        if with_distortion:
            weighted = squared_errors[0] + self.chroma_weight * squared_errors[1:].sum()
            loss = loss + weighted / len(self.targets)
        if with_rate:
            loss = loss + self.rd_weight * bits.sum() / (self.height * self.width)
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        arrays = [None if grad is None else grad.numpy() for grad in grads]
        return FitStep(bits.detach().numpy(), squared_errors.detach().numpy(), float(loss.detach()), *arrays)  # type: ignore[arg-type]

    def plan(self) -> PyramidFit:
        return PyramidFit(self.config, self.layout, self.height, self.width, self.chroma_weight, self.importance)

    def found(self, num_threads: int = 1, **flags: bool) -> FitStep:
        plan = self.plan()
        for _ in range(2):  # memory that was used before must not tell
            step = plan.step(
                self.latents,
                self.weights,
                self.targets,
                self.rd_weight,
                num_threads=num_threads,
                **flags,
            )
        return step

    def check(self, found: FitStep, wanted: FitStep) -> None:
        assert_close(found.bits, wanted.bits)
        assert_close(found.squared_errors, wanted.squared_errors)
        assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
        assert_parts_close(found.grad_latents, wanted.grad_latents, self.grid_sizes())
        assert_parts_close(found.grad_weights, wanted.grad_weights, self.weight_sizes())

    def grid_sizes(self) -> list[int]:
        return [h * w for h, w in latent_shapes(self.config, self.height, self.width)]

    def weight_sizes(self) -> list[int]:
        return [math.prod(shape) for shape in weight_shapes(self.config, self.layout).values()]


def assert_close(found: np.ndarray | None, wanted: np.ndarray | None, tolerance: float = 3e-5) -> None:
    """Within `tolerance` of the largest value."""
    assert found is not None
    assert wanted is not None
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max(initial=0.0) <= tolerance * np.abs(wanted).max(initial=0.0) + 1e-12


def assert_parts_close(found: np.ndarray | None, wanted: np.ndarray | None, sizes: list[int]) -> None:
    assert found is not None
    assert wanted is not None
    assert len(found) == len(wanted) == sum(sizes)
    ends = np.cumsum(sizes)[:-1]
    for part, (a, b) in enumerate(zip(np.split(found, ends), np.split(wanted, ends), strict=True)):
        assert np.abs(a - b).max() <= 5e-5 * np.abs(b).max() + 1e-12, part


@pytest.mark.parametrize("layout", GROUPS)
@pytest.mark.parametrize(("height", "width"), [(141, 149), (64, 130), (37, 21)])
def test_step_equals_the_definition(layout: str, height: int, width: int) -> None:
    case = Case(SMALL, layout, height, width)
    case.check(case.found(), case.wanted())


@pytest.mark.parametrize(
    "changes",
    [
        {"refine_width": 0},
        {"entropy_layers": (24,)},
        {"entropy_layers": (8, 20)},
        {"entropy_layers": (20, 5), "num_taps": 16},
        {"num_taps": 4, "synthesis_width": 5, "refine_width": 3},
        {"synthesis_width": 48, "refine_width": 32, "entropy_layers": (48, 48)},
        {"filter_reach": 3},
        {"filter_reach": 1, "num_grids": 3, "num_hyper": 3},
        {"filter_reach": 2, "refine_width": 0},
        {"num_grids": 1, "num_hyper": 0},
        {"num_grids": 1, "num_hyper": 1},
        {"num_grids": 2, "num_hyper": 1},
        {"num_grids": 8},
        {"num_hyper": 0},
        {"num_hyper": 2, "num_grids": 5},
    ],
)
def test_other_configurations_equal_the_definition(changes: dict) -> None:
    case = Case(replace(SMALL, **changes), "420", 133, 67)
    case.check(case.found(), case.wanted())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (1, 40), (40, 1), (5, 2)])
@pytest.mark.parametrize("layout", ["420", "422"])
def test_tiny_pictures_equal_the_definition(layout: str, height: int, width: int) -> None:
    for config in (SMALL, replace(SMALL, filter_reach=3)):
        # Another seed with hyper grids: with that of the others the terms of one latent's gradient cancel each other.
        for num_hyper, seed in ((0, 0), (4, 1)):
            case = Case(replace(config, num_hyper=num_hyper), layout, height, width, seed)
            case.check(case.found(), case.wanted())


@pytest.mark.parametrize("layout", ["gray", "420", "422", "444"])
def test_weighted_chroma_equals_the_definition(layout: str) -> None:
    case, usual = (Case(SMALL, layout, 45, 51, chroma_weight=weight) for weight in (3.7, 1.0))
    wanted = case.wanted()
    assert (wanted.loss > 1.3 * usual.wanted().loss) == (layout != "gray")
    case.check(case.found(), wanted)


@pytest.mark.parametrize("layout", GROUPS)
@pytest.mark.parametrize("changes", [{}, {"refine_width": 0}])
@pytest.mark.parametrize(("height", "width"), [(141, 149), (1, 1), (3, 2)])
def test_samples_that_count_more_equal_the_definition(layout: str, changes: dict, height: int, width: int) -> None:
    case, usual = (
        Case(replace(SMALL, num_hyper=0, **changes), layout, height, width, chroma_weight=2.3, with_importance=given)
        for given in (True, False)
    )
    wanted = case.wanted()
    assert wanted.loss != pytest.approx(usual.wanted().loss, rel=0.01)
    case.check(case.found(), wanted)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_instruction_sets_count_samples_alike(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if isa not in native.instruction_sets():
        pytest.skip("not on this processor")
    monkeypatch.setenv("C3VIDEO_ISA", isa)
    case = Case(SMALL, "420", 70, 75, with_importance=True)
    case.check(case.found(2), case.wanted())


def test_gradients_pass_a_limit_only_where_they_lead_back() -> None:
    """Else what a unit cannot become goes on being asked of it, and long fits run away."""
    x = torch.tensor([-1.0, 0.5, 5.0, 5.0, 4.0, -1.0], dtype=torch.float64, requires_grad=True)
    found = rectify(x, 4.0)
    assert found.tolist() == [0.0, 0.5, 4.0, 4.0, 4.0, 0.0]
    found.backward(torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0, -1.0]))
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("layout", ["420", "444"])
def test_units_at_their_limits_equal_the_definition(layout: str) -> None:
    case = Case(SMALL, layout, 37, 45)
    usual = case.wanted()
    for name, array in split_weights(torch.from_numpy(case.weights), SMALL, layout).items():  # views
        if name.split(".")[0] in ("v1", "r1"):
            array *= 30.0
    wanted = case.wanted()
    assert not np.allclose(wanted.squared_errors, usual.squared_errors)
    case.check(case.found(), wanted)


def test_many_patches_equal_the_definition() -> None:
    case = Case(SMALL, "rgb", 261, 270)
    case.check(case.found(), case.wanted())


@pytest.mark.parametrize("num_threads", [2, 3, 7])
def test_threads_change_no_more_than_rounding_and_repeat(num_threads: int) -> None:
    case = Case(replace(SMALL, filter_reach=3), "420", 141, 149)
    found, again = case.found(num_threads), case.found(num_threads)
    case.check(found, case.wanted())
    for a, b in ((found.grad_latents, again.grad_latents), (found.grad_weights, again.grad_weights)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ["plain", "avx2", "avx512"])
def test_instruction_sets_equal_the_definition(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if isa not in native.instruction_sets():
        pytest.skip("not on this processor")
    monkeypatch.setenv("C3VIDEO_ISA", isa)
    case = Case(replace(SMALL, filter_reach=2), "422", 70, 75)
    case.check(case.found(), case.wanted())


def test_frozen_weights_leave_the_other_gradients() -> None:
    case = Case(SMALL, "420", 70, 75)
    found, wanted = case.found(wants_weights=False), case.wanted()
    assert found.grad_weights is None
    assert_parts_close(found.grad_latents, wanted.grad_latents, case.grid_sizes())


def test_weights_alone() -> None:
    case = Case(SMALL, "420", 70, 75)
    found, wanted = case.found(wants_latents=False), case.wanted()
    assert found.grad_latents is None
    assert_parts_close(found.grad_weights, wanted.grad_weights, case.weight_sizes())


def test_parts_of_the_loss_alone() -> None:
    case = Case(SMALL, "420", 70, 75)
    plan = PyramidFit(SMALL, "420", 70, 75)
    rate = plan.step(case.latents, case.weights, None, case.rd_weight)
    wanted = case.wanted(with_distortion=False)
    assert rate.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert not rate.squared_errors.any()
    assert_parts_close(rate.grad_latents, wanted.grad_latents, case.grid_sizes())
    distortion = plan.step(case.latents, case.weights, case.targets, None)
    wanted = case.wanted(with_rate=False)
    assert distortion.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert not distortion.bits.any()
    assert_parts_close(distortion.grad_latents, wanted.grad_latents, case.grid_sizes())
    both = plan.step(case.latents, case.weights, case.targets, case.rd_weight)
    assert both.loss == pytest.approx(rate.loss + distortion.loss)


def test_samples_are_those_of_the_definition() -> None:
    case = Case(SMALL, "420", 45, 51)
    samples = np.empty_like(case.targets)
    PyramidFit(SMALL, "420", 45, 51).step(
        case.latents, case.weights, case.targets, None, wants_latents=False, wants_weights=False, samples=samples
    )
    latents, weights = torch.from_numpy(case.latents).double(), torch.from_numpy(case.weights).double()
    grids, arrays = split_latents(latents, SMALL, 45, 51), split_weights(weights, SMALL, "420")
    planes = reconstruct(grids, arrays, "420")
    np.testing.assert_allclose(samples, torch.cat([p.flatten() for p in planes]).numpy(), atol=2e-5)


def test_a_step_after_one_of_infinities_is_as_if_it_had_not_been() -> None:
    case = Case(SMALL, "420", 45, 51)
    plan = PyramidFit(SMALL, "420", 45, 51)
    arguments = (case.weights, case.targets, case.rd_weight)
    before = plan.step(case.latents, *arguments)
    assert not math.isfinite(plan.step(np.full_like(case.latents, np.nan), *arguments).loss)
    after = plan.step(case.latents, *arguments)
    np.testing.assert_array_equal(before.grad_latents, after.grad_latents)
    np.testing.assert_array_equal(before.grad_weights, after.grad_weights)


def test_wrong_sizes_and_overlaps_raise() -> None:
    case = Case(SMALL, "gray", 20, 20)
    plan = PyramidFit(SMALL, "gray", 20, 20)
    with pytest.raises(ValueError, match="as many latents"):
        plan.step(case.latents[1:], case.weights, case.targets, 0.1)
    with pytest.raises(ValueError, match="as many weights"):
        plan.step(case.latents, case.weights[1:], case.targets, 0.1)
    with pytest.raises(ValueError, match="as many targets"):
        plan.step(case.latents, case.weights, case.targets[1:], 0.1)
    with pytest.raises(ValueError, match="an importance for each sample"):
        plan.step(case.latents, case.weights, case.targets, 0.1, importance=case.targets[1:])
    with pytest.raises(ValueError, match="overlap"):
        plan.step(case.latents, case.weights, case.targets, 0.1, samples=case.targets)
    importance = np.ones_like(case.targets)
    with pytest.raises(ValueError, match="overlap"):
        plan.step(case.latents, case.weights, case.targets, 0.1, importance=importance, samples=importance)


@pytest.mark.parametrize(
    ("changes", "windows", "has_previous"),
    [
        ({"num_previous": 9}, (0, 0), True),
        ({"num_previous": 9}, (2, -3), True),
        ({"num_previous": 1, "entropy_layers": (20,)}, (-31, 7), True),
        ({"num_previous": 5, "num_grids": 2, "num_hyper": 2, "num_taps": 16}, (1, 30), True),
        ({"num_previous": 5, "num_hyper": 0}, (1, -2), True),
        ({"num_previous": 4}, (0, 1), False),
    ],
)
@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(141, 149), (37, 21)])
def test_later_latent_frames_equal_the_definition(
    changes: dict, windows: tuple[int, int], has_previous: bool, num_threads: int, height: int, width: int
) -> None:
    case = Case(replace(SMALL, **changes), "420", height, width)
    config = case.config
    of_grids = [(windows[0] >> k, windows[1]) for k in range(config.num_grids)]
    before = Case(config, "420", height, width, seed=1).latents
    leaves = [torch.from_numpy(a).double().requires_grad_() for a in (case.latents, case.weights, before)]
    grids, previous = (split_latents(leaf, config, height, width) for leaf in (leaves[0], leaves[2]))
    weights = split_weights(leaves[1], config, "420")
    bits = grid_bits(
        grids, weights, config, is_later=True, previous=previous if has_previous else None, windows=of_grids
    )
    loss = case.rd_weight * bits.sum() / (height * width)
    wanted = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)

    plan = PyramidFit(config, "420", height, width)
    for _ in range(2):
        found = plan.step(
            case.latents,
            case.weights,
            None,
            case.rd_weight,
            before=Before(before if has_previous else None, of_grids),
            num_threads=num_threads,
        )
    assert_close(found.bits, bits.detach().numpy())
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert_parts_close(found.grad_latents, wanted[0].numpy(), case.grid_sizes())
    assert_parts_close(found.grad_weights, wanted[1].numpy(), case.weight_sizes())
    if has_previous:
        assert_parts_close(found.grad_previous, wanted[2].numpy(), case.grid_sizes())
    else:
        assert found.grad_previous is None
