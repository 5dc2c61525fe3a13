"""Policies, action by action, from the papers; what is old, reference or an advantage comes from `frozen`."""

import math

import numpy as np

from tests.oracles import constant, oracle


def within(x, low, high):
    return max(low, min(x, high))


def ratio(log_p, old):
    return math.exp(within(log_p - old, -20.0, 20.0))


def surrogate(rho, advantage, low, high):
    return min(rho * advantage, within(rho, 1 - low, 1 + high) * advantage)


def kept(count, mask):
    return [i for i in range(count) if mask is None or mask[i]]


def average(numbers):
    return sum(numbers) / len(numbers) if numbers else 0.0


def k3(u):
    """By its series where the formula has no digits."""
    u = within(u, -20.0, 20.0)
    return u * u / 2 - u**3 / 6 + u**4 / 24 if abs(u) < 1e-4 else math.expm1(-u) + u


@oracle("convex", options=[{"clip_high": 0.5, "dual_clip": 3.0}, {"clip_low": np.inf, "clip_high": np.inf}], frozen=True)
@constant("old_log_probs", "advantages")
def ppo_clip(log_probs, old_log_probs, advantages, clip_low=0.2, clip_high=0.2, dual_clip=None):
    value = surrogate(ratio(log_probs, old_log_probs), advantages, clip_low, clip_high)
    return -(max(value, dual_clip * advantages) if dual_clip is not None and advantages < 0 else value)


GRPO = [{"beta": 0.04}, {"ratio": "sequence", "beta": 0.1}, {"steps": "sum", "clip_high": 0.5}]


@oracle("shift_invariant", options=GRPO, frozen=True)
@constant("old_log_probs", "advantages", "reference_log_probs")
def grpo(
    log_probs,
    old_log_probs,
    advantages,
    mask=None,
    reference_log_probs=None,
    clip_low=0.2,
    clip_high=0.2,
    beta=0.0,
    ratio="token",
    steps="mean",
):
    at = kept(len(log_probs), mask)
    gaps = {i: log_probs[i] - old_log_probs[i] for i in at}
    whole = average([*gaps.values()])
    losses = []
    for i in at:
        rho = math.exp(within(whole if ratio == "sequence" else gaps[i], -20.0, 20.0))
        away = k3(log_probs[i] - reference_log_probs[i]) if reference_log_probs is not None else 0.0
        losses.append(-surrogate(rho, advantages[i], clip_low, clip_high) + beta * away)
    return average(losses) if steps == "mean" else sum(losses)


@oracle("symmetric convex", frozen=True)
@constant("advantages")
def reinforce(log_probs, advantages):
    return -log_probs * advantages


@oracle("nonnegative convex", options=[{"clip": 1.0}], frozen=True)
@constant("old_values", "returns")
def ppo_value(values, old_values, returns, clip=0.2):
    errors = [(values - returns) ** 2]
    if clip is not None:
        errors.append((old_values + within(values - old_values, -clip, clip) - returns) ** 2)
    return max(errors) / 2


@oracle("nonnegative zero_at_match shift_invariant", options=[{"estimator": "k1"}, {"estimator": "k2"}], frozen=True)
@constant("reference_log_probs")
def kl_estimate(log_probs, reference_log_probs, estimator="k3"):
    u = log_probs - reference_log_probs
    return {"k1": u, "k2": u * u / 2, "k3": k3(u)}[estimator]


@oracle(options=[{"low": 0.8, "high": 1.2}], frozen=True)
def cispo(log_probs, old_log_probs, advantages, low=0.0, high=5.0, frozen=None):
    weight = within(ratio(frozen["log_probs"], frozen["old_log_probs"]), low, high)
    return -weight * frozen["advantages"] * log_probs


@oracle("shift_invariant", options=[{"tau_positive": 2.0, "tau_negative": 0.5}], frozen=True)
@constant("old_log_probs", "advantages")
def sapo(log_probs, old_log_probs, advantages, tau_positive=1.0, tau_negative=1.05):
    tau = tau_positive if advantages > 0 else tau_negative
    gate = 1 / (1 + math.exp(-within(tau * (ratio(log_probs, old_log_probs) - 1), -700.0, 700.0)))
    return -4 / tau * gate * advantages


@oracle(options=[{"clip_low": 0.1, "clip_high": 1.0}], frozen=True)
@constant("old_log_probs", "advantages")
def gmpo(log_probs, old_log_probs, advantages, mask=None, clip_low=0.4, clip_high=0.4):
    at = kept(len(log_probs), mask)
    advantage = average([advantages[i] for i in at])
    logs = []
    for i in at:
        gap = within(log_probs[i] - old_log_probs[i], -20.0, 20.0)
        pair = gap, within(gap, -clip_low, clip_high)
        logs.append(min(pair) if advantage > 0 else max(pair) if advantage < 0 else 0.0)
    return -math.exp(average(logs)) * advantage


@oracle(options=[{"temperature": 0.3, "max_weight": 100.0}, {"max_weight": np.inf}], frozen=True)
@constant("advantages")
def awr(log_probs, advantages, temperature=1.0, max_weight=20.0):
    return -min(math.exp(min(advantages / temperature, 80.0)), max_weight) * log_probs


@oracle("convex", options=[{"alpha": 1.0}])
def sac_policy(log_probs, q_values, alpha=0.2):
    return alpha * log_probs - q_values


@oracle(options=[{"target_entropy": -2.0}], frozen=True)
@constant("log_probs")
def sac_temperature(log_alpha, log_probs, target_entropy=0.0):
    return -math.exp(min(log_alpha, 80.0)) * (log_probs + target_entropy)
