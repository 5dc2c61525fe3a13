"""What an input may be, where its axes lie, and the checks that run in front of vmap.

A signature such as ``"(t,u+1,k),(u),()->()"`` gives the core axes of each input of one example: a letter is a size that
must agree wherever it stands, a digit a fixed size, ``u+1`` a size relative to a letter, ``*s`` any number of spatial axes.
A domain word says what the values are; it drives the dtype check, the fill of masked examples, the samples of the tests,
and the value checks of the debug mode.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import Array

Dims = tuple[str, ...]


class Domain(NamedTuple):
    """The dtype family, a harmless value for masked examples, and the range of the values."""

    kind: str  # float, number (float, integer or boolean), integer, boolean, any
    fill: float | tuple[float, ...] = 0.0
    low: float = -math.inf
    high: float = math.inf
    meaning: str = ""


DOMAINS: dict[str, Domain] = {
    "real": Domain("float", meaning="any real number"),
    "unit": Domain("number", 0.5, 0.0, 1.0, "between 0 and 1"),
    "positive": Domain("float", 1.0, math.ulp(0.0), math.inf, "greater than 0"),
    "nonnegative": Domain("number", 1.0, 0.0, math.inf, "0 or more"),
    "one_or_more": Domain("number", 1.0, 1.0, math.inf, "1 or more"),
    "above_minus_one": Domain("float", 0.0, math.nextafter(-1.0, 0.0), math.inf, "greater than -1"),
    "sign": Domain("number", 1.0, -1.0, 1.0, "-1 or +1"),
    "class": Domain("integer", 0, 0, meaning="a class index"),
    "group": Domain("integer", 0, meaning="any integers; equal ones belong together"),
    "length": Domain("integer", 0, 0, meaning="a number of valid steps"),
    "prob": Domain("float", 1.0, 0.0, 1.0, "probabilities that sum to 1"),
    "log_prob": Domain("float", 0.0, -math.inf, 0.0, "logarithms of probabilities"),
    "box": Domain("float", (0.0, 0.0, 1.0, 1.0), meaning="corners (x0, y0, x1, y1)"),
    "rotated_box": Domain("float", (0.0, 0.0, 1.0, 1.0, 0.0), meaning="(cx, cy, w, h, radians)"),
    "multi_hot": Domain("number", 0.0, 0.0, 1.0, "True (or 1) for each class that holds"),
    "mask": Domain("boolean", False, meaning="True keeps"),
    "key": Domain("any", meaning="a random key"),
    "tree": Domain("any", meaning="a pytree, shared by all examples"),
}


def parse(signature: str) -> tuple[Dims, ...]:
    """The core axes of each input: ``"(k),()->()"`` gives ``(("k",), ())``."""
    inputs, arrow, output = signature.replace(" ", "").partition("->")
    if arrow != "->" or output != "()" or re.sub(r"\([^()]*\)", "", inputs).strip(","):
        raise ValueError(f"a signature reads like '(k),()->()', one example and one number; got {signature!r}.")
    return tuple(tuple(filter(None, dims.split(","))) for dims in re.findall(r"\(([^()]*)\)", inputs))


def spatial(dims: Dims, count: int) -> Dims:
    """`dims` with ``*s`` written out as `count` axes."""
    return tuple(axis for dim in dims for axis in ([f"s{i}" for i in range(count)] if dim == "*s" else [dim]))


def expect(assertion: Callable[..., None], *args: Any, message: Callable[[], str], error: type[Exception]) -> None:
    """Runs a chex assertion and states its failure in our words, so that `chex.disable_asserts` switches it off."""
    try:
        assertion(*args)
    except AssertionError:
        raise error(message()) from None


def typed_inputs(loss: str, domains: Mapping[str, str], given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The inputs as arrays of their domains' dtype families, and the dtype of the arithmetic, which integer targets take."""
    predictions = next(iter(domains), "")
    arrays = {n: as_domain(loss, n, given[n], d, is_target=n != predictions) for n, d in domains.items()}
    dtype = widest(arrays)
    numbers = [n for n, a in arrays.items() if a is not None and DOMAINS[domains[n]].kind in ("float", "number")]
    return {n: a.astype(dtype) if n in numbers and not jnp.issubdtype(a.dtype, jnp.floating) else a for n, a in arrays.items()}, dtype


