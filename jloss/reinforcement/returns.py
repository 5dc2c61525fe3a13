r"""Returns and advantages: what a policy is judged by, from rewards and values. Functions of arrays, not losses; nothing is detached.

They run over the last axis and take any axes in front. A discount is the factor of all that follows a step: 0 at the end of an episode,
and whatever stands behind a discount of 0, NaN included, has no influence. Arithmetic is in float32 or wider.
"""

from typing import Any, Literal

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.arguments import check_static
from jloss._core.backend import select
from jloss._core.domains import arithmetic_dtype
from jloss._core.functions import compiled
from jloss.numerics import safe_divide, safe_sqrt

LARGEST_EXPONENT = 80.0  # its exponential fits into float32


def group_advantages(
    rewards: Array,
    mask: Array | None = None,
    *,
    baseline: Literal["mean", "leave_one_out"] = "mean",
    scale: bool = True,
    epsilon: float | Array = 1e-4,
) -> Array:
    r"""Advantages of the responses to one prompt over each other: the value function of GRPO, Dr. GRPO and RLOO.

    .. math::
        A_i = \frac{r_i - \bar r}{\operatorname{std}(r) + \epsilon} \qquad \operatorname{std}^2(r) = \frac{1}{n - 1} \sum_i (r_i - \bar r)^2

    Equal rewards and a single response have advantage 0, exactly. (verl gives a single response its reward.)

    Args:
        rewards: Of the responses of a group, ``(..., n)``.
        mask: Which responses count; the others get 0.
        baseline: The mean of all, or of all others (RLOO, with ``scale=False``).
        scale: Whether to divide by the standard deviation; Dr. GRPO does not.
        epsilon: Added to it: 1e-4 as in TRL, 1e-6 in verl.

    >>> group_advantages(jnp.array([1.0, 0.0, 0.0, 1.0]), scale=False)
    Array([ 0.5, -0.5, -0.5,  0.5], dtype=float32)

    References:
        Shao et al., DeepSeekMath (GRPO), 2024. https://arxiv.org/abs/2402.03300
        Ahmadian et al., Back to Basics (RLOO), 2024. https://arxiv.org/abs/2402.14740
    """
    check_static("group_advantages", "baseline", baseline, Literal["mean", "leave_one_out"])
    (rewards,) = _wide(rewards)
    kept = jnp.ones_like(rewards, bool) if mask is None else jnp.asarray(mask)
    if kept.dtype != bool:
        raise TypeError(f"group_advantages: `mask` must be boolean, got {kept.dtype}{list(kept.shape)}.")
    if kept.shape != rewards.shape:
        raise ValueError(f"group_advantages: `mask` has shape {kept.shape}, but `rewards` {rewards.shape}.")
    count = jnp.sum(kept.astype(rewards.dtype), axis=-1, keepdims=True)

    def over_kept(values: Array) -> Array:
        return jnp.sum(select(kept, values, 0.0), axis=-1, keepdims=True)

    rewards = select(kept, rewards, 0.0)
    first = jnp.max(select(kept, rewards, -jnp.inf), axis=-1, keepdims=True, initial=-jnp.inf)
    gaps = select(kept, rewards - lax.stop_gradient(first), 0.0)  # equal rewards are exact zeros from here on
    gaps = select(kept, gaps - safe_divide(over_kept(gaps), count), 0.0)
    advantages = gaps if baseline == "mean" else gaps * safe_divide(count, count - 1)
    if not scale:
        return advantages
    deviation = safe_sqrt(safe_divide(over_kept(jnp.square(gaps)), count - 1))
    return safe_divide(advantages, deviation + _number(epsilon, rewards))  # 0 of equals, also without epsilon


@compiled()
def gae(rewards: Array, values: Array, discounts: Array, *, lam: float | Array = 0.95) -> Array:
    r"""Generalised advantage estimation: temporal differences, summed with decay. What PPO takes.

    .. math::
        A_t = \delta_t + \gamma_t \lambda A_{t+1} \qquad \delta_t = r_t + \gamma_t V_{t+1} - V_t

    The targets of the value function are ``gae(...) + values[..., :-1]``, which are `lambda_returns`.

    Args:
        rewards: Of each step, ``(..., t)``.
        values: Of each state and of the one after the last, ``(..., t + 1)``.
        discounts: 0 where the episode ends, ``(..., t)``.
        lam: 0 is the temporal difference, 1 the whole return.

    >>> gae(jnp.array([1.0, 1.0]), jnp.array([0.5, 0.5, 0.5]), jnp.array([0.9, 0.0]), lam=0.5)
    Array([1.175, 0.5  ], dtype=float32)

    References:
        Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage Estimation, 2016. https://arxiv.org/abs/1506.02438
    """
    rewards, values, discounts = _wide(rewards, values, discounts)
    _check_steps("gae", rewards, discounts=discounts)
    if values.shape[-1:] != (rewards.shape[-1] + 1,):
        wanted = f"{rewards.shape[-1] + 1}, not {values.shape[-1] if values.ndim else 0} as in {values.shape}"
        raise ValueError(f"gae: `values` have one step more than `rewards`: {wanted}.")
    errors = rewards + discounted(discounts, values[..., 1:]) - values[..., :-1]
    return backward_recursion(_number(lam, rewards) * discounts, errors)


