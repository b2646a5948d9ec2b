# SPDX-License-Identifier: MIT
"""Run folders of made-up figures, with the shapes of real ones."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

QUALITIES = ("0.0003", "0.001", "0.003", "0.01")
# Codec, profile, preset, tune, how many bits it needs of what c3video needs.
ENCODERS = (
    ("c3video", "default", "fast", "", 1.0),
    ("libx264", "", "medium", "", 1.2),
    ("libx264", "", "veryslow", "psnr", 1.05),
    ("libx265", "", "medium", "", 0.9),
    ("libsvtav1", "", "6", "", 0.85),
    ("libvpx-vp9", "", "1", "", 0.95),
)
CRFS = ("19", "24", "29", "34")


def make_run_folder(
    path: Path,
    clips: Mapping[str, tuple[int, int, int]],
    *,
    fits: tuple[int, int] = (1, 3),
    steps: Iterable[int] = range(0, 451, 5),
) -> Path:
    """Write a run folder.

    Args:
        clips: name -> (num_frames, height, width).
        fits: segments and patches of each clip.
    """
    rng = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("points", "frames", "bits", "windows", "convergence")
    }
    for number, (clip, (num_frames, height, width)) in enumerate(clips.items()):
        for codec, profile, preset, tune, factor in ENCODERS:
            ours = codec == "c3video"
            for index, quality in enumerate(QUALITIES if ours else CRFS):
                bpp = 0.6 * (1 + 0.4 * number) * 2.0**-index * factor * (1.0 + 0.25 * number * (factor - 1.0))
                psnr_y = 41.0 - 3.1 * index - 1.3 * number + 0.3 * (factor < 1)
                tables["points"].append(
                    {
                        "clip": clip, "codec": codec, "profile": profile, "preset": preset, "tune": tune,
                        "quality": quality, "num_frames": num_frames, "width": width, "height": height,
                        "clip_seconds": num_frames / 24 if num_frames > 1 else "",
                        "size_bytes": round(bpp * num_frames * height * width / 8), "bpp": bpp,
                        "psnr_y": psnr_y, "psnr_u": psnr_y + 3, "psnr_v": psnr_y + 4,
                        "psnr_yuv611": psnr_y + 0.875, "psnr_rgb": psnr_y - 2, "psnr_rgb_seq": psnr_y - 2.1,
                        "ssim": 0.98 - 0.02 * index,
                        "encode_seconds": 300.0 if ours else 0.8, "encode_cpu_seconds": 310.0 if ours else 0.7,
                        "decode_seconds": 0.4 if ours else 0.03, "decode_cpu_seconds": 0.4 if ours else 0.03,
                        "peak_memory_mib": 420.0 if ours else "", "macs_per_pixel": 1290.5 if ours else "",
                        "commit": "0123456789abcdef" if ours else "",
                    }
                )  # fmt: skip
                wobble = 0.5 * np.sin(np.arange(num_frames) / 3) + rng.normal(scale=0.15, size=num_frames)
                tables["frames"] += [
                    {
                        "clip": clip,
                        "codec": codec,
                        "preset": preset,
                        "quality": quality,
                        "frame": frame,
                        "profile": profile,
                        "tune": tune,
                    }
                    | {"psnr_y": psnr_y + wobble[frame], "psnr_u": "", "psnr_v": "", "psnr_rgb": ""}
                    for frame in range(num_frames)
                ]
        for index, quality in enumerate(QUALITIES):
            key = {"clip": clip, "profile": "default", "preset": "fast", "quality": quality}
            shares = {f"grid {k}": 60 * 0.6**k for k in range(10)}
            shares |= {"entropy weights": 9.0, "synthesis weights": 14.0, "patch overhead": 1.0, "frame table": 0.7}
            tables["bits"] += [
                {**key, "part": part, "bits": share * 2000 * 2.0**-index} for part, share in shares.items()
            ]
            for segment, patch in np.ndindex(fits):
                fit = {**key, "segment": segment, "patch": patch}
                tables["windows"] += [
                    {**fit, "grid": grid, "y": 31 + round(rng.normal(scale=1 + number)), "x": 31 + number * (6 - grid)}
                    for grid in (4, 5, 6)
                ]
                for step in steps:
                    loss = float(quality) * (0.4 + 3 * math.exp(-step / 60) + 0.05 * patch) + 2e-4
                    stage = "noise" if step < 400 else "rounding" if step < 430 else "weights"
                    tables["convergence"].append(
                        {
                            **fit,
                            "stage": stage,
                            "step": step,
                            "loss": loss,
                            "psnr_db": -10 * math.log10(loss),
                            "bpp": 0.3,
                        }
                    )
    path.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        write_csv(path / f"{name}.csv", rows)
    facts = {
        "command": "python -m pipelines.evaluate clips --preset fast <clips>",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "date": "2025-01-01",
        "versions": {"python": "3.12.1", "torch": "2.13.0"},
        "machine": {"cpu": "a processor", "cores": 2},
        "protocol": ["bpp of whole files", "PSNR of each frame, then averaged"],
        "machine_hours": 3.25,
    }
    (path / "run.json").write_text(json.dumps(facts))
    return path


def add_pictures(path: Path, clip: str, quality: str, height: int, width: int) -> None:
    """Sample frames of one clip: a gradient, and noisier ones."""
    folder = path / "frames"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(round(1e6 * float(quality)))
    y, x = np.mgrid[:height, :width]
    source = np.stack([255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 9) * np.cos(y / 7)], axis=-1)
    rows = []
    for index, codec in enumerate(("source", "c3video", "libx264", "libx265")):
        noisy = source + rng.normal(scale=6.0 * index + 1e-9, size=source.shape)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / f"{clip}_{quality}_{codec}.png")
        rows.append(
            {
                "clip": clip, "quality": quality, "codec": codec, "preset": ("", "fast", "medium", "medium")[index],
                "codec_quality": ("", quality, "27.3", "26")[index], "frame": 8,
                "bpp": 0.31 if index else "", "psnr_yuv611": 38.0 - 0.1 * index if index else "", "psnr_rgb": "",
            }
        )  # fmt: skip
    index_file = folder / "index.csv"
    if index_file.exists():
        with index_file.open(newline="") as file:
            rows = [*csv.DictReader(file), *rows]
    write_csv(index_file, rows)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
