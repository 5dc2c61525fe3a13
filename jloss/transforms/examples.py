"""Transforms of the loss of one example."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.arguments import check_array, check_static
from jloss._core.assignment import match
from jloss._core.catalogue import Entry
from jloss._core.made import made
from jloss._core.types import ArrayLoss, L, Number
from jloss.numerics import absolute
from jloss.transforms._compose import Loss, apply_inside, entry_unless_batch_transform, example_transform, loss_entry, with_inputs

NUMBERS = {"real", "positive", "nonnegative", "above_minus_one"}  # domains with a unit in common


@made
def tilted(loss: Loss, over: Number = 1.0, under: Number = 1.0) -> ArrayLoss:
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
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        return apply_inside(loss, functools.partial(tilted, over=over, under=under))
    check_array("tilted", "over", over)
    check_array("tilted", "under", under)
    predictions, targets = _error_of("tilted", entry)

    def tilt(core: Callable[..., Array], given: dict[str, Any], *, over: Array, under: Array) -> Array:
        return jnp.where(given[predictions] > given[targets], over, under) * core(**given)

    return example_transform(
        f"tilted({entry.name})", entry, tilt, {"over": over, "under": under}, {"over": "nonnegative", "under": "nonnegative"}
    )


@made
def tolerant(loss: Loss, margin: Number) -> ArrayLoss:
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
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        return apply_inside(loss, functools.partial(tolerant, margin=margin))
    check_array("tolerant", "margin", margin)
    predictions, targets = _error_of("tolerant", entry)

    def shrink(core: Callable[..., Array], given: dict[str, Any], *, margin: Array) -> Array:
        error = given[predictions] - given[targets]
        free = (absolute(error) <= margin) & (margin != 0)  # a margin of 0 is the loss, at a match, too
        beyond = jnp.where(free, 0, error - jnp.sign(error) * margin)
        return core(**{**given, predictions: given[targets] + beyond})

    return example_transform(f"tolerant({entry.name})", entry, shrink, {"margin": margin}, {"margin": "nonnegative"})


@made
def symmetric(loss: L) -> L:
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
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        return apply_inside(loss, symmetric)
    a, b, *_ = (*entry.inputs, None, None)
    if a is None or b is None or entry.inputs[a] != entry.inputs[b] or entry.domains[a] != entry.domains[b]:
        words = ", ".join(f"{n} ({entry.domains[n]})" for n in entry.inputs)
        raise TypeError(f"symmetric: needs two inputs of one kind; {entry.name} takes {words}.")

    def both_ways(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        return 0.5 * (core(**given) + core(**{**given, a: given[b], b: given[a]}))

    entry = entry._replace(constants=entry.constants - {a, b})  # each direction stops its own
    return example_transform(f"symmetric({entry.name})", entry, both_ways, {}, {})


@made
def permutation_invariant(loss: L) -> L:
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
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        return apply_inside(loss, permutation_invariant)
    names = list(entry.inputs)[:2]
    elementwise = not any(entry.inputs.values())
    if len(names) < 2:
        raise TypeError(f"permutation_invariant: needs a loss of predictions and targets; {entry.name} takes {names[0]} alone.")
    inputs = {n: (("p", *(("d",) if elementwise else dims)) if n in names else dims) for n, dims in entry.inputs.items()}
    sets = with_inputs(entry, inputs, entry.domains, axis=False)

    def best(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        first, second = (given.pop(n) for n in names)

        def pair(a: Array, b: Array) -> Array:
            return jnp.mean(core(**{names[0]: a, names[1]: b}, **given))

        cost = jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(first, second)
        partner = match(cost)
        chosen = jnp.arange(cost.shape[0], dtype=partner.dtype)[:, None] == partner[None, :]
        return jnp.sum(jnp.where(chosen, cost, 0)) / max(cost.shape[0], 1)

    return example_transform(f"permutation_invariant({entry.name})", sets, best, {}, {})


@made
def mixture_invariant(loss: Loss) -> Loss:
    r"""The loss of estimated sources against two mixtures, each of which is the sum of some of them: separation without clean sources.

    .. math::
        \ell' = \min_{A \in \{0, 1\}^p} \tfrac12 \Bigl(
            \ell\bigl(\textstyle\sum_i (1 - A_i)\, \text{predictions}_i,\ \text{mixtures}_1\bigr)
            + \ell\bigl(\sum_i A_i\, \text{predictions}_i,\ \text{mixtures}_2\bigr)\Bigr)

    A network separates the sum of two recorded mixtures into p sources, and each source goes to one of the mixtures. The first input of
    the loss gets an axis in front, of the p sources; the second becomes `mixtures`, with an axis of two. All :math:`2^p` assignments are
    evaluated without a gradient, 16 at a time, and the best alone with one; of several as good it is the first in binary order. Sources
    may outnumber those that are there: the others go silent. An elementwise loss takes p signals ``(p, t)`` and its mean over t.

    Args:
        loss: A loss of predictions and targets with the same axes, such as ``functools.partial(snr, max_db=30.0)``.

    >>> sources = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    >>> mixture_invariant(squared_error)(sources, jnp.array([[1.0, 1.0], [0.0, 2.0]]))
    Array(0., dtype=float32)

    References:
        Wisdom et al., Unsupervised Sound Separation Using Mixture Invariant Training, 2020. https://arxiv.org/abs/2006.12701
    """
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        return apply_inside(loss, mixture_invariant)
    first, second, *_ = (*entry.inputs, None, None)
    if (
        first is None
        or second is None
        or entry.inputs[first] != entry.inputs[second]
        or not {*entry.domains.values()} <= NUMBERS | {"mask"}
    ):
        words = ", ".join(f"{n} ({entry.domains[n]})" for n in entry.inputs)
        raise TypeError(f"mixture_invariant: needs a loss of predictions and targets of one kind; {entry.name} takes {words}.")
    dims = entry.inputs[first] or ("t",)
    rest = [n for n in entry.inputs if n not in (first, second)]
    inputs = {first: ("p", *dims), "mixtures": ("2", *dims), **{n: entry.inputs[n] for n in rest}}
    domains = {first: entry.domains[first], "mixtures": entry.domains[second], **{n: entry.domains[n] for n in rest}}
    sets = with_inputs(entry, inputs, domains, axis=False)

    def best(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        sources, mixtures = given.pop(first), given.pop("mixtures")
        count = sources.shape[0]

        def of(second_gets: Array, sources: Array) -> Array:
            chosen = jnp.reshape(second_gets, (count,) + (1,) * (sources.ndim - 1))
            sums = (jnp.sum(jnp.where(keep, sources, 0.0), axis=0) for keep in (~chosen, chosen))
            losses = (jnp.mean(core(**{first: s, second: m, **given})) for s, m in zip(sums, mixtures, strict=True))
            return 0.5 * sum(losses, start=jnp.zeros((), sources.dtype))

        constant = lax.stop_gradient(sources)
        assignments = jnp.asarray((np.arange(2**count)[:, None] >> np.arange(count)[::-1]) % 2 == 1)
        costs = lax.map(lambda a: lax.stop_gradient(of(a, constant)), assignments, batch_size=min(len(assignments), 16))
        return of(assignments[jnp.argmin(costs)], sources)

    return example_transform(f"mixture_invariant({entry.name})", sets, best, {}, {})


def _error_of(transform: str, entry: Entry) -> tuple[str, str]:
    """The names of predictions and targets, whose difference is an error."""
    names = list(entry.inputs)[:2]
    words = {entry.domains[n] for n in names}
    if any(entry.inputs.values()) or len(names) < 2 or not (words <= NUMBERS or words == {"unit"}):
        raise TypeError(
            f"{transform}: needs an elementwise loss of predictions and targets in one unit, such as huber; "
            f"{entry.name} takes {', '.join(f'{n} ({entry.domains[n]})' for n in entry.inputs)}."
        )
    return names[0], names[1]


@made
def matryoshka(loss: L, dims: Sequence[int], weights: Sequence[float] | None = None) -> L:
    r"""The loss on the first 64, 128, 256, ... features of its embeddings, added up: embeddings that can be cut off.

    .. math::
        \ell' = \sum_d w_d\, \ell(z_{1..d})

    A loss that normalises its vectors does so after the cut, as it should. Every input with an axis `d` is cut: embeddings,
    both views, proxies; of a loss with a linear head, the hidden states and the kernel.

    Args:
        loss: A loss of embeddings with an axis `d`, such as `info_nce`.
        dims: The lengths, from 1 to the number of features.
        weights: One per length; 1 by default.

    >>> matryoshka(squared_euclidean, (1, 3))(jnp.array([1.0, 1.0, 1.0]), jnp.zeros(3))
    Array(4., dtype=float32)

    References:
        Kusupati et al., Matryoshka Representation Learning, 2022. https://arxiv.org/abs/2205.13147
    """
    entry = loss_entry(loss)
    evaluate = entry.batch.evaluate if entry.batch else None  # of a linear head, whose features are there above it alone
    if entry.batch and evaluate is None:
        return apply_inside(loss, functools.partial(matryoshka, dims=dims, weights=weights))
    cut = [name for name, axes in entry.inputs.items() if "d" in axes]
    if not cut:
        raise TypeError(f"matryoshka: {entry.name} has no input with an axis `d`.")
    dims = _listed("dims", dims, lambda name, d: check_static("matryoshka", name, d, int))
    weights = [1.0] * len(dims) if weights is None else _listed("weights", weights, functools.partial(check_array, "matryoshka"))
    if not dims or min(dims) < 1 or len(dims) != len(weights):
        raise ValueError(f"matryoshka: `dims` must be lengths from 1, with a weight each, got {tuple(dims)} and {tuple(weights)}.")

    def nested(core: Callable[..., Array], given: dict[str, Any]) -> Array:
        size = given[cut[0]].shape[entry.inputs[cut[0]].index("d")]
        if max(dims) > size:
            raise ValueError(f"matryoshka: `dims` goes to {max(dims)}, but `{cut[0]}` has {size} features.")

        def first(x: Array, name: str, d: int) -> Array:
            return lax.slice_in_dim(x, 0, d, axis=entry.inputs[name].index("d"))

        total = [w * core(**{**given, **{n: first(given[n], n, d) for n in cut}}) for d, w in zip(dims, weights, strict=True)]
        return jnp.sum(jnp.stack(total))

    return example_transform(f"matryoshka({entry.name})", entry, nested, {}, {}, evaluate)


def _listed(argument: str, values: Any, check: Callable[[str, Any], None]) -> list[Any]:
    """The values as a list, each of which is checked."""
    try:
        listed = list(values)
    except TypeError:
        raise TypeError(f"matryoshka: `{argument}` must be a sequence, with one for each length, got {values!r}.") from None
    for i, value in enumerate(listed):
        check(f"{argument}[{i}]", value)
    return listed
