# SPDX-License-Identifier: MIT
"""Valid streams of few bytes that decode to much: is each decoded in bounded memory, or refused before memory is asked
for?

    a flat picture, or a model of zeros -> .c3v -> c3v decode --verify --threads 1 -> outcome, peak memory

Each decode is a process of its own.

    python -m eval.large_streams [--out MD]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import c3video
from c3video.c3.config import C3Config, LatentGrid
from c3video.coding.varint import write_varint
from c3video.config import ModelConfig
from c3video.decoder import decode_segment
from c3video.engine import choose_engine
from c3video.errors import CorruptSegmentError
from c3video.native.pyramid import NATIVE_WRITING
from c3video.pyramid.config import PyramidConfig, latent_shapes
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.priors import zero_prior
from c3video.pyramid.synthesis import layout_key
from c3video.pyramid.weights import PyramidWeights
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import ArraySource, VideoFormat
from eval.launch import launch_decode


@dataclass(frozen=True)
class Large:
    """A stream: what it is, how many samples it decodes to, and what writes it to a path."""

    name: str
    num_samples: int
    write: Callable[[Path], None]


def flat(width: int, height: int, num_frames: int, pix_fmt: str = "gray") -> Large:
    """Of the hybrid model, by its encoder: frames of one gray."""
    video = VideoFormat(width, height, pix_fmt)
    planes = tuple(np.full(shape, 128, np.uint8) for shape in video.plane_shapes)

    def write(path: Path) -> None:
        source = ArraySource([planes] * num_frames, video)
        c3video.encode(source, path, preset="ultrafast", segment_frames=num_frames, workers=1, threads=1)

    return Large(f"hybrid, {_shown(video, num_frames)}", _num_samples(video, num_frames), write)


def zero_picture(width: int, height: int) -> Large:
    """Of the pyramid model: weights and latents of zero."""
    video, model = VideoFormat(width, height, "gray"), PyramidConfig(num_hyper=4)

    def write(path: Path) -> None:
        latents = [np.zeros(shape, np.int64) for shape in latent_shapes(model, height, width)]
        layout = layout_key(video.layout)
        weights = PyramidWeights(model, layout, zero_prior(model, layout).arrays, (64,) * model.num_grids)
        data, _ = encode_picture(weights, latents, video, writing=NATIVE_WRITING)
        _write(path, Header(video, model, 1, 1, 1), Segment(0, (0,), (1,), (0,), (write_varint(len(data)) + data,)))

    return Large(f"pyramid, {_shown(video, 1)}", _num_samples(video, 1), write)


def empty(model: ModelConfig, width: int, height: int, num_frames: int, pix_fmt: str = "gray", rows: int = 1) -> Large:
    """Whatever is refused by its header, or by the number of its frames: payloads hold nothing."""
    video = VideoFormat(width, height, pix_fmt)

    def write(path: Path) -> None:
        header = Header(video, model, num_frames, rows, rows)
        with path.open("wb") as file, Writer(file, header) as writer:
            numbers, ones = tuple(range(num_frames)), (1,) * num_frames
            writer.write_segment(Segment(0, numbers, ones, ones, (b"",) * header.num_patches))

    kind = type(model).__name__.removesuffix("Config").replace("Hybrid", "hybrid").replace("Pyramid", "pyramid")
    return Large(f"{kind}, {_shown(video, num_frames)}, empty", _num_samples(video, num_frames), write)


def _write(path: Path, header: Header, segment: Segment) -> None:
    """Write a stream of one frame, with the hash of what it decodes to."""
    try:
        list(decode_segment(header, segment, choose_engine()))
    except CorruptSegmentError as error:
        found = re.search(r"decoded to hash ([0-9a-f]{4})", str(error))
        if found is None:
            raise
        segment = replace(segment, frame_hashes=(int(found[1], 16),))
    with path.open("wb") as file, Writer(file, header) as writer:
        writer.write_segment(segment)


def _shown(video: VideoFormat, num_frames: int) -> str:
    return f"{video.pix_fmt}, {num_frames} x {video.width}x{video.height}"


def _num_samples(video: VideoFormat, num_frames: int) -> int:
    return num_frames * sum(height * width for height, width in video.plane_shapes)


STREAMS = (
    flat(1920, 1088, 32),
    flat(1024, 1024, 32, "yuv420p"),
    flat(4096, 4096, 1),
    flat(8192, 8192, 1),
    zero_picture(4096, 4096),
    empty(C3Config(grids=(LatentGrid(7, 7),)), 8192, 8192, 20, "yuv420p", 5),
    empty(C3Config(), 16384, 8192, 10, "yuv420p", 5),
    empty(C3Config(), 16384, 8192, 1, rows=2),
    empty(c3video.config.PROFILES["default"].model, 16384, 8192, 1),
)


def decoded(path: Path) -> tuple[str, int]:
    """(outcome, peak memory in bytes) of decoding a stream in a process of its own."""
    run = launch_decode(path)
    if run.exit_code == 0:
        return "decoded", run.peak_bytes
    said = run.stderr.strip().splitlines()[-1].removeprefix("c3v: ").removeprefix(f"{path}: ").partition(";")[0]
    return f"refused: {said}", run.peak_bytes


def main(argv: Sequence[str] | None = None) -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="MD", help="Markdown file (default: standard output)")
    arguments = parser.parse_args(argv)
    lines = ["| stream | bytes | MiB of samples | outcome | peak MiB |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.c3v"
        for stream in STREAMS:
            stream.write(path)
            outcome, peak = decoded(path)
            size = stream.num_samples >> 20
            lines.append(f"| {stream.name} | {path.stat().st_size:,} | {size} | {outcome} | {peak >> 20} |")
            print(lines[-1], file=sys.stderr)
    text = "\n".join(lines) + "\n"
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
