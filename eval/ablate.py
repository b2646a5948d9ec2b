# SPDX-License-Identifier: MIT
"""`make ablate`: what each ingredient of a fit brings. Fit with all of them, then with one changed, and compare losses.

    clips -> middle of each, some frames -> fits, one a variant -> eval/results/ablation-NAME.csv, .md

Only fits are run and no streams are written, so that variants can be tried that no stream can hold; bits are what a
fit estimates (within about 1% of the bytes, tests/test_rate.py). The loss is the fit's own, MSE + rd_weight x bpp, with
the latents rounded and the weights on their grid and paid for. A fit that is in the table already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import shlex
import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.fit.loop import fit_patch
from c3video.config import PRESETS, PROFILES, c3_config, fit_config
from c3video.errors import C3VideoError, ConfigError, FitError, SourceError
from c3video.media.source import open_source
from c3video.video import planes_to_cells
from eval.ablation_variants import BASE, VARIANTS, Variant
from eval.rd import bd_rate, mean_figure
from handover import files, provenance

CLIPS = provenance.REPOSITORY / "pipelines" / "clips"
RESULTS = provenance.REPOSITORY / "eval" / "results"


@dataclass(frozen=True)
class Task:
    """One fit: a column set of the table of results that says what was run."""

    variant: str
    clip: str
    rd_weight: float
    profile: str
    preset: str
    num_frames: int
    height: int
    width: int
    seed: int


@dataclass(frozen=True)
class Result:
    """One line of the table: a task and its result.

    Args:
        loss: MSE + rd_weight * bpp; mse is over all coded samples on [0, 1].
        steps: that the fit took, those of a wide window search included.
        cpu_seconds: of the whole process.
        notes: what the fit had to mend.
    """

    task: Task
    loss: float
    mse: float
    psnr_db: float
    bpp: float
    steps: int
    seconds: float
    cpu_seconds: float
    notes: str
    commit: str


def _configs(profile: str, preset: str, rd_weight: float) -> tuple[C3Config, C3FitConfig]:
    """What the base of a table fits; its ingredients are those of the C3 model."""
    model = c3_config(profile)
    fit = fit_config(profile, preset, rd_weight)
    assert isinstance(fit, C3FitConfig)
    return model, fit


def run(task: Task, variant: Variant, samples: Tensor, num_pixels: int, commit: str) -> Result:
    """Fit once.

    Args:
        samples: (C, T, H, W) on [0, 1].
        num_pixels: luma samples that they stand for.

    Raises:
        FitError: the fit came to nothing.
    """
    model, fit = _configs(task.profile, task.preset, task.rd_weight)
    num_steps = 0

    def count(progress: object) -> None:
        nonlocal num_steps
        num_steps += 1

    started, cpu_started = time.perf_counter(), time.process_time()
    fitted = fit_patch(
        samples, num_pixels, variant.model(model), variant.fit(fit), task.seed, count, **dict(variant.options)
    )
    bpp = fitted.estimated_bits / num_pixels
    mse = fitted.loss - task.rd_weight * bpp
    return Result(
        task=task,
        loss=fitted.loss,
        mse=mse,
        psnr_db=-10.0 * math.log10(max(mse, 1e-12)),
        bpp=bpp,
        steps=num_steps,
        seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu_started,
        notes="; ".join(fitted.notes),
        commit=commit,
    )


def read_clip(path: Path, num_frames: int, crop: tuple[int, int], as_rgb: bool) -> tuple[Tensor, int, tuple[int, int]]:
    """The middle of a clip's first frames, as one patch.

    Args:
        crop: largest (height, width) in luma samples.

    Returns:
        Samples (C, T, H, W) on [0, 1], the luma samples that they stand for, and their (height, width).

    Raises:
        SourceError: the clip cannot be read.
    """
    with open_source(path, frames=(0, num_frames), as_rgb=as_rgb) as source:
        video = source.format
        cells = np.stack([planes_to_cells(frame.planes, video) for frame in source], axis=1)  # (C, T, Hc, Wc)
    layout = video.layout
    height, width = crop[0] // layout.cell_height, crop[1] // layout.cell_width
    top, left = max(0, (cells.shape[2] - height) // 2), max(0, (cells.shape[3] - width) // 2)
    cells = cells[:, :, top : top + height, left : left + width]
    size = (cells.shape[2] * layout.cell_height, cells.shape[3] * layout.cell_width)
    samples = torch.from_numpy(cells.astype(np.float32) / np.float32(layout.max_value))
    return samples, cells.shape[1] * size[0] * size[1], size


def results_of(path: Path) -> list[Result]:
    """The lines of a table of results; none where there is no such file. Raises SourceError."""
    if not path.is_file():
        return []
    results = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in (reader := csv.DictReader(file)):
            try:
                task = Task(**{name: parse(line[name]) for name, parse in _TASK_COLUMNS.items()})
                values = {name: parse(line[name]) for name, parse in _RESULT_COLUMNS.items()}
                results.append(Result(task=task, **values))
            except (KeyError, TypeError, ValueError) as error:
                raise SourceError(f"{path}, line {reader.line_num}: is no result of an ablation: {error!r}") from error
    return results


def write_results(path: Path, results: Sequence[Result]) -> None:
    """The same lines, written."""
    lines = [asdict(result.task) | {name: getattr(result, name) for name in _RESULT_COLUMNS} for result in results]
    files.write_csv(
        path,
        [*_TASK_COLUMNS, *_RESULT_COLUMNS],
        ({name: f"{v:.7g}" if isinstance(v, float) else v for name, v in line.items()} for line in lines),
    )


_PARSERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}
_TASK_COLUMNS = {column.name: _PARSERS[str(column.type)] for column in fields(Task)}
_RESULT_COLUMNS = {column.name: _PARSERS[str(column.type)] for column in fields(Result) if column.name != "task"}


def as_markdown(results: Sequence[Result], variants: Sequence[Variant], heading: Sequence[str]) -> str:
    """The table to read: differences in loss against the base, clip by clip; with several rates, BD-rates too.

    Args:
        heading: lines that say how the results came to be.
    """
    found = {(r.task.variant, r.task.clip, r.task.rd_weight): r for r in results}
    clips = list(dict.fromkeys(result.task.clip for result in results))
    rates = sorted({result.task.rd_weight for result in results})
    has_bd = len(rates) > 1
    columns = ["change", *clips, "mean", "±", *(["BD-rate"] if has_bd else []), "steps", "CPU time", "in a stream"]
    lines = [*heading, "", "| " + " | ".join(columns) + " |", "|---" + "|--:" * (len(columns) - 2) + "|---|"]
    for variant in variants:
        ratios: dict[str, list[float]] = {clip: [] for clip in clips}
        times, steps = [], set()
        for clip, rate in ((clip, rate) for clip in clips for rate in rates):
            base, other = found.get((BASE, clip, rate)), found.get((variant.name, clip, rate))
            if base is not None and other is not None:
                ratios[clip].append(other.loss / base.loss - 1.0)
                times.append(other.cpu_seconds / base.cpu_seconds)
                steps.add(other.steps)
        everything = [ratio for values in ratios.values() for ratio in values]
        cells = [f"{variant.name}: {variant.says}"]
        if not everything:
            why = "not run" if variant.can_run() else f"not run: needs `fit_patch(..., {''.join(variant.options)}=)`"
            lines.append("| " + " | ".join([cells[0], *["–"] * (len(columns) - 2), why]) + " |")
            continue
        cells += [_percent(_mean(values)) if values else "–" for values in ratios.values()]
        complete = len(everything) == len(clips) * len(rates)
        cells.append(_percent(_mean(everything)) + ("" if complete else f" ({len(everything)} fits)"))
        cells.append(_standard_error(everything))
        if has_bd:
            figures = [
                bd_rate(_curve(found, BASE, clip, rates), _curve(found, variant.name, clip, rates)) for clip in clips
            ]
            mean = mean_figure(figures)
            cells.append("–" if mean is None else f"{mean[0]:+.1f}% ({mean[1]} of {len(clips)})")
        # Networks of their own run on torch alone: their times say nothing.
        cpu_time = "–" if "network_type" in variant.options else f"x{_mean(times):.2f}"
        cells += ["/".join(map(str, sorted(steps))), cpu_time, variant.no_stream or "yes"]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"* {r.task.variant}, {r.task.clip}, {r.task.rd_weight:g}: {r.notes}" for r in results if r.notes]
    if notes:
        lines += ["", "Fits that had to be mended:", "", *notes]
    return "\n".join(lines) + "\n"


def _curve(
    found: Mapping[tuple[str, str, float], Result], variant: str, clip: str, rates: Sequence[float]
) -> list[tuple[float, float]]:
    results = [found[key] for rate in rates if (key := (variant, clip, rate)) in found]
    return [(result.bpp, result.psnr_db) for result in results]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:+.1f}%"


def _standard_error(ratios: Sequence[float]) -> str:
    """Of their mean. Fits scatter by more than most ingredients bring; a mean alone would not show it."""
    return f"{100 * statistics.stdev(ratios) / math.sqrt(len(ratios)):.1f}" if len(ratios) > 1 else "–"


def ablate(options: argparse.Namespace) -> int:
    """Run what is missing and write the tables; returns 0, or 3 where the budget of minutes ended it.

    Raises:
        C3VideoError: a clip or a table cannot be read, or the table is of other code or another protocol.
    """
    clips = _clips(options.clips)
    variants = [variant for variant in VARIANTS if not options.variants or variant.name in (BASE, *options.variants)]
    model, fit = _configs(options.profile, options.preset, options.rd_weights[0])
    variants = [variant for variant in variants if variant.changes(model, fit)]
    commit = provenance.commit()
    table = options.out / f"ablation-{options.name}.csv"
    results = results_of(table)
    _check_same_code(results, commit, table, options.mixed_commits)
    wanted: list[Task] = []
    started, is_done, is_warm = time.monotonic(), True, False
    options.out.mkdir(parents=True, exist_ok=True)
    for path in clips:
        samples, num_pixels, size = read_clip(path, options.frames, options.crop, PROFILES[options.profile].as_rgb)
        for variant, rate in ((variant, rate) for rate in options.rd_weights for variant in variants):
            frames = samples.shape[1]
            seed = options.seed + variant.seed_offset
            task = Task(variant.name, path.stem, rate, options.profile, options.preset, frames, *size, seed)
            wanted.append(task)
            if not variant.can_run() or any(result.task == task for result in results):
                continue
            if options.budget_minutes is not None and time.monotonic() - started > 60 * options.budget_minutes:
                is_done = False
                continue
            if not is_warm:
                _warm_up(samples, model, fit)
                is_warm = True
            try:
                result = run(task, variant, samples, num_pixels, commit)
            except FitError as error:
                print(f"ablate: {variant.name}, {path.stem}: {error}", file=sys.stderr)
                continue
            results.append(result)
            write_results(table, results)
            print(
                f"ablate: {path.stem} {rate:g} {variant.name}: loss {result.loss:.4g}, {result.psnr_db:.2f} dB, "
                f"{result.bpp:.4f} bpp, {result.cpu_seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    shown = [result for result in results if result.task in wanted]
    if not shown:
        raise ConfigError(f"{table}: holds nothing of what was asked for; give more --budget-minutes")
    text = as_markdown(shown, variants, list(_heading(options, shown, table)))
    files.write_text(table.with_suffix(".md"), text)
    print(text, end="")
    return 0 if is_done else 3


def _warm_up(samples: Tensor, model: C3Config, fit: C3FitConfig) -> None:
    """A fit of few steps on few samples: what the first one in a process waits for should be in no figure."""
    few = samples[:, :1, :16, :16].contiguous()
    fit_patch(few, few[0].numel(), model, replace(fit, noise_steps=2, rounding_steps=1, weight_steps=1), 0)


def _heading(options: argparse.Namespace, results: Sequence[Result], table: Path) -> Iterator[str]:
    first = results[0].task
    clips = ", ".join(dict.fromkeys(result.task.clip for result in results))
    rates = ", ".join(f"{rate:g}" for rate in options.rd_weights)
    hours = sum(result.seconds for result in results) / 3600
    yield f"# Ablation: {options.name}"
    yield ""
    yield from _wrapped(
        f"Profile `{options.profile}`, preset `{options.preset}`, rd_weight {rates}; the middle "
        f"{first.width}x{first.height} of the first {first.num_frames} frames of {clips}; seed {options.seed}. Figures "
        "are differences of the loss (MSE + rd_weight x bpp) against the base: positive where the change makes it "
        "worse; ± is the standard error of the mean over clips and rates. "
        "Bits are estimated by the fit, with the weights paid for; BD-rates are of such estimates."
    )
    yield ""
    yield from _wrapped(f"* `{options.command}`")
    commits = ", ".join(dict.fromkeys(result.commit or "no repository" for result in results))
    today = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    yield from _wrapped(f"* commit {commits}; {today}; torch {torch.__version__}; {provenance.cpu_name()}")
    threads = torch.get_num_threads()
    fits = f"{len(results)} fits, {hours:.2f} machine-hours on {threads} thread(s)"
    yield from _wrapped(f"* {fits}; one a line in `{table.name}`")


def _wrapped(text: str) -> list[str]:
    """Lines of a paragraph or of a point of a list, as long as the repository's Markdown has them."""
    indent = "  " if text.startswith("* ") else ""
    return textwrap.wrap(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _clips(paths: Sequence[Path]) -> list[Path]:
    found = list(paths) or sorted(CLIPS.glob("*.mkv"))
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        raise SourceError(f"{missing[0] if missing else CLIPS}: there is no such clip")
    return found


def _check_same_code(results: Sequence[Result], commit: str, table: Path, mixed: bool) -> None:
    others = sorted({result.commit for result in results} - {commit})
    if others and not mixed:
        raise ConfigError(
            f"{table}: holds fits of commit {others[0] or 'unknown'}, and this is {commit or 'unknown'}; give another "
            "--name, remove the file, or allow it with --mixed-commits"
        )


def _command(arguments: Sequence[str]) -> str:
    """As it was given, but for where things lie on this machine."""
    words = [Path(word).name if os.path.isabs(word) else word for word in arguments]
    return shlex.join(["python", "-m", "eval.ablate", *words])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an ablation; returns 0 done, 1 an error, 3 stopped by the budget, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.command = _command(arguments)
    if options.list:
        for variant in VARIANTS:
            state = "" if variant.can_run() else f"  (needs fit_patch(..., {''.join(variant.options)}=))"
            print(f"{variant.name:20} {variant.says}{state}")
        return 0
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        return ablate(options)
    except (C3VideoError, OSError) as error:
        print(f"ablate: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("ablate: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.ablate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python -m eval.ablate --list\n"
        "  python -m eval.ablate --preset ultrafast --variants plain-noise one-stage\n"
        "  python -m eval.ablate --clips a.mkv b.mkv --rd-weights 3e-4 1e-3 3e-3 --name rates --budget-minutes 60\n",
    )
    parser.add_argument("--list", action="store_true", help="name the variants and end")
    parser.add_argument("--clips", type=Path, nargs="+", default=[], metavar="CLIP", help="default: pipelines/clips")
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=names, metavar="V", help="only these (default: all)")
    patch_profiles = [name for name, profile in PROFILES.items() if isinstance(profile.model, C3Config)]
    parser.add_argument("--profile", choices=patch_profiles, default="paper", help="the base's model (default: paper)")
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="the base's effort (default: fast)")
    parser.add_argument("--rd-weights", type=float, nargs="+", default=[1e-3], metavar="W", help="default: 1e-3")
    parser.add_argument("--frames", type=int, default=16, metavar="N", help="of each clip, the first (default: 16)")
    parser.add_argument("--crop", type=crop_size, default=(144, 176), metavar="WxH", help="middle (default: 176x144)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, metavar="N", help="of the fits (default: as torch chooses)")
    parser.add_argument("--name", default="small", help="of the results (default: small)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: eval/results")
    parser.add_argument("--budget-minutes", type=float, metavar="M", help="start no fit after that many")
    parser.add_argument("--mixed-commits", action="store_true", help="go on with a table of other commits")
    return parser


def crop_size(text: str) -> tuple[int, int]:
    """WxH -> (H, W)."""
    width, separator, height = text.partition("x")
    if not (separator and width.isdigit() and height.isdigit() and int(width) >= 2 and int(height) >= 2):
        raise argparse.ArgumentTypeError(f"{text!r}: must look like 176x144 (width x height)")
    return int(height), int(width)


if __name__ == "__main__":
    sys.exit(main())
