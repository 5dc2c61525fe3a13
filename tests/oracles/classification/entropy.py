"""Classification: cross entropies, focal losses, scores of probabilities."""

import numpy as np

from tests.oracles import oracle


def log_softmax(z):
    z = np.asarray(z, np.float64)
    top = z[np.argmax(z)]
    return z - top - np.log(sum(np.exp(v - top) for v in z))


def smoothed(label, k, amount):
    t = np.full(k, amount / k)
    t[label] += 1 - amount
    return t


@oracle(
    "nonnegative convex shift_invariant",
    options=[{"label_smoothing": 0.3}, {"label_smoothing": 1.0, "z_loss": 0.01}],
)
def cross_entropy(logits, labels, label_smoothing=0.0, z_loss=0.0):
    t = smoothed(labels, len(logits), label_smoothing)
    total = np.log(sum(np.exp(v - max(logits)) for v in logits)) + max(logits)
    ce = -sum(t[c] * v for c, v in enumerate(log_softmax(logits)) if t[c] > 0)
    return ce + (z_loss * total**2 if z_loss else 0.0)


@oracle("nonnegative convex shift_invariant", options=[{"label_smoothing": 0.3}])
def soft_cross_entropy(logits, targets, label_smoothing=0.0):
    k = len(logits)
    t = [(1 - label_smoothing) * v + label_smoothing / k for v in targets]
    # A target row with a sum other than 1 (a moved one, in finite differences) keeps its mass.
    return -sum(t[c] * v for c, v in enumerate(log_softmax(logits)) if t[c] != 0)


@oracle("nonnegative")
def nll(log_probs, labels):
    return -log_probs[labels]


@oracle("nonnegative convex")
def log_loss(probabilities, labels):
    return -np.log(probabilities[labels])


@oracle("nonnegative convex")
def binary_cross_entropy(probabilities, targets):
    yes = max(np.log(probabilities), -100.0) if probabilities > 0 else -100.0
    no = max(np.log1p(-probabilities), -100.0) if probabilities < 1 else -100.0
    return -(targets * yes) - (1 - targets) * no


def softplus(x):
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@oracle("nonnegative convex", options=[{"positive_weight": 2.5}, {"positive_weight": 0.3, "label_smoothing": 0.1}])
def sigmoid_cross_entropy(logits, targets, positive_weight=1.0, label_smoothing=0.0):
    t = targets * (1 - label_smoothing) + 0.5 * label_smoothing
    missed = positive_weight * t * softplus(-logits) if t > 0 else 0.0
    false = (1 - t) * softplus(logits) if t < 1 else 0.0
    return missed + false


@oracle("nonnegative", options=[{"alpha": 0.25}, {"gamma": 0.5}, {"gamma": 0.0}, {"alpha": 0.9, "gamma": 3.5}])
def sigmoid_focal(logits, targets, alpha=None, gamma=2.0):
    x, t = np.float64(logits), np.float64(targets)
    yes, no = np.exp(-softplus(-x)), np.exp(-softplus(x))
    entropy = t * softplus(-x) + (1 - t) * softplus(x)
    missed = t * no + (1 - t) * yes  # 1 - p_t
    weight = 1.0 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
    return weight * missed**gamma * entropy


@oracle("nonnegative shift_invariant", options=[{"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 5.0}])
def softmax_focal(logits, labels, gamma=2.0):
    logs = log_softmax(logits)
    missed = sum(np.exp(v) for c, v in enumerate(logs) if c != labels)
    return -(missed**gamma) * logs[labels]


@oracle("nonnegative convex shift_invariant", options=[{"epsilon": 2.0}, {"epsilon": -0.5}, {"label_smoothing": 0.2, "epsilon": 1.5}])
def poly1_cross_entropy(logits, labels, epsilon=1.0, label_smoothing=0.0):
    t = smoothed(labels, len(logits), label_smoothing)
    logs = log_softmax(logits)
    entropy = -sum(t[c] * logs[c] for c in range(len(t)) if t[c] > 0)
    return entropy + epsilon * sum(t[c] * (1 - np.exp(logs[c])) for c in range(len(t)))


@oracle("nonnegative scale_invariant")
def zero_one(scores, signs):
    return float(scores * signs <= 0)


@oracle("nonnegative shift_invariant scale_invariant")
def multiclass_zero_one(logits, labels):
    best = 0
    for c, v in enumerate(logits):
        if v > logits[best]:
            best = c
    return float(best != labels)


@oracle("nonnegative convex")
def brier(probabilities, labels):
    return sum((p - (c == labels)) ** 2 for c, p in enumerate(probabilities))
