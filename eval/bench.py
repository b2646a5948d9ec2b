# SPDX-License-Identifier: MIT
"""`make bench`: how fast this machine decodes and fits, and how far that is from what it could do.

Decoding is timed on streams of three sizes at two rates and of both models, whole and in parts; a fit step in native
and in torch. All figures are CPU seconds of this process (whole decodes with two threads: wall seconds), medians of
several runs; MiB are those of a process that only decodes, on one thread. A stream of the C3 model is fitted with few
steps, and at 1920x1080 one fitted patch stands in for all 24: speed does not depend on what the picture shows, but on
sizes and on how many latents are not zero.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from c3video import native
from c3video.c3.config import C3Config, C3FitConfig
from c3video.c3.decode import patch_grid
from c3video.c3.engine import ENGINES as C3_ENGINES
from c3video.c3.fit.network import PatchNetwork, default_windows
from c3video.c3.payload import decode_patch
from c3video.config import c3_config
from c3video.decoder import Decoder, decode_segment
from c3video.encoder import encode
from c3video.engine import choose_engine
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig
from c3video.hybrid.decode import account
from c3video.hybrid.engine import ENGINES as HYBRID_ENGINES
from c3video.hybrid.fit.segment import fit_segment
from c3video.media.source import open_source
from c3video.stream.layout import VERSION, Header, Segment
from c3video.stream.writer import Writer
from c3video.video import ArraySource, Planes, VideoFormat, cells_to_planes, frame_hash
from eval.bench_pictures import print_pictures
from eval.clock import median_seconds
from eval.launch import launch_decode
from handover import provenance
from handover.files import write_json

CLIP = Path(__file__).resolve().parent.parent / "pipelines" / "clips" / "bunny_320x180.mkv"
SIZES = {"176x144": (176, 144), "352x288": (352, 288), "1920x1080": (1920, 1080)}
RATES = {"low": 4e-3, "high": 3e-4}
"""rd_weight of the two rates; the table states the bpp that they gave."""
NUM_FRAMES = 32


def clip_of_size(width: int, height: int) -> ArraySource:
    """The repository's clip, mirrored in time and space until it fills `width` x `height` and 32 frames."""
    with open_source(CLIP) as source:
        frames = [frame.planes for frame in source]
    frames = (frames + frames[::-1])[:NUM_FRAMES]
    video = VideoFormat(width, height, "yuv420p", time_base=Fraction(1, 25), frame_rate=Fraction(25))

    def fill(plane: np.ndarray[Any, Any], shape: tuple[int, int]) -> np.ndarray[Any, Any]:
        pads = [(0, max(0, n - have)) for n, have in zip(shape, plane.shape, strict=True)]
        return np.ascontiguousarray(np.pad(plane, pads, mode="symmetric")[: shape[0], : shape[1]])

    filled: list[Planes] = [tuple(fill(p, s) for p, s in zip(f, video.plane_shapes, strict=True)) for f in frames]
    return ArraySource(filled, video)


