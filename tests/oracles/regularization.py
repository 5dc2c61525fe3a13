"""Penalties in plain NumPy; those of parameters take a dict of arrays."""

import math

import numpy as np

from tests.oracles import oracle


@oracle()
def l1(params):
    return sum(abs(x) for w in params.values() for x in np.ravel(w))


@oracle()
def l2(params):
    return sum(x * x for w in params.values() for x in np.ravel(w))


@oracle()
def elastic_net(params, l1_ratio=0.5):
    return l1_ratio * l1(params) + 0.5 * (1 - l1_ratio) * l2(params)


@oracle()
def group_lasso(params, axis=None):
    total = 0.0
    for w in params.values():
        w = np.asarray(w, float)
        groups = [w.ravel()] if axis is None else np.moveaxis(w, axis, -1).reshape(-1, w.shape[axis])
        total += sum(math.sqrt(len(g)) * math.sqrt(sum(x * x for x in g)) for g in groups)
    return total


@oracle()
def orthogonal(params):
    total = 0.0
    for w in params.values():
        if np.ndim(w) >= 2:
            m = np.reshape(w, (-1, np.shape(w)[-1]))
            gram = m.T @ m if len(m) >= len(m.T) else m @ m.T
            total += ((gram - np.eye(len(gram))) ** 2).sum()
    return total


@oracle()
def spectral(params):
    matrices = [np.reshape(w, (-1, np.shape(w)[-1])) for w in params.values() if np.ndim(w) >= 2]
    return sum(np.linalg.norm(m, 2) ** 2 for m in matrices)


def probabilities(logits):
    top = max(logits)
    raw = [math.exp(z - top) for z in logits]
    return [r / sum(raw) for r in raw]


@oracle("nonnegative shift_invariant")
def entropy_penalty(logits):
    return -sum(p * math.log(p) for p in probabilities(logits) if p > 0)


@oracle("shift_invariant")
def confidence_penalty(logits):
    return -entropy_penalty(logits)


@oracle("nonnegative convex shift_invariant", options=[{"isotropic": True}])
def total_variation_penalty(images, isotropic=False):
    h, w, c = images.shape
    total = 0.0
    for i in range(h):
        for j in range(w):
            for k in range(c):
                down = images[i + 1, j, k] - images[i, j, k] if i + 1 < h else 0.0
                across = images[i, j + 1, k] - images[i, j, k] if j + 1 < w else 0.0
                total += math.hypot(down, across) if isotropic else abs(down) + abs(across)
    return total
