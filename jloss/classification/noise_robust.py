r"""Classification when some labels are wrong: losses that a confident mistake cannot dominate.

`logits` are unnormalised log-probabilities over k classes, `labels` are class indices, :math:`p` is the softmax and :math:`y` the
label. Cross entropy grows without bound as :math:`p_y \to 0`, so it learns wrong labels by heart; these losses are bounded, or
nearly symmetric (their sum over all labels is constant), or remember what the network believed before it memorised.

`class_axis_name` names the mesh axis over which the classes are split inside `jax.shard_map`. A logit of -inf is an absent class.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses, Reduce, Reduction
from jloss._core.stateful import StatefulLoss, listed_as
from jloss.numerics import below, clipped, log_partition, log_softmax, pick, safe_divide, safe_log
from jloss.numerics._special import expm1, focal, scaled_expm1, scaled_log1p, surprisal


@loss("(k),()->()", "real class", q="unit")
def generalized_cross_entropy(
    logits: Array, labels: Array, *, q: float = 0.7, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]
) -> Array:
    r"""Between cross entropy (q = 0) and the mean absolute error (q = 1): bounded, so wrong labels are not learnt by heart.

    .. math:: \ell = \frac{1 - p_y^q}{q} \qquad p = \operatorname{softmax}(\text{logits})

    The gradient is the one of cross entropy times :math:`p_y^q`: an example that the network firmly contradicts counts little. At
    p_y = 0 the loss is 1/q with gradient 0 (Keras, from probabilities: NaN). Larger q is more robust and trains more slowly.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        q: 0 is `cross_entropy`, 1 is one minus the label's probability.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> generalized_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0), q=1.0)
    Array(0.5, dtype=float32)

    References:
        Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels, 2018. https://arxiv.org/abs/1805.07836
    """
    return -scaled_expm1(-surprisal(logits, labels, axis_name=class_axis_name), jnp.asarray(q))


@loss("(k),()->()", "real class", alpha="nonnegative", beta="nonnegative")
def symmetric_cross_entropy(
    logits: Array,
    labels: Array,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
    class_axis_name: str | None = None,
    **reduce: Unpack[OverClasses],
) -> Array:
    r"""Cross entropy plus `reverse_cross_entropy`: the first learns fast, the second tolerates wrong labels.

    .. math:: \ell = -\alpha \log p_y - \beta A\,(1 - p_y) \qquad p = \operatorname{softmax}(\text{logits})

    with `log_zero` A standing for log 0. The paper uses (0.1, 1) for ten classes and (6, 0.1) for a hundred, and A = -4; its code
    clips the label at 1e-4, which is A = -9.21.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        alpha: Weight of the cross entropy.
        beta: Weight of the reverse cross entropy.
        log_zero: What log 0 counts; negative.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> symmetric_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0))
    Array(2.0693147, dtype=float32)

    References:
        Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, 2019. https://arxiv.org/abs/1908.06112
    """
    hit = surprisal(logits, labels, axis_name=class_axis_name)
    return alpha * hit + beta * log_zero * expm1(-hit)


@loss("(k),()->()", "real class")
def reverse_cross_entropy(
    logits: Array, labels: Array, *, log_zero: float = -4.0, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]
) -> Array:
    r"""Cross entropy with prediction and label exchanged; a multiple of the mean absolute error, robust and slow to train.

    .. math:: \ell = -\sum_c p_c \log [c = y] = -A\,(1 - p_y) \qquad p = \operatorname{softmax}(\text{logits})

    with `log_zero` A standing for log 0. Rarely used alone: see `symmetric_cross_entropy`.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        log_zero: What log 0 counts; negative.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> reverse_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0))
    Array(2., dtype=float32)

    References:
        Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, 2019. https://arxiv.org/abs/1908.06112
    """
    return log_zero * expm1(-surprisal(logits, labels, axis_name=class_axis_name))


@loss("(k),()->()", "real class")
def normalized_cross_entropy(logits: Array, labels: Array, *, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]) -> Array:
    r"""Cross entropy of the label, divided by the sum over all labels it could have been: between 0 and 1, and robust.

    .. math:: \ell = \frac{\log p_y}{\sum_c \log p_c} \qquad p = \operatorname{softmax}(\text{logits})

    Alone it tends to underfit; the paper adds an active loss such as `reverse_cross_entropy` (NCE + RCE). Absent classes do not
    count; with one class left the loss is 0.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> normalized_cross_entropy(jnp.zeros(4), jnp.array(0))
    Array(0.25, dtype=float32)

    References:
        Ma et al., Normalized Loss Functions for Deep Learning with Noisy Labels, 2020. https://arxiv.org/abs/2006.13554
    """
    return _normalized(logits, labels, lambda surprisal: surprisal, class_axis_name)


@loss("(k),()->()", "real class", gamma="nonnegative")
def normalized_focal(
    logits: Array, labels: Array, *, gamma: float = 2.0, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]
) -> Array:
    r"""Softmax focal loss of the label, divided by the sum over all labels it could have been.

    .. math:: \ell = \frac{(1 - p_y)^\gamma \log p_y}{\sum_c (1 - p_c)^\gamma \log p_c} \qquad p = \operatorname{softmax}(\text{logits})

    gamma = 0 is `normalized_cross_entropy`. The whole quotient is differentiated (the authors' code detaches a part of the
    denominator). Absent classes do not count; with one class left the loss is 0.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The class; outside 0..k-1 the example is NaN.
        gamma: How fast easy examples fade.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> normalized_focal(jnp.zeros(4), jnp.array(0))
    Array(0.25, dtype=float32)

    References:
        Ma et al., Normalized Loss Functions for Deep Learning with Noisy Labels, 2020. https://arxiv.org/abs/2006.13554
    """
    return _normalized(logits, labels, lambda surprisal: focal(surprisal, gamma), class_axis_name)


@loss("(k),(k)->()", "real prob", t1="unit", t2="one_or_more")
def bi_tempered_logistic(
    logits: Array, targets: Array, *, t1: float = 0.8, t2: float = 1.2, iterations: int = 5, **reduce: Unpack[OverClasses]
) -> Array:
    r"""Cross entropy with a bounded logarithm (t1 < 1, against outliers) and a softmax with heavy tails (t2 > 1, against wrong labels).

    .. math::
        \ell = \sum_c y_c (\log_{t_1} y_c - \log_{t_1} p_c) - \frac{y_c^{2 - t_1} - p_c^{2 - t_1}}{2 - t_1} \qquad
        p_c = \exp_{t_2}(z_c - \lambda(z)), \quad \sum_c p_c = 1

    with `targets` y, `logits` z, :math:`\log_t x = (x^{1 - t} - 1) / (1 - t)` and its inverse :math:`\exp_t`. t1 = t2 = 1 is
    `soft_cross_entropy` less the entropy of the targets.

    The normaliser comes from the paper's fixed point and two Newton steps; the steps alone are differentiated, which is the
    implicit derivative, exact to second order (the authors' code writes the gradient by hand and has none beyond the first).

    Args:
        logits: Unnormalised; a class at -inf has probability 0.
        targets: A probability per class; one-hot for labels.
        t1: Temperature of the logarithm, 0 to 1; below 1 the loss is bounded.
        t2: Temperature of the exponential, 1 or more; above 1 the tails are heavy. NaN where the number of classes to the power of t2 - 1
            overflows, in float32 from 20 on of 100 classes; logits have lost their influence long before.
        iterations: Steps of the fixed point; more are needed only for t2 far above 1.

    >>> bi_tempered_logistic(jnp.array([0.0, 0.0]), jnp.array([1.0, 0.0]), t1=0.5)
    Array(0.3905243, dtype=float32)

    References:
        Amid et al., Robust Bi-Tempered Logistic Loss Based on Bregman Divergences, 2019. https://arxiv.org/abs/1906.03361
    """
    if iterations < 0:
        raise ValueError(f"bi_tempered_logistic: `iterations` must be 0 or more, got {iterations}.")
    present = logits != -jnp.inf
    tempered = _log_tempered_softmax(select(present, logits, 0.0), present, jnp.asarray(t2), iterations)
    log_p = select(present, tempered, -1e30)
    order = jnp.asarray(1 - t1)
    certain = targets == 0
    log_y = select(certain, 0.0, jnp.log(select(certain, 1.0, targets)))
    bounded = order > 0
    least = -1 / select(bounded, order, 1.0)  # the bounded logarithm of 0, of which a target of 0 has its gradient
    gap = select(certain, least, scaled_expm1(log_y, order)) - scaled_expm1(log_p, order)
    divergence = select(certain & ~bounded, 0.0, targets * gap)
    power_y = select(certain, 0.0, jnp.exp((2 - t1) * log_y))
    return jnp.sum(divergence - (power_y - jnp.exp((2 - t1) * log_p)) / (2 - t1))


class EarlyLearningState(NamedTuple):
    """What the network believed of each example of the data set: a running mean of its probabilities."""

    memory: Array  # (examples, classes)


@listed_as("stateful", "(k),()->()", "real class", strength="nonnegative", beta="unit")
def early_learning(strength: float = 3.0, beta: float = 0.7) -> StatefulLoss:
    r"""Cross entropy held near the network's own early predictions, before it memorises wrong labels; it keeps a state.

    .. math::
        \ell = -\log p_y + \lambda \log\Bigl(1 - \sum_c t_c\, p_c\Bigr) \qquad t \leftarrow \beta\, t + (1 - \beta)\, \tilde p

    with `strength` :math:`\lambda` and t the running mean of this example's own predictions (clipped to 1e-4 .. 1 - 1e-4), under
    stop_gradient. ``init(examples, classes)`` gives the memory; ``apply(state, logits, labels, indices, where=, weights=, reduction=,
    axis_name=)`` wants each example's index in the data set and returns the value and the new state. Masked examples,
    logits that are NaN and indices outside the data set leave the memory alone. With `axis_name` the memory is the same on every
    device and takes the updates of all of them.

    Args:
        strength: Of the regulariser; the paper uses 3 for ten classes and 7 for a hundred.
        beta: Share of the memory that an update keeps; 0.7 and 0.9 in the paper.

    >>> criterion = early_learning()
    >>> state = criterion.init(100, 3)
    >>> value, state = criterion.apply(state, jnp.zeros((2, 3)), jnp.array([0, 1]), jnp.array([17, 42]))
    >>> state.memory[17]
    Array([0.1, 0.1, 0.1], dtype=float32)

    References:
        Liu et al., Early-Learning Regularization Prevents Memorization of Noisy Labels, 2020. https://arxiv.org/abs/2007.00151
    """

    def init(examples: int, classes: int) -> EarlyLearningState:
        return EarlyLearningState(jnp.zeros((examples, classes), jnp.float32))

    def apply(
        state: EarlyLearningState,
        logits: Array,
        labels: Array,
        indices: Array,
        *,
        where: Array | None = None,
        weights: Array | None = None,
        reduction: Reduction = "mean",
        axis_name: str | tuple[str, ...] | None = None,
    ) -> tuple[Array, EarlyLearningState]:
        memory = lax.stop_gradient(state.memory)
        count = memory.shape[0]
        at = select((indices >= 0) & (indices < count), indices, count)
        for keep in (where, None if weights is None else weights != 0):
            at = at if keep is None else select(keep, at, count)
        belief = jnp.clip(jax.nn.softmax(lax.stop_gradient(logits).astype(memory.dtype)), 1e-4, 1 - 1e-4)
        belief = belief / jnp.sum(belief, axis=-1, keepdims=True)
        old = memory.at[at].get(mode="fill", fill_value=0)
        kept = jnp.asarray(beta, memory.dtype)
        new = kept * old + (1 - kept) * belief
        value = _early_learning(
            logits, labels, new, strength=strength, where=where, weights=weights, reduction=reduction, axis_name=axis_name
        )
        at = select(jnp.all(jnp.isfinite(new), axis=-1), at, count)
        if axis_name is not None:
            at, new = _from_all_devices(at, axis_name), _from_all_devices(new, axis_name)
        return value, EarlyLearningState(memory.at[at].set(new, mode="drop"))

    return StatefulLoss(init, apply)


@loss("(k),(),(k)->()", "real class prob")
def _early_learning(logits: Array, labels: Array, memory: Array, *, strength: float, **reduce: Unpack[Reduce]) -> Array:
    agreement = jnp.sum(memory * jnp.exp(log_softmax(logits)))
    return surprisal(logits, labels) + strength * jnp.log(jnp.maximum(1 - agreement, 1e-6))


def _normalized(logits: Array, labels: Array, score: Callable[[Array], Array], axis_name: str | None) -> Array:
    logits = clipped(logits, -jnp.inf, 1e30)  # infinite surprisals have no quotient
    log_total, peak = log_partition(logits, axis_name=axis_name)
    present = logits > -jnp.inf
    each = select(present, log_total - below(select(present, logits, 0.0), peak), 0.0)
    total = jnp.sum(score(each))
    if axis_name is not None:
        total = lax.psum(total, axis_name)
    hit = log_total[0] - below(pick(logits, labels, axis_name=axis_name), peak[0])
    total = select(hit == jnp.inf, lax.stop_gradient(total), total)  # the label of an absent class
    return safe_divide(score(hit), total)


def _log_tempered_softmax(logits: Array, present: Array, t: Array, iterations: int) -> Array:
    """The logarithms of ``exp_t(logits - l)`` with `l` such that they sum to 1, for ``t >= 1``."""
    a = logits - lax.stop_gradient(jnp.max(select(present, logits, -jnp.inf)))

    def log_exp_t(x: Array) -> Array:  # the ordinary logarithm of the tempered exponential
        return scaled_log1p(x, 1 - t)

    def total(x: Array, power: Array | float = 1.0) -> Array:
        return jnp.sum(select(present, jnp.exp(power * log_exp_t(x)), 0.0))

    fixed = lax.stop_gradient(a)
    temperature = lax.stop_gradient(t)

    def shrink(_: Any, x: Array) -> Array:
        return fixed * jnp.exp((1 - temperature) * jnp.log(lax.stop_gradient(total(x))))

    shrunk = lax.stop_gradient(lax.fori_loop(0, iterations, shrink, fixed))
    level = lax.stop_gradient(-scaled_expm1(-safe_log(total(shrunk)), 1 - t))
    for _ in range(2):  # Newton: each step doubles the digits, and the order of derivative that is exact
        level = level + (total(a - level) - 1) / total(a - level, t)
    return log_exp_t(a - level)


def _from_all_devices(x: Array, axis_name: str | tuple[str, ...]) -> Array:
    """The rows of every device, the same on each: a sum of slots, which `jax.shard_map` knows to be replicated."""
    names = (axis_name,) if isinstance(axis_name, str) else axis_name
    for name in reversed(names):
        slots = jnp.zeros((lax.axis_size(name), *x.shape), x.dtype).at[lax.axis_index(name)].set(x)
        x = lax.psum(slots, name).reshape(-1, *x.shape[1:])
    return x
