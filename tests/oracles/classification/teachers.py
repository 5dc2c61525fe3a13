"""Distillation: divergences of softmaxes, class by class; the teacher's logits are those of `frozen`."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.language.tokens import log_softmax


def kl(log_p, log_q):
    return sum(np.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True) if a > -np.inf)


@oracle("nonnegative zero_at_match shift_invariant convex", options=[{"temperature": 3.0}, {"temperature": 0.5}], frozen=True)
def distillation(student_logits, teacher_logits, temperature=1.0, frozen=None):
    log_p, log_q = log_softmax(frozen["teacher_logits"] / temperature), log_softmax(student_logits / temperature)
    return temperature**2 * kl(log_p, log_q)


@oracle("nonnegative zero_at_match shift_invariant", options=[{"temperature": 3.0}], frozen=True)
def reverse_kl(student_logits, teacher_logits, temperature=1.0, frozen=None):
    log_p, log_q = log_softmax(frozen["teacher_logits"] / temperature), log_softmax(student_logits / temperature)
    return temperature**2 * kl(log_q, log_p)


@oracle("nonnegative zero_at_match symmetric shift_invariant", options=[{"beta": b} for b in (0.1, 0.9, 0.0, 1.0)], frozen=True)
def generalized_jsd(student_logits, teacher_logits, beta=0.5, frozen=None):
    log_p, log_q = log_softmax(frozen["teacher_logits"]), log_softmax(student_logits)
    if beta == 0:
        return kl(log_p, log_q)
    if beta == 1:
        return kl(log_q, log_p)
    log_m = np.logaddexp(np.log(beta) + log_p, np.log1p(-beta) + log_q)
    return beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m)


# Convex as long as beta is at least alpha (1 - p_y): the sum is alpha lse(all) + (beta - alpha (1 - p_y)) lse(others) + linear.
@oracle("nonnegative zero_at_match shift_invariant convex", options=[{"alpha": 0.5, "beta": 2.0, "temperature": 1.0}], frozen=True)
def decoupled_distillation(student_logits, teacher_logits, labels, alpha=1.0, beta=8.0, temperature=4.0, frozen=None):
    def parts(logits):
        logits = np.asarray(logits, np.float64) / temperature
        rest = np.array([v for c, v in enumerate(logits) if c != labels])
        top = max(logits)
        total = top + np.log(sum(np.exp(v - top) for v in logits))
        others = max(rest) + np.log(sum(np.exp(v - max(rest)) for v in rest))
        return [logits[labels] - total, others - total], rest - others

    (pair_p, rest_p), (pair_q, rest_q) = parts(frozen["teacher_logits"]), parts(student_logits)
    return temperature**2 * (alpha * kl(pair_p, pair_q) + beta * kl(rest_p, rest_q))
