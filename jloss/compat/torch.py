"""`torch.nn.functional`'s losses: torch's names, argument order, keywords and reductions, on jloss cores.

Change ``import torch.nn.functional as F`` to ``import jloss.compat.torch as F`` and the numbers stay, gradients included, but
for the following, where torch 2.13 is wrong or silent:

==============================================  =============================  ======================================
case                                            torch 2.13                     here
==============================================  =============================  ======================================
soft_margin_loss at ``|x| = 100``               inf, gradient NaN              100, gradient 1
ctc_loss, gradient in ``log_probs``             that of the logits before      the derivative; the same after a
                                                a log_softmax                  log_softmax
ctc_loss, infeasible alignment                  inf, gradient NaN              inf, gradient 0
ctc_loss, label outside 0..C-1                  some number                    NaN for that sequence
cross_entropy, NaN logits in an ignored row     gradient NaN                   gradient 0
everything ignored, or an empty batch           NaN                            0, gradient 0
label outside 0..C-1                            error on CPUs only             NaN for that row
``label_smoothing`` below 0                     taken as 0                     ValueError
``(N, 1)`` against ``(N,)``, without a warning  (N, N)                         ValueError
exactly at a kink: `margin` met, or a tie       the slope of one side, or of   the slope where the loss is 0,
                                                both halves                    or of one side
binary_cross_entropy_with_logits at +-inf       NaN                            0 or inf
kl_div where the target is 0                    gradient NaN                   finite
cosine_embedding_loss of a zero vector          gradient 1e6                   gradient 0
cosine_embedding_loss of lengths near 1e-6      the cosine times less than 1   the cosine
cosine_embedding_loss, label 0                  loss 0                         as label -1
hinge_embedding_loss, label neither 1 nor -1    the sum of both branches       as label -1
float16 and bfloat16 input                      computed and returned in half  float32 loss, gradient in half
integer class labels                            int64 or uint8                 any integer dtype
binary_cross_entropy, gradient near 0 and 1     at most 1e12, 0 at a match     that of the log floored at -100
probability-and-index ambiguity of shapes       decided by shape               decided by dtype
==============================================  =============================  ======================================

Sizes of 1 broadcast as in torch, and where torch warns of shapes that differ (`l1_loss`, `mse_loss`, `smooth_l1_loss`,
`huber_loss`), so does this module.

A target in `multilabel_margin_loss` that names a class twice counts twice, as in torch. Values outside a documented domain
give NaN or a documented number, never an exception, so that everything works under `jax.jit`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

import jloss
from jloss._core.types import all_readable
from jloss.compat._torch import (
    along,
    as_floats,
    as_rows,
    call,
    check_smoothing,
    check_weight,
    class_axis,
    class_weight,
    in_equal_shapes,
    in_input_shape,
    in_one_shape,
    is_zero,
    lift,
    of_arrays,
    of_each_row,
    over_count,
    ratio,
    reduction_of,
    spread_into,
    stretched,
    times_weight,
    weight_of_label,
    weighted,
    with_warning,
)
from jloss.numerics import logsumexp


@of_arrays
def l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """Mean absolute error (`jloss.absolute_error`); a weighted mean divides by the sum of the weights."""
    return weighted("l1_loss", jloss.absolute_error, input, target, weight, reduction_of(size_average, reduce, reduction))


@of_arrays
def mse_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """Mean squared error (`jloss.squared_error`); a weighted mean divides by the sum of the weights."""
    return weighted("mse_loss", jloss.squared_error, input, target, weight, reduction_of(size_average, reduce, reduction))


@of_arrays
def smooth_l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Array:
    """`jloss.smooth_l1`; ``beta=0`` is `l1_loss`, as in torch."""
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: `beta` must be 0 or more, got {beta}.")
    how = reduction_of(size_average, reduce, reduction)
    inputs = with_warning("smooth_l1_loss", input, target)
    return call(jloss.absolute_error, *inputs, reduction=how) if beta == 0 else call(jloss.smooth_l1, *inputs, beta=beta, reduction=how)


@of_arrays
def huber_loss(input: Array, target: Array, reduction: str = "mean", delta: float = 1.0, weight: Array | None = None) -> Array:
    """`jloss.huber`; a weighted mean divides by the number of elements, unlike `mse_loss`."""
    check_weight("huber_loss", weight, input)
    values = jloss.huber(*with_warning("huber_loss", input, target), delta=delta, reduction="none")
    return over_count(values, weight, reduction_of(None, None, reduction), "huber_loss")


@of_arrays
def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """`jloss.cross_entropy` for integer targets, `jloss.soft_cross_entropy` for probabilities; classes on axis 1.

    Args:
        input: Logits: (C), (N, C) or (N, C, d1, ...).
        target: Class indices, without the class axis, or probabilities of the input's shape.
        weight: One per class. The mean over indices divides by the weights of the labels, over probabilities by the count.
        size_average: Legacy, see `reduction`.
        ignore_index: Rows with this label do not count.
        reduce: Legacy, see `reduction`.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: The part of the target that goes to all classes evenly.
    """
    how = reduction_of(size_average, reduce, reduction)
    axis = class_axis("cross_entropy", input)
    classes = input.shape[axis]
    weight = class_weight("cross_entropy", weight, classes)
    check_smoothing("cross_entropy", label_smoothing)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        if target.shape != input.shape:
            raise ValueError(
                f"cross_entropy: `target` of {target.dtype} holds probabilities and must have the shape of `input`, {input.shape}, got "
                f"{target.shape}. Of class indices say target.astype(int)."
            )
        if ignore_index >= 0:
            raise ValueError("cross_entropy: `ignore_index` is not supported for probability targets.")
        smooth = (1 - label_smoothing) * target + label_smoothing / classes
        soft = smooth if weight is None else smooth * along(weight, axis, input.ndim)
        return over_count(jloss.soft_cross_entropy(input, soft, axis=axis, reduction="none"), None, how)
    target = of_each_row("cross_entropy", input.shape, axis, target)
    where = target != ignore_index
    if weight is None:
        return call(jloss.cross_entropy, input, target, label_smoothing=label_smoothing, axis=axis, where=where, reduction=how)
    weights = weight_of_label(weight, target, where)
    hard = jloss.cross_entropy(input, target, axis=axis, where=where, weights=weights, reduction="none")
    even = jnp.broadcast_to(along(weight / classes, axis, input.ndim), input.shape)
    spread = jloss.soft_cross_entropy(input, even, axis=axis, where=where, reduction="none")
    mixed = (1 - label_smoothing) * hard + (label_smoothing * spread if not is_zero(label_smoothing) else 0)
    return mixed if how == "none" else jnp.sum(mixed) if how == "sum" else ratio(jnp.sum(mixed), jnp.sum(weights))


@of_arrays
def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.nll` of log-probabilities with classes on axis 1; the mean divides by the weights of the labels."""
    axis = class_axis("nll_loss", input)
    target = of_each_row("nll_loss", input.shape, axis, target)
    where = target != ignore_index
    weight = class_weight("nll_loss", weight, input.shape[axis])
    weights = None if weight is None else weight_of_label(weight, target, where)
    return call(jloss.nll, input, target, axis=axis, where=where, weights=weights, reduction=reduction_of(size_average, reduce, reduction))


