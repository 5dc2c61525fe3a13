"""Weights as the papers' quotients with their limits in words, errors number by number."""

import math

import numpy as np

from tests.oracles import oracle
from tests.oracles.generative.density import discretized_gaussian_nll
from tests.oracles.generative.variational import normal_kl


def exp(x):
    return math.exp(x) if x < 700 else math.inf


def log_add(*logs):
    return float(np.logaddexp.reduce(np.array(logs)))


def log(x):
    return math.log(x) if x > 0 else -math.inf


def log_weight(lam, weighting, gamma, p2_gamma, p2_k, bias):
    """The logarithm of W, the weight of the error of x0."""
    return {
        "min_snr": lambda: min(lam, log(gamma)),
        "soft_min_snr": lambda: lam + log(gamma) - log_add(lam, log(gamma)),
        "p2": lambda: lam - p2_gamma * log_add(log(p2_k), lam),
        "snr": lambda: lam,
        "snr_plus_one": lambda: log_add(lam, 0.0),
        "truncated_snr": lambda: max(lam, 0.0),
        "sigmoid": lambda: lam - log_add(0.0, lam - bias),
    }[weighting]()


def weight(lam, prediction="epsilon", weighting="uniform", gamma=5.0, p2_gamma=1.0, p2_k=1.0, bias=0.0):
    """W over the factor by which the error of what is predicted exceeds that of x0; at infinities by a number far out."""
    if weighting == "uniform":
        return 1.0
    far = float(np.clip(lam, -1e9, 1e9))
    top = log_weight(far, weighting, gamma, p2_gamma, p2_k, bias)
    below = {"x0": 0.0, "epsilon": far, "v": log_add(far, 0.0)}[prediction]
    return exp(top - below)


def kept(predictions, targets, mask):
    gap = np.asarray(predictions, float) - targets
    return gap[np.asarray(mask)] if mask is not None else gap.ravel()


def mean_square(predictions, targets, mask):
    gap = kept(predictions, targets, mask)
    return float(np.mean(gap**2)) if gap.size else 0.0


def product(w, x):
    return 0.0 if x == 0 else w * x


SETTINGS = [  # all 24 pairs are compared with this file's `weight` in the family's tests
    {"weighting": "min_snr", "prediction": "v"},
    {"weighting": "soft_min_snr", "prediction": "x0"},
    {"weighting": "snr", "prediction": "x0"},
    {"weighting": "snr_plus_one"},
    {"weighting": "truncated_snr", "prediction": "x0"},
]
OTHERS = [
    {"weighting": "min_snr", "gamma": 1.5},
    {"weighting": "soft_min_snr", "gamma": 0.5},
    {"weighting": "p2", "p2_gamma": 0.5, "p2_k": 2.0, "prediction": "v"},
    {"weighting": "sigmoid", "bias": -1.0, "prediction": "x0"},
]


@oracle("nonnegative zero_at_match symmetric shift_invariant convex", options=SETTINGS + OTHERS, frozen=True)
def diffusion(predictions, targets, log_snr, mask=None, frozen=None, **options):
    return product(weight(float(frozen["log_snr"]), **options), mean_square(predictions, targets, mask))


def velocity_weight(t, weighting, location, scale):
    if weighting == "logit_normal":
        if t in (0, 1):
            return 0.0
        gap = math.log(t / (1 - t)) - location
        return math.exp(-(gap**2) / (2 * scale**2)) / (scale * math.sqrt(2 * math.pi) * t * (1 - t))
    return 2 / (math.pi * (1 - 2 * t + 2 * t * t)) if weighting == "cosmap" else (math.inf if t == 0 else t**-2.0)


@oracle(
    "nonnegative zero_at_match symmetric shift_invariant convex",
    options=[
        {"weighting": "logit_normal"},
        {"weighting": "logit_normal", "location": 0.5, "scale": 2.0},
        {"weighting": "cosmap"},
        {"weighting": "inverse_square"},
    ],
    frozen=True,
)
def flow_matching(predictions, targets, time=None, mask=None, weighting="uniform", location=0.0, scale=1.0, frozen=None):
    error = mean_square(predictions, targets, mask)
    return error if weighting == "uniform" else product(velocity_weight(float(frozen["time"]), weighting, location, scale), error)


