# SPDX-License-Identifier: MIT
"""A prior of the pyramid model -> one that short fits start from better, and that knows its weights' worth.

    prior --> fits of many crops, each from the prior --> mean of their weights: the new prior
                                                     |--> how far each weight moves: its spread
              fits of a few crops from the new prior --> how much the loss bends with each weight: its step

    python -m pipelines.adapt_pyramid_priors pictures/ --rd-weight 1e-3 --start 5.i16 --out 5.new.i16

The first part is Reptile (Nichol et al., arXiv 1803.02999) with a step of one: a prior fitted for all crops together is
good where it stands, this one is good some hundred steps on. A second run, with another --seed, moves it little.

Steps and spreads go by the inputs of an array, or by the grids of biases, not by single weights: what a hidden unit is
worth differs from picture to picture.

With --layout the start is a prior of another layout (prior_layouts.py).

With --widen the start may be a prior of the default widths, or one without hyper grids: hidden units that it has not
begin at random and say nothing yet, filters do nothing, hyper grids are not read. So priors of RGB, which is coded by
wider networks, come from narrow ones.

Pictures on which results are reported must not be among them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from c3video.errors import C3VideoError
from c3video.native.pyramid_fit import Floats, PyramidFit
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig, weight_shapes
from c3video.pyramid.fit.stages import FitState, PictureFit, weight_views
from c3video.pyramid.fit.start import prior_weights, start_weights
from c3video.pyramid.priors import Prior
from c3video.pyramid.weights import BINARY_POINTS, column_units, quantise
from c3video.video import VideoFormat
from pipelines.fit_pyramid_priors import PIXEL_FORMATS, read_crop
from pipelines.prior_layouts import SOURCES, relaid

Doubles = NDArray[np.float64]
Read = TypeVar("Read")

LARGEST_STEP, LARGEST_SPREAD = 7, 40
BENDING = (1e-3, 0.3)
"""Change of the loss, against itself, that a second difference is read from: well above rounding, still local."""


def fitted_crop(
    part: tuple[int, int, Floats], start: Floats, config: PyramidConfig, layout: str, fit: PyramidFitConfig, seed: int
) -> PictureFit:
    """A crop's fit after its first stage, from weights (W,)."""
    height, width, planes = part
    plan = PyramidFit(config, layout, height, width)
    weights = start.copy()
    state = FitState(np.zeros(plan.num_latents, dtype=np.float32), weights, dict(weight_views(weights, config, layout)))
    found = PictureFit(plan, planes, state, weight_views(start, config, layout), fit, seed, lambda step: None, 1)
    found.noise_stage()
    return found


def widened(prior: Prior, config: PyramidConfig, seed: int) -> Floats:
    """Weights (W,) of `config`, whose hidden layers may be wider than those of the prior, that compute the same.

    Hyper grids that it has not get the biases of the grids of their shapes.
    """
    weights = start_weights(replace(config, prior=0), prior.layout, seed)
    old = weight_views(prior_weights(prior), prior.config, prior.layout)
    views = weight_views(weights, config, prior.layout)
    for name, array in views.items():
        kind = name.split(".")[0]
        if kind in ("f", "h1", "hl") and name not in old:
            continue  # what start_weights gives does nothing
        if kind == "hb" and name not in old:
            array[...] = views["b1"][-config.num_hyper :]
            continue
        corner = tuple(slice(length) for length in old[name].shape)
        if kind in ("w1", "v1", "r1"):  # what new units read is left as it is
            pass
        elif kind == "w2":
            array[: len(old[name]), old[name].shape[1] :] = 0.0
        else:
            array[...] = 0.0
        array[corner] = old[name]
    return weights


