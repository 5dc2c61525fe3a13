"""Classification into ordered classes."""

import numpy as np

from tests.oracles import oracle


def answer(logit, yes):
    s = -logit if yes else logit
    return max(s, 0.0) + np.log1p(np.exp(-abs(s)))


@oracle("nonnegative convex")
def coral(logits, labels):
    return sum(answer(z, labels > j) for j, z in enumerate(logits))


@oracle("nonnegative convex")
def corn(logits, labels):
    total = 0.0
    for j, z in enumerate(logits):
        condition = labels > j - 1
        if condition:
            total += answer(z, labels > j)
    return total


@oracle("nonnegative shift_invariant")
def squared_emd(logits, labels):
    e = [np.exp(v - max(logits)) for v in logits]
    p = [v / sum(e) for v in e]
    return sum((sum(p[: j + 1]) - (labels <= j)) ** 2 for j in range(len(p)))
