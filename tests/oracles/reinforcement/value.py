"""Values, by sums over the steps ahead; rewards, discounts and whatever comes next are those of `frozen`."""

import math

import numpy as np

from tests.oracles import constant, oracle
from tests.oracles.reinforcement.policy import average, kept


def half_square(error, delta):
    size = abs(error)
    return size**2 / 2 if delta is None or size <= delta else delta * (size - delta / 2)


def ahead(discount, value):
    """Nothing follows the end of an episode."""
    return discount * value if discount else 0.0


def softmax(z):
    e = [math.exp(x - max(z)) for x in z]
    return [x / sum(e) for x in e]


DELTAS = [{"delta": 0.5}, {"delta": 2.0}]


@oracle("nonnegative convex", options=DELTAS, frozen=True)
@constant("rewards", "discounts", "next_q", "selector_q")
def q_learning(q, actions, rewards, discounts, next_q, selector_q=None, delta=None):
    chooser = list(next_q if selector_q is None else selector_q)
    best = chooser.index(max(chooser))
    return half_square(rewards + ahead(discounts, next_q[best]) - q[actions], delta)


@oracle("nonnegative convex shift_invariant", options=DELTAS, frozen=True)
@constant("rewards", "discounts", "next_values")
def td_learning(values, rewards, discounts, next_values, delta=None):
    return half_square(rewards + ahead(discounts, next_values) - values, delta)


@oracle("nonnegative convex", options=DELTAS, frozen=True)
@constant("rewards", "discounts", "next_q")
def sarsa(q, actions, rewards, discounts, next_q, next_actions, delta=None):
    return half_square(rewards + ahead(discounts, next_q[next_actions]) - q[actions], delta)


@oracle("nonnegative convex", options=DELTAS, frozen=True)
@constant("rewards", "discounts", "next_q", "next_probs")
def expected_sarsa(q, actions, rewards, discounts, next_q, next_probs, delta=None):
    mean = sum(p * v for p, v in zip(next_probs, next_q, strict=True) if p)
    return half_square(rewards + ahead(discounts, mean) - q[actions], delta)


@oracle("nonnegative convex", options=[{"lam": 0.0}, {"lam": 1.0, "delta": 0.5}], frozen=True)
@constant("rewards", "discounts", "next_values")
def td_lambda(values, rewards, discounts, next_values, mask=None, lam=0.95, delta=None):
    """A return is the mixture, with weights (1 - lam) lam^(n-1), of those of n steps; the last has what is left."""
    steps = len(values)
    losses = []
    for t in kept(steps, mask):
        mixed, collected, factor, weight = 0.0, 0.0, 1.0, 1.0
        for i in range(t, steps):
            collected += ahead(factor, rewards[i])
            factor *= discounts[i]
            n_step = collected + ahead(factor, next_values[i])
            share = weight if i == steps - 1 else weight * (1 - lam)
            mixed, weight = mixed + share * n_step, weight * lam
        losses.append(half_square(mixed - values[t], delta))
    return average(losses)


@oracle("nonnegative convex shift_invariant", options=[{"lam": 0.8, "clip_rho": 2.0, "clip_c": 1.5}, {"delta": 0.5}], frozen=True)
def vtrace(values, rewards, discounts, next_values, log_ratios, mask=None, lam=1.0, clip_rho=1.0, clip_c=1.0, delta=None, frozen=None):
    """The paper's sum over the steps ahead of products of traces."""
    past = frozen["values"]
    rewards, discounts, next_values, log_ratios = (frozen[n] for n in ("rewards", "discounts", "next_values", "log_ratios"))
    losses = []
    for t in kept(len(past), mask):
        target, weight = past[t], 1.0
        for i in range(t, len(past)):
            ratio = math.exp(min(log_ratios[i], 80.0))
            target += weight * min(clip_rho, ratio) * (rewards[i] + ahead(discounts[i], next_values[i]) - past[i])
            weight *= discounts[i] * lam * min(clip_c, ratio)
            if not weight:
                break
        losses.append(half_square(target - values[t], delta))
    return average(losses)


@oracle("nonnegative convex", options=[{"lam": 0.7}, {"delta": 0.5}], frozen=True)
@constant("rewards", "discounts", "next_q", "next_probs", "behaviour_probs")
def retrace(q, actions, rewards, discounts, next_q, next_actions, next_probs, behaviour_probs, mask=None, lam=1.0, delta=None):
    """From the last step back, as the target's definition refers to the next one."""
    target, targets = 0.0, {}
    for t in reversed(range(len(q))):
        mean = sum(p * v for p, v in zip(next_probs[t], next_q[t], strict=True) if p)
        a = next_actions[t]
        ratio = 1.0 if next_probs[t][a] >= behaviour_probs[t] else next_probs[t][a] / behaviour_probs[t]
        trace = lam * ratio * (target - next_q[t][a]) if t < len(q) - 1 else 0.0
        target = targets[t] = rewards[t] + ahead(discounts[t], mean + trace)
    return average([half_square(targets[t] - q[t][actions[t]], delta) for t in kept(len(q), mask)])


@oracle(
    "nonnegative convex", options=[{"temperature": 0.5}, {"alpha": 0.5, "log_floor": -0.2, "temperature": 1.0}, {"delta": 1.0}], frozen=True
)
@constant("rewards", "discounts", "next_q", "target_q")
def munchausen(q, actions, rewards, discounts, next_q, target_q, temperature=0.03, alpha=0.9, log_floor=-1.0, delta=None):
    def log_policy(values):
        z = np.asarray(values, np.float64) / temperature
        return z - z.max() - math.log(sum(np.exp(z - z.max())))

    bonus = max(log_floor, min(temperature * log_policy(target_q)[actions], 0.0))
    log_next = log_policy(next_q)
    soft = sum(math.exp(log_p) * (v - temperature * log_p) for log_p, v in zip(log_next, next_q, strict=True) if log_p > -700)
    return half_square(rewards + alpha * bonus + ahead(discounts, soft) - q[actions], delta)
