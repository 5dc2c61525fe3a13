"""The adaptive softmax, as probabilities of all classes."""

import numpy as np

from tests.oracles import oracle


def draw(rng, batch):
    """Seven classes: three frequent ones, clusters of two."""
    head = {"kernel": rng.normal(size=(4, 5)), "bias": rng.normal(size=5)}
    tails = [{"down": rng.normal(size=(4, n)), "up": rng.normal(size=(n, 2))} for n in (2, 1)]
    labels = rng.integers(0, 7, batch).astype(np.int32)
    return {"hidden": rng.normal(size=(*batch, 4)), "labels": labels, "parameters": {"head": head, "tails": tails}}


def log_softmax(z):
    return z - np.max(z) - np.log(np.sum(np.exp(z - np.max(z))))


@oracle("nonnegative convex", options=[{"cutoffs": (3, 5)}, {"cutoffs": (3, 5, 7)}], sample=draw)
def adaptive_log_softmax(hidden, labels, parameters, cutoffs=None):
    head = log_softmax(hidden @ parameters["head"]["kernel"] + parameters["head"]["bias"])
    table = list(head[:3])
    for i, tail in enumerate(parameters["tails"]):
        table += [head[3 + i] + v for v in log_softmax(hidden @ tail["down"] @ tail["up"])]
    return -table[labels]
