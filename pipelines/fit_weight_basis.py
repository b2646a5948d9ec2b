# SPDX-License-Identifier: MIT
"""A prior of the pyramid model -> the same with bases, in which what fits change of its weights costs fewer bits.

    prior --> fits of many crops, each from the prior --> how weights of a row move together
                                                     |--> how the loss bends with them together
                                                     '--> for each large array a basis of its rows, steps and spreads

    python -m pipelines.fit_weight_basis pictures/ --rd-weight 1e-3 --start 5.old.i16 --out 5.i16

The directions of a basis neither move together nor bend the loss together: both forms of a row's weights, that of the
mean square of moves and that of the loss, are diagonal there. So coefficients can be rounded and coded one by one, with
steps at which each spoils as much. Rows share a basis, and the forms are means over them: what a hidden unit is worth
differs from picture to picture, what its inputs have in common does not.

The weights of the prior stay as they are; arrays without a basis keep their steps and spreads. Pictures on which
results are reported must not be among those of the folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from c3video.errors import C3VideoError
from c3video.native.pyramid_fit import Floats
from c3video.pyramid.config import weight_shapes
from c3video.pyramid.fit.stages import PictureFit, weight_views
from c3video.pyramid.priors import BASIS_BITS, Prior
from c3video.pyramid.weights import BINARY_POINTS, column_units
from pipelines.adapt_pyramid_priors import (
    LARGEST_SPREAD,
    LARGEST_STEP,
    CropFits,
    add_crop_options,
    crop_fits,
    pictures_in,
)

Doubles = NDArray[np.float64]

KINDS = ("w1", "w2", "v1", "r1")
"""Arrays that get a basis: those that hidden units read their inputs by. The others are small, and gain nothing
(eval/results/pyramid_trials.md)."""

RIDGE = 0.1
"""What is added to the loss's form, whose diagonal is 1 then: no picture's form is that of the crops."""
DEAD = 1e-2
"""Least that an input bends the loss, of what the median one does: some hidden units say nothing in any crop."""
OFFSET = (2e-3, 1e-2)
"""Of weights for a difference of gradients: at least the first, the second of their size."""


@dataclass(frozen=True)
class Basis:
    """Of an array of k weights in a row.

    Args:
        directions: (k, k) integers, what each coefficient adds to the weights, binary point BASIS_BITS.
        steps, spreads: (k,) of the coefficients.
    """

    directions: NDArray[np.int64]
    steps: NDArray[np.int64]
    spreads: NDArray[np.int64]


def row_bends(fit: PictureFit, draws: int) -> dict[str, Doubles]:
    """Second derivatives (k, k) of the loss by weights of one row, the mean over rows, of each array of KINDS.

    Each input's weights move in all rows at once, by random signs: of what the gradient changes by, times the signs,
    the expectation is the sum of what each row's own weights do.
    """
    config, layout, weights = fit.plan.config, fit.plan.layout, fit.state.weights
    views, found, random = weight_views(weights, config, layout), {}, np.random.default_rng(fit.seed)

    def gradient(name: str) -> Doubles:
        grads = fit.coded().grad_weights
        assert grads is not None
        array = weight_views(grads, config, layout)[name]
        return array.reshape(len(array), -1).astype(np.float64)

    for name, array in views.items():
        if name.split(".")[0] not in KINDS:
            continue
        rows = array.reshape(len(array), -1)  # a view: it shares memory with the weights
        bends = np.zeros((rows.shape[1], rows.shape[1]))
        for column in range(rows.shape[1]):
            kept = rows[:, column].copy()
            offset = max(OFFSET[0], OFFSET[1] * float(np.sqrt(np.square(kept).mean())))
            for _ in range(draws):
                signs = random.choice([-1.0, 1.0], len(rows))
                rows[:, column] = kept + offset * signs
                change = gradient(name)
                rows[:, column] = kept - offset * signs
                change -= gradient(name)
                bends[column] += signs @ change / (2.0 * offset * draws * len(rows))
            rows[:, column] = kept
        found[name] = 0.5 * (bends + bends.T)
    return found


def basis_of(bends: Doubles, moves: Doubles) -> Basis:
    """The basis in which both forms (k, k) of a row are diagonal, in units of the integers of weights.

    Args:
        bends: second derivatives of the loss.
        moves: mean products of moves.
    """
    diagonal = np.diag(bends)
    scale = np.sqrt(np.maximum(diagonal, DEAD * np.median(np.abs(diagonal)) or 1.0))
    values, axes = np.linalg.eigh(bends / np.outer(scale, scale))
    whitening = scale[:, None] * axes * np.sqrt(np.maximum(values, 0.0) + RIDGE)
    squares, turned = np.linalg.eigh(whitening.T @ moves @ whitening)
    # Rows: what a unit of a coefficient, which bends the loss by 1 whichever it is, adds to the weights.
    directions = np.linalg.inv(whitening @ turned)
    lengths = np.log2(np.sqrt(np.square(directions).sum(axis=1)))
    middle = np.median(lengths)
    steps = np.clip(np.rint(lengths - middle), -LARGEST_STEP, LARGEST_STEP)
    integers = np.rint(directions * 2.0 ** (BASIS_BITS - middle - steps)[:, None])
    logs = 0.5 * np.log(np.maximum(squares, 1e-12 * squares.max()))
    # A scale index is an eighth of a factor e.
    spreads = np.clip(np.rint(8.0 * (logs - logs.mean())), -LARGEST_SPREAD, LARGEST_SPREAD)
    return Basis(integers.astype(np.int64), steps.astype(np.int64), spreads.astype(np.int64))


def row_moves(moved: Sequence[Mapping[str, Doubles]], name: str) -> Doubles:
    """Mean products (k, k) of moves of weights in a row of an array, over rows and fits."""
    rows = np.concatenate([arrays[name].reshape(len(arrays[name]), -1) for arrays in moved])
    return rows.T @ rows / len(rows)


def with_bases(prior: Prior, bends: Mapping[str, Doubles], moves: Mapping[str, Doubles]) -> Prior:
    """The prior with a basis for each array of `bends`, which like `moves` are in the floats of a fit."""
    steps, spreads, bases = dict(prior.steps), dict(prior.spreads), {}
    shapes = weight_shapes(prior.config, prior.layout)
    for name in bends:
        binary_point = BINARY_POINTS[name.split(".")[0]]
        units = np.full(len(bends[name]), 2.0**-binary_point) * column_units(name, prior.config, prior.layout)
        products = np.outer(units, units)
        found = basis_of(bends[name] * products, moves[name] / products)
        bases[name] = found.directions
        rows = shapes[name][0], -1
        steps[name] = np.broadcast_to(found.steps, (rows[0], len(units))).reshape(shapes[name])
        spreads[name] = np.broadcast_to(found.spreads, (rows[0], len(units))).reshape(shapes[name])
    return replace(prior, steps=steps, spreads=spreads, bases=bases)


def _moves_and_bends(fit: PictureFit, draws: int) -> tuple[Floats, dict[str, Doubles]]:
    moved = fit.state.weights.copy()  # before they are moved to see how the loss bends
    return moved, row_bends(fit, draws)


def fit_bases(prior: Prior, fits: CropFits, draws: int) -> Prior:
    """The prior with bases, by fits from it. Raises SourceError where a picture cannot be read."""
    found = fits.each(partial(_moves_and_bends, draws=draws))
    moved = [weight_views((weights - fits.start).astype(np.float64), fits.config, fits.layout) for weights, _ in found]
    mean_bends = {name: np.mean([bends[name] for _, bends in found], axis=0) for name in found[0][1]}
    return with_bases(prior, mean_bends, {name: row_moves(moved, name) for name in mean_bends})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m pipelines.fit_weight_basis",
    )
    add_crop_options(parser)
    parser.add_argument("--draws", type=int, default=2, help="signs that bending is read by (default: %(default)s)")
    options = parser.parse_args(arguments)
    files = pictures_in(options.pictures, parser)
    try:
        prior = Prior.from_bytes(options.start.read_bytes(), 0)
        found = fit_bases(prior, crop_fits(options, files, prior), options.draws)
    except C3VideoError as error:
        print(f"fit_weight_basis: {error}", file=sys.stderr)
        return 1
    options.out.write_bytes(found.to_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
