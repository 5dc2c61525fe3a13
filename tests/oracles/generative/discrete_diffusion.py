"""Token by token, with transition matrices written out."""

import math

import numpy as np

from tests.oracles import oracle


def log_softmax(x):
    x = np.asarray(x, float)
    return x - np.logaddexp.reduce(x)


@oracle("nonnegative shift_invariant convex")
def masked_diffusion(logits, labels, masked, rate, mask=None):
    t, k = np.shape(logits)
    total, valid = 0.0, 0
    for i in range(t):
        if mask is None or mask[i]:
            valid += 1
            if masked[i]:
                if not 0 <= labels[i] < k:
                    return math.nan
                total -= log_softmax(logits[i])[labels[i]]
    return rate * total / max(valid, 1)


def sample_tokens(rng, batch):
    """Most tokens are masked (class 4); one in four is not."""
    number = np.arange(int(np.prod(batch))).reshape(batch)
    clear = number % 4 == 1
    return {
        "log_scores": rng.normal(size=(*batch, 5)),
        "labels": rng.integers(0, 4, batch).astype(np.int32),
        "noisy": np.where(clear, rng.integers(0, 4, batch), 4).astype(np.int32),
        "sigma": np.exp(0.5 * rng.normal(size=batch)),
    }


def exp(x):
    return math.exp(x) if x < 700 else math.inf


def ratio_term(s, log_c):
    """``exp(s) - c s + c (log c - 1)``; near a match by the series of ``exp(x) - 1 - x``."""
    if log_c == -math.inf:
        return exp(s)
    c, gap = exp(log_c), s - log_c
    if abs(gap) < 1e-3:
        return c * (gap**2 / 2 + gap**3 / 6 + gap**4 / 24)
    return exp(s) - c * s + c * (log_c - 1)


@oracle("nonnegative convex", options=[{"graph": "uniform"}], sample=sample_tokens)
def score_entropy(log_scores, labels, noisy, sigma, graph="absorbing"):
    k = len(log_scores)
    if not 0 <= noisy < k:
        return math.nan
    if graph == "absorbing":
        if noisy != k - 1:
            return 0.0
        if not 0 <= labels < k - 1:
            return math.nan
        log_r = -(sigma + math.log(-math.expm1(-sigma)))
        return sum(ratio_term(log_scores[y], log_r if y == labels else -math.inf) for y in range(k - 1))
    if not 0 <= labels < k:
        return math.nan
    moved = -math.expm1(-sigma)
    row = [math.log((moved / k + (math.exp(-sigma) if y == labels else 0.0)) or 5e-324) for y in range(k)]
    return sum(ratio_term(log_scores[y], row[y] - row[noisy]) for y in range(k) if y != noisy) / k


@oracle("nonnegative shift_invariant")
def discrete_flow_matching(logits, labels, noisy, rate):
    if not (0 <= labels < len(logits) and 0 <= noisy < len(logits)):
        return math.nan
    logs = log_softmax(logits)
    if labels == noisy:
        return rate * -math.expm1(logs[labels])
    return -rate * (math.exp(logs[noisy]) + logs[labels])