def as_domain(loss: str, name: str, value: Any, domain: str, is_target: bool = False) -> Any:
    """`value` as an array of the domain's dtype family; an index becomes int32, with -1 for what int32 cannot hold.

    Numbers may be integers or booleans, and targets that are real numbers, too: they are widened when the dtype of the others is known.
    Labels that only say what belongs together keep their dtype: two that int32 cannot hold may differ.
    """
    kind = DOMAINS[domain].kind
    if domain == "key" and hasattr(value, "dtype") and value.dtype == jnp.uint32:
        return jax.random.wrap_key_data(jnp.asarray(value))  # raw, from `jax.random.PRNGKey`
    if value is None or kind == "any":
        return value
    array = jnp.asarray(value)
    if kind == "float" and array.aval.weak_type and not jnp.issubdtype(array.dtype, jnp.bool_):
        array = array.astype(float)
    if domain == "sign" and array.dtype == jnp.bool_:
        array = jnp.where(array, jnp.int8(1), jnp.int8(-1))
    if (kind == "number" or (kind == "float" and is_target)) and (array.dtype == jnp.bool_ or jnp.issubdtype(array.dtype, jnp.integer)):
        return array
    wanted, words = {
        "float": (float, "floating"),
        "number": (float, "a number"),
        "integer": (int, "integer"),
        "boolean": (bool, "boolean"),
    }[kind]
    expect(
        chex.assert_type,
        array,
        wanted,
        message=lambda: f"{loss}: `{name}` must be {words}, got {array.dtype}{list(array.shape)}.",
        error=TypeError,
    )
    if kind == "integer" and domain != "group" and array.dtype != jnp.int32:
        top = jnp.iinfo(jnp.int32).max
        if jnp.iinfo(array.dtype).max > top:
            array = jnp.where((array < 0) | (array > jnp.asarray(top, array.dtype)), jnp.asarray(-1).astype(array.dtype), array)
        array = array.astype(jnp.int32)
    return array


class Place(NamedTuple):
    """Where the axes of one input lie: a batch axis (or None, where it is shared) per level of vmap, then the core axes."""

    batch: tuple[int | None, ...]
    core: tuple[int, ...]