def bending(fit: PictureFit, offsets: Doubles) -> Doubles:
    """Second derivatives (W,) of the loss by single weights, from offsets (W,) to begin with."""
    weights, found, offsets = fit.state.weights, np.zeros(len(offsets)), offsets.copy()

    def loss() -> float:
        return fit.coded(wants_weights=False).loss

    base = loss()
    for index, kept in enumerate(weights.copy()):
        for _ in range(5):
            offset, change = offsets[index], -2.0 * base
            for moved in (kept + offset, kept - offset):
                weights[index] = moved
                change += loss()
            weights[index] = kept
            found[index] = max(change, 1e-5 * base) / offset**2
            if change > BENDING[1] * base:
                offsets[index] /= 4.0
            elif change < BENDING[0] * base:
                offsets[index] *= 4.0
            else:
                break
    return found


def by_input(name: str, values: Doubles) -> Doubles:
    """Means of an array's values over what has the same input, or the same grid, of the same shape."""
    kind = name.split(".")[0]
    if kind in ("u", "f"):
        return values
    axis = {"b1": 1, "hb": 1, "w1": 0, "l": 0, "h1": 0, "hl": 0, "v1": 0, "m": 0}.get(kind)
    return np.broadcast_to(values.mean(axis=axis, keepdims=axis is not None), values.shape)


