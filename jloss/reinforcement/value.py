r"""Values: how much reward is still to come, learned from one step to the next.

Discounts are 0 at the end of an episode. The loss of an error e is :math:`e^2 / 2`, or with `delta` its Huber loss, whose gradient is at
most `delta`: written L below. Targets are under `stop_gradient`, and so is all that they are made of. An action out of range gives NaN.
Distributions of returns are in `jloss.reinforcement.distributional`.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce
from jloss.numerics import log_softmax, logsumexp, pick
from jloss.numerics.guards import log_odds_to_peak
from jloss.reinforcement._errors import error_loss, expected, of_action, one_step_target
from jloss.reinforcement._steps import in_groups, masked_steps, mean_over_steps
from jloss.reinforcement.returns import backward_recursion, discounted, lambda_returns, vtrace_targets


@loss(
    "(k),(),(),(),(k),(k)->()",
    "real class real unit real real",
    constants="rewards discounts next_q selector_q",
    delta="positive",
)
def q_learning(
    q: Array,
    actions: Array,
    rewards: Array,
    discounts: Array,
    next_q: Array,
    selector_q: Array | None = None,
    *,
    delta: float | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""The value of the action taken approaches the reward and the best value of the next state (DQN).

    .. math::
        \ell = L\bigl(r + \gamma Q'_{a^*} - Q_a\bigr) \qquad a^* = \arg\max_c \text{selector\_q}_c

    The maximum overestimates values that are noisy; with the current network's values of the next state as `selector_q` and those of the
    target network as `next_q` it is double Q-learning.

    Args:
        q: Value of each action in this state.
        actions: The action taken.
        rewards: What came of it.
        discounts: Of what follows; 0 at the end of an episode.
        next_q: Value of each action in the next state, by the target network; no gradient.
        selector_q: What chooses the next action; `next_q` by default. Of equal values the first.
        delta: Largest gradient; 1 in DQN. None for the square.

    >>> q_learning(jnp.array([1.0, 2.0]), 1, 1.0, 0.5, jnp.array([3.0, 4.0]))
    Array(0.5, dtype=float32)

    References:
        Mnih et al., Human-Level Control through Deep Reinforcement Learning, 2015. https://doi.org/10.1038/nature14236
        van Hasselt, Guez, Silver, Deep Reinforcement Learning with Double Q-Learning, 2016. https://arxiv.org/abs/1509.06461
    """
    best = jnp.argmax(lax.stop_gradient(next_q if selector_q is None else selector_q)).astype(jnp.int32)
    return error_loss(one_step_target(rewards, discounts, pick(next_q, best)) - pick(q, actions), delta)


