r"""Classification: one label or one distribution over k classes, or independent yes/no questions.

`logits` are unnormalised log-probabilities over k classes (or one log-odds), `labels` are class indices; :math:`z` are the
logits, :math:`y` is the label and :math:`p` the softmax (or the sigmoid) of the logits. Losses against label noise, for long
tails and for ordered classes have families of their own: `jloss.classification.noise_robust`, `long_tail`, `ordinal`.

The softmax losses take `class_axis_name`: inside `jax.shard_map`, with each device holding a slice of the classes, it names
the mesh axis over which they are split; labels count over all of them. A logit of -inf is a class that is not there: it has
no probability, no gradient and no share in label smoothing. A logit of +inf takes all probability: the loss is that of the limit, 0 at
the label and inf at another class, without a gradient; several share it evenly. No class left is NaN.
"""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import few, hint, is_known_zero, select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce
from jloss.numerics import below, max_or_nan, pick, safe_log
from jloss.numerics._special import focal, is_small_whole, raise_to, surprisal
from jloss.numerics.guards import log1p_of_share, log_odds_to_peak, log_partition, log_total


@loss("(k),()->()", "real class", label_smoothing="unit", z_loss="nonnegative")
@hint(straight=True)
def cross_entropy(
    logits: Array,
    labels: Array,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Softmax cross entropy with an integer label: the standard loss of a classifier and of a language model.

    .. math::
        \ell = -(1 - s) \log p_y - \frac{s}{k} \sum_c \log p_c + w \Bigl(\log \sum_c e^{z_c}\Bigr)^2
        \qquad p = \operatorname{softmax}(\text{logits})

    with `label_smoothing` s and `z_loss` w. The gradient in the logits is p minus the (smoothed) one-hot label; it is never
    larger than 1, also for logits of 1e4. For a distribution as the target see `soft_cross_entropy`; for rare classes
    `softmax_focal` and `logit_adjusted`; for wrong labels `generalized_cross_entropy`.

    Smoothing runs over the classes that are there: with a logit of -inf torch gives inf. A label outside 0..k-1 is NaN for
    its example (Keras on JAX gives 0 and learns nothing); leave examples out with ``where=labels != -100``.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class.
        label_smoothing: Part of the target's probability that is given to all classes alike, the label's own included.
        z_loss: Weight of the squared log-partition, which keeps logits from drifting; 1e-4 is usual.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> cross_entropy(jnp.array([[0.8, 0.1, 0.4], [0.1, 0.9, 0.2], [0.5, 0.4, 0.6]]), jnp.array([0, 1, 2]))
    Array(0.81366, dtype=float32)

    References:
        Szegedy et al., Rethinking the Inception Architecture (label smoothing), 2016. https://arxiv.org/abs/1512.00567
        Chowdhery et al., PaLM (z-loss), 2022. https://arxiv.org/abs/2204.02311
    """
    total, peak = _partition(logits, class_axis_name)
    hit = total - below(pick(logits, labels, axis_name=class_axis_name), peak)
    away = _mean_gap(logits, peak, label_smoothing, class_axis_name)[0]
    smoothed = _between(hit, total + away, label_smoothing)
    if is_known_zero(z_loss):
        return smoothed
    total = select(peak == jnp.inf, lax.stop_gradient(total), total)
    log_partition_or_0 = select(z_loss == 0, 0.0, total + peak)  # 0 * inf is NaN
    return smoothed + z_loss * jnp.square(log_partition_or_0)


@loss("(k),(k)->()", "real prob", label_smoothing="unit")
@hint(straight=True, blocks=1)
def soft_cross_entropy(
    logits: Array,
    targets: Array,
    *,
    label_smoothing: float = 0.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Softmax cross entropy with a distribution as the target: mixup, distillation, annotators who disagree.

    .. math:: \ell = -\sum_c \bigl((1 - s)\, t_c + s/k\bigr) \log p_c \qquad p = \operatorname{softmax}(\text{logits})

    with `targets` t and `label_smoothing` s. A class with target 0 and logit -inf counts 0 and has no gradient (torch: NaN).
    It differs from the divergence :math:`KL(t \| p)` by the entropy of the targets, which has no gradient in the logits.

    Args:
        logits: Unnormalised log-probabilities.
        targets: A probability per class; rows that do not sum to 1 are taken as they are.
        label_smoothing: Part of the target's probability that is given to all classes alike.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> soft_cross_entropy(jnp.array([2.0, 0.0, -jnp.inf]), jnp.array([0.5, 0.5, 0.0]))
    Array(1.126928, dtype=float32)

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018. https://arxiv.org/abs/1710.09412
    """
    log_odds, peak = log_odds_to_peak(logits, axis_name=class_axis_name)
    total = log_total(log_odds, axis_name=class_axis_name)[0]
    absent = log_odds == -jnp.inf
    weights = select(absent, lax.stop_gradient(targets), targets)  # the gaps are infinite where absent: not for the targets' gradient
    gaps = select(absent & (targets == 0), 0.0, weights * log_odds)
    mass, gap = _total((jnp.sum(targets), -jnp.sum(gaps)), class_axis_name)
    away = _mean_gap(logits, peak[0], label_smoothing, class_axis_name)[0]
    return _between(mass * total + gap, total + away, label_smoothing)


@loss("(k),()->()", "log_prob class")
@hint(straight=True)
def nll(log_probs: Array, labels: Array, *, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]) -> Array:
    r"""Negative log-likelihood of the label, from log-probabilities that are normalised already.

    .. math:: \ell = -\text{log\_probs}_y

    Nothing checks that the log-probabilities are normalised; with logits use `cross_entropy`, with probabilities `log_loss`.
    Pixels: ``nll(log_probs, labels, axis=1)`` takes (N, C, H, W) against (N, H, W).

    Args:
        log_probs: Logarithms of the class probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> nll(jnp.array([[0.1, 0.8, 0.2], [0.4, 0.5, 0.6]]), jnp.array([1, 2]))
    Array(-0.7, dtype=float32)

    References:
        Fisher, On the Mathematical Foundations of Theoretical Statistics, 1922. https://doi.org/10.1098/rsta.1922.0009
    """
    return -pick(log_probs, labels, axis_name=class_axis_name)


