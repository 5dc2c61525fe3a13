"""Functions from losses to losses. What comes out keeps the contract: masks, weights, reductions, `axis_name`, jit, vmap, grad.

Some change the loss of one example (`tilted`, `tolerant`), others what is done with the losses of a batch (`regularized`,
`weighted_sum`). They compose in any order; the first kind acts below the second, so ``tilted(regularized(huber, l2))`` is
``regularized(tilted(huber), l2)``. Build a transformed loss once, outside of the training step: each one is compiled anew. Those
made alike are equal, though, so that as static arguments of `jax.jit` they are compiled once; and they pickle, if what they are
made of does.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._arguments import check_array
from jloss._chunk import Backward
from jloss._loss import Entry, Reduction, entry, reduce
from jloss._made import made
from jloss._math import absolute
from jloss._rank import inverse_of, order_of
from jloss._transform import (
    Loss,
    base,
    below,
    bind,
    check_schedule,
    derived,
    head_logits,
    in_chunks,
    like,
    loss_entry,
    outer,
    reduced,
    unreduced,
    with_inputs,
)
from jloss.detection import match
from jloss.multitask import deep_supervision as deep_supervision
from jloss.multitask import uncertainty_weighted as uncertainty_weighted
from jloss.multitask import weighted_sum as weighted_sum
from jloss.smoothing import smoothed_metric as smoothed_metric

NUMBERS = {"real", "positive", "nonnegative", "above_minus_one"}  # domains with a unit in common


@made
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


@made
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
        free = (absolute(error) <= margin) & (margin != 0)  # a margin of 0 is the loss, at a match, too
        beyond = jnp.where(free, 0, error - jnp.sign(error) * margin)
        return core(**{**given, predictions: given[targets] + beyond})

    return derived(f"tolerant({found.name})", found, shrink, {"margin": margin}, {"margin": "nonnegative"})


@made
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
    if not callable(penalty):
        raise TypeError(f"regularized: `penalty` must be a function of the parameters, got {penalty!r}.")
    check_array("regularized", "weight", weight)
    found = loss_entry(loss)
    shown = with_inputs(found, {**found.inputs, "params": ()}, {**found.domains, "params": "tree"})

    def take(given: dict[str, Any]) -> Any:
        return given["params"] if "params" in found.inputs else given.pop("params")  # a second penalty is of the same parameters

    def penalized(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        params = take(given)
        return core(**given) + weight * penalty(params)

    whole = entry(derived(f"regularized({found.name})", shown, penalized, {}, {}))

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind(whole, args, kwargs, reduction)
        if reduction == "none":
            values, where, weights = examples(**given)
            return reduce(values, where, weights, "none")
        extra = weight * _penalty(penalty, take(given))
        total, mass = found.public(**given, reduction="parts")
        return reduced(total + mass * like(total, extra), mass, reduction)

    def examples(**given: Any) -> Any:
        params = take(given)
        values, where, weights = unreduced(found.public, **given)
        return values + like(values, weight * _penalty(penalty, params)), where, weights

    return outer(whole, public, examples, loss, functools.partial(regularized, penalty=penalty, weight=weight))


@made
def symmetric(loss: Loss) -> Loss:
    r"""The mean of both directions of a loss of two inputs of one kind.

    .. math::
        \ell' = \tfrac12 \bigl(\ell(a, b) + \ell(b, a)\bigr)

    For a divergence, or a self-supervised loss of two views; ``symmetric(kl_divergence_with_log_targets)`` is half of Jeffreys'.
    Both inputs get a gradient, unless the loss stops it.

    Args:
        loss: A loss whose first two inputs have the same axes and domain.

    >>> symmetric(linex)(jnp.array([1.0]), jnp.array([0.0]))
    Array(0.5430806, dtype=float32)

    References:
        Jeffreys, An Invariant Form for the Prior Probability in Estimation Problems, 1946. https://doi.org/10.1098/rspa.1946.0056
    """
    found = base(loss)
    if found is None:
        return below(loss, symmetric)
    a, b, *_ = (*found.inputs, None, None)
    if a is None or b is None or found.inputs[a] != found.inputs[b] or found.domains[a] != found.domains[b]:
        words = ", ".join(f"{n} ({found.domains[n]})" for n in found.inputs)
        raise TypeError(f"symmetric: needs two inputs of one kind; {found.name} takes {words}.")

    def both_ways(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        return 0.5 * (core(**given) + core(**{**given, a: given[b], b: given[a]}))

    found = found._replace(constants=found.constants - {a, b})  # each direction stops its own
    return derived(f"symmetric({found.name})", found, both_ways, {}, {})


@made
def permutation_invariant(loss: Loss) -> Loss:
    r"""The loss of a set of predictions against a set of targets, under the best of all pairings.

    .. math::
        \ell' = \min_\pi \frac1p \sum_{i=1}^p \ell(\text{predictions}_i, \text{targets}_{\pi(i)})

    For outputs without an order: separated voices, the slots of an object-centric model. The first two inputs of the loss get one
    more axis in front, of the p items; all pairs are evaluated, and the best pairing is found exactly and has no gradient of its
    own. An elementwise loss takes p vectors ``(p, d)`` and its mean over d.

    Args:
        loss: A loss of predictions and targets.

    >>> permutation_invariant(squared_error)(jnp.array([[1.0], [2.0]]), jnp.array([[2.0], [1.5]]))
    Array(0.125, dtype=float32)

    References:
        Yu, Kolbæk, Tan, Jensen, Permutation Invariant Training of Deep Models for Speaker-Independent Multi-talker Speech
        Separation, 2017. https://arxiv.org/abs/1607.00325
    """
    found = base(loss)
    if found is None:
        return below(loss, permutation_invariant)
    names = list(found.inputs)[:2]
    elementwise = not any(found.inputs.values())
    if len(names) < 2:
        raise TypeError(f"permutation_invariant: needs a loss of predictions and targets; {found.name} takes {names[0]} alone.")
    inputs = {n: (("p", *(("d",) if elementwise else dims)) if n in names else dims) for n, dims in found.inputs.items()}
    sets = with_inputs(found, inputs, found.domains, axis=False)

    def best(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        first, second = (given.pop(n) for n in names)

        def pair(a: Array, b: Array) -> Array:
            return jnp.mean(core(**{names[0]: a, names[1]: b}, **given))

        cost = jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(first, second)
        partner = match(cost)
        chosen = jnp.arange(cost.shape[0], dtype=partner.dtype)[:, None] == partner[None, :]
        return jnp.sum(jnp.where(chosen, cost, 0)) / max(cost.shape[0], 1)

    return derived(f"permutation_invariant({found.name})", sets, best, {}, {})


@made
def hardest(loss: Loss, fraction: float | Array) -> Loss:
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
    check_array("hardest", "fraction", fraction)
    if isinstance(fraction, int | float) and not 0 < fraction <= 1:
        raise ValueError(f"hardest: `fraction` must be above 0 and up to 1, got {fraction}.")
    return _chosen("hardest", loss, fraction, functools.partial(hardest, fraction=fraction), is_kept=True)


@made
def trimmed(loss: Loss, fraction: float | Array) -> Loss:
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
    check_array("trimmed", "fraction", fraction)
    if isinstance(fraction, int | float) and not 0 <= fraction < 1:
        raise ValueError(f"trimmed: `fraction` must be 0 or more and below 1, got {fraction}.")
    return _chosen("trimmed", loss, fraction, functools.partial(trimmed, fraction=fraction), is_kept=False)


@made
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
    check_schedule("chunked", chunk_size, backward)
    found = base(loss)
    if found is None:
        inner, maker = _made_by(loss)
        if maker in (chunked, linear_head):  # already a chunk at a time: in chunks of this size
            return maker(inner, chunk_size, backward)
        return below(loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward))
    same = derived(f"chunked({found.name})", found, lambda core, given: core(**given), {}, {}, in_chunks(chunk_size, backward))
    same._below = loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward)  # type: ignore[attr-defined]
    return same


@made
def linear_head(loss: Loss, chunk_size: int | None = None, backward: Backward = "cached") -> Loss:
    r"""A loss of logits becomes a loss of (hidden, kernel, targets), which never holds all logits.

    .. math::
        \ell' = \ell(z, \text{targets}) \qquad z = \text{cap} \tanh\frac{\text{kernel} \cdot \text{hidden} + \text{bias}}{\text{cap}}

    Logits exist for one chunk of tokens at a time, in float32. Value and every gradient equal those of the loss on full
    logits, with its options, `where`, `weights` and reductions; the gradient of a half-precision kernel is summed in float32.

    ``"cached"`` computes the gradients beside the value and keeps those instead of the logits: nothing is computed twice. It takes jit,
    grad (also of a gradient), hessian, vmap, shard_map and any outer factor, but no jvp of its value. ``"recompute"`` computes
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
    check_schedule("linear_head", chunk_size, backward)
    found = base(loss)
    if found is None:
        inner, maker = _made_by(loss)
        if maker is linear_head:
            raise TypeError(f"linear_head: needs a loss of logits; {loss_entry(loss).name} has a linear head already.")
        if maker is chunked:  # its chunks are those of the head
            return linear_head(inner, chunk_size, backward)
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
        return found.core(**{first: head_logits(hidden, kernel, bias, soft_cap)}, **given)

    def per_token(core: Callable[..., Array], given: dict[str, Any], **settings: Any) -> Array:
        value = per_class(**{"bias": None, **given, **settings})
        return jnp.mean(value) if elementwise else value

    evaluate = in_chunks(chunk_size, backward, per_class if elementwise else None, frozenset({"hidden", "kernel"}))
    head = derived(f"linear_head({found.name})", headed, per_token, own, {"soft_cap": "positive"}, evaluate)
    head._below = loss, functools.partial(linear_head, chunk_size=chunk_size, backward=backward)  # type: ignore[attr-defined]
    return head