@loss("(),(),(),()->()", "real real unit real", constants="rewards discounts next_values", delta="positive")
def td_learning(
    values: Array, rewards: Array, discounts: Array, next_values: Array, *, delta: float | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""The value of a state approaches the reward and the value of the next one.

    .. math::
        \ell = L\bigl(r + \gamma V' - V\bigr)

    Args:
        values: Value of this state.
        rewards: What came next.
        discounts: Of what follows; 0 at the end of an episode.
        next_values: Value of the next state; no gradient.
        delta: Largest gradient; None for the square.

    >>> td_learning(jnp.array(1.0), 1.0, 0.5, 4.0)
    Array(2., dtype=float32)

    References:
        Sutton, Learning to Predict by the Methods of Temporal Differences, 1988. https://doi.org/10.1007/BF00115009
    """
    return error_loss(one_step_target(rewards, discounts, next_values) - values, delta)


@loss("(k),(),(),(),(k),()->()", "real class real unit real class", constants="rewards discounts next_q", delta="positive")
def sarsa(
    q: Array,
    actions: Array,
    rewards: Array,
    discounts: Array,
    next_q: Array,
    next_actions: Array,
    *,
    delta: float | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""The value of the action taken approaches the reward and the value of the action taken next: values of the policy as it acts.

    .. math::
        \ell = L\bigl(r + \gamma Q'_{a'} - Q_a\bigr)

    Args:
        q: Value of each action in this state.
        actions: The action taken.
        rewards: What came of it.
        discounts: Of what follows; 0 at the end of an episode.
        next_q: Value of each action in the next state; no gradient.
        next_actions: The action taken there; any valid one at the end of an episode.
        delta: Largest gradient; None for the square.

    >>> sarsa(jnp.array([1.0, 2.0]), 1, 1.0, 0.5, jnp.array([3.0, 4.0]), 0)
    Array(0.125, dtype=float32)

    References:
        Singh et al., Convergence Results for Single-Step On-Policy Reinforcement-Learning Algorithms, 2000.
        https://doi.org/10.1023/A:1007678930559
    """
    return error_loss(one_step_target(rewards, discounts, pick(next_q, next_actions)) - pick(q, actions), delta)


@loss("(k),(),(),(),(k),(k)->()", "real class real unit real prob", constants="rewards discounts next_q next_probs", delta="positive")
def expected_sarsa(
    q: Array,
    actions: Array,
    rewards: Array,
    discounts: Array,
    next_q: Array,
    next_probs: Array,
    *,
    delta: float | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""`sarsa` with the mean over the policy's next actions in place of the one taken: less noise.

    .. math::
        \ell = L\Bigl(r + \gamma \sum_c \pi'_c Q'_c - Q_a\Bigr)

    Args:
        q: Value of each action in this state.
        actions: The action taken.
        rewards: What came of it.
        discounts: Of what follows; 0 at the end of an episode.
        next_q: Value of each action in the next state; no gradient.
        next_probs: The policy there; no gradient.
        delta: Largest gradient; None for the square.

    >>> expected_sarsa(jnp.array([1.0, 2.0]), 1, 1.0, 0.5, jnp.array([3.0, 4.0]), jnp.array([0.5, 0.5]))
    Array(0.28125, dtype=float32)

    References:
        van Seijen et al., A Theoretical and Empirical Analysis of Expected Sarsa, 2009. https://doi.org/10.1109/ADPRL.2009.4927542
    """
    return error_loss(one_step_target(rewards, discounts, expected(next_probs, next_q)) - pick(q, actions), delta)


@loss("(t),(t),(t),(t),(t)->()", "real real unit real mask", constants="rewards discounts next_values", lam="unit", delta="positive")
@hint(steps=True)
def td_lambda(
    values: Array,
    rewards: Array,
    discounts: Array,
    next_values: Array,
    mask: Array | None = None,
    *,
    lam: float = 0.95,
    delta: float | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Values of a sequence of states approach returns that mix all lengths: 0 is `td_learning`, 1 the whole return.

    .. math::
        \ell = \frac{1}{\sum_t m_t} \sum_t m_t L(G_t - V_t) \qquad G_t = r_t + \gamma_t \bigl((1 - \lambda) V'_t + \lambda G_{t+1}\bigr)

    with mask m. The mask drops steps from the mean, not from the returns of earlier ones: end an episode with a discount of 0, behind
    which anything may stand. A sequence without steps is 0.

    Args:
        values: Value of each state.
        rewards: What came next.
        discounts: Of what follows; 0 at the end of an episode.
        next_values: Value of the state that each step leads to; no gradient.
        mask: Which steps count; all by default.
        lam: How far returns look ahead.
        delta: Largest gradient of a step; None for the square.

    >>> td_lambda(jnp.zeros(2), jnp.ones(2), jnp.array([0.5, 0.0]), jnp.zeros(2), lam=1.0)
    Array(0.8125, dtype=float32)

    References:
        Sutton, Learning to Predict by the Methods of Temporal Differences, 1988. https://doi.org/10.1007/BF00115009
    """
    targets = lax.stop_gradient(lambda_returns(rewards, discounts, next_values, lam=lam))
    return mean_over_steps(error_loss(masked_steps(targets, mask) - masked_steps(values, mask), delta), mask)


@loss(
    "(t),(t),(t),(t),(t),(t)->()",
    "real real unit real real mask",
    constants="rewards discounts next_values log_ratios",
    lam="unit",
    clip_rho="nonnegative",
    clip_c="nonnegative",
    delta="positive",
)
@hint(steps=True)
def vtrace(
    values: Array,
    rewards: Array,
    discounts: Array,
    next_values: Array,
    log_ratios: Array,
    mask: Array | None = None,
    *,
    lam: float = 1.0,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    delta: float | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`td_lambda` from another policy's experience: bounded importance weights (IMPALA).

    .. math::
        \ell = \frac{1}{\sum_t m_t} \sum_t m_t L(e_t) \qquad
        e_t = \min(\bar\rho, \rho_t) (r_t + \gamma_t V'_t - V_t) + \gamma_t \lambda \min(\bar c, \rho_t)\, e_{t+1}

    with mask m; the target :math:`V_t + e_t` is a constant. The gradient in a value is its own error, as for `td_lambda`. The mask drops
    steps from the mean, not from the targets of earlier ones. For the advantages of the actor see `vtrace_targets`.

    Args:
        values: Value of each state.
        rewards: What came next.
        discounts: Of what follows; 0 at the end of an episode.
        next_values: Value of the state that each step leads to; no gradient.
        log_ratios: Log-probability of each action under the policy, minus that under the one that took it; no gradient.
        mask: Which steps count; all by default.
        lam: How far errors travel back.
        clip_rho: Bound of the ratios of the temporal differences.
        clip_c: Bound of the ratios of the trace.
        delta: Largest gradient of a step; None for the square.

    >>> vtrace(jnp.zeros(2), jnp.ones(2), jnp.array([0.5, 0.0]), jnp.zeros(2), jnp.log(jnp.array([0.5, 4.0])))
    Array(0.390625, dtype=float32)

    References:
        Espeholt et al., IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner Architectures, 2018.
        https://arxiv.org/abs/1802.01561
    """
    past = lax.stop_gradient(values)
    targets, _ = vtrace_targets(past, rewards, discounts, next_values, log_ratios, lam=lam, clip_rho=clip_rho, clip_c=clip_c)
    targets = masked_steps(lax.stop_gradient(targets), mask)
    return mean_over_steps(error_loss(targets - masked_steps(values, mask), delta), mask)


@loss(
    "(t,k),(t),(t),(t),(t,k),(t),(t,k),(t),(t)->()",
    "real class real unit real class prob unit mask",
    constants="rewards discounts next_q next_probs behaviour_probs",
    lam="unit",
    delta="positive",
)
def retrace(
    q: Array,
    actions: Array,
    rewards: Array,
    discounts: Array,
    next_q: Array,
    next_actions: Array,
    next_probs: Array,
    behaviour_probs: Array,
    mask: Array | None = None,
    *,
    lam: float = 1.0,
    delta: float | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Values of actions from another policy's sequences, cut where the policies differ: safe however far apart they are.

    .. math::
        \ell = \frac{1}{\sum_t m_t} \sum_t m_t L(G_t - Q_{t, a_t}) \qquad
        G_t = r_t + \gamma_t \Bigl(\sum_c \pi'_{t, c} Q'_{t, c} + c_t (G_{t+1} - Q'_{t, a'_t})\Bigr)

    with mask m and :math:`c_t = \lambda \min(1, \pi'_{t, a'_t} / \mu_{t, a'_t})`, 0 at the last step. An action that neither policy takes
    has the ratio 1. The mask drops steps from the mean, not from the targets of earlier ones.

    Args:
        q: Value of each action in each state.
        actions: The actions taken.
        rewards: What came of them.
        discounts: Of what follows; 0 at the end of an episode.
        next_q: Value of each action in the state that each step leads to; no gradient.
        next_actions: The action taken there.
        next_probs: The policy there; no gradient.
        behaviour_probs: Probability of that action under the policy that took it; no gradient.
        mask: Which steps count; all by default.
        lam: How far errors travel back.
        delta: Largest gradient of a step; None for the square.

    >>> q, even = jnp.zeros((2, 2)), jnp.full((2, 2), 0.5)
    >>> retrace(q, jnp.array([0, 1]), jnp.ones(2), jnp.array([0.5, 0.0]), q, jnp.array([1, 0]), even, jnp.array([1.0, 1.0]))
    Array(0.640625, dtype=float32)

    References:
        Munos et al., Safe and Efficient Off-Policy Reinforcement Learning, 2016. https://arxiv.org/abs/1606.02647
    """
    probs, following = of_action(next_probs, next_actions), of_action(next_q, next_actions)
    unbounded = probs >= behaviour_probs  # no division where the action was never taken
    ones = unbounded.astype(probs.dtype)  # a number would be no array of the batch, next to which vmap moves the others' axes
    trace = lam * select(unbounded, ones, probs / select(unbounded, ones, behaviour_probs))
    trace = jnp.pad(trace[:-1], (0, min(1, trace.shape[0])))
    one_step = rewards + discounted(discounts, expected(next_probs, next_q) - trace * following)
    targets = lax.stop_gradient(in_groups(backward_recursion)(discounted(discounts, trace), one_step))
    errors = masked_steps(targets, mask) - masked_steps(of_action(q, masked_steps(actions, mask)), mask)
    return mean_over_steps(error_loss(errors, delta), mask)


@loss(
    "(k),(),(),(),(k),(k)->()",
    "real class real unit real real",
    constants="rewards discounts next_q target_q",
    temperature="positive",
    alpha="unit",
    log_floor="nonpositive",
    delta="positive",
)
def munchausen(
    q: Array,
    actions: Array,
    rewards: Array,
    discounts: Array,
    next_q: Array,
    target_q: Array,
    *,
    temperature: float = 0.03,
    alpha: float = 0.9,
    log_floor: float = -1.0,
    delta: float | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""`q_learning` with a bonus for actions that the policy is sure of, and soft next values.

    .. math::
        \ell = L\bigl(r + \alpha \operatorname{clip}(\tau \log \pi_a, l_0, 0) + \gamma \tau \log \sum_c e^{Q'_c / \tau} - Q_a\bigr)
        \qquad \pi = \operatorname{softmax}(\text{target\_q} / \tau)

    with `temperature` :math:`\tau` and `log_floor` :math:`l_0`. The last term is the paper's
    :math:`\sum_c \pi'_c (Q'_c - \tau \log \pi'_c)`.

    Args:
        q: Value of each action in this state.
        actions: The action taken.
        rewards: What came of it.
        discounts: Of what follows; 0 at the end of an episode.
        next_q: Value of each action in the next state, by the target network; no gradient.
        target_q: Value of each action in this state, by the target network; no gradient.
        temperature: Of both policies.
        alpha: Weight of the bonus.
        log_floor: The least bonus.
        delta: Largest gradient; 1 in the paper. None for the square.

    >>> munchausen(jnp.array([1.0, 2.0]), 1, 1.0, 0.5, jnp.array([3.0, 4.0]), jnp.array([1.0, 2.0]))
    Array(0.5, dtype=float32)

    References:
        Vieillard, Pietquin, Geist, Munchausen Reinforcement Learning, 2020. https://arxiv.org/abs/2007.14430
    """
    bonus = temperature * pick(log_softmax(log_odds_to_peak(target_q)[0] / temperature), actions)
    log_odds, best = log_odds_to_peak(next_q)  # before the division, which rounds large values
    following = best[0] + temperature * logsumexp(log_odds / temperature)
    target = one_step_target(rewards + alpha * jnp.maximum(bonus, log_floor), discounts, following)
    return error_loss(target - pick(q, actions), delta)
