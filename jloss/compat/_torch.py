"""What the functions of `jloss.compat.torch` share: what a caller gives, torch's shapes, and torch's means."""

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jloss
from jloss._core.arguments import check_array, check_option, is_cut_to_32_bits, unbound

P = ParamSpec("P")
R = TypeVar("R")
Reduction = Literal["mean", "sum", "none"]


def of_arrays(function: Callable[P, R]) -> Callable[P, R]:
    """The function, called with arrays of JAX or NumPy, numbers or lists; what is none of these is named by its argument in torch."""
    shown, name = inspect.signature(function), function.__name__
    annotations = {n: {p.annotation, *get_args(p.annotation)} for n, p in shown.parameters.items()}
    reductions = (*get_args(Reduction), "batchmean") if name == "kl_div" else get_args(Reduction)

    @functools.wraps(function)
    def public(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = shown.bind(*args, **kwargs)
        except TypeError as error:
            raise unbound(name, shown, kwargs, error) from None
        given = bound.arguments
        for argument, value in given.items():
            accepts = annotations[argument]
            if Array not in accepts or value is None is shown.parameters[argument].default:
                continue
            check_array(name, argument, value, shown.parameters[argument].annotation)
            if not accepts & {Sequence[int], float}:  # lengths and variances stay numbers that Python knows, also inside of `jax.jit`
                given[argument] = _as_array(name, argument, value)
        legacy = given.get("size_average") is not None or given.get("reduce") is not None
        if not legacy and given.get("reduction", "mean") not in reductions:
            raise ValueError(f"{name}: `reduction` must be one of {', '.join(reductions)}, got {given['reduction']!r}.")
        return function(*bound.args, **bound.kwargs)

    return public


def _as_array(name: str, argument: str, value: Any) -> Any:
    """An array of JAX, or of NumPy where it is one, as integers of 64 bits lose half of theirs in one of JAX."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value).astype(value.dtype.newbyteorder("="), copy=False)
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"{name}: `{argument}` makes no array: {error}") from None


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> Reduction:
    """torch's three arguments for one reduction; the legacy two win, and are True where one of them is not given."""
    if size_average is None and reduce is None:
        return reduction  # type: ignore[return-value]
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def as_floats(*arrays: Array) -> list[Array]:
    """Integers become floats, as torch's type promotion does."""
    dtypes = [jax.dtypes.canonicalize_dtype(a.dtype) for a in arrays]
    floating = next((d for d in dtypes if jnp.issubdtype(d, jnp.floating)), jnp.dtype(jnp.float32))
    return [jnp.asarray(a if jnp.issubdtype(d, jnp.floating) else a.astype(floating)) for a, d in zip(arrays, dtypes, strict=True)]


def stretched(arrays: Sequence[Array]) -> list[Array]:
    """All in one shape: sizes of 1 stretch, axes in front are added."""
    if len({a.shape for a in arrays}) == 1:
        return list(arrays)
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return [jnp.broadcast_to(lift(a, len(shape)), shape) for a in arrays]


def in_one_shape(name: str, **given: Array) -> list[Array]:
    """Inputs in one shape where torch stretches sizes of 1 without a word; numbers of axes that differ are a mistake."""
    arrays = as_floats(*given.values())
    try:
        if len({a.ndim for a in arrays if a.ndim}) > 1:
            raise ValueError
        return stretched(arrays)
    except ValueError:
        got = ", ".join(f"{n}({', '.join(map(str, a.shape))})" for n, a in zip(given, arrays, strict=True))
        words = [f"`{n}`" for n in given]
        raise ValueError(
            f"{name}: {', '.join(words[:-1])} and {words[-1]} must have equal shapes, but for sizes of 1; got {got}."
        ) from None


def in_equal_shapes(name: str, input: Array, target: Array) -> list[Array]:
    """Input and target, floating, where torch stretches neither: a number is not that of a whole vector."""
    if target.shape != input.shape:
        raise ValueError(f"{name}: `target` must have the shape of `input`, {input.shape}, got {target.shape}.")
    return as_floats(input, target)


def of_each_row(name: str, shape: tuple[int, ...], axis: int, target: Array, of: str = "`input`") -> Array:
    """Class indices, one per row of logits of this shape; torch takes (1,) for a single row, too. Many would share the row."""
    wanted = shape[:axis] + shape[axis + 1 :]
    if target.shape == wanted:
        return target
    if not wanted and target.shape == (1,):
        return target.reshape(())
    raise ValueError(
        f"{name}: `target` of class indices must have the shape of {of} without axis {axis}, {wanted} of {shape}, got {target.shape}."
        + (" Of one-hot rows say target.astype(float)." if target.shape == shape and "entropy" in name else "")
    )


def in_input_shape(name: str, input: Array, target: Array) -> list[Array]:
    """`in_one_shape` where the target may be stretched, the input not."""
    pair = in_one_shape(name, input=input, target=target)
    if pair[0].shape != jnp.shape(input):
        raise ValueError(f"{name}: `target` of shape {jnp.shape(target)} does not fit into the shape of `input`, {jnp.shape(input)}.")
    return pair


def with_warning(name: str, input: Array, target: Array, level: int = 4) -> list[Array]:
    """Input and target in one shape, by torch's broadcasting and with torch's warning."""
    pair = as_floats(input, target)
    if pair[0].shape == pair[1].shape:
        return pair
    try:
        broadcast = stretched(pair)
    except ValueError:
        raise ValueError(f"{name}: `target` of shape {pair[1].shape} and `input` of shape {pair[0].shape} do not broadcast.") from None
    warnings.warn(
        f"Using a target size ({pair[1].shape}) that is different to the input size ({pair[0].shape}). This will likely lead to "
        "incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=level,
    )
    return broadcast


def spread_into(name: str, argument: str, array: Array, shape: tuple[int, ...]) -> Array:
    """`array` in the shape of the input, by broadcasting."""
    array = jnp.asarray(array)
    try:
        if np.broadcast_shapes(array.shape, shape) == shape:
            return jnp.broadcast_to(lift(array, len(shape)), shape)
    except ValueError:
        pass
    raise ValueError(f"{name}: `{argument}` must broadcast to the shape of `input`, {shape}, got {array.shape}.")


def check_weight(name: str, weight: Array | None, input: Array) -> None:
    if weight is not None and weight.shape != input.shape:
        raise ValueError(f"{name}: `weight` must have the shape of `input`, {jnp.shape(input)}, got {jnp.shape(weight)}.")


def class_weight(name: str, weight: Array | None, classes: int) -> Array | None:
    """The weight of each class, floating."""
    if weight is None:
        return None
    if weight.shape != (classes,):
        raise ValueError(f"{name}: `weight` must have one value per class, shape ({classes},), got {weight.shape}.")
    return as_floats(weight)[0]


def check_smoothing(name: str, value: Any) -> None:
    check_option(name, "label_smoothing", value, "unit")


def class_axis(name: str, input: Array) -> int:
    """torch's class axis: 1, or that of a single example."""
    if not input.ndim:
        raise ValueError(f"{name}: `input` must have the axes (C), (N, C) or (N, C, d1, ...), got a number.")
    return min(1, input.ndim - 1)


def call(core: Any, *args: Any, **kwargs: Any) -> Array:
    return core(*args, **kwargs)


def weighted(name: str, core: Any, input: Array, target: Array, weight: Array | None, how: Reduction) -> Array:
    """torch's mean by the sum of the weights, as given: an input that is stretched has fewer of them than elements."""
    check_weight(name, weight, input)
    pair = with_warning(name, input, target, level=5)
    if weight is None:
        return call(core, *pair, reduction=how)
    value = call(core, *pair, weights=spread_into(name, "weight", weight, pair[0].shape), reduction=how)
    return value * (pair[0].size / max(1, jnp.size(input))) if how == "mean" and pair[0].size != jnp.size(input) else value


def over_count(values: Array, weight: Array | None, how: Reduction, name: str = "") -> Array:
    """torch's other mean: weights multiply, and the divisor is the number of elements."""
    if weight is not None:
        values = times_weight(values, spread_into(name, "weight", weight, values.shape))
    return jloss.reduce(values, reduction=how)


def times_weight(values: Array, weight: Array) -> Array:
    """Weighted values; a weight of 0 removes what is not finite."""
    weight = weight.astype(values.dtype)
    return jnp.where((weight == 0) & ~jnp.isfinite(values), 0, values) * weight


def ratio(total: Array, mass: Array) -> Array:
    """0 where nothing counts."""
    return total / jnp.where((mass == 0) & (total == 0), 1, mass)


def lift(array: Array, ndim: int) -> Array:
    """Leading axes of 1, as broadcasting would add."""
    return array.reshape((1,) * (ndim - array.ndim) + array.shape)


def along(weight: Array, axis: int, ndim: int) -> Array:
    return weight.reshape([-1 if i == axis else 1 for i in range(ndim)])


def weight_of_label(weight: Array, target: Array, where: Array) -> Array:
    """The weight of each row's class; 0 where the row does not count, 1 where there is no such class, so that its NaN is seen."""
    inside = where & (target >= 0) & (target < weight.shape[0])
    return jnp.where(inside, weight[jnp.where(inside, target, 0)], where.astype(weight.dtype))


def is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value == 0


def as_rows(targets: Array, lengths: Array, given: Any) -> Array:
    """Concatenated targets as rows; as wide as the longest where the lengths are known, else as all together."""
    far = is_cut_to_32_bits(targets)
    targets = jnp.asarray(np.where(targets == targets.astype(np.int32), targets, -1) if far else targets)  # -1 is no class
    width = targets.shape[0] if isinstance(given, jax.core.Tracer) else int(np.max(np.asarray(given), initial=0))
    starts = jnp.cumsum(lengths, dtype=jnp.int32) - lengths
    steps = jnp.arange(width, dtype=jnp.int32)[None]
    return jnp.where(steps < lengths[:, None], targets[jnp.minimum(starts[:, None] + steps, max(targets.shape[0] - 1, 0))], 0)
