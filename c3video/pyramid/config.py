# SPDX-License-Identifier: MIT
"""What a pyramid model is: its configuration (travels in the stream), its groups of planes and its weights in order.

The decoder's integers and the floats of a fit have the same arrays in the same order; a fit keeps them one after the
other in one flat array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from c3video.errors import ConfigError
from c3video.limits import check_range, check_rd_weight, check_segment_size
from c3video.stream.fields import U8, Field, Structure

if TYPE_CHECKING:
    from c3video.video import VideoFormat

NUM_PARENTS = 7
"""Inputs of the entropy network from the two grids above: six places of the next one, one of the one after it."""

TAPS: tuple[tuple[int, int], ...] = (
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2)),
    *((-2, -1), (-2, 1), (0, -3), (-3, 0), (-2, -2), (-2, 2), (-1, -3), (-1, 3)),
)
"""(dy, dx) of the causal taps; a model has the first `num_taps` of them."""

PREVIOUS_TAPS: tuple[tuple[int, int], ...] = (
    *((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)),
    *((-1, -1), (-1, 1), (1, -1), (1, 1)),
)
"""(dy, dx) in the previous latent frame, around a grid's window; a model has the first `num_previous` of them."""
MAX_WINDOW = 31
"""Furthest that a window lies off, in latents of its grid along each axis."""

MAX_HYPER = 4
"""Of num_hyper."""

UPSAMPLING_TAPS = 4
MAX_REACH = 3
"""Of filter_reach."""
PATCH_UNIT = 128
"""Sides of patches are multiples of it, so that every grid has whole parts."""
MAX_PRIOR = 255
"""Of the numbers of priors: a byte has them."""
MAX_PICTURE_SAMPLES = 1 << 27
"""Samples of a picture; leaves room for 7680 x 4320 in 4:4:4."""

PYRAMID_MODEL = Structure(
    "pyramid model",
    (
        Field(
            "num_grids", U8, 1, 8, "latent grids; grid k has ceil(H / 2^k) x ceil(W / 2^k) latents", since=5, usual=7
        ),
        Field("num_taps", U8, 4, 16, "causal taps of the entropy network in a latent's own grid", since=5, usual=12),
        Field("num_entropy_layers", U8, 1, 2, "hidden layers of the entropy network", since=5, usual=2),
        Field("entropy_layers", U8, 4, 48, "their widths", "num_entropy_layers", since=5, usual=(16, 16)),
        Field("synthesis_width", U8, 4, 48, "hidden units of each group's synthesis", since=5, usual=16),
        Field("refine_width", U8, 0, 32, "hidden channels of the refinement; 0: none", since=5, usual=8),
        Field(
            "filter_reach", U8, 0, 3, "the filter of a grid's own latents has 2 r + 1 taps; 0: none", since=7, usual=0
        ),
        Field("patch_units", U8, 1, 255, "side of a patch of latents in units of 128 luma samples", since=5, usual=4),
        Field("num_previous", U8, 0, 9, "taps in the previous latent frame; 0: each frame is a picture", since=7),
        Field("num_hyper", U8, 0, MAX_HYPER, "hyper grids, as many of the coarsest shapes; 0: none", since=16, usual=4),
    ),
)