@oracle("symmetric shift_invariant convex", options=[{"sigma_data": 1.5}], frozen=True)
def edm(predictions, targets, sigma, log_variance=None, mask=None, sigma_data=0.5, frozen=None):
    s = float(frozen["sigma"])
    value = (s**2 + sigma_data**2) / (s * sigma_data) ** 2 * mean_square(predictions, targets, mask)
    return value if log_variance is None else product(exp(-log_variance), value) + log_variance


@oracle(
    "nonnegative zero_at_match symmetric shift_invariant convex",
    options=[{"c": 0.0}, {"c": 0.3}, {"c": 20.0}],
    frozen=True,
)
def consistency_model(predictions, targets, step=None, mask=None, c=None, frozen=None):
    gap = kept(predictions, frozen["targets"], mask)
    if gap.size == 0:
        return 0.0
    c = 0.00054 * math.sqrt(gap.size) if c is None else c
    squares = float(np.sum(gap**2))
    if squares == 0:
        return 0.0
    return squares / (math.sqrt(squares + c * c) + c) / (1.0 if step is None else step)


def sample_errors(rng, batch):
    """Errors of one direction, along which the adaptive weight makes the value level off."""
    numbers = np.arange(60.0).reshape(4, 5, 3)
    velocity, derivative = (np.broadcast_to(f(numbers), (*batch, 4, 5, 3)).copy() for f in (np.sin, np.cos))
    size = rng.uniform(0.02, 0.5, (*batch, 1, 1, 1))
    predictions = velocity - 0.5 * derivative + size * np.cos(2 * numbers)
    return {"predictions": predictions, "velocity": velocity, "derivative": derivative, "interval": np.full(batch, 0.5)}


@oracle("nonnegative", options=[{"p": 0.0}, {"p": 0.5, "epsilon": 1.0}], sample=sample_errors, frozen=True)
def mean_flow(predictions, velocity, derivative, interval, p=1.0, epsilon=0.01, frozen=None):
    target = frozen["velocity"] - frozen["interval"] * np.asarray(frozen["derivative"], float)
    now = float(np.sum((frozen["predictions"] - target) ** 2))
    return float(np.sum((predictions - target) ** 2)) / (now + epsilon) ** p


@oracle("zero_at_match symmetric shift_invariant")
def variational_diffusion(predictions, targets, slope):
    return -0.5 * slope * float(np.sum((np.asarray(predictions, float) - targets) ** 2))


def sample_bound(rng, batch):
    """One axis of a few numbers on the grid; a step in three is the first."""
    shape = (*batch, 4, 5, 3)
    return {
        "means": 0.5 * rng.normal(size=shape),
        "log_variances": rng.normal(size=shape),
        "true_means": 0.5 * rng.normal(size=shape),
        "true_log_variances": rng.normal(size=shape),
        "targets": -1 + 2 * rng.integers(0, 256, shape) / 255,
        "first": np.arange(int(np.prod(batch))).reshape(batch) % 3 == 1,
    }


@oracle("nonnegative", options=[{"fixed_means": True}, {"bins": 2}], sample=sample_bound, frozen=True)
def variational_bound(means, log_variances, true_means, true_log_variances, targets, first, fixed_means=False, bins=256, frozen=None):
    means = frozen["means"] if fixed_means else means
    if first:
        numbers = zip(np.ravel(means), np.ravel(log_variances), np.ravel(targets), strict=True)
        nats = [discretized_gaussian_nll(m, v / 2, x, bins=bins) for m, v, x in numbers]
    else:
        nats = normal_kl(true_means, true_log_variances, means, log_variances)
    return float(np.mean(nats)) / math.log(2)
