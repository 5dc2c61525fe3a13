"""Routers of experts."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.language.tokens import log_softmax, low_logits, steps_of


@oracle("nonnegative", sample=low_logits)
def router_z(logits, mask=None):
    kept = steps_of(mask, len(logits))
    totals = [max(logits[i]) + np.log(sum(np.exp(v - max(logits[i])) for v in logits[i])) for i in kept]
    return sum(t**2 for t in totals) / max(len(kept), 1)


@oracle("nonnegative shift_invariant", options=[{"top_k": 2}])
def load_balancing(logits, mask=None, top_k=1):
    kept, experts = steps_of(mask, len(logits)), len(logits[0])
    if not kept:
        return 0.0
    count, mass = np.zeros(experts), np.zeros(experts)
    for i in kept:
        for j in sorted(range(experts), key=lambda j: -logits[i][j])[:top_k]:  # stable: the first of equals
            count[j] += 1
        mass += np.exp(log_softmax(logits[i]))
    return experts * float(np.dot(count / (len(kept) * top_k), mass / len(kept)))


@oracle("nonnegative shift_invariant")
def router_entropy(logits, mask=None):
    kept = steps_of(mask, len(logits))
    total = 0.0
    for i in kept:
        log_p = log_softmax(logits[i])
        total -= sum(np.exp(v) * v for v in log_p if v > -np.inf)
    return total / max(len(kept), 1)
