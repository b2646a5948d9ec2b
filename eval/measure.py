# SPDX-License-Identifier: MIT
"""Originals and streams in, tables out: what every stream of a run folder is worth.

    OUT/clips.json, streams/*.c3v, classic/*.ivf -> each stream against its original -> OUT/measured/STREAM.json
                                                                  | all of them
                                                                  v
                      OUT/points.csv, frames.csv, bits.csv, windows.csv, convergence.csv; totals in run.json

Both sides are decoded in lockstep, so memory does not grow with the clip. A stream is measured once; what has changed
is measured again. Figures are defined in `c3video.metrics`; RGB is made as the published experiments made it
(`c3video.media.rgb`).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import c3video.decoder
from c3video import metrics
from c3video.errors import C3VideoError, SourceError, StreamError
from c3video.media.rgb import FfmpegRgb
from c3video.models import multiply_adds
from c3video.stream.layout import Header
from c3video.video import Frame, Planes, VideoFormat
from eval.classic_set import IvfDecoder
from handover.clips import Clip, read_clips
from handover.files import read_json, write_csv, write_json

STREAM_COLUMNS = ("clip", "profile", "preset", "quality")
PLANE_COLUMNS = ("psnr_y", "psnr_u", "psnr_v")
POINT_COLUMNS = (
    *("clip", "codec", "profile", "preset", "tune", "quality"),
    *("num_frames", "width", "height", "clip_seconds", "size_bytes", "bpp"),
    *(*PLANE_COLUMNS, "psnr_yuv611", "psnr_rgb", "psnr_rgb_seq", "ssim"),
    *("encode_seconds", "encode_cpu_seconds", "decode_seconds", "decode_cpu_seconds", "peak_memory_mib"),
    *("macs_per_pixel", "commit"),
)
FRAME_COLUMNS = ("clip", "codec", "profile", "preset", "tune", "quality", "frame", *PLANE_COLUMNS, "psnr_rgb")
BITS_COLUMNS = (*STREAM_COLUMNS, "part", "bits")
WINDOW_COLUMNS = (*STREAM_COLUMNS, "segment", "patch", "grid", "y", "x")
CONVERGENCE_COLUMNS = (*STREAM_COLUMNS, "segment", "patch", "stage", "step", "loss", "psnr_db", "bpp")

VERSION = 3
"""Of what measured/*.json hold; older ones are made again."""


@dataclass
class Quality:
    """Figures of one stream, frame by frame.

    Args:
        frames: name of a figure -> its value for each frame, in dB (ssim: in -1..1).
        mse_rgb: of each frame, in squared sample steps.
    """

    frames: dict[str, list[float]] = field(default_factory=dict)
    mse_rgb: list[float] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.frames.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """The mean over frames of each figure, and `psnr_rgb_seq`; RGB has 8 bits."""
        found = {name: sum(values) / len(values) for name, values in self.frames.items()}
        if self.mse_rgb:
            found["psnr_rgb_seq"] = metrics.psnr_db(sum(self.mse_rgb) / len(self.mse_rgb), 255)
        return found


def quality_of(
    originals: Iterable[Frame],
    decoded: Iterable[Planes],
    format: VideoFormat,
    rgb_format: VideoFormat,
    *,
    decoded_is_rgb: bool = False,
    with_ssim: bool = True,
    name: str = "the stream",
) -> Quality:
    """Compare a clip with what came out of a decoder.

    Args:
        originals: of `format`.
        decoded: planes of as many frames, of `format`, or gbrp with `decoded_is_rgb`.
        rgb_format: `format` as the conversion to RGB should see it.
        decoded_is_rgb: the codec coded RGB: the originals are converted before anything is compared.
        name: of the stream, for errors.

    Raises:
        SourceError: the two have not the same number of frames.
    """
    to_rgb = FfmpegRgb(rgb_format) if format.layout.bit_depth == 8 else None
    if decoded_is_rgb and to_rgb is None:
        raise SourceError(f"{name}: is RGB, but its original is {format.pix_fmt}, which is not converted here")
    planes_are_rgb = decoded_is_rgb or format.layout.is_rgb
    max_value = format.layout.max_value
    found = Quality()
    for index, (original, planes) in enumerate(zip_longest(originals, decoded)):
        if original is None or planes is None:
            raise SourceError(f"{name}: after {index} frames either it or its original ends, but not both")
        rgb = to_rgb(original).planes if to_rgb is not None else None
        reference = rgb if decoded_is_rgb and rgb is not None else original.planes
        if not planes_are_rgb:
            psnrs = [metrics.psnr_db(metrics.mse(a, b), max_value) for a, b in zip(reference, planes, strict=True)]
            for plane_name, value in zip("yuv", psnrs):  # noqa: B905 (gray has one)
                found.add(f"psnr_{plane_name}", value)
            if len(psnrs) == 3:
                found.add("psnr_yuv611", metrics.yuv611(*psnrs))
        if to_rgb is not None and rgb is not None:
            decoded_rgb = planes if planes_are_rgb else to_rgb(Frame(planes, index)).planes
            mses = [metrics.mse(a, b) for a, b in zip(rgb, decoded_rgb, strict=True)]
            found.mse_rgb.append(sum(mses) / 3)
            found.add("psnr_rgb", metrics.psnr_db(found.mse_rgb[-1], max_value))
        if with_ssim and min(format.width, format.height) >= metrics.SSIM_WINDOW:
            pairs = list(zip(reference, planes, strict=True))[: 3 if planes_are_rgb else 1]
            found.add("ssim", sum(metrics.ssim(a, b, max_value) for a, b in pairs) / len(pairs))
    return found


def measure_c3v(path: Path, clip: Clip, record: dict[str, Any], with_ssim: bool) -> dict[str, Any]:
    """Figures of a .c3v file.

    Args:
        record: what its encoder left, streams/*.json.

    Raises:
        SourceError, StreamError: it or its original cannot be read, or they do not belong together.
    """
    timer = _Timer()
    with clip.open() as source, c3video.decoder.open(path) as decoder:
        header = decoder.header
        found = quality_of(
            source,
            timer.over(frame.planes for frame in decoder),
            source.format,
            clip.rgb_format(source.format),
            decoded_is_rgb=header.video.layout.is_rgb and not source.format.layout.is_rgb,
            with_ssim=with_ssim,
            name=str(path),
        )
    point = {
        "clip": clip.name,
        "codec": "c3video",
        "profile": record["profile"],
        "preset": record["preset"],
        "tune": "",
        "quality": record["rd_weight"],
        "size_bytes": path.stat().st_size,
        "encode_seconds": record["encode_seconds"],
        "encode_cpu_seconds": record["encode_cpu_seconds"],
        "decode_seconds": round(timer.seconds, 4),
        "decode_cpu_seconds": round(timer.cpu_seconds, 4),
        "macs_per_pixel": round(multiply_adds(header.model, header.video.pix_fmt).total, 1),
        "commit": record["commit"],
    }
    bits, windows = bits_and_windows(path, header)
    return {
        "point": _finish(point, found, clip, source.format),
        "frames": _frames(found),
        "bits": bits,
        "windows": windows,
    }


def measure_classic(path: Path, clip: Clip, record: dict[str, Any], with_ssim: bool) -> dict[str, Any]:
    """Figures of another codec's stream; `record` is what its encoder left, classic/*.json. Raises SourceError."""
    with clip.open() as source:
        found = quality_of(
            source,
            IvfDecoder(path, record["codec"], source.format),
            source.format,
            clip.rgb_format(source.format),
            with_ssim=with_ssim,
            name=str(path),
        )
    names = ("preset", "tune", "size_bytes", "encode_seconds", "encode_cpu_seconds", "decode_seconds")
    point = {name: record[name] for name in (*names, "decode_cpu_seconds")}
    point |= {"clip": clip.name, "codec": record["encoder"], "profile": "", "quality": record["crf"]}
    return {"point": _finish(point, found, clip, source.format), "frames": _frames(found)}


def _finish(point: dict[str, Any], found: Quality, clip: Clip, format: VideoFormat) -> dict[str, Any]:
    num_frames = len(next(iter(found.frames.values())))
    means = {name: _rounded(value) for name, value in found.means().items()}
    size: dict[str, Any] = {"num_frames": num_frames, "width": clip.width, "height": clip.height}
    if num_frames > 1 and format.frame_rate:
        size["clip_seconds"] = float(f"{float(num_frames / format.frame_rate):.6g}")
    bpp = metrics.bpp(point["size_bytes"], num_frames, clip.height, clip.width)
    return point | size | {"bpp": float(f"{bpp:.6g}")} | means


def _frames(found: Quality) -> dict[str, list[float | str]]:
    return {name: [_rounded(value) for value in values] for name, values in found.frames.items() if name != "ssim"}


def _rounded(value: float) -> float | str:
    return round(value, 4) if math.isfinite(value) else "inf"


class _Timer:
    """Seconds that an iterator takes to give its items, without what is done with them."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def over(self, items: Iterable[Planes]) -> Iterator[Planes]:
        iterator = iter(items)
        while True:
            started, cpu_started = time.perf_counter(), time.process_time()
            item = next(iterator, None)
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.process_time() - cpu_started
            if item is None:
                return
            yield item


def bits_and_windows(path: Path, header: Header) -> tuple[dict[str, float], list[list[int]]]:
    """Bits by part of a stream, and [segment, patch, grid, y, x] of each learned window, as `c3v info --json` says.

    The hybrid model has no windows: its motion is in the bits by part.

    Raises:
        StreamError: it says that the stream is damaged.
    """
    run = subprocess.run(
        [sys.executable, "-m", "c3video", "info", str(path), "--json"], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise StreamError(run.stderr.strip() or f"{path}: c3v info failed")
    facts = json.loads(run.stdout)
    in_segments = sum(segment["size_bytes"] for segment in facts["segments"])
    bits = dict(facts["bits"]) | {"header and index": 8.0 * (facts["size_bytes"] - in_segments)}
    windows = [
        [segment["number"], patch, grid, *corner]
        for segment in facts["segments"]
        for patch, corners in enumerate(segment.get("previous_windows", ()))
        for grid, corner in enumerate(corners)
        # A window looks at the previous frame: a segment of one has none.
        if corner is not None and segment["num_frames"] > 1
    ]
    return bits, windows


def _convergence(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for path in sorted(folder.glob("*.steps.csv")):
        with path.open(newline="") as file:
            rows += [{"segment": int(path.name.split(".")[0]), **row} for row in csv.DictReader(file)]
    return rows


def run(out: Path, *, with_ssim: bool = True, names: Sequence[str] | None = None) -> int:
    """Measure what has not been, then write the tables; returns the number of points.

    Raises:
        SourceError, StreamError: a stream or its original cannot be read.
    """
    clips = {clip.name: clip for clip in read_clips(out, names)}
    results = []
    for path in [*sorted((out / "streams").glob("*.c3v")), *sorted((out / "classic").glob("*.ivf"))]:
        record = read_json(path.with_suffix(".json"))
        clip = clips.get(record["clip"])
        if clip is None:
            continue
        if record["frames"] != [clip.first, clip.last]:
            first, last = record["frames"]
            raise SourceError(f"{path}: is of frames {first}:{last}, but clips.json says {clip.first}:{clip.last}")
        result = _measured(out, path, clip, record, with_ssim)
        if path.suffix == ".c3v":
            result["convergence"] = _convergence(out / "units" / path.stem)
            result["point"] |= _decoding(out, path, result["key"]["stream_crc32"])
        results.append(result)
    _write_tables(out, results)
    _write_totals(out, results)
    return len(results)


def _decoding(out: Path, path: Path, stream_crc32: int) -> dict[str, Any]:
    """Seconds and memory of a decoder with a process of its own, where decoded/ has them of this very stream."""
    record_path = out / "decoded" / f"{path.stem}.json"
    record = read_json(record_path) if record_path.exists() else {}
    if record.get("file_crc32") != stream_crc32:
        return {}
    return {name: record[name] for name in ("decode_seconds", "decode_cpu_seconds", "peak_memory_mib")}


def _measured(out: Path, path: Path, clip: Clip, record: dict[str, Any], with_ssim: bool) -> dict[str, Any]:
    """What measured/ has of a stream, or else a new measurement."""
    target = out / "measured" / f"{path.stem}.json"
    key = {
        "version": VERSION,
        "stream_crc32": zlib.crc32(path.read_bytes()),
        "record_crc32": zlib.crc32(path.with_suffix(".json").read_bytes()),
        "ssim": with_ssim,
    }
    if target.exists():
        known: dict[str, Any] = read_json(target)
        if known["key"] == key:
            return known
    if path.suffix == ".c3v":
        result = measure_c3v(path, clip, record, with_ssim)
    else:
        result = measure_classic(path, clip, record, with_ssim)
    result["key"] = key
    write_json(target, result)
    point = result["point"]
    figures = (f"{name} {point[name]}" for name in ("psnr_yuv611", "psnr_rgb", "psnr_y") if name in point)
    print(f"measure: {path.stem}: {point['bpp']} bpp, {', '.join(figures)}", file=sys.stderr, flush=True)
    return result


def _write_tables(out: Path, results: Sequence[dict[str, Any]]) -> None:
    points = [result["point"] for result in results]
    write_csv(out / "points.csv", POINT_COLUMNS, points)
    frames, bits, windows, convergence = [], [], [], []
    for result in results:
        point = result["point"]
        name = {column: point[column] for column in ("clip", "codec", "profile", "preset", "tune", "quality")}
        for index in range(point["num_frames"]):
            figures = {key: values[index] for key, values in result["frames"].items() if key in FRAME_COLUMNS}
            frames.append(name | {"frame": index} | figures)
        stream = {column: point[column] for column in STREAM_COLUMNS}
        bits += [stream | {"part": part, "bits": value} for part, value in result.get("bits", {}).items()]
        windows += [
            stream | dict(zip(WINDOW_COLUMNS[-5:], window, strict=True)) for window in result.get("windows", [])
        ]
        convergence += [stream | row for row in result.get("convergence", [])]
    write_csv(out / "frames.csv", FRAME_COLUMNS, frames)
    write_csv(out / "bits.csv", BITS_COLUMNS, bits)
    write_csv(out / "windows.csv", WINDOW_COLUMNS, windows)
    write_csv(out / "convergence.csv", CONVERGENCE_COLUMNS, convergence)


def _write_totals(out: Path, results: Sequence[dict[str, Any]]) -> None:
    """Hours of encoding and decoding by codec, in run.json beside what is there."""
    path = out / "run.json"
    hours: dict[str, dict[str, float]] = {}
    for result in results:
        point = result["point"]
        sums = hours.setdefault(point["codec"], dict.fromkeys(("encode", "encode_cpu", "decode_cpu"), 0.0))
        for name in sums:
            sums[name] += float(point[f"{name}_seconds"]) / 3600
    facts = read_json(path) if path.exists() else {}
    facts["hours"] = {codec: {name: round(value, 4) for name, value in sums.items()} for codec, sums in hours.items()}
    facts["machine_hours"] = round(sum(sums["encode"] for sums in hours.values()), 4)
    write_json(path, facts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a run folder."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.measure",
        description="Compare OUT/streams/*.c3v and OUT/classic/*.ivf with their originals and write OUT/*.csv.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of a run, with clips.json")
    parser.add_argument("--clips", metavar="A,B", help="only these clips")
    parser.add_argument("--no-ssim", action="store_true", help="leave SSIM out, which takes longer than all the rest")
    options = parser.parse_args(arguments)
    try:
        num_points = run(
            options.out, with_ssim=not options.no_ssim, names=options.clips.split(",") if options.clips else None
        )
    except (C3VideoError, OSError) as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("measure: interrupted; run it again to go on", file=sys.stderr)
        return 130
    print(f"{options.out / 'points.csv'}: {num_points} points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
