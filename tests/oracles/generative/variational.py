"""Divergences by their definitions, bounds by sums of weights, and Bessel functions by quadrature over the angle."""

import math

import numpy as np

from tests.oracles import oracle


def small_or_plain(x):
    """``exp(x) - 1 - x``, of which float64 keeps nothing near 0: there by four terms."""
    with np.errstate(over="ignore"):
        return np.where(np.abs(x) < 1e-3, x**2 / 2 + x**3 / 6 + x**4 / 24 + x**5 / 120, np.exp(x) - 1 - x)


def normal_kl(mean, log_variance, prior_mean, prior_log_variance):
    """Dimension by dimension."""
    gap = np.asarray(mean, float) - prior_mean
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.where(gap == 0, 0.0, gap**2 * np.exp(-np.asarray(prior_log_variance, float)))
    return 0.5 * (far + small_or_plain(np.asarray(log_variance, float) - prior_log_variance))


@oracle(
    "nonnegative convex",
    options=[{"free_bits": 0.3}, {"balance": 0.8}, {"balance": 0.25, "free_bits": 0.3}],
    frozen=True,
)
def gaussian_kl(means, log_variances, prior_means=None, prior_log_variances=None, free_bits=0.0, balance=None, frozen=None):
    p = [np.zeros(len(means)) if x is None else x for x in (prior_means, prior_log_variances)]
    each = normal_kl(means, log_variances, *p)
    if balance is not None:
        q0 = frozen["means"], frozen["log_variances"]
        p0 = [np.zeros(len(means)) if frozen.get(n) is None else frozen[n] for n in ("prior_means", "prior_log_variances")]
        each = balance * normal_kl(*q0, *p) + (1 - balance) * normal_kl(means, log_variances, *p0)
    return np.sum(np.maximum(each, free_bits))


def log_softmax(x):
    x = np.asarray(x, float)
    return x - np.logaddexp.reduce(x)


def relative_entropy(logits, prior_logits):
    q, p = log_softmax(logits), log_softmax(prior_logits)
    return sum(np.exp(a) * (a - b) if a > -np.inf else 0.0 for a, b in zip(q, p, strict=True))


@oracle("nonnegative shift_invariant zero_at_match", options=[{"balance": 0.8}, {"balance": 0.1}], frozen=True)
def categorical_kl(logits, prior_logits=None, balance=None, frozen=None):
    prior = np.zeros(len(logits)) if prior_logits is None else prior_logits
    if balance is None:
        return relative_entropy(logits, prior)
    return balance * relative_entropy(frozen["logits"], prior) + (1 - balance) * relative_entropy(logits, frozen["prior_logits"])


def sample_factors(rng, batch):
    def factors():
        return rng.normal(size=(*batch, 3, 3)) * 0.3 + np.eye(3) * rng.uniform(0.7, 1.5, (*batch, 1, 3))

    return {
        "means": rng.normal(size=(*batch, 3)),
        "factors": factors(),
        "prior_means": rng.normal(size=(*batch, 3)),
        "prior_factors": factors(),
    }


@oracle("nonnegative convex", sample=sample_factors)
def multivariate_gaussian_kl(means, factors, prior_means=None, prior_factors=None):
    d = len(means)
    ours = np.tril(np.asarray(factors, float))
    theirs = np.eye(d) if prior_factors is None else np.tril(np.asarray(prior_factors, float))
    if min(*np.diag(ours), *np.diag(theirs)) < 0:
        return math.nan
    if 0 in np.diag(ours) or 0 in np.diag(theirs):
        return math.inf
    inverse = np.linalg.inv(theirs)
    gap = inverse @ (means - (0 if prior_means is None else prior_means))
    ratio = inverse @ ours
    return 0.5 * (np.sum(ratio**2) + gap @ gap - d) - np.sum(np.log(np.diag(ours))) + np.sum(np.log(np.diag(theirs)))


@oracle("nonnegative zero_at_match symmetric shift_invariant convex", options=[{"codebook": 0.0}, {"commitment": 1.0}], frozen=True)
def vector_quantization(encoded, codes, codebook=1.0, commitment=0.25, frozen=None):
    to_codes = np.mean((frozen["encoded"] - codes) ** 2)
    to_encoder = np.mean((encoded - frozen["codes"]) ** 2)
    return codebook * to_codes + commitment * to_encoder


