"""Preferences over pairs, from the papers' formulas, term by term."""

import math

import numpy as np

from tests.oracles import constant, oracle


def log_sigmoid(x):
    return -np.logaddexp(0.0, -x)


def sigmoid(x):
    return math.exp(log_sigmoid(x))


def ratios(chosen, rejected, reference_chosen, reference_rejected):
    """Of the policy to the reference, which gives 0 where it is left out."""
    known = [0.0 if x is None else x for x in (reference_chosen, reference_rejected)]
    return chosen - known[0], rejected - known[1]


def logistic_with_errors(z, wrong):
    """Cross entropy of a preference whose label is wrong with this probability."""
    return -(1 - wrong) * log_sigmoid(z) - (wrong * log_sigmoid(-z) if wrong else 0.0)


VARIANTS = [
    {"label_smoothing": 0.2, "beta": 0.5},
    {"variant": "hinge", "beta": 1.0},
    {"variant": "ipo", "beta": 0.3},
    {"variant": "exo", "label_smoothing": 1e-3},
    {"variant": "robust", "label_smoothing": 0.1},
    {"variant": "discopop", "tau": 0.1},
]


@oracle("nonnegative convex shift_invariant", options=VARIANTS, frozen=True)
@constant("reference_chosen", "reference_rejected")
def dpo(
    chosen,
    rejected,
    reference_chosen=None,
    reference_rejected=None,
    margin=None,
    beta=0.1,
    variant="sigmoid",
    label_smoothing=0.0,
    tau=0.05,
):
    c, r = ratios(chosen, rejected, reference_chosen, reference_rejected)
    z, s = beta * (c - r) - (0.0 if margin is None else margin), label_smoothing
    if variant == "sigmoid":
        return logistic_with_errors(z, s)
    if variant == "hinge":
        return max(0.0, 1 - z)
    if variant == "ipo":
        return (c - r - 1 / (2 * beta)) ** 2
    if variant == "robust":
        return (-(1 - s) * log_sigmoid(z) + s * log_sigmoid(-z)) / (1 - 2 * s)
    if variant == "exo":  # the divergence of (p, 1 - p) from (1 - s, s)
        p = [sigmoid(z), sigmoid(-z)]
        return sum(a * math.log(a / b) for a, b in zip(p, (1 - s, s), strict=True) if a > 0)
    m = sigmoid(z / tau)
    return -log_sigmoid(z) * (1 - m) + math.exp(min(-z, 80.0)) * m


@oracle("nonnegative", options=[{"beta": 1.0}])
def orpo(chosen, rejected, beta=0.1):
    def log_odds(x):
        x = min(x, -(2.0**-126))
        return x - math.log(-math.expm1(x))

    return -chosen - beta * log_sigmoid(log_odds(chosen) - log_odds(rejected))


@oracle("nonnegative convex shift_invariant", options=[{"beta": 2.5, "gamma": 1.2}, {"label_smoothing": 0.1}])
def simpo(chosen, rejected, beta=2.0, gamma=0.5, label_smoothing=0.0):
    return logistic_with_errors(beta * chosen - beta * rejected - gamma, label_smoothing)


@oracle("nonnegative convex shift_invariant", options=[{"label_smoothing": 0.1}, {"centering": 0.01}])
def bradley_terry(chosen, rejected, margin=None, label_smoothing=0.0, centering=0.0):
    m = 0.0 if margin is None else margin
    return logistic_with_errors(chosen - rejected - m, label_smoothing) + centering * (chosen + rejected) ** 2


@oracle("convex", options=[{"alpha": 0.0}, {"beta": 1.0, "label_smoothing": 0.2}])
def cpo(chosen, rejected, beta=0.1, alpha=1.0, label_smoothing=0.0):
    return logistic_with_errors(beta * (chosen - rejected), label_smoothing) - alpha * chosen


@oracle("convex shift_invariant", options=[{"delta": 2.0, "weight": 0.3}])
def slic(chosen, rejected, target=None, delta=1.0, weight=1.0):
    return max(0.0, delta - (chosen - rejected)) - weight * (0.0 if target is None else target)


@oracle("nonnegative", options=[{"anchor": "down"}, {"beta": 1.0}], frozen=True)
@constant("reference_chosen", "reference_rejected")
def apo(chosen, rejected, reference_chosen=None, reference_rejected=None, beta=0.1, anchor="zero"):
    c, r = ratios(chosen, rejected, reference_chosen, reference_rejected)
    if anchor == "zero":
        return sigmoid(-beta * c) + sigmoid(beta * r)
    return sigmoid(beta * c) + sigmoid(-(beta * c - beta * r))


@oracle(
    "convex nonnegative",
    options=[{"divergence": "forward_kl"}, {"divergence": "alpha"}, {"divergence": "alpha", "alpha": 1.0, "beta": 1.0}],
    frozen=True,
)
@constant("reference_chosen", "reference_rejected")
def f_dpo(chosen, rejected, reference_chosen=None, reference_rejected=None, divergence="js", alpha=0.5, beta=0.1):
    def slope(u):
        if divergence == "js":
            return math.log(2) + log_sigmoid(u)
        if divergence == "forward_kl":
            return 1 - math.exp(min(-u, 80.0))
        return u if alpha == 1 else (math.exp(min((alpha - 1) * u, 80.0)) - 1) / (alpha - 1)

    c, r = ratios(chosen, rejected, reference_chosen, reference_rejected)
    return -log_sigmoid(beta * (slope(c) - slope(r)))


@oracle("nonnegative convex", options=[{"beta": 1.0}], frozen=True)
@constant("reference_chosen", "reference_rejected")
def nca(chosen, rejected, reference_chosen=None, reference_rejected=None, beta=0.1):
    c, r = ratios(chosen, rejected, reference_chosen, reference_rejected)
    return -log_sigmoid(beta * c) - 0.5 * log_sigmoid(-beta * c) - 0.5 * log_sigmoid(-beta * r)


@oracle("nonnegative convex", options=[{"penalty": 0.0}, {"beta": 0.3, "penalty": 5.0}], frozen=True)
@constant("reference_chosen", "reference_rejected")
def dpop(chosen, rejected, reference_chosen=None, reference_rejected=None, beta=0.1, penalty=50.0):
    c, r = ratios(chosen, rejected, reference_chosen, reference_rejected)
    return -log_sigmoid(beta * (c - r - penalty * max(0.0, -c)))


@oracle("shift_invariant nonnegative", options=[{"paired": False}, {"beta": 1.0, "label_smoothing": 0.2}], frozen=True)
@constant("reference_chosen", "reference_rejected")
def aot(chosen, rejected, reference_chosen=None, reference_rejected=None, mask=None, beta=0.1, label_smoothing=0.0, paired=True):
    kept = [i for i in range(len(chosen)) if mask is None or mask[i]]
    zeros = [0.0] * len(chosen)
    of_chosen, of_rejected = (zeros if x is None else x for x in (reference_chosen, reference_rejected))
    if paired:
        u, v = [chosen[i] - rejected[i] for i in kept], [of_chosen[i] - of_rejected[i] for i in kept]
    else:
        u, v = [chosen[i] - of_chosen[i] for i in kept], [rejected[i] - of_rejected[i] for i in kept]
    losses = [logistic_with_errors(beta * (a - b), label_smoothing) for a, b in zip(sorted(u), sorted(v), strict=True)]
    return sum(losses) / len(losses) if losses else 0.0