def make_stream(width: int, height: int, rd_weight: float, steps: int, work: Path) -> bytes:
    """A stream of one segment at that size, kept in `work`."""
    path = work / f"bench_v{VERSION}_{width}x{height}_{rd_weight:g}_{steps}.c3v"
    if path.exists():
        return path.read_bytes()
    large = width * height > 352 * 288
    patch = clip_of_size(320, 270) if large else clip_of_size(width, height)
    fit = C3FitConfig(
        rd_weight=rd_weight, noise_steps=steps, rounding_steps=5, weight_steps=5, window_steps=max(1, steps // 4)
    )
    file = io.BytesIO()

    def report(progress: Any) -> None:
        if sys.stderr.isatty():
            print(f"\rfitting {path.name}: step {progress.fit.step}/{progress.fit.num_steps}", end="", file=sys.stderr)

    encode(patch, file, c3_config("paper"), fit, num_threads=1, report=report)
    data = repeat_patch(file.getvalue(), width, height) if large else file.getvalue()
    path.write_bytes(data)
    return data


def repeat_patch(data: bytes, width: int, height: int) -> bytes:
    """A stream of `width` x `height` whose patches are all the one of `data`."""
    with Decoder(io.BytesIO(data)) as clip:
        header, segment = clip.header, next(clip.coded_segments())
        cells = [f.planes for f in clip_frames(header, segment)]
    rows, columns = height // header.video.height, width // header.video.width
    video = replace(header.video, width=width, height=height)
    frames = [tuple(np.tile(plane, (rows, columns)) for plane in planes) for planes in cells]
    tiled = Header(video, header.model, header.segment_frames, rows, columns)
    out = io.BytesIO()
    with Writer(out, tiled) as writer:
        hashes = tuple(frame_hash(planes) for planes in frames)
        writer.write_segment(replace(segment, frame_hashes=hashes, patches=segment.patches * (rows * columns)))
    return out.getvalue()


def clip_frames(header: Header, segment: Segment) -> list[Any]:
    """Decoded frames of one segment."""
    return list(decode_segment(header, segment, "native"))


def bench_decode(name: str, rate: str, data: bytes, repeats: int) -> dict[str, Any]:
    """Mpixel/s of the parts and of the whole."""
    with Decoder(io.BytesIO(data)) as clip:
        header, segment = clip.header, next(clip.coded_segments())
    model = header.model
    assert isinstance(model, C3Config)
    video, num_frames = header.video, len(segment.pts)
    num_pixels = video.width * video.height * num_frames
    channels, max_value = video.layout.num_cell_channels, video.layout.max_value
    shapes = patch_grid(header).shapes(num_frames)
    jobs = list(zip(segment.patches, shapes, strict=True))
    kernels = C3_ENGINES["native"]

    def entropy() -> list[Any]:
        return [
            decode_patch(data, model, channels, shape, kernels.open_reader, kernels.decode_grid) for data, shape in jobs
        ]

    patches = entropy()

    def synthesis() -> list[Any]:
        return [kernels.synthesise(p.model, p.symbols, s, max_value) for p, (_, s) in zip(patches, jobs, strict=True)]

    cells = patch_grid(header).assemble(synthesis()).astype(video.layout.dtype)

    def frames() -> None:
        for index in range(num_frames):
            frame_hash(cells_to_planes(cells[:, index], video))

    def whole(threads: int = 1) -> None:
        for _ in decode_segment(header, segment, "native", threads):
            pass

    seconds = {
        part: median_seconds(run, time.process_time, repeats)
        for part, run in {"entropy": entropy, "synthesis": synthesis, "frames": frames, "whole": whole}.items()
    }
    wall_one = median_seconds(whole, time.perf_counter, repeats)
    wall_two = median_seconds(lambda: whole(2), time.perf_counter, repeats)
    num_symbols = sum(grid.size for patch in patches for grid in patch.symbols)
    return {
        "size": name,
        "rate": rate,
        "bpp": 8 * len(data) / num_pixels,
        "patches": len(jobs),
        "ns_per_symbol": seconds["entropy"] / num_symbols * 1e9,
        **{f"{part}_mpixel_s": num_pixels / value / 1e6 for part, value in seconds.items()},
        "two_thread_speedup": wall_one / wall_two,
        "peak_memory_mib": decoding_memory_mib(data),
    }


def decoding_memory_mib(data: bytes) -> float:
    """Most memory of `c3v decode --verify` of a stream on one thread, which runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.c3v"
        path.write_bytes(data)
        run = launch_decode(path)
    if run.exit_code:
        raise RuntimeError(run.stderr)
    return run.peak_bytes / (1 << 20)


def make_frames_stream(width: int, height: int, rd_weight: float, work: Path) -> bytes:
    """A stream of one segment of the hybrid model at that size, kept in `work`."""
    path = work / f"bench_v{VERSION}_frames_{width}x{height}_{rd_weight:g}.c3v"
    if not path.exists():
        clip, file = clip_of_size(width, height), io.BytesIO()
        fit = replace(HYBRID_PRESETS["ultrafast"], rd_weight=rd_weight)
        encode(clip, file, HybridConfig().for_video(clip.format), fit, num_threads=1)
        path.write_bytes(file.getvalue())
    return path.read_bytes()


def bench_decode_frames(name: str, rate: str, data: bytes, repeats: int) -> dict[str, Any]:
    """The same figures for the hybrid model, whose parts are reading and reconstruction."""
    with Decoder(io.BytesIO(data)) as clip:
        header, segment = clip.header, next(clip.coded_segments())
    num_frames = len(segment.pts)
    num_pixels = header.video.width * header.video.height * num_frames
    num_symbols = num_frames * sum(height * width for height, width in header.video.plane_shapes)

    def read() -> None:
        account(header, segment, HYBRID_ENGINES["native"])

    def whole(threads: int = 1) -> None:
        for _ in decode_segment(header, segment, "native", threads):
            pass

    reading, decoding = (median_seconds(run, time.process_time, repeats) for run in (read, whole))
    wall_one = median_seconds(whole, time.perf_counter, repeats)
    wall_two = median_seconds(lambda: whole(2), time.perf_counter, repeats)
    return {
        "size": name,
        "rate": rate,
        "bpp": 8 * len(data) / num_pixels,
        "ns_per_symbol": reading / num_symbols * 1e9,
        "reading_mpixel_s": num_pixels / reading / 1e6,
        "reconstruction_mpixel_s": num_pixels / max(decoding - reading, 1e-9) / 1e6,
        "whole_mpixel_s": num_pixels / decoding / 1e6,
        "two_thread_speedup": wall_one / wall_two,
        "peak_memory_mib": decoding_memory_mib(data),
    }


def print_decode_frames(sizes: list[str], work: Path, repeats: int) -> list[dict[str, Any]]:
    """The table of the hybrid model; returns its rows."""
    print(
        f"\n{'frames':10} {'rate':5} {'bpp':>6} {'ns/symbol':>9} | Mpixel/s of one core: "
        f"{'reading':>8} {'reconstruction':>14} {'whole':>7} | 2 threads  MiB"
    )
    rows = []
    for name in sizes:
        for rate, rd_weight in RATES.items():
            row = bench_decode_frames(name, rate, make_frames_stream(*SIZES[name], rd_weight, work), repeats)
            rows.append(row)
            print(
                f"{name:10} {rate:5} {row['bpp']:6.3f} {row['ns_per_symbol']:9.1f} | {'':22}"
                f"{row['reading_mpixel_s']:8.1f} {row['reconstruction_mpixel_s']:14.1f} {row['whole_mpixel_s']:7.1f}"
                f" | {row['two_thread_speedup']:8.2f}x {row['peak_memory_mib']:5.0f}"
            )
    return rows


def bench_fit(repeats: int) -> dict[str, Any]:
    """CPU microseconds a pixel of one step of stage 1 of `paper`, native and torch, on 16 frames of 176x144 as RGB."""
    size, channels = (16, 144, 176), 3
    config, generator = c3_config("paper"), torch.Generator().manual_seed(0)
    target = torch.rand(channels, *size, generator=generator)
    num_pixels = size[0] * size[1] * size[2]
    seconds = {}
    for engine in ("native", "torch"):
        network = PatchNetwork(
            config, channels, size, target.mean(dim=(1, 2, 3)), default_windows(config), generator, engine=engine
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-2, fused=True)

        def step(network: PatchNetwork = network, optimizer: torch.optim.Optimizer = optimizer) -> None:
            output = network(network.quantise(0.3, 1.7, generator))
            loss = network.distortion(output.samples, target) + 1e-3 * output.grid_bits.sum() / num_pixels
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 3e-2)
            optimizer.step()

        seconds[engine] = median_seconds(step, time.process_time, repeats)
    return {
        "profile": "paper",
        **{f"{engine}_us_per_pixel": value / num_pixels * 1e6 for engine, value in seconds.items()},
        "ratio": seconds["torch"] / seconds["native"],
    }


def bench_frame_fit(repeats: int) -> dict[str, Any]:
    """The same of `default`: coding five frames of 176x144 once (preset ultrafast), native and in NumPy."""
    source, model = clip_of_size(176, 144), HybridConfig()
    planes = [frame.planes for frame in source][:5]
    num_pixels = len(planes) * 176 * 144
    fit = replace(HYBRID_PRESETS["ultrafast"], rd_weight=1e-3)

    def code() -> None:
        fit_segment(planes, source.format, model, fit, choose_engine())

    seconds = {"native": median_seconds(code, time.process_time, repeats)}
    with mock.patch.dict(os.environ, C3VIDEO_ISA="none"):
        seconds["numpy"] = median_seconds(code, time.process_time, 1)
    return {
        "profile": "default",
        **{f"{engine}_us_per_pixel": value / num_pixels * 1e6 for engine, value in seconds.items()},
        "ratio": seconds["numpy"] / seconds["native"],
    }


def synthesis_macs_per_pixel() -> float:
    """Multiply-adds a luma sample of the synthesis networks of `paper`, 4:2:0 cells, without interpolation."""
    from c3video.c3.patch_model import layer_specs

    specs = layer_specs(c3_config("paper"), 6)
    return sum(float(np.prod(s.weight_shape)) for s in specs if s.network == "synthesis") / 4


def main() -> int:
    """Run and print; keep the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder for streams and figures")
    parser.add_argument("--steps", type=int, default=120, help="of the fits that make the streams")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(SIZES), help="of " + ", ".join(SIZES))
    arguments = parser.parse_args()
    if not native.available():
        print("bench: the C++ extension was not built; there is nothing to time", file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    peak = native.integer_peak()
    isa = native.isa()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {isa}:"
        f" {peak / 1e9:.0f} G int16 multiply-adds a second and core"
    )
    sizes = arguments.sizes.split(",")
    torch.set_num_threads(1)
    frames = print_decode_frames(sizes, arguments.out, arguments.repeats)
    pictures = print_pictures([(name, clip_of_size(*SIZES[name])) for name in sizes], arguments.out, arguments.repeats)
    rows = []
    print(
        f"\n{'patches':10} {'rate':5} {'bpp':>6} {'ns/symbol':>9} | Mpixel/s of one core: "
        f"{'entropy':>8} {'synthesis':>9} {'frames':>7} {'whole':>7} | 2 threads  MiB"
    )
    macs = synthesis_macs_per_pixel()
    for name in sizes:
        for rate, rd_weight in RATES.items():
            row = bench_decode(
                name, rate, make_stream(*SIZES[name], rd_weight, arguments.steps, arguments.out), arguments.repeats
            )
            row["synthesis_share_of_peak"] = row["synthesis_mpixel_s"] * 1e6 * macs / peak
            rows.append(row)
            print(
                f"{name:10} {rate:5} {row['bpp']:6.3f} {row['ns_per_symbol']:9.1f} | {'':22}"
                f"{row['entropy_mpixel_s']:8.1f} {row['synthesis_mpixel_s']:9.1f} {row['frames_mpixel_s']:7.0f}"
                f" {row['whole_mpixel_s']:7.1f} | {row['two_thread_speedup']:8.2f}x {row['peak_memory_mib']:5.0f}"
            )
    print(
        f"\nsynthesis: {macs:.0f} multiply-adds a pixel, {100 * max(r['synthesis_share_of_peak'] for r in rows):.0f}%"
        " of the machine's peak at best"
    )
    fits = [bench_fit(arguments.repeats)]
    print("\nfit step, one thread, CPU microseconds a pixel (one luma sample of one frame)")
    for fit in fits:
        print(
            f"{fit['profile']:8} native {fit['native_us_per_pixel']:.3f}  torch {fit['torch_us_per_pixel']:.3f}"
            f"  ratio {fit['ratio']:.1f}"
        )
    coded = bench_frame_fit(arguments.repeats)
    fits.append(coded)
    print(
        "\ncoding five frames once, one thread, CPU microseconds a pixel\n"
        f"default  native {coded['native_us_per_pixel']:.3f}  NumPy {coded['numpy_us_per_pixel']:.3f}"
        f"  ratio {coded['ratio']:.1f}"
    )
    figures = {"isa": isa, "integer_peak": peak, "frames": frames, "patches": rows, "fit": fits} | pictures
    write_json(arguments.out / "bench.json", {"commit": provenance.commit()} | figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
