# SPDX-License-Identifier: MIT
"""What decoding a pyramid costs: multiply-adds a pixel (a luma sample) by part, counted from the model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from c3video.pyramid.config import GROUPS, UPSAMPLING_TAPS, PyramidConfig, weight_shapes
from c3video.pyramid.synthesis import layout_key
from c3video.video import LAYOUTS


@dataclass(frozen=True)
class PyramidMultiplyAdds:
    """Multiply-adds a pixel of a large picture, where no grid's size is rounded up.

    Args:
        entropy: of the entropy network, all grids together, what enlarges hyper grids too; with taps in the
            previous latent frame, of a later one.
        upsampling: of all grids to the planes.
        synthesis: of each group of planes, its refinement with it.
    """

    entropy: float
    upsampling: float
    synthesis: tuple[float, ...]

    @property
    def total(self) -> float:
        return self.entropy + self.upsampling + sum(self.synthesis)

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        parts = {"entropy network": self.entropy, "upsampling": self.upsampling}
        return parts | {f"synthesis of group {index}": value for index, value in enumerate(self.synthesis)}


def picture_multiply_adds(model: PyramidConfig, pix_fmt: str) -> PyramidMultiplyAdds:
    """Multiply-adds of a pyramid; `pix_fmt` is of what is coded."""
    layout = layout_key(LAYOUTS[pix_fmt])
    sizes = {name: math.prod(shape) for name, shape in weight_shapes(model, layout).items()}
    latents = sum(4.0**-grid for grid in range(model.num_grids))
    of_hyper = sum(4.0**-grid for grid in model.hyper_levels)
    names = ("w1", "w2", "w3", "l", "p1", "pl", "h1", "hl")
    entropy = (latents + of_hyper) * sum(sizes.get(name, 0) for name in names)
    # A hyper grid becomes twice as large again and again, each time of four places.
    entropy += sum(4 * 4.0**-grid for own in model.hyper_levels for grid in range(own))
    # Each plane that passes a level: along rows at the finer width and the coarser height, then along columns.
    upsampling = sum(
        (model.num_grids - 1 - level) * UPSAMPLING_TAPS * (0.5 + 1.0) * 4.0**-level
        for level in range(model.num_grids - 1)
    )
    upsampling += latents * 2 * ((2 * model.filter_reach + 1) if model.filter_reach else 0)
    synthesis = tuple(
        sum(sizes.get(f"{name}.{index}", 0) for name in ("v1", "v2", "m", "r1", "r2")) * 2.0 ** -sum(group.exponents)
        for index, group in enumerate(GROUPS[layout])
    )
    return PyramidMultiplyAdds(entropy, upsampling, synthesis)
