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
    options=[
        {"margin": 0.2, "swap": True},
        {"soft": True},
        {"p": 1.0},
        {"p": 3.0, "margin": 2.0},
        {"p": float("inf")},
        {"p": 1.5, "swap": True},
    ],
)
def triplet_margin(anchors, positives, negatives, margin=1.0, p=2.0, swap=False, soft=False):
    near, far = distance(anchors, positives, p), distance(anchors, negatives, p)
    if swap:
        far = min(far, distance(positives, negatives, p))
    violation = near - far + margin
    return np.logaddexp(0.0, violation) if soft else max(0.0, violation)


def sample_set(rng, batch):
    """Six items of three classes, one class with one item only in some examples, at least two items kept."""
    labels = rng.integers(0, 3, (*batch, 6)).astype(np.int32)
    mask = rng.uniform(size=(*batch, 6)) < 0.85
    return {"embeddings": rng.normal(size=(*batch, 6, 3)), "labels": labels, "mask": mask}


def kept_items(n, mask):
    return [i for i in range(n) if mask is None or mask[i]]


def euclid(x, y, squared=False):
    d2 = float(np.sum((x - y) ** 2))
    return d2 if squared else np.sqrt(d2)


@oracle("nonnegative symmetric shift_invariant", options=[{"margin": 2.5}])
def contrastive_pair(first, second, same, margin=1.0):
    d = euclid(first, second)
    return same * d**2 + (1 - same) * max(0.0, margin - d) ** 2


def mean(values):
    return float(np.mean(values)) if len(values) else 0.0


TRIPLETS = [{"margin": 0.3}, {"squared": True}, {"margin": 3.0}]


@oracle("nonnegative shift_invariant", options=TRIPLETS, sample=sample_set)
def batch_hard_triplet(embeddings, labels, mask=None, margin=1.0, squared=False):
    keep = kept_items(len(labels), mask)
    losses = []
    for a in keep:
        near = [euclid(embeddings[a], embeddings[p], squared) for p in keep if p != a and labels[p] == labels[a]]
        far = [euclid(embeddings[a], embeddings[q], squared) for q in keep if labels[q] != labels[a]]
        if near and far:
            losses.append(max(0.0, max(near) - min(far) + margin))
    return mean(losses)


@oracle("nonnegative shift_invariant", options=TRIPLETS, sample=sample_set)
def batch_semi_hard_triplet(embeddings, labels, mask=None, margin=1.0, squared=False):
    keep = kept_items(len(labels), mask)
    losses = []
    for a in keep:
        far = [euclid(embeddings[a], embeddings[q], squared) for q in keep if labels[q] != labels[a]]
        for p in keep:
            if p != a and labels[p] == labels[a] and far:
                d = euclid(embeddings[a], embeddings[p], squared)
                beyond = [f for f in far if f > d]
                losses.append(max(0.0, d - (min(beyond) if beyond else max(far)) + margin))
    return mean(losses)


@oracle("nonnegative shift_invariant", options=TRIPLETS, sample=sample_set)
def batch_all_triplet(embeddings, labels, mask=None, margin=1.0, squared=False):
    keep = kept_items(len(labels), mask)
    losses = []
    for a in keep:
        for p in keep:
            for q in keep:
                if p != a and labels[p] == labels[a] != labels[q]:
                    violation = euclid(embeddings[a], embeddings[p], squared) - euclid(embeddings[a], embeddings[q], squared) + margin
                    if violation > 1e-9:  # not: active by rounding
                        losses.append(violation)
    return mean(losses)
