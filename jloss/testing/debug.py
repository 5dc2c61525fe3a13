"""Why is it NaN? Named errors for inputs outside their domain, and a diagnosis in words.

Losses never look at values, so a wrong label or a negative variance gives NaN, as documented. `checked` makes each such
violation a named error, also inside jit; `diagnose` says which argument, which example and which operation is to blame.
Neither costs anything where it is not used.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental import checkify

from jloss._core.catalogue import Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.loss import batch_of
from jloss._core.rules import Rule, aligned, rules
from jloss._core.types import L


def checked(loss: L) -> L:
    """The same loss, which raises a named error where an input lies outside its domain.

    Called on arrays it raises at once. Inside `jax.jit` it adds `checkify.check`s: wrap the outermost function in
    `jax.experimental.checkify.checkify` and throw its error. Masked examples are not checked.

    Args:
        loss: A loss of jloss or your own.

    >>> try:
    ...     checked(cross_entropy)(jnp.zeros((2, 3)), jnp.array([0, 3]))
    ... except Exception as error:
    ...     print(error)
    cross_entropy: `labels` must be a class index from 0 to 2, got 3. (`check` failed)
    """
    entry = entry_of(loss)

    @functools.wraps(entry.public)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return _guard(entry, loss, args, kwargs)
        static = {n: v for n, v in kwargs.items() if not hasattr(v, "shape") and not isinstance(v, float | list)}
        arrays = {n: v for n, v in kwargs.items() if n not in static}
        error, value = checkify.checkify(lambda a, k: _guard(entry, loss, a, {**k, **static}))(args, arrays)
        error.throw()
        return value

    guarded.__signature__ = inspect.signature(entry.public)  # type: ignore[attr-defined]
    guarded.__jloss__ = entry  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def _guard(entry: Entry, loss: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    value = loss(*args, **kwargs)  # first, so that wrong shapes speak for themselves
    for rule in rules(entry, args, kwargs):
        text = rule.text.replace("{", "(").replace("}", ")")
        checkify.check(~jnp.any(rule.broken), f"{entry.name}: {text}, got {{value}}.", value=rule.value)
    return value


# ---------------------------------------------------------------- diagnose


class Finding(NamedTuple):
    """One example whose value or gradient is not finite, and why."""

    example: tuple[int, ...]
    symptom: str
    reason: str


class Diagnosis(NamedTuple):
    """What `diagnose` found; true when everything is finite."""

    name: str
    findings: tuple[Finding, ...]
    examples: int

    def __bool__(self) -> bool:
        return not self.findings

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.name}: the value and every gradient of all {self.examples} examples are finite."
        lines = [f"{self.name}: {len(self.findings)} of {self.examples} examples are not finite."]
        lines += [f"  example {_at(f.example)}: {f.symptom}\n    {f.reason}" for f in self.findings[:10]]
        if len(self.findings) > 10:
            lines.append(f"  and {len(self.findings) - 10} more")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def diagnose(loss: Callable[..., Any], *args: Any, **kwargs: Any) -> Diagnosis:
    """Says in words why a loss or its gradient is NaN or infinite: which argument, which example, which rule or operation.

    Args:
        loss: A loss of jloss or your own.
        *args: Its inputs.
        **kwargs: Its inputs and options; `where` and `weights` count, the other reduction keywords do not.

    >>> print(diagnose(cross_entropy, jnp.zeros((3, 4)), jnp.array([0, 9, 1])))
    cross_entropy: 1 of 3 examples are not finite.
      example 1: the value is nan
        `labels` must be a class index from 0 to 3, got 9
    """
    entry = entry_of(loss)
    kwargs = {n: v for n, v in kwargs.items() if n not in ("reduction", "axis_name")}
    bound = inspect.signature(entry.public).bind(*args, **kwargs)
    bound.apply_defaults()
    arrays, places, batch, *_ = batch_of(entry, bound.arguments)
    floats = {n: a for n, a in arrays.items() if n in places and jnp.issubdtype(a.dtype, jnp.floating)}

    def total(floats: dict[str, Array]) -> tuple[Array, Array]:
        call = {**bound.arguments, **floats}
        call.update({n: v for n, v in kwargs.items() if n in ("where", "weights")})
        values = loss(**{n: v for n, v in call.items() if n not in ("reduction", "axis_name")}, reduction="none")
        return jnp.sum(values), values

    gradients, values = jax.grad(total, has_aux=True)(floats)
    symptoms: dict[tuple[int, ...], str] = {}
    for at in zip(*np.nonzero(~np.isfinite(np.atleast_1d(values))), strict=True):
        symptoms[tuple(map(int, at)) if batch else ()] = f"the value is {np.atleast_1d(values)[at]}"
    for name, gradient in gradients.items():
        place = places[name]
        if None in place.batch:
            continue
        moved = np.moveaxis(np.asarray(gradient, np.float64), [at for at in place.batch if at is not None], range(len(place.batch)))
        bad = np.asarray(~np.isfinite(moved).all(axis=tuple(range(len(place.batch), moved.ndim))))
        for at in np.ndindex(bad.shape):
            if bad[at] and at not in symptoms:
                symptoms[at] = f"the gradient in `{name}` is {'NaN' if np.isnan(moved[at]).any() else 'infinite'}"
    broken = [r for r in rules(entry, args, kwargs) if bool(jnp.any(r.broken))]
    findings = []
    for at, symptom in sorted(symptoms.items()):
        blamed = [r for r in broken if r.examples.ndim == 0 or bool(np.asarray(r.examples)[at[: r.examples.ndim]])]
        if blamed:
            reason = f"{blamed[0].text}, got {_value(blamed[0], arrays, places, at)}"
        else:
            reason = _operation(entry, arrays, places, bound.arguments, at)
        findings.append(Finding(at, symptom, reason))
    return Diagnosis(entry.name, tuple(findings), int(np.prod(batch, dtype=int)))


def _value(rule: Rule, arrays: Any, places: Any, at: tuple[int, ...]) -> Any:
    """The value of this example that breaks the rule."""
    if rule.name not in places or None in places[rule.name].batch:
        return np.asarray(rule.value).item()
    place = places[rule.name]
    broken = np.asarray(rule.broken)[at]
    array = np.asarray(aligned(arrays[rule.name], place))[at]
    if array.shape != broken.shape:  # a rule about a whole vector
        return array.tolist()
    return array[broken].flat[0].item()


def _operation(entry: Entry, arrays: Any, places: Any, given: Any, at: tuple[int, ...]) -> str:
    """No input is at fault: the first operation of this one example, run forward and backward, that is not finite."""
    one = {}
    for name, array in arrays.items():
        if name not in places:
            one[name] = array
            continue
        place = places[name]
        index: list[Any] = [slice(None)] * array.ndim
        for level, axis in enumerate(place.batch):
            if axis is not None:
                index[axis] = at[level]
        left = [i for i in range(array.ndim) if i not in place.batch]
        one[name] = array[tuple(index)].transpose([left.index(axis) for axis in place.core])
    options = {n: v for n, v in given.items() if n in entry.options}
    floats = {n: a for n, a in one.items() if n in places and jnp.issubdtype(a.dtype, jnp.floating)}

    def core(floats: dict[str, Array]) -> Any:
        widened = {n: {**one, **floats}[n] for n in one}
        return entry.core(**{n: _float32(v) for n, v in widened.items()}, **{n: _float32(v) for n, v in options.items()})

    for what, function in (("", core), (" in the gradient", jax.grad(core))):
        closed = jax.make_jaxpr(function)(floats)
        culprit, _ = _first_nonfinite(closed.jaxpr, closed.consts, jax.tree.leaves(floats))
        if culprit is not None:
            return f"all inputs are in their domain; the first operation that is not finite{what} is {culprit}"
    return "all inputs are in their domain and every operation of the example alone is finite"


def _float32(value: Any) -> Any:
    return value.astype(jnp.float32) if hasattr(value, "dtype") and value.dtype in (jnp.bfloat16, jnp.float16) else value


def _first_nonfinite(jaxpr: Any, consts: Any, inputs: Any) -> tuple[str | None, list[Any]]:
    """Runs a jaxpr an equation at a time until one makes NaN or infinity of finite numbers: which, or None and the results."""
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        operands = [read(v) for v in equation.invars]
        params, name = equation.params, equation.primitive.name
        inner = params.get("call_jaxpr") or (params["jaxpr"] if name in ("jit", "pjit", "remat", "checkpoint") else None)
        if inner is not None:  # a call: what is inside has the same inputs and results
            found, results = _first_nonfinite(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
            if found is not None:
                return found, []
        else:
            results = equation.primitive.bind(*operands, **params)
            results = results if equation.primitive.multiple_results else [results]
        if _any_nonfinite(results) and not _any_nonfinite(operands):
            frame = next((f for f in equation.source_info.traceback.frames if "/jax/" not in f.file_name), None)
            where = f" at {frame.file_name.rpartition('/')[2]}:{frame.line_num}" if frame is not None else ""
            return f"`{name}`{where}", []
        values.update(zip(equation.outvars, results, strict=True))
    return None, [read(v) for v in jaxpr.outvars]


def _any_nonfinite(values: Any) -> bool:
    return any(jnp.issubdtype(v.dtype, jnp.floating) and not bool(jnp.all(jnp.isfinite(v))) for v in map(jnp.asarray, values))


def _at(example: tuple[int, ...]) -> str:
    return ", ".join(map(str, example)) if example else "(the only one)"
