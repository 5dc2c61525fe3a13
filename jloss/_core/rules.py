"""What each domain demands of the values that a loss is given, and where they break it."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.axes import Axes, split_offset
from jloss._core.catalogue import Entry
from jloss._core.domains import DOMAINS, Domain
from jloss._core.loss import Batch, batch_of
from jloss._core.remedies import of_ignored

BEHIND_A_STEP = ("selector_q", "behaviour_probs")  # as all that is called next: nothing follows a discount of 0, whatever is stored there
SUM_TOLERANCE = 1e-3  # of probabilities, which come from float32 or half-precision softmaxes


class Rule(NamedTuple):
    """A demand on an input: where it is broken, one of the values that break it, in words, and per example."""

    name: str
    broken: Array
    value: Array
    text: str
    examples: Array  # boolean, one per example (of this input's batch axes)
    remedy: str  # what to do, if a usual mistake breaks it


def rules(entry: Entry, args: Any, kwargs: Any, public: Callable[..., Any] | None = None) -> Iterator[Rule]:
    """Every demand that a loss makes on the values it was given. What is masked, or beyond a length, obeys by definition."""
    bound = inspect.signature(public or entry.public).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    given = given | given.pop("reduce", {})
    batch = batch_of(entry, given)
    where = batch.where
    if batch.weights is not None:
        where = batch.weights != 0 if where is None else where & (batch.weights != 0)
    classes = _class_count(entry, batch.arrays, batch.axes)
    for name, array in batch.arrays.items():
        if array is None or name not in batch.axes or DOMAINS[entry.domains[name]].kind in ("any", "boolean"):
            continue
        place = batch.axes[name]
        array = aligned(array, place)
        count = sum(at is not None for at in place.batch)
        present = _present(entry, name, batch, where)
        for broken, text, remedy in _demands(entry, name, array, classes):
            if present is not None:
                vector = broken.ndim < array.ndim  # a demand on the whole last axis, which no mask divides
                broken = broken & (present[..., 0] if vector else present)
            value = jnp.zeros(())
            if broken.size:
                rows = array if broken.ndim == array.ndim or entry.domains[name] == "box" else jnp.sum(array, axis=-1)
                value = rows.reshape(broken.size, *rows.shape[broken.ndim :])[jnp.argmax(broken.reshape(-1))]
            core = tuple(range(count, broken.ndim))
            yield Rule(name, broken, value, f"`{name}` {text}", jnp.any(broken, axis=core), remedy)
    yield from _of_options(entry, given)


def rules_of_penalty(entry: Entry, given: dict[str, Any]) -> Iterator[Rule]:
    """Every demand of a penalty: no chosen leaf of a pytree and no example that counts is NaN, and what its options are."""
    where, weights = given.get("where"), given.get("weights")
    for name, domain in entry.domains.items():
        leaves = jax.tree_util.tree_flatten_with_path(given[name])[0] if domain in ("tree", "real") else []
        for path, leaf in leaves:
            text = jax.tree_util.keystr(path, simple=True, separator="/")
            if not isinstance(leaf, jax.Array | np.ndarray) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
                continue
            if domain == "tree" and callable(where) and not where(text):
                continue
            broken, examples = jnp.isnan(leaf), jnp.zeros((), bool)
            if domain == "real":  # examples along the first axis
                examples = jnp.any(broken, axis=tuple(range(1, broken.ndim)))
                for kept in (where, None if weights is None else jnp.asarray(weights) != 0):
                    examples = examples if kept is None else examples & jnp.asarray(kept)
                broken = examples
            named = f"`{name}` must not be NaN" + (f" in {text}" if text else "")
            yield Rule(name, broken, jnp.full((), jnp.nan), named, examples, "")
    yield from _of_options(entry, given)


def _of_options(entry: Entry, given: dict[str, Any]) -> Iterator[Rule]:
    for option, domain in entry.limits.items():
        value, limits = given.get(option), DOMAINS[domain]
        if value is not None and not isinstance(value, bool | str):
            value = jnp.asarray(value)
            wrong = jnp.isnan(value) | _outside(value, limits) if jnp.issubdtype(value.dtype, jnp.floating) else _outside(value, limits)
            yield Rule(option, wrong, jnp.max(value), f"`{option}` must be {limits.meaning}", jnp.zeros((), bool), "")


def aligned(array: Array, place: Axes) -> Array:
    """The array with its batch axes in front, and its core axes behind them, both in order."""
    return array.transpose([*(at for at in place.batch if at is not None), *place.core])


def _present(entry: Entry, name: str, batch: Batch, where: Array | None) -> Array | None:
    """Which numbers of an aligned input count, after `where`, masks and lengths; None if all do."""
    place, dims = batch.axes[name], entry.inputs[name]
    if None in place.batch:
        return None
    levels, core = len(place.batch), len(place.core)
    found = [] if where is None else [where.reshape(where.shape + (1,) * core)]
    for other, domain in entry.domains.items():
        array, axes = batch.arrays.get(other), entry.inputs[other]
        if domain == "mask" and axes and array is not None and dims[: len(axes)] == axes:
            mask = aligned(array, batch.axes[other])
            missing = [level for level, at in enumerate(batch.axes[other].batch) if at is None]
            mask = jnp.expand_dims(mask, missing)
            found.append(mask.reshape(mask.shape + (1,) * (levels + core - mask.ndim)))
    discounts, axes = batch.arrays.get("discounts"), entry.inputs.get("discounts", ())
    if discounts is not None and (name.startswith("next_") or name in BEHIND_A_STEP) and dims[: len(axes)] == axes:
        follows = aligned(discounts, batch.axes["discounts"]) != 0
        follows = jnp.expand_dims(follows, [level for level, at in enumerate(batch.axes["discounts"].batch) if at is None])
        found.append(follows.reshape(follows.shape + (1,) * (levels + core - follows.ndim)))
    for letter, length in _lengths(entry).items():
        array = batch.arrays.get(length)
        for i, dim in enumerate(dims):
            if array is not None and dim != "*s" and split_offset(dim)[0] == letter and None not in batch.axes[length].batch:
                size = batch.arrays[name].shape[place.core[i]]
                steps = jnp.arange(size, dtype=array.dtype).reshape((1,) * levels + (size,))
                steps = steps < aligned(array, batch.axes[length])[..., None] + split_offset(dim)[1]
                found.append(steps.reshape(steps.shape[:-1] + (1,) * i + (size,) + (1,) * (core - i - 1)))
    kept: Array | None = None
    for each in found:
        kept = each if kept is None else kept & each
    return kept


def _outside(array: Array, limits: Domain) -> Array:
    """Which numbers are below or above their domain. A limit next to 0 or -1 that the dtype does not have is that number, excluded."""
    outside = jnp.zeros(array.shape, bool)
    if np.isfinite(limits.low):
        low = np.asarray(limits.low).astype(array.dtype)
        outside = array < low if float(low) >= limits.low else array <= low
    return outside | (array > np.asarray(limits.high).astype(array.dtype)) if np.isfinite(limits.high) else outside


def _lengths(entry: Entry) -> dict[str, str]:
    """Which input says how much of an axis is valid: the first length of time, the second of the target."""
    letters = dict.fromkeys(split_offset(dim)[0] for dims in entry.inputs.values() for dim in dims if dim != "*s")
    lengths = [n for n, domain in entry.domains.items() if domain == "length" and not entry.inputs[n]]
    return dict(zip([letter for letter in letters if letter in ("t", "u")], lengths, strict=False))


def _class_count(entry: Entry, arrays: Any, places: Any) -> int | None:
    """The number of classes, if an input has a class axis."""
    for name, dims in entry.inputs.items():
        for i, dim in enumerate(dims if name in places else ()):
            letter, offset = split_offset(dim) if dim != "*s" else ("", 0)
            if letter == "k":
                at = places[name].core[i - len(dims) if "*s" in dims[:i] else i]
                return int(arrays[name].shape[at]) - offset
    return None


def _demands(entry: Entry, name: str, array: Array, classes: int | None) -> Iterator[tuple[Array, str, str]]:
    """Where the values of one input break what its domain asks, what that is, and what to do."""
    domain = entry.domains[name]
    limits = DOMAINS[domain]
    predicted = name == next(iter(entry.domains))
    if jnp.issubdtype(array.dtype, jnp.floating):
        yield jnp.isnan(array), "must not be NaN", ""
    if domain == "class" and classes is not None:
        ignored = f"Classes count from 0; labels to ignore are masked, as in {of_ignored(entry, name, -100)}."
        yield (array < 0) | (array >= classes), f"must be a class index from 0 to {classes - 1}", ignored
    elif domain == "sign":
        yield jnp.abs(array) != 1, f"must be {limits.meaning}", f"Of 0 and 1: 2 * {name} - 1; booleans are taken as they are."
    elif domain == "box":
        corners = "must be corners (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1"
        sizes = "Of (x, y, w, h): x and y, then x + w and y + h; of centers and sizes: jloss.from_center_size."
        yield jnp.any(array[..., 2:] < array[..., :2], axis=-1), corners, sizes
    elif np.isfinite(limits.low) or np.isfinite(limits.high):
        meaning = limits.meaning if domain != "prob" else "between 0 and 1"
        activation = {"unit": "sigmoid", "prob": "softmax"}.get(domain)
        activated = f"If they are logits: jax.nn.{activation}({name})." if predicted and activation else ""
        yield _outside(array, limits), f"must be {meaning}", activated
    if domain == "rising":
        yield (
            jnp.any(array[..., 1:] <= array[..., :-1], axis=-1),
            f"must be {limits.meaning}",
            "Sort them; of equal ones keep one.",
        )
    if domain == "prob":
        yield (
            jnp.abs(jnp.sum(array, axis=-1) - 1) > SUM_TOLERANCE,
            "must sum to 1 over its last axis",
            f"Of logits: jax.nn.softmax({name}).",
        )
    if domain == "log_prob":
        logarithms = f"Of probabilities: jnp.log({name}); of logits: jax.nn.log_softmax({name})."
        text = "must be log-probabilities, whose exponentials sum to 1"
        yield jnp.abs(jnp.sum(jnp.exp(array), axis=-1) - 1) > SUM_TOLERANCE, text, logarithms
