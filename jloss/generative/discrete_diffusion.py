"""Diffusion and flows over tokens: a network restores what was masked or exchanged.

Class indices out of range give NaN where they count, and do not matter where they do not. BERT, MaskGIT and masked pretraining are
`cross_entropy` with `where`.
"""

import math
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce
from jloss.generative._numbers import times
from jloss.numerics import log1mexp, safe_exp
from jloss.numerics._special import exp_remainder, expm1, surprisal
from jloss.numerics.guards import exp_plus


@loss("(t,k),(t),(t),(),(t)->()", "real class mask nonnegative mask")
@hint(straight=True)
def masked_diffusion(
    logits: Array,
    labels: Array,
    masked: Array,
    rate: Array,
    mask: Array | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The bound of a masked diffusion language model: the surprisal of the hidden tokens, times the rate at which they appear.

    .. math::
        \ell = \frac{\text{rate}}{n} \sum_{t \text{ hidden}} -\log \text{softmax}(\text{logits}_t)[\text{labels}_t]
        \qquad \text{rate} = \frac{-\alpha'(s)}{1 - \alpha(s)}

    n counts the valid positions, hidden or not. The rate is 1/s for the linear schedule. Positions that are not hidden, or not valid,
    have no influence, whatever their labels and logits; if nothing is hidden the loss is 0. Leave the logit of the mask token out, or
    give -inf. Through `linear_head` the logits need not exist.

    Args:
        logits: Scores of the tokens at each position.
        labels: The true tokens.
        masked: True where the input token was hidden.
        rate: One for each sequence.
        mask: True where a position is valid, not padding; all by default.

    >>> masked_diffusion(jnp.zeros((4, 2)), jnp.array([0, 1, 1, 0]), jnp.array([True, False, True, False]), jnp.array(2.0))
    Array(0.6931472, dtype=float32)

    References:
        Sahoo et al., Simple and Effective Masked Diffusion Language Models, 2024. https://arxiv.org/abs/2406.07524
        Nie et al., Large Language Diffusion Models, 2025. https://arxiv.org/abs/2502.09992
    """
    counts = masked if mask is None else masked & mask
    surprises = jax.vmap(surprisal)(jnp.where(counts[:, None], logits, 0.0), jnp.where(counts, labels, 0))
    total = jnp.sum(jnp.where(counts, surprises, 0.0))
    number = jnp.asarray(labels.shape[0]).astype(jnp.int32) if mask is None else jnp.sum(mask, dtype=jnp.int32)
    return times(rate, total / jnp.where(number == 0, 1, number).astype(total.dtype))


@loss("(k),(),(),()->()", "real class class positive")
def score_entropy(
    log_scores: Array,
    labels: Array,
    noisy: Array,
    sigma: Array,
    *,
    graph: Literal["absorbing", "uniform"] = "absorbing",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Fits the ratios of probabilities that undo a random walk over tokens: SEDD, for one token.

    .. math::
        \ell = \sum_{y \ne \text{noisy}} Q_y \bigl(e^{s_y} - c_y s_y + c_y (\log c_y - 1)\bigr)
        \qquad c_y = \frac{p(y \mid \text{label}, \sigma)}{p(\text{noisy} \mid \text{label}, \sigma)}

    Of 0 or more, and 0 at the true ratios c. "absorbing": the mask is the last class, Q is 1, a token that is not masked costs 0, and the
    only ratio is ``1 / expm1(sigma)``, of the label. "uniform": Q is 1/k, and tokens jump to any class. The score of the noisy token itself
    is not looked at. Multiply with the rate of sigma outside.

    Args:
        log_scores: Logarithms of the ratios for each token, s.
        labels: The clean token; with "absorbing", not the mask.
        noisy: The token that the network saw.
        sigma: The total noise, one for each token; it has a gradient.
        graph: ``"absorbing"`` or ``"uniform"``.

    >>> score_entropy(jnp.zeros(3), 0, 2, jnp.log(2.0))
    Array(1., dtype=float32)

    References:
        Lou, Meng, Ermon, Discrete Diffusion Modeling by Estimating the Ratios of the Data Distribution, 2024.
        https://arxiv.org/abs/2310.16834
    """
    k = log_scores.shape[0]
    classes = jnp.arange(k, dtype=labels.dtype)
    is_label, other = classes == labels, classes != noisy
    scores = jnp.where(other, log_scores, 0.0)
    if graph == "absorbing":
        terms = select(is_label, _bregman(scores, -_log_expm1(sigma)), safe_exp(scores))
        valid, counts = (labels >= 0) & (labels < k - 1), noisy == k - 1
        value = jnp.where(counts, jnp.where(valid, _sum_where(terms, other), jnp.nan), 0.0)
    else:
        moved = log1mexp(-sigma)  # the logarithm of the chance of a jump, to any class
        jump, stay = moved - math.log(k), jnp.log1p(-jnp.exp(moved) * (1 - 1 / k))
        ratios = jnp.where(is_label, stay, jump) - jnp.where(noisy == labels, stay, jump)
        value = _sum_where(_bregman(scores, ratios), other) / k
        value = jnp.where((labels >= 0) & (labels < k), value, jnp.nan)
    return jnp.where((noisy >= 0) & (noisy < k), value, jnp.nan)


@loss("(k),(),(),()->()", "real class class nonnegative")
def discrete_flow_matching(logits: Array, labels: Array, noisy: Array, rate: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Discrete flow matching along the path that exchanges noise for data token by token: one token.

    .. math::
        \ell = -\text{rate} \bigl(p_\text{noisy} - [\text{noisy} = \text{label}] + [\text{noisy} \ne \text{label}] \log p_\text{label}\bigr)
        \qquad p = \text{softmax}(\text{logits}),\ \text{rate} = \frac{\alpha'}{1 - \alpha}

    The generalised divergence of the jump rates. Of 0 or more: a token that is in place costs ``rate (1 - p_label)``, any other its
    surprisal less the probability that it stays.

    Args:
        logits: Scores of the clean token.
        labels: The clean token.
        noisy: The token that the network saw.
        rate: Of the schedule, one for each token.

    >>> discrete_flow_matching(jnp.zeros(2), 0, 0, jnp.array(2.0))
    Array(1., dtype=float32)

    References:
        Gat et al., Discrete Flow Matching, 2024. https://arxiv.org/abs/2407.15595
        Shaul et al., Flow Matching with General Discrete Paths, 2025. https://arxiv.org/abs/2412.03487
    """
    label, seen = surprisal(logits, labels), surprisal(logits, noisy)
    return times(rate, jnp.where(noisy == labels, -expm1(-label), label - jnp.exp(-seen)))


def _sum_where(terms: Array, keep: Array) -> Array:
    return jnp.sum(jnp.where(keep, terms, 0.0))


def _log_expm1(x: Array) -> Array:
    """``log(exp(x) - 1)`` of a positive number, without overflow."""
    return x + log1mexp(-x)


def _bregman(scores: Array, log_ratios: Array) -> Array:
    """``exp(s) - c s + c (log c - 1)``, of 0 or more: the digits that cancel near a match are never made."""
    never = log_ratios == -jnp.inf
    gap, ratio = scores - select(never, 0.0, log_ratios), jnp.exp(log_ratios)
    near = (jnp.abs(gap) < 0.5) & ~never
    return select(near, ratio * exp_remainder(select(near, gap, 0.0)), exp_plus(scores, -ratio * (1 + select(near, 0.0, gap))))
