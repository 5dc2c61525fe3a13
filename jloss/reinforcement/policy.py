r"""Policies: which actions, or tokens, to take more often.

Inputs are log-probabilities of the actions taken, from ``-cross_entropy(logits, actions, reduction="none")`` or `token_log_probs`;
``linear_head(grpo)`` takes hidden states, kernel and labels instead and never holds the logits. Advantages, and what is called old or
reference, have no gradient. Elementwise losses have tokens or steps as examples: ``where=mask`` is the mean over all tokens of the batch.
:math:`\rho = e^{\text{log\_probs} - \text{old\_log\_probs}}`, its exponent limited to +-20, beyond which the gradient is 0.
"""

import math
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import is_known_zero, select
from jloss._core.log_probs import of_log_probs
from jloss._core.loss import at_the_door, loss
from jloss._core.signature import Reduce
from jloss.numerics import clipped
from jloss.numerics._special import exp_remainder
from jloss.reinforcement._steps import masked_steps, mean_over_steps

LARGEST_LOG_RATIO = 20.0  # as in verl and OpenRLHF; its exponential is 5e8
LARGEST_EXPONENT = 80.0  # its exponential fits into float32


def _one_per_token(name: str, given: dict[str, Any]) -> None:
    """Raises where an advantage per response would be read as one per token that responses share; for `beta` without a reference."""
    log_probs, advantages = (getattr(given.get(n), "shape", ()) for n in ("log_probs", "advantages"))
    if len(log_probs) == 2 and advantages == log_probs[:1] == log_probs[1:]:
        each = f"jnp.broadcast_to(advantages[:, None], {'labels' if 'labels' in given else 'log_probs'}.shape)"
        raise ValueError(f"{name}: `advantages` {advantages} are of each token. If there is one per response: {each}.")
    beta = given.get("beta")
    if isinstance(beta, int | float) and beta and given.get("reference_log_probs") is None:
        raise ValueError(f"{name}: `beta` needs `reference_log_probs`, got beta={beta} without them.")