def _made_by(loss: Loss) -> tuple[Loss, Callable[..., Loss]]:
    """The loss inside a transform of batches, and that transform."""
    inner, again = loss_entry(loss).public._below  # type: ignore[attr-defined]
    return inner, again.func


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


def _chosen(title: str, loss: Loss, fraction: Any, again: Callable[[Loss], Loss], is_kept: bool) -> Loss:
    """The loss reduced with the weights of the hardest examples, or of all others."""
    found = loss_entry(loss)
    whole = entry(derived(f"{title}({found.name})", found, lambda core, given: core(**given), {}, {}))

    def examples(**given: Any) -> Any:
        values, where, weights = unreduced(found.public, **given)
        mass = None if weights is None else weights.astype(values.dtype)
        mass = mass if where is None else jnp.where(where, jnp.ones_like(values) if mass is None else mass, 0)
        hard = _hardest(lax.stop_gradient(values), mass, like(values, fraction), given.get("axis_name"))
        return values, where, hard if is_kept else (1 if mass is None else mass) - hard

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        given = bind(whole, args, kwargs, reduction)
        values, where, weights = examples(**given)
        return reduce(values, where, weights, reduction, given.get("axis_name"))

    return outer(whole, public, examples, loss, again)


@functools.partial(jax.jit, static_argnames="axis_name")
def _hardest(values: Array, mass: Array | None, fraction: Array, axis_name: Any) -> Array:
    """The mass of each example that belongs to the hardest `fraction` of all mass; NaN is hardest. A mass of None is 1 each."""
    keys, own = jnp.where(jnp.isnan(values), jnp.inf, values).ravel(), None if mass is None else mass.ravel()
    count, each = keys.shape[0], own
    if axis_name is not None:
        keys, each = jax.tree.map(lambda x: lax.all_gather(x, axis_name, tiled=True), (keys, each))
    order = order_of(-keys)
    rank = inverse_of(order)
    if each is None:
        before, total = rank.astype(values.dtype), like(values, keys.shape[0])
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
