# SPDX-License-Identifier: MIT
"""The filters in the loop (c3video/hybrid/priors/filters.i16), fitted on decoded frames of other clips.

    clips --> fits with the present filters, first frames by subbands and as pictures
          --> planes before their filters, and their sources
    crops of these --> one network, then several from it, each crop moving the one that serves it best --> integers

    python -m pipelines.fit_filters a.mkv b.mkv ... --out c3video/hybrid/priors/filters.i16
    python -m tests.vectors.make      (streams and digests that depend on the filters)

What is predicted from filtered frames differs from what is not, so a second run, which starts from the first one's
filters, fits better. Clips on which results are reported must not be among them (eval/results/README.md says which
were).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from c3video.engine import choose_engine
from c3video.errors import C3VideoError
from c3video.hybrid.coded_planes import coded_format, to_coded
from c3video.hybrid.compensation import BLOCK_SIZE, SAMPLE_BITS
from c3video.hybrid.config import HYBRID_PRESETS, HybridConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.fit.segment import FittedFrames, fit_segment
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.loop_filter import (
    FIRST_WIDTH,
    NUM_CHROMA,
    NUM_LUMA,
    NUM_NEIGHBOURS,
    RADIUS,
    SECOND_WIDTH,
    STEP_BITS,
    WEIGHT_BITS,
    LoopFilter,
)
from c3video.hybrid.subbands import filter_step, plane_steps
from c3video.media.source import open_source
from c3video.video import Planes, VideoFormat

Floats = NDArray[np.float32]

RD_WEIGHTS = (5e-4, 2e-3, 5e-3)
NUM_FRAMES = 9
PICTURE_STEPS = 300
"""That a first frame is fitted for, where it is to be a picture."""
LEARNING_RATE = 4e-3
CROP, BATCH = 64, 12
NOISE = 0.02
"""Of a crop's mean squared error in steps: what weighs less than that needs no filter."""
STRENGTHS = {1: (1.0,), 2: (0.6, 1.2), 3: (0.4, 0.9, 1.4)}
"""Of the first network's change, that the filters made of it start from, by their number."""


@dataclass(frozen=True)
class Pair:
    """A plane before its filter and its source (h, w), centred, in quantisation steps."""

    samples: Floats
    source: Floats


class FloatFilter(nn.Module):
    """`LoopFilter` in floats, on planes (n, 1, h, w) in steps; gives what is added to them."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Parameter(0.25 * torch.randn(FIRST_WIDTH, NUM_NEIGHBOURS, generator=generator))
        self.first_bias = nn.Parameter(torch.zeros(FIRST_WIDTH))
        spread = FIRST_WIDTH**-0.5
        self.second = nn.Parameter(spread * torch.randn(SECOND_WIDTH, FIRST_WIDTH, generator=generator))
        self.second_bias = nn.Parameter(torch.zeros(SECOND_WIDTH))
        self.last = nn.Parameter(0.05 * torch.randn(SECOND_WIDTH, generator=generator))
        self.linear = nn.Parameter(torch.zeros(NUM_NEIGHBOURS))

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        weights, middle, side = torch.cat([self.first, self.linear[None]]), NUM_NEIGHBOURS // 2, 2 * RADIUS + 1
        own = -weights.sum(1, keepdim=True)  # differences to the sample
        kernels = torch.cat([weights[:, :middle], own, weights[:, middle:]], 1).reshape(-1, 1, side, side)
        sums = functional.conv2d(functional.pad(planes, (RADIUS,) * 4, mode="replicate"), kernels)
        hidden = functional.relu(sums[:, :-1] + self.first_bias[None, :, None, None])
        hidden = functional.relu(functional.conv2d(hidden, self.second[:, :, None, None], self.second_bias))
        return functional.conv2d(hidden, self.last[None, :, None, None]) + sums[:, -1:]

    @torch.no_grad()
    def hold_sums(self) -> None:
        """Scale units down whose sums a decoder's integers would not hold, and up again what reads them."""
        for weights, bias, after in (
            (self.first, self.first_bias, self.second),
            (self.second, self.second_bias, self.last[None]),
        ):
            scale = torch.clamp((weights.abs().sum(1) + bias.abs() / 64.0) / 14.0, min=1.0)
            weights.div_(scale[:, None])
            bias.div_(scale)
            after.mul_(scale[None])

    def integers(self) -> LoopFilter:
        """Rounded. Raises ValueError where a decoder could not compute with it."""

        def rounded(parameter: nn.Parameter, bits: int) -> NDArray[np.int64]:
            return np.rint(parameter.detach().double().numpy() * 2.0**bits).astype(np.int64)

        found = LoopFilter(
            rounded(self.first, WEIGHT_BITS),
            rounded(self.first_bias, STEP_BITS),
            rounded(self.second, WEIGHT_BITS),
            rounded(self.second_bias, STEP_BITS),
            rounded(self.last, WEIGHT_BITS),
            rounded(self.linear, WEIGHT_BITS),
        )
        found.check()
        return found


def clip_pairs(path: Path, rd_weight: float, picture_steps: int) -> tuple[list[Pair], list[Pair]]:
    """Luma and chroma of the first frames of a clip, fitted with the filters that there are. Raises SourceError.

    Args:
        picture_steps: 0: the first frame is coded by subbands. Pictures go through no filter.
    """
    with open_source(path, frames=(0, NUM_FRAMES)) as source:
        video, planes = source.format, [frame.planes for frame in source]
    config = replace(HYBRID_PRESETS["ultrafast"], rd_weight=rd_weight, plans=2, key_steps=picture_steps)
    fitted = fit_segment(planes, video, HybridConfig().for_video(video), config, choose_engine())
    return segment_pairs(fitted, planes, video)