@compiled()
def lambda_returns(rewards: Array, discounts: Array, next_values: Array, *, lam: float | Array = 0.95) -> Array:
    r"""Returns that mix those of all lengths: the targets of TD(lambda).

    .. math::
        G_t = r_t + \gamma_t \bigl((1 - \lambda) V'_t + \lambda G_{t+1}\bigr) \qquad G_T = V'_{T-1}

    Args:
        rewards: Of each step, ``(..., t)``.
        discounts: 0 where the episode ends.
        next_values: Of the state that each step leads to.
        lam: 0 is the one-step target, 1 the whole return.

    >>> lambda_returns(jnp.array([1.0, 1.0]), jnp.array([0.9, 0.0]), jnp.array([0.5, 0.5]), lam=0.5)
    Array([1.675, 1.   ], dtype=float32)

    References:
        Sutton and Barto, Reinforcement Learning: An Introduction, 2018. http://incompleteideas.net/book/the-book-2nd.html
    """
    rewards, discounts, next_values = _wide(rewards, discounts, next_values)
    _check_steps("lambda_returns", rewards, discounts=discounts, next_values=next_values)
    lam = _number(lam, rewards)
    one_step = rewards + discounted(discounts, (1 - lam) * next_values)
    return backward_recursion(lam * discounts, one_step, next_values[..., -1:])


def n_step_returns(rewards: Array, discounts: Array, next_values: Array, n: int) -> Array:
    r"""The rewards of n steps and the value of the state after them; of fewer steps at the end.

    .. math::
        G_t = r_t + \gamma_t \bigl(r_{t+1} + \gamma_{t+1} (\cdots + \gamma_{t+n-1} V'_{t+n-1})\bigr)

    Args:
        rewards: Of each step, ``(..., t)``.
        discounts: 0 where the episode ends.
        next_values: Of the state that each step leads to.
        n: How many rewards; 1 or more.

    >>> n_step_returns(jnp.array([1.0, 1.0, 1.0]), jnp.full(3, 0.5), jnp.zeros(3), 2)
    Array([1.5, 1.5, 1. ], dtype=float32)

    References:
        Sutton and Barto, Reinforcement Learning: An Introduction, 2018. http://incompleteideas.net/book/the-book-2nd.html
    """
    check_static("n_step_returns", "n", n, int)
    if n < 1:
        raise ValueError(f"n_step_returns: `n` must be 1 or more, got {n}.")
    return _n_step_returns(rewards, discounts, next_values, n)


@compiled("n")
def _n_step_returns(rewards: Array, discounts: Array, next_values: Array, n: int) -> Array:
    rewards, discounts, next_values = _wide(rewards, discounts, next_values)
    _check_steps("n_step_returns", rewards, discounts=discounts, next_values=next_values)
    one_step = rewards + discounted(discounts, next_values)
    returns = one_step
    for _ in range(min(n, rewards.shape[-1]) - 1):  # one reward more in front; the last step has no other return
        longer = rewards[..., :-1] + discounted(discounts[..., :-1], returns[..., 1:])
        returns = jnp.concatenate([longer, one_step[..., -1:]], axis=-1)
    return returns


