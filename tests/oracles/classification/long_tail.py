"""Classification with rare classes."""

import numpy as np

from tests.oracles import oracle


def cross_entropy(z, label):
    top = max(z)
    return np.log(sum(np.exp(v - top) for v in z)) + top - z[label]


@oracle("nonnegative convex shift_invariant", options=[{"tau": 0.0}, {"tau": 2.5}])
def logit_adjusted(logits, labels, log_prior, tau=1.0):
    z = [v + tau * prior if prior > -np.inf else -np.inf for v, prior in zip(logits, log_prior, strict=True)]
    if z[labels] == -np.inf:
        return np.inf
    return cross_entropy(z, labels)


@oracle("nonnegative convex shift_invariant", options=[{"scale": 1.0}, {"scale": 5.0}])
def ldam(logits, labels, margins, scale=30.0):
    return cross_entropy([scale * (v - (margins[c] if c == labels else 0.0)) for c, v in enumerate(logits)], labels)


@oracle(
    "nonnegative",
    options=[{"gamma_positive": 0.0, "gamma_negative": 2.0, "clip": 0.0}, {"gamma_positive": 0.5, "clip": 0.2}, {"gamma_negative": 0.0}],
)
def asymmetric(logits, targets, gamma_positive=1.0, gamma_negative=4.0, clip=0.05):
    def log1pexp(x):
        return max(x, 0.0) + np.log1p(np.exp(-abs(x)))

    p, not_p = np.exp(-log1pexp(-logits)), np.exp(-log1pexp(logits))
    positive = -(not_p**gamma_positive) * -log1pexp(-logits)
    margin = max(p - clip, 0.0)
    rest = -log1pexp(logits) if clip == 0 else np.log(not_p + clip)
    negative = -(margin**gamma_negative) * rest if margin > 0 else 0.0
    return targets * positive + (1 - targets) * negative
