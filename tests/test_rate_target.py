# SPDX-License-Identifier: MIT
"""Targets are met on clips that behave as real ones do, and by the same weights whoever does the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import c3video
from c3video import rate_trial
from c3video.c3.config import C3FitConfig
from c3video.errors import ConfigError
from c3video.rate_target import Quantity, RateModel, Target, TargetControl, achieved, log_slope, rd_weight_of_crf
from c3video.rate_trial import MOST_SAMPLES, Survey, find_rate, sampled
from c3video.segment_fit import SegmentReport
from tests.conftest import moving_clip


def report(number: int, weight: float, bits: float, mse: float = 1e-4, num_frames: int = 32) -> SegmentReport:
    return SegmentReport(number, num_frames, round(bits / 8), bits, {}, mse, weight, 1.0, ())


class Clip:
    """Segments whose bits and errors follow a power of the rd_weight, each its own, with a little noise."""

    def __init__(self, num_segments: int, seed: int, spread: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.num_segments = num_segments
        self.bits = 2e5 * np.exp(spread * rng.normal(size=num_segments))
        self.bits_slope = rng.uniform(-0.95, -0.6, num_segments)
        self.mse = 1e-4 * np.exp(spread * rng.normal(size=num_segments))
        self.mse_slope = rng.uniform(0.5, 0.85, num_segments)
        # Real fits make fewer bits and errors than quick ones, not everywhere as many fewer.
        self.gain = np.exp(-0.15 + 0.04 * rng.normal(size=num_segments))

    def fit(self, number: int, weight: float, real: bool) -> SegmentReport:
        gain = self.gain[number] if real else 1.0
        bits = gain * self.bits[number] * (weight / 1e-3) ** self.bits_slope[number]
        mse = gain * self.mse[number] * (weight / 1e-3) ** self.mse_slope[number]
        return report(number, weight, bits, mse)

    def model(self, quantity: Quantity, goal: float, monkeypatch: pytest.MonkeyPatch, known: bool = True) -> RateModel:
        def fitted(crew: Any, recipe: Any, runs: Any, quantity: Quantity, note: Any) -> dict[int, float]:
            real, weight = recipe.preset == "real", recipe.weight
            return {number: quantity.of(self.fit(number, weight, real)) for number, _ in runs}

        monkeypatch.setattr(rate_trial, "_fitted", fitted)
        numbers, sample = sampled(([None] * 32 for _ in range(self.num_segments)), 1)  # type: ignore[misc]
        survey = Survey(numbers if known else (), sample if known else dict(list(sample.items())[:4]), 1.0)
        quick, real = FakeRecipe("quick"), FakeRecipe("real")
        every = (lambda: [None] * self.num_segments) if known else None
        return find_rate(None, quantity, goal, survey, quick, real, 1e-3, everything=every)  # type: ignore

    def encode(self, control: TargetControl, at_work: int) -> list[SegmentReport]:
        """With so many workers, of which the last to begin ends first."""
        found: list[SegmentReport] = []
        begun: list[float] = []
        while len(found) < self.num_segments:
            while len(begun) < min(self.num_segments, len(found) + min(at_work, control.ahead)):
                begun.append(control.weight_of(len(begun)))
            found.append(self.fit(len(found), begun[len(found)], True))
            control.note(found[-1])
        return found


class FakeRecipe:
    def __init__(self, preset: str, weight: float = 1e-3) -> None:
        self.preset, self.weight = preset, weight

    def at(self, weight: float) -> FakeRecipe:
        return FakeRecipe(self.preset, weight)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FakeRecipe) and self.preset == other.preset

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("num_segments", [4, 8, 30, 300])
@pytest.mark.parametrize("factor", [0.1, 0.7, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_bits_are_met_within_five_percent(
    num_segments: int, factor: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Clip(num_segments, seed)
    goal = factor * 2e5 * num_segments
    found = clip.encode(TargetControl(clip.model(Quantity.BITS, goal, monkeypatch)), 2)
    assert sum(8 * segment.size_bytes for segment in found) == pytest.approx(goal, rel=0.05)


@pytest.mark.parametrize("num_segments", [4, 8, 30, 300])
@pytest.mark.parametrize("seed", range(4))
def test_psnr_is_met_within_about_a_tenth_of_a_decibel(
    num_segments: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Clip(num_segments, seed)
    goal = Target(psnr_db=38.0).total(32 * num_segments, 1.0, 0)
    found = clip.encode(TargetControl(clip.model(Quantity.ERROR, goal, monkeypatch)), 2)
    mean = sum(segment.mse * segment.num_frames for segment in found) / (32 * num_segments)
    # Of few segments the last two are a large part, of which nothing is known but their trials.
    assert -10 * math.log10(mean) == pytest.approx(38.0, abs=0.1 if num_segments > 8 else 0.15)


@pytest.mark.parametrize("quantity", Quantity)
@pytest.mark.parametrize("seed", range(3))
def test_small_segment_in_the_middle_does_not_speak_for_the_others(
    quantity: Quantity, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real fits make twice as much of it; a clip whose scenes change has such segments."""
    clip = Clip(5, seed)
    clip.bits[2] /= 16
    clip.mse[2] /= 16
    clip.gain[:] = (0.8, 0.8, 1.6, 0.75, 0.7)
    goal = 8e5 if quantity is Quantity.BITS else Target(psnr_db=38.0).total(5 * 32, 1.0, 0)
    found = clip.encode(TargetControl(clip.model(quantity, goal, monkeypatch)), 2)
    # 0.1 dB are 2.3% of the error.
    assert sum(map(quantity.of, found)) == pytest.approx(goal, rel=0.05 if quantity is Quantity.BITS else 0.03)


