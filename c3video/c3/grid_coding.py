# SPDX-License-Identifier: MIT
"""Latent grids <-> coder: one walk over positions serves both directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config
from c3video.c3.context import gather, plan_walk
from c3video.c3.entropy import predict
from c3video.c3.latents import dequantise
from c3video.c3.patch_model import Layer
from c3video.coding.rangecoder import Coder

IntArray = NDArray[np.int64]

MAX_SYMBOL = 1 << 20
"""Symbols are clipped to +-2^20, so that a damaged payload cannot run away."""


def code_grid(
    coder: Coder,
    config: C3Config,
    layers: Sequence[Layer],
    shape: tuple[int, int, int],
    window: tuple[int, int] | None,
    symbols: IntArray | None = None,
) -> IntArray:
    """Code one latent grid, wave by wave.

    Args:
        coder: a SymbolWriter, or a SymbolReader (then `symbols` is not needed).
        layers: the grid's entropy network.
        shape: (t, h, w) of the grid.
        window: corner of its previous-frame window, or None.
        symbols: (t, h, w) what to write.

    Returns:
        (t, h, w) symbols, those given or those read.
    """
    walk = plan_walk(config, shape, window)
    latents, coded = walk.empty(), walk.empty()
    if symbols is not None:
        walk.interior(coded)[...] = symbols
    for positions, contexts in gather(latents, walk):
        steps, fractions, scales = predict(contexts, layers)
        given = coded[positions].astype(np.int64) - steps if symbols is not None else None
        found = np.clip(coder.code(scales, fractions, given) + steps, -MAX_SYMBOL, MAX_SYMBOL)
        coded[positions] = found
        latents[positions] = dequantise(found, config.q_step_256)
    return walk.interior(coded).astype(np.int64)
