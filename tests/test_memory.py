# SPDX-License-Identifier: MIT
"""Decoders take no more memory than is held against --max-memory, whatever the shape of frames."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from c3video import native
from c3video.c3.config import C3Config, LatentGrid
from c3video.c3.decode import patch_grid
from c3video.c3.patch_model import Layer, Precision, layer_specs
from c3video.c3.weight_coding import NETWORKS, choose_code, code_weights
from c3video.hybrid.coded_planes import coded_format, to_coded
from c3video.hybrid.compensation import BLOCK_SIZE, block_shape
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.key_picture import key_symbols
from c3video.hybrid.payload import CONTEXT_NETWORKS, HybridParameters, HybridSymbols, encode_payload, prior
from c3video.hybrid.subbands import slice_layouts
from c3video.models import DECODERS
from c3video.native import pyramid as native_pyramid
from c3video.native.pyramid import NATIVE_WRITING
from c3video.pyramid.config import PyramidConfig, latent_shapes
from c3video.pyramid.decode import is_run, join_pictures
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.run_payload import encode_run
from c3video.pyramid.runs import RunShape
from c3video.pyramid.synthesis import layout_key
from c3video.stream.layout import Header, Segment
from c3video.stream.writer import Writer
from c3video.video import Planes, VideoFormat
from tests.hybrid.streams import plain_field
from tests.pyramid.models import random_weights

pytestmark = [
    pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)"),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells the peak of this process alone"),
]

NOISE_BYTES = 12 << 20
"""Of the interpreter: what it frees and keeps, arrays' heads, stacks of threads."""

_CHILD = """
import sys

from c3video.decoder import Decoder
from c3video.stream.layout import Segment


def peak():
    # Not ru_maxrss, which begins with that of the process that started this one.
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def decode(path):
    with open(path, "rb") as file:
        clip = Decoder(file, threads=int(sys.argv[3]), engine="native", max_pixels=None, max_memory=None)
        return sum(1 for _ in clip)


Segment.check_frame = lambda *arguments: None  # the streams were made without decoding them
decode(sys.argv[1])
before = peak()
print(decode(sys.argv[2]), peak() - before)
"""


def c3_segment(header: Header, num_frames: int, corner: int) -> tuple[bytes, ...]:
    """Patches of zeros: their contexts and networks are zero too, so that all latents have one table."""
    config, channels = header.model, header.video.layout.num_cell_channels
    assert isinstance(config, C3Config)
    layers = tuple(
        Layer(spec, np.zeros(spec.weight_shape, np.int64), np.zeros(spec.bias_shape, np.int64), Precision(8, 9))
        for spec in layer_specs(config, channels)
    )
    codes = {name: choose_code([layer for layer in layers if layer.spec.network == name]) for name in NETWORKS}
    side = b"".join(codes[name].to_bytes() for name in NETWORKS)
    side += bytes([corner, corner]) * sum(grid.previous_window for grid in config.grids)
    patches = []
    for shape in patch_grid(header).shapes(num_frames):
        writer = native.NativeWriter()
        code_weights(writer, config, channels, codes, layers)
        zeros = np.zeros(sum(int(np.prod(grid.shape(*shape))) for grid in config.grids), dtype=np.int64)
        writer.code(zeros + 5, zeros, zeros)
        patches.append(side + writer.finish())
    return tuple(patches)


