# SPDX-License-Identifier: MIT
"""Fitting context networks to symbols: the priors of the package, and a segment's own differences to them.

A float twin of `hybrid/context_network.py`; Adam on the bits of all symbols, then differences rounded to a grid that
pays for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from c3video.coding.fit.activation import activate
from c3video.coding.sparse_tables import MIN_WIDTH, NUM_TAILS, NUM_ZEROS
from c3video.coding.tables import PRECISION_BITS
from c3video.hybrid.context_network import (
    FEATURE_BITS,
    MAX_MAGNITUDE,
    NUM_DEPTHS,
    TAIL_ORIGIN,
    WEIGHT_BITS,
    ZERO_ORIGIN,
    ContextNetwork,
    magnitude_feature,
    network_shapes,
)
from c3video.hybrid.motion_symbols import FIRST_FLAG_CLASS, MotionSymbols
from c3video.hybrid.subbands import FrameSymbols, causal_magnitudes, known_magnitudes, symbol_class

IntArray = NDArray[np.int64]

_LN2 = math.log(2.0)

_LEAST_LOG_WIDTH = math.log(MIN_WIDTH) - PRECISION_BITS * _LN2

_LEAST = torch.tensor([-ZERO_ORIGIN / 4, -TAIL_ORIGIN / 2])
_MOST = torch.tensor([(NUM_ZEROS - 1 - ZERO_ORIGIN) / 4, (NUM_TAILS - 1 - TAIL_ORIGIN) / 2])
"""Outputs of the first and the last table."""


@dataclass(frozen=True)
class Samples:
    """Symbols and what is known of them.

    Args:
        features: float16 (N, inputs), in units (binary point removed): 11 bits hold them exactly.
        classes, depths: uint8 (N,).
        magnitudes: float32 (N,); -1 for a flag that is set.
        counts: float32 (N,) how many symbols each stands for; not 1 for one that stands for all of its class and frame
            in a context of zeros.
        share: of the other symbols that are here, 1 for all of them.
    """

    features: Tensor
    classes: Tensor
    depths: Tensor
    magnitudes: Tensor
    counts: Tensor
    share: float = 1.0

    def __len__(self) -> int:
        return len(self.magnitudes)

    def __getitem__(self, chosen: Tensor | slice) -> Samples:
        """Some of them."""
        arrays: dict[str, Any] = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return Samples(**arrays, share=self.share)

    @property
    def stands_for_many(self) -> Tensor:
        """bool (N,)."""
        return self.counts > 1.0

    @property
    def weights(self) -> Tensor:
        """float32 (N,): `counts`, and of the others how many there are for each that is here."""
        if self.share == 1.0:
            return self.counts
        return torch.where(self.stands_for_many, self.counts, self.counts / self.share)


_ARRAYS = ("features", "classes", "depths", "magnitudes", "counts")


def joined(parts: Sequence[Samples]) -> Samples:
    """All of them, of the same share."""
    (share,) = {part.share for part in parts}
    arrays: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Samples(**arrays, share=share)


def thinned(samples: Samples, share: float, random: np.random.Generator) -> Samples:
    """A random choice of those that stand for themselves, that makes `share` of all symbols."""
    if share == samples.share:
        return samples
    kept = torch.from_numpy(random.random(len(samples)) < share / samples.share) | samples.stands_for_many
    return replace(samples[kept], share=share)


def _samples(
    context: NDArray[Any],
    symbol_class: int,
    depth: int,
    magnitudes: IntArray,
    features_of: Callable[[NDArray[Any]], NDArray[np.float16]],
    share: float = 1.0,
    random: np.random.Generator | None = None,
) -> Samples:
    """Symbols of one class and frame; those that are zero in a context of zeros become one with their number.

    Args:
        context: (inputs, N), zero where features are.
        features_of: makes features, in units, of a context.
        share: of the others that are wanted, chosen by `random`.
    """
    seen = context.any(axis=0) | (magnitudes != 0)
    places = np.flatnonzero(seen)
    num_blank = len(seen) - len(places)
    if share < 1.0:
        assert random is not None
        places = places[random.random(len(places)) < share]
    kept = np.concatenate([places, np.flatnonzero(~seen)[:1]])
    counts = np.ones(len(kept), dtype=np.float32)
    if num_blank:
        counts[-1] = num_blank
    full = torch.full((len(kept),), 1, dtype=torch.uint8)
    return Samples(
        torch.from_numpy(np.ascontiguousarray(features_of(context[:, kept]).T)),
        full * symbol_class,
        full * min(depth, NUM_DEPTHS - 1),
        torch.from_numpy(magnitudes[kept].astype(np.float32)),
        torch.from_numpy(counts),
        share,
    )


def _in_units(features: NDArray[Any]) -> NDArray[np.float16]:
    return features.astype(np.float16) * np.float16(2.0**-FEATURE_BITS)


_FEATURES_OF_BYTES = _in_units(magnitude_feature(np.arange(MAX_MAGNITUDE + 1)))


def subband_samples(
    symbols: FrameSymbols,
    reference: FrameSymbols,
    depth: int,
    share: float = 1.0,
    random: np.random.Generator | None = None,
) -> Samples:
    """All subband symbols of a frame, or a share of them as `thinned` would leave."""
    # Features are alike from MAX_MAGNITUDE on, and bytes are made into contexts in a third of the time.
    small, small_reference = _as_bytes(symbols), _as_bytes(reference)
    parts = []
    for plane, bands in enumerate(symbols):
        for band, values in enumerate(bands):
            if values.size:
                known = known_magnitudes(small, small_reference, plane, band)
                context = np.concatenate([causal_magnitudes(small[plane][band]), known])
                place = symbol_class(plane, band, len(bands) // 3)
                magnitudes = np.abs(values.ravel())
                parts.append(_samples(context, place, depth, magnitudes, _features_of_bytes, share, random))
    return joined(parts)


def _features_of_bytes(context: NDArray[np.uint8]) -> NDArray[np.float16]:
    return _FEATURES_OF_BYTES[context]


def _as_bytes(symbols: FrameSymbols) -> FrameSymbols:
    """Magnitudes, MAX_MAGNITUDE for larger ones."""
    return [[np.minimum(np.abs(band), MAX_MAGNITUDE).astype(np.uint8) for band in bands] for bands in symbols]


def motion_samples(coded: MotionSymbols, depth: int) -> Samples:
    """All motion symbols of a frame."""
    parts = []
    for found in np.unique(coded.classes):
        chosen = coded.classes == found
        magnitudes = np.abs(coded.symbols[chosen])
        if found >= FIRST_FLAG_CLASS:
            magnitudes = -magnitudes
        parts.append(_samples(coded.features[:, chosen], int(found), depth, magnitudes, _in_units))
    return joined(parts)


class FloatNetwork(nn.Module):
    """The twin. Parameters are in units, by the names of ContextNetwork."""

    first: nn.Parameter
    class_bias: nn.Parameter
    depth_bias: nn.Parameter
    second: nn.Parameter
    second_bias: nn.Parameter
    last: nn.Parameter
    last_bias: nn.Parameter

    def __init__(self, start: ContextNetwork) -> None:
        super().__init__()
        for name, array in zip(ContextNetwork.__dataclass_fields__, start.arrays(), strict=True):
            setattr(self, name, nn.Parameter(torch.from_numpy(array.astype(np.float32) * 2.0**-WEIGHT_BITS)))

    def forward(self, samples: Samples) -> Tensor:
        """(N, 2): logit of zero; logit of stopping at each magnitude."""
        classes, depths = samples.classes.long(), samples.depths.long()
        hidden = F.linear(samples.features.float(), self.first)
        hidden = activate(hidden + self.class_bias[classes] + self.depth_bias[depths])
        hidden = activate(F.linear(hidden, self.second, self.second_bias))
        outputs = F.linear(hidden, self.last) + self.last_bias[classes]
        return torch.minimum(torch.maximum(outputs, _LEAST), _MOST)

    def arrays(self) -> list[NDArray[np.float32]]:
        """All parameters in stream order."""
        return [getattr(self, name).detach().numpy() for name in ContextNetwork.__dataclass_fields__]


def symbol_bits(outputs: Tensor, magnitudes: Tensor) -> Tensor:
    """(N,) bits of symbols: coding/sparse_tables.py without its rounding of indexes."""
    zero, stop = outputs.unbind(1)
    nats = F.softplus(zero) + F.softplus(-stop) + (magnitudes - 1.0) * F.softplus(stop) + _LN2
    nats = torch.where(magnitudes > 0.5, nats, F.softplus(torch.where(magnitudes < -0.5, zero, -zero)))
    # No slot is narrower than sparse_tables.MIN_WIDTH.
    return -torch.logaddexp(-nats, torch.full_like(nats, _LEAST_LOG_WIDTH)) / _LN2


def tune(
    samples: Samples,
    start: ContextNetwork,
    steps: int,
    learning_rate: float,
    seed: int = 0,
    batch: int = 16384,
    report: Callable[[int, float], None] = lambda step, bits: None,
) -> FloatNetwork:
    """Adam with a half cosine, on random batches."""
    network = FloatNetwork(start)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    # Samples that stand for many are few: all of them are in every batch.
    many = samples.stands_for_many
    heavy, light = (torch.nonzero(mask)[:, 0] for mask in (many, ~many))
    total = float(samples.weights.sum())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
        drawn = light
        if len(light) > batch:
            drawn = light[torch.randint(len(light), (batch,), generator=generator)]
        part = samples[torch.cat([heavy, drawn])]
        bits = symbol_bits(network(part), part.magnitudes) * part.weights
        scale = len(light) / max(1, len(drawn))
        loss = (bits[: len(heavy)].sum() + scale * bits[len(heavy) :].sum()) / total
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step, float(loss.detach()))
    return network


def total_bits(network: FloatNetwork, samples: Samples, batch: int = 1 << 16) -> float:
    """Bits of all symbols."""
    bits = 0.0
    with torch.no_grad():
        for first in range(0, len(samples), batch):
            part = samples[first : first + batch]
            bits += float((symbol_bits(network(part), part.magnitudes) * part.weights).sum(dtype=torch.float64))
    return bits


def to_integers(network: FloatNetwork, start: ContextNetwork, exponent: int) -> ContextNetwork:
    """Integers at differences from `start` that are multiples of 2^exponent, the nearest ones."""
    arrays = []
    for values, old in zip(network.arrays(), start.arrays(), strict=True):
        difference = values.astype(np.float64) * 2.0**WEIGHT_BITS - old
        steps = np.rint(difference * 2.0**-exponent).astype(np.int64) << exponent
        arrays.append(np.clip(old + steps, -32767, 32767))
    return ContextNetwork(*arrays)


def blank_network(num_inputs: int, num_classes: int, seed: int) -> ContextNetwork:
    """Where the fit of a prior starts."""
    generator = np.random.default_rng(seed)
    arrays = []
    for name, shape in network_shapes(num_inputs, num_classes).items():
        width = 0.0 if name.endswith("bias") else 1.0 / math.sqrt(shape[-1])
        arrays.append(np.rint(generator.normal(0.0, 1.0, shape) * width * 2.0**WEIGHT_BITS).astype(np.int64))
    arrays[-1][:, 0] = 2 << WEIGHT_BITS
    return ContextNetwork(*arrays)