@of_arrays
def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Array,
    *,
    linear_bias: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Array:
    """Cross entropy of a linear layer's logits. With `options`, or a chunk size, the logits are never held at once.

    Args:
        input: Hidden states: (D) or (N, D).
        linear_weight: The layer: (C, D), or (C, d1, ..., D) for a loss with further axes.
        target: Class indices, or probabilities.
        linear_bias: (C), or (C, d1, ...).
        weight: One per class.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        ignore_index: Rows with this label do not count; -100 if None.
        label_smoothing: The part of the target that goes to all classes evenly.
        options: A chunk size, or an object with `batch_chunk_size`; None holds the logits.
    """
    ignored = -100 if ignore_index is None else ignore_index
    size = getattr(options, "batch_chunk_size", options)
    indices = jnp.issubdtype(target.dtype, jnp.integer)
    if indices:
        target = of_each_row("linear_cross_entropy", (*input.shape[:-1], *linear_weight.shape[:-1]), input.ndim - 1, target, "the logits")
    plain = linear_weight.ndim == 2 and weight is None and indices
    if options is not None and plain:
        head = jloss.transforms.linear_head(jloss.cross_entropy, chunk_size=size)
        where = target != ignored
        return call(head, input, linear_weight, target, bias=linear_bias, label_smoothing=label_smoothing, where=where, reduction=reduction)
    logits = jnp.tensordot(
        input, linear_weight, axes=(-1, -1), preferred_element_type=jnp.float64 if input.dtype == jnp.float64 else jnp.float32
    )
    if linear_bias is not None:
        logits = logits + linear_bias.reshape((1,) * (input.ndim - 1) + linear_bias.shape)
    return cross_entropy(logits, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing)


