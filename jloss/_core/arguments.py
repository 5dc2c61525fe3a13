"""What a caller gives: is it what the signature says? If not, the message names the loss and the argument."""

import difflib
import functools
import inspect
from collections.abc import Callable
from numbers import Integral
from types import NoneType, UnionType
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.catalogue import Entry
from jloss._core.domains import DOMAINS
from jloss._core.remedies import ERRORS_LIKE_PENALTIES, KEYWORDS_OF_PEERS, of_keyword, of_shapes, of_value

hints_of = functools.cache(get_type_hints)
_TOP = np.iinfo(np.int32).max


def bound_to(name: str, shown: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name; raises where one is missing, unknown, or not what it is annotated with."""
    try:
        given = shown.bind(*args, **kwargs).arguments
    except TypeError as error:
        errors = name in ERRORS_LIKE_PENALTIES and len(args) > 1
        advice = f" It is a penalty of parameters; for errors see {ERRORS_LIKE_PENALTIES[name]}." if errors else ""
        raise TypeError(f"{name}: {error}.{advice}") from None
    for argument, value in given.items():
        annotation = shown.parameters[argument].annotation
        if shown.parameters[argument].kind is inspect.Parameter.VAR_KEYWORD:
            hints = hints_of(get_args(annotation)[0])
            if unknown := value.keys() - hints.keys():
                raise TypeError(f"{name}: unknown keyword `{min(unknown)}`.")
            for keyword in value.keys() - {"where", "weights"}:
                check_static(name, keyword, value[keyword], hints[keyword])
        else:
            check_argument(name, argument, value, annotation)
    return given


def unbound(name: str, shown: inspect.Signature, kwargs: Any, error: TypeError, entry: Entry | None = None) -> TypeError:
    """What is raised where the arguments of a call are not those of its signature."""
    unknown = next((n for n in kwargs if n not in shown.parameters), None)
    if unknown is None:
        return TypeError(f"{name}: {error}.")
    if entry is not None and (known := of_keyword(entry, unknown, kwargs[unknown])):
        return TypeError(f"{name}: unknown keyword `{unknown}`; {known}.")
    near = difflib.get_close_matches(unknown, shown.parameters, n=1)
    return TypeError(f"{name}: unknown keyword `{unknown}`{f'; did you mean `{near[0]}`?' if near else '.'}")


def check_argument(name: str, argument: str, value: Any, annotation: Any) -> None:
    """Raises where a value is not what its annotation says: an array, a function, or something static."""
    accepts = [annotation, *get_args(annotation)]
    if Callable in [get_origin(a) for a in accepts]:
        if not callable(value) and not (value is None and NoneType in accepts):
            advice = (
                f" Of leaves whose path has {value!r}: lambda path: {value!r} in path."
                if isinstance(value, str) and argument == "where"
                else ""
            )
            raise TypeError(f"{name}: `{argument}` must be a function, got {value!r}.{advice}")
    elif Array in accepts or float in accepts:
        check_array(name, argument, value, annotation)
    else:
        check_static(name, argument, value, annotation)


def check_option(loss: str, option: str, value: Any, domain: str) -> None:
    """Raises where a number is outside the domain of its option. NaN of NumPy is data, such as a parameter that has become NaN."""
    low, high, meaning = DOMAINS[domain].low, DOMAINS[domain].high, DOMAINS[domain].meaning
    if is_known_number(value) and not low <= value <= high and (isinstance(value, int | float) or value == value):
        raise ValueError(f"{loss}: `{option}` must be {meaning}, got {value}.")


def is_known_number(value: Any) -> TypeGuard[float]:
    """Whether a value is one real number, of Python or NumPy, that can be looked at while a loss is made or called."""
    return isinstance(value, int | float) or (
        isinstance(value, np.generic | np.ndarray) and not value.shape and value.dtype.kind in "iuf" and value.dtype.isnative
    )


def as_plain(value: Any) -> Any:
    """One number of NumPy as one of Python, which takes the dtype of what it meets: a float64 among the settings would widen a state."""
    is_of_numpy = isinstance(value, np.generic | np.ndarray)
    return np.asarray(value).item() if is_of_numpy and is_known_number(value) else value


def check_static(loss: str, option: str, value: Any, annotation: Any) -> None:
    """Raises where a static option is none of its words, or not of its type."""
    words, types = _accepted(annotation)
    if words:
        if not any((type(value) is type(word) or isinstance(value, np.integer)) and value == word for word in words):
            raise ValueError(f"{loss}: `{option}` must be one of {words}, got {value!r}.{of_value(option, value)}")
    elif not isinstance(value, types) or (isinstance(value, bool) and Integral in types):
        wants = getattr(annotation, "__name__", "") if not get_args(annotation) else str(annotation).replace("typing.", "")
        got = "an array" if hasattr(value, "dtype") else repr(value)
        raise TypeError(f"{loss}: `{option}` is static and must be a Python {wants}, got {got}.")


@functools.cache
def _accepted(annotation: Any) -> tuple[tuple[Any, ...], tuple[type, ...]]:
    """The words, or the types, that a static option may have; any other annotation than of simple types accepts all."""
    if get_origin(annotation) is Literal:
        return get_args(annotation), ()
    of = {int: (Integral,), bool: (bool, np.bool_), str: (str,), tuple: (tuple,), NoneType: (NoneType,)}
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    types = [of.get(get_origin(t) or t, (object,)) for t in members]
    return (), sum(types, ())


def lists_to_arrays(loss: str, args: Any, kwargs: Any, literal: Any, kinds: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """Python lists as arrays of the dtype their domain wants."""

    def convert(name: str, value: Any) -> Any:
        if type(value) not in (list, tuple):
            return value
        kind = DOMAINS[kinds[name]].kind if name in kinds else ""
        try:
            if kind == "integer" and not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value)):
                return np.asarray(value)  # which holds what 32 bits do not
            return jnp.asarray(value, float) if kind == "float" else jnp.asarray(value)
        except (TypeError, ValueError) as error:  # of ragged rows, or of what is no number
            raise type(error)(f"{loss}: `{name}` is a list that makes no array: {error}") from None

    names = list(kinds)
    args = [convert(names[i], a) if i < len(names) else a for i, a in enumerate(args)]
    return args, {n: convert(n, v) if n in literal else v for n, v in kwargs.items()}


def keep_within_32_bits(args: Any, kwargs: Any, kinds: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """NumPy integers that keep their meaning where jax, without 64 bits, drops the upper half of each.

    An index that int32 cannot hold becomes -1, so that NaN follows. Of labels that say what belongs together, the ranks do. Targets and
    weights that are numbers, such as times in nanoseconds, become floats.
    """
    predictions = next(iter(kinds), "")  # are to be floating
    given = dict(zip(kinds, args, strict=False)) | {n: kwargs[n] for n in (*kinds, "weights") if n in kwargs}
    numbers = {n for n in given if n == "weights" or (n != predictions and DOMAINS[kinds[n]].kind in ("float", "number"))}
    floats = {n: given[n].astype(np.float32) for n in numbers if is_cut_to_32_bits(given[n])}
    given = {n: value for n, value in given.items() if n not in numbers}
    wide = {n for n, value in given.items() if DOMAINS[kinds[n]].kind == "integer" and is_cut_to_32_bits(value)}
    indices = {n: given[n] for n in wide if kinds[n] != "group"}
    fitting = {n: np.where((i < 0) | (i > _TOP), np.int32(-1), i.astype(np.int32)) for n, i in indices.items()}
    if wide - fitting.keys():
        groups = {n: np.asarray(value) for n, value in given.items() if kinds[n] == "group" and value is not None}
        dtype = None if len({labels.dtype for labels in groups.values()}) == 1 else object  # NumPy would make them float64
        together = np.concatenate([labels.ravel() for labels in groups.values()], dtype=dtype)
        ranks = np.unique(together, return_inverse=True)[1].ravel().astype(np.int32)
        parts = np.split(ranks, np.cumsum([labels.size for labels in groups.values()])[:-1])
        fitting |= {n: part.reshape(labels.shape) for (n, labels), part in zip(groups.items(), parts, strict=True)}
    fitting |= floats
    args = [fitting.get(n, a) for n, a in zip(kinds, args, strict=False)] + list(args[len(kinds) :])
    return args, {n: fitting.get(n, value) for n, value in kwargs.items()}


def is_cut_to_32_bits(value: Any) -> bool:
    """Whether jax, which has no 64 bits now, would change these numbers."""
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "iu" or value.dtype.itemsize < 8:
        return False
    return value.size > 0 and bool(value.max() > _TOP or value.min() < -_TOP - 1) and jax.dtypes.canonicalize_dtype(np.int64) == np.int32


def raise_plainly(entry: Entry, shown: inspect.Signature, args: Any, kwargs: Any, error: Exception) -> None:
    """Raises the plain reason, if the call itself was wrong, and what to do."""
    name = entry.name
    maker = name.partition("(")[0]
    if maker in ("linear_head", "chunked") and "custom_vjp" in str(error):  # as jax says it
        remedy = f'{maker}(loss, backward="recompute")'
        raise TypeError(f'{name}: `backward` is "cached", which has no forward-mode derivatives (jvp, jacfwd); use {remedy}.') from None
    is_ours = type(error) in (TypeError, ValueError) and str(error).startswith((f"{name}: ", f"{maker}: "))
    missing = [n for i, (n, p) in enumerate(shown.parameters.items()) if p.default is p.empty and i >= len(args) and n not in kwargs]
    call = f"\n  expected  {name}({', '.join(n for n, p in shown.parameters.items() if p.default is p.empty)}, ...)"
    if missing:
        raise TypeError(f"{name}: missing input `{missing[0]}`.{call}") from None
    positional = sum(p.kind is not p.KEYWORD_ONLY for p in shown.parameters.values())
    if len(args) > positional:
        two = maker == "linear_head" and any(n.startswith(("teacher_", "reference_")) for n in entry.inputs)
        advice = (
            f"\n  For hidden states and kernel of both models: linear_head({name.partition('(')[2][:-1]}, teacher=True)." if two else ""
        )
        raise TypeError(f"{name}: takes {positional} inputs, got {len(args)}; options are given by keyword.{call}{advice}") from None
    for option, value in kwargs.items():
        if option not in shown.parameters:
            if known := of_keyword(entry, option, value):
                raise TypeError(f"{name}: unknown keyword `{option}`; {known}.") from None
            near = [n for n in KEYWORDS_OF_PEERS.get(option, ()) if n in shown.parameters]
            near = near or difflib.get_close_matches(option, shown.parameters, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else "."
            raise TypeError(f"{name}: unknown keyword `{option}`{hint}") from None
        if option.endswith("axis_name") and not is_ours:
            for axis in value if isinstance(value, tuple) else (value,):
                if isinstance(axis, str) and not _is_bound(axis):
                    here = ", ".join(map(repr, filter(_is_bound, jax.sharding.get_abstract_mesh().axis_names)))
                    advice = f"the axes are {here}." if here else "call it inside `jax.shard_map`."
                    raise NameError(f"{name}: `{option}` is {axis!r}, no axis here; {advice}") from None
    given = dict(zip(shown.parameters, args, strict=False)) | kwargs
    check_arrays(name, list(shown.parameters.values()), given)
    foreign = "one example must give one number" in str(error) or (not is_ours and type(error) in (TypeError, ValueError))
    for option in entry.options if foreign else ():
        if np.ndim(given.get(option, 0)):
            fits = "the whole batch" if entry.elementwise else "one example"
            raise type(error)(
                f"{name}: does `{option}` of shape {np.shape(given[option])} fit {fits}? {str(error).removeprefix(f'{name}: ')}"
            ) from None
    if is_ours:
        sentences = list(of_shapes(entry, given, str(error)))
        if sentences:
            raise type(error)("\n  ".join([str(error), *sentences])) from None


def _is_bound(axis: str) -> bool:
    """Whether a mesh axis of this name can be summed over here."""
    try:
        lax.axis_size(axis)
    except NameError:
        return False
    return True


def check_arrays(name: str, parameters: list[inspect.Parameter], given: dict[str, Any]) -> None:
    """Raises where something that is to be an array is none, or None without being optional."""
    for p in parameters:
        value = given.get(p.name, p.default)
        if value is not p.default and {Array, float} & {p.annotation, *get_args(p.annotation)}:
            check_array(name, p.name, value, p.annotation)


def check_array(name: str, argument: str, value: Any, annotation: Any = float | Array) -> None:
    """Raises where a value is no array, and no number, and not None where it may be."""
    accepts = {annotation, *get_args(annotation)}
    numbers = jax.Array | np.ndarray | np.generic | int | float | complex | list | tuple
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: `{argument}` is a masked array of NumPy; give its .filled(0), and where=~mask.") from None
    if isinstance(value, np.ndarray | np.generic) and (value.dtype.kind in "OSUMm" or value.dtype.char in "gG" or value.dtype.names):
        raise TypeError(f"{name}: `{argument}` must be an array of numbers, got one of dtype {value.dtype}.") from None
    if float in accepts and (isinstance(value, complex) or jnp.issubdtype(getattr(value, "dtype", float), jnp.complexfloating)):
        raise TypeError(f"{name}: `{argument}` must be real, got {value!r}.") from None
    if isinstance(value, numbers) or hasattr(value, "__jax_array__") or (value is None and NoneType in accepts):
        return
    wants = "a number or an array" if float in accepts else "an array"
    got = repr(value) if value is None or isinstance(value, str) else f"a {type(value).__name__}"
    way = "to_numpy()" if hasattr(value, "to_numpy") else "detach().cpu().numpy()" if hasattr(value, "detach") else ""
    remedy = f" Give its .{way}." if way and not isinstance(value, type) else ""
    raise TypeError(f"{name}: `{argument}` must be {wants}, of JAX or NumPy, got {got}.{remedy}") from None


def check_number(name: str, argument: str, value: Any) -> None:
    """Raises where a value is not one real number, or an array or tracer of one."""
    check_array(name, argument, value)
    if np.shape(value):
        raise ValueError(f"{name}: `{argument}` must be one number, got shape {np.shape(value)}.") from None


def known_number(name: str, argument: str, value: Any) -> float:
    """A setting as a Python number, of whatever dtype it comes; raises where it is traced, for shapes or tables are made with it."""
    check_number(name, argument, value)
    if isinstance(value, jax.core.Tracer):
        raise TypeError(f"{name}: `{argument}` must be known while the program is traced, not traced: call it outside of `jax.jit`.")
    return float(value)


def is_misread(value: Any) -> bool:
    """Whether a compiled jax function that knows the dtype reads this array as another: bytes in the other order, masked numbers, or
    those without a width that are the gradient of integers, which it takes for False.
    """
    return isinstance(value, np.ndarray) and (not value.dtype.isnative or isinstance(value, np.ma.MaskedArray) or bool(value.dtype.names))


def in_byte_order(name: str, shown: inspect.Signature, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with their bytes in the order of this machine; raises where one is a masked array, or its dtype has no numbers."""
    for argument, value in (*zip(shown.parameters, args, strict=False), *kwargs.items()):
        if isinstance(value, np.ma.MaskedArray) or (is_misread(value) and value.dtype.names):
            check_array(name, argument, value)

    def ordered(value: Any) -> Any:
        return value.astype(value.dtype.newbyteorder("=")) if is_misread(value) else value

    return [ordered(a) for a in args], {n: ordered(a) for n, a in kwargs.items()}