def segment_pairs(fitted: FittedFrames, planes: Sequence[Planes], video: VideoFormat) -> tuple[list[Pair], list[Pair]]:
    """Luma and chroma of the frames of a segment that may go through filters, in coding order.

    Args:
        planes: of each frame, the source.
    """
    coded_as = replace(coded_format(video), chroma_offset=fitted.parameters.chroma_offset)
    engine, decoded = ENGINES[choose_engine()], [to_coded(frame, video.layout) for frame in fitted.decoded]
    sources = [to_coded(frame, video.layout) for frame in planes]
    found: tuple[list[Pair], list[Pair]] = ([], [])
    frames = coding_order(len(planes), fitted.parameters.gop)
    fits = zip(frames, fitted.parameters.step_indexes, fitted.symbols.fields, fitted.symbols.frames, strict=True)
    for frame, step_index, field, symbols in fits:
        if fitted.parameters.picture is not None and not frame.references:
            continue
        for plane, shifts in enumerate(coded_as.shifts):
            samples = engine.reconstruct_plane(
                [decoded[index][plane] for index in frame.references],
                field,
                BLOCK_SIZE,
                shifts,
                coded_as.bit_depth,
                symbols[plane],
                plane_steps(coded_as, step_index, plane),
            )
            scale = 2.0 ** (SAMPLE_BITS - coded_as.bit_depth) / filter_step(coded_as, step_index, plane)
            middle = 1 << (coded_as.bit_depth - 1)

            def in_steps(values: NDArray[np.generic], middle: int = middle, scale: float = scale) -> Floats:
                return ((values.astype(np.float32) - middle) * scale).astype(np.float32)

            found[min(plane, 1)].append(Pair(in_steps(samples), in_steps(sources[frame.index][plane])))
    return found


def crops(pairs: Sequence[Pair], random: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and sources (BATCH, 1, CROP, CROP) of random parts, turned and mirrored at random."""
    parts = []
    for _ in range(BATCH):
        pair = pairs[int(random.integers(len(pairs)))]
        height, width = pair.samples.shape
        y, x = random.integers(height - CROP + 1), random.integers(width - CROP + 1)
        part = np.stack([pair.samples, pair.source])[:, y : y + CROP, x : x + CROP]
        part = part[:, :: random.choice([1, -1]), :: random.choice([1, -1])]
        parts.append(part.swapaxes(1, 2) if random.random() < 0.5 else part)
    samples, source = torch.from_numpy(np.stack(parts, axis=1).copy())[:, :, None]
    return samples, source


def share_left(network: FloatFilter, samples: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """(n,) squared error behind a filter, against that before it."""
    before = (source - samples).square().mean((1, 2, 3))
    return (source - samples - network(samples)).square().mean((1, 2, 3)) / (before + NOISE)


def fit_filters(pairs: Sequence[Pair], count: int, steps: int, what: str, seed: int = 0) -> list[FloatFilter]:
    """Filters of which each serves some of the planes best."""
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    networks = [FloatFilter(generator)]
    alone = steps // 3
    recent = 0.0
    with tqdm(total=steps, desc=what, unit="step") as progress:
        for stage_steps in (alone, steps - alone):
            optimiser = torch.optim.Adam([part for network in networks for part in network.parameters()])
            for step in range(stage_steps):
                rate = 0.5 * LEARNING_RATE * (1.0 + math.cos(math.pi * step / stage_steps))
                optimiser.param_groups[0]["lr"] = max(rate, 0.02 * LEARNING_RATE)
                samples, source = crops(pairs, random)
                with torch.no_grad():
                    left = torch.stack([share_left(network, samples, source) for network in networks])
                loss = torch.zeros(())
                for index, network in enumerate(networks):
                    mine = left.argmin(0) == index
                    if mine.any():
                        loss = loss + share_left(network, samples[mine], source[mine]).sum() / BATCH
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                for network in networks:
                    network.hold_sums()
                recent = 0.99 * recent + 0.01 * float(loss.detach())
                progress.update()
            progress.set_postfix_str(f"{recent:.4f} of the errors left")
            if len(networks) == 1:
                networks = [_stronger(networks[0], strength, generator) for strength in STRENGTHS[count]]
    return networks


@torch.no_grad()
def _stronger(network: FloatFilter, strength: float, generator: torch.Generator) -> FloatFilter:
    """A filter that does the same, more or less of it."""
    found = FloatFilter(generator)
    found.load_state_dict(network.state_dict())
    found.last.mul_(strength)
    found.linear.mul_(strength)
    return found


def to_bytes(filters: Sequence[LoopFilter]) -> bytes:
    """The file of the package."""
    arrays: list[NDArray[Any]] = [array for network in filters for array in network.arrays()]
    return b"".join(array.astype("<i2").tobytes() for array in arrays)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m pipelines.fit_filters",
    )
    parser.add_argument("clips", nargs="+", type=Path, help="none of those that results are reported on")
    parser.add_argument("--out", type=Path, required=True, help="the .i16 file")
    parser.add_argument("--steps", type=int, default=4500, help="of Adam, luma; two thirds for chroma (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    jobs = list(product(options.clips, RD_WEIGHTS, (0, PICTURE_STEPS)))
    luma: list[Pair] = []
    chroma: list[Pair] = []
    try:
        for job in tqdm(jobs, desc="fit", unit="segment"):
            found = clip_pairs(*job)
            luma += found[0]
            chroma += found[1]
    except C3VideoError as error:
        print(f"fit_filters: {error}", file=sys.stderr)
        return 1
    networks = fit_filters(luma, NUM_LUMA, options.steps, "luma")
    networks += fit_filters(chroma, NUM_CHROMA, 2 * options.steps // 3, "chroma")
    options.out.write_bytes(to_bytes([network.integers() for network in networks]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