@of_arrays
def binary_cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.binary_cross_entropy` of probabilities; a weighted mean divides by the number of elements."""
    values = jloss.binary_cross_entropy(*in_equal_shapes("binary_cross_entropy", input, target), reduction="none")
    return over_count(values, weight, reduction_of(size_average, reduce, reduction), "binary_cross_entropy")


@of_arrays
def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """`jloss.sigmoid_cross_entropy`; `pos_weight` and `weight` broadcast to the input, the mean divides by the elements."""
    name = "binary_cross_entropy_with_logits"
    input, target = in_equal_shapes(name, input, target)
    positive = 1.0 if pos_weight is None else spread_into(name, "pos_weight", pos_weight, input.shape)
    values = jloss.sigmoid_cross_entropy(input, target, positive_weight=positive, reduction="none")
    return over_count(values, weight, reduction_of(size_average, reduce, reduction), name)


@of_arrays
def kl_div(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """KL(target || input), `input` in logarithms: `jloss.kl_divergence` and `jloss.kl_divergence_with_log_targets`.

    Args:
        input: Log-probabilities.
        target: Probabilities, or logarithms of them.
        size_average: Legacy, see `reduction`.
        reduce: Legacy, see `reduction`.
        reduction: ``"mean"`` divides by the elements, ``"batchmean"`` by the batch; ``"sum"``; ``"none"`` keeps each element.
        log_target: Whether `target` holds logarithms.
    """
    rows = input.shape[0] if input.ndim else 1
    input, target = in_one_shape("kl_div", input=input, target=target)
    core = jloss.kl_divergence_with_log_targets if log_target else jloss.kl_divergence
    values = core(input[..., None], target[..., None], reduction="none")  # a class axis of one: the terms of the sum
    if reduction == "batchmean":  # torch divides what the legacy keywords leave, too
        return over_count(values, None, reduction_of(size_average, reduce, "sum")) / max(1, rows)
    return over_count(values, None, reduction_of(size_average, reduce, reduction))


@of_arrays
def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.poisson_nll`; `full` adds Stirling's approximation where the target exceeds 1, as torch does (jloss is exact)."""
    input, target = in_one_shape("poisson_nll_loss", input=input, target=target)
    values = jloss.poisson_nll(input, target, log_input=log_input, epsilon=eps, reduction="none")
    if full:
        large = target > 1
        t = jnp.where(large, target, 2).astype(values.dtype)
        values = values + jnp.where(large, t * jnp.log(t) - t + 0.5 * jnp.log(2 * np.pi * t), 0)
    return over_count(values, None, reduction_of(size_average, reduce, reduction))


