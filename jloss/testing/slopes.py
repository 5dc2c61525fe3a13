"""One-sided differences in float64, with which gradients are compared where a loss has kinks."""

from typing import Any

import numpy as np

from jloss._core.domains import DOMAINS
from jloss.testing.cases import Case
from jloss.testing.samples import Inputs

STEP = 1e-6  # of one-sided differences in float64


MANY = 12  # numbers of an input, of which each is moved alone
LARGE, FEW = 200, 4  # of a signal of more numbers, each of which costs a spectrogram, so many are


def moved_by_steps(points: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which numbers of each point are moved, and each point with each moved by two steps to either side: h, h/2, -h, -h/2."""
    size = int(np.prod(np.shape(points)[1:], dtype=int))
    places = (
        np.arange(size) if size <= MANY else np.sort(np.random.default_rng(size).choice(size, FEW if size > LARGE else MANY, replace=False))
    )
    steps = STEP * np.array([1.0, 0.5, -1.0, -0.5])
    moves = steps[None, :, None] * np.eye(size)[places][:, None, :]
    moved = np.reshape(points, (count, 1, 1, size)) + moves[None]
    return places, moved.reshape(-1, *np.shape(points)[1:])


def _fits(moved: np.ndarray, domain: str) -> np.ndarray:
    low, high = DOMAINS[domain].low, DOMAINS[domain].high
    return (moved >= low) & (moved <= high)


def one_sided_slopes(value: float, sides: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slopes to either side along each direction, and how far they may be off.

    Infinite where they do not converge; anything where a side cannot be had, or where the value jumps, as of a zero vector's direction.
    """
    at, usable = sides[:, [[0, 1], [2, 3]]], (fits & np.isfinite(sides))[:, [[0, 1], [2, 3]]].all(-1) & np.isfinite(value)
    whole, half = np.moveaxis((np.where(usable[..., None], at, 0) - value) / (STEP * np.array([[1, 0.5], [-1, -0.5]])), -1, 0)
    change = np.abs(half - whole)
    slopes = np.where(change <= 0.05 * (1 + np.abs(half)), 2 * half - whole, np.where(half > whole, np.inf, -np.inf))
    doubt = 50 * np.where(np.isfinite(slopes), change**2 / (1 + np.abs(half)), 0).max(axis=1)
    anything = ~usable.all(axis=1) | (np.isinf(slopes).all(axis=1) & (slopes[:, 0] == slopes[:, 1]))
    slopes[anything] = [-np.inf, np.inf]
    return slopes, doubt


def _referred(case: Case, batch: Inputs, scenes: list[str], moves: Any) -> np.ndarray:
    """The values by the reference, whose frozen part is that of the point that was moved."""
    owners = [*range(len(scenes))]
    for places, _ in moves.values():
        owners += [i for i in range(len(scenes)) for _ in range(4 * len(places))]

    def example(i: int) -> Inputs:
        return {n: v[i] if n in case.batched else v for n, v in batch.items()}

    with np.errstate(all="ignore"):
        values = np.array([float(case.reference(**example(i), frozen=example(owner))) for i, owner in enumerate(owners)])  # type: ignore[misc]
    return np.where(np.isfinite(values), values, np.nan)
