# SPDX-License-Identifier: MIT
"""Segments to be fitted, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from c3video.engine import choose_engine
from c3video.hybrid.coded_planes import coded_format, to_coded
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.plans import Plan
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.fit.trials import Trial, Trials
from c3video.video import Planes, VideoFormat


def task_of(
    planes: list[Planes],
    video: VideoFormat,
    config: HybridFitConfig | None = None,
    name: str | None = None,
    threads: int = 1,
) -> FitTask:
    coded, engine = [to_coded(frame, video.layout) for frame in planes], choose_engine(name)
    return FitTask(
        coded,
        video,
        coded_format(video),
        HybridConfig(),
        config or HybridFitConfig(),
        ENGINES[engine],
        FIT_ENGINES[engine],
        threads,
    )


def favour_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let first frames be pictures, whatever that costs."""
    attempt = Trials.attempt

    def favoured(self: Trials, plan: Plan, *rival: Any, with_known_motion: bool = False) -> Trial:
        trial = attempt(self, plan, *rival, with_known_motion=with_known_motion)
        return trial if trial.key is None else replace(trial, loss=trial.loss - 1e3)

    monkeypatch.setattr(Trials, "attempt", favoured)
