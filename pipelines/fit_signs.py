# SPDX-License-Identifier: MIT
"""The network of signs (c3video/hybrid/priors/signs.i16), fitted on symbols of other clips.

    clips x rd_weights --> segments of subbands --> symbols that are not zero, and those around them --> the network

    python -m pipelines.fit_signs a.mkv b.mkv ... --out c3video/hybrid/priors/signs.i16
    python -m tests.vectors.make      (streams and digests that depend on it)

Clips on which results are reported must not be among them (eval/results/README.md says which were).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from c3video.coding.sparse_tables import EVEN_ZERO
from c3video.errors import C3VideoError
from c3video.hybrid.signs import NUM_INPUTS, WEIGHT_BITS, WIDTH, SignContexts
from c3video.hybrid.subbands import NUM_CLASSES, FrameSymbols, symbol_class
from pipelines.fit_priors import fit_clip

RD_WEIGHTS = (3e-4, 8e-4, 2.5e-3, 6e-3)
NUM_FRAMES = 33
LEARNING_RATE = 1e-2
BATCH = 8192
DECAY = 1e-5
"""Of squared weights, against those that few samples have seen."""


@dataclass(frozen=True)
class SignSamples:
    """Symbols that are not zero.

    Args:
        inputs: (NUM_INPUTS, N), from `SignContexts`.
        classes: (N,).
        signs: (N,), +-1.
    """

    inputs: NDArray[np.int8]
    classes: NDArray[np.int8]
    signs: NDArray[np.int8]


def joined(parts: Sequence[SignSamples]) -> SignSamples:
    """All of them."""
    return SignSamples(
        np.concatenate([part.inputs for part in parts], axis=1),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.signs for part in parts]),
    )


def frame_samples(symbols: FrameSymbols) -> SignSamples:
    """Of a frame."""
    parts = []
    for plane, bands in enumerate(symbols):
        for band, values in enumerate(bands):
            rows, columns = np.nonzero(values)
            inputs = SignContexts(bands, band).inputs(rows, columns).astype(np.int8)
            classes = np.full(len(rows), symbol_class(plane, band, len(bands) // 3), dtype=np.int8)
            parts.append(SignSamples(inputs, classes, np.sign(values[rows, columns]).astype(np.int8)))
    return joined(parts)


def clip_samples(path: Path, rd_weight: float) -> SignSamples:
    """Of the first frames of a clip. Raises SourceError."""
    _, fitted = fit_clip(path, rd_weight, NUM_FRAMES)
    return joined([frame_samples(symbols) for symbols in fitted.symbols.frames])


def sign_bits(first: Tensor, last: Tensor, inputs: Tensor, classes: Tensor, signs: Tensor) -> Tensor:
    """(N,) bits of signs, by a network as the format has it but for rounding."""
    hidden = (inputs.T.float() @ first.T).clamp(-1.0, 1.0)
    expected = (hidden * last[classes]).sum(1)
    most = EVEN_ZERO / 4
    return functional.softplus(-signs * expected.clamp(-most, most)) / math.log(2.0)


def fit_signs(samples: SignSamples, steps: int, seed: int = 0) -> bytes:
    """The file of the package."""
    generator = torch.Generator().manual_seed(seed)
    first = (0.2 * torch.randn(WIDTH, NUM_INPUTS, generator=generator)).requires_grad_()
    last = (0.1 * torch.randn(NUM_CLASSES, WIDTH, generator=generator)).requires_grad_()
    inputs, classes, signs = (torch.from_numpy(part) for part in (samples.inputs, samples.classes, samples.signs))
    optimiser = torch.optim.Adam([first, last])
    recent = 1.0
    with tqdm(total=steps, desc="signs", unit="step") as progress:
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1.0 + math.cos(math.pi * step / steps)) / 2 + 1e-5
            batch = torch.randint(len(signs), (min(BATCH, len(signs)),), generator=generator)
            bits = sign_bits(first, last, inputs[:, batch], classes[batch].long(), signs[batch].float()).mean()
            optimiser.zero_grad()
            (bits + DECAY * (first.square().sum() + last.square().sum())).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            recent += 0.01 * (float(bits.detach()) - recent)
            progress.update()
        progress.set_postfix_str(f"{recent:.4f} bits a sign")
    integers = [np.rint(part.detach().numpy() * 2.0**WEIGHT_BITS).clip(-32767, 32767) for part in (first, last)]
    return b"".join(part.astype("<i2").tobytes() for part in integers)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m pipelines.fit_signs"
    )
    parser.add_argument("clips", nargs="+", type=Path, help="none of those that results are reported on")
    parser.add_argument("--out", type=Path, required=True, help="the .i16 file")
    parser.add_argument("--steps", type=int, default=8_000, help="of Adam (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    jobs = [(clip, rd_weight) for clip in options.clips for rd_weight in RD_WEIGHTS]
    try:
        parts = [clip_samples(*job) for job in tqdm(jobs, desc="fit", unit="segment")]
    except C3VideoError as error:
        print(f"fit_signs: {error}", file=sys.stderr)
        return 1
    options.out.write_bytes(fit_signs(joined(parts), options.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
