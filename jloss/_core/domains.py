"""What an input may be: a word such as ``class`` or ``box`` gives its dtypes, its range, and a harmless value for masked examples."""

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


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
    "nonpositive": Domain("number", -1.0, -math.inf, 0.0, "0 or less"),
    "one_or_more": Domain("number", 1.0, 1.0, math.inf, "1 or more"),
    "above_minus_one": Domain("float", 0.0, math.nextafter(-1.0, 0.0), math.inf, "greater than -1"),
    "rising": Domain("float", meaning="numbers that rise along the last axis"),
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


def check_chex(assertion: str, *args: Any, message: Callable[[], str], error: type[Exception]) -> None:
    """Runs a chex assertion and states its failure in our words, so that `chex.disable_asserts` switches it off."""
    import chex  # late: it takes a third of the time of `import jloss`

    try:
        getattr(chex, assertion)(*args)
    except AssertionError:
        raise error(message()) from None


def typed_inputs(loss: str, domains: Mapping[str, str], given: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """The inputs as arrays of their domains' dtype families, and the dtype of the arithmetic, which integer targets take."""
    predictions = next(iter(domains), "")
    arrays = {n: cast_to_domain(loss, n, given[n], d, is_target=n != predictions) for n, d in domains.items()}
    dtype = arithmetic_dtype(arrays)
    numbers = [n for n, a in arrays.items() if a is not None and DOMAINS[domains[n]].kind in ("float", "number")]
    return {n: a.astype(dtype) if n in numbers and not jnp.issubdtype(a.dtype, jnp.floating) else a for n, a in arrays.items()}, dtype


def cast_to_domain(loss: str, name: str, value: Any, domain: str, is_target: bool = False) -> Any:
    """`value` as an array of the domain's dtype family; an index becomes int32, with -1 for what int32 cannot hold.

    Numbers may be integers or booleans, and targets that are real numbers, too: they are widened when the dtype of the others is known.
    Labels that only say what belongs together keep their dtype: two that int32 cannot hold may differ.
    """
    kind = DOMAINS[domain].kind
    if domain == "key" and value is not None:
        return as_key(loss, name, value)
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
    check_chex(
        "assert_type",
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


def as_key(loss: str, name: str, value: Any) -> Array:
    """A random key, which may be raw, from `jax.random.PRNGKey`; raises TypeError where it is none."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return value
    if dtype == jnp.uint32:
        with contextlib.suppress(TypeError):  # numbers of a shape that is no key's
            return jax.random.wrap_key_data(jnp.asarray(value))
    got = repr(value) if dtype is None else f"{dtype}{list(value.shape)}"
    raise TypeError(f"{loss}: `{name}` must be a random key, as of jax.random.key(0), got {got}.")


def arithmetic_dtype(arrays: Any) -> Any:
    """float64 if any floating input is, else float32: the dtype of the arithmetic."""
    dtypes = [a.dtype for a in jax.tree.leaves(arrays) if hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.float64 if jnp.float64 in dtypes else jnp.float32


def is_known(*sizes: Any) -> bool:
    """Whether sizes are numbers, which can be compared: in an exported program they may be symbols."""
    return all(isinstance(size, int) for size in sizes)
