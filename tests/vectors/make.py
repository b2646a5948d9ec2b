# SPDX-License-Identifier: MIT
"""Make the conformance streams anew: `python -m tests.vectors.make`. Only with a new version of the format."""

from __future__ import annotations

import io
import json
import zlib
from pathlib import Path

from c3video.config import LatentGrid, ModelConfig, isotropic_grids
from c3video.decoder import Decoder
from tests.conftest import encode_quickly, moving_clip

HERE = Path(__file__).parent

STREAMS = {
    # name: (clip, model, options)
    "420_segments": (
        moving_clip(5, 18, 22, "yuv420p"),
        ModelConfig(grids=(LatentGrid(5, 0), LatentGrid(2, 0), *isotropic_grids(4, 2)), residual_time_size=1),
        {"segment_frames": 2},
    ),
    "422_10bit_patches": (
        moving_clip(3, 21, 35, "yuv422p10le"),
        ModelConfig(grids=isotropic_grids(3, 3), entropy_layers=(16,), synthesis_layers=(12, 8), context_size=5),
        {"patch_size": (16, 20)},
    ),
    "rgb_paper": (moving_clip(4, 16, 20, "gbrp"), ModelConfig(), {}),
    "gray_still": (
        moving_clip(1, 13, 9, "gray"),
        ModelConfig(grids=isotropic_grids(4, 0), synthesis_layers=(), residual_layers=0, q_step_256=51),
        {},
    ),
}


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


def main() -> None:
    digests = {}
    for name, (clip, model, options) in STREAMS.items():
        data = encode_quickly(clip, model, **options)
        (HERE / f"{name}.c3v").write_bytes(data)
        digests[name] = digest(data)
    (HERE / "digests.json").write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()
