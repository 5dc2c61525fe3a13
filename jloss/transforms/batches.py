"""Transforms of what is done with the losses of a batch."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import PartitionSpec, reshard

from jloss._core.arguments import check_array, check_number, is_known_number
from jloss._core.backend import spec_of
from jloss._core.catalogue import entry as entry_of
from jloss._core.domains import arithmetic_dtype
from jloss._core.made import made
from jloss._core.reduction import reduce
from jloss._core.signature import Reduction
from jloss._core.sorting import inverse_of, order_of
from jloss._core.types import L, Number, TreeLoss
from jloss.transforms._compose import (
    Loss,
    batch_transform,
    bind_call,
    cast_like,
    example_transform,
    loss_entry,
    per_example_values,
    reduced,
    with_inputs,
)


@made
def regularized(loss: Loss, penalty: Callable[..., Any], weight: Number = 1.0) -> TreeLoss:
    r"""The structural risk: the loss, which is the empirical risk, plus `weight` times a penalty of the parameters.

    .. math::
        \ell' = \ell(\text{predictions}, \text{targets}) + \text{weight} \cdot \Omega(\text{params})

    The new loss takes the parameters after the inputs: ``regularized(huber, l2, 1e-4)(predictions, targets, params)``. What may be left
    out, such as lengths or a mask, comes behind them.
    The penalty is part of every example's loss, so that the mean is the risk plus the penalty, whatever the batch size, the
    weights and the devices, and ``"parts"`` of micro-batches still add up; consequently ``"sum"`` counts it once per example.

    Args:
        loss: Any loss.
        penalty: Any function from the parameters (a pytree) to a number; `l1`, `l2`, `group_lasso`, ...
        weight: Factor of the penalty; an array works, too, and has a gradient.

    >>> fit = regularized(squared_error, lambda w: jnp.sum(w**2), weight=0.1)
    >>> fit(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]), jnp.array([3.0]))
    Array(2.9, dtype=float32)

    References:
        Vapnik, Principles of Risk Minimization for Learning Theory, 1991.
        https://papers.nips.cc/paper/1991/hash/ff4d5fbbafdf976cfdc032e3bde78de5-Abstract.html
    """
    if not callable(penalty):
        raise TypeError(f"regularized: `penalty` must be a function of the parameters, got {penalty!r}.")
    check_number("regularized", "weight", weight)
    entry = loss_entry(loss)
    order = dict.fromkeys([*entry.required, "params", *entry.inputs])
    domains = {**entry.domains, "params": "tree"}
    shown = with_inputs(entry, {n: entry.inputs.get(n, ()) for n in order}, {n: domains[n] for n in order})

    def take(given: dict[str, Any]) -> Any:
        return given["params"] if "params" in entry.inputs else given.pop("params")  # a second penalty is of the same parameters

    def penalized(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        params = take(given)
        value = core(**given)
        return value + cast_like(value, _times(weight, penalty(params)))

    whole = entry_of(example_transform(f"regularized({entry.name})", shown, penalized, {}, {}))

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind_call(whole, args, kwargs, reduction)
        if reduction == "none":
            values, where, weights = examples(**given)
            return reduce(values, where, weights, "none")
        extra = _times(weight, _penalty(penalty, take(given)))
        total, mass = entry.public(**given, reduction="parts")
        return reduced(total + mass * cast_like(total, extra), mass, reduction)

    def examples(**given: Any) -> Any:
        params = take(given)
        values, where, weights = per_example_values(entry.public, **given)
        return values + cast_like(values, _times(weight, _penalty(penalty, params))), where, weights

    return batch_transform(whole, public, examples, loss, functools.partial(regularized, penalty=penalty, weight=weight))


@made
def hardest(loss: L, fraction: Number) -> L:
    r"""The mean over the hardest part of a batch: online hard example mining, or the conditional value at risk.

    .. math::
        \ell' = \frac{\sum_i w_i h_i \ell_i}{\sum_i w_i h_i}
        \qquad h = 1 \text{ for the largest losses, up to a } \text{fraction} \text{ of } \textstyle\sum_i w_i

    The example at the border counts in part, so that the value is continuous in `fraction` and an integer weight stays a
    repetition: of 5 examples, ``fraction=0.5`` takes two and half of the third. The choice has no gradient. It is made among all that
    count, over the devices of `axis_name`, too, which then exchange one number per example. ``"none"`` gives 0 for the others. Of
    "parts" the choice is each micro-batch's own.

    Args:
        loss: Any loss.
        fraction: Above 0, up to 1, where it is the loss itself.

    >>> hardest(absolute_error, 0.5)(jnp.array([1.0, 5.0, 2.0, 3.0]), jnp.zeros(4))
    Array(4., dtype=float32)

    References:
        Shrivastava, Gupta, Girshick, Training Region-based Object Detectors with Online Hard Example Mining, 2016.
        https://arxiv.org/abs/1604.03540
        Rockafellar, Uryasev, Optimization of Conditional Value-at-Risk, 2000. https://doi.org/10.21314/JOR.2000.038
    """
    check_number("hardest", "fraction", fraction)
    if is_known_number(fraction) and not 0 < fraction <= 1:
        raise ValueError(f"hardest: `fraction` must be above 0 and up to 1, got {fraction}.")
    return _chosen("hardest", loss, fraction, functools.partial(hardest, fraction=fraction), is_kept=True)


@made
def trimmed(loss: L, fraction: Number) -> L:
    r"""The mean without the hardest part of a batch, for data in which so many labels are wrong.

    .. math::
        \ell' = \frac{\sum_i w_i (1 - h_i) \ell_i}{\sum_i w_i (1 - h_i)}

    with h as in `hardest`, of which it is the rest: ``fraction * hardest + (1 - fraction) * trimmed`` is the loss. A loss of inf or
    NaN is among the hardest. An input that is NaN is left out of the value, but not of the gradient: mask it.

    Args:
        loss: Any loss.
        fraction: The part that is left out, from 0, where it is the loss itself, to below 1.

    >>> trimmed(absolute_error, 0.25)(jnp.array([1.0, 100.0, 2.0, 3.0]), jnp.zeros(4))
    Array(2., dtype=float32)

    References:
        Rousseeuw, Least Median of Squares Regression, 1984. https://doi.org/10.1080/01621459.1984.10477105
        Shen, Sanghavi, Learning with Bad Training Data via Iterative Trimmed Loss Minimization, 2019.
        https://arxiv.org/abs/1810.11874
    """
    check_number("trimmed", "fraction", fraction)
    if is_known_number(fraction) and not 0 <= fraction < 1:
        raise ValueError(f"trimmed: `fraction` must be 0 or more and below 1, got {fraction}.")
    return _chosen("trimmed", loss, fraction, functools.partial(trimmed, fraction=fraction), is_kept=False)


def _penalty(penalty: Callable[..., Any], params: Any) -> Array:
    value = penalty(params)
    check_array("regularized", "penalty(params)", value)
    number = jnp.asarray(value)
    if number.shape:
        raise ValueError(f"regularized: a penalty must be one number, got shape {number.shape}.")
    return number


def _times(weight: Any, penalty: Any) -> Array:
    """Their product in float32 or wider, also of an integer or a number in half precision."""
    number = jnp.asarray(penalty)
    dtype = arithmetic_dtype(number)
    return jnp.asarray(weight).astype(dtype) * number.astype(dtype)


def _chosen(title: str, loss: Loss, fraction: Any, again: Callable[[Loss], Loss], is_kept: bool) -> Any:
    """The loss reduced with the weights of the hardest examples, or of all others."""
    entry = loss_entry(loss)
    whole = entry_of(example_transform(f"{title}({entry.name})", entry, lambda core, given: core(**given), {}, {}))

    def examples(**given: Any) -> Any:
        values, where, weights = per_example_values(entry.public, **given)
        mass = None if weights is None else weights.astype(values.dtype)
        mass = mass if where is None else jnp.where(where, jnp.ones_like(values) if mass is None else mass, 0)
        hard = _hardest(lax.stop_gradient(values), mass, cast_like(values, fraction), given.get("axis_name"))
        return values, where, hard if is_kept else (1 if mass is None else mass) - hard

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind_call(whole, args, kwargs, reduction)
        values, where, weights = examples(**given)
        return reduce(values, where, weights, reduction, given.get("axis_name"))

    return batch_transform(whole, public, examples, loss, again, reweighs=True)


@functools.partial(jax.jit, static_argnames="axis_name")
def _hardest(values: Array, mass: Array | None, fraction: Array, axis_name: Any) -> Array:
    """The mass of each example that belongs to the hardest `fraction` of all mass; NaN is hardest. A mass of None is 1 each."""
    spec = spec_of(values)
    if any(spec):  # no device of an explicit mesh sorts what others hold
        whole, *rest = (None if x is None else reshard(x, PartitionSpec()) for x in (values, mass, fraction))
        return reshard(_hardest(whole, *rest, axis_name=axis_name), PartitionSpec(*spec))
    keys, own = jnp.where(jnp.isnan(values), jnp.inf, values).ravel(), None if mass is None else mass.ravel()
    count, each = keys.shape[0], own
    if axis_name is not None:
        keys, each = jax.tree.map(lambda x: lax.all_gather(x, axis_name, tiled=True), (keys, each))
    order = order_of(-keys)
    rank = inverse_of(order)
    if each is None:
        before, total = rank.astype(values.dtype), cast_like(values, keys.shape[0])
    else:
        ranked = each[order]
        before, total = (jnp.cumsum(ranked) - ranked)[rank], jnp.sum(ranked)
    if axis_name is not None:
        before = lax.dynamic_slice_in_dim(before, lax.axis_index(axis_name) * count, count)
    own = jnp.ones_like(before) if own is None else own
    room = fraction * total - before
    none = (room < 0) | (fraction <= 0)  # so that in a weight of 0 the slope is 0 or 1, too
    share = jnp.where(none, jnp.zeros_like(own), jnp.where(room < own, room, own))
    share = jnp.where(share < 1e-4 * own, 0, jnp.where(share > (1 - 1e-4) * own, own, share))  # no slivers of rounding
    return share.reshape(values.shape)
