"""A loss evaluated a chunk of examples at a time."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core import chunks
from jloss._core.arguments import check_static
from jloss._core.axes import Axes, fill_masked, is_sound, per_example
from jloss._core.catalogue import Entry
from jloss._core.chunks import Backward, chunked_map, chunked_sum
from jloss._core.domains import DOMAINS, typed_inputs
from jloss._core.loss import batch_of, cast_options, map_examples, real_numbers
from jloss._core.reduction import reduce_values
from jloss._core.signature import UNREDUCED
from jloss.transforms._compose import reduced


def check_schedule(name: str, chunk_size: int | None, backward: Backward = "cached") -> None:
    """Raises where a chunk size or schedule is none."""
    check_static(name, "chunk_size", chunk_size, int | None)
    check_static(name, "backward", backward, Backward)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"{name}: `chunk_size` must be 1 or more, got {chunk_size}.")


def in_chunks(
    chunk_size: int | None, backward: Backward, vector: Callable[..., Array] | None = None, narrow: frozenset[str] = frozenset()
) -> Callable[..., Any]:
    """How `loss_by` evaluates a loss a chunk of examples at a time.

    Args:
        chunk_size: Examples in a chunk.
        backward: When the derivative is computed.
        vector: Instead of the core: gives one value per class; `where` and `weights` may then be per example or per class.
        narrow: Inputs that are not widened, because the core does so where it does not cost memory.
    """

    def evaluate(entry: Entry, given: dict[str, Any], traced: frozenset[str]) -> Any:
        arrays, dtype = typed_inputs(entry.name, entry.domains, given)
        arrays |= {n: lax.stop_gradient(arrays[n]) for n in entry.constants if arrays[n] is not None}
        checked = batch_of(entry, given if vector is None else {**given, "where": None, "weights": None})
        batch, levels = checked.shape, len(checked.shape)
        classes = () if vector is None else (arrays["kernel"].shape[-2],)
        where, class_where, weights = checked.where, None, checked.weights
        if vector is not None:
            where, class_where, weights = _per_class(entry.name, given, batch, classes, dtype)
            if weights is not None:
                counts = weights != 0 if weights.ndim == levels else jnp.any(weights != 0, axis=-1)
                usable = counts | is_sound(arrays["hidden"], checked.axes["hidden"], "real", entry.inputs["hidden"])
                where = usable if where is None else where & usable
        is_row = {n: any(at is not None for at in place.batch) or not levels for n, place in checked.axes.items()}
        settings = cast_options(entry, given, traced, dtype)
        size = chunk_size or _least(batch, [arrays[n].shape for n in narrow if is_row.get(n)])
        elementwise = vector is None and not any(entry.inputs.values())
        cut = levels - _spread(settings) if elementwise else levels  # axes along which an option has several numbers stay whole
        if cut < levels:
            where = jnp.ones(batch, bool) if where is None else where
            size = size and max(1, size // max(1, math.prod(batch[max(cut, 0) :])))
        rows = {
            "inputs": {n: _in_front(arrays[n], checked.axes[n], batch) for n, yes in is_row.items() if yes},
            "where": class_where,
            "weights": weights,
        }
        shared: dict[str, Any] = {
            "inputs": {n: a for n, a in arrays.items() if a is not None and not is_row.get(n)},
            "options": {n: v for n, v in settings.items() if isinstance(v, jax.core.Tracer)},  # constants stay constants in the loop
        }
        places = {n: Axes((*range(levels),), (*range(levels, levels + len(place.core)),)) for n, place in checked.axes.items() if is_row[n]}
        places |= {n: Axes((None,) * levels, place.core) for n, place in checked.axes.items() if not is_row[n]}

        def values(rows: Any, shared: Any, where: Array | None) -> Array:
            inputs = rows["inputs"] | shared["inputs"]
            if where is not None:
                inputs = {n: fill_masked(a, where, places[n], entry.domains[n]) if is_row.get(n) else a for n, a in inputs.items()}
            inputs = {n: inputs.get(n) if n in narrow else _widened(inputs.get(n), entry.domains[n], dtype) for n in entry.inputs}
            core = entry.core if vector is None else vector
            value = map_examples(core, inputs, places, settings | shared["options"], levels, not any(entry.inputs.values()))
            some = jax.tree.leaves(rows)[0].shape[:levels]
            if value.shape[:levels] != some or value.ndim != levels + len(classes):
                raise ValueError(
                    f"{entry.name}: one example must give one number; the core gave {value.shape} for batch axes {some} of a chunk."
                )
            return real_numbers(entry.name, value)

        def total(rows: Any, shared: Any, where: Array | None) -> Array:
            value = values(rows, shared, where)
            keep, weights = _both(where, rows["where"], value.ndim), _behind(rows["weights"], value.ndim)
            each = reduce_values(value, keep, None, weights, "sum")
            return each / shared["mass"] if "mass" in shared else each

        if given["reduction"] in ("none", UNREDUCED):
            value = chunked_map(values, rows, shared, where, levels=max(cut, 0), chunk_size=size)
            keep, weights = _both(where, class_where, value.ndim), _behind(weights, value.ndim)
            keep, weights = (None if a is None else jnp.broadcast_to(a, value.shape) for a in (keep, weights))
            return reduce_values(value, keep, None, weights, given["reduction"])
        mass, kept = _mass(where, class_where, weights, batch, classes, dtype)
        axes = _axes(given["axis_name"], given["class_axis_name"] if vector is not None else None)
        if axes:
            mass, kept = lax.psum((mass, kept), axes)
        if given["reduction"] == "mean":  # every chunk is divided by the mass: gradients are then those of the mean, and need no factor
            shared["mass"] = jnp.where(kept > 0, mass, jnp.ones_like(mass))
        sum_of = chunked_sum(total, rows, shared, where, levels=max(cut, 0), chunk_size=size, backward=backward)
        sum_of = lax.psum(sum_of, axes) if axes else sum_of
        if given["reduction"] != "mean":
            return reduced(sum_of, mass, given["reduction"])
        return sum_of if weights is None else jnp.where(kept > 0, sum_of, jnp.zeros_like(sum_of))

    return evaluate


def _spread(options: dict[str, Any]) -> int:
    """How many of the last batch axes of an elementwise loss there are from the first along which an option has several numbers."""
    shapes = [v.shape for v in options.values() if isinstance(v, Array | np.ndarray)]
    return max((len(shape) - at for shape in shapes for at, n in enumerate(shape) if n != 1), default=0)


def _least(batch: tuple[Any, ...], hidden: list[tuple[Any, ...]]) -> int | None:
    """Examples in a chunk, where there are so few tokens that as many chunks as usual would be of less than `fewest`; None: as usual."""
    tokens = [shape[:-1] for shape in hidden]
    if not tokens or not all(isinstance(n, int) and n for shape in (batch, *tokens) for n in shape):
        return None
    examples, number = math.prod(batch), max(map(math.prod, tokens))
    fewest = chunks.fewest([shape[-1] for shape in hidden])
    return -(-fewest * examples // number) if number < chunks.CHUNKS * fewest else None


def _in_front(array: Array, place: Axes, batch: tuple[Any, ...]) -> Array:
    """The array with its batch axes in front, in order; one that lacks some of them (a mask, shared by the classes) is repeated."""
    array = array.transpose((*(at for at in place.batch if at is not None), *place.core))
    missing = [level for level, at in enumerate(place.batch) if at is None]
    if not missing:
        return array
    return jnp.broadcast_to(jnp.expand_dims(array, missing), (*batch, *array.shape[len(batch) - len(missing) :]))


def _widened(array: Any, domain: str, dtype: Any) -> Any:
    if array is None or DOMAINS[domain].kind == "any" or not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(dtype)


def _per_class(name: str, given: dict[str, Any], batch: tuple[Any, ...], classes: tuple[Any, ...], dtype: Any) -> Any:
    """`where` per example, `where` per class, and `weights`, each None if not given."""
    where, weights, class_where = given.get("where"), given.get("weights"), None
    if weights is not None:
        shape = (*batch, *classes) if jnp.ndim(weights) > len(batch) else batch
        weights = per_example(name, "weights", weights, shape, "number").astype(dtype)
    if where is not None and jnp.ndim(where) > len(batch):
        class_where = per_example(name, "where", where, (*batch, *classes), "boolean")
        where = jnp.any(class_where, axis=-1)
    elif where is not None:
        where = per_example(name, "where", where, batch, "boolean")
    return where, class_where, weights


def _mass(where: Any, class_where: Any, weights: Any, batch: tuple[Any, ...], classes: tuple[Any, ...], dtype: Any) -> tuple[Array, Array]:
    """What a loss of 1 would sum to, and how many numbers count in it."""
    per_class = class_where is not None or (weights is not None and weights.ndim > len(batch))
    shape = (*batch, *classes) if per_class else batch
    keep = _both(where, class_where, len(shape))
    repeats = 1 if per_class or not classes else classes[0]
    if weights is None:
        count = jnp.asarray(math.prod(shape)) if keep is None else jnp.sum(jnp.broadcast_to(keep, shape), dtype=jnp.int32)
        return count.astype(dtype) * repeats, count
    weights = jnp.broadcast_to(jnp.expand_dims(weights, range(weights.ndim, len(shape))), shape)
    weights = weights if keep is None else jnp.where(keep, weights, jnp.zeros_like(weights))
    return jnp.sum(weights) * repeats, jnp.sum(weights != 0, dtype=jnp.int32)


def _behind(array: Array | None, ndim: int) -> Array | None:
    """The array with axes of size 1 behind."""
    return array if array is None else jnp.expand_dims(array, range(array.ndim, ndim))


def _both(where: Array | None, class_where: Array | None, ndim: int) -> Array | None:
    where = _behind(where, ndim)
    if where is None or class_where is None:
        return class_where if where is None else where
    return where & class_where


def _axes(*names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(axis for name in names if name is not None for axis in ((name,) if isinstance(name, str) else name))