@loss("(k),()->()", "prob class")
def log_loss(probabilities: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Negative logarithm of the label's probability, from probabilities.

    .. math:: \ell = -\log \text{probabilities}_y

    Its gradient is -1/p on the label's class; at p = 0 the loss is inf and the gradient, which would be infinite, is 0.
    Prefer `cross_entropy` from logits: a softmax that has rounded to 0 cannot be repaired afterwards.

    Args:
        probabilities: Class probabilities; below 0 the loss is NaN.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> log_loss(jnp.array([[0.25, 0.75], [0.5, 0.5]]), jnp.array([1, 0]), reduction="none")
    Array([0.2876821, 0.6931472], dtype=float32)

    References:
        Good, Rational Decisions, 1952. https://doi.org/10.1111/j.2517-6161.1952.tb00104.x
    """
    return -safe_log(pick(probabilities, labels))


@loss("(),()->()", "unit unit")
def binary_cross_entropy(probabilities: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Cross entropy of yes/no questions, from probabilities.

    .. math:: \ell = -t \max(\log p, -100) - (1 - t) \max(\log(1 - p), -100)

    with `probabilities` p and `targets` t. The floor makes p = 0 with t = 1 cost 100, as in torch. The derivative of a floored
    logarithm is 0 (torch divides by 1e-12 there and returns 1e12, Keras clips p to 1e-7: at most 16.1, and a gradient of 0 long
    before). Float32 tells no probability above 1 - 6e-8 from 1; `sigmoid_cross_entropy` has neither problem.

    Args:
        probabilities: Of "yes", between 0 and 1; outside the loss is NaN.
        targets: 0 or 1, or a probability.

    >>> binary_cross_entropy(jnp.array([[0.1, 0.9, 0.8], [0.0, 1.0, 0.0]]), jnp.array([[0, 1, 1], [0, 1, 0]]))
    Array(0.07231, dtype=float32)

    References:
        Good, Rational Decisions, 1952. https://doi.org/10.1111/j.2517-6161.1952.tb00104.x
    """
    floor = max(float(jnp.finfo(probabilities.dtype).tiny), math.exp(-100))
    never, always = (probabilities >= 0) & (probabilities <= floor), probabilities == 1
    log_yes = select(never, -100.0, jnp.log(select(never, 1.0, probabilities)))
    log_no = select(always, -100.0, jnp.log1p(-select(always, 0.0, probabilities)))
    return -targets * log_yes - (1 - targets) * log_no


@loss("(),()->()", "real unit", positive_weight="nonnegative", label_smoothing="unit")
@hint(blocks=1)
def sigmoid_cross_entropy(
    logits: Array, targets: Array, *, positive_weight: float | Array = 1.0, label_smoothing: float = 0.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Cross entropy of yes/no questions, from log-odds: binary and multi-label classification.

    .. math::
        \ell = w\, t \log(1 + e^{-z}) + (1 - t) \log(1 + e^{z})

    with `logits` z, `targets` t and `positive_weight` w. The gradient in the logits is sigmoid(z) - t (for w = 1): bounded, and
    not lost where the sigmoid rounds to 0 or 1. An infinite logit of the right sign costs 0 (torch: NaN), of the wrong sign inf.
    Targets outside 0..1 are taken as they are, and may make the loss negative. With many more easy negatives than positives see
    `sigmoid_focal` and `asymmetric`.

    Args:
        logits: Log-odds of "yes".
        targets: 0 or 1, or a probability.
        positive_weight: Cost of a missed "yes" relative to a false one; an array holds one weight per class of the last axis.
        label_smoothing: Draws the targets towards one half: ``t * (1 - s) + s / 2``.

    >>> sigmoid_cross_entropy(jnp.array([0.0, 1000.0, -jnp.inf]), jnp.array([1, 0, 0]), reduction="none")
    Array([6.931472e-01, 1.000000e+03, 0.000000e+00], dtype=float32)

    References:
        Cox, The Regression Analysis of Binary Sequences, 1958. https://doi.org/10.1111/j.2517-6161.1958.tb00292.x
    """
    weight = _along_last_axis(positive_weight, logits)
    targets = targets * (1 - label_smoothing) + label_smoothing / 2
    infinite = jnp.isinf(logits)
    distance = select(infinite, 0.0, select(logits > 0, logits, -logits))
    wrong = select(logits > 0, 1 - targets, weight * targets)
    mass = (1 - targets) + weight * targets
    limit = select(wrong == 0, 0.0, jnp.abs(logits))
    # The select comes last: XLA for CPUs then fuses all of this into one loop, in front of the sum.
    return select(infinite, limit, wrong * distance + mass * log1p_of_share(jnp.exp(-distance)))


@loss("(),()->()", "real unit", alpha="unit", gamma="nonnegative")
@hint(blocks=2)
def sigmoid_focal(
    logits: Array, targets: Array, *, alpha: float | Array | None = None, gamma: float = 2.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Sigmoid cross entropy in which easy examples fade: dense detection, rare positives.

    .. math::
        \ell = \alpha_t (1 - p_t)^\gamma \, \operatorname{CE}(p, t) \qquad
        p_t = p\, t + (1 - p)(1 - t) \qquad \alpha_t = \alpha\, t + (1 - \alpha)(1 - t)

    The weight is computed from log-odds, so gradients are finite for every gamma, also below 1 and at logits of 1e4
    (torchvision: NaN). gamma = 0 is `sigmoid_cross_entropy`. alpha is off by default, as in optax and fvcore; torchvision has
    0.25. Focal training leaves probabilities under-confident; calibrate afterwards. For one label among k see `softmax_focal`.

    Args:
        logits: Log-odds of "yes".
        targets: 0 or 1, or a probability.
        alpha: Weight of the positives, ``1 - alpha`` of the negatives; None weighs both with 1. An array holds one per class.
        gamma: How fast easy examples fade.

    >>> sigmoid_focal(jnp.array([[-0.1, 0.9, 0.23], [-0.12, -0.34, 0.6]]), jnp.array([[0, 1, 0], [0, 0, 1]]), alpha=0.25)
    Array(0.0824292, dtype=float32)

    References:
        Lin et al., Focal Loss for Dense Object Detection, 2017. https://arxiv.org/abs/1708.02002
    """
    infinite = jnp.isinf(logits)
    distance = select(infinite, 0.0, select(logits > 0, logits, -logits))
    wrong = select(logits > 0, 1 - targets, targets)
    odds = jnp.exp(-distance)
    log_mass = log1p_of_share(odds)
    missed = wrong + (1 - wrong) * odds  # 1 - p_t is its share of 1 + odds
    if is_small_whole(gamma):
        fading = raise_to(missed / (1 + odds), gamma)
    else:  # where the product underflows, the cross entropy is 0 anyhow
        sure = (wrong == 0) & (odds < 1e-18)  # their square has no inverse
        some = select(sure, 1.0, jnp.maximum(missed, jnp.finfo(logits.dtype).tiny))
        log_missed = select(sure, -distance, jnp.log(some))
        fading = jnp.exp(gamma * (log_missed - log_mass))
    value = fading * (wrong * distance + log_mass)
    if alpha is not None:
        weight = _along_last_axis(alpha, logits)
        value = (weight * targets + (1 - weight) * (1 - targets)) * value
    return select(infinite, select(wrong == 0, 0.0, jnp.abs(logits)), value)


@loss("(k),()->()", "real class", gamma="nonnegative")
def softmax_focal(
    logits: Array, labels: Array, *, gamma: float = 2.0, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]
) -> Array:
    r"""Softmax cross entropy in which easy examples fade: imbalanced classes with one label each.

    .. math:: \ell = -(1 - p_y)^\gamma \log p_y \qquad p = \operatorname{softmax}(\text{logits})

    gamma = 0 is `cross_entropy`. The power is taken of logarithms, so the gradient is finite for gamma below 1 where p_y rounds
    to 1. Weights per class: ``weights=w[labels]``, for instance with `class_balanced_weights`.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        gamma: How fast easy examples fade.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> softmax_focal(jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0]), reduction="none")
    Array([0.00180356, 0.1732868 ], dtype=float32)

    References:
        Lin et al., Focal Loss for Dense Object Detection, 2017. https://arxiv.org/abs/1708.02002
    """
    return focal(surprisal(logits, labels, axis_name=class_axis_name), gamma)


@loss("(k),()->()", "real class", label_smoothing="unit")
@hint(straight=True)
def poly1_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    epsilon: float = 1.0,
    label_smoothing: float = 0.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Cross entropy with the first coefficient of its power series raised by `epsilon`.

    .. math:: \ell = \operatorname{CE}(\text{logits}, t) + \epsilon \Bigl(1 - \sum_c t_c\, p_c\Bigr)

    with t the (smoothed) one-hot label. A positive epsilon pushes harder on examples that are nearly right, a negative one (down
    to -1) less; 0 is `cross_entropy`. The paper's usual value is 1; optax has 2.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        epsilon: What is added to the leading coefficient 1.
        label_smoothing: Part of the target's probability that is given to all classes alike.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> poly1_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(1))
    Array(1.1931472, dtype=float32)

    References:
        Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions, 2022. https://arxiv.org/abs/2204.12511
    """
    total, peak = _partition(logits, class_axis_name)
    hit = total - below(pick(logits, labels, axis_name=class_axis_name), peak)
    away, share = _mean_gap(logits, peak, label_smoothing, class_axis_name)
    smoothed = _between(hit, total + away, label_smoothing)
    return smoothed + epsilon * _between(-jnp.expm1(-hit), 1 - share, label_smoothing)


@loss("(),()->()", "real sign")
def zero_one(scores: Array, signs: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""1 for a score of the wrong sign, 0 for the right one: the error rate. It cannot be trained on.

    .. math:: \ell = [\text{signs} \cdot \text{scores} \le 0]

    Its gradient is 0 everywhere; train on `logistic` or `hinge`, which bound it from above, and report this one. A score of 0 has
    not decided and counts as an error.

    Args:
        scores: Positive for "yes".
        signs: -1 or +1.

    >>> zero_one(jnp.array([0.3, -2.0, 0.0]), jnp.array([1, 1, -1]), reduction="none")
    Array([0., 1., 1.], dtype=float32)

    References:
        Bartlett, Jordan and McAuliffe, Convexity, Classification, and Risk Bounds, 2006. https://doi.org/10.1198/016214505000000907
    """
    agreement = lax.stop_gradient(signs * scores)
    return select(agreement > 0, 0.0, select(jnp.isnan(agreement), agreement, 1.0))


@loss("(k),()->()", "real class")
def multiclass_zero_one(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""1 where the class with the largest logit is not the label, 0 where it is: one minus the accuracy.

    .. math:: \ell = [\arg\max_c \text{logits}_c \ne \text{labels}]

    Its gradient is 0 everywhere: it is a measure, not something to train on (`cross_entropy` is). Of equal logits the first wins.

    Args:
        logits: Scores of any kind.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> multiclass_zero_one(jnp.array([[0.1, 0.9], [0.7, 0.3]]), jnp.array([1, 1]))
    Array(0.5, dtype=float32)

    References:
        Bartlett, Jordan and McAuliffe, Convexity, Classification, and Risk Bounds, 2006. https://doi.org/10.1198/016214505000000907
    """
    logits = lax.stop_gradient(logits)
    wrong = select(lax.argmax(logits, 0, labels.dtype) == labels, 0, 1).astype(logits.dtype)
    return select(jnp.isnan(pick(logits, labels) + max_or_nan(logits)), jnp.nan, wrong)


@loss("(k),()->()", "prob class")
def brier(probabilities: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Squared distance of the probabilities to the one-hot label: a proper score that is bounded, 0 to 2.

    .. math:: \ell = \sum_c (\text{probabilities}_c - [c = y])^2

    This is Brier's own sum over all classes; for two classes it is twice the square of one probability's error (the form of
    scikit-learn's `brier_score_loss`). Being bounded it forgives confident errors that `log_loss` punishes without limit.

    Args:
        probabilities: Class probabilities.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> brier(jnp.array([0.7, 0.2, 0.1]), jnp.array(0))
    Array(0.14, dtype=float32)

    References:
        Brier, Verification of Forecasts Expressed in Terms of Probability, 1950. https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2
    """
    k = probabilities.shape[-1]
    errors = select(jnp.arange(k, dtype=labels.dtype) == labels, 1 - probabilities, probabilities)
    return select((labels >= 0) & (labels < k), jnp.sum(jnp.square(errors)), jnp.nan)


def _partition(logits: Array, axis_name: str | None) -> tuple[Array, Array]:
    total, peak = log_partition(logits, axis_name=axis_name)
    return total[0], peak[0]


def _mean_gap(logits: Array, peak: Array, needed: Array | float, axis_name: str | None) -> tuple[Array, Array]:
    """The mean of ``peak - logits`` over the classes that are there, and their share 1/k; not computed where `needed` is 0.

    With the default of 0 the branch disappears when XLA compiles, and with it a pass over the logits.
    """

    def sums(logits: Array) -> tuple[Array, Array]:
        present = (logits > -jnp.inf) & (needed != 0)  # as with the branch, without one
        return jnp.sum(select(present, -below(logits, peak), 0.0)), jnp.sum(select(present, jnp.ones_like(logits), 0.0))

    def nothing(logits: Array) -> tuple[Array, Array]:
        zero = jnp.zeros_like(logits[0])
        return zero, zero + 1

    if is_known_zero(needed):
        return nothing(logits)
    gap, count = _total(sums(logits) if few() else lax.cond(needed != 0, sums, nothing, logits), axis_name)
    return gap / jnp.maximum(count, 1), 1 / jnp.maximum(count, 1)


def _between(label: Array, others: Array, share: Array | float) -> Array:
    """The loss of the label, of which label smoothing gives a share to the others."""
    return label if is_known_zero(share) else (1 - share) * label + share * others


def _total(x: tuple[Array, ...], axis_name: str | None) -> tuple[Array, ...]:
    """Sums over the devices that share the classes."""
    return x if axis_name is None else jax.lax.psum(x, axis_name)


def _along_last_axis(option: Array | float, x: Array) -> Array | float:
    """An option with axes of its own (one value per class) against the last axes of `x`."""
    return jnp.broadcast_to(option, x.shape) if jnp.ndim(option) else option
