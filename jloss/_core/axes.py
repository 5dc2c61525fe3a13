"""What an input may be, where its axes lie, and the checks that run in front of vmap.

A signature such as ``"(t,u+1,k),(u),()->()"`` gives the core axes of each input of one example: a letter is a size that
must agree wherever it stands, a digit a fixed size, ``u+1`` a size relative to a letter, ``*s`` any number of spatial axes.
A domain word says what the values are; it drives the dtype check, the fill of masked examples, the samples of the tests,
and the value checks of the debug mode.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select
from jloss._core.domains import DOMAINS, check_chex, is_known

Dims = tuple[str, ...]


def parse(signature: str) -> tuple[Dims, ...]:
    """The core axes of each input: ``"(k),()->()"`` gives ``(("k",), ())``."""
    inputs, arrow, output = signature.replace(" ", "").partition("->")
    if arrow != "->" or output != "()" or re.sub(r"\([^()]*\)", "", inputs).strip(","):
        raise ValueError(f"a signature reads like '(k),()->()', one example and one number; got {signature!r}.")
    return tuple(tuple(filter(None, dims.split(","))) for dims in re.findall(r"\(([^()]*)\)", inputs))


def spatial(dims: Dims, count: int) -> Dims:
    """`dims` with ``*s`` written out as `count` axes."""
    return tuple(axis for dim in dims for axis in ([f"s{i}" for i in range(count)] if dim == "*s" else [dim]))


class Axes(NamedTuple):
    """Where the axes of one input lie: a batch axis (or None, where it is shared) per level of vmap, then the core axes."""

    batch: tuple[int | None, ...]
    core: tuple[int, ...]


def class_axis(loss: str, name: str, ndim: int, axis: int) -> int:
    """`axis` counted from the front."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"{loss}: `axis` is {axis}, but `{name}` has {ndim} axes.")
    return axis % ndim


def find_axes(loss: str, name: str, shape: Sequence[int], dims: Dims, axis: int | None, over: str | None) -> Axes:
    """The batch and core axes of one input.

    `over` is the letter that `axis` places among the core axes ("k"), "each" if `axis` names a batch axis that comes last
    (each class is then an example of its own), "shared" for a mask that all classes share, or None if this input has no such axis.
    """
    ndim = len(shape)
    if over in (None, "shared") or axis is None:
        split = ndim - len(dims)
        return Axes(tuple(range(split)), tuple(range(split, ndim)))
    at = class_axis(loss, name, ndim, axis)
    rest = [i for i in range(ndim) if i != at]
    if over == "each":
        split = len(rest) - len(dims)
        return Axes((*rest[:split], at), tuple(rest[split:]))
    split = len(rest) - (len(dims) - 1)
    others = iter(rest[split:])
    return Axes(tuple(rest[:split]), tuple(at if dim == over else next(others) for dim in dims))


def describe(inputs: Mapping[str, Dims], arrays: Mapping[str, Any]) -> str:
    """The two aligned lines under an error: what was expected, what came."""
    wanted = ", ".join(f"{name}({', '.join(('...', *dims))})" for name, dims in inputs.items() if arrays.get(name) is not None)
    got = ", ".join(f"{name}({', '.join(map(str, a.shape))})" for name, a in arrays.items() if a is not None)
    return f"\n  expected  {wanted}\n  got       {got}"


def batch_shape(
    loss: str, inputs: Mapping[str, Dims], arrays: Mapping[str, Any], axis: int | None = None, over: Mapping[str, str] | None = None
) -> tuple[tuple[int, ...], dict[str, Axes]]:
    """The batch axes that all inputs share, and where each input has them. Batch axes are equal or absent."""
    over = over or {}
    sizes: dict[str, tuple[int, str]] = {}
    batch: tuple[int, ...] = ()
    places: dict[str, Axes] = {}
    given = {name: array for name, array in arrays.items() if array is not None and hasattr(array, "shape")}
    for name, array in given.items():
        dims = inputs[name]
        needed = len(dims) + (over.get(name) == "each" and axis is not None)
        check_chex(
            "assert_scalar_non_negative",
            array.ndim - needed,
            message=lambda: f"{loss}: `{name}` has {array.ndim} axes, but needs at least {needed}." + describe(inputs, given),
            error=ValueError,
        )
        alone = len(dims) == array.ndim == 1 and over.get(name) == dims[0] and any(a.ndim > 1 for a in given.values())
        places[name] = place = find_axes(loss, name, array.shape, dims, -1 if alone else axis, over.get(name))
        for dim, at in zip(dims, place.core, strict=True):
            letter, offset = split_offset(dim)
            size = array.shape[at] - offset
            want, origin = (int(dim), "") if dim.isdigit() else sizes.setdefault(letter, (size, name))
            check_chex(
                "assert_equal",
                size,
                want,
                message=lambda: (
                    f"{loss}: axis `{dim}` of `{name}` has size {array.shape[at]}, "
                    + (f"not {want}." if not origin else f"but {want + offset} is expected from `{origin}`.")
                    + describe(inputs, given)
                ),
                error=ValueError,
            )
    levels = max((len(place.batch) for place in places.values()), default=0)
    first = ""
    for name, place in places.items():
        mine = tuple(given[name].shape[at] for at in place.batch if at is not None)
        if not mine:
            places[name] = Axes((None,) * levels, place.core)
            continue
        if over.get(name) == "shared" and axis is not None:  # a mask, shared by the classes: it lacks the last level
            places[name] = Axes((*place.batch, None), place.core)
            expected = batch[:-1]
        else:
            batch, first = (batch, first) if first else (mine, name)
            expected = batch
        check_chex(
            "assert_equal",
            mine,
            expected,
            message=lambda: (
                f"{loss}: `{name}` has batch axes {mine}, but `{first}` has {expected}; losses do not broadcast batch axes."
                + describe(inputs, given)
            ),
            error=ValueError,
        )
    return batch, places