def class_axis(loss: str, name: str, ndim: int, axis: int) -> int:
    """`axis` counted from the front."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"{loss}: `axis` is {axis}, but `{name}` has {ndim} axes.")
    return axis % ndim


def find_axes(loss: str, name: str, shape: Sequence[int], dims: Dims, axis: int | None, over: str | None) -> Place:
    """The batch and core axes of one input.

    `over` is the letter that `axis` places among the core axes ("k"), "each" if `axis` names a batch axis that comes last
    (each class is then an example of its own), "shared" for a mask that all classes share, or None if this input has no such axis.
    """
    ndim = len(shape)
    if over in (None, "shared") or axis is None:
        split = ndim - len(dims)
        return Place(tuple(range(split)), tuple(range(split, ndim)))
    at = class_axis(loss, name, ndim, axis)
    rest = [i for i in range(ndim) if i != at]
    if over == "each":
        split = len(rest) - len(dims)
        return Place((*rest[:split], at), tuple(rest[split:]))
    split = len(rest) - (len(dims) - 1)
    others = iter(rest[split:])
    return Place(tuple(rest[:split]), tuple(at if dim == over else next(others) for dim in dims))


def describe(inputs: Mapping[str, Dims], arrays: Mapping[str, Any]) -> str:
    """The two aligned lines under an error: what was expected, what came."""
    wanted = ", ".join(f"{name}({', '.join(('...', *dims))})" for name, dims in inputs.items() if arrays.get(name) is not None)
    got = ", ".join(f"{name}({', '.join(map(str, a.shape))})" for name, a in arrays.items() if a is not None)
    return f"\n  expected  {wanted}\n  got       {got}"


def batch_shape(
    loss: str, inputs: Mapping[str, Dims], arrays: Mapping[str, Any], axis: int | None = None, over: Mapping[str, str] | None = None
) -> tuple[tuple[int, ...], dict[str, Place]]:
    """The batch axes that all inputs share, and where each input has them. Batch axes are equal or absent."""
    over = over or {}
    sizes: dict[str, tuple[int, str]] = {}
    batch: tuple[int, ...] = ()
    places: dict[str, Place] = {}
    given = {name: array for name, array in arrays.items() if array is not None and hasattr(array, "shape")}
    for name, array in given.items():
        dims = inputs[name]
        needed = len(dims) + (over.get(name) == "each" and axis is not None)
        expect(
            chex.assert_scalar_non_negative,
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
            expect(
                chex.assert_equal,
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
            places[name] = Place((None,) * levels, place.core)
            continue
        if over.get(name) == "shared" and axis is not None:  # a mask, shared by the classes: it lacks the last level
            places[name] = Place((*place.batch, None), place.core)
            expected = batch[:-1]
        else:
            batch, first = (batch, first) if first else (mine, name)
            expected = batch
        expect(
            chex.assert_equal,
            mine,
            expected,
            message=lambda: (
                f"{loss}: `{name}` has batch axes {mine}, but {expected} before; losses do not broadcast batch axes."
                + describe(inputs, given)
            ),
            error=ValueError,
        )
    return batch, places


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
        expect(
            chex.assert_type,
            array,
            bool,
            message=lambda: f"{loss}: `{name}` must be boolean, got {array.dtype}{list(array.shape)}.",
            error=TypeError,
        )
    expect(
        chex.assert_equal,
        array.shape,
        batch,
        message=lambda: f"{loss}: `{name}` has shape {array.shape}, but there is one value per example: {batch}.",
        error=ValueError,
    )
    return array


def is_sound(array: Array, place: Place, domain: str, dims: Dims) -> Array:
    """Which examples hold neither NaN nor infinity; but logits and log-probabilities of -inf are classes that are absent."""
    may_be_absent = domain == "log_prob" or (domain == "real" and "k" in dims)
    sound = jnp.all(array < jnp.inf if may_be_absent else jnp.isfinite(array), axis=place.core)
    order = [b - sum(c < b for c in place.core) for b in place.batch if b is not None]
    return sound.transpose(order)


def fill_masked(array: Any, where: Array, place: Place, domain: str, isolated: bool = False) -> Any:
    """Puts the domain's harmless value into masked examples, so that nothing they hold reaches a gradient.

    Where examples are `isolated`, a vector keeps what it holds and only its gradient is cut off: the reductions over its axes
    then read the input itself, not a filled copy. The value is masked at the end, and no other example can see it.
    """
    if array is None or None in place.batch or DOMAINS[domain].kind in ("any", "boolean"):
        return array
    keep = jnp.expand_dims(as_placed(where, place), place.core)
    if isolated and place.core and jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.where(keep, array, jax.lax.stop_gradient(array))
    fill = jnp.asarray(DOMAINS[domain].fill, array.dtype)
    if fill.ndim:
        shape = [1] * array.ndim
        shape[place.core[-1]] = fill.size
        fill = jnp.broadcast_to(fill.reshape(shape), array.shape)
    return jnp.where(keep, array, fill)


def as_placed(where: Array, place: Place) -> Array:
    """`where` with its axes in the order in which an input has its batch axes."""
    return where.transpose(sorted(range(len(place.batch)), key=lambda level: place.batch[level] or 0))


def widest(arrays: Any) -> Any:
    """float64 if any floating input is, else float32: the dtype of the arithmetic."""
    dtypes = [a.dtype for a in jax.tree.leaves(arrays) if hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.float64 if jnp.float64 in dtypes else jnp.float32


def is_known(*sizes: Any) -> bool:
    """Whether sizes are numbers, which can be compared: in an exported program they may be symbols."""
    return all(isinstance(size, int) for size in sizes)
