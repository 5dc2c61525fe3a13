r"""Feedback on single responses: liked or not, how often it wins, or to be forgotten. No pairs are needed.

Inputs are as in `jloss.language.preference`: log-probabilities of whole responses, and those that a frozen reference gives them, under
`stop_gradient`. Everywhere :math:`u = \text{log\_probs} - \text{reference\_log\_probs}`, in float32 or wider.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.log_probs import of_log_probs
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.language._references import over_reference
from jloss.numerics import positive_part, select_by_sign, softplus


@loss(
    "(),(),(),()->()",
    "real real sign real",
    constants="reference_log_probs kl",
    beta="positive",
    desirable_weight="nonnegative",
    undesirable_weight="nonnegative",
)
@of_log_probs("log_probs reference_log_probs", steps="sum")
def kto(
    log_probs: Array,
    reference_log_probs: Array,
    signs: Array,
    kl: Array,
    *,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Kahneman-Tversky optimisation: learns from thumbs up and thumbs down, however unevenly they come.

    .. math::
        \ell = w \bigl(1 - \sigma(\text{sign} \cdot \beta (u - \max(0, \text{kl})))\bigr)

    with the weight w of the sign. `kl` is the point of reference: the batch's mean log-ratio of responses to prompts that they do not
    belong to. It has no gradient; a number without batch axes is shared by all. With ``kl=0`` it is TRL's apo_zero_unpaired.

    Args:
        log_probs: Log-probability of the response.
        reference_log_probs: What the reference gives it; no gradient.
        signs: +1 (or True) for a desirable response, -1 (or False) for an undesirable one.
        kl: Estimate of how far the policy is from the reference; no gradient.
        beta: Scale of the log-ratio.
        desirable_weight: Weight of desirable responses.
        undesirable_weight: Weight of undesirable ones.

    >>> kto(jnp.array([-1.0, -1.0]), jnp.array([-2.0, -2.0]), jnp.array([1, -1]), 0.0, reduction="none")
    Array([0.4750208, 0.5249792], dtype=float32)

    References:
        Ethayarajh et al., KTO: Model Alignment as Prospect Theoretic Optimization, 2024. https://arxiv.org/abs/2402.01306
    """
    gain = signs * beta * (over_reference(log_probs, reference_log_probs) - positive_part(lax.stop_gradient(kl)))
    return select_by_sign(signs, desirable_weight * jax.nn.sigmoid(-gain), undesirable_weight * jax.nn.sigmoid(-gain))


@loss("(),(),()->()", "real real sign", constants="reference_log_probs", beta="positive")
@of_log_probs("log_probs reference_log_probs", steps="sum")
def bco(
    log_probs: Array, reference_log_probs: Array, signs: Array, *, beta: float = 0.1, shift: float = 0.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Binary classifier optimisation: the log-ratio is the logit of a classifier of liked against disliked responses.

    .. math::
        \ell = \log\bigl(1 + e^{-\text{sign} (\beta u - \text{shift})}\bigr)

    Args:
        log_probs: Log-probability of the response.
        reference_log_probs: What the reference gives it; no gradient.
        signs: +1 (or True) for a desirable response, -1 (or False) for an undesirable one.
        beta: Scale of the log-ratio.
        shift: The reward at which a response is as good as not: the mean of both sides' running means.

    >>> bco(jnp.array([-1.0, -1.0]), jnp.array([-2.0, -2.0]), jnp.array([1, -1]), reduction="none")
    Array([0.6443967, 0.7443967], dtype=float32)

    References:
        Jung et al., Binary Classifier Optimization for Large Language Model Alignment, 2024. https://arxiv.org/abs/2404.04656
    """
    return softplus(-signs * (beta * over_reference(log_probs, reference_log_probs) - shift))


@loss("(),(),()->()", "real real unit", constants="reference_log_probs", beta="positive")
@of_log_probs("log_probs reference_log_probs", steps="sum")
def sppo(log_probs: Array, reference_log_probs: Array, win_rates: Array, *, beta: float = 0.1, **reduce: Unpack[Reduce]) -> Array:
    r"""Self-play preference optimisation: the log-ratio regresses on how often a response beats the policy's others.

    .. math::
        \ell = \Bigl(u - \frac{\text{win\_rate} - 1/2}{\beta}\Bigr)^2

    The sum over a pair at win rates 1 and 0 is TRL's sppo_hard.

    Args:
        log_probs: Log-probability of the response.
        reference_log_probs: What the previous policy gives it; no gradient.
        win_rates: Probability that the response wins, from 0 to 1.
        beta: Inverse of the step (the paper's 1/eta; 1e-3 there).

    >>> sppo(jnp.array(-1.0), jnp.array(-2.0), 1.0)
    Array(16., dtype=float32)

    References:
        Wu et al., Self-Play Preference Optimization for Language Model Alignment, 2024. https://arxiv.org/abs/2405.00675
    """
    return jnp.square(over_reference(log_probs, reference_log_probs) - (win_rates - 0.5) / beta)


@loss("(),()->()", "real real", constants="reference_log_probs", beta="positive")
@of_log_probs("log_probs reference_log_probs", steps="sum")
def npo(log_probs: Array, reference_log_probs: Array, *, beta: float = 0.1, **reduce: Unpack[Reduce]) -> Array:
    r"""Negative preference optimisation: unlearns a response, and lets go of it once it is unlikely.

    .. math::
        \ell = \frac{2}{\beta} \log\bigl(1 + e^{\beta u}\bigr)

    Its gradient is that of ``2 * log_probs`` times a factor below 1 that vanishes with the response; as `beta` goes to 0 the
    factor is 1/2 and it becomes gradient ascent, which tears a model apart.

    Args:
        log_probs: Log-probability of the response to forget.
        reference_log_probs: What the reference gives it; no gradient.
        beta: How soon it lets go.

    >>> npo(jnp.array(-1.0), jnp.array(-1.0))
    Array(13.862944, dtype=float32)

    References:
        Zhang et al., Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning, 2024.
        https://arxiv.org/abs/2404.05868
    """
    return 2 / beta * softplus(beta * over_reference(log_probs, reference_log_probs))
