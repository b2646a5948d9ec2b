# SPDX-License-Identifier: MIT
"""Clips -> priors of the context networks, which ship with the package and are part of the format.

    clips x rd_weights --> segments, fitted with the present priors, first frames by subbands and as pictures
                       --> their symbols --> priors, from blank networks

    python -m pipelines.fit_priors a.mkv b.mkv ... --out c3video/hybrid/priors
    python -m pipelines.fit_priors a.mkv b.mkv ... --out c3video/hybrid/priors --networks motion --from-present
    python -m tests.vectors.make      (streams and digests that depend on the priors)

Clips on which results are reported must not be among them (eval/results/README.md says which were).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from tqdm import tqdm

from c3video.engine import choose_engine
from c3video.errors import C3VideoError
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.context_tuning import (
    FloatNetwork,
    Samples,
    blank_network,
    joined,
    to_integers,
    total_bits,
    tune,
)
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.own_networks import segment_samples
from c3video.hybrid.fit.segment import FittedFrames, fit_segment
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.payload import CONTEXT_NETWORKS, prior
from c3video.hybrid.subbands import slice_layouts
from c3video.media.source import open_source
from c3video.video import VideoFormat

RD_WEIGHTS = (2e-4, 8e-4, 2.5e-3, 6e-3)
NUM_FRAMES = 17
"""Enough for two anchors after the first."""
PICTURE_STEPS = 300
"""That a first frame is fitted for, where it is to be a picture."""
MAX_SAMPLES = 1 << 23
"""Of a segment: all of them."""
LEARNING_RATE = 1e-2
BATCH = 32768


def fit_clip(path: Path, rd_weight: float, num_frames: int, picture_steps: int = 0) -> tuple[VideoFormat, FittedFrames]:
    """The first frames of a clip, fitted with the priors that the package has.

    Args:
        picture_steps: 0: all frames are subbands.

    Raises:
        SourceError: the clip cannot be read.
    """
    with open_source(path, frames=(0, num_frames)) as source:
        video, planes = source.format, [frame.planes for frame in source]
    effort = replace(HYBRID_PRESETS["fast"], plans=3, passes=0, key_steps=picture_steps, still_steps=0)
    fit_config = replace(effort, rd_weight=rd_weight)
    return video, fit_segment(planes, video, HybridConfig().for_video(video), fit_config, choose_engine())


def clip_samples(path: Path, rd_weight: float, picture_steps: int) -> dict[str, Samples]:
    """Symbols of the first frames of a clip. Raises SourceError."""
    video, fitted = fit_clip(path, rd_weight, NUM_FRAMES, picture_steps)
    layout = slice_layouts(video.plane_shapes, video.layout.planes, 1)[0]
    frames = coding_order(len(fitted.decoded), fitted.parameters.gop)
    list_motion = FIT_ENGINES[choose_engine()].writing.list_motion
    num_pictures = int(fitted.parameters.picture is not None)
    return segment_samples(frames, fitted.symbols, layout, list_motion, num_pictures, MAX_SAMPLES)


def fit_prior(name: str, start: ContextNetwork, samples: Samples, steps: int) -> ContextNetwork:
    """A network of CONTEXT_NETWORKS fitted to symbols."""
    with tqdm(total=steps, desc=name, unit="step") as progress:

        def report(step: int, bits: float) -> None:
            progress.update()
            progress.set_postfix_str(f"{bits:.4f} bits a symbol")

        network = tune(samples, start, steps, LEARNING_RATE, batch=BATCH, report=report)
    found = to_integers(network, start, 0)
    found.check()
    print(
        f"{name}: {total_bits(FloatNetwork(found), samples) / 8:.0f} bytes of {len(samples)} samples", file=sys.stderr
    )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m pipelines.fit_priors"
    )
    parser.add_argument("clips", nargs="+", type=Path, help="none of those that results are reported on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the .i16 files")
    parser.add_argument("--steps", type=int, default=9000, help="of Adam, for each network (default: %(default)s)")
    parser.add_argument("--networks", default=",".join(CONTEXT_NETWORKS), help="which (default: %(default)s)")
    parser.add_argument("--from-present", action="store_true", help="begin with the priors that the package has")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    names = options.networks.split(",")
    if not set(names) <= set(CONTEXT_NETWORKS):
        parser.error(f"--networks {options.networks}: must be some of {', '.join(CONTEXT_NETWORKS)}")
    torch.set_num_threads(options.threads)
    jobs = list(product(options.clips, RD_WEIGHTS, (0, PICTURE_STEPS)))
    try:
        parts = [clip_samples(*job) for job in tqdm(jobs, desc="fit", unit="segment")]
    except C3VideoError as error:
        print(f"fit_priors: {error}", file=sys.stderr)
        return 1
    for name in names:
        start = prior(name) if options.from_present else blank_network(*CONTEXT_NETWORKS[name], seed=0)
        network = fit_prior(name, start, joined([part[name] for part in parts]), options.steps)
        data = b"".join(array.astype("<i2").tobytes() for array in network.arrays())
        (options.out / f"{name}.i16").write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
