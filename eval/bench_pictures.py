# SPDX-License-Identifier: MIT
"""The part of `make bench` that is about the pyramid model: decoding pictures, and steps of their fits.

A picture of each size is fitted with few steps at two rates; speed depends on sizes and on how many latents are not
zero, not on how well they fit.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from c3video.decoder import Decoder, decode_segment
from c3video.encoder import encode
from c3video.native.pyramid_fit import PyramidFit
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.decode import split_pictures
from c3video.pyramid.engine import ENGINES
from c3video.pyramid.fit import network
from c3video.pyramid.fit.start import prior_weights, with_prior
from c3video.pyramid.multiply_adds import picture_multiply_adds
from c3video.pyramid.payload import decode_picture
from c3video.pyramid.priors import stored_prior
from c3video.pyramid.synthesis import layout_key
from c3video.stream.layout import VERSION
from c3video.video import ArraySource, VideoFormat
from eval.clock import median_seconds

RATES = {"low": 4e-3, "high": 3e-4}
FIT = PyramidFitConfig(noise_steps=100, network_steps=5, rounding_steps=2)
STEP_VIDEOS = (VideoFormat(352, 288, "yuv420p"), VideoFormat(768, 512, "gbrp"))
"""Of the pictures that a step is timed on."""


def picture_stream(clip: ArraySource, rd_weight: float, work: Path) -> bytes:
    """A stream of the clip's first frame, kept in `work`."""
    video = clip.format
    path = work / f"bench_v{VERSION}_picture_{video.width}x{video.height}_{rd_weight:g}.c3v"
    if not path.exists():
        file = io.BytesIO()
        first = ArraySource([next(iter(clip)).planes], video)
        encode(first, file, PyramidConfig().for_video(video), replace(FIT, rd_weight=rd_weight), num_threads=1)
        path.write_bytes(file.getvalue())
    return path.read_bytes()


def bench_picture(name: str, rate: str, data: bytes, repeats: int) -> dict[str, Any]:
    """Mpixel/s of one core, of the parts and of the whole."""
    with Decoder(io.BytesIO(data)) as clip:
        header, segment = clip.header, next(clip.coded_segments())
    model, video, kernels = header.model, header.video, ENGINES["native"]
    assert isinstance(model, PyramidConfig)
    (picture,) = split_pictures(segment.patches[0], 1)

    def read() -> Any:
        return decode_picture(picture, model, video, kernels.reading)

    coded = read()

    def synthesise() -> None:
        kernels.synthesise(coded.weights, coded.symbols, video.layout, 1)

    def whole(threads: int = 1) -> None:
        for _ in decode_segment(header, segment, "native", threads):
            pass

    num_pixels = video.width * video.height
    seconds = {
        part: median_seconds(run, time.process_time, repeats)
        for part, run in {"entropy": read, "synthesis": synthesise, "whole": whole}.items()
    }
    wall_one = median_seconds(whole, time.perf_counter, repeats)
    wall_two = median_seconds(lambda: whole(2), time.perf_counter, repeats)
    return {
        "size": name,
        "rate": rate,
        "bpp": 8 * len(data) / num_pixels,
        **{f"{part}_mpixel_s": num_pixels / value / 1e6 for part, value in seconds.items()},
        "two_thread_speedup": wall_one / wall_two,
        "multiply_adds_a_pixel": picture_multiply_adds(model, video.pix_fmt).total,
    }


def bench_step(video: VideoFormat, repeats: int, float_rate: float) -> dict[str, Any]:
    """CPU microseconds a pixel of one step of a fit's first stage, native and by the definition in torch.

    With them what its multiply-adds alone would take at `float_rate` a second: each once forward, once for the gradient
    of what it is applied to and once for that of its weight.
    """
    height, width, layout = video.height, video.width, layout_key(video.layout)
    config = with_prior(PyramidConfig().for_video(video), layout, 1e-3)
    plan, random = PyramidFit(config, layout, height, width), np.random.default_rng(0)
    latents = np.rint(random.laplace(scale=0.7, size=plan.num_latents)).astype(np.float32)
    weights = prior_weights(stored_prior(config.prior))
    targets = random.random(plan.num_samples).astype(np.float32)
    leaves = [torch.from_numpy(array).requires_grad_() for array in (latents, weights)]

    def in_torch() -> None:
        arrays = network.split_weights(leaves[1], config, layout)
        grids = network.split_latents(leaves[0], config, height, width)
        planes = network.reconstruct(grids, arrays, layout)
        samples = torch.cat([plane.flatten() for plane in planes])
        bits = network.grid_bits(grids, arrays, config).sum()
        loss = (samples - torch.from_numpy(targets)).square().mean() + 1e-3 * bits / plan.num_pixels
        torch.autograd.grad(loss, leaves)

    found = {
        "native": median_seconds(lambda: plan.step(latents, weights, targets, 1e-3), time.process_time, repeats),
        "torch": median_seconds(in_torch, time.process_time, max(1, repeats // 3)),
    }
    return {
        "profile": f"pyramid {layout}",
        "multiply_adds_us_per_pixel": 3 * picture_multiply_adds(config, video.pix_fmt).total / float_rate * 1e6,
        **{f"{engine}_us_per_pixel": value / plan.num_pixels * 1e6 for engine, value in found.items()},
        "ratio": found["torch"] / found["native"],
    }


def float_multiply_adds_a_second(repeats: int) -> float:
    """What a product of matrices in torch reaches on this core."""
    side = 1024
    matrix = torch.rand(side, side)
    return side**3 / median_seconds(lambda: matrix @ matrix, time.process_time, repeats)


def print_pictures(clips: Sequence[tuple[str, ArraySource]], work: Path, repeats: int) -> dict[str, Any]:
    """Both tables; returns their rows."""
    print(
        f"\n{'pictures':10} {'rate':5} {'bpp':>6} | Mpixel/s of one core: {'entropy':>8} {'synthesis':>9} {'whole':>7}"
        " | 2 threads  MACs"
    )
    rows = []
    for name, clip in clips:
        for rate, rd_weight in RATES.items():
            row = bench_picture(name, rate, picture_stream(clip, rd_weight, work), repeats)
            rows.append(row)
            print(
                f"{name:10} {rate:5} {row['bpp']:6.3f} | {'':22}{row['entropy_mpixel_s']:8.1f}"
                f" {row['synthesis_mpixel_s']:9.1f} {row['whole_mpixel_s']:7.1f} | {row['two_thread_speedup']:8.2f}x"
                f" {row['multiply_adds_a_pixel']:5.0f}"
            )
    float_rate = float_multiply_adds_a_second(repeats)
    steps = [bench_step(video, repeats, float_rate) for video in STEP_VIDEOS]
    print(
        "\nfit step of a picture, one thread, CPU microseconds a pixel; its multiply-adds alone, at the"
        f" {float_rate / 1e9:.0f} G a second of a product of matrices"
    )
    for step in steps:
        print(
            f"{step['profile']:12} native {step['native_us_per_pixel']:.3f}  torch {step['torch_us_per_pixel']:.3f}"
            f"  ratio {step['ratio']:.1f}  multiply-adds {step['multiply_adds_us_per_pixel']:.3f}"
        )
    return {"pictures": rows, "picture_fit": steps}