def check_some(
    loss: str, inputs: Mapping[str, Dims], arrays: Mapping[str, Any], places: Mapping[str, Axes], needs: Mapping[str, str]
) -> None:
    """Raises where there is nothing of what a loss needs at least one of: no classes, no experts."""
    for name, place in places.items():
        for dim, at in zip(inputs[name], place.core, strict=True):
            if dim in needs and is_known(arrays[name].shape[at]) and arrays[name].shape[at] == 0:
                raise ValueError(f"{loss}: `{name}` has no {needs[dim]}, got shape {arrays[name].shape}.")


def check_batch_is_left(loss: str, inputs: Mapping[str, Dims], arrays: Mapping[str, Any], places: Mapping[str, Axes]) -> None:
    """Raises where predictions are one whole datum, and yet there are several numbers of which each datum has one."""
    first = next(iter(inputs))
    several = [n for n, place in places.items() if not inputs[n] and set(place.batch) != {None}]
    if several and set(places[first].batch) == {None}:
        shape, name = arrays[first].shape, several[0]
        fewer = len(shape) - arrays[name].ndim
        remedy = f" spatial_ndim={fewer}?" if fewer > 0 else ""
        raise ValueError(
            f"{loss}: `{name}` {arrays[name].shape} has one number per datum, but no batch axis is left in `{first}` {shape}, which is one."
            + remedy
        )


def split_offset(dim: str) -> tuple[str, int]:
    """``"u+1"`` gives ``("u", 1)``."""
    match = re.fullmatch(r"(\w+)([+-]\d+)?", dim)
    if match is None:
        raise ValueError(f"a core axis is a letter, a number, `*s`, or a letter plus a number; got {dim!r}.")
    return match[1], int(match[2] or 0)


def per_example(loss: str, name: str, value: Any, batch: tuple[int, ...], kind: str) -> Array:
    """`where` or `weights`: exactly one value per example."""
    array = jnp.asarray(value)
    if kind == "boolean":
        check_chex(
            "assert_type",
            array,
            bool,
            message=lambda: f"{loss}: `{name}` must be boolean, got {array.dtype}{list(array.shape)}.",
            error=TypeError,
        )
    else:
        check_chex(
            "assert_type",
            0 if jnp.issubdtype(array.dtype, jnp.complexfloating) else 0.0,
            float,
            message=lambda: f"{loss}: `{name}` must be real numbers, got {array.dtype}{list(array.shape)}.",
            error=TypeError,
        )
    check_chex(
        "assert_equal",
        array.shape,
        batch,
        message=lambda: f"{loss}: `{name}` has shape {array.shape}, but there is one value per example: {batch}.",
        error=ValueError,
    )
    return array


def is_sound(array: Array, place: Axes, domain: str, dims: Dims) -> Array:
    """Which examples hold neither NaN nor infinity; but logits and log-probabilities of -inf are classes that are absent."""
    may_be_absent = domain == "log_prob" or (domain == "real" and "k" in dims)
    sound = jnp.all(array < jnp.inf if may_be_absent else jnp.isfinite(array), axis=place.core)
    order = [b - sum(c < b for c in place.core) for b in place.batch if b is not None]
    return sound.transpose(order)


def fill_masked(array: Any, where: Array, place: Axes, domain: str, isolated: bool = False) -> Any:
    """Puts the domain's harmless value into masked examples, so that nothing they hold reaches a gradient.

    Where examples are `isolated`, they keep what they hold and only the gradient is cut off: one select instead of one for each
    input, and reductions over the axes of a vector read the input itself. The value is masked at the end, and no other example sees it.
    """
    if array is None or None in place.batch or DOMAINS[domain].kind in ("any", "boolean"):
        return array
    keep = jnp.expand_dims(as_placed(where, place), place.core)
    if isolated and jnp.issubdtype(array.dtype, jnp.floating):
        return select(keep, array, jax.lax.stop_gradient(array))
    fill = jnp.asarray(DOMAINS[domain].fill, array.dtype)
    if fill.ndim:
        shape = [1] * array.ndim
        shape[place.core[-1]] = fill.size
        fill = jnp.broadcast_to(fill.reshape(shape), array.shape)
    return select(keep, array, fill)


def as_placed(where: Array, place: Axes) -> Array:
    """`where` with its axes in the order in which an input has its batch axes."""
    return where.transpose(sorted(range(len(place.batch)), key=lambda level: place.batch[level] or 0))
