"""Adversarial losses from the papers' formulas, with probabilities where those have them."""

import numpy as np

from tests.oracles import oracle


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


@oracle("nonnegative convex")
def non_saturating_generator(fake_logits):
    return -log_sigmoid(fake_logits)


@oracle("nonnegative convex", options=[{"label_smoothing": 0.25}, {"label_smoothing": 1.0}])
def minimax_discriminator(real_logits, fake_logits, label_smoothing=0.0):
    target = 1 - label_smoothing / 2
    real = -target * log_sigmoid(real_logits) - (1 - target) * log_sigmoid(-real_logits)
    return real - log_sigmoid(-fake_logits)


@oracle("nonnegative convex", options=[{"margin": 0.25}, {"margin": 2.0}])
def hinge_discriminator(real_logits, fake_logits, margin=1.0):
    return max(0.0, margin - real_logits) + max(0.0, margin + fake_logits)


@oracle("convex")
def wasserstein_generator(fake_logits):
    return -fake_logits


@oracle("zero_at_match shift_invariant convex")
def wasserstein_discriminator(real_logits, fake_logits):
    return fake_logits - real_logits


@oracle("nonnegative convex", options=[{"target": 0.0}, {"target": -1.5}])
def least_squares_generator(fake_logits, target=1.0):
    return (fake_logits - target) ** 2 / 2


@oracle("nonnegative convex", options=[{"real_target": 0.9, "fake_target": -1.0}])
def least_squares_discriminator(real_logits, fake_logits, real_target=1.0, fake_target=0.0):
    return ((real_logits - real_target) ** 2 + (fake_logits - fake_target) ** 2) / 2


def cost(x, criterion):
    """Of a score that should be large."""
    if criterion == "logistic":
        return -log_sigmoid(x)
    return (x - 1) ** 2 if criterion == "least_squares" else np.maximum(0.0, 1 - x)


OTHERS = [{"criterion": "least_squares"}, {"criterion": "hinge"}]


@oracle("nonnegative convex shift_invariant", options=OTHERS)
def relativistic_discriminator(real_logits, fake_logits, criterion="logistic"):
    return cost(real_logits - fake_logits, criterion)


@oracle("nonnegative convex shift_invariant", options=OTHERS)
def relativistic_generator(real_logits, fake_logits, criterion="logistic"):
    return cost(fake_logits - real_logits, criterion)


def kept(x, mask):
    x = np.asarray(x, float)
    return x if mask is None else x[np.asarray(mask)]


@oracle("nonnegative convex", options=OTHERS)
def relativistic_average_discriminator(real_logits, fake_logits, real_mask=None, fake_mask=None, criterion="logistic"):
    r, f = kept(real_logits, real_mask), kept(fake_logits, fake_mask)
    if 0 in (len(r), len(f)):
        return 0.0
    return np.mean(cost(r - f.mean(), criterion)) + np.mean(cost(-(f - r.mean()), criterion))


@oracle("nonnegative convex", options=OTHERS)
def relativistic_average_generator(real_logits, fake_logits, real_mask=None, fake_mask=None, criterion="logistic"):
    r, f = kept(real_logits, real_mask), kept(fake_logits, fake_mask)
    if 0 in (len(r), len(f)):
        return 0.0
    return np.mean(cost(-(r - f.mean()), criterion)) + np.mean(cost(f - r.mean(), criterion))


@oracle()
def minimax_generator(fake_logits):
    return log_sigmoid(-fake_logits)


@oracle("nonnegative convex")
def dual_contrastive(real_logits, fake_logits, real_mask=None, fake_mask=None):
    r, f = kept(real_logits, real_mask), kept(fake_logits, fake_mask)
    if 0 in (len(r), len(f)):
        return 0.0

    def log_one_plus_sum(x):
        return np.logaddexp.reduce([0.0, *x])

    return np.mean([log_one_plus_sum(f - r_i) for r_i in r]) + np.mean([log_one_plus_sum(f_j - r) for f_j in f])
