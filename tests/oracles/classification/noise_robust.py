"""Classification with wrong labels."""

import numpy as np

from tests.oracles import oracle


def softmax(z):
    e = [np.exp(v - max(z)) for v in z]
    return np.array(e) / sum(e)


def log_p(z, c):
    return z[c] - max(z) - np.log(sum(np.exp(v - max(z)) for v in z))


def missed(z, label):
    """1 - p_y, without cancellation."""
    p = softmax(z)
    return sum(p[c] for c in range(len(p)) if c != label)


@oracle("nonnegative shift_invariant", options=[{"q": 1.0}, {"q": 0.2}, {"q": 0.0}])
def generalized_cross_entropy(logits, labels, q=0.7):
    if q == 0:
        return -log_p(logits, labels)
    return (1 - np.exp(q * log_p(logits, labels))) / q


@oracle("nonnegative shift_invariant", options=[{"alpha": 6.0, "beta": 0.1}, {"log_zero": -9.21}])
def symmetric_cross_entropy(logits, labels, alpha=0.1, beta=1.0, log_zero=-4.0):
    return -alpha * log_p(logits, labels) - beta * log_zero * missed(logits, labels)


@oracle("nonnegative shift_invariant", options=[{"log_zero": -1.5}])
def reverse_cross_entropy(logits, labels, log_zero=-4.0):
    p = softmax(logits)
    return -sum(p[c] * (0.0 if c == labels else log_zero) for c in range(len(p)))


@oracle("nonnegative shift_invariant")
def normalized_cross_entropy(logits, labels):
    return log_p(logits, labels) / sum(log_p(logits, c) for c in range(len(logits)))


@oracle("nonnegative shift_invariant", options=[{"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 3.0}])
def normalized_focal(logits, labels, gamma=2.0):
    def focal(c):
        return missed(logits, c) ** gamma * log_p(logits, c)

    return focal(labels) / sum(focal(c) for c in range(len(logits)))


def log_t(x, t):
    if t == 1:
        return np.log(x)
    return (x ** (1 - t) - 1) / (1 - t)


def exp_t(x, t):
    if t == 1:
        return np.exp(x)
    return max(1 + (1 - t) * x, 0.0) ** (1 / (1 - t))


@oracle("shift_invariant nonnegative", options=[{"t1": 0.5, "t2": 2.0}, {"t1": 1.0, "t2": 1.0}, {"t1": 0.0, "t2": 4.0}, {"iterations": 20}])
def bi_tempered_logistic(logits, targets, t1=0.8, t2=1.2, iterations=5):
    low, high = max(logits) - 1e-3, max(logits) + 1.0
    while sum(exp_t(v - high, t2) for v in logits) > 1:
        high += high - low
    for _ in range(200):  # the normaliser by bisection
        middle = 0.5 * (low + high)
        if sum(exp_t(v - middle, t2) for v in logits) > 1:
            low = middle
        else:
            high = middle
    level = 0.5 * (low + high)
    total = 0.0
    for v, y in zip(logits, targets, strict=True):
        p = exp_t(v - level, t2)
        total += (y * (log_t(y, t1) - log_t(p, t1)) if y > 0 else 0.0) - (y ** (2 - t1) - p ** (2 - t1)) / (2 - t1)
    return total
