r"""Preferences: of two responses to one prompt, people chose one. The policy learns it without a reward model.

Inputs are log-probabilities of whole responses, one number each: those of `sequence_log_prob`, sums over the tokens; where a loss says
"mean", divided by the number of tokens. ``linear_head(dpo)`` takes hidden states, kernel and labels instead and never holds the logits.
References are those of the frozen model in which training started; they have no gradient, and are 0 if both are left out. Everywhere
:math:`c = \text{chosen} - \text{reference\_chosen}` and :math:`r = \text{rejected} - \text{reference\_rejected}`, differences in
float32 or wider, whatever comes in: sums of hundreds have no digits left for them in bfloat16. Logistic terms are exact at +-1e4.
"""

from typing import Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.backend import is_known_zero, select
from jloss._core.log_probs import of_log_probs
from jloss._core.loss import at_the_door, loss
from jloss._core.signature import Reduce
from jloss._core.sorting import order_of
from jloss.language._references import both_or_neither, over_reference, smoothing_fits
from jloss.numerics import clipped, log1mexp, positive_part, safe_divide, softplus
from jloss.numerics._special import scaled_expm1

LARGEST_EXPONENT = 80.0  # its exponential, and the sum of a few thousand, fits into float32
LARGEST_GAP = 1e4  # whose logistic function is 0 or 1 also in float64
NO_ODDS = -(2.0**-126)  # The log-probability whose odds stand for those of probability 1: the last normal float32 below 0.