def precision_of(
    moves: Doubles, bends: Doubles, config: PyramidConfig, layout: str
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Steps and spreads by name.

    Args:
        moves: (W,) root of the mean square of moves.
        bends: (W,) second derivatives of the loss.
    """
    move_views, bend_views = (weight_views(values, config, layout) for values in (moves, bends))
    steps, spreads = {}, {}
    for name, shape in weight_shapes(config, layout).items():
        unit = np.broadcast_to(
            np.asarray(column_units(name, config, layout)) * 2.0 ** -BINARY_POINTS[name.split(".")[0]], shape
        )
        # The error of rounding to steps d costs bends * d^2 / 24: alike for all where d goes with 1 / sqrt(bends).
        exponents = by_input(name, -0.5 * np.log2(bend_views[name] * unit**2))
        step = np.clip(np.rint(exponents - np.median(exponents)), -LARGEST_STEP, LARGEST_STEP)
        logs = by_input(name, np.log(np.maximum(move_views[name] / unit, 1e-3))) - np.log(2.0) * step
        # A scale index is an eighth of a factor e.
        spread = np.clip(np.rint(8.0 * (logs - logs.mean())), -LARGEST_SPREAD, LARGEST_SPREAD)
        steps[name], spreads[name] = step.astype(np.int64), spread.astype(np.int64)
    return steps, spreads


@dataclass(frozen=True)
class CropFits:
    """Fits of crops of pictures, all from the same start.

    Args:
        files: of the pictures, in turn.
        start: (W,) weights of `config` and `layout`.
        count: of crops.
        size: their side.
        enlargement: of pictures before they are cropped.
        seed: of the choice and the places of crops.
        workers: processes.
    """

    files: Sequence[Path]
    layout: str
    config: PyramidConfig
    start: Floats
    fit: PyramidFitConfig
    count: int
    size: int
    enlargement: float = 1.0
    seed: int = 0
    workers: int = 1

    def fitted(self, index: int) -> PictureFit:
        """That of one crop. Raises SourceError."""
        path = self.files[(index * len(self.files) // self.count + self.seed) % len(self.files)]
        random = np.random.default_rng((self.seed, index))
        part = read_crop(path, self.layout, self.size, random, self.enlargement)
        return fitted_crop(part, self.start, self.config, self.layout, self.fit, index)

    def each(self, reading: Callable[[PictureFit], Read], what: str = "fits") -> list[Read]:
        """What is read of each, in their order."""
        with ProcessPoolExecutor(self.workers) as pool:
            found = pool.map(partial(_read, self, reading), range(self.count))
            return list(tqdm(found, total=self.count, desc=what, unit="crop"))


def _read(fits: CropFits, reading: Callable[[PictureFit], Read], index: int) -> Read:
    return reading(fits.fitted(index))


def _weights(fit: PictureFit) -> Floats:
    return fit.state.weights


def moved_weights(fits: CropFits, rounds: int) -> Floats:
    """Weights (crops, W) after the last round, which like each starts from the mean of the one before."""
    weights = np.array(fits.each(_weights))
    if rounds == 1:
        return weights
    return moved_weights(replace(fits, start=weights.mean(axis=0), seed=fits.seed + 1), rounds - 1)


def add_crop_options(parser: argparse.ArgumentParser) -> None:
    """What fits of crops from a prior are asked for with."""
    parser.add_argument("pictures", type=Path, help="folder of .png files, none of those that results are reported on")
    parser.add_argument("--rd-weight", type=float, required=True)
    parser.add_argument("--start", type=Path, required=True, help="the prior that fits start from")
    parser.add_argument("--out", type=Path, required=True, help="the .i16 file")
    parser.add_argument("--crops", type=int, default=54, help="pictures that are fitted (default: %(default)s)")
    parser.add_argument("--size", type=int, default=192, help="side of crops (default: %(default)s)")
    parser.add_argument("--enlarge", type=float, default=1.0, help="pictures by this first: soft ones (%(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="of each fit (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes (default: %(default)s)")


def crop_fits(options: argparse.Namespace, files: Sequence[Path], prior: Prior) -> CropFits:
    """As `add_crop_options` was answered, from the prior's weights."""
    return CropFits(
        files,
        prior.layout,
        replace(prior.config, prior=0),
        prior_weights(prior),
        # Weights go where pictures want them: what their differences to this start would cost does not count.
        PyramidFitConfig(
            rd_weight=options.rd_weight, noise_steps=options.steps, network_steps=0, weight_rate=0.0, weight_decay=0.5
        ),
        options.crops,
        options.size,
        options.enlarge,
        options.seed,
        options.workers,
    )


def pictures_in(folder: Path, parser: argparse.ArgumentParser) -> list[Path]:
    files = sorted(folder.glob("*.png"))
    if not files:
        parser.error(f"{folder}: holds no .png files")
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m pipelines.adapt_pyramid_priors",
    )
    add_crop_options(parser)
    parser.add_argument(
        "--layout", choices=sorted(SOURCES), help="of the new prior, where the start is of the one it is made from"
    )
    parser.add_argument("--widen", action="store_true", help="from a narrower prior to the widths that its layout has")
    parser.add_argument("--rounds", type=int, default=1, help="each from the mean of the last (default: %(default)s)")
    parser.add_argument("--probes", type=int, default=6, help="pictures that bending is read from (%(default)s)")
    options = parser.parse_args(arguments)
    files = pictures_in(options.pictures, parser)
    try:
        prior = Prior.from_bytes(options.start.read_bytes(), 0)
        if options.layout:
            prior = relaid(prior, options.layout)
        fits = crop_fits(options, files, prior)
        if options.widen:
            config = PyramidConfig().for_video(VideoFormat(16, 16, PIXEL_FORMATS[prior.layout]))
            fits = replace(fits, config=config, start=widened(prior, config, options.seed))
        config, start = fits.config, fits.start
        weights = moved_weights(fits, options.rounds)
        mean = weights.mean(axis=0)
        moves = np.sqrt(np.square(weights - mean).mean(axis=0, dtype=np.float64))
        offsets = np.maximum(0.05 * np.abs(mean), 0.01).astype(np.float64)
        probes = replace(fits, start=mean, count=options.probes).each(partial(bending, offsets=offsets), "probes")
        bends = np.exp(np.mean(np.log(probes), axis=0))
        steps, spreads = precision_of(moves, bends, config, prior.layout)
        arrays = quantise(config, prior.layout, weight_views(mean, config, prior.layout)).arrays
    except C3VideoError as error:
        print(f"adapt_pyramid_priors: {error}", file=sys.stderr)
        return 1
    print(
        f"moves {np.sqrt(np.square(weights - start).mean()):.4f} from the old prior, {moves.mean():.4f} about the new"
    )
    options.out.write_bytes(Prior(config, prior.layout, arrays, steps, spreads).to_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
