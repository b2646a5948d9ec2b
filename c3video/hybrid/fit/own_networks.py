# SPDX-License-Identifier: MIT
"""A segment's own context networks: tuned on its symbols, as differences to the priors that pay for themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from c3video.errors import CorruptSegmentError
from c3video.hybrid.config import HybridFitConfig
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.fit.context_tuning import (
    FloatNetwork,
    Samples,
    joined,
    motion_samples,
    subband_samples,
    thinned,
    to_integers,
    total_bits,
    tune,
)
from c3video.hybrid.fit.frame_coding import CodedFrames
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.payload import MAX_EXPONENT, HybridSymbols, network_bits, prior, reference_frames
from c3video.hybrid.subbands import SliceLayout, reference_magnitudes
from c3video.hybrid.symbol_coding import ListSymbols, list_frames_motion

MAX_SAMPLES = 1 << 20
"""Of subbands; each takes some 60 bytes, twice while they are put together."""


def tuned_networks(
    task: FitTask, coded: CodedFrames, num_pictures: int, seed: int
) -> dict[str, tuple[ContextNetwork, int | None]]:
    """For what a segment has of it, by name of CONTEXT_NETWORKS, `tuned_network`, on the task's threads.

    Args:
        num_pictures: first frames whose subbands are not coded.
        seed: of the batches.
    """
    torch.set_num_threads(task.num_threads)
    symbols = HybridSymbols(tuple(coded.fields), coded.symbols, coded.filters)
    found = segment_samples(coded.frames, symbols, task.layout, task.fit_engine.writing.list_motion, num_pictures)
    return {name: tuned_network(name, samples, task.fit_config, seed) for name, samples in found.items()}


def segment_samples(
    frames: Sequence[CodedFrame],
    symbols: HybridSymbols,
    layout: SliceLayout,
    list_motion: ListSymbols,
    num_pictures: int = 0,
    most: int = MAX_SAMPLES,
) -> dict[str, Samples]:
    """Symbols of a segment, by name of CONTEXT_NETWORKS; motion only where there is any.

    All of them, or of long segments of large frames a share.

    Args:
        frames: in coding order.
        layout: of whole frames.
        list_motion: of what writes symbols.
        num_pictures: first frames whose subbands are not coded.
        most: samples of subbands.
    """
    places = reference_frames(frames)
    subbands: list[Samples] = []
    share, random = 1.0, np.random.default_rng(0)
    for place, (found, frame) in enumerate(zip(symbols.frames, frames, strict=True)):
        if place >= num_pictures:
            known = reference_magnitudes([symbols.frames[x] for x in places[place]], layout)
            subbands.append(subband_samples(found, known, frame.depth, share, random))
        while sum(map(len, subbands)) > most:
            share /= 2
            subbands = [thinned(part, share, random) for part in subbands]
    listed = list_frames_motion(symbols.fields, frames, list_motion)
    motion = [
        motion_samples(coded, frame.depth) for coded, frame in zip(listed, frames, strict=True) if coded is not None
    ]
    return {name: joined(parts) for name, parts in (("subbands", subbands), ("motion", motion)) if parts}


def tuned_network(name: str, samples: Samples, config: HybridFitConfig, seed: int) -> tuple[ContextNetwork, int | None]:
    """The network that codes samples in the fewest bits, those of its differences counted.

    Args:
        name: of CONTEXT_NETWORKS.
        seed: of the batches.

    Returns:
        the network and the exponent of its differences; the prior and None where tuning does not pay.
    """
    start = prior(name)
    network = tune(samples, start, config.tuning_steps, config.tuning_rate, seed)
    least = total_bits(FloatNetwork(start), samples)
    best: tuple[ContextNetwork, int | None] = start, None
    for exponent in range(3, MAX_EXPONENT):
        rounded = to_integers(network, start, exponent)
        try:
            rounded.check()
        except CorruptSegmentError:
            continue
        bits = total_bits(FloatNetwork(rounded), samples) + network_bits(name, rounded, exponent)
        if bits < least:
            least, best = bits, (rounded, exponent)
    return best
