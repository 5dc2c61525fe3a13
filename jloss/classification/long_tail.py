r"""Classification with rare classes and many easy examples: shifts, margins and weights that follow the class frequencies.

`logits` are unnormalised log-probabilities over k classes (or one log-odds per class), `labels` are class indices, `counts` are the
numbers of training examples per class. `seesaw`, `ghm` and `equalized_focal` learn the frequencies while they train: they are
pairs of functions, ``state = criterion.init(...)`` and ``value, state = criterion.apply(state, logits, ...)``. What they learn is
under stop_gradient; with `axis_name` the statistics are those of all devices. Class axes come last in these three.

`class_axis_name` names the mesh axis over which the classes are split inside `jax.shard_map`.
"""

import math
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint, select
from jloss._core.catalogue import entry
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce, Reduction
from jloss._core.stateful import StatefulLoss, listed_as
from jloss.classification.entropy import sigmoid_cross_entropy, sigmoid_focal
from jloss.numerics import clipped, log_softmax, logaddexp, pick, safe_log, softplus
from jloss.numerics._special import scaled_expm1, surprisal


@loss("(k),(),(k)->()", "real class log_prob")
def logit_adjusted(
    logits: Array,
    labels: Array,
    log_prior: Array,
    *,
    tau: float = 1.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Cross entropy with the log-frequency of each class added to its logit: balanced error on a long tail.

    .. math:: \ell = -\log \operatorname{softmax}(\text{logits} + \tau \log \pi)_y

    with `log_prior` :math:`\log \pi`. The network need not learn the frequencies, so its plain logits treat all classes alike at test
    time. At tau = 1 this is the balanced softmax; log-counts serve as well as log-frequencies. A prior of -inf removes a class.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        log_prior: Logarithms of the class frequencies; usually one row for all examples.
        tau: Strength; 0 is `cross_entropy`.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> logit_adjusted(jnp.array([0.0, 0.0]), jnp.array(1), jnp.log(jnp.array([0.9, 0.1])))
    Array(2.3025851, dtype=float32)

    References:
        Menon et al., Long-Tail Learning via Logit Adjustment, 2021. https://arxiv.org/abs/2007.07314
        Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, 2020. https://arxiv.org/abs/2007.10740
    """
    removed = log_prior == -jnp.inf
    shift = select(removed, -jnp.inf, tau * select(removed, 0.0, log_prior))
    return surprisal(logits + shift, labels, axis_name=class_axis_name)


@loss("(k),(),(k)->()", "real class nonnegative", scale="positive")
def ldam(
    logits: Array,
    labels: Array,
    margins: Array,
    *,
    scale: float = 30.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Cross entropy in which the label must win by a margin, larger for rare classes.

    .. math:: \ell = -\log \operatorname{softmax}\bigl(s\,(z_c - m_y [c = y])\bigr)_y

    with `logits` z, `margins` m and `scale` s. The logits are meant to be cosines: normalise the features and the columns of the last
    layer. `ldam_margins` gives the margins of the paper, which also switches class weights on late in training
    (``weights=class_balanced_weights(counts)[labels]``).

    Args:
        logits: Cosines between the features and the class vectors.
        labels: The class; outside 0..k-1 the example is NaN.
        margins: What is taken off the label's logit, per class; usually one row for all examples.
        scale: Inverse temperature of the cosines.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> ldam(jnp.array([0.5, 0.5]), jnp.array(0), ldam_margins(jnp.array([16, 1])), scale=1.0)
    Array(0.8259394, dtype=float32)

    References:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, 2019. https://arxiv.org/abs/1906.07413
    """
    first = 0 if class_axis_name is None else logits.shape[-1] * lax.axis_index(class_axis_name)
    hot = jnp.arange(logits.shape[-1], dtype=labels.dtype) == labels - first
    return surprisal(select(hot, logits - margins, logits), labels, scale=scale, axis_name=class_axis_name)


def ldam_margins(counts: Array, max_margin: float = 0.5) -> Array:
    r"""The margins of `ldam`: proportional to :math:`n^{-1/4}`, the largest being `max_margin`.

    Args:
        counts: Training examples per class; a class without any is taken to have one.
        max_margin: The margin of the rarest class.

    >>> ldam_margins(jnp.array([10000, 16, 1]))
    Array([0.05, 0.25, 0.5 ], dtype=float32)
    """
    margins = jnp.maximum(jnp.asarray(counts).astype(float), 1) ** -0.25
    return jnp.asarray(max_margin).astype(margins.dtype) * margins / jnp.max(margins)


def class_balanced_weights(counts: Array, beta: float = 0.9999) -> Array:
    r"""Weights per class, the inverse of the effective number of examples; they sum to the number of classes.

    .. math:: w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}

    Use them as ``weights=class_balanced_weights(counts)[labels]``. beta = 0 weighs all classes alike, beta = 1 by the inverse of
    the counts. A class without examples has weight 0 (its formula would be infinite) and no share in the sum.

    Args:
        counts: Training examples per class.
        beta: How much a further example overlaps with those before.

    >>> class_balanced_weights(jnp.array([1000, 10]), beta=1.0)
    Array([0.01980198, 1.980198  ], dtype=float32)

    References:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019. https://arxiv.org/abs/1901.05555
    """
    if isinstance(beta, int | float) and not 0 <= beta <= 1:
        raise ValueError(f"class_balanced_weights: `beta` must be between 0 and 1, got {beta}.")
    counts = jnp.asarray(counts).astype(float)
    if isinstance(beta, int | float):  # in Python 1 - 1e-9 keeps its digits; float32 would make it 1
        log_beta = jnp.asarray(math.log(max(beta, 1e-300)), counts.dtype)
    else:
        log_beta = jnp.log(jnp.maximum(beta, 1e-30)).astype(counts.dtype)
    seen = counts > 0
    effective = scaled_expm1(select(seen, counts, 1), log_beta)
    weights = select(seen, 1 / effective, 0)
    return counts.shape[-1] * weights / jnp.sum(weights, axis=-1, keepdims=True)


@loss("(),()->()", "real unit", gamma_positive="nonnegative", gamma_negative="nonnegative", clip="unit")
@hint(blocks=8)
def asymmetric(
    logits: Array,
    targets: Array,
    *,
    gamma_positive: float = 1.0,
    gamma_negative: float = 4.0,
    clip: float = 0.05,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Sigmoid focal loss that fades easy negatives harder than positives and drops the easiest: many labels, few of them on.

    .. math::
        \ell = -t\,(1 - p)^{\gamma_+} \log p - (1 - t)\, p_m^{\gamma_-} \log(1 - p_m) \qquad p_m = \max(p - \text{clip}, 0)

    with p the sigmoid of `logits` and `targets` t. Negatives with p below `clip` have no loss and no gradient, and an infinite
    logit counts as 1e30. The focusing weights are differentiated, as in the paper's formula; its code can switch that off, sums
    instead of averaging, and floors the logarithm at 1e-8. The paper's experiments use gamma_positive = 0; the default is the
    code's 1. All zero is `sigmoid_cross_entropy`.

    Args:
        logits: Log-odds of "yes".
        targets: 0 or 1, or a probability.
        gamma_positive: How fast easy positives fade.
        gamma_negative: How fast easy negatives fade.
        clip: The probability that a negative may have for free.

    >>> asymmetric(jnp.array([0.0, -4.0]), jnp.array([1, 0]), reduction="none")
    Array([0.3465736, 0.       ], dtype=float32)

    References:
        Ben-Baruch et al., Asymmetric Loss for Multi-Label Classification, 2021. https://arxiv.org/abs/2009.14119
    """
    logits = clipped(logits, -1e30, 1e30)  # 0 * inf is NaN
    no, yes = softplus(logits), softplus(-logits)  # -log(1 - p), -log p
    positive = targets * jnp.exp(-gamma_positive * no) * yes
    margin = jnp.exp(-yes) - clip
    active = ~(margin <= 0)  # so that NaN stays NaN
    log_margin = select(clip == 0, -yes, jnp.log(select(active & (clip != 0), margin, 1.0)))  # a second derivative squares 1 / margin
    log_rest = logaddexp(-no, safe_log(jnp.asarray(clip)))
    negative = -(1 - targets) * jnp.exp(gamma_negative * select(active, log_margin, 0.0)) * log_rest
    return positive + select(active, negative, 0.0)


@listed_as("stateful", "(k),()->()", "real class", p="nonnegative", q="nonnegative", epsilon="positive")
def seesaw(p: float = 0.8, q: float = 2.0, epsilon: float = 1e-2) -> StatefulLoss:
    r"""Softmax cross entropy that spares rare classes the gradients of frequent ones; it counts the labels it has seen.

    .. math::
        \ell = -\log \frac{e^{z_y}}{\sum_c S_c\, e^{z_c}} \qquad
        S_c = \min\Bigl(1, \frac{n_c}{n_y}\Bigr)^{p} \max\Bigl(1, \frac{\sigma_c}{\max(\sigma_y, \epsilon)}\Bigr)^{q}

    with n the counts of labels so far (at least 1, this batch included) and :math:`\sigma` the softmax; S is under stop_gradient.
    ``init(classes)`` gives the counts; ``apply(state, logits, labels, where=, weights=, reduction=, axis_name=)`` returns the
    value and the new counts. Masked examples and labels out of range are not counted.

    Args:
        p: Mitigation: how much less a rare class is pushed down by the examples of a frequent one.
        q: Compensation: how much more a class is pushed down that is mistaken for the label.
        epsilon: Smallest probability of the label in the quotient.

    >>> criterion = seesaw()
    >>> value, counts = criterion.apply(criterion.init(3), jnp.zeros((4, 3)), jnp.array([0, 0, 0, 1]))
    >>> counts
    Array([3, 1, 0], dtype=int32)

    References:
        Wang et al., Seesaw Loss for Long-Tailed Instance Segmentation, 2021. https://arxiv.org/abs/2008.10032
    """

    def init(classes: int) -> Array:
        return jnp.zeros(classes, jnp.int32)

    def apply(
        state: Array,
        logits: Array,
        labels: Array,
        *,
        where: Array | None = None,
        weights: Array | None = None,
        reduction: Reduction = "mean",
        axis_name: str | tuple[str, ...] | None = None,
    ) -> tuple[Array, Array]:
        counts = state + _histogram(labels, state.shape[0], where, weights, axis_name)
        value = _seesaw(
            logits, labels, counts, p=p, q=q, epsilon=epsilon, where=where, weights=weights, reduction=reduction, axis_name=axis_name
        )
        return value, counts

    return StatefulLoss(init, apply)


@loss("(k),(),(k)->()", "real class nonnegative")
def _seesaw(logits: Array, labels: Array, counts: Array, *, p: float, q: float, epsilon: float, **reduce: Unpack[Reduce]) -> Array:
    log_counts, log_scores = jnp.log(jnp.maximum(counts, 1)), log_softmax(logits)
    mitigation = p * jnp.minimum(log_counts - pick(log_counts, labels), 0)
    compensation = q * jnp.maximum(log_scores - jnp.maximum(pick(log_scores, labels), jnp.log(epsilon)), 0)
    return surprisal(logits + lax.stop_gradient(mitigation + compensation), labels)


class GradientDensity(NamedTuple):
    """How many examples have gradients of each length: a running mean, and the share of it that is not the initial 0."""

    counts: Array  # (bins,)
    mass: Array  # ()


@listed_as("stateful", "(),()->()", "real unit", momentum="unit")
def ghm(bins: int = 30, momentum: float = 0.75) -> StatefulLoss:
    r"""Sigmoid cross entropy in which crowds of equal gradients count once: very easy examples, and outliers, fade.

    .. math:: \ell_i = \frac{N}{M\, R_{b(i)}} \operatorname{CE}(p_i, t_i) \qquad b(i) = \lfloor \text{bins} \cdot |p_i - t_i| \rfloor

    with N examples, M bins that are not empty, and R the running mean of the examples per bin; the factor is under stop_gradient.
    ``init()`` gives the empty density; ``apply(state, logits, targets, where=, weights=, reduction=, axis_name=)`` returns the value and
    the new state. Masked examples are not counted. The running mean is corrected for its start at 0 (the authors' is not, and
    inflates the first steps); the value for momentum = 0 is theirs.

    Args:
        bins: Intervals of the gradient's length 0..1.
        momentum: Share of the density that an update keeps; below 1.

    >>> criterion = ghm(bins=10, momentum=0.0)
    >>> value, state = criterion.apply(criterion.init(), jnp.array([-5.0, -5.0, 0.0]), jnp.array([0, 0, 0]))
    >>> state.counts[jnp.array([0, 5])]
    Array([2., 1.], dtype=float32)

    References:
        Li, Liu and Wang, Gradient Harmonized Single-Stage Detector, 2019. https://arxiv.org/abs/1811.05181
    """
    if bins < 1:
        raise ValueError(f"ghm: `bins` must be 1 or more, got {bins}.")
    if isinstance(momentum, int | float) and momentum == 1:
        raise ValueError("ghm: `momentum` must be below 1, which would keep the density empty.")

    def init() -> GradientDensity:
        return GradientDensity(jnp.zeros(bins, jnp.float32), jnp.zeros((), jnp.float32))

    def apply(
        state: GradientDensity,
        logits: Array,
        targets: Array,
        *,
        where: Array | None = None,
        weights: Array | None = None,
        reduction: Reduction = "mean",
        axis_name: str | tuple[str, ...] | None = None,
    ) -> tuple[Array, GradientDensity]:
        dtype = state.counts.dtype
        length = jnp.abs(jax.nn.sigmoid(lax.stop_gradient(logits).astype(dtype)) - lax.stop_gradient(jnp.asarray(targets)).astype(dtype))
        place = select(jnp.isnan(length), -1, jnp.minimum(length * bins, bins - 1)).astype(jnp.int32)
        found = _histogram(place, bins, where, weights, axis_name).astype(dtype)
        some = jnp.sum(found) > 0  # a batch of which nothing is kept leaves the state alone
        kept = jnp.asarray(momentum, dtype)
        counts = select(some, kept * state.counts + (1 - kept) * found, state.counts)
        mass = select(some, kept * state.mass + (1 - kept), state.mass)
        density = counts / select(mass > 0, mass, jnp.ones_like(mass))
        share = jnp.sum(found) / (jnp.maximum(jnp.sum(found > 0), 1).astype(dtype) * select(found > 0, density, 1.0))
        factor = share.at[place].get(mode="fill", fill_value=1, wrap_negative_indices=False)
        value = _scaled_cross_entropy(logits, targets, factor, where=where, weights=weights, reduction=reduction, axis_name=axis_name)
        return value, GradientDensity(counts, mass)

    return StatefulLoss(init, apply)


@loss("(),(),()->()", "real unit nonnegative")
def _scaled_cross_entropy(logits: Array, targets: Array, factor: Array, **reduce: Unpack[Reduce]) -> Array:
    return factor * entry(sigmoid_cross_entropy).core(logits, targets)


class GradientBalance(NamedTuple):
    """Sums of the absolute gradients that each class got from its positives and from its negatives."""

    positive: Array  # (classes,)
    negative: Array  # (classes,)


@listed_as("stateful", "(),()->()", "real unit", gamma="positive", scale="nonnegative", alpha="unit")
def equalized_focal(gamma: float = 2.0, scale: float = 8.0, alpha: float | None = 0.25) -> StatefulLoss:
    r"""Sigmoid focal loss whose gamma grows for classes that get mostly negatives: long-tailed dense detection; it keeps a state.

    .. math::
        \ell_j = \frac{\gamma_j}{\gamma} \operatorname{focal}_{\gamma_j}(z_j, t_j) \qquad \gamma_j = \gamma + s\,(1 - g_j) \qquad
        g_j = \min\Bigl(1, \frac{G^+_j}{G^-_j}\Bigr)

    with `scale` s and G the absolute gradients in the logits that class j has had so far from its positives and its negatives; g starts at
    1. ``init(classes)`` gives the sums; ``apply(state, logits, targets, where=, weights=, reduction=, axis_name=)`` takes (..., k) arrays,
    one focal loss per class, uses g as it was and returns the value and the new sums (of the unreduced loss, by `jax.grad`).

    Args:
        gamma: Focusing of a balanced class; greater than 0.
        scale: How much the focusing of a rare class grows.
        alpha: Weight of the positives, ``1 - alpha`` of the negatives; None weighs both with 1.

    >>> criterion = equalized_focal()
    >>> value, state = criterion.apply(criterion.init(2), jnp.zeros((1, 2)), jnp.array([[1, 0]]))
    >>> value, jloss.sigmoid_focal(jnp.zeros((1, 2)), jnp.array([[1, 0]]), alpha=0.25)
    (Array(0.0866434, dtype=float32), Array(0.0866434, dtype=float32))

    References:
        Li et al., Equalized Focal Loss for Dense Long-Tailed Object Detection, 2022. https://arxiv.org/abs/2201.02593
    """

    def init(classes: int) -> GradientBalance:
        return GradientBalance(jnp.zeros(classes, jnp.float32), jnp.zeros(classes, jnp.float32))

    def apply(
        state: GradientBalance,
        logits: Array,
        targets: Array,
        *,
        where: Array | None = None,
        weights: Array | None = None,
        reduction: Reduction = "mean",
        axis_name: str | tuple[str, ...] | None = None,
    ) -> tuple[Array, GradientBalance]:
        state = jax.tree.map(lax.stop_gradient, state)
        balanced = state.positive >= state.negative
        ratio = select(balanced, 1.0, state.positive / select(balanced, 1.0, state.negative))
        focus = jnp.broadcast_to(jnp.asarray(gamma, ratio.dtype) + jnp.asarray(scale, ratio.dtype) * (1 - ratio), jnp.shape(logits))

        def total(z: Array) -> Array:
            return _equalized_focal(z, targets, focus, gamma=gamma, alpha=alpha, where=where, weights=weights, reduction="sum")

        length = jnp.abs(jax.grad(total)(lax.stop_gradient(logits))).astype(focus.dtype)
        finite = select(jnp.isfinite(length), length, 0.0)
        share = lax.stop_gradient(jnp.asarray(targets)).astype(focus.dtype)
        leading = tuple(range(jnp.ndim(logits) - 1))
        change = GradientBalance(*(jnp.sum(select(part > 0, part * finite, 0.0), axis=leading) for part in (share, 1 - share)))
        if axis_name is not None:
            change = lax.psum(change, axis_name)
        value = _equalized_focal(
            logits, targets, focus, gamma=gamma, alpha=alpha, where=where, weights=weights, reduction=reduction, axis_name=axis_name
        )
        return value, jax.tree.map(jnp.add, state, change)

    return StatefulLoss(init, apply)


@loss("(),(),()->()", "real unit nonnegative")
def _equalized_focal(logits: Array, targets: Array, focus: Array, *, gamma: float, alpha: float | None, **reduce: Unpack[Reduce]) -> Array:
    return focus / gamma * entry(sigmoid_focal).core(logits, targets, alpha=alpha, gamma=focus)


def _histogram(places: Array, size: int, where: Array | None, weights: Array | None, axis_name: str | tuple[str, ...] | None) -> Array:
    """How many of `places` are 0, 1, ... size - 1, without masked examples and over all devices."""
    places = jnp.asarray(places)
    kept = (places >= 0) & (places < size)
    for keep in (where, None if weights is None else weights != 0):
        kept = kept if keep is None else kept & keep
    counts = jnp.zeros(size, jnp.int32).at[select(kept, places, size).reshape(-1)].add(1, mode="drop")
    return counts if axis_name is None else lax.psum(counts, axis_name)