@of_arrays
def gaussian_nll_loss(
    input: Array, target: Array, var: Array | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    """`jloss.gaussian_nll`. The variance is floored at `eps` with the gradient of the floored value, as torch does.

    Args:
        input: Means.
        target: True values, in the input's shape or with sizes of 1.
        var: Variances: a number, the input's shape, that shape without its last axis, or with one size of 1.
        full: Whether to add ``log(2 pi) / 2``.
        eps: The floor.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """
    if isinstance(var, int | float) and var < 0:
        raise ValueError(f"gaussian_nll_loss: `var` must be 0 or more, got {var}.")
    given = jnp.asarray(input).shape
    input, target = in_one_shape("gaussian_nll_loss", input=input, target=target)
    var = jnp.full(given, var, input.dtype) if isinstance(var, int | float) else jnp.asarray(var, input.dtype)
    if var.shape != given and var.shape == given[:-1]:
        var = var[..., None]
    elif var.shape != given and (var.ndim != len(given) or [n for n, m in zip(var.shape, given, strict=True) if n != m] != [1]):
        raise ValueError(
            f"gaussian_nll_loss: `var` must have the shape of `input`, {given}, that without its last axis, or with one size of 1; "
            f"got {var.shape}."
        )
    var = jnp.broadcast_to(lift(var, input.ndim), input.shape)
    floored = var + lax.stop_gradient(jnp.maximum(var, jnp.asarray(eps, var.dtype)) - var)
    values = jloss.gaussian_nll(input, target, floored, full=full, epsilon=np.finfo(np.float32).tiny.item(), reduction="none")
    return over_count(values, None, reduction_of(None, None, reduction))


@of_arrays
def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Array | Sequence[int],
    target_lengths: Array | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """`jloss.ctc` of log-probabilities, time first. The mean divides each sequence by its target length, then by the batch.

    Args:
        log_probs: (T, N, C), or (T, C) for one sequence.
        targets: (N, S), padded; or the concatenation of all targets, (sum of target_lengths).
        input_lengths: (N), or a number.
        target_lengths: (N), or a number.
        blank: The blank's index.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        zero_infinity: Whether infeasible sequences count 0 instead of inf.
    """
    how = reduction_of(None, None, reduction)
    if log_probs.ndim not in (2, 3):
        raise ValueError(f"ctc_loss: `log_probs` must have the axes (T, N, C) or (T, C), got shape {log_probs.shape}.")
    single = log_probs.ndim == 2
    if single:
        log_probs, targets = log_probs[:, None], jnp.reshape(targets, (1, -1))
    count = log_probs.shape[1]
    steps = jnp.broadcast_to(jnp.asarray(input_lengths, jnp.int32).reshape(-1), (count,))
    labels = jnp.broadcast_to(jnp.asarray(target_lengths, jnp.int32).reshape(-1), (count,))
    if targets.ndim == 1:
        targets = as_rows(targets, labels, target_lengths)
    scores = jnp.moveaxis(log_probs, 0, 1)
    normalised = jloss.ctc(scores, targets, steps, labels, blank=blank, reduction="none")
    inside = jnp.arange(log_probs.shape[0], dtype=jnp.int32)[None] < steps[:, None]
    mass = jnp.where(inside, logsumexp(jnp.where(inside[..., None], scores, 0).astype(normalised.dtype)), 0)  # 0 for log-probabilities
    infeasible = jnp.isposinf(normalised)
    values = jnp.where(infeasible, 0 if zero_infinity else jnp.inf, normalised - jnp.sum(mass, axis=1))
    if how == "none":
        return values[0] if single else values
    return jnp.sum(values) if how == "sum" else jnp.sum(values / jnp.maximum(labels, 1).astype(values.dtype)) / count


@of_arrays
def margin_ranking_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.margin_ranking`."""
    if jnp.ndim(input1) and not jnp.ndim(target):
        raise ValueError(f"margin_ranking_loss: `target` must have as many axes as `input1`, {input1.shape}; got a single number.")
    how = reduction_of(size_average, reduce, reduction)
    inputs = in_one_shape("margin_ranking_loss", input1=input1, input2=input2, target=target)
    return call(jloss.margin_ranking, *inputs, margin=float(margin), reduction=how)


@of_arrays
def hinge_embedding_loss(
    input: Array,
    target: Array,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.hinge_embedding`."""
    inputs = in_one_shape("hinge_embedding_loss", input=input, target=target)
    return call(jloss.hinge_embedding, *inputs, margin=float(margin), reduction=reduction_of(size_average, reduce, reduction))


@of_arrays
def soft_margin_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Array:
    """`jloss.logistic`."""
    inputs = in_input_shape("soft_margin_loss", input, target)
    return call(jloss.logistic, *inputs, reduction=reduction_of(size_average, reduce, reduction))


@of_arrays
def multi_margin_loss(
    input: Array,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.multi_margin`; the weight of the label's class multiplies, and the mean divides by the count."""
    input = jnp.atleast_1d(input)
    weight = class_weight("multi_margin_loss", weight, input.shape[-1])
    rows = input.shape[:-1]
    if target.shape != rows and not (rows in ((), (1,)) and target.shape in ((), (1,))):  # a row has a number or one of a single axis
        raise ValueError(f"multi_margin_loss: `target` must have one class index per row of `input`, {input.shape}, got {target.shape}.")
    values = jloss.multi_margin(input, target.reshape(rows), p=p, margin=margin, reduction="none").reshape(target.shape)
    weights = None if weight is None else weight_of_label(weight, target, jnp.ones(target.shape, bool))
    return over_count(values, weights, reduction_of(size_average, reduce, reduction), "multi_margin_loss")


@of_arrays
def multilabel_margin_loss(
    input: Array, target: Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Array:
    """`jloss.multilabel_margin` of class indices, a negative one ending the list; a class named twice counts twice."""
    input, target = jnp.atleast_1d(input), jnp.atleast_1d(target)
    if target.shape != input.shape:
        raise ValueError(
            f"multilabel_margin_loss: `target` must have the shape of `input`, {input.shape}, got {target.shape}; -1 ends a list."
        )
    classes = input.shape[-1]
    listed = jnp.cumsum((target < 0).astype(jnp.int32), axis=-1) == 0
    hit = listed[..., None] & (jax.nn.one_hot(target, classes) > 0)
    times = jnp.sum(hit, axis=-2)
    valid = jnp.all(jnp.where(listed, target < classes, True), axis=-1)
    values = jloss.multilabel_margin(input, times > 0, reduction="none")
    # A class named twice adds its term against the unnamed ones once more; found by leaving out the other named ones.
    unnamed = jnp.where(times[..., None, :] > 0, jnp.eye(classes, dtype=bool), True)
    for_class = jnp.broadcast_to(input[..., None, :], unnamed.shape)
    alone = jnp.where(unnamed, for_class, -jnp.inf)
    terms = jloss.multilabel_margin(alone, jnp.broadcast_to(jnp.eye(classes, dtype=bool), unnamed.shape), reduction="none")
    again = jnp.sum(jnp.where(times > 1, (times - 1).astype(terms.dtype) * terms, 0), axis=-1)
    values = jnp.where(valid, values + again, jnp.nan)
    return over_count(values, None, reduction_of(size_average, reduce, reduction))


@of_arrays
def multilabel_soft_margin_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.multilabel_soft_margin`: the mean over the last axis, then over the batch; `weight` multiplies each class."""
    how = reduction_of(size_average, reduce, reduction)
    name = "multilabel_soft_margin_loss"
    input, target = in_input_shape(name, input, target)
    if not input.ndim or not input.shape[-1]:
        raise ValueError(f"{name}: `input` must have the axes (C) or (N, C), and one class at least, got shape {input.shape}.")
    if weight is None:
        return call(jloss.multilabel_soft_margin, input, target, reduction=how)
    terms = jloss.sigmoid_cross_entropy(input, target, reduction="none")
    return over_count(jnp.mean(times_weight(terms, spread_into(name, "weight", weight, input.shape)), axis=-1), None, how)


@of_arrays
def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.cosine_embedding`; a target of 0 or below asks for dissimilarity."""
    if jnp.ndim(target) != jnp.ndim(input1) - 1:
        raise ValueError(
            f"cosine_embedding_loss: `target` must have one axis less than `input1`, {jnp.shape(input1)}, got {jnp.shape(target)}."
        )
    signs = jnp.where(target > 0, 1.0, -1.0)
    input1, input2, _ = in_one_shape("cosine_embedding_loss", input1=input1, input2=input2, target=signs[..., None])
    how = reduction_of(size_average, reduce, reduction)
    return call(jloss.cosine_embedding, input1, input2, jnp.broadcast_to(signs, input1.shape[:-1]), margin=float(margin), reduction=how)


@of_arrays
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """`jloss.triplet_margin`, with torch's `eps` added to every difference.

    Args:
        anchor: (..., D).
        positive: (..., D).
        negative: (..., D).
        margin: Greater than 0.
        p: The norm's degree.
        eps: Added to each difference, so distances are not quite symmetric.
        swap: Whether the negative is compared with the nearer of anchor and positive.
        size_average: Legacy, see `reduction`.
        reduce: Legacy, see `reduction`.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
    """

    def distance(x: Array, y: Array) -> Array:
        return pairwise_distance(x, y, p, eps)

    how = reduction_of(size_average, reduce, reduction)
    return triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=distance, margin=margin, swap=swap, reduction=how
    )


@of_arrays
def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Callable[[Array, Array], Array] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """The triplet margin with a distance of your own, by `jloss.margin_ranking`; `pairwise_distance` by default."""
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss: `margin` must be greater than 0, got {margin}.")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ValueError(
            "triplet_margin_loss: `anchor`, `positive` and `negative` must have as many axes; "
            f"got {anchor.shape}, {positive.shape}, {negative.shape}."
        )
    distance = distance_function or pairwise_distance
    distances = [distance(anchor, positive), distance(anchor, negative), *([distance(positive, negative)] if swap else [])]
    near, far, *other = stretched(distances)
    if swap:
        far = jnp.minimum(far, *other)
    return call(jloss.margin_ranking, far, near, jnp.ones_like(near), margin=float(margin), reduction=reduction_of(None, None, reduction))


@of_arrays
def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of ``x1 - x2 + eps`` over the last axis, with a finite gradient at 0; ``p=0`` counts what differs, without a gradient."""
    if not p >= 0:
        raise ValueError(f"pairwise_distance: `p` must be 0 or more, got {p}.")
    pair = as_floats(x1, x2)
    try:
        x1, x2 = stretched(pair)
    except ValueError:
        raise ValueError(f"pairwise_distance: `x1` of shape {pair[0].shape} and `x2` of shape {pair[1].shape} do not broadcast.") from None
    if x1.ndim == 0:  # two numbers are their own last axis, which stays away
        return pairwise_distance(x1[None], x2[None], p, eps)
    moved = x1 + jnp.asarray(eps, x1.dtype)
    if p == 0:
        distance = jnp.sum(moved != x2, axis=-1).astype(jnp.promote_types(x1.dtype, jnp.float32))
    else:
        distance = jloss.triplet_margin(moved, x2, moved, margin=0.0, p=float(p), reduction="none")  # the other distance is 0
    return distance[..., None] if keepdim else distance


class AdaptiveOutput(NamedTuple):
    """What the adaptive softmax gives: the log-probability of each target, and the mean loss."""

    output: Array
    loss: Array


@of_arrays
def adaptive_log_softmax_with_loss(input: Array, target: Array, parameters: Any, cutoffs: Sequence[int]) -> AdaptiveOutput:
    """`torch.nn.AdaptiveLogSoftmaxWithLoss` as a function of its parameters (`jloss.init_adaptive_log_softmax`).

    Args:
        input: Hidden states: (N, D) or (D).
        target: Class indices: (N) or ().
        parameters: The pytree of head and tails.
        cutoffs: The first class of each tail cluster, and the number of classes.
    """
    target = of_each_row("adaptive_log_softmax_with_loss", input.shape, input.ndim - 1, target)
    losses = jloss.adaptive_log_softmax(input, target, parameters, cutoffs=tuple(cutoffs), reduction="none")
    return AdaptiveOutput(-losses, jnp.mean(losses))


all_readable({name: value for name, value in vars().items() if getattr(value, "__module__", "") == __name__}, exact=True)