def test_weights_do_not_depend_on_how_many_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(24, 1)
    model = clip.model(Quantity.BITS, 3e6, monkeypatch)
    weights = [
        [segment.rd_weight for segment in clip.encode(TargetControl(model), at_work)] for at_work in (1, 2, 5, 50)
    ]
    assert weights[0] == weights[1] == weights[2] == weights[3]
    assert len(set(weights[0])) > 5


def test_weights_are_found_again_from_a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    clip = Clip(12, 2)
    model = clip.model(Quantity.BITS, 1.5e6, monkeypatch)
    undisturbed = clip.encode(TargetControl(model), 2)
    again = TargetControl(RateModel.of_plain(json.loads(json.dumps(model.as_plain()))))
    for segment in undisturbed[:5]:
        again.note(segment)
    for segment in undisturbed[5:]:
        assert again.weight_of(segment.number) == segment.rd_weight
        again.note(segment)


def test_segments_stay_near_one_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal slopes are what the PSNR of the whole is best at."""
    clip = Clip(60, 3)
    model = clip.model(Quantity.BITS, 60 * 1.5e5, monkeypatch)
    weights = [segment.rd_weight for segment in clip.encode(TargetControl(model), 2)]
    assert all(0.5 <= weight / model.rd_weight <= 2.001 for weight in weights)
    assert np.std(np.log(weights)) < 0.3


def test_clip_of_unknown_length_keeps_to_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip(80, 4, spread=0.3)
    model = clip.model(Quantity.BITS, 5e3, monkeypatch, known=False)
    found = clip.encode(TargetControl(model), 2)
    assert sum(8 * segment.size_bytes for segment in found) / (80 * 32) == pytest.approx(5e3, rel=0.05)


def test_sample_is_spread_over_the_clip_and_bounded() -> None:
    for num_runs in (1, 5, MOST_SAMPLES, MOST_SAMPLES + 1, 1000):
        lengths, kept = sampled(([None] * 4 for _ in range(num_runs)), 1)  # type: ignore[misc]
        assert len(lengths) == num_runs
        assert min(num_runs, MOST_SAMPLES // 2) <= len(kept) <= MOST_SAMPLES
        steps = {after - before for before, after in zip(kept, list(kept)[1:], strict=False)}
        assert len(steps) <= 1
    assert len(sampled(([None] * 4 for _ in range(100)), 1 << 28)[1]) == 1  # type: ignore[misc]


def test_crf_is_a_scale_of_rd_weights() -> None:
    assert rd_weight_of_crf(32.5) == 1e-3
    assert rd_weight_of_crf(35.5) == 2e-3
    assert rd_weight_of_crf(23) == pytest.approx(1.114e-4, rel=1e-3)
    for crf in (-1.0, 64.0, math.nan):
        with pytest.raises(ConfigError, match="crf"):
            rd_weight_of_crf(crf)


@pytest.mark.parametrize(
    "options",
    [{}, {"kbps": 1.0, "psnr_db": 30.0}, {"size_bytes": 0}, {"kbps": -1.0}, {"psnr_db": 120.0}, {"kbps": math.inf}],
)
def test_targets_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Target(**options)


def test_goals_leave_room_for_what_is_no_segment() -> None:
    assert Target(size_bytes=1000).total(10, 1.0, 100) == 8 * 900
    assert Target(kbps=8.0).total(10, 2.0, 100) == 16_000 - 800
    assert Target(psnr_db=30.0).total(10, 0.0, 100) == pytest.approx(10 * 1e-3)
    for target, words in ((Target(size_bytes=50), "100 without any segment"), (Target(kbps=1.0), "no length")):
        with pytest.raises(ConfigError, match=words):
            target.total(10, 0.0, 100)


def test_slopes_are_believed_within_reason() -> None:
    points: Sequence[tuple[float, float]] = [(1e-3, 100.0), (2e-3, 50.0)]
    assert log_slope(points, Quantity.BITS) == pytest.approx(-1.0)
    assert log_slope([(1e-3, 100.0), (2e-3, 101.0)], Quantity.BITS) == -0.25
    assert log_slope([(1e-3, 1.0)], Quantity.ERROR) == Quantity.ERROR.usual_slope


def test_what_came_of_it_is_said() -> None:
    assert achieved(Target(size_bytes=1000), 980, None, 30.0) == "target 1000 bytes: 980 bytes (-2.0%)"
    assert achieved(Target(kbps=100.0), 1, 103.0, 30.0) == "target 100 kb/s: 103.0 kb/s (+3.0%)"
    assert achieved(Target(psnr_db=40.0), 1, 103.0, 39.95) == "target 40 dB: 39.95 dB (-0.05)"


# With real fits, small ones.

CLIP = moving_clip(6, 32, 32)
QUICK: dict[str, Any] = {"profile": "default", "preset": "ultrafast", "segment_frames": 2}


def test_more_than_one_way_to_say_the_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rd_weight and crf both"):
        c3video.encode(CLIP, tmp_path / "out.c3v", rd_weight=1e-3, crf=20.0)


def test_size_of_a_pipe_is_refused_and_its_rate_is_not(tmp_path: Path) -> None:
    class Once:
        format, num_frames = CLIP.format, None

        def __iter__(self) -> Any:
            return iter(list(CLIP))

    with pytest.raises(ConfigError, match="length can be found out"):
        c3video.encode(Once(), tmp_path / "out.c3v", target_size=1000, **QUICK)
    report = c3video.encode(Once(), tmp_path / "out.c3v", target_psnr=36.0, **QUICK)
    assert report.target is not None
    assert report.psnr_db == pytest.approx(36.0, abs=1.5)  # tiny segments, whose steps are coarse


def test_target_is_the_same_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = QUICK | {"target_psnr": 36.0}
    c3video.encode(CLIP, tmp_path / "whole.c3v", **options)

    def stop(progress: Any) -> None:
        if progress.segment == 1:
            raise KeyboardInterrupt

    out = tmp_path / "out.c3v"
    with pytest.raises(KeyboardInterrupt):
        c3video.encode(CLIP, out, report=stop, **options)
    forbidden: Callable[..., Any] = lambda *arguments: pytest.fail("the journal knows the rate")  # noqa: E731
    monkeypatch.setattr("c3video.api.find_rate", forbidden)
    c3video.encode(CLIP, out, resume=True, **options)
    assert out.read_bytes() == (tmp_path / "whole.c3v").read_bytes()


def test_trials_are_of_the_quickest_preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def find(crew: Any, quantity: Any, goal: Any, survey: Any, quick: Any, real: Any, *rest: Any) -> RateModel:
        seen.append((quick.fit_config, real.fit_config, survey.segment_frames, sorted(survey.sample)))
        raise KeyboardInterrupt

    monkeypatch.setattr("c3video.api.find_rate", find)
    with pytest.raises(KeyboardInterrupt):
        c3video.encode(CLIP, tmp_path / "out.c3v", target_kbps=10.0, **QUICK | {"preset": "fast"})
    ((quick, real, lengths, sample),) = seen
    assert not isinstance(quick, C3FitConfig)
    assert (quick.plans, quick.passes) == (1, 0)
    assert real.plans > 1
    assert (lengths, sample) == ((2, 2, 2), [0, 1, 2])
