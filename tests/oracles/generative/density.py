"""Masses of bins as integrals of the density, and flows by the change of variables."""

import math

import numpy as np

from tests.oracles import oracle


def sample_flow(rng, batch):
    return {"latents": 0.3 * rng.normal(size=(*batch, 3)), "log_determinants": 5 * rng.normal(size=batch)}


@oracle("convex", sample=sample_flow)
def flow_nll(latents, log_determinants):
    return sum(z * z / 2 + math.log(2 * math.pi) / 2 for z in latents) - log_determinants


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def grid(rng, shape, bins=256):
    return -1 + 2 * rng.integers(0, bins, shape) / (bins - 1)


def sample_pixels(rng, batch):
    """Targets on a grid of 256 values, one channel at an end; in every third example its scales are below the floor."""
    targets = grid(rng, (*batch, 3))
    targets[..., 0] = np.where(rng.uniform(size=batch) < 0.5, -1.0, 1.0)
    log_scales = rng.uniform(-2.0, 2.0, (*batch, 3, 4))
    log_scales[..., 0, :] -= 7.5 * (np.arange(targets[..., 0].size).reshape(batch) % 3 == 2)[..., None]
    return {
        "mixture_logits": rng.normal(size=(*batch, 4)),
        "means": 0.3 * rng.normal(size=(*batch, 3, 4)),
        "log_scales": log_scales,
        "targets": targets,
        "coefficients": rng.normal(size=(*batch, 3, 4)),
    }


def log_logistic_mass(below, above, gap):
    """Of ``log(sigmoid(above) - sigmoid(below))``: both turned into the lower tail, where the difference keeps its digits."""
    if below > -above:
        below, above = -above, -below
    return log_sigmoid(above) + log_sigmoid(-below) + math.log(-math.expm1(-gap))


@oracle("nonnegative shift_invariant", sample=sample_pixels, options=[{"min_log_scale": -0.5}, {"bins": 2}, {"bins": 65536}])
def discretized_logistic_mixture(mixture_logits, means, log_scales, targets, coefficients=None, bins=256, min_log_scale=-7.0):
    h = 1 / (bins - 1)
    logs = []
    for m in range(len(mixture_logits)):
        total, row = mixture_logits[m] - np.logaddexp.reduce(np.asarray(mixture_logits, float)), 0
        for c in range(len(targets)):
            mean = means[c][m]
            if coefficients is not None:
                for i in range(c):
                    mean = mean + math.tanh(coefficients[row][m]) * targets[i]
                    row += 1
            log_scale = max(log_scales[c][m], min_log_scale)
            if log_scale > 30:  # the density times the width
                z = (targets[c] - mean) * math.exp(-log_scale)
                inside = math.log(2 * h) - log_scale + log_sigmoid(z) + log_sigmoid(-z)
            else:
                s = math.exp(log_scale)
                inside = log_logistic_mass((targets[c] - mean - h) / s, (targets[c] - mean + h) / s, 2 * h / s)
            if targets[c] < -1 + h:
                inside = log_sigmoid((targets[c] - mean + h) * math.exp(-log_scale))
            elif targets[c] > 1 - h:
                inside = log_sigmoid(-(targets[c] - mean - h) * math.exp(-log_scale))
            total += inside
        logs.append(total)
    return -np.logaddexp.reduce(np.array(logs))


def log_normal_tail(x):
    """``log P(X > x)`` of a standard normal: by erfc, and far out by the series of the Mills ratio."""
    if x < 20:
        return math.log(math.erfc(x / math.sqrt(2)) / 2)
    term = total = 1.0
    for n in range(1, 20):
        term *= -(2 * n - 1) / (x * x)
        total += term
    return -x * x / 2 - math.log(x) - math.log(2 * math.pi) / 2 + math.log(total)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(60)


def log_normal_mass(a, b, log_width):
    """Of the bin between a and b: by quadrature where it is narrow, else by both tails."""
    if abs(a) > abs(b):
        a, b = -b, -a
    if a * (b - a) < 20 and b - a < 8:
        middle, width = (a + b) / 2, b - a
        powers = -((middle + width * NODES / 2) ** 2) / 2
        top = powers.max()
        return log_width + top + math.log(np.sum(WEIGHTS / 2 * np.exp(powers - top))) - math.log(2 * math.pi) / 2
    if a > 0:
        return log_normal_tail(a) + math.log1p(-math.exp(min(log_normal_tail(b) - log_normal_tail(a), 0.0)))
    return math.log1p(-math.exp(log_normal_tail(-a)) - math.exp(log_normal_tail(b)))


def sample_numbers(rng, batch):
    return {"means": rng.normal(size=batch), "log_scales": rng.uniform(-6.0, 1.0, batch), "targets": grid(rng, batch)}


@oracle("nonnegative convex", sample=sample_numbers, options=[{"bins": 2}, {"bins": 65536}])
def discretized_gaussian_nll(means, log_scales, targets, bins=256):
    h, x = 1 / (bins - 1), targets - means
    if log_scales < -300:  # sure of the bin in which the mean lies
        inside = abs(x) < h or (targets < -1 + h and x > -h) or (targets > 1 - h and x < h)
        return 0.0 if inside else math.inf
    s = math.exp(min(log_scales, 700.0))
    if targets < -1 + h:
        return -log_normal_tail(-(x + h) / s)
    if targets > 1 - h:
        return -log_normal_tail((x - h) / s)
    return -log_normal_mass((x - h) / s, (x + h) / s, math.log(2 * h) - log_scales)
