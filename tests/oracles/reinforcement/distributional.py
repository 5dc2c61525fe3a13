"""Distributions of returns: projections point by point, quantiles pair by pair."""

import itertools
import math

import numpy as np

from tests.oracles import constant, oracle


def log_softmax(z):
    z = np.asarray(z, np.float64)
    return z - z.max() - math.log(sum(np.exp(z - z.max())))


def project(points, probs, atoms):
    """Each point is shared by its two neighbours in the ratio of the distances."""
    mass = np.zeros(len(atoms))
    for y, p in zip(points, probs, strict=True):
        y = min(max(y, atoms[0]), atoms[-1])
        j = max(i for i in range(len(atoms) - 1) if atoms[i] <= y)
        right = (y - atoms[j]) / (atoms[j + 1] - atoms[j])
        mass[j] += p * (1 - right)
        mass[j + 1] += p * right
    return mass


def cross_entropy(target, logits):
    return -sum(p * log_q for p, log_q in zip(target, log_softmax(logits), strict=True) if p)


@oracle("nonnegative convex", options=[{"kappa": 0.0}, {"kappa": 0.3}, {"kappa": 2.0}], frozen=True)
@constant("targets")
def quantile_td(quantiles, targets, levels=None, kappa=1.0):
    count = len(quantiles)
    levels = [(2 * i + 1) / (2 * count) for i in range(count)] if levels is None else levels
    loss = 0.0
    for level, quantile in zip(levels, quantiles, strict=True):
        for target in targets:
            u = target - quantile
            size = abs(u) - kappa / 2 if abs(u) > kappa or kappa == 0 else u * u / (2 * kappa)
            loss += abs(level - (u < 0)) * size / len(targets)
    return loss


@oracle("nonnegative convex shift_invariant", frozen=True)
@constant("next_logits", "rewards", "discounts", "atoms")
def categorical_td(logits, next_logits, rewards, discounts, atoms):
    points = [rewards + discounts * a for a in atoms]
    return cross_entropy(project(points, np.exp(log_softmax(next_logits)), atoms), logits)


@oracle("nonnegative convex shift_invariant", frozen=True)
@constant("targets", "atoms")
def two_hot(logits, targets, atoms):
    return cross_entropy(project([targets], [1.0], atoms), logits)


@oracle("nonnegative convex shift_invariant", options=[{"sigma": 0.3}, {"sigma": 3.0}], frozen=True)
@constant("targets", "edges")
def hl_gauss(logits, targets, edges, sigma=0.75):
    z = [(e - min(max(targets, edges[0]), edges[-1])) / (sigma * math.sqrt(2)) for e in edges]

    def mass(a, b):
        return math.erfc(a) - math.erfc(b) if a > 0 else math.erfc(-b) - math.erfc(-a) if b < 0 else math.erf(b) - math.erf(a)

    masses = [mass(a, b) for a, b in itertools.pairwise(z)]
    return cross_entropy([m / sum(masses) for m in masses], logits)
