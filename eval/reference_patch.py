# SPDX-License-Identifier: MIT
"""Is this C3? One small patch, fitted as the reference was, measured on the coded file (`make reference`).

The reference (google-deepmind/c3_neural_compression, commit e63e751) was run on a CPU on the first 16 frames of
carphone (176x144, RGB) with rd_weight 1e-3: 100 steps of window learning, 2,000 of stage 1, 200 of stage 2; its
bits are estimates. Here the profile `paper` does the same, and the loss is computed from file bytes and decoded frames.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

import c3video.decoder
from c3video.c3.config import C3FitConfig
from c3video.config import model_config
from c3video.encoder import EncodeProgress, encode
from c3video.errors import SourceError
from c3video.video import ArraySource, VideoFormat

RD_WEIGHT = 1e-3
REFERENCE = {"loss": 7.06e-4, "psnr_rgb_seq": 34.88, "bpp": 0.3805}
"""What the reference reached on this patch, bits estimated, weights included."""
FIT = C3FitConfig(
    rd_weight=RD_WEIGHT,
    noise_steps=2000,
    rounding_steps=200,
    weight_steps=50,
    window_search="wide",
    window_steps=100,
    learning_rate=1e-2,
    latent_rate=1.0,
)


def main() -> int:
    """Fit, code, decode, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patch", type=Path, help="c3_patch_carphone.npy: uint8 RGB (16, 144, 176, 3)")
    parser.add_argument("--out", type=Path, help="keep the .c3v file here")
    parser.add_argument("--steps", type=float, default=1.0, help="multiply all steps, to try things out")
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    try:
        rgb = np.load(arguments.patch, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SourceError(f"{arguments.patch}: cannot be read as a .npy array: {error}") from error
    height, width = rgb.shape[1:3]
    video = VideoFormat(width, height, "gbrp", time_base=Fraction(1, 30), frame_rate=Fraction(30))
    gbr = np.ascontiguousarray(rgb[..., [1, 2, 0]])
    source = ArraySource([tuple(np.ascontiguousarray(frame[..., c]) for c in range(3)) for frame in gbr], video)
    scaled = {
        name: round(getattr(FIT, name) * arguments.steps)
        for name in ("noise_steps", "rounding_steps", "weight_steps", "window_steps")
    }
    file = io.BytesIO()
    started = time.process_time()

    def report(progress: EncodeProgress) -> None:
        fit = progress.fit
        if fit.step % 100 == 0:
            print(
                f"{fit.stage:9} {fit.step:5}/{fit.num_steps}  {fit.psnr_db:.2f} dB  {fit.bpp:.4f} bpp",
                file=sys.stderr,
            )

    reports = encode(source, file, model_config("paper"), replace(FIT, **scaled), seed=arguments.seed, report=report)
    fit_seconds = time.process_time() - started
    data = file.getvalue()
    if arguments.out:
        arguments.out.write_bytes(data)
    with c3video.decoder.Decoder(io.BytesIO(data)) as clip:
        decoded = np.stack([np.stack(frame.planes, axis=-1) for frame in clip])
    with c3video.decoder.Decoder(io.BytesIO(data)) as clip:
        segments = list(clip.coded_segments())
    mse = float(np.mean((decoded.astype(np.float64) - gbr) ** 2)) / 255**2
    num_pixels = rgb.shape[0] * height * width
    # Patch bytes beside whole-file bytes: the reference counts no container.
    coded = {
        "file": 8 * len(data),
        "patch": 8 * sum(len(patch) for segment in segments for patch in segment.patches),
    }
    print(
        f"reference   loss {REFERENCE['loss']:.4e}  {REFERENCE['psnr_rgb_seq']:.2f} dB"
        f"  {REFERENCE['bpp']:.4f} bpp (estimated)"
    )
    for name, bits in coded.items():
        loss = mse + RD_WEIGHT * bits / num_pixels
        print(
            f"this {name:6} loss {loss:.4e}  {-10 * np.log10(mse):.2f} dB  {bits / num_pixels:.4f} bpp"
            f"  ({100 * (loss / REFERENCE['loss'] - 1):+.1f}%)"
        )
    for note in reports[0].notes:
        print(f"note: {note}")
    estimated = reports[0].estimated_bits
    print(
        f"estimated {estimated / 8:.0f} bytes, patch {coded['patch'] / 8:.0f}, file {len(data)};"
        f" {fit_seconds:.0f} CPU seconds"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