def _latents(config: PyramidConfig, video: VideoFormat, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = latent_shapes(config, video.height, video.width)
    return [((rng.random(shape) < 0.05) * rng.integers(-3, 4, shape)).astype(np.int16) for shape in shapes]


def _picture(config: PyramidConfig, video: VideoFormat) -> tuple[bytes, Planes]:
    weights, latents = random_weights(config, layout_key(video.layout)), _latents(config, video, 0)
    data = encode_picture(weights, latents, video, writing=NATIVE_WRITING)[0]
    return data, native_pyramid.synthesise(weights, latents, video.layout)


def pyramid_segment(header: Header, num_frames: int) -> tuple[bytes, ...]:
    """Pictures of sparse latents, or a run of four layers whose windows reach as far as they may."""
    config, video = header.model, header.video
    assert isinstance(config, PyramidConfig)
    if not is_run(config, num_frames):
        return (join_pictures(num_frames * [_picture(replace(config, num_previous=0), video)[0]]),)
    shape, windows = RunShape(num_frames, (3, 2, 1, 0)), [(31, -31)] * config.num_grids
    latents = [_latents(config, video, seed) for seed in range(len(shape.latent_frames))]
    weights = random_weights(config, layout_key(video.layout))
    return (encode_run(weights, shape, windows, latents, video, writing=NATIVE_WRITING)[0],)


def hybrid_segment(header: Header, num_frames: int, gop: int, has_picture: bool) -> tuple[bytes, ...]:
    """Sparse subbands and no motion."""
    config, video = header.model, header.video
    assert isinstance(config, HybridConfig)
    rng, frames = np.random.default_rng(0), coding_order(num_frames, gop)
    (whole,) = slice_layouts(video.plane_shapes, video.layout.planes, 1)

    def field(num_references: int) -> object:
        h, w = block_shape(video.plane_shapes[0], BLOCK_SIZE)
        zeros = np.zeros((num_references, 2, 2 * h, 2 * w), dtype=np.int64)
        return plain_field(zeros, zeros[0, 0], np.zeros((h, w), dtype=np.int64))

    symbols = [
        [
            [(rng.random(band.shape) < 0.05) * rng.integers(-3, 4, band.shape) for band in plane]
            for plane in whole.empty()
        ]
        for _ in frames
    ]
    picture, planes = _picture(config.key, video) if has_picture else (None, ())
    parameters = HybridParameters(
        gop,
        (56,) * num_frames,
        {name: prior(name) for name in CONTEXT_NETWORKS},
        dict.fromkeys(CONTEXT_NETWORKS),
        5,
        picture,
    )
    if has_picture:  # contexts of the frames after it are made from its samples
        coded = replace(coded_format(video), chroma_offset=parameters.chroma_offset)
        first = tuple(plane.astype(np.uint16) for plane in to_coded(planes, video.layout))
        symbols[0] = key_symbols(first, coded, parameters.step_indexes[0], ENGINES["native"].plane_symbols)
    found = HybridSymbols(
        tuple(field(len(frame.references)) if frame.references else None for frame in frames),
        tuple(symbols),
        [(1,) * len(whole.shapes) for _ in frames],
    )
    layouts = slice_layouts(video.plane_shapes, video.layout.planes, config.num_slices)
    writing = FIT_ENGINES["native"].writing
    return (encode_payload(parameters, found, num_frames, config, layouts, writing)[0],)


def video_format(height: int, width: int, pix_fmt: str = "yuv420p") -> VideoFormat:
    return VideoFormat(width, height, pix_fmt, time_base=Fraction(1, 25), frame_rate=Fraction(25))


def stream(header: Header, num_frames: int, patches: tuple[bytes, ...]) -> bytes:
    file, ones = io.BytesIO(), (1,) * num_frames
    with Writer(file, header) as writer:
        writer.write_segment(Segment(0, tuple(range(num_frames)), ones, ones, patches))
    return file.getvalue()


Make = Callable[[int, int, int], tuple[Header, tuple[bytes, ...]]]
"""(height, width, frames) -> header, and a segment of so many frames."""


def c3(patches: tuple[int, int] = (1, 1), corner: int = 0, residual_time_size: int = 1) -> Make:
    grids = (LatentGrid(0, 0, True), LatentGrid(1, 1, True), LatentGrid(2, 2))
    config = C3Config(grids, synthesis_layers=(8,), residual_time_size=residual_time_size)

    def make(height: int, width: int, num_frames: int) -> tuple[Header, tuple[bytes, ...]]:
        header = Header(video_format(height, width), config, num_frames, *patches)
        return header, c3_segment(header, num_frames, corner)

    return make


def pyramid(patch_units: int = 255, num_previous: int = 0, pix_fmt: str = "yuv420p") -> Make:
    config = PyramidConfig(
        patch_size=128 * patch_units, num_taps=16, num_previous=num_previous, filter_reach=3, num_hyper=4
    )

    def make(height: int, width: int, num_frames: int) -> tuple[Header, tuple[bytes, ...]]:
        header = Header(video_format(height, width, pix_fmt), config, num_frames, 1, 1)
        return header, pyramid_segment(header, num_frames)

    return make


def hybrid(gop: int = 8, num_slices: int = 1, has_picture: bool = False, patch_units: int = 255) -> Make:
    config = HybridConfig(num_slices=num_slices, key=PyramidConfig(patch_size=128 * patch_units, num_hyper=4))

    def make(height: int, width: int, num_frames: int) -> tuple[Header, tuple[bytes, ...]]:
        header = Header(video_format(height, width), config, num_frames, 1, 1)
        return header, hybrid_segment(header, num_frames, gop, has_picture)

    return make


TALL, WIDE = (16384, 16), (16, 16384)
CASES: dict[str, tuple[Make, tuple[int, int], int, int]] = {
    "c3 ordinary": (c3((2, 2)), (288, 352), 8, 3),
    "c3 tall": (c3(), TALL, 4, 1),
    "c3 tall, window below": (c3(corner=61), TALL, 4, 1),
    "c3 wide": (c3(), WIDE, 4, 1),
    "c3 wide, window below": (c3(corner=61), WIDE, 4, 1),
    "c3 many frames": (c3(), (1024, 2), 512, 1),
    "c3 many frames, window below": (c3(corner=61), (1024, 2), 512, 1),
    "c3 narrow patches, filters in time": (c3((1, 8), residual_time_size=3), (1024, 16), 16, 2),
    "pyramid ordinary": (pyramid(4), (1080, 1920), 2, 3),
    "pyramid tall": (pyramid(), TALL, 1, 1),
    "pyramid tall, RGB of 10 bits": (pyramid(pix_fmt="gbrp10le"), (16384, 3), 1, 4),
    "pyramid wide": (pyramid(), WIDE, 1, 1),
    "pyramid one row": (pyramid(), (1, 16384), 1, 4),
    "pyramid patches on threads": (pyramid(8), (4096, 1024), 1, 4),
    "run ordinary": (pyramid(4, 9), (288, 352), 12, 1),
    "run tall": (pyramid(255, 9), TALL, 5, 2),
    "run wide": (pyramid(255, 9), WIDE, 5, 2),
    "hybrid ordinary": (hybrid(), (288, 352), 17, 3),
    "hybrid tall": (hybrid(), TALL, 9, 1),
    "hybrid tall, slices on threads": (hybrid(num_slices=4), TALL, 9, 4),
    "hybrid wide": (hybrid(), WIDE, 9, 1),
    "hybrid wide, slices on threads": (hybrid(num_slices=4), (128, 4096), 9, 4),
    "hybrid many frames": (hybrid(gop=32), (64, 64), 128, 2),
    "key picture ordinary": (hybrid(has_picture=True, patch_units=4), (288, 352), 2, 1),
    "key picture tall": (hybrid(has_picture=True), TALL, 2, 1),
    "key picture wide": (hybrid(has_picture=True), WIDE, 2, 4),
}


@pytest.mark.parametrize("name", CASES)
def test_decoding_takes_no_more_memory_than_was_estimated(name: str, tmp_path: Path) -> None:
    make, (height, width), num_frames, threads = CASES[name]
    header, patches = make(height, width, num_frames)
    small, small_patches = make(128, 128, 2)  # what is loaded once is not of the stream
    for path, data in (
        ("small", stream(small, 2, small_patches)),
        ("stream", stream(header, num_frames, patches)),
    ):
        (tmp_path / path).write_bytes(data)
    command = [sys.executable, "-c", _CHILD, str(tmp_path / "small"), str(tmp_path / "stream"), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-300:]
    decoded, growth = map(int, done.stdout.split())
    assert decoded == num_frames
    estimate = DECODERS[header.model.KIND].memory_bytes(header, num_frames, "native", threads)
    print(f"{name}: grew by {growth >> 20} MiB, estimate {estimate >> 20} MiB")
    assert growth <= estimate + 2 * sum(map(len, patches)) + NOISE_BYTES
