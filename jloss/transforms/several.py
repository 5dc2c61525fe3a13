"""Several losses, or several outputs, of one model: how they become one number. Part of `jloss.transforms`.

`weighted_sum` and `uncertainty_weighted` return the total and its parts; inside another transform they are the total alone.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import check_number
from jloss._core.catalogue import entry as entry_of
from jloss._core.made import made
from jloss._core.reduction import reduce
from jloss._core.signature import Reduction
from jloss._core.types import ArrayLoss, LossWithParts, Number, Weight
from jloss.transforms._compose import (
    Loss,
    batch_transform,
    bind_call,
    cast_like,
    check_alike,
    combined,
    example_transform,
    loss_entry,
    over_mass,
    per_example_values,
    reduced,
    shared_mass,
)


@made
def weighted_sum(losses: Mapping[str, tuple[Weight, Loss]]) -> LossWithParts:
    r"""Several losses at once: the weighted total, and each part by name, without its weight, for the log.

    .. math::
        \ell' = \sum_i w_i(\text{step})\, \ell_i

    A weight is a number, an array, or an optax schedule, which is asked at `step`. The losses share their inputs where these
    have one meaning (``cross_entropy(logits, labels)`` and ``softmax_focal(logits, labels)``: one pair); otherwise
    every loss takes its inputs by their names, as keywords. A task with data of its own is given by its name as a tuple:
    ``total, parts = both(depth=(predictions, targets), kind=(logits, labels))``. Options go, by keyword, to every loss that
    has them. `where` and `weights` hold for all.

    Inside another transform it is the total alone.

    Args:
        losses: ``{name: (weight, loss)}``.

    >>> total, parts = weighted_sum({"l2": (0.5, squared_error), "l1": (2.0, absolute_error)})(jnp.array([3.0]), jnp.array([1.0]))
    >>> float(total), {name: float(value) for name, value in parts.items()}
    (6.0, {'l2': 4.0, 'l1': 2.0})

    References:
        Caruana, Multitask Learning, 1997. https://doi.org/10.1023/A:1007379606734
    """
    if not isinstance(losses, Mapping) or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in losses.values()):
        raise TypeError(f"weighted_sum: `losses` must be {{name: (weight, loss)}}, got {losses!r}.")
    factors = {n: weight for n, (weight, _) in losses.items()}
    for n, (weight, member) in losses.items():
        if not callable(member) and callable(weight):
            raise TypeError(f"weighted_sum: losses[{n!r}] must be (weight, loss), got (loss, weight)?")
        if not callable(weight):
            check_number("weighted_sum", f"losses[{n!r}][0]", weight)
    scheduled = [n for n, weight in factors.items() if callable(weight)]

    def combine(parts: dict[str, Array], unit: Array, step: Any = None) -> Array:
        if scheduled and step is None:
            raise TypeError(f"weighted_sum: `step` is needed, the weight of {scheduled[0]!r} is a schedule.")
        weights = {n: weight(step) if callable(weight) else weight for n, weight in factors.items()}
        for n in scheduled:
            check_number("weighted_sum", f"losses[{n!r}][0](step)", weights[n])
        return sum(cast_like(part, weights[n]) * part for n, part in parts.items())  # type: ignore[return-value]

    return combined("weighted_sum", {n: member for n, (_, member) in losses.items()}, combine, "step")


@made
def uncertainty_weighted(losses: Mapping[str, Loss]) -> LossWithParts:
    r"""Several losses whose weights are learned: each is divided by its own noise, which costs its logarithm.

    .. math::
        \ell' = \sum_i \tfrac12 \bigl(e^{-s_i} \ell_i + s_i\bigr) \qquad s_i = \log \sigma_i^2

    The log-variances s are parameters, given as ``log_variances={name: s}`` (or an array in the order of the losses) and learned with
    the others; start them at 0. For a fixed loss the best is :math:`s_i = \log \ell_i`, so that tasks on any scale end up with one
    weight. The total may be negative. Inputs and options are those of `weighted_sum`. (Ports differ by a factor 1/2 for
    classification; it shifts s by log 2 and nothing else.)

    Args:
        losses: ``{name: loss}``.

    >>> total, parts = uncertainty_weighted({"near": squared_error, "far": absolute_error})(
    ...     jnp.array([3.0]), jnp.array([1.0]), log_variances={"near": jnp.log(4.0), "far": jnp.log(2.0)})
    >>> total
    Array(2.0397, dtype=float32)

    References:
        Kendall, Gal, Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, 2018. https://arxiv.org/abs/1705.07115
    """
    if not isinstance(losses, Mapping):
        raise TypeError(f"uncertainty_weighted: `losses` must be {{name: loss}}, got {losses!r}.")
    names = list(losses)

    def combine(parts: dict[str, Array], unit: Array, log_variances: Any = None) -> Array:
        if log_variances is None:
            raise TypeError(f"uncertainty_weighted: `log_variances` is needed, one for each of {names}.")
        given = _by_name(names, log_variances)
        scales = {n: cast_like(part, given[n]) for n, part in parts.items()}
        return 0.5 * sum(jnp.exp(-scales[n]) * part + scales[n] * unit.astype(part.dtype) for n, part in parts.items())  # type: ignore[return-value]

    return combined("uncertainty_weighted", losses, combine, "log_variances")


def _by_name(names: list[str], log_variances: Any) -> Mapping[str, Any]:
    """A log-variance for each loss; raises where there are more or fewer, or one is no number."""
    given = log_variances
    if not isinstance(given, Mapping):
        shape = jnp.shape(given) if hasattr(given, "shape") else (len(given),) if isinstance(given, list | tuple) else None
        if shape != (len(names),):
            got = repr(given) if shape is None else f"shape {shape}"
            raise ValueError(f"uncertainty_weighted: `log_variances` must be one for each of {names}, by name or in this order, got {got}.")
        given = dict(zip(names, given, strict=True))
    for n in names:
        if n not in given:
            raise ValueError(f"uncertainty_weighted: `log_variances` lacks {n!r}.")
        check_number("uncertainty_weighted", f"log_variances[{n!r}]", given[n])
    if unknown := [n for n in given if n not in names]:
        raise ValueError(f"uncertainty_weighted: `log_variances` has {unknown[0]!r}, which is none of {names}.")
    return given


@made
def deep_supervision(loss: Loss, weights: Sequence[Number] | Array) -> ArrayLoss:
    r"""One loss at several depths of a network: a weighted sum over its outputs.

    .. math::
        \ell' = \sum_i w_i\, \ell(\text{predictions}_i, \text{targets})

    The first input is a tuple with an array for each depth. Any other input, `where` and `weights` may be such a tuple, too
    (targets at several resolutions), and are shared otherwise. Each depth is reduced by itself; its examples may be more or fewer.

    Args:
        loss: Any loss.
        weights: One per depth; they are not normalised.

    >>> deep_supervision(squared_error, (1.0, 0.5))((jnp.array([2.0]), jnp.array([3.0])), jnp.array([1.0]))
    Array(3., dtype=float32)

    References:
        Lee, Xie, Gallagher, Zhang, Tu, Deeply-Supervised Nets, 2015. https://arxiv.org/abs/1409.5185
    """
    entry, factors = loss_entry(loss), list(weights) if isinstance(weights, Iterable) else []
    if not factors:
        raise ValueError("deep_supervision: `weights` needs a number for each depth.")
    for i, weight in enumerate(factors):
        check_number("deep_supervision", f"weights[{i}]", weight)
    whole = entry_of(example_transform(f"deep_supervision({entry.name})", entry, lambda core, given: core(**given), {}, {}))
    first = next(iter(entry.inputs))

    def calls(given: dict[str, Any]) -> list[dict[str, Any]]:
        if not isinstance(given.get(first), list | tuple) or len(given[first]) != len(factors):
            raise ValueError(f"{whole.name}: `{first}` must be a tuple of {len(factors)} arrays, one for each depth.")
        several = {first} | {
            n
            for n, v in given.items()
            if isinstance(v, list | tuple)
            and len(v) == len(factors)
            and all(hasattr(x, "shape") for x in v)
            and entry.domains.get(n) != "tree"  # such as parameters: a tuple of them is one tree, and all depths have it
        }
        return [{n: v[i] if n in several else v for n, v in given.items()} for i in range(len(factors))]

    def examples(**given: Any) -> Any:
        each = [per_example_values(entry.public, **call) for call in calls(given)]
        check_alike(whole.name, {f"depth {i}": values for i, (values, _, _) in enumerate(each)})
        if any(isinstance(given.get(n), list | tuple) for n in ("where", "weights")):  # of each depth
            each = [(reduce(*depth, "none"), None, None) for depth in each]
        return sum(cast_like(v, w) * v for w, (v, _, _) in zip(factors, each, strict=True)), each[0][1], each[0][2]

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind_call(whole, args, kwargs, reduction)
        if reduction == "none":
            values, where, weights = examples(**given)
            return reduce(values, where, weights, "none")
        pairs = [entry.public(**call, reduction="parts") for call in calls(given)]
        mass = shared_mass(m for _, m in pairs)
        total: Any = sum(cast_like(t, w) * over_mass(t, m, mass) for w, (t, m) in zip(factors, pairs, strict=True))
        return reduced(total, mass, reduction)

    return batch_transform(whole, public, examples, loss, functools.partial(deep_supervision, weights=factors))
