"""Feedback on single responses, from the papers' formulas."""

import numpy as np

from tests.oracles import constant, oracle
from tests.oracles.language.preference import log_sigmoid, sigmoid


@oracle("shift_invariant nonnegative", options=[{"beta": 1.0}, {"desirable_weight": 2.0, "undesirable_weight": 0.5}], frozen=True)
@constant("reference_log_probs", "kl")
def kto(log_probs, reference_log_probs, signs, kl, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    reward, origin = beta * (log_probs - reference_log_probs), beta * max(0.0, kl)
    if signs > 0:
        return desirable_weight * (1 - sigmoid(reward - origin))
    return undesirable_weight * (1 - sigmoid(origin - reward))


@oracle("shift_invariant nonnegative convex", options=[{"shift": 0.5, "beta": 1.0}], frozen=True)
@constant("reference_log_probs")
def bco(log_probs, reference_log_probs, signs, beta=0.1, shift=0.0):
    reward = beta * (log_probs - reference_log_probs) - shift
    return -log_sigmoid(reward) if signs > 0 else -log_sigmoid(-reward)


@oracle("shift_invariant nonnegative convex", options=[{"beta": 2.0}], frozen=True)
@constant("reference_log_probs")
def sppo(log_probs, reference_log_probs, win_rates, beta=0.1):
    return (log_probs - reference_log_probs - (win_rates - 0.5) / beta) ** 2


@oracle("shift_invariant nonnegative convex", options=[{"beta": 1.0}], frozen=True)
@constant("reference_log_probs")
def npo(log_probs, reference_log_probs, beta=0.1):
    return 2 / beta * np.logaddexp(0.0, beta * (log_probs - reference_log_probs))
