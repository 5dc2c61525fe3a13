"""Functions from losses to losses. What comes out keeps the contract: masks, weights, reductions, `axis_name`, jit, vmap, grad.

Some change the loss of one example (`tilted`, `tolerant`), others what is done with the losses of a batch (`regularized`,
`weighted_sum`). They compose in any order; the first kind acts below the second, so ``tilted(regularized(huber, l2))`` is
``regularized(tilted(huber), l2)``. Build a transformed loss once, outside of the training step: each one is compiled anew.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jloss._chunk import Backward
from jloss._loss import Entry, Reduction, entry, reduce
from jloss._math import absolute, positive_part
from jloss._shapes import widest
from jloss._transform import (
    Loss,
    base,
    below,
    bind,
    derived,
    in_chunks,
    like,
    loss_entry,
    outer,
    reduced,
    together,
    unreduced,
    with_inputs,
)

NUMBERS = {"real", "positive", "nonnegative", "above_minus_one"}  # domains with a unit in common


def tilted(loss: Loss, over: float | Array = 1.0, under: float | Array = 1.0) -> Loss:
    r"""The loss times `over` where the prediction is too high, times `under` where it is too low.

    .. math::
        \ell' = \ell \cdot \begin{cases} \text{over} & \text{predictions} > \text{targets} \\ \text{under} & \text{otherwise} \end{cases}

    For costs that differ: an empty shelf costs more than a full store. ``tilted(absolute_error, 1 - q, q)`` is `quantile`,
    ``tilted(squared_error, 1 - q, q)`` is `expectile`. The gradient is that of the loss, times the same factor.

    Args:
        loss: An elementwise loss of predictions and targets.
        over: Factor above the target. It becomes an option of the new loss, with this default.
        under: Factor below the target, likewise.

    >>> tilted(absolute_error, over=1.0, under=3.0)(jnp.array([2.0, 0.0]), jnp.ones(2), reduction="none")
    Array([1., 3.], dtype=float32)

    References:
        Koenker, Bassett, Regression Quantiles, 1978. https://doi.org/10.2307/1913643
    """
    found = base(loss)
    if found is None:
        return below(loss, functools.partial(tilted, over=over, under=under))
    predictions, targets = _error_of("tilted", found)

    def tilt(core: Callable[..., Array], given: dict[str, Any], *, over: Array, under: Array) -> Array:
        return jnp.where(given[predictions] > given[targets], over, under) * core(**given)

    return derived(f"tilted({found.name})", found, tilt, {"over": over, "under": under}, {"over": "nonnegative", "under": "nonnegative"})


def tolerant(loss: Loss, margin: float | Array) -> Loss:
    r"""Errors up to `margin` are free, larger ones count from there.

    .. math::
        \ell' = \ell(\text{targets} + \operatorname{sign}(e) \max(|e| - \text{margin}, 0),\ \text{targets})
        \qquad e = \text{predictions} - \text{targets}

    For targets that are rounded or known up to a tolerance. ``tolerant(absolute_error, m)`` is `epsilon_insensitive`,
    ``tolerant(squared_error, m)`` is `squared_epsilon_insensitive`. Within the margin the gradient is 0, also at its border.

    Args:
        loss: An elementwise loss of predictions and targets.
        margin: The tolerated error, in the unit of the targets; nonnegative. It becomes an option of the new loss.

    >>> tolerant(squared_error, margin=0.5)(jnp.array([1.25, 3.0]), jnp.ones(2), reduction="none")
    Array([0.  , 2.25], dtype=float32)

    References:
        Vapnik, The Nature of Statistical Learning Theory, 1995. https://doi.org/10.1007/978-1-4757-3264-1
    """
    found = base(loss)
    if found is None:
        return below(loss, functools.partial(tolerant, margin=margin))
    predictions, targets = _error_of("tolerant", found)

    def shrink(core: Callable[..., Array], given: dict[str, Any], *, margin: Array) -> Array:
        error = given[predictions] - given[targets]
        beyond = jnp.sign(error) * positive_part(absolute(error) - margin)
        return core(**{**given, predictions: given[targets] + beyond})

    return derived(f"tolerant({found.name})", found, shrink, {"margin": margin}, {"margin": "nonnegative"})


def regularized(loss: Loss, penalty: Callable[..., Any], weight: float | Array = 1.0) -> Loss:
    r"""The structural risk: the loss, which is the empirical risk, plus `weight` times a penalty of the parameters.

    .. math::
        \ell' = \ell(\text{predictions}, \text{targets}) + \text{weight} \cdot \Omega(\text{params})

    The new loss takes the parameters after the inputs: ``regularized(huber, l2, 1e-4)(predictions, targets, params)``.
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
    found = loss_entry(loss)
    shown = with_inputs(found, {**found.inputs, "params": ()}, {**found.domains, "params": "tree"})

    def penalized(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        params = given.pop("params")
        return core(**given) + weight * penalty(params)

    whole = entry(derived(f"regularized({found.name})", shown, penalized, {}, {}))

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind(whole, args, kwargs)
        if reduction == "none":
            values, where, weights = examples(**given)
            return reduce(values, where, weights, "none")
        extra = weight * _penalty(penalty, given.pop("params"))
        total, mass = found.public(**given, reduction="parts")
        return reduced(total + mass * like(total, extra), mass, reduction)

    def examples(params: Any, **given: Any) -> Any:
        values, where, weights = unreduced(found.public, **given)
        return values + like(values, weight * _penalty(penalty, params)), where, weights

    return outer(whole, public, examples, found.public, functools.partial(regularized, penalty=penalty, weight=weight))


def weighted_sum(losses: Mapping[str, tuple[Any, Loss]]) -> Callable[..., tuple[Any, dict[str, Any]]]:
    r"""Several losses at once: the weighted total, and each part by name, without its weight, for the log.

    .. math::
        \ell' = \sum_i w_i(\text{step})\, \ell_i

    A weight is a number, an array, or an optax schedule, which is asked at `step`. The losses share their inputs where these
    have one meaning (``cross_entropy(logits, labels)`` and ``softmax_focal(logits, labels)``: one pair); otherwise
    every loss takes its inputs by their names. A task with data of its own is given by its name as a tuple:
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
    factors = {n: weight for n, (weight, _) in losses.items()}
    scheduled = [n for n, weight in factors.items() if callable(weight)]

    def combine(parts: dict[str, Array], unit: Array, step: Any = None) -> Array:
        if scheduled and step is None:
            raise TypeError(f"weighted_sum: `step` is needed, the weight of {scheduled[0]!r} is a schedule.")
        weights = {n: weight(step) if callable(weight) else weight for n, weight in factors.items()}
        return sum(like(part, weights[n]) * part for n, part in parts.items())  # type: ignore[return-value]

    return together("weighted_sum", {n: member for n, (_, member) in losses.items()}, combine, "step")


def chunked(loss: Loss, chunk_size: int | None = None, backward: Backward = "cached") -> Loss:
    r"""The same loss, a chunk of examples at a time, for losses that need much memory per example.

    .. math::
        \ell' = \sum_c \sum_{i \in c} w_i \ell_i \Big/ \sum_i w_i

    Value and gradients are those of the loss. The schedules are those of `linear_head`.

    Args:
        loss: Any loss.
        chunk_size: Examples in a chunk, at most; by default there are sixteen chunks.
        backward: ``"cached"`` or ``"recompute"``.

    >>> chunked(huber, chunk_size=2)(jnp.array([0.5, 3.0, 1.0]), jnp.zeros(3), reduction="sum")
    Array(3.125, dtype=float32)

    References:
        Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016. https://arxiv.org/abs/1604.06174
    """
    found = base(loss)
    if found is None:
        return below(loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward))
    same = derived(f"chunked({found.name})", found, lambda core, given: core(**given), {}, {}, in_chunks(chunk_size, backward))
    same._below = loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward)  # type: ignore[attr-defined]
    return same


def linear_head(loss: Loss, chunk_size: int | None = None, backward: Backward = "cached") -> Loss:
    r"""A loss of logits becomes a loss of (hidden, kernel, targets), which never holds all logits.

    .. math::
        \ell' = \ell(z, \text{targets}) \qquad z = \text{cap} \tanh\frac{\text{kernel} \cdot \text{hidden} + \text{bias}}{\text{cap}}

    Logits exist for one chunk of tokens at a time, in float32. Value and every gradient equal those of the loss on full
    logits, with its options, `where`, `weights` and reductions; the gradient of a half-precision kernel is summed in float32.

    ``"cached"`` computes the gradients beside the value and keeps those instead of the logits: nothing is computed twice. It takes jit,
    grad (also of a gradient), vmap, shard_map and any outer factor, but no forward mode (jvp, hessian). ``"recompute"`` computes
    each chunk again in the backward pass, and takes everything; so does ``reduction="none"`` under either.

    On many devices: with tokens sharded, use it under jit as it is; with the kernel's rows sharded over a mesh axis inside
    `jax.shard_map`, name that axis by `class_axis_name`, for losses that have this option (and elementwise ones).

    Args:
        loss: A loss whose first input is logits: over classes, or elementwise. An elementwise loss takes targets
            ``(..., k)``; `where` and `weights` are per token or per token and class, and the mean runs over both.
        chunk_size: Tokens in a chunk, at most, over all devices; by default there are sixteen chunks.
        backward: ``"cached"`` or ``"recompute"``.

    The new loss takes `hidden`, `kernel` (a row per class), the targets, and by keyword `bias`, `soft_cap` and `class_axis_name`.

    >>> hidden, kernel, labels = jnp.ones((4, 2)), jnp.eye(3, 2), jnp.array([0, 1, 2, 0])
    >>> linear_head(cross_entropy, chunk_size=2)(hidden, kernel, labels), cross_entropy(hidden @ kernel.T, labels)
    (Array(1.1119, dtype=float32), Array(1.1119, dtype=float32))

    References:
        Wijmans, Huval, Hertzberg, Koltun, Krähenbühl, Cut Your Losses in Large-Vocabulary Language Models, 2024.
        https://arxiv.org/abs/2411.09009
        Hsu et al., Liger Kernel, 2024. https://arxiv.org/abs/2410.10989
    """
    found = base(loss)
    if found is None:
        return below(loss, functools.partial(linear_head, chunk_size=chunk_size, backward=backward))
    first, *targets = found.inputs
    *outer_dims, letter = found.inputs[first] or ("k",)
    elementwise = not any(found.inputs.values())
    if found.domains[first] != "real" or not (elementwise or (found.inputs[first] and letter.isidentifier())):
        raise TypeError(f"linear_head: needs a loss of logits, such as cross_entropy; {found.name} takes {first} ({found.domains[first]}).")
    feature = next(d for d in "dfg" if not any(d in dims for dims in found.inputs.values()))
    inputs = {"hidden": (*outer_dims, feature), "kernel": (letter, feature)}
    inputs |= {n: (letter,) if elementwise else found.inputs[n] for n in targets} | {"bias": (letter,)}
    domains = {"hidden": "real", "kernel": "real", **{n: found.domains[n] for n in targets}, "bias": "real"}
    headed = with_inputs(found, inputs, domains, optional="bias", axis=False)
    own = {"soft_cap": None} | ({} if "class_axis_name" in found.options else {"class_axis_name": None})

    def per_class(*, hidden: Array, kernel: Array, bias: Array | None, soft_cap: Array | None, **given: Any) -> Array:
        if elementwise:
            given.pop("class_axis_name")  # nothing but the mean runs over classes
        elif "class_axis_name" not in found.options and given.pop("class_axis_name") is not None:
            raise TypeError(f"linear_head: {found.name} has no option `class_axis_name`; its classes cannot be sharded.")
        return found.core(**{first: _logits(hidden, kernel, bias, soft_cap)}, **given)

    def per_token(core: Callable[..., Array], given: dict[str, Any], **settings: Any) -> Array:
        value = per_class(**{"bias": None, **given, **settings})
        return jnp.mean(value) if elementwise else value

    evaluate = in_chunks(chunk_size, backward, per_class if elementwise else None, frozenset({"hidden", "kernel"}))
    head = derived(f"linear_head({found.name})", headed, per_token, own, {"soft_cap": "positive"}, evaluate)
    head._below = loss, functools.partial(linear_head, chunk_size=chunk_size, backward=backward)  # type: ignore[attr-defined]
    return head


def _logits(hidden: Array, kernel: Array, bias: Array | None, soft_cap: Array | None) -> Array:
    """The logits of one token (or of each of its leading axes), in float32 or wider."""
    wide = widest((hidden, kernel))
    dtype = hidden.dtype if hidden.dtype == kernel.dtype else wide
    over = (((hidden.ndim - 1,), (kernel.ndim - 1,)), ((), ()))
    logits = lax.dot_general(hidden.astype(dtype), kernel.astype(dtype), over, preferred_element_type=wide)
    if bias is not None:
        logits = logits + jnp.expand_dims(bias.astype(wide), range(logits.ndim - 1))
    return logits if soft_cap is None else soft_cap * jnp.tanh(logits / soft_cap)


def _penalty(penalty: Callable[..., Any], params: Any) -> Array:
    value = jnp.asarray(penalty(params))
    if value.shape:
        raise ValueError(f"regularized: a penalty must be one number, got shape {value.shape}.")
    return value


def _error_of(transform: str, found: Entry) -> tuple[str, str]:
    """The names of predictions and targets, whose difference is an error."""
    names = list(found.inputs)[:2]
    words = {found.domains[n] for n in names}
    if any(found.inputs.values()) or len(names) < 2 or not (words <= NUMBERS or words == {"unit"}):
        raise TypeError(
            f"{transform}: needs an elementwise loss of predictions and targets in one unit, such as huber; "
            f"{found.name} takes {', '.join(f'{n} ({found.domains[n]})' for n in found.inputs)}."
        )
    return names[0], names[1]
