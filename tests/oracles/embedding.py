"""Pairs and triplets of vectors."""

import numpy as np

from tests.oracles import oracle


def unit(x):
    """The direction; a zero vector has none and stays zero."""
    largest = np.max(np.abs(x), initial=0.0)
    if largest == 0:
        return np.zeros_like(x)
    x = x / largest
    return x / np.sqrt(np.sum(x * x))


def cosine(x, y):
    return float(np.dot(unit(x), unit(y)))


@oracle("nonnegative symmetric scale_invariant zero_at_match")
def cosine_distance(predictions, targets):
    return 1 - cosine(predictions, targets)


@oracle("nonnegative symmetric zero_at_match convex shift_invariant")
def squared_euclidean(predictions, targets):
    return sum((p - t) ** 2 for p, t in zip(predictions, targets, strict=True))


@oracle("nonnegative symmetric scale_invariant", options=[{"margin": 0.3}, {"margin": -0.5}])
def cosine_embedding(first, second, signs, margin=0.0):
    c = cosine(first, second)
    return 1 - c if signs == 1 else max(0.0, c - margin)


def distance(x, y, p):
    e = np.abs(np.asarray(x) - y)
    return float(np.max(e)) if np.isinf(p) else float(np.sum(e**p) ** (1 / p))


@oracle(
    "nonnegative",
    options=[{"margin": 0.2, "swap": True}, {"soft": True}, {"p": 1.0}, {"p": 3.0, "margin": 2.0}, {"p": float("inf")}, {"p": 1.5, "swap": True}],
)
def triplet_margin(anchors, positives, negatives, margin=1.0, p=2.0, swap=False, soft=False):
    near, far = distance(anchors, positives, p), distance(anchors, negatives, p)
    if swap:
        far = min(far, distance(positives, negatives, p))
    violation = near - far + margin
    return np.logaddexp(0.0, violation) if soft else max(0.0, violation)
