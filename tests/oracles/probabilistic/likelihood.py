"""Likelihoods and deviances: the densities of the textbooks, integrals where the loss is one."""

import math

import numpy as np

from tests.oracles import oracle


def counts(rng, size):
    """Rates that may also be read as log-rates, and counts that are often above e."""
    return {"predictions": rng.uniform(0.2, 2.0, size), "targets": rng.uniform(0.2, 9.0, size)}


def amounts(rng, size):
    return {"predictions": rng.normal(size=size), "targets": np.exp(1.5 * rng.normal(size=size))}


@oracle(
    "convex",
    options=[{"log_input": False}, {"log_input": False, "epsilon": 0.1, "full": True}, {"full": True}],
    sample=counts,
)
def poisson_nll(predictions, targets, log_input=True, full=False, epsilon=1e-8):
    if log_input:
        nll = (math.exp(predictions) if predictions < 700 else math.inf) - targets * predictions
    else:
        nll = predictions - (targets * math.log(predictions + epsilon) if targets else 0.0)
    return nll + math.lgamma(targets + 1) if full else nll


@oracle("symmetric convex shift_invariant", options=[{"full": True}, {"epsilon": 1.3}])
def gaussian_nll(predictions, targets, variances, full=False, epsilon=1e-6):
    variance = max(float(variances), epsilon)
    density = math.log(2 * math.pi * variance) / 2 + (predictions - targets) ** 2 / (2 * variance)
    return density if full else density - math.log(2 * math.pi) / 2


@oracle("convex", sample=amounts)
def gamma_nll(predictions, targets, log_input=True):
    if log_input:
        return predictions + (targets * math.exp(-predictions) if predictions > -700 else math.inf)
    return math.log(predictions) + targets / predictions


@oracle("nonnegative", options=[{"power": p} for p in (0.0, 1.0, 2.0, 0.5, 1.9, 3.0)])
def tweedie_deviance(predictions, targets, power=1.5):
    mean, target = float(predictions), float(targets)
    if power == 1:
        return 2 * ((target * math.log(target / mean) if target else 0.0) - target + mean)
    if power == 2:
        return 2 * (target / mean - 1 - math.log(target / mean)) if target else math.inf
    if target == 0 and power > 2:
        return math.inf
    first, second = 1 - power, 2 - power
    return 2 * (target**second / (first * second) - target * mean**first / first + mean**second / second)