@loss(
    "(),(),()->()",
    "real real real",
    constants="old_log_probs advantages",
    clip_low="nonnegative",
    clip_high="nonnegative",
    dual_clip="one_or_more",
)
@of_log_probs("log_probs")
def ppo_clip(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Proximal policy optimisation: an action gains no more once its probability has changed by a fifth.

    .. math::
        \ell = -\min\bigl(\rho A,\ \operatorname{clip}(\rho, 1 - \text{clip\_low}, 1 + \text{clip\_high})\, A\bigr)

    With `dual_clip` and A < 0 it is at most ``-dual_clip * A``, so that a bad action that has become likely does not dominate. A token has
    no gradient where the clipped branch is the smaller one. Without clipping (``jnp.inf``) it is the surrogate of TRPO.

    Args:
        log_probs: Log-probability of each action under the policy.
        old_log_probs: Under the policy that took it; no gradient.
        advantages: How much better than expected each was; no gradient.
        clip_low: How far a ratio counts below 1.
        clip_high: How far above; larger than below for more exploration (DAPO).
        dual_clip: Largest ratio that counts against an action; above 1, and 3 in verl.

    >>> ppo_clip(jnp.log(jnp.array([1.5, 0.5])), jnp.zeros(2), jnp.array([1.0, -1.0]), reduction="none")
    Array([-1.2,  0.8], dtype=float32)

    References:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017. https://arxiv.org/abs/1707.06347
        Ye et al., Mastering Complex Control in MOBA Games (dual clip), 2020. https://arxiv.org/abs/1912.09729
    """
    ratio, advantages = ratio_to(log_probs, old_log_probs), lax.stop_gradient(advantages)
    surrogate = clipped_surrogate(ratio, advantages, clip_low, clip_high)
    if dual_clip is not None:
        surrogate = select(advantages < 0, jnp.maximum(surrogate, dual_clip * advantages), surrogate)
    return -surrogate


@loss(
    "(t),(t),(t),(t),(t)->()",
    "real real real mask real",
    constants="old_log_probs advantages reference_log_probs",
    clip_low="nonnegative",
    clip_high="nonnegative",
    beta="nonnegative",
)
@at_the_door(_one_per_token)
@of_log_probs("log_probs reference_log_probs")
def grpo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    mask: Array | None = None,
    reference_log_probs: Array | None = None,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    beta: float = 0.0,
    ratio: Literal["token", "sequence"] = "token",
    steps: Literal["mean", "sum"] = "mean",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Group relative policy optimisation of a response: `ppo_clip` of its tokens, with `group_advantages`, near a reference.

    .. math::
        \ell = \frac{1}{\sum_t m_t} \sum_t m_t \Bigl(-\min\bigl(\rho_t A_t, \operatorname{clip}(\rho_t) A_t\bigr)
        + \beta \bigl(e^{-u_t} - 1 + u_t\bigr)\Bigr) \qquad u_t = \text{log\_probs}_t - \text{reference\_log\_probs}_t

    with mask m; ``steps="sum"`` leaves out the division. ``ratio="sequence"`` is GSPO: for every token :math:`\rho_t` is
    :math:`e^{\text{mean log-ratio}}` of the response. Responses count alike (GRPO); ``weights=`` their lengths makes tokens
    count alike (DAPO), and a sum of ``steps="sum"`` over a constant is Dr. GRPO: the page on alignment has the table.
    A response without tokens is 0. At ratio 1 the value is minus the advantage, whose mean over a group is 0: a loss of 0 at the start
    does not mean that nothing is learned.

    Args:
        log_probs: Log-probability of each token under the policy.
        old_log_probs: Under the policy that generated it; no gradient.
        advantages: Of each token: one per response, A, is ``jnp.broadcast_to(A[:, None], log_probs.shape)``. No gradient.
        mask: Which tokens count: the response, not the prompt; all by default.
        reference_log_probs: Under the reference policy; no gradient. Without it a `beta` other than 0 is an error, or NaN if
            it is traced.
        clip_low: How far a ratio counts below 1.
        clip_high: How far above: 0.28 in DAPO; both about 3e-4 for GSPO.
        beta: Weight of the divergence from the reference.
        ratio: Of each token, or of the whole response.
        steps: ``"mean"`` over the tokens of a response, or ``"sum"``.

    >>> grpo(jnp.log(jnp.array([1.5, 0.5])), jnp.zeros(2), jnp.array([1.0, 1.0]))
    Array(-0.85, dtype=float32)

    References:
        Shao et al., DeepSeekMath (GRPO), 2024. https://arxiv.org/abs/2402.03300
        Yu et al., DAPO, 2025. https://arxiv.org/abs/2503.14476
        Liu et al., Understanding R1-Zero-Like Training (Dr. GRPO), 2025. https://arxiv.org/abs/2503.20783
        Zheng et al., Group Sequence Policy Optimization, 2025. https://arxiv.org/abs/2507.18071
    """
    log_probs, old, advantages = (masked_steps(x, mask) for x in (log_probs, old_log_probs, lax.stop_gradient(advantages)))
    if ratio == "sequence":
        log_ratio = mean_over_steps(log_probs - lax.stop_gradient(old), mask)
        rho = jnp.broadcast_to(jnp.exp(limited(log_ratio)), log_probs.shape)
    else:
        rho = ratio_to(log_probs, old)
    each = -clipped_surrogate(rho, advantages, clip_low, clip_high)
    if reference_log_probs is not None:
        each = each + beta * exp_remainder(-limited(log_probs - lax.stop_gradient(masked_steps(reference_log_probs, mask))))
    elif not is_known_zero(beta):
        each = each + jnp.where(beta == 0, 0.0, jnp.nan).astype(each.dtype)
    return mean_over_steps(each, mask) if steps == "mean" else jnp.sum(masked_steps(each, mask))


@loss("(),()->()", "real real", constants="advantages")
@of_log_probs("log_probs")
def reinforce(log_probs: Array, advantages: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The policy gradient: actions better than expected become likelier. Also RLOO, and the actor of A2C.

    .. math::
        \ell = -A \log p

    Only its gradient means something, and only on actions that the policy itself has just taken.

    Args:
        log_probs: Log-probability of each action.
        advantages: How much better than expected it was; no gradient.

    >>> reinforce(jnp.log(jnp.array([0.5, 0.25])), jnp.array([1.0, -1.0]), reduction="none")
    Array([ 0.6931472, -1.3862944], dtype=float32)

    References:
        Williams, Simple Statistical Gradient-Following Algorithms, 1992. https://doi.org/10.1007/BF00992696
    """
    return -lax.stop_gradient(advantages) * log_probs


@loss("(),(),()->()", "real real real", constants="old_values returns", clip="nonnegative")
def ppo_value(values: Array, old_values: Array, returns: Array, *, clip: float | None = 0.2, **reduce: Unpack[Reduce]) -> Array:
    r"""The value function of PPO: squared error that pays no further once a value has moved by `clip`.

    .. math::
        \ell = \tfrac12 \max\bigl((v - R)^2,\ (v_\text{old} + \operatorname{clip}(v - v_\text{old}, -c, c) - R)^2\bigr)

    Half of it, so that its gradient is the error. It depends on the scale of the rewards; ``clip=None`` is the plain squared error.

    Args:
        values: Predicted returns.
        old_values: Predictions when the actions were taken; no gradient.
        returns: What was reached, ``advantages + old_values``; no gradient.
        clip: How far a value may move; None for any distance.

    >>> ppo_value(jnp.array([1.0, 0.3]), jnp.array([0.5, 0.0]), jnp.array([1.0, 1.0]), reduction="none")
    Array([0.045, 0.32 ], dtype=float32)

    References:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017. https://arxiv.org/abs/1707.06347
    """
    old_values, returns = lax.stop_gradient((old_values, returns))
    error = jnp.square(values - returns)
    if clip is not None:
        bounded = jnp.square(old_values + within(values - old_values, -clip, clip) - returns)
        error = select(error >= bounded, error, bounded)
    return 0.5 * error


@loss("(),()->()", "real real", constants="reference_log_probs")
@of_log_probs("log_probs reference_log_probs")
def kl_estimate(
    log_probs: Array, reference_log_probs: Array, *, estimator: Literal["k1", "k2", "k3"] = "k3", **reduce: Unpack[Reduce]
) -> Array:
    r"""Divergence of the policy from a reference, from tokens that the policy took.

    .. math::
        k_1 = u \qquad k_2 = u^2 / 2 \qquad k_3 = e^{-u} - 1 + u \qquad u = \text{log\_probs} - \text{reference\_log\_probs}

    The mean of k1 and of k3 is the divergence; k3 is never negative and varies less, and k2 is biased. As losses they are something else:
    in expectation the gradient of k1 is 0, that of k3 is the other divergence's, and that of k2 is right. Exact to the last digits
    also where both agree; for k3, u is limited to +-20, beyond which its gradient is 0.

    Args:
        log_probs: Log-probability of each token.
        reference_log_probs: Under the reference; no gradient.
        estimator: Which one.

    >>> [float(kl_estimate(jnp.array(-1.0), jnp.array(-1.5), estimator=k)) for k in ("k1", "k2", "k3")]
    [0.5, 0.125, 0.1065]

    References:
        Schulman, Approximating KL Divergence, 2020. http://joschu.net/blog/kl-approx.html
        Shao et al., DeepSeekMath, 2024. https://arxiv.org/abs/2402.03300
    """
    u = log_probs - lax.stop_gradient(reference_log_probs)
    if estimator == "k1":
        return u
    return 0.5 * jnp.square(u) if estimator == "k2" else exp_remainder(-limited(u))


@loss("(),(),()->()", "real real real", constants="old_log_probs advantages", low="nonnegative", high="nonnegative")
@of_log_probs("log_probs")
def cispo(
    log_probs: Array, old_log_probs: Array, advantages: Array, *, low: float = 0.0, high: float = 5.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""`reinforce` with a bounded importance weight: every token keeps a gradient, also one whose ratio is clipped.

    .. math::
        \ell = -\operatorname{clip}(\rho, \text{low}, \text{high}) A \log p

    with the weight under `stop_gradient`.

    Args:
        log_probs: Log-probability of each token under the policy.
        old_log_probs: Under the policy that generated it; no gradient.
        advantages: Of each token, as in `grpo`; no gradient.
        low: Least ratio. verl's clip range e is ``1 - e``.
        high: Largest ratio: TRL's epsilon_high, verl's ``1 + e``.

    >>> cispo(jnp.log(jnp.array(0.5)), jnp.log(jnp.array(0.05)), jnp.array(1.0))
    Array(3.4657357, dtype=float32)

    References:
        MiniMax, MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention, 2025. https://arxiv.org/abs/2506.13585
    """
    weight = within(lax.stop_gradient(ratio_to(log_probs, old_log_probs)), low, high)
    return -lax.stop_gradient(weight * advantages) * log_probs


@loss("(),(),()->()", "real real real", constants="old_log_probs advantages", tau_positive="positive", tau_negative="positive")
@of_log_probs("log_probs")
def sapo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    *,
    tau_positive: float = 1.0,
    tau_negative: float = 1.05,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Soft adaptive policy optimisation: a sigmoid in place of the clip, so the gradient fades and does not stop.

    .. math::
        \ell = -\frac{4}{\tau} \sigma\bigl(\tau (\rho - 1)\bigr) A

    At ratio 1 the gradient is that of `ppo_clip`.

    Args:
        log_probs: Log-probability of each token under the policy.
        old_log_probs: Under the policy that generated it; no gradient.
        advantages: Of each token, as in `grpo`; no gradient.
        tau_positive: How fast the gradient fades where A > 0.
        tau_negative: Where it is not; larger is faster.

    >>> sapo(jnp.array(0.0), jnp.array(0.0), jnp.array(1.0))
    Array(-2., dtype=float32)

    References:
        Gao et al., Soft Adaptive Policy Optimization, 2025. https://arxiv.org/abs/2511.20347
    """
    advantages = lax.stop_gradient(advantages)
    tau = jnp.where(advantages > 0, tau_positive, tau_negative)
    return -4 / tau * jax.nn.sigmoid(tau * (ratio_to(log_probs, old_log_probs) - 1)) * advantages


@loss("(t),(t),(t),(t)->()", "real real real mask", constants="old_log_probs advantages", clip_low="nonnegative", clip_high="nonnegative")
@at_the_door(_one_per_token)
@of_log_probs("log_probs")
def gmpo(
    log_probs: Array,
    old_log_probs: Array,
    advantages: Array,
    mask: Array | None = None,
    *,
    clip_low: float = 0.4,
    clip_high: float = 0.4,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Geometric-mean policy optimisation: the ratios of a response are averaged in logarithms, where outliers weigh less.

    .. math::
        \ell = -A \exp\Bigl(\frac{1}{\sum_t m_t} \sum_t m_t\, s \min\bigl(s\, l_t,\ s \operatorname{clip}(l_t, -\text{clip\_low},
        \text{clip\_high})\bigr)\Bigr) \qquad A = \operatorname{mean} A_t,\ s = \operatorname{sign} A

    with mask m and the log-ratios l, limited to +-20. A response without tokens is 0.

    Args:
        log_probs: Log-probability of each token under the policy.
        old_log_probs: Under the policy that generated it; no gradient.
        advantages: Of each token, as in `grpo`; no gradient.
        mask: Which tokens count; all by default.
        clip_low: Limit of log-ratios below 0.
        clip_high: Limit above 0.

    >>> gmpo(jnp.array([0.2, 0.9]), jnp.zeros(2), jnp.ones(2))
    Array(-1.3498589, dtype=float32)

    References:
        Zhao et al., Geometric-Mean Policy Optimization, 2025. https://arxiv.org/abs/2507.20673
    """
    log_probs, old, advantages = (masked_steps(x, mask) for x in (log_probs, old_log_probs, advantages))
    advantage = mean_over_steps(lax.stop_gradient(advantages), mask)
    log_ratio, sign = limited(log_probs - lax.stop_gradient(old)), jnp.sign(advantage)
    bounded = within(log_ratio, -clip_low, clip_high)
    smaller = select(sign * log_ratio <= sign * bounded, log_ratio, bounded)
    return -jnp.exp(mean_over_steps(smaller, mask)) * advantage


@loss("(),()->()", "real real", constants="advantages", temperature="positive", max_weight="nonnegative")
@of_log_probs("log_probs")
def awr(log_probs: Array, advantages: Array, *, temperature: float = 1.0, max_weight: float = 20.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Advantage-weighted regression: imitation of recorded actions, the better ones more. For offline data.

    .. math::
        \ell = -\min\bigl(e^{A / \text{temperature}}, \text{max\_weight}\bigr) \log p

    The exponent is at most 80. AWAC: ``max_weight=jnp.inf``; IQL: ``temperature=1/3, max_weight=100``, with advantages of `expectile`.

    Args:
        log_probs: Log-probability of each recorded action.
        advantages: How much better than expected it was; no gradient.
        temperature: Small is greedy.
        max_weight: Bound of the weights.

    >>> awr(jnp.array([-1.0, -1.0]), jnp.array([0.0, 9.0]), reduction="none")
    Array([ 1., 20.], dtype=float32)

    References:
        Peng et al., Advantage-Weighted Regression, 2019. https://arxiv.org/abs/1910.00177
        Kostrikov, Nair, Levine, Offline Reinforcement Learning with Implicit Q-Learning, 2021. https://arxiv.org/abs/2110.06169
    """
    exponent = lax.stop_gradient(advantages) / temperature
    return -jnp.minimum(jnp.exp(clipped(exponent, -math.inf, LARGEST_EXPONENT)), max_weight) * log_probs


@loss("(),()->()", "real real", alpha="nonnegative")
@of_log_probs("log_probs")
def sac_policy(log_probs: Array, q_values: Array, *, alpha: float = 0.2, **reduce: Unpack[Reduce]) -> Array:
    r"""The actor of soft actor-critic: high value and high entropy.

    .. math::
        \ell = \alpha \log p - Q

    Both inputs are of an action drawn with the reparametrisation trick, and both are differentiated; keep the critic's parameters
    constant yourself.

    Args:
        log_probs: Log-probability of the drawn action.
        q_values: Its value, the smaller one of two critics.
        alpha: Weight of the entropy.

    >>> sac_policy(jnp.array(-1.0), jnp.array(2.0))
    Array(-2.2, dtype=float32)

    References:
        Haarnoja et al., Soft Actor-Critic Algorithms and Applications, 2018. https://arxiv.org/abs/1812.05905
    """
    return alpha * log_probs - q_values


@loss("(),()->()", "real real", constants="log_probs")
def sac_temperature(log_alpha: Array, log_probs: Array, *, target_entropy: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Tunes the weight of the entropy in soft actor-critic, until the entropy is `target_entropy`.

    .. math::
        \ell = -e^{\text{log\_alpha}} (\log p + \text{target\_entropy})

    Its exponent is at most 80. Stable-Baselines3 multiplies by ``log_alpha`` itself: another gradient, the same solution.

    Args:
        log_alpha: Logarithm of the weight; one number, or one per example.
        log_probs: Log-probability of the drawn action; no gradient.
        target_entropy: Usually minus the number of dimensions of an action.

    >>> sac_temperature(jnp.array(0.0), jnp.array(-1.0), target_entropy=-2.0)
    Array(3., dtype=float32)

    References:
        Haarnoja et al., Soft Actor-Critic Algorithms and Applications, 2018. https://arxiv.org/abs/1812.05905
    """
    return -jnp.exp(clipped(log_alpha, -math.inf, LARGEST_EXPONENT)) * (lax.stop_gradient(log_probs) + target_entropy)


def limited(log_ratio: Array) -> Array:
    """A log-ratio within +-20, without gradient beyond: the exponential of 100 overflows, and inf times a gradient of 0 is NaN."""
    return clipped(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def ratio_to(log_probs: Array, old_log_probs: Array) -> Array:
    """The ratio to the probability under the policy that took the action, which is a constant."""
    return jnp.exp(limited(log_probs - lax.stop_gradient(old_log_probs)))


def clipped_surrogate(ratio: Array, advantages: Array, clip_low: Array | float, clip_high: Array | float) -> Array:
    """The smaller one of the surrogates with and without clipping; where both are equal, as at a bound of 1, the one with a gradient."""
    surrogate, bounded = ratio * advantages, within(ratio, 1 - clip_low, 1 + clip_high) * advantages
    return select(surrogate <= bounded, surrogate, bounded)


def within(x: Array, low: Array | float, high: Array | float) -> Array:
    """`jnp.clip` that at a limit has the whole gradient; a limit that is NaN gives NaN."""
    x = jnp.where((x >= low) | jnp.isnan(x), x, low)
    return jnp.where((x <= high) | jnp.isnan(x), x, high)
