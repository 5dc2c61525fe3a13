"""Margin losses of scores: the right answer must win by a distance.

Letters: k classes. `signs` are -1 or +1 (booleans may be given: False is -1). Where a loss is 0, on the corner too, its gradient is 0.
"""

import math
from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce
from jloss._core.sorting import by_rank, if_short, sum_over_others
from jloss.classification.entropy import sigmoid_cross_entropy
from jloss.numerics import max_or_nan, pick, positive_part, safe_exp, select_by_sign
from jloss.numerics.guards import softplus_by_series


@loss("(),()->()", "real sign")
def hinge(scores: Array, signs: Array, *, margin: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""The loss of support vector machines: 0 once the score has the right sign and size `margin`.

    .. math:: \ell = \max(0,\ \text{margin} - \text{signs} \cdot \text{scores})

    Examples beyond the margin are not learned from; `logistic` never stops. Keras takes labels 0 and 1 for signs if a batch
    has no other, so its value depends on the batch; here a 0 is no sign.

    Args:
        scores: Decision values.
        signs: The classes, -1 or +1.
        margin: How far a right score must be from 0 to cost nothing.

    >>> hinge(jnp.array([0.3, 2.0, 0.5]), jnp.array([1, 1, -1]), reduction="none")
    Array([0.7, 0. , 1.5], dtype=float32)

    References:
        Cortes and Vapnik, Support-Vector Networks, 1995. https://doi.org/10.1007/BF00994018
    """
    return positive_part(margin - signs * scores)


@loss("(),()->()", "real sign")
def squared_hinge(scores: Array, signs: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`hinge` squared: a continuous gradient, and more attention to the worst examples.

    .. math:: \ell = \max(0,\ 1 - \text{signs} \cdot \text{scores})^2

    The gradient goes to 0 at the margin. With wrong labels prefer `hinge`, whose gradient is bounded.

    Args:
        scores: Decision values.
        signs: The classes, -1 or +1.

    >>> squared_hinge(jnp.array([0.5, 2.0, 1.0]), jnp.array([1, 1, -1]), reduction="none")
    Array([0.25, 0.  , 4.  ], dtype=float32)

    References:
        Chapelle, Training a Support Vector Machine in the Primal, 2007. https://doi.org/10.1162/neco.2007.19.5.1155
    """
    return jnp.square(positive_part(1 - signs * scores))


@loss("(),()->()", "real sign")
def perceptron(scores: Array, signs: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The size of a score of the wrong sign; right scores cost nothing, however small.

    .. math:: \ell = \max(0,\ -\text{signs} \cdot \text{scores})

    At a score of 0 loss and gradient are 0 (optax gives half the gradient there), so do not start from all zeros; `hinge`
    has no such corner. All scores 0 is a minimum: it needs data that can be separated.

    Args:
        scores: Decision values.
        signs: The classes, -1 or +1.

    >>> perceptron(jnp.array([0.5, 2.0]), jnp.array([1, -1]), reduction="none")
    Array([0., 2.], dtype=float32)

    References:
        Rosenblatt, The perceptron: a probabilistic model for information storage and organization, 1958. https://doi.org/10.1037/h0042519
    """
    return positive_part(-signs * scores)


@loss("(),()->()", "real sign")
def exponential(scores: Array, signs: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The loss of AdaBoost: wrong scores cost exponentially, so it suits clean labels only.

    .. math:: \ell = \exp(-\text{signs} \cdot \text{scores})

    The gradient is as large as the loss. A wrong score beyond 88 overflows float32 to inf, with gradient 0; `logistic` grows
    linearly.

    Args:
        scores: Decision values; half the log-odds at the minimum.
        signs: The classes, -1 or +1.

    >>> exponential(jnp.array([1.0, 1.0]), jnp.array([1, -1]), reduction="none")
    Array([0.36787945, 2.7182817 ], dtype=float32)

    References:
        Freund and Schapire, A Decision-Theoretic Generalization of On-Line Learning, 1997. https://doi.org/10.1006/jcss.1997.1504
    """
    return safe_exp(-signs * scores)


@loss("(),()->()", "real sign")
@hint(blocks=1)
def logistic(scores: Array, signs: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Logistic regression with signs (soft margin): a smooth `hinge`, and calibrated probabilities.

    .. math:: \ell = \log\bigl(1 + \exp(-\text{signs} \cdot \text{scores})\bigr)

    Exact for all scores; torch's soft_margin_loss overflows to inf with a NaN gradient from 89 on. `sigmoid_cross_entropy` is
    the same with targets 0 and 1.

    Args:
        scores: Log-odds.
        signs: The classes, -1 or +1.

    >>> logistic(jnp.array([0.0, 1000.0, 1000.0]), jnp.array([1, 1, -1]), reduction="none")
    Array([6.9314718e-01, 0.0000000e+00, 1.0000000e+03], dtype=float32)

    References:
        Cox, The Regression Analysis of Binary Sequences, 1958. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x
    """
    return softplus_by_series(-signs * scores)


@loss("(k),()->()", "real class")
@hint(straight=True, blocks=1)
def multiclass_hinge(scores: Array, labels: Array, *, margin: float = 1.0, **reduce: Unpack[OverClasses]) -> Array:
    r"""The true class must beat the strongest other class by `margin` (Crammer and Singer).

    .. math:: \ell = \max\bigl(0,\ \text{margin} + \max_{j \ne y} \text{scores}_j - \text{scores}_y\bigr) \qquad y = \text{labels}

    Only these two classes get a gradient (classes tied for strongest share it); `multi_margin` counts all that come too close.

    Args:
        scores: One score per class.
        labels: The true class.
        margin: By how much it must win.

    >>> multiclass_hinge(jnp.array([0.1, 0.2, 0.4, 0.8]), 3)
    Array(0.6, dtype=float32)

    References:
        Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, 2001.
        https://jmlr.org/papers/v2/crammer01a.html
    """
    return positive_part(margin + (_strongest_other(scores, labels) - pick(scores, labels)))


@loss("(k),()->()", "real class")
@hint(straight=True, late=False)
def multiclass_perceptron(scores: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""By how much the strongest class beats the true one; 0 if the true class wins.

    .. math:: \ell = \max_j \text{scores}_j - \text{scores}_y \qquad y = \text{labels}

    There is no margin: a tie costs nothing and has gradient 0, so do not start from all zeros. See `multiclass_hinge`.

    Args:
        scores: One score per class.
        labels: The true class.

    >>> multiclass_perceptron(jnp.array([[0.1, 0.8], [0.1, 0.8]]), jnp.array([0, 1]), reduction="none")
    Array([0.7, 0. ], dtype=float32)

    References:
        Collins, Discriminative Training Methods for Hidden Markov Models, 2002. https://doi.org/10.3115/1118693.1118694
    """
    peak, hit = max_or_nan(scores), pick(scores, labels)  # of all classes: one pass less than without the true one
    return select(peak == hit, 0.0, peak - hit)


@loss("(k),()->()", "real class")
def categorical_hinge(scores: Array, labels: Array, *, margin: float = 1.0, **reduce: Unpack[OverClasses]) -> Array:
    r"""Keras's multiclass hinge: as `multiclass_hinge`, but no other class counts as weaker than 0.

    .. math:: \ell = \max\bigl(0,\ \text{margin} + \max(0, \max_{j \ne y} \text{scores}_j) - \text{scores}_y\bigr) \qquad y = \text{labels}

    Meant for scores that are not negative, where the floor does nothing; else prefer `multiclass_hinge`. Where the floor
    holds, the other classes have gradient 0.

    Args:
        scores: One score per class.
        labels: The true class (Keras takes one-hot rows).
        margin: By how much it must win.

    >>> categorical_hinge(jnp.array([[0.1, 0.8], [-2.0, 0.8]]), jnp.array([1, 1]), reduction="none")
    Array([0.3       , 0.19999999], dtype=float32)

    References:
        Keras developers, Hinge losses for maximum-margin classification, 2017. https://keras.io/api/losses/hinge_losses/
    """
    return positive_part(margin + (positive_part(_strongest_other(scores, labels)) - pick(scores, labels)))


@loss("(k),()->()", "real class")
def multi_margin(scores: Array, labels: Array, *, p: int = 1, margin: float = 1.0, **reduce: Unpack[OverClasses]) -> Array:
    r"""Every other class that comes within `margin` of the true one costs (torch's MultiMarginLoss).

    .. math:: \ell = \frac1k \sum_{j \ne y} \max(0,\ \text{margin} + \text{scores}_j - \text{scores}_y)^p \qquad y = \text{labels}

    The sum is divided by all k classes. torch's class weights are ``weights=w[labels]``, but here the mean divides by their sum.

    Args:
        scores: One score per class.
        labels: The true class.
        p: 1 or 2; with 2 the gradient is continuous.
        margin: By how much it must win.

    >>> multi_margin(jnp.array([0.1, 0.2, 0.4, 0.8]), 3)
    Array(0.325, dtype=float32)

    References:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999.
        https://www.esann.org/sites/default/files/proceedings/legacy/es1999-461.pdf
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin: `p` must be 1 or 2, got {p}.")
    shortfalls = positive_part(margin + (scores - pick(scores, labels)))
    others = jnp.arange(scores.shape[-1], dtype=labels.dtype) != labels
    return jnp.mean(select(others, shortfalls if p == 1 else jnp.square(shortfalls), 0.0))


@loss("(k),(k)->()", "real multi_hot")
def multilabel_margin(scores: Array, targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Every class that holds must beat every class that does not by 1 (torch's MultiLabelMarginLoss).

    .. math:: \ell = \frac1k \sum_{j \in \text{targets}} \sum_{i \notin \text{targets}} \max(0,\ 1 + \text{scores}_i - \text{scores}_j)

    It takes a multi-hot row where torch takes a list of classes that ends at -1 (and counts one that is listed twice
    twice). 0 if no class or every class holds. No k by k table is made: the scores are sorted, or few compared in a loop.

    Args:
        scores: One score per class.
        targets: True for each class that holds.

    >>> multilabel_margin(jnp.array([0.1, 0.2, 0.4, 0.8]), jnp.array([True, False, False, True]))
    Array(0.85, dtype=float32)

    References:
        Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001.
        https://papers.nips.cc/paper/1964-a-kernel-method-for-multi-labelled-classification
    """
    holds = targets > 0.5
    # Only differences count, and small numbers keep more digits. One class may be so far above that it drowns the others: of the highest
    # that holds and the highest that does not it is the lower that is near them.
    sides = jnp.stack([select(holds, scores, -jnp.inf), select(holds, -jnp.inf, scores)])
    level = lax.stop_gradient(jnp.min(jnp.max(sides, axis=-1)))
    scores = scores - select(jnp.isfinite(level), level, 0.0)
    reach = select(holds, scores, scores + 1)

    def in_order(holds: Array) -> Array:
        """How many holding classes a failing one comes too close to; minus how many failing ones come too close to a holding one."""
        beats = jnp.cumsum(holds, dtype=jnp.int32)
        beaten_by = jnp.arange(holds.size, dtype=jnp.int32)[::-1] - (beats[-1] - beats)
        return select(holds, -beaten_by, beats).astype(scores.dtype)

    def sorted_out(reach: Array, holds: Array) -> Array:
        return by_rank(in_order, reach, holds)  # at a tie the class that fails goes first

    def compared(reach: Array, holds: Array) -> Array:
        def too_close(reach: Array, holds: Array, failing: Array, holding: Array) -> Array:
            return (select(holds, failing, holding) < reach).astype(jnp.int32)

        signed = select(holds, -reach, reach)
        failing, holding = (select(holds, *pair) for pair in ((math.inf, -reach), (reach, math.inf)))
        times = sum_over_others(too_close, (signed, holds), (failing, holding)).astype(scores.dtype)
        return select(holds, -times, times)

    times = if_short(reach, holds, cpu=compared, default=sorted_out)
    return jnp.sum(select((times == 0) & ~jnp.isnan(reach), 0.0, times * reach)) / scores.shape[-1]


@loss("(k),(k)->()", "real unit")
@hint(blocks=1)
def multilabel_soft_margin(logits: Array, targets: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""The mean over classes of `sigmoid_cross_entropy`: one yes-or-no question per class, one number per example.

    .. math::
        \ell = -\frac1k \sum_i \bigl(t_i \log \sigma(z_i) + (1 - t_i) \log(1 - \sigma(z_i))\bigr)
        \qquad z = \text{logits},\ t = \text{targets}

    The gradient is ``(sigmoid(logits) - targets) / k``. For weights per class call `sigmoid_cross_entropy`, whose examples are
    the single classes.

    Args:
        logits: One log-odds per class.
        targets: 1 for each class that holds, 0 for the others, or probabilities.

    >>> multilabel_soft_margin(jnp.array([0.0, 2.0]), jnp.array([1.0, 0.0]))
    Array(1.4100375, dtype=float32)

    References:
        Nam et al., Large-scale Multi-label Text Classification, 2014. https://arxiv.org/abs/1312.5419
    """
    return sigmoid_cross_entropy(logits, targets)


@loss("(),(),()->()", "real real sign")
def margin_ranking(first: Array, second: Array, signs: Array, *, margin: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Of two scores the one that should be higher must be higher, by `margin`.

    .. math:: \ell = \max(0,\ \text{margin} - \text{signs} \cdot (\text{first} - \text{second}))

    With the default margin a tie costs nothing and has gradient 0; give a margin to separate what starts equal.

    Args:
        first: Scores.
        second: Scores to compare with.
        signs: +1 where `first` should be the higher one, -1 where `second` should.
        margin: By how much it must be higher.

    >>> margin_ranking(jnp.array([1.0, 1.0]), jnp.array([3.0, 3.0]), jnp.array([1, -1]), margin=0.5, reduction="none")
    Array([2.5, 0. ], dtype=float32)

    References:
        Joachims, Optimizing Search Engines Using Clickthrough Data, 2002. https://doi.org/10.1145/775047.775067
    """
    return positive_part(margin - signs * (first - second))


@loss("(),()->()", "nonnegative sign")
def hinge_embedding(distances: Array, signs: Array, *, margin: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Distances of similar pairs should be small, of dissimilar pairs at least `margin`.

    .. math::
        \ell = \begin{cases}
            \text{distances} & \text{signs} = +1 \\ \max(0,\ \text{margin} - \text{distances}) & \text{signs} = -1
        \end{cases}

    The gradient in the distance is 1 even at 0; the gradient of the distance itself must be finite there (as
    `jloss.squared_euclidean`'s is). torch adds both cases for a sign of 0; here it is no sign, and counts as dissimilar.

    Args:
        distances: Distances of the pairs; 0 or more.
        signs: +1 for similar pairs, -1 for dissimilar ones.
        margin: The distance from which on a dissimilar pair costs nothing.

    >>> hinge_embedding(jnp.array([0.3, 0.3]), jnp.array([1, -1]), reduction="none")
    Array([0.3, 0.7], dtype=float32)

    References:
        Mobahi, Collobert and Weston, Deep Learning from Temporal Coherence in Video, 2009. https://doi.org/10.1145/1553374.1553469
    """
    return select_by_sign(signs, distances, positive_part(margin - distances))


def _strongest_other(scores: Array, label: Array) -> Array:
    """The highest score of a class that is not `label`; -inf if there is none."""
    return max_or_nan(select(jnp.arange(scores.shape[-1], dtype=label.dtype) == label, -jnp.inf, scores))