@dataclass(frozen=True)
class PyramidConfig:
    """Everything a decoder must know of the model's shape.

    Args:
        num_grids: latent grids, 1..8; grid k has ceil(H / 2^k) x ceil(W / 2^k) latents for H x W luma samples.
        num_taps: causal taps of the entropy network in the latent's own grid, 4..16.
        entropy_layers: widths of its hidden layers, 1..2 of 4..48.
        synthesis_width: hidden units of each group's synthesis, 4..48.
        refine_width: hidden channels of the 3x3 refinement behind it, 0..32; 0: none.
        filter_reach: taps either side of the middle of the filters that latents pass before they are joined with
            those of coarser grids, 0..3; 0: none.
        patch_size: side of a patch of latents in luma samples, a multiple of 128, so that all grids have whole parts.
        prior: number of the prior that the weights are differences to; 0 is the zero prior.
        num_previous: taps of the entropy network in the previous latent frame, 0..9. With 0 each frame is a picture by
            itself; else the frames of a segment share their networks.
        num_hyper: hyper grids, 0..4 and at most num_grids: further latents, for the entropy network alone, of the
            shapes of the coarsest grids.
    """

    num_grids: int = 7
    num_taps: int = 12
    entropy_layers: tuple[int, ...] = (16, 16)
    synthesis_width: int = 16
    refine_width: int = 8
    filter_reach: int = 0
    patch_size: int = 512
    prior: int = 0
    num_previous: int = 0
    num_hyper: int = 0

    KIND: ClassVar[int] = 3
    SEGMENT_FRAMES: ClassVar[int] = 32
    LONGEST_SEGMENT_FRAMES: ClassVar[int] = 32
    HAS_PATCHES: ClassVar[bool] = False
    FIELDS: ClassVar[Structure] = PYRAMID_MODEL

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""
        check_range("num_grids", self.num_grids, 1, 8)
        check_range("num_taps", self.num_taps, 4, len(TAPS))
        check_range("number of entropy layers", len(self.entropy_layers), 1, 2)
        for width in self.entropy_layers:
            check_range("entropy layer width", width, 4, 48)
        check_range("synthesis_width", self.synthesis_width, 4, 48)
        check_range("refine_width", self.refine_width, 0, 32)
        check_range("filter_reach", self.filter_reach, 0, MAX_REACH)
        check_range("patch_size", self.patch_size, PATCH_UNIT, 255 * PATCH_UNIT)
        if self.patch_size % PATCH_UNIT:
            raise ConfigError(f"patch_size = {self.patch_size}: must be a multiple of {PATCH_UNIT}")
        check_range("prior", self.prior, 0, MAX_PRIOR)
        check_range("num_previous", self.num_previous, 0, len(PREVIOUS_TAPS))
        check_range("num_hyper", self.num_hyper, 0, min(MAX_HYPER, self.num_grids))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> PyramidConfig:
        """The model of a header, from the values of PYRAMID_MODEL."""
        plain = ("num_grids", "num_taps", "entropy_layers", "num_hyper")
        widths = ("synthesis_width", "refine_width", "filter_reach")
        return cls(
            **{name: values[name] for name in (*plain, *widths)},
            patch_size=PATCH_UNIT * values["patch_units"],
            num_previous=values.get("num_previous", 0),  # first frames of the hybrid model stand alone
        )

    def check_segment(self, video: VideoFormat, segment_frames: int, patch_rows: int, patch_columns: int) -> None:
        """Raise ConfigError for what a stream may not carry, which bounds the memory that a decoder needs."""
        if (patch_rows, patch_columns) != (1, 1):
            raise ConfigError(f"{patch_rows} x {patch_columns} patches: must be 1 x 1, whole pictures are coded")
        height, width = video.cell_shape
        samples = height * width * video.layout.num_cell_channels
        check_segment_size("samples of a picture", samples, MAX_PICTURE_SAMPLES, segment_frames, "a smaller picture")

    def for_video(self, video: VideoFormat) -> PyramidConfig:
        """The model as clips of that format are best coded: with hyper grids, three full planes by wider networks.

        Where widths are other than the default ones they stay.
        """
        of_pictures = replace(self, patch_size=PyramidConfig.patch_size, prior=0, num_previous=0)
        if of_pictures != PyramidConfig():
            return self
        widths = _WIDE if video.layout.planes[1:2] == ((0, 0),) else {}
        return replace(self, **widths, num_hyper=MAX_HYPER)

    @property
    def patch_units(self) -> int:
        """Side of a patch in units of PATCH_UNIT."""
        return self.patch_size // PATCH_UNIT

    @property
    def num_inputs(self) -> int:
        """Inputs of the entropy network in a picture, hyper grids apart: causal taps, then parents."""
        return self.num_taps + NUM_PARENTS

    @property
    def hyper_levels(self) -> tuple[int, ...]:
        """Of the hyper grids, finest first, how many times their sides are half those of luma."""
        return tuple(range(self.num_grids - self.num_hyper, self.num_grids))

    @property
    def levels(self) -> tuple[int, ...]:
        """Likewise of all grids, hyper grids last."""
        return (*range(self.num_grids), *self.hyper_levels)


_WIDE: dict[str, Any] = {"entropy_layers": (24, 24), "synthesis_width": 32, "filter_reach": 3}


