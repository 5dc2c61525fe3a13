"""Sequence losses by enumeration of all alignments."""

import functools
import itertools

import numpy as np

from tests.oracles import oracle


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def total(log_weights):
    """log sum exp; -inf of nothing."""
    log_weights = np.asarray(log_weights, float)
    if not log_weights.size or log_weights.max() == -np.inf:
        return -np.inf
    return log_weights.max() + np.log(np.exp(log_weights - log_weights.max()).sum())


def lengths(given, size):
    """The length, or None where it is out of range."""
    length = size if given is None else int(given)
    return length if 0 <= length <= size else None


@functools.cache
def readings(t, k, blank):
    """All paths of t steps, by the labels they read."""
    found = {}
    for path in itertools.product(range(k), repeat=t):
        found.setdefault(tuple(c for c, _ in itertools.groupby(path) if c != blank), []).append(path)
    return {read: np.array(paths, int).reshape(len(paths), t) for read, paths in found.items()}


def draw_ctc(rng, batch):
    t, u, k = 5, 2, 4
    logit_length = rng.integers(3, t + 1, batch)
    return {
        "logits": rng.normal(size=(*batch, t, k)),
        "labels": rng.integers(1, k, (*batch, u)).astype(np.int32),
        "logit_length": logit_length.astype(np.int32),
        "label_length": rng.integers(1, u + 1, batch).astype(np.int32),
    }


@oracle("nonnegative shift_invariant", options=[{"infeasible": "zero"}, {"chunk_size": 2}, {"chunk_size": 1}], sample=draw_ctc)
def ctc(logits, labels, logit_length=None, label_length=None, blank=0, infeasible="inf", chunk_size=None):
    t, u = lengths(logit_length, logits.shape[0]), lengths(label_length, labels.shape[0])
    if t is None or u is None or any(not 0 <= c < logits.shape[1] or c == blank % logits.shape[1] for c in labels[:u]):
        return np.nan
    log_probs = log_softmax(logits[:t])
    paths = readings(t, logits.shape[1], blank % logits.shape[1]).get(tuple(int(c) for c in labels[:u]), np.zeros((0, t), int))
    found = log_probs[np.arange(t), paths].sum(-1)
    loss = -total(found)
    return 0.0 if loss < 0 or (loss == np.inf and infeasible == "zero") else loss
