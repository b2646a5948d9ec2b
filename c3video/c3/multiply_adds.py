# SPDX-License-Identifier: MIT
"""What decoding a C3 patch costs: multiply-adds a pixel by part, counted from the model.

Counted are the multiplications of a decoder that does what docs/c3v.md says and takes no shortcut; latents whose
context is all zero, say, need none. A pixel is a luma sample, so that a synthesis that runs once a cell of 2x2
counts a quarter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from c3video.c3.config import C3Config, LatentGrid
from c3video.c3.patch_model import LayerSpec, layer_specs
from c3video.video import LAYOUTS


@dataclass(frozen=True)
class PatchMultiplyAdds:
    """Multiply-adds a pixel of a large patch of the C3 model, where no grid's size is rounded up.

    Args:
        entropy: of each latent grid's entropy network.
        interpolation: of all grids' upsampling to the cells.
        pointwise: of the synthesis's pointwise layers.
        residual: of its residual convolutions.
    """

    entropy: tuple[float, ...]
    interpolation: float
    pointwise: float
    residual: float

    @property
    def without_interpolation(self) -> float:
        """What the paper calls MACs without upsampling."""
        return sum(self.entropy) + self.pointwise + self.residual

    @property
    def total(self) -> float:
        return self.without_interpolation + self.interpolation

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        parts = {f"entropy, grid {index}": value for index, value in enumerate(self.entropy)}
        return parts | {
            "interpolation": self.interpolation,
            "synthesis, pointwise": self.pointwise,
            "synthesis, residual": self.residual,
        }


def patch_multiply_adds(model: C3Config, pix_fmt: str) -> PatchMultiplyAdds:
    """Multiply-adds of the C3 model.

    Source:
        The same rules as google-deepmind/c3_neural_compression, `utils/macs.py`, but for two: a grid's share is not
        rounded down to whole MACs, and interpolation is counted as it is done here, axis by axis with two products
        each, where the reference counts 16 for each grid that is upsampled.
    """
    layout = LAYOUTS[pix_fmt]
    pixels = layout.cell_height * layout.cell_width
    network = [0.0] * len(model.grids)  # of one latent
    pointwise = residual = 0.0
    for spec in layer_specs(model, layout.num_cell_channels):
        macs = _multiplications(spec) / pixels
        if spec.network == "entropy":
            network[spec.grid] += macs
        elif len(spec.weight_shape) == 2:
            pointwise += macs
        else:
            residual += macs
    entropy = [network[model.entropy_network(i)] * latents_per_cell(grid) for i, grid in enumerate(model.grids)]
    interpolation = sum(map(_interpolation, model.grids)) / pixels
    return PatchMultiplyAdds(tuple(entropy), interpolation, pointwise, residual)


def latents_per_cell(grid: LatentGrid) -> float:
    """How many latents of a grid there are for each cell."""
    return 2.0 ** -(grid.time_exponent + 2 * grid.space_exponent)


def _multiplications(spec: LayerSpec) -> int:
    """Of one application of a layer: each weight once."""
    return math.prod(spec.weight_shape)


def _interpolation(grid: LatentGrid) -> float:
    """Multiplications a cell to upsample a grid: two for each value made, along time, then height, then width."""
    narrow = 2.0**-grid.space_exponent
    time = 2.0 * narrow * narrow if grid.time_exponent else 0.0
    space = 2.0 * narrow + 2.0 if grid.space_exponent else 0.0
    return time + space
