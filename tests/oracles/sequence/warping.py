"""Soft alignments by enumeration."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.sequence.recognition import lengths, total


def path_costs(costs, i=0, j=0):
    """The cost of every path from (i, j) to the far corner."""
    rows, columns = costs.shape
    if (i, j) == (rows - 1, columns - 1):
        return [costs[i, j]]
    after = [(i + 1, j), (i, j + 1), (i + 1, j + 1)]
    return [costs[i, j] + rest for a, b in after if a < rows and b < columns for rest in path_costs(costs, a, b)]


def dtw(first, second, gamma):
    if not len(first) or not len(second):
        return 0.0 if len(first) == len(second) else np.inf
    costs = np.array([[np.sum((a - b) ** 2) for b in second] for a in first])
    return -gamma * total(-np.array(path_costs(costs)) / gamma)


def draw_series(rng, batch):
    return {
        "first": rng.normal(size=(*batch, 4, 2)),
        "second": rng.normal(size=(*batch, 3, 2)),
        "first_length": rng.integers(1, 5, batch).astype(np.int32),
        "second_length": rng.integers(1, 4, batch).astype(np.int32),
    }


GAMMAS = [{"gamma": 0.1}, {"gamma": 5.0}]


@oracle(options=GAMMAS, sample=draw_series)
def soft_dtw(first, second, first_length=None, second_length=None, gamma=1.0):
    t, u = lengths(first_length, len(first)), lengths(second_length, len(second))
    return np.nan if t is None or u is None else dtw(first[:t], second[:u], gamma)


@oracle("nonnegative", options=GAMMAS, sample=draw_series)
def soft_dtw_divergence(first, second, first_length=None, second_length=None, gamma=1.0):
    t, u = lengths(first_length, len(first)), lengths(second_length, len(second))
    if t is None or u is None:
        return np.nan
    first, second = first[:t], second[:u]
    return dtw(first, second, gamma) - dtw(first, first, gamma) / 2 - dtw(second, second, gamma) / 2


def chains(similarities, gap_open, gap_extend, last=None):
    """The score of every local alignment that goes on after the pair `last`."""
    rows, columns = similarities.shape
    found = [0.0]
    for i in range(0 if last is None else last[0] + 1, rows):
        for j in range(0 if last is None else last[1] + 1, columns):
            gaps = () if last is None else (i - last[0] - 1, j - last[1] - 1)
            score = similarities[i, j] - sum(gap_open + (n - 1) * gap_extend for n in gaps if n)
            found += [score + rest for rest in chains(similarities, gap_open, gap_extend, (i, j))]
    return found


def draw_similarities(rng, batch):
    return {
        "similarities": 2 * rng.normal(size=(*batch, 4, 3)),
        "first_length": rng.integers(1, 5, batch).astype(np.int32),
        "second_length": rng.integers(1, 4, batch).astype(np.int32),
    }


SETTINGS = [{"temperature": 0.3}, {"gap_open": 0.7, "gap_extend": 0.2}]


@oracle(options=SETTINGS, sample=draw_similarities)
def smith_waterman(similarities, first_length=None, second_length=None, gap_open=3.0, gap_extend=1.0, temperature=1.0):
    t, u = lengths(first_length, similarities.shape[0]), lengths(second_length, similarities.shape[1])
    if t is None or u is None:
        return np.nan
    return -temperature * total(np.array(chains(similarities[:t, :u], gap_open, gap_extend)) / temperature)
