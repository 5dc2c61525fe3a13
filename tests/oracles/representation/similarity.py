"""Losses of sets of unit vectors, by loops over anchors."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.representation.embedding import cosine, kept_items, mean, sample_set, unit


def log_sum_exp(values):
    if not len(values):
        return -np.inf
    peak = max(values)
    return peak + np.log(sum(np.exp(v - peak) for v in values))


def log1p_sum_exp(values):
    return log_sum_exp([0.0, *values])


class Set:
    """Cosines, distances, and the positives and negatives of each kept item."""

    def __init__(self, embeddings, labels, mask):
        self.keep = kept_items(len(labels), mask)
        n = len(labels)
        self.s, self.d2 = np.zeros((n, n)), np.zeros((n, n))
        for i in self.keep:
            for j in self.keep:
                self.s[i, j] = cosine(embeddings[i], embeddings[j])
                self.d2[i, j] = np.sum((unit(embeddings[i]) - unit(embeddings[j])) ** 2)
        self.d = np.sqrt(self.d2)
        self.positives = {i: [j for j in self.keep if j != i and labels[j] == labels[i]] for i in self.keep}
        self.negatives = {i: [j for j in self.keep if labels[j] != labels[i]] for i in self.keep}


SET = {"sample": sample_set}


@oracle("nonnegative scale_invariant", options=[{"alpha": 1.0, "beta": 5.0, "base": 0.1}], **SET)
def multi_similarity(embeddings, labels, mask=None, alpha=2.0, beta=50.0, base=0.5):
    g = Set(embeddings, labels, mask)
    return mean(
        [
            log1p_sum_exp([-alpha * (g.s[i, p] - base) for p in g.positives[i]]) / alpha
            + log1p_sum_exp([beta * (g.s[i, q] - base) for q in g.negatives[i]]) / beta
            for i in g.keep
        ]
    )


@oracle("nonnegative scale_invariant", options=[{"margin": 0.25, "gamma": 10.0}], frozen=True, **SET)
def circle(embeddings, labels, mask=None, margin=0.4, gamma=80.0, frozen=None):
    g = Set(embeddings, labels, mask)
    fixed = Set(frozen["embeddings"], labels, mask)
    losses = []
    for i in g.keep:
        if g.positives[i] and g.negatives[i]:
            near = [-gamma * max(0.0, 1 + margin - fixed.s[i, p]) * (g.s[i, p] - (1 - margin)) for p in g.positives[i]]
            far = [gamma * max(0.0, fixed.s[i, q] + margin) * (g.s[i, q] - margin) for q in g.negatives[i]]
            losses.append(np.logaddexp(0.0, log_sum_exp(near) + log_sum_exp(far)))
    return mean(losses)


@oracle("nonnegative scale_invariant", options=[{"margin": 0.5, "beta": 1.0}], **SET)
def pair_margin(embeddings, labels, mask=None, margin=0.2, beta=1.2):
    g = Set(embeddings, labels, mask)
    losses = [margin + (g.d[i, p] - beta) for i in g.keep for p in g.positives[i]]
    losses += [margin - (g.d[i, q] - beta) for i in g.keep for q in g.negatives[i]]
    return mean([v for v in losses if v > 1e-9])  # not: active by rounding


@oracle("nonnegative scale_invariant", options=[{"margin": 0.2}], **SET)
def lifted_structure(embeddings, labels, mask=None, margin=1.0):
    g = Set(embeddings, labels, mask)
    losses = []
    for i in g.keep:
        for j in g.positives[i]:
            terms = [margin - g.d[i, k] for k in g.negatives[i]] + [margin - g.d[j, k] for k in g.negatives[j]]
            losses.append(0.5 * max(0.0, log_sum_exp(terms) + g.d[i, j]) ** 2)
    return mean(losses)


@oracle("nonnegative scale_invariant", **SET)
def n_pairs(embeddings, labels, mask=None):
    g = Set(embeddings, labels, mask)
    members = {}
    for i in g.keep:
        members.setdefault(int(labels[i]), []).append(i)
    chosen = [m[:2] for m in members.values() if len(m) > 1]
    return mean([log_sum_exp([g.s[a, q] for _, q in chosen]) - g.s[a, p] for a, p in chosen])


@oracle("nonnegative scale_invariant", options=[{"alpha": 50.0}], **SET)
def angular(embeddings, labels, mask=None, alpha=40.0):
    g = Set(embeddings, labels, mask)
    t = np.tan(np.pi * alpha / 180) ** 2
    return mean(
        [
            log1p_sum_exp([4 * t * (g.s[a, q] + g.s[p, q]) - 2 * (1 + t) * g.s[a, p] for q in g.negatives[a]])
            for a in g.keep
            for p in g.positives[a]
            if g.negatives[a]
        ]
    )


@oracle("nonnegative scale_invariant", options=[{"margin": 20.0, "scale": 5.0}], **SET)
def tuplet_margin(embeddings, labels, mask=None, margin=5.73, scale=64.0):
    g = Set(embeddings, labels, mask)
    angle = np.arccos(np.clip(g.s, -1, 1))
    slack = np.pi * margin / 180
    return mean(
        [
            log1p_sum_exp([scale * (g.s[a, q] - np.cos(angle[a, p] - slack)) for q in g.negatives[a]])
            for a in g.keep
            for p in g.positives[a]
            if g.negatives[a]
        ]
    )


def soft_counts(values, low, high, bins):
    """Each value is shared between the two nearest of bins + 1 centres."""
    counts = np.zeros(bins + 1)
    for v in values:
        for b in range(bins + 1):
            centre = low + (high - low) * b / bins
            counts[b] += max(0.0, 1 - abs(v - centre) * bins / (high - low))
    return counts


@oracle("nonnegative scale_invariant", options=[{"bins": 4}], **SET)
def fast_ap(embeddings, labels, mask=None, bins=10):
    g = Set(embeddings, labels, mask)
    losses = []
    for a in g.keep:
        if g.positives[a]:
            here = soft_counts([g.d2[a, p] for p in g.positives[a]], 0, 4, bins)
            every = here + soft_counts([g.d2[a, q] for q in g.negatives[a]], 0, 4, bins)
            precision = sum(here[b] * here[: b + 1].sum() / every[: b + 1].sum() for b in range(bins + 1) if every[: b + 1].sum() > 0)
            losses.append(1 - precision / len(g.positives[a]))
    return mean(losses)


@oracle("nonnegative scale_invariant", options=[{"bins": 7}], **SET)
def histogram(embeddings, labels, mask=None, bins=100):
    g = Set(embeddings, labels, mask)
    like = soft_counts([g.s[a, p] for a in g.keep for p in g.positives[a]], -1, 1, bins)
    unlike = soft_counts([g.s[a, q] for a in g.keep for q in g.negatives[a]], -1, 1, bins)
    if like.sum() == 0 or unlike.sum() == 0:
        return 0.0
    return float(np.sum(unlike / unlike.sum() * np.cumsum(like / like.sum())))


@oracle("nonnegative scale_invariant", options=[{"margin": 0.6, "alpha": 1.0, "temperature": 0.0}], frozen=True, **SET)
def ranked_list(embeddings, labels, mask=None, margin=0.4, alpha=1.2, temperature=10.0, frozen=None):
    g = Set(embeddings, labels, mask)
    fixed = Set(frozen["embeddings"], labels, mask)
    losses = []
    for a in g.keep:
        far = [g.d[a, p] - (alpha - margin) for p in g.positives[a] if g.d[a, p] - (alpha - margin) > 1e-9]
        near = [q for q in g.negatives[a] if g.d[a, q] < alpha]
        weights = [np.exp(temperature * (alpha - fixed.d[a, q])) for q in near]
        pushed = sum(w * (alpha - g.d[a, q]) for w, q in zip(weights, near, strict=True)) / sum(weights) if near else 0.0
        losses.append(mean(far) + pushed)
    return mean(losses)