@compiled()
def vtrace_targets(
    values: Array,
    rewards: Array,
    discounts: Array,
    next_values: Array,
    log_ratios: Array,
    *,
    lam: float | Array = 1.0,
    clip_rho: float | Array = 1.0,
    clip_c: float | Array = 1.0,
    clip_pg_rho: float | Array = 1.0,
) -> tuple[Array, Array]:
    r"""Targets of the values and advantages of the actions, from another policy's experience (IMPALA).

    .. math::
        v_t = V_t + e_t \qquad e_t = \min(\bar\rho, \rho_t) (r_t + \gamma_t V'_t - V_t) + \gamma_t \lambda \min(\bar c, \rho_t)\, e_{t+1}

    The advantages are :math:`\min(\bar\rho_{pg}, \rho_t) \bigl(r_t + \gamma_t (\lambda v_{t+1} + (1 - \lambda) V'_t) - V_t\bigr)`, with
    :math:`V'_t` for :math:`v_{t+1}` at the last step. Ratios may overflow: they are bounded before they are used.

    Args:
        values: Of each state, ``(..., t)``.
        rewards: Of each step.
        discounts: 0 where the episode ends.
        next_values: Of the state that each step leads to.
        log_ratios: Log-probability of each action under the policy, minus that under the policy that took it.
        lam: Mixes one-step targets (0) and whole traces (1).
        clip_rho: Bound of the ratios of the temporal differences: to which policy's values the targets lead.
        clip_c: Bound of the ratios of the trace: how far errors travel.
        clip_pg_rho: Bound of the ratios of the advantages.

    >>> targets, advantages = vtrace_targets(
    ...     jnp.zeros(2), jnp.ones(2), jnp.array([0.5, 0.0]), jnp.zeros(2), jnp.log(jnp.array([0.5, 4.0])))
    >>> targets, advantages
    (Array([0.75, 1.  ], dtype=float32), Array([0.75, 1.  ], dtype=float32))

    References:
        Espeholt et al., IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner Architectures, 2018.
        https://arxiv.org/abs/1802.01561
    """
    values, rewards, discounts, next_values, log_ratios = _wide(values, rewards, discounts, next_values, log_ratios)
    _check_steps("vtrace_targets", rewards, values=values, discounts=discounts, next_values=next_values, log_ratios=log_ratios)
    lam, clip_rho, clip_c, clip_pg_rho = (_number(x, rewards) for x in (lam, clip_rho, clip_c, clip_pg_rho))
    ratios = jnp.exp(select(log_ratios > LARGEST_EXPONENT, LARGEST_EXPONENT, log_ratios))
    errors = jnp.minimum(clip_rho, ratios) * (rewards + discounted(discounts, next_values) - values)
    targets = values + backward_recursion(lam * discounts * jnp.minimum(clip_c, ratios), errors)
    following = jnp.concatenate([targets[..., 1:], next_values[..., -1:]], axis=-1)
    following = lam * following + (1 - lam) * next_values
    return targets, jnp.minimum(clip_pg_rho, ratios) * (rewards + discounted(discounts, following) - values)


def discounted(discounts: Array, following: Array) -> Array:
    """The product, and 0 behind the end of an episode, whatever is stored there."""
    return discounts * select(discounts == 0, discounts, following)  # a discount of 0 is the 0 of the batch


def backward_recursion(decays: Array, terms: Array, last: Array | None = None) -> Array:
    """``x[t] = terms[t] + decays[t] * x[t + 1]`` over the last axis, with ``x[T:] = last``, or 0. A decay of 0 cuts off what follows."""
    if not terms.shape[-1]:
        return terms

    def step(following: Array, now: Any) -> tuple[Array, Array]:
        decay, term = now
        here = term + discounted(decay, following)
        return here, here

    now = jnp.moveaxis(decays, -1, 0), jnp.moveaxis(terms, -1, 0)
    start = jnp.zeros_like(terms[..., 0])
    start = start if last is None else start + last[..., 0]  # varies over devices as the terms do
    return jnp.moveaxis(lax.scan(step, start, now, reverse=True)[1], 0, -1)


def _check_steps(name: str, rewards: Array, **others: Array) -> None:
    """Raises where the last axes differ. Nothing is repeated along the steps."""
    if not rewards.ndim:
        raise ValueError(f"{name}: `rewards` must have an axis of steps, (..., t).")
    for other, array in others.items():
        if array.shape[-1:] != rewards.shape[-1:]:
            got = f"{rewards.shape[-1]}, not {array.shape[-1] if array.ndim else 0} as in {array.shape}"
            raise ValueError(f"{name}: `{other}` must have as many steps as `rewards`: {got}.")


def _number(option: Any, like: Array) -> Array:
    """A setting in the dtype of the arithmetic."""
    return jnp.asarray(option).astype(like.dtype)


def _wide(*arrays: Any) -> list[Array]:
    given = [jnp.asarray(a) for a in arrays]
    dtype = arithmetic_dtype(given)
    return [a.astype(dtype) for a in given]
