"""Language: sequences, unlikelihood and routers, by loops over steps and classes."""

import numpy as np

from tests.oracles import oracle


def log_softmax(z):
    z = np.asarray(z, np.float64)
    top = z[np.argmax(z)]
    return z - top - np.log(sum(np.exp(v - top) for v in z))


def steps_of(mask, count):
    return [i for i in range(count) if mask is None or mask[i]]


@oracle(
    "nonnegative convex shift_invariant", options=[{"label_smoothing": 0.3}, {"steps": "sum", "z_loss": 0.01}, {"label_smoothing": 1.0}]
)
def sequence_cross_entropy(logits, labels, mask=None, label_smoothing=0.0, z_loss=0.0, steps="mean"):
    losses = []
    for i in steps_of(mask, len(logits)):
        log_p, k = log_softmax(logits[i]), len(logits[i])
        smooth = sum(-v / k for v in log_p) if label_smoothing else 0.0
        hit = -log_p[labels[i]] if label_smoothing < 1 else 0.0
        top = max(logits[i])
        total = top + np.log(sum(np.exp(v - top) for v in logits[i]))
        losses.append((1 - label_smoothing) * hit + label_smoothing * smooth + z_loss * total**2)
    return sum(losses) / (max(len(losses), 1) if steps == "mean" else 1)


@oracle("shift_invariant")
def sequence_log_prob(logits, labels, mask=None):
    return sum((log_softmax(logits[i])[labels[i]] for i in steps_of(mask, len(logits))), 0.0)


@oracle("nonnegative shift_invariant")
def unlikelihood(logits, candidates):
    loss = 0.0
    for c, weight in enumerate(candidates):
        if weight:
            others = [v for j, v in enumerate(logits) if j != c]
            top = max(logits)
            rest = max(others) + np.log(sum(np.exp(v - max(others)) for v in others))
            loss += weight * (top + np.log(sum(np.exp(v - top) for v in logits)) - rest)
    return loss


def low_logits(rng, size):
    """Log-partitions below 0, too, where the square is not convex."""
    mask = rng.uniform(size=(*size, 6)) < 0.75
    mask[..., :2] = True
    return {"logits": rng.normal(size=(*size, 6, 4)) - 3.0, "mask": mask}