@dataclass(frozen=True)
class PlaneGroup:
    """Planes of one resolution, made by one synthesis.

    Args:
        num_planes: samples that it makes at each place.
        exponents: (y, x) halvings of its planes against luma.
        num_given: planes made before that it reads: 1 (luma, pooled) for chroma apart from luma, else 0.
        first_grid: finest grid that it reads.
    """

    num_planes: int
    exponents: tuple[int, int]
    num_given: int
    first_grid: int

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of its planes in a picture of height x width luma samples."""
        y, x = self.exponents
        return -(-height >> y), -(-width >> x)

    def num_inputs(self, num_grids: int) -> int:
        """Inputs of its synthesis: upsampled latents, then given planes."""
        return num_grids - self.first_grid + self.num_given


_LUMA = PlaneGroup(1, (0, 0), 0, 0)
_WHOLE = PlaneGroup(3, (0, 0), 0, 0)

GROUPS: dict[str, tuple[PlaneGroup, ...]] = {
    "gray": (_LUMA,),
    "420": (_LUMA, PlaneGroup(2, (1, 1), 1, 1)),
    "422": (_LUMA, PlaneGroup(2, (0, 1), 1, 0)),
    "444": (_WHOLE,),
    "rgb": (_WHOLE,),
}
"""Groups of planes of each layout, in coding order."""


def grid_shapes(num_grids: int, height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) of each grid, finest first, for height x width luma samples."""
    return [(-(-height >> k), -(-width >> k)) for k in range(num_grids)]


def latent_shapes(config: PyramidConfig, height: int, width: int) -> list[tuple[int, int]]:
    """(h, w) of all grids of latents: those of samples, finest first, then the hyper grids, finest first."""
    shapes = grid_shapes(config.num_grids, height, width)
    return [shapes[level] for level in config.levels]


