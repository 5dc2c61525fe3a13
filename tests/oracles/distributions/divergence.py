"""Divergences class by class, in float64; transport by moving mass from left to right."""

import math

import numpy as np

from tests.oracles import oracle


def log(x):
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def exp(x):
    return math.exp(x) if x < 700 else math.inf


def entropy(p, log_q):
    """``p log(p / q)``."""
    return 0.0 if p == 0 else p * (log(p) - log_q)


@oracle("nonnegative")
def kl_divergence(log_predictions, targets):
    return sum(entropy(t, q) for q, t in zip(log_predictions, targets, strict=True))


@oracle("nonnegative zero_at_match")
def kl_divergence_with_log_targets(log_predictions, log_targets):
    return kl_divergence(log_predictions, [exp(t) for t in log_targets])


@oracle("nonnegative")
def reverse_kl_divergence(log_predictions, targets):
    return sum(entropy(exp(p), log(t)) for p, t in zip(log_predictions, targets, strict=True))


@oracle("nonnegative convex")
def generalized_kl_divergence(log_predictions, targets):
    return kl_divergence(log_predictions, targets) + sum(exp(p) for p in log_predictions) - sum(targets)


@oracle("nonnegative zero_at_match symmetric convex", options=[{"beta": 0.2}, {"beta": 0.9}, {"beta": 0.0}, {"beta": 1.0}])
def js_divergence(p, q, beta=0.5):
    if beta in (0, 1):
        return 0.0
    mixture = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    first = sum(entropy(a, log(m)) for a, m in zip(p, mixture, strict=True))
    second = sum(entropy(b, log(m)) for b, m in zip(q, mixture, strict=True))
    return beta * first + (1 - beta) * second


@oracle("nonnegative zero_at_match symmetric convex", options=[{"alpha": a} for a in (0.0, 0.9, 1.0, 1.1, 2.0, 7.0)])
def renyi_divergence(p, q, alpha=0.5):
    if alpha == 1:
        return sum(entropy(a, log(b)) for a, b in zip(p, q, strict=True)) / sum(p)
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0 and (b > 0 or alpha > 1):
            total += a**alpha * b ** (1 - alpha) if b > 0 else math.inf
    return math.inf if total == 0 else math.log(total / sum(p)) / (alpha - 1)


@oracle("nonnegative zero_at_match symmetric convex", options=[{"alpha": a} for a in (-1.0, 0.0, 0.2, 1.0, 2.0, 3.0)])
def alpha_divergence(p, q, alpha=0.5):
    if alpha == 1:
        return sum(entropy(a, log(b)) - a + b for a, b in zip(p, q, strict=True))
    if alpha == 0:
        return alpha_divergence(q, p, 1)
    inner = sum(a**alpha * b ** (1 - alpha) for a, b in zip(p, q, strict=True))
    return (alpha * sum(p) + (1 - alpha) * sum(q) - inner) / (alpha * (1 - alpha))


def confident(rng, size):
    """Distributions with most of their weight on one class: there the distance is not convex."""
    raw = np.exp(4 * rng.normal(size=(2, *size, 5)))
    p, q = 0.02 / 5 + 0.98 * raw / raw.sum(-1, keepdims=True)
    return {"p": p, "q": q}


@oracle("nonnegative zero_at_match symmetric", sample=confident)
def hellinger(p, q):
    return math.sqrt(sum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in zip(p, q, strict=True)) / 2)


@oracle("nonnegative zero_at_match symmetric convex")
def total_variation(p, q):
    return sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2


@oracle("nonnegative zero_at_match convex")
def chi_squared(p, q):
    return sum((a - b) ** 2 / b if b > 0 else (math.inf if a > 0 else 0.0) for a, b in zip(p, q, strict=True))


@oracle("nonnegative zero_at_match convex")
def itakura_saito(p, q):
    return sum(a / b - math.log(a / b) - 1 for a, b in zip(p, q, strict=True))


@oracle("nonnegative zero_at_match symmetric convex", options=[{"p": 2}, {"p": 3}])
def wasserstein_1d(predictions, targets, p=1):
    supply, demand, cost = np.array(predictions, float), np.array(targets, float), 0.0
    i = j = 0
    while i < len(supply) and j < len(demand):
        moved = min(supply[i], demand[j])
        cost += moved * abs(i - j) ** p
        supply[i] -= moved
        demand[j] -= moved
        if supply[i] <= demand[j]:
            i += 1
        else:
            j += 1
    return cost ** (1 / p)
