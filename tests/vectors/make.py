# SPDX-License-Identifier: MIT
"""Make the conformance streams again: `python -m tests.vectors.make`. Only with a new version of the format.

The priors of the context networks and the filters are part of it: their digests in docs/c3v.md are written again as
well.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from c3video.c3.config import PAPER_MODELS, C3Config, LatentGrid, isotropic_grids
from c3video.decoder import Decoder
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.payload import CONTEXT_NETWORKS
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.priors import PRIORS
from c3video.video import ArraySource
from tests.conftest import encode_quickly, moving_clip
from tests.hybrid.streams import frame_header, synthetic_stream

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DOCUMENT = ROOT / "docs" / "c3v.md"
PYRAMID_DOCUMENT = ROOT / "docs" / "c3v_pyramid.md"

STREAMS: dict[str, Callable[[], bytes]] = {
    # Of the C3 model: clips, fitted for a few steps.
    "420_segments": lambda: encode_quickly(
        moving_clip(5, 18, 22, "yuv420p"),
        C3Config(grids=(LatentGrid(5, 0), LatentGrid(2, 0), *isotropic_grids(4, 2)), residual_time_size=1),
        segment_frames=2,
    ),
    "422_10bit_patches": lambda: encode_quickly(
        moving_clip(3, 21, 35, "yuv422p10le"),
        C3Config(grids=isotropic_grids(3, 3), entropy_layers=(16,), synthesis_layers=(12, 8), context_size=5),
        patch_size=(16, 20),
    ),
    "rgb_paper": lambda: encode_quickly(moving_clip(4, 16, 20, "gbrp"), C3Config()),
    "rgb_paper_shared": lambda: encode_quickly(moving_clip(3, 17, 21, "gbrp"), PAPER_MODELS["paper-shared"]),
    "rgb_paper_per_grid": lambda: encode_quickly(moving_clip(2, 14, 18, "gbrp"), PAPER_MODELS["paper-per-grid"]),
    "gray_still": lambda: encode_quickly(
        moving_clip(1, 13, 9, "gray"),
        C3Config(grids=isotropic_grids(4, 0), synthesis_layers=(), residual_layers=0, q_step_256=51),
    ),
    # Of the hybrid model: random symbols and motion, coded by nobody's decision.
    "frames_420_slices": lambda: synthetic_stream(
        frame_header(66, 40, "yuv420p", HybridConfig(3), segment_frames=6), (6, 2), gop=4, exponents=(2, None)
    )[0],
    "frames_422_10bit": lambda: synthetic_stream(
        frame_header(25, 33, "yuv422p10le", HybridConfig()), (4,), gop=1, density=0.1, exponents=(None, 0)
    )[0],
    "frames_444_priors": lambda: synthetic_stream(
        frame_header(17, 21, "yuv444p", HybridConfig()),
        (3,),
        gop=32,
        density=0.2,
        reach=5000,
        step_index=30,
        exponents=(None, None),
    )[0],
    "frames_rgb": lambda: synthetic_stream(
        frame_header(19, 22, "gbrp", HybridConfig()), (4,), gop=2, density=0.2, step_index=44
    )[0],
    # Its first frames pictures of the pyramid model, of random integers too.
    "frames_picture": lambda: synthetic_stream(
        frame_header(70, 36, "yuv420p", HybridConfig(num_slices=2), segment_frames=4),
        (4, 1),
        gop=2,
        density=0.1,
        exponents=(2, None),
        has_picture=True,
    )[0],
    # Of the pyramid model: pictures fitted for a few steps; from a prior, of shapes of their own, several patches.
    "pyramid_420_prior": lambda: encode_quickly(moving_clip(2, 44, 50, "yuv420p"), PyramidConfig(num_hyper=4)),
    "pyramid_gbrp10_patches": lambda: encode_quickly(
        moving_clip(1, 131, 140, "gbrp10le"),
        PyramidConfig(
            num_grids=5, num_taps=7, entropy_layers=(9,), synthesis_width=7, refine_width=3, patch_size=128, num_hyper=3
        ),
    ),
    "pyramid_422": lambda: encode_quickly(
        moving_clip(1, 19, 33, "yuv422p"), PyramidConfig(num_grids=3, entropy_layers=(8, 8), refine_width=0)
    ),
    # Runs of frames: with latents that belong to all of them, and without in several patches.
    "pyramid_run_still": lambda: encode_quickly(
        moving_clip(3, 40, 52, "yuv420p"), PyramidConfig(num_grids=4, num_previous=9, entropy_layers=(8,), num_hyper=4)
    ),
    "pyramid_run": lambda: encode_quickly(
        brightening(moving_clip(3, 22, 139, "gray10le")),
        PyramidConfig(num_grids=5, num_previous=3, synthesis_width=7, refine_width=3, patch_size=128, num_hyper=2),
    ),
    "frames_gray_still": lambda: synthetic_stream(frame_header(1, 50, "gray"), (1,), density=0.3, step_index=85)[0],
}


def brightening(source: ArraySource) -> ArraySource:
    """Frames with more light in each: nothing stays still."""
    frames = [tuple(plane // 2 + t * (plane // 7) for plane in frame.planes) for t, frame in enumerate(source)]
    return ArraySource(frames, source.format)


def digest(data: bytes) -> dict[str, object]:
    """What a decoder must find in a stream."""
    with Decoder(io.BytesIO(data), engine="numpy") as clip:
        frames = list(clip)
    pixels = b"".join(plane.tobytes() for frame in frames for plane in frame.planes)
    return {
        "size_bytes": len(data),
        "pts": [frame.pts for frame in frames],
        "shapes": [list(plane.shape) for plane in frames[0].planes],
        "pixels_crc32": zlib.crc32(pixels),
    }


def prior_row(name: str) -> str:
    """The line of docs/c3v.md that pins a prior."""
    data = (ROOT / "c3video" / "hybrid" / "priors" / f"{name}.i16").read_bytes()
    return f"| {name} | {len(data)} | {hashlib.sha256(data).hexdigest()} |"


def pyramid_prior_row(number: int) -> str:
    """The line of docs/c3v_pyramid.md that pins a prior of the pyramid model."""
    data = (ROOT / "c3video" / "pyramid" / "prior_files" / f"{number}.i16").read_bytes()
    return f"| {number} | {len(data)} | {hashlib.sha256(data).hexdigest()} |"


def main() -> None:
    digests = {}
    for name, make in STREAMS.items():
        data = make()
        (HERE / f"{name}.c3v").write_bytes(data)
        digests[name] = digest(data)
    (HERE / "digests.json").write_text(json.dumps(digests, indent=1) + "\n")
    text = DOCUMENT.read_text()
    for name in (*CONTEXT_NETWORKS, "filters"):
        text = re.sub(rf"^\| {name} \| \d+ \| [0-9a-f]{{64}} \|$", prior_row(name), text, flags=re.M)
    DOCUMENT.write_text(text)
    text = PYRAMID_DOCUMENT.read_text()
    for number in PRIORS:
        text = re.sub(rf"^\| {number} \| \d+ \| [0-9a-f]{{64}} \|$", pyramid_prior_row(number), text, flags=re.M)
    PYRAMID_DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
