r"""Classification into ordered classes: grades, ages, severities. A near miss costs less than a far one.

`labels` are ranks 0..k-1. `coral` and `corn` take k - 1 logits, one for each question "is the rank above j?"; `squared_emd` takes
k logits of a softmax.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce
from jloss.numerics import log_softmax, softplus


@loss("(k-1),()->()", "real class")
def coral(logits: Array, labels: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Ordered classes as k - 1 yes/no questions "is the rank above j?", each a sigmoid cross entropy, summed.

    .. math:: \ell = \sum_{j=0}^{k-2} \log\bigl(1 + e^{-s_j z_j}\bigr) \qquad s_j = +1 \text{ if } y > j \text{ else } -1

    with `logits` z and `labels` y. In the paper the logits share one score and differ by a bias per question, which makes the answers
    consistent; the loss does not enforce it. The predicted rank is the number of positive logits. Without the shared score
    see `corn`. The sum over questions is the paper's; some code takes their mean.

    Args:
        logits: Log-odds of "the rank is above j", for j = 0..k-2.
        labels: The rank; outside 0..k-1 the example is NaN.

    >>> coral(jnp.array([2.0, 0.0, -2.0]), jnp.array(1))
    Array(0.9470033, dtype=float32)

    References:
        Cao, Mirjalili and Raschka, Rank Consistent Ordinal Regression for Neural Networks, 2020. https://arxiv.org/abs/1901.07884
    """
    return _questions(logits, labels, asked=jnp.full(logits.shape, True))


@loss("(k-1),()->()", "real class")
def corn(logits: Array, labels: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Ordered classes as conditional questions "above j, given above j - 1?", asked only where the condition holds.

    .. math:: \ell = \sum_{j=0}^{\min(y,\, k-2)} \log\bigl(1 + e^{-s_j z_j}\bigr) \qquad s_j = +1 \text{ if } y > j \text{ else } -1

    with `logits` z and `labels` y. The probability of a rank above j is the product of the first j + 1 sigmoids, which never increases:
    consistent without tied weights. The authors' code divides the sum over a batch by the number of questions asked;
    here each example sums its own.

    Args:
        logits: Log-odds of "the rank is above j, given that it is above j - 1", for j = 0..k-2.
        labels: The rank; outside 0..k-1 the example is NaN.

    >>> corn(jnp.array([2.0, 0.0, -2.0]), jnp.array(1))
    Array(0.8200752, dtype=float32)

    References:
        Shi, Cao and Raschka, Deep Neural Networks for Rank-Consistent Ordinal Regression Based on Conditional Probabilities, 2021. https://arxiv.org/abs/2111.08851
    """
    return _questions(logits, labels, asked=jnp.arange(logits.shape[-1], dtype=labels.dtype) <= labels)


@loss("(k),()->()", "real class")
def squared_emd(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Squared distance between the cumulative distributions of softmax and label: a far class costs more than a near one.

    .. math:: \ell = \sum_j \Bigl(\sum_{c \le j} p_c - [y \le j]\Bigr)^2 \qquad p = \operatorname{softmax}(\text{logits})

    The distance between neighbouring classes is 1. Bounded by k - 1, and not convex in the logits; it is often added to
    `cross_entropy`. From probabilities it is the ranked probability score.

    Args:
        logits: Unnormalised log-probabilities of the classes in their order.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> squared_emd(jnp.array([0.0, 0.0, 0.0]), jnp.array([0]))
    Array(0.5555556, dtype=float32)

    References:
        Hou, Yu and Samaras, Squared Earth Mover's Distance-Based Loss for Training Deep Neural Networks, 2016. https://arxiv.org/abs/1611.05916
    """
    k = logits.shape[-1]
    probabilities = jnp.exp(log_softmax(logits))
    hot = jnp.arange(k, dtype=labels.dtype) == labels
    gaps = jnp.cumsum(select(hot, probabilities - 1, probabilities))
    return select((labels >= 0) & (labels < k), jnp.sum(jnp.square(gaps)), jnp.nan)


def _questions(logits: Array, labels: Array, asked: Array) -> Array:
    above = jnp.arange(logits.shape[-1], dtype=labels.dtype) < labels
    total = jnp.sum(select(asked, softplus(select(above, -logits, logits)), 0.0))
    return select((labels >= 0) & (labels <= logits.shape[-1]), total, jnp.nan)