def weight_shapes(config: PyramidConfig, layout: str) -> dict[str, tuple[int, ...]]:
    """Shapes of all weight arrays by name, in their fixed order.

    Entropy network: `w1` (width, inputs), `b1` (grids, width), with two hidden layers `w2` (width, width) and `b2`,
    `w3` (2, width), `b3` (2,), `l` (2, inputs). With taps in the previous latent frame, what later frames add: `p1`
    (width, previous) and `pb` (grids, width) to `w1` and `b1`, `pl` (2, previous) and `p3` (2,) to `l` and `b3`.
    With hyper grids `h1` (width, hyper) and `hl` (2, hyper), columns of `w1` and `l` for them, and `hb` (hyper, width),
    which they have for `b1`.
    Upsampling: `u` (grids - 1, 4), kernel k from level k + 1 to k.
    Filters of the grids' own latents: `f` (grids, filter_reach + 1), the middle tap first, unless filter_reach is 0.
    Group g of planes: `v1.g` (hidden, inputs), `c1.g`, `v2.g` (planes, hidden), `c2.g`, `m.g` (planes, inputs), and
    unless refine_width is 0 `r1.g` (refine, planes, 3, 3), `d1.g`, `r2.g` (planes, refine), `d2.g`.
    Arrays of no elements (`u` of one grid) are left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    widths, inputs = config.entropy_layers, config.num_inputs
    shapes |= {"w1": (widths[0], inputs), "b1": (config.num_grids, widths[0])}
    if len(widths) == 2:
        shapes |= {"w2": (widths[1], widths[0]), "b2": (widths[1],)}
    shapes |= {"w3": (2, widths[-1]), "b3": (2,), "l": (2, inputs)}
    if config.num_previous:
        shapes |= {"p1": (widths[0], config.num_previous), "pb": (config.num_grids, widths[0])}
        shapes |= {"pl": (2, config.num_previous), "p3": (2,)}
    if config.num_hyper:
        shapes |= {
            "h1": (widths[0], config.num_hyper),
            "hl": (2, config.num_hyper),
            "hb": (config.num_hyper, widths[0]),
        }
    if config.num_grids > 1:
        shapes["u"] = (config.num_grids - 1, UPSAMPLING_TAPS)
    if config.filter_reach:
        shapes["f"] = (config.num_grids, config.filter_reach + 1)
    hidden, refine = config.synthesis_width, config.refine_width
    for g, group in enumerate(GROUPS[layout]):
        planes, inputs = group.num_planes, group.num_inputs(config.num_grids)
        shapes |= {f"v1.{g}": (hidden, inputs), f"c1.{g}": (hidden,)}
        shapes |= {f"v2.{g}": (planes, hidden), f"c2.{g}": (planes,), f"m.{g}": (planes, inputs)}
        if refine:
            shapes |= {f"r1.{g}": (refine, planes, 3, 3), f"d1.{g}": (refine,)}
            shapes |= {f"r2.{g}": (planes, refine), f"d2.{g}": (planes,)}
    return shapes


def is_of_entropy(name: str) -> bool:
    """Whether an array of `weight_shapes` is of the entropy network: bits depend on it, samples do not."""
    return name in ("w1", "b1", "w2", "b2", "w3", "b3", "l", "p1", "pb", "pl", "p3", "h1", "hl", "hb")


LONGEST_CHOICE = 32
"""Side of the largest rectangle of latents that a fit gives one value (native/src/pyramid/fit_choice.h)."""


@dataclass(frozen=True)
class PyramidFitConfig:
    """How long and how a picture is fitted. Nothing of it travels in the stream.

    Args:
        rd_weight: weight of bpp against MSE on [0, 1]; larger means smaller files.
        chroma_weight: factor of squared errors in planes after the first, above 0.
        use_prior: whether to start from the prior that was fitted for the layout at the nearest rate.
        noise_steps: length of the first stage, in which latents and weights move.
        network_steps: length of the second, in which weights follow the rounded latents.
        learning_rate, latent_rate: of weights (SOAP) and latents (Adam) in the first stage, falling to zero with a
            half cosine.
        latent_restarts: steps at which Adam's means on the latents start again: the first gradients are far larger
            than the later ones, and the memory of their squares would hold the latents back.
        weight_rate: factor of the bits of weights (fit/weight_rate.py) in the first stage's gradients. Without it
            they move wherever that helps a little, and small pictures spend more on weights than they gain.
        weight_decay: draws weights to those of the prior, by this share of the rate a step. Without it they wander
            where the loss does not care, and in long fits leave what integers can hold.
        network_rate: of the second stage, falling to a tenth.
        rounding_steps, rounding_rate: of the weights that are still free after each array that is rounded; the rate
            falls to a tenth, and is a third for large pictures, where each step sees another part.
        temperature, noise_deviation: of soft rounding and of Gaussian noise, from the first step to the last.
        annealing: they go with this power of the share of steps that are done: above 1, slowly at first.
        longest_choice: side of the largest rectangles of latents that are chosen anew together.
    """

    rd_weight: float = 1e-3
    chroma_weight: float = 1.0
    use_prior: bool = True
    noise_steps: int = 900
    network_steps: int = 100
    learning_rate: float = 1e-2
    latent_rate: float = 0.16
    latent_restarts: tuple[int, ...] = (40, 100)
    weight_rate: float = 0.7
    weight_decay: float = 0.1
    network_rate: float = 1e-3
    rounding_steps: int = 10
    rounding_rate: float = 3e-4
    temperature: tuple[float, float] = (0.35, 0.08)
    noise_deviation: tuple[float, float] = (0.22, 0.15)
    annealing: float = 1.5
    longest_choice: int = LONGEST_CHOICE

    def check(self) -> None:
        """Raise ConfigError where a value makes no sense."""
        check_rd_weight(self.rd_weight)
        for name in ("noise_steps", "network_steps", "rounding_steps"):
            check_range(name, getattr(self, name), 0, 10_000_000)
        for name in ("weight_rate", "weight_decay"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be 0 or more")
        if not self.chroma_weight > 0.0:
            raise ConfigError(f"chroma_weight = {self.chroma_weight}: must be above 0")
        check_range("longest_choice", self.longest_choice, 1, LONGEST_CHOICE)


PYRAMID_PRESETS: dict[str, PyramidFitConfig] = {
    "ultrafast": PyramidFitConfig(noise_steps=270, network_steps=30, rounding_steps=5),
    "fast": PyramidFitConfig(noise_steps=900, network_steps=100),
    "medium": PyramidFitConfig(noise_steps=2_200, network_steps=200),
    "slow": PyramidFitConfig(noise_steps=7_600, network_steps=400),
    "placebo": PyramidFitConfig(noise_steps=23_000, network_steps=1_000),
}
"""Efforts by name: steps over the whole picture, 3 : 10 : 24 : 80 : 240 in time."""
