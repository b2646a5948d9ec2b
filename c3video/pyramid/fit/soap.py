# SPDX-License-Identifier: MIT
"""SOAP for the few small matrices of a decoder's networks: Adam in the eigenbasis of Shampoo's preconditioner.

Source: Vyas et al., SOAP: Improving and Stabilizing Shampoo using Adam, arXiv 2409.11321. Against Adam it lowers the
loss of a picture's fit by 16% after 800 steps (eval/results/pyramid_trials.md).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass
class _Side:
    """One side of a matrix: the running second moment of its gradients and the basis of its eigenvectors."""

    moment: Doubles
    basis: Doubles


@dataclass
class Moments:
    """What SOAP has learned from gradients in so many steps, by name of an array."""

    means: dict[str, Doubles]
    squares: dict[str, Doubles]
    sides: dict[str, tuple[_Side | None, _Side | None]] = field(default_factory=dict)
    num_steps: int = 0


class Soap:
    """Steps on named arrays, in place. An array of more than two axes is a matrix of its first against the others.

    Args:
        arrays: float32, of any shapes, changed by `step`.
        beta1, beta2: decay of the means of gradients and of their squares.
        epsilon: added to the root of the squares.
        period: steps between two updates of the bases.
        anchors, decay: by name, what arrays are drawn to; each step goes rate * decay of the way. Steps are as long
            where the loss does not care as where it does: there arrays would wander off with the noise of gradients.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.float32]],
        beta1: float = 0.95,
        beta2: float = 0.95,
        epsilon: float = 1e-8,
        period: int = 10,
        anchors: Mapping[str, NDArray[np.floating]] | None = None,
        decay: float = 0.0,
    ) -> None:
        self.arrays, self.beta1, self.beta2, self.epsilon, self.period = dict(arrays), beta1, beta2, epsilon, period
        self.anchors, self.decay = anchors or {}, decay
        shapes = {name: _matrix_shape(array.shape) for name, array in self.arrays.items()}
        means, squares = ({name: np.zeros(shape) for name, shape in shapes.items()} for _ in range(2))
        self._learned = Moments(means, squares)

    def step(self, grads: Mapping[str, NDArray[np.floating]], rate: float) -> None:
        """One step along the gradients, by name. The first only measures them."""
        learned = self._learned
        learned.num_steps += 1
        for name, array in self.arrays.items():
            grad = grads[name].reshape(learned.means[name].shape).astype(np.float64)
            if learned.num_steps == 1:
                learned.sides[name] = (_first_side(grad @ grad.T), _first_side(grad.T @ grad))
                continue
            left, right = learned.sides[name]
            for side, product in ((left, lambda g: g @ g.T), (right, lambda g: g.T @ g)):
                if side is not None:
                    side.moment += (1.0 - self.beta2) * (product(grad) - side.moment)
            array -= (rate * self._direction(name, grad)).reshape(array.shape).astype(array.dtype)
            if name in self.anchors:
                array -= (rate * self.decay * (array - self.anchors[name])).astype(array.dtype)
            if (learned.num_steps - 1) % self.period == 0:
                learned.squares[name] = _turned(learned.squares[name], left, right)

    def moments(self) -> Moments:
        """A copy of what it has learned from gradients."""
        return copy.deepcopy(self._learned)

    def take(self, moments: Moments) -> None:
        """Go on from what it had learned then."""
        self._learned = copy.deepcopy(moments)

    def _direction(self, name: str, grad: Doubles) -> Doubles:
        learned = self._learned
        left, right = learned.sides[name]
        mean, square = learned.means[name], learned.squares[name]
        mean += (1.0 - self.beta1) * (grad - mean)
        square += (1.0 - self.beta2) * (np.square(_into(grad, left, right)) - square)
        count = learned.num_steps - 1
        root = np.sqrt(square / (1.0 - self.beta2**count)) + self.epsilon
        direction = _into(mean, left, right) / (1.0 - self.beta1**count) / root
        if left is not None:
            direction = left.basis @ direction
        return direction if right is None else direction @ right.basis.T


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    return (1, shape[0]) if len(shape) == 1 else (shape[0], math.prod(shape[1:]))


def _first_side(moment: Doubles) -> _Side | None:
    """None for a side of one row, which has no basis to turn to."""
    if len(moment) == 1:
        return None
    # Eigenvectors from the largest eigenvalue down; the diagonal keeps a moment of zeros from having none.
    return _Side(moment, np.linalg.eigh(moment + 1e-30 * np.eye(len(moment)))[1][:, ::-1])


def _into(matrix: Doubles, left: _Side | None, right: _Side | None) -> Doubles:
    """A matrix in the coordinates of the bases."""
    if left is not None:
        matrix = left.basis.T @ matrix
    return matrix if right is None else matrix @ right.basis


def _turned(squares: Doubles, left: _Side | None, right: _Side | None) -> Doubles:
    """Follow the moments by one power iteration; the squares follow the order of the eigenvectors."""
    for axis, side in enumerate((left, right)):
        if side is not None:
            order = np.argsort(-np.einsum("ij,ik,kj->j", side.basis, side.moment, side.basis))
            squares = np.take(squares, order, axis=axis)
            side.basis = np.linalg.qr(side.moment @ side.basis[:, order])[0]
    return squares