@oracle(
    "convex",
    options=[{"alpha": a} for a in (0.5, 0.9999, 1.0, 1.0001, 2.0, -1.0)] + [{"estimator": "doubly_reparameterized"}],
    frozen=True,
)
def iwae(log_weights, mask=None, alpha=0.0, estimator="standard", frozen=None):
    keep = np.arange(len(log_weights)) if mask is None else np.flatnonzero(mask)
    if len(keep) == 0:
        return 0.0
    logs = np.asarray(log_weights, float)[keep]
    if estimator == "doubly_reparameterized":
        fixed = np.asarray(frozen["log_weights"], float)[keep]
        shares = np.exp(fixed - np.logaddexp.reduce(fixed))
        return math.log(len(keep)) - np.logaddexp.reduce(fixed) - np.sum(shares**2 * (logs - fixed))
    a = 1 - alpha
    if abs(a) < 1e-2:  # cumulants, to the fourth
        m = logs.mean()
        c = logs - m
        k2, k3, k4 = np.mean(c**2), np.mean(c**3), np.mean(c**4) - 3 * np.mean(c**2) ** 2
        return -(m + a * k2 / 2 + a**2 * k3 / 6 + a**3 * k4 / 24)
    return -(np.logaddexp.reduce(a * logs) - math.log(len(keep))) / a


def entropy(p):
    return -sum(x * math.log(x) for x in p if x > 0)


def distributions(logits, mask):
    rows = [np.exp(log_softmax(row)) for i, row in enumerate(logits) if mask is None or mask[i]]
    return np.array(rows)


@oracle("", options=[{"diversity": 0.25}, {"diversity": 2.0}])
def information_maximization(logits, mask=None, diversity=1.0):
    p = distributions(logits, mask)
    return 0.0 if len(p) == 0 else np.mean([entropy(row) for row in p]) - diversity * entropy(p.mean(0))


@oracle("nonnegative shift_invariant")
def codebook_diversity(logits, mask=None):
    p = distributions(logits, mask)
    return 0.0 if len(p) == 0 else 1 - math.exp(entropy(p.mean(0))) / len(logits[0])


@oracle("nonnegative scale_invariant")
def codebook_orthogonality(codes):
    n, total = len(codes), 0.0
    units = [np.asarray(e, float) / max(np.linalg.norm(np.asarray(e, float)), 1e-300) for e in codes]
    for a in units:
        for b in units:
            total += float(a @ b) ** 2
    return total / n**2 - 1 / n


@oracle("convex")
def continuous_bernoulli_nll(logits, targets):
    """The constant is 1 over the integral of ``exp(l t)`` over 0..1."""
    size = abs(float(logits))
    if size < 1e-2:
        log_integral = logits / 2 + logits**2 / 24 - logits**4 / 2880
    else:
        log_integral = max(logits, 0.0) + math.log(-math.expm1(-size)) - math.log(size)
    return log_integral - targets * logits


def sample_scaled(rng, batch):
    """Errors of one direction: along it the logarithm of their squares is not convex."""
    targets = np.broadcast_to(np.sin(np.arange(60.0)).reshape(4, 5, 3), (*batch, 4, 5, 3))
    size = rng.uniform(1.0, 8.0, (*batch, 1, 1, 1))
    return {"predictions": targets + size * np.cos(np.arange(60.0)).reshape(4, 5, 3), "targets": targets.copy()}


@oracle("symmetric shift_invariant", options=[{"epsilon": 0.1}], sample=sample_scaled)
def optimal_sigma_nll(predictions, targets, epsilon=1e-12):
    gap = np.ravel(np.asarray(predictions, float) - targets)
    return len(gap) / 2 * math.log(np.mean(gap**2) + epsilon)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)


@oracle("nonnegative", options=[{"dimension": d} for d in (2, 4, 16, 100)])
def von_mises_fisher_kl(concentrations, dimension=3):
    """By the Gauss rule on each of many pieces of the angle, finer where the density of large concentrations is."""
    k, p = float(concentrations), dimension - 2
    edges = math.pi * np.linspace(0.0, 1.0, 400) ** 2
    a = (edges[:-1, None] + np.diff(edges)[:, None] * (NODES + 1) / 2).ravel()
    weights = (np.diff(edges)[:, None] * WEIGHTS / 2).ravel()
    density = -2 * k * np.sin(a / 2) ** 2 + p * np.log(np.sin(a))
    top = density.max()
    total = np.sum(weights * np.exp(density - top))
    mean_gap = np.sum(weights * np.exp(density - top) * 2 * np.sin(a / 2) ** 2) / total
    uniform = math.lgamma((p + 1) / 2) + math.lgamma(0.5) - math.lgamma(p / 2 + 1)
    return max(0.0, uniform - math.log(total) - top - k * mean_gap)
