"""Conditional random fields by enumeration of all tag sequences."""

import functools
import itertools

import numpy as np

from tests.oracles import oracle
from tests.oracles.sequence.recognition import lengths, total


@functools.cache
def sequences(t, k):
    return np.array(list(itertools.product(range(k), repeat=t)), int).reshape(-1, t)


def scores(sequences, emissions, transitions, start, stop):
    """Of each row of `sequences`."""
    t = sequences.shape[1]
    score = emissions[np.arange(t), sequences].sum(-1) + transitions[sequences[:, :-1], sequences[:, 1:]].sum(-1)
    score = score + (0 if start is None else start[sequences[:, 0]])
    return score + (0 if stop is None else stop[sequences[:, -1]])


def draw_crf(rng, batch):
    t, k = 4, 3
    return {
        "emissions": rng.normal(size=(*batch, t, k)),
        "tags": rng.integers(0, k, (*batch, t)).astype(np.int32),
        "transitions": rng.normal(size=(*batch, k, k)),
        "start": rng.normal(size=(*batch, k)),
        "stop": rng.normal(size=(*batch, k)),
        "length": rng.integers(1, t + 1, batch).astype(np.int32),
    }


@oracle("nonnegative convex shift_invariant", sample=draw_crf)
def crf(emissions, tags, transitions, start=None, stop=None, length=None):
    t, k = lengths(length, len(emissions)), emissions.shape[1]
    if t is None or any(not 0 <= c < k for c in tags[:t]):
        return np.nan
    if t == 0:
        return 0.0
    given = emissions[:t], transitions, start, stop
    loss = total(scores(sequences(t, k), *given)) - scores(np.array([tags[:t]]), *given)[0]
    return 0.0 if loss < 0 else loss
