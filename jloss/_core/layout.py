"""Where the axes of the inputs lie when the core is mapped. Layout changes no number; XLA for CPUs computes columns, not strides."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core import backend
from jloss._core.axes import Axes, as_placed
from jloss._core.domains import is_known

ROW = 1 << 10  # numbers that CPUs add up side by side
SHORT = 48  # numbers, from which a loop over an axis is one: XLA for CPUs writes shorter ones out


def in_one_row(entry: Any, given: dict[str, Any]) -> dict[str, Any]:
    """A call of an elementwise loss with one long axis, where its last is short.

    XLA for CPUs writes out a loop over so few numbers, and computes each alone. `binary_cross_entropy` of 100k x 10: 5 ms for 21.
    """
    names = [n for n in (*entry.inputs, "where", "weights") if given.get(n) is not None]
    shapes = {tuple(getattr(given[n], "shape", ())) for n in names}
    shape = next(iter(shapes)) if entry.elementwise and len(shapes) == 1 else ()
    if len(shape) < 2 or not is_known(*shape) or not 1 < shape[-1] < SHORT or math.prod(shape) < backend.REORDER_FROM:
        return given
    if given["reduction"] not in ("mean", "sum", "parts") or given.get("axis") is not None or not backend.on_one_cpu():
        return given
    if any(np.ndim(given[n]) for n in entry.options):  # which broadcast
        return given
    return given | {n: given[n].reshape(-1) for n in names}


def arrange(entry: Any, batch: Any, given: dict[str, Any]) -> Any:
    """The inputs with their axes where the backend wants them."""
    arrays, axes = columns_first(entry, batch.arrays, batch.axes, batch.where if batch.isolated else None)
    if given.get("axis") is not None and not entry.has_classes:
        arrays, axes = masks_beside_classes(arrays, axes, [n for n in axes if entry.domains[n] == "mask"])
    if backend.hints_of(entry.core).steps:
        arrays, axes = steps_first(arrays, axes)
    if backend.hints_of(entry.core).any_pixel_order and backend.size_of(arrays) >= backend.REORDER_FROM:
        arrays, axes = in_long_rows(arrays, axes)
    return batch._replace(arrays=arrays, axes=axes)


def column_inputs(entry: Any, axes: dict[str, Axes]) -> list[str]:
    """The inputs of a few numbers each, such as a box."""
    return [n for n, dims in entry.inputs.items() if n in axes and len(dims) == 1 and dims[0].isdigit()]


def columns_first(entry: Any, arrays: dict[str, Any], axes: dict[str, Axes], where: Array | None) -> tuple[dict[str, Any], dict[str, Axes]]:
    """Boxes (..., 4) as (4, ...): half the time on CPUs.

    Each column is masked on its own: a select behind the stacked gradients would keep XLA from computing them one by one, which
    takes six times as long.
    """
    for name in column_inputs(entry, axes):
        (at,) = axes[name].core
        batch = tuple(None if b is None else b + (b < at) for b in axes[name].batch)
        boxes = jnp.moveaxis(arrays[name], at, 0)
        columns = [lax.index_in_dim(boxes, i, keepdims=False) for i in range(boxes.shape[0])]
        if where is not None:
            keep = as_placed(where, axes[name])
            columns = [jnp.where(keep, c, lax.stop_gradient(c)) for c in columns]
        arrays, axes = arrays | {name: jnp.stack(columns) if batch else boxes}, axes | {name: Axes(batch, (0,))}
    return arrays, axes


def steps_first(arrays: dict[str, Any], axes: dict[str, Axes]) -> tuple[dict[str, Any], dict[str, Axes]]:
    """Sequences (..., t) as (t, ...): all of them take a step at once, and what a loop over the steps needs is computed as it is moved."""
    for name, (batch, core) in axes.items():
        if any(at is not None for at in batch):
            order = (*core, *(at for at in batch if at is not None))
            moved = Axes(tuple(None if at is None else order.index(at) for at in batch), tuple(range(len(core))))
            arrays, axes = arrays | {name: arrays[name].transpose(order)}, axes | {name: moved}
    return arrays, axes


def masks_beside_classes(arrays: dict[str, Any], axes: dict[str, Axes], shared: list[str]) -> tuple[dict[str, Any], dict[str, Axes]]:
    """Gives masks that the classes share a class axis where the classes have theirs: to meet one without, vmap would move it."""
    like = next(iter(axes), "")
    classes = axes[like].batch[-1] if like and axes[like].batch else None
    if classes is None:
        return arrays, axes
    before = sum(c < classes for c in axes[like].core)
    for name in shared:
        batch, core = axes[name]
        at = (*core, arrays[name].ndim)[before]
        mask = jnp.expand_dims(arrays[name], at)
        mask = jnp.broadcast_to(mask, (*mask.shape[:at], arrays[like].shape[classes], *mask.shape[at + 1 :]))
        moved = tuple(None if i is None else i + (i >= at) for i in batch[:-1])
        arrays, axes = arrays | {name: mask}, axes | {name: Axes((*moved, at), tuple(i + (i >= at) for i in core))}
    return arrays, axes


def in_long_rows(arrays: dict[str, Any], axes: dict[str, Axes]) -> tuple[dict[str, Any], dict[str, Axes]]:
    """Pixels with few classes behind them as (..., rows, 1, row): CPUs then add a few hundred numbers side by side.

    Masks of two classes take a quarter of the time, of 21 two thirds. It costs nothing elsewhere: no pixel moves.
    """
    (place, shape), *others = {(place, arrays[n].shape) for n, place in axes.items()}
    if others or not place.core or None in place.batch or place.core[-1] != len(shape) - 2:
        return arrays, axes
    at = place.core[-1]
    row, *unlike = {row_length(arrays[n], at) for n in axes}
    if unlike or row == 1:
        return arrays, axes
    rows = (*shape[:at], shape[at] // row, 1, row, shape[-1])
    place = Axes((*place.batch[:-1], at + 3), (*place.core, at + 1, at + 2))
    return arrays | {n: arrays[n].reshape(rows) for n in axes}, dict.fromkeys(axes, place)


def row_length(x: Array, axis: int) -> int:
    """Into how long rows to cut an axis of pixels with classes behind it: about `ROW` numbers. 1 where nothing is cut: sizes are
    not known, devices share the axis, or rows of fewer than 8 would cross the tiles of a TPU."""
    pixels, classes = x.shape[axis:]
    if not (isinstance(pixels, int) and isinstance(classes, int)) or backend.spec_of(x)[axis] is not None:
        return 1
    row = math.gcd(pixels, 1 << max(0, (ROW // max(1, classes)).bit_length() - 1))
    return row if pixels >= row >= 8 else 1


def pixel_sum(x: Array) -> Array:
    """The sum of all pixels, rows first where `in_long_rows` has made some: (..., 1, row)."""
    # Without the 1, which makes XLA's dot products on CPUs fifty times slower.
    return _rows_first(jnp.squeeze(x, -2), 1) if x.ndim > 2 and x.shape[-2] == 1 else jnp.sum(x)


def pixel_sum_of_terms(x: Array) -> Array:
    """The same of what takes several operations: XLA on CPUs adds it up by fours as it computes it, see `backend.sum_in_lanes`."""
    in_rows = x.ndim > 2 and x.shape[-2] == 1
    return pixel_sum(x) if in_rows or backend.few() or not backend.lanes_of(x) else backend.sum_in_lanes(x)


def class_sums(x: Array) -> Array:
    """The sums over all axes but the last, rows first where the classes are few (with 21, the rest of such a loss gets slower)."""
    row = row_length(x, x.ndim - 2)
    if row == 1 or x.shape[-1] >= 16:
        return jnp.sum(x, axis=tuple(range(x.ndim - 1)))
    return _rows_first(x.reshape(*x.shape[:-2], x.shape[-2] // row, row, x.shape[-1]), 2)


def _rows_first(x: Array, behind: int) -> Array:
    """The sum over all axes but the last `behind`, and then over the first of these, which XLA on CPUs is kept from joining."""
    row = jnp.sum(x, axis=tuple(range(x.ndim - behind)))
    return jnp.sum(backend.by_platform(row, cpu=lax.optimization_barrier, default=lambda row: row), axis=0)