@loss(
    "(),(),(),(),()->()",
    "real real real real real",
    constants="reference_chosen reference_rejected",
    beta="positive",
    label_smoothing="unit",
    tau="positive",
)
@at_the_door(smoothing_fits)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def dpo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    margin: Array | None = None,
    *,
    beta: float = 0.1,
    variant: Literal["sigmoid", "hinge", "ipo", "exo", "robust", "discopop"] = "sigmoid",
    label_smoothing: float = 0.0,
    tau: float = 0.05,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Direct preference optimisation: the chosen response gains probability over the rejected one, relative to a reference.

    .. math::
        \ell = (1 - s) \log(1 + e^{-z}) + s \log(1 + e^z) \qquad z = \beta (c - r) - \text{margin}

    with `label_smoothing` s, the share of wrong preferences (cDPO). The other variants, with :math:`p = \sigma(z)`:

    - ``"hinge"``: :math:`\max(0, 1 - z)`.
    - ``"ipo"``: :math:`(c - r - 1 / (2 \beta))^2`, without the margin. The paper has sums; its authors and TRL feed means per token.
    - ``"exo"``: :math:`p \log\frac{p}{1 - s} + (1 - p) \log\frac{1 - p}{s}`; needs a smoothing above 0, usually 1e-3.
    - ``"robust"``: :math:`\bigl((1 - s) \log(1 + e^{-z}) - s \log(1 + e^z)\bigr) / (1 - 2s)`, unbiased where a share s is wrong; s < 1/2.
    - ``"discopop"``: :math:`(1 - m) \log(1 + e^{-z}) + m e^{-z}` with :math:`m = \sigma(z / \tau)`; the exponent is at most 80.

    Only the difference counts, so both probabilities may fall; `dpop` and `apo` stop that. Without a reference model see `simpo`.

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        reference_chosen: What the reference gives the chosen response; no gradient.
        reference_rejected: What it gives the rejected one; no gradient.
        margin: How much better the chosen one is (ODPO); ``-alpha * (length_chosen - length_rejected)`` is R-DPO.
        beta: How far the policy may move from the reference: small is far.
        variant: The function of the difference.
        label_smoothing: Share of preferences that are wrong; not used by ``"hinge"``, ``"ipo"``, ``"discopop"``.
        tau: Temperature of the blend of ``"discopop"``.

    >>> dpo(jnp.array([-10.0, -12.0]), jnp.array([-11.0, -9.0]), reduction="none")
    Array([0.6443967, 0.8543552], dtype=float32)

    References:
        Rafailov et al., Direct Preference Optimization, 2023. https://arxiv.org/abs/2305.18290
        Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences (IPO), 2023. https://arxiv.org/abs/2310.12036
    """
    gap = over_reference(chosen, reference_chosen) - over_reference(rejected, reference_rejected)
    if variant == "ipo":
        return jnp.square(gap - 0.5 / beta)
    z = beta * gap if margin is None else beta * gap - margin
    if variant == "hinge":
        return positive_part(1 - z)
    if variant == "robust":
        return ((1 - label_smoothing) * softplus(-z) - label_smoothing * softplus(z)) / (1 - 2 * label_smoothing)
    if variant == "exo":
        if is_known_zero(label_smoothing):
            raise ValueError('dpo: `label_smoothing` must be above 0 for variant="exo" (1e-3 is usual), got 0.')
        z = clipped(z, -LARGEST_GAP, LARGEST_GAP)  # beyond it, as at infinity, one of both terms is 0, and not 0 times infinity
        share = jax.nn.sigmoid(z)
        right = -softplus(-z) - jnp.log1p(-label_smoothing)
        return share * right + (1 - share) * (-softplus(z) - jnp.log(label_smoothing))
    if variant == "discopop":
        lost = z == -jnp.inf  # there all is softplus, whose slope is -1; its product with the blend has infinity times 0
        finite = select(lost, 0.0, z)
        blend = jax.nn.sigmoid(finite / tau)
        return select(lost, softplus(-z), softplus(-finite) * (1 - blend) + bounded_exp(-finite) * blend)
    return smoothed_logistic(z, label_smoothing)


@loss("(),()->()", "nonpositive nonpositive", beta="nonnegative")
@of_log_probs("chosen rejected", steps="mean")
def orpo(chosen: Array, rejected: Array, *, beta: float = 0.1, **reduce: Unpack[Reduce]) -> Array:
    r"""Supervised fine-tuning on the chosen response, plus its odds over the rejected one: one stage, no reference model.

    .. math::
        \ell = -\text{chosen} + \beta \log(1 + e^{-o}) \qquad
        o = \log\frac{e^{\text{chosen}}}{1 - e^{\text{chosen}}} - \log\frac{e^{\text{rejected}}}{1 - e^{\text{rejected}}}

    Both inputs are means per token, at most 0. The odds are exact for tiny log-probabilities, too; probability 1, whose odds are
    infinite, has those of the log-probability :math:`-2^{-126}`, and no gradient through them.

    Args:
        chosen: Mean log-probability per token of the chosen response.
        rejected: Of the rejected one.
        beta: Weight of the odds (the paper's lambda).

    >>> orpo(jnp.array(-0.5), jnp.array(-1.0))
    Array(0.53203, dtype=float32)

    References:
        Hong, Lee, Thorne, ORPO: Monolithic Preference Optimization without Reference Model, 2024. https://arxiv.org/abs/2403.07691
    """
    return -chosen + beta * softplus(log_odds(rejected) - log_odds(chosen))


@loss("(),()->()", "real real", beta="positive", label_smoothing="unit")
@of_log_probs("chosen rejected", steps="mean")
def simpo(
    chosen: Array, rejected: Array, *, beta: float = 2.0, gamma: float = 0.5, label_smoothing: float = 0.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Preference by mean log-probabilities with a margin: no reference model, and no reward for length.

    .. math::
        \ell = (1 - s) \log(1 + e^{-z}) + s \log(1 + e^z) \qquad z = \beta (\text{chosen} - \text{rejected}) - \gamma

    with `label_smoothing` s. `gamma` is the paper's margin of rewards, and TRL's ``simpo_gamma``; the authors' code has its ratio to beta.

    Args:
        chosen: Mean log-probability per token of the chosen response.
        rejected: Of the rejected one.
        beta: Scale of the reward; 2.0 to 2.5 is usual.
        gamma: By how much the rewards should differ.
        label_smoothing: Share of preferences that are wrong.

    >>> simpo(jnp.array(-0.5), jnp.array(-1.0))
    Array(0.47407696, dtype=float32)

    References:
        Meng, Xia, Chen, SimPO: Simple Preference Optimization with a Reference-Free Reward, 2024. https://arxiv.org/abs/2405.14734
    """
    return smoothed_logistic(beta * (chosen - rejected) - gamma, label_smoothing)


@loss("(),(),()->()", "real real real", label_smoothing="unit", centering="nonnegative")
def bradley_terry(
    chosen: Array,
    rejected: Array,
    margin: Array | None = None,
    *,
    label_smoothing: float = 0.0,
    centering: float = 0.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Trains a reward model: the chosen response is to have the higher reward.

    .. math::
        \ell = (1 - s) \log(1 + e^{-z}) + s \log(1 + e^z) + \kappa (\text{chosen} + \text{rejected})^2
        \qquad z = \text{chosen} - \text{rejected} - \text{margin}

    with `label_smoothing` s and `centering` :math:`\kappa`. Only differences of rewards count; centering fixes their zero.

    Args:
        chosen: Reward of the chosen response.
        rejected: Of the rejected one.
        margin: By how much they should differ.
        label_smoothing: Share of preferences that are wrong.
        centering: Pulls the sum of both rewards to 0; 0.01 is usual.

    >>> bradley_terry(jnp.array(2.0), jnp.array(1.0))
    Array(0.3132617, dtype=float32)

    References:
        Ouyang et al., Training Language Models to Follow Instructions with Human Feedback, 2022. https://arxiv.org/abs/2203.02155
        Eisenstein et al., Helping or Herding? Reward Model Ensembles (centering), 2023. https://arxiv.org/abs/2312.09244
    """
    gap = chosen - rejected
    preference = smoothed_logistic(gap if margin is None else gap - margin, label_smoothing)
    return preference if is_known_zero(centering) else preference + centering * jnp.square(chosen + rejected)


@loss("(),()->()", "real real", beta="positive", label_smoothing="unit")
@of_log_probs("chosen rejected", steps="sum")
def cpo(
    chosen: Array, rejected: Array, *, beta: float = 0.1, alpha: float = 1.0, label_smoothing: float = 0.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""`dpo` without a reference model, held in place by the likelihood of the chosen response.

    .. math::
        \ell = (1 - s) \log(1 + e^{-z}) + s \log(1 + e^z) - \alpha\, \text{chosen} \qquad z = \beta (\text{chosen} - \text{rejected})

    with `label_smoothing` s. Its likelihood term is of the whole response, as in the paper; TRL's is the mean over all tokens.

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        beta: Scale of the difference.
        alpha: Weight of the likelihood; 0 leaves it out.
        label_smoothing: Share of preferences that are wrong.

    >>> cpo(jnp.array(-1.0), jnp.array(-2.0), alpha=0.0)
    Array(0.6443967, dtype=float32)

    References:
        Xu et al., Contrastive Preference Optimization, 2024. https://arxiv.org/abs/2401.08417
    """
    return smoothed_logistic(beta * (chosen - rejected), label_smoothing) - alpha * chosen


@loss("(),(),()->()", "real real real", delta="nonnegative")
@of_log_probs("chosen rejected", steps="sum")
def slic(
    chosen: Array, rejected: Array, target: Array | None = None, *, delta: float = 1.0, weight: float = 1.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Sequence calibration: the chosen response leads by a margin, and a supervised target stays likely.

    .. math::
        \ell = \max(0, \delta - \text{chosen} + \text{rejected}) - \text{weight} \cdot \text{target}

    Once the lead is `delta`, the pair has gradient 0.

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        target: Log-probability of the supervised response, which has a gradient; 0 by default.
        delta: The lead that is enough.
        weight: Of the supervised response.

    >>> slic(jnp.array(-1.0), jnp.array(-1.5))
    Array(0.5, dtype=float32)

    References:
        Zhao et al., SLiC-HF: Sequence Likelihood Calibration with Human Feedback, 2023. https://arxiv.org/abs/2305.10425
    """
    calibration = positive_part(delta - chosen + rejected)
    return calibration if target is None else calibration - weight * target


@loss("(),(),(),()->()", "real real real real", constants="reference_chosen reference_rejected", beta="positive")
@at_the_door(both_or_neither)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def apo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    *,
    beta: float = 0.1,
    anchor: Literal["zero", "down"] = "zero",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Anchored preference: says where the chosen response itself is to go, not only that it is to lead.

    .. math::
        \ell_\text{zero} = 1 - \sigma(\beta c) + \sigma(\beta r) \qquad \ell_\text{down} = \sigma(\beta c) + 1 - \sigma(\beta (c - r))

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        reference_chosen: What the reference gives the chosen response; no gradient.
        reference_rejected: What it gives the rejected one; no gradient.
        beta: Scale of the log-ratios.
        anchor: ``"zero"`` where chosen responses are better than the policy's, ``"down"`` where the policy's are better than both.

    >>> apo(jnp.array(0.0), jnp.array(0.0))
    Array(1., dtype=float32)

    References:
        D'Oosterlinck et al., Anchored Preference Optimization, 2024. https://arxiv.org/abs/2408.06266
    """
    c, r = over_reference(chosen, reference_chosen), over_reference(rejected, reference_rejected)
    if anchor == "down":
        return jax.nn.sigmoid(beta * c) + jax.nn.sigmoid(-beta * (c - r))
    return jax.nn.sigmoid(-beta * c) + jax.nn.sigmoid(beta * r)


@loss("(),(),(),()->()", "real real real real", constants="reference_chosen reference_rejected", beta="positive")
@at_the_door(both_or_neither)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def f_dpo(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    *,
    divergence: Literal["forward_kl", "js", "alpha"] = "js",
    alpha: float = 0.5,
    beta: float = 0.1,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`dpo` that stays near the reference by another divergence than the reverse KL, for more variety.

    .. math::
        \ell = \log\bigl(1 + e^{-\beta (f'(c) - f'(r))}\bigr) \qquad f'(u) = \begin{cases}
            1 - e^{-u} & \text{forward\_kl} \\ \log(2 \sigma(u)) & \text{js} \\ (e^{(\alpha - 1) u} - 1) / (\alpha - 1) & \text{alpha}
        \end{cases}

    Exponents are at most 80, and beyond that without gradient. At ``alpha=1`` the last one is `dpo`, smoothly.

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        reference_chosen: What the reference gives the chosen response; no gradient.
        reference_rejected: What it gives the rejected one; no gradient.
        divergence: Between policy and reference.
        alpha: Of ``"alpha"``; 0 is ``"forward_kl"``.
        beta: Scale of the difference.

    >>> f_dpo(jnp.array(-1.0), jnp.array(-2.0), divergence="alpha", alpha=1.0)
    Array(0.6443967, dtype=float32)

    References:
        Wang et al., Beyond Reverse KL: Generalizing Direct Preference Optimization, 2023. https://arxiv.org/abs/2309.16240
    """

    def slope(u: Array) -> Array:
        if divergence == "js":
            return -softplus(-u)
        order = jnp.asarray(alpha - 1 if divergence == "alpha" else -1.0, u.dtype)
        return scaled_expm1(select(order * u > LARGEST_EXPONENT, safe_divide(LARGEST_EXPONENT * jnp.ones_like(u), order), u), order)

    c, r = over_reference(chosen, reference_chosen), over_reference(rejected, reference_rejected)
    return softplus(-beta * (slope(c) - slope(r)))


@loss("(),(),(),()->()", "real real real real", constants="reference_chosen reference_rejected", beta="positive")
@at_the_door(both_or_neither)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def nca(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    *,
    beta: float = 0.1,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Noise contrastive alignment: rewards themselves are pulled to 0, so the chosen response does not lose probability.

    .. math::
        \ell = \log(1 + e^{-\beta c}) + \tfrac12 \log(1 + e^{\beta c}) + \tfrac12 \log(1 + e^{\beta r})

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        reference_chosen: What the reference gives the chosen response; no gradient.
        reference_rejected: What it gives the rejected one; no gradient.
        beta: Scale of the log-ratios.

    >>> nca(jnp.array(0.0), jnp.array(0.0))
    Array(1.3862944, dtype=float32)

    References:
        Chen et al., Noise Contrastive Alignment of Language Models with Explicit Rewards, 2024. https://arxiv.org/abs/2402.05369
    """
    c, r = over_reference(chosen, reference_chosen), over_reference(rejected, reference_rejected)
    return softplus(-beta * c) + 0.5 * (softplus(beta * c) + softplus(beta * r))


@loss("(),(),(),()->()", "real real real real", constants="reference_chosen reference_rejected", beta="positive", penalty="nonnegative")
@at_the_door(both_or_neither)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def dpop(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    *,
    beta: float = 0.1,
    penalty: float = 50.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`dpo` that punishes a chosen response for falling below its probability under the reference (DPO-Positive, Smaug).

    .. math::
        \ell = \log\bigl(1 + e^{-z}\bigr) \qquad z = \beta \bigl(c - r - \text{penalty} \cdot \max(0, -c)\bigr)

    For pairs that differ in a few tokens, on which `dpo` lowers both probabilities. Exactly at c = 0 the penalty has gradient 0.

    Args:
        chosen: Log-probability of the chosen response.
        rejected: Of the rejected one.
        reference_chosen: What the reference gives the chosen response; no gradient.
        reference_rejected: What it gives the rejected one; no gradient.
        beta: Scale of the log-ratios.
        penalty: Of each nat below the reference.

    >>> dpop(jnp.array(-1.0), jnp.array(-2.0), jnp.array(-0.9), jnp.array(-2.0))
    Array(0.9803134, dtype=float32)

    References:
        Pal et al., Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive, 2024. https://arxiv.org/abs/2402.13228
    """
    c, r = over_reference(chosen, reference_chosen), over_reference(rejected, reference_rejected)
    return softplus(-beta * (c - r - penalty * positive_part(-c)))


@loss(
    "(n),(n),(n),(n),(n)->()",
    "real real real real mask",
    constants="reference_chosen reference_rejected",
    beta="positive",
    label_smoothing="unit",
)
@at_the_door(both_or_neither)
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def aot(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    mask: Array | None = None,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    paired: bool = True,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Alignment by optimal transport: the distribution of rewards is to dominate, quantile by quantile; a set is one example.

    .. math::
        \ell = \frac1n \sum_i (1 - s) \log(1 + e^{-z_i}) + s \log(1 + e^{z_i}) \qquad z_i = \beta (u_{(i)} - v_{(i)})

    with `label_smoothing` s, of the sorted numbers: u = chosen - rejected and v the same of the reference, or u = c and v = r where not
    `paired`. The orders are constants for the gradient. An empty set is 0.

    Args:
        chosen: Log-probabilities of the chosen responses.
        rejected: Of the rejected ones.
        reference_chosen: What the reference gives the chosen responses; no gradient.
        reference_rejected: What it gives the rejected ones; no gradient.
        mask: Which pairs count; all by default.
        beta: Scale of the difference.
        label_smoothing: Share of preferences that are wrong.
        paired: Whether a chosen and a rejected response belong together; if not, they may be of different prompts.

    >>> aot(jnp.array([-1.0, -3.0]), jnp.array([-2.0, -2.0]), beta=1.0)
    Array(0.8132617, dtype=float32)

    References:
        Melnyk et al., Distributional Preference Alignment of LLMs via Optimal Transport, 2024. https://arxiv.org/abs/2406.05882
    """
    if paired:
        u = chosen - rejected
        v = over_reference(jnp.zeros_like(u), reference_rejected) - over_reference(jnp.zeros_like(u), reference_chosen)
    else:
        u, v = over_reference(chosen, reference_chosen), over_reference(rejected, reference_rejected)
    losses = smoothed_logistic(beta * (ascending(u, mask) - ascending(v, mask)), label_smoothing)
    if mask is None:
        return jnp.mean(losses)
    count = jnp.sum(mask, dtype=jnp.int32)
    return safe_divide(jnp.sum(select(jnp.arange(u.shape[0], dtype=jnp.int32) < count, losses, 0.0)), count.astype(u.dtype))


def smoothed_logistic(z: Array, label_smoothing: Array | float) -> Array:
    """``log(1 + exp(-z))``, or for a share of the labels that are wrong ``log(1 + exp(z))``."""
    if is_known_zero(label_smoothing):
        return softplus(-z)
    return (1 - label_smoothing) * softplus(-z) + label_smoothing * softplus(z)


def bounded_exp(x: Array) -> Array:
    """The exponential of at most 80, without gradient beyond."""
    return jnp.exp(select(x > LARGEST_EXPONENT, LARGEST_EXPONENT, x))


def log_odds(log_p: Array) -> Array:
    """``log(p / (1 - p))`` of a log-probability."""
    log_p = select(log_p >= NO_ODDS, NO_ODDS, log_p)
    return log_p - log1mexp(log_p)


def ascending(x: Array, mask: Array | None) -> Array:
    """The numbers that count in ascending order, NaN last of them; then zeros."""
    if mask is None:
        return x[order_of(x)]
    x = select(mask, x, 0.0)
    order = order_of(x)
    return x[order[order_of(select(mask[order], 0.0, jnp.ones_like(x)))]]
