# SPDX-License-Identifier: MIT
"""Ablations: every variant is a change, tables are resumed, and stand-ins compute what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from c3video.c3.config import C3_PRESETS, C3Config, C3FitConfig
from c3video.c3.fit.network import PatchNetwork, default_windows
from c3video.config import PROFILES, Profile
from eval import ablate
from eval.ablate import Result, Task, as_markdown, main, read_clip, results_of, write_results
from eval.ablation_networks import GeluNetwork
from eval.ablation_variants import BASE, VARIANTS, Variant
from handover import provenance
from tests.conftest import QUICK_FIT, TINY_MODEL

PATCH_PROFILES = {name: profile.model for name, profile in PROFILES.items() if isinstance(profile.model, C3Config)}
BY_NAME = {variant.name: variant for variant in VARIANTS}


def result(variant: str, clip: str = "sea", rd_weight: float = 1e-3, **values: Any) -> Result:
    task = Task(variant, clip, rd_weight, "paper", "fast", 8, 32, 48, 0)
    known = {"loss": 2e-3, "mse": 1e-3, "psnr_db": 30.0, "bpp": 1.0, "steps": 10, "seconds": 2.0, "cpu_seconds": 2.0}
    return Result(**{"task": task, "notes": "", "commit": "abc", **known, **values})


def test_variants_have_names_of_their_own_and_possible_configurations() -> None:
    assert len(BY_NAME) == len(VARIANTS)
    for variant in VARIANTS:
        for model in PATCH_PROFILES.values():
            variant.model(model).check()
        variant.fit(C3FitConfig()).check()


def test_what_a_profile_has_already_is_no_variant_of_it() -> None:
    left = {
        name: {variant.name for variant in VARIANTS if variant.changes(model, C3_PRESETS["fast"])}
        for name, model in PATCH_PROFILES.items()
    }
    assert {BASE, "residual-2d"} <= left["paper"]
    assert not {"residual-3d", "isotropic-grids", "correlation-window"} & left["paper"]


def test_variants_without_a_stage_keep_the_number_of_steps() -> None:
    for name in ("one-stage", "no-weight-stage"):
        fit = BY_NAME[name].fit(C3_PRESETS["fast"])
        fast = C3_PRESETS["fast"]
        before, after = (x.noise_steps + x.rounding_steps + x.weight_steps for x in (fast, fit))
        assert before == after, name


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(C3_PRESETS, "ultrafast", QUICK_FIT)
    monkeypatch.setitem(PROFILES, "paper", Profile(TINY_MODEL, C3_PRESETS, ""))
    monkeypatch.setattr(provenance, "commit", lambda: "abc")


def run_main(out: Path, *more: str) -> int:
    options = ["--preset", "ultrafast", "--frames", "2", "--crop", "48x32", "--name", "t", "--out", str(out)]
    return main([*options, *more])


@pytest.mark.usefixtures("quick")
def test_fits_are_run_once_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--variants", "plain-noise", "one-stage"]
    assert run_main(tmp_path, *wanted, "--budget-minutes", "0") == 1  # nothing yet
    assert "holds nothing of what was asked for" in capsys.readouterr().err
    assert run_main(tmp_path, *wanted) == 0
    results = results_of(tmp_path / "ablation-t.csv")
    assert [r.task.variant for r in results] == [BASE, "plain-noise", "one-stage"]
    assert {(r.task.num_frames, r.task.height, r.task.width) for r in results} == {(2, 32, 48)}
    for r in results:
        assert r.loss == pytest.approx(r.mse + 1e-3 * r.bpp, rel=1e-5)
    text = (tmp_path / "ablation-t.md").read_text()
    assert text == capsys.readouterr().out
    difference = 100 * (results[1].loss / results[0].loss - 1)
    assert f"| {difference:+.1f}% | {difference:+.1f}% |" in text
    assert "commit abc" in text
    assert "--out" in text
    assert str(tmp_path) not in text

    monkeypatch.setattr(ablate, "fit_patch", None)  # a second run has nothing to fit
    assert run_main(tmp_path, *wanted) == 0
    assert run_main(tmp_path, *wanted, "uniform-noise", "--budget-minutes", "0") == 3
    assert "| not run |" in (tmp_path / "ablation-t.md").read_text()

    monkeypatch.setattr(provenance, "commit", lambda: "def")
    capsys.readouterr()
    assert run_main(tmp_path, *wanted) == 1
    assert "holds fits of commit abc" in capsys.readouterr().err
    assert run_main(tmp_path, *wanted, "--mixed-commits") == 0


def test_table_of_results_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = [result(BASE), result("gelu", loss=2.5e-3, notes="step 3: went back, twice")]
    write_results(tmp_path / "t.csv", results)
    assert results_of(tmp_path / "t.csv") == results


def test_markdown_averages_clips_and_tells_what_was_not_run() -> None:
    impossible = Variant("magic", "a wonder", options={"wand": 1}, no_stream="streams know no magic")
    results = [result(BASE), result(BASE, "sky"), result("gelu", loss=2.2e-3), result("gelu", "sky", loss=1.8e-3)]
    text = as_markdown([*results, result("no-window", loss=3e-3, notes="mended")], [*VARIANTS, impossible], ["# title"])
    rows = {line.split(":")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert [cell.strip() for cell in rows["gelu"].split("|")][2:5] == ["+10.0%", "-10.0%", "+0.0%"]
    # Two fits that differ by +10% and -10%: their standard deviation over the root of two.
    assert [cell.strip() for cell in rows["gelu"].split("|")][5] == "10.0"
    assert "+50.0% | – | +50.0% (1 fits) | – |" in rows["no-window"]
    assert rows["magic"].endswith("| not run: needs `fit_patch(..., wand=)` |")
    assert rows["one-stage"].endswith("| not run |")
    assert "* no-window, sea, 0.001: mended" in text


def test_markdown_has_bd_rates_where_there_are_several_rates() -> None:
    results = [
        result(variant, rd_weight=weight, bpp=factor / (index + 1), psnr_db=40.0 - 3 * index)
        for index, weight in enumerate((1e-4, 1e-3, 1e-2))
        for variant, factor in ((BASE, 1.0), ("gelu", 1.1))
    ]
    assert "+10.0% (1 of 1)" in as_markdown(results, [BY_NAME[BASE], BY_NAME["gelu"]], [])


def test_middle_of_a_clip_is_cut_out() -> None:
    samples, num_pixels, size = read_clip(ablate.CLIPS / "bunny_320x180.mkv", 3, (32, 48), as_rgb=False)
    assert tuple(samples.shape) == (6, 3, 16, 24)
    assert (num_pixels, size) == (3 * 32 * 48, (32, 48))
    whole, _, _ = read_clip(ablate.CLIPS / "bunny_320x180.mkv", 3, (9999, 9999), as_rgb=False)
    np.testing.assert_array_equal(samples, whole[:, :, 37:53, 68:92])


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", str(tmp_path / "no.mkv")]) == 1
    assert "there is no such clip" in capsys.readouterr().err
    (tmp_path / "ablation-t.csv").write_text("variant,clip\nbase,sea\n")
    assert run_main(tmp_path) == 1
    assert "line 2" in capsys.readouterr().err


def new_network(kind: type[PatchNetwork], config: C3Config) -> PatchNetwork:
    generator = torch.Generator().manual_seed(0)
    return kind(config, 3, (2, 8, 10), torch.full((3,), 0.5), default_windows(config), generator)


@pytest.mark.skipif(not BY_NAME["gelu"].can_run(), reason="fits take no networks of others yet")
def test_gelu_network_has_gelu_between_its_layers(tiny_model: C3Config) -> None:
    network = new_network(GeluNetwork, tiny_model)
    assert not network.is_native
    inputs = torch.randn(3, 5)
    weights = [torch.randn(8, 3), torch.randn(8), torch.randn(2, 8), torch.randn(2)]
    expected = weights[2] @ F.gelu(weights[0] @ inputs + weights[1][:, None]) + weights[3][:, None]
    torch.testing.assert_close(network.pointwise(inputs, *weights), expected)
    torch.testing.assert_close(network.activate(inputs), F.gelu(inputs))
