"""The switch under which every call compares the values that it is given with what its inputs are declared to be."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np

from jloss._core.catalogue import Entry
from jloss._core.types import readable

_is_on: ContextVar[bool] = ContextVar("jloss_checks", default=os.environ.get("JLOSS_CHECKS", "0") not in ("", "0"))


@readable
@contextlib.contextmanager
def checks(on: bool = True) -> Iterator[None]:
    """Within this block each loss raises a named error for a value outside of its input's domain.

    For logits given as probabilities, labels of 0 and 1 where signs are asked for, boxes of (x, y, w, h), labels out of range, NaN:
    what else gives a number that looks well, or NaN far from its cause. The error names loss, argument, value, example and remedy. It
    is a ValueError. Inside `jax.jit`, `jax.vmap`, `jax.grad`, `jax.lax.scan` and `jax.shard_map` a callback raises it, at the latest
    at the end of the block; functions that were compiled outside of the block are compiled anew within. What is masked, or beyond a
    length, is not checked.

    The environment variable ``JLOSS_CHECKS=1`` switches it on for a whole program. An error in a compiled function is then jax's
    ``JaxRuntimeError``, which ends with the same words. It costs a transfer to the host per call; switched off it costs nothing.

    Args:
        on: Whether to check; ``checks(False)`` leaves a part of a checked program out.

    >>> try:
    ...     with checks():
    ...         hinge(jnp.array([0.5, 2.0]), jnp.array([0, 1]))
    ... except ValueError as error:
    ...     print(error)
    hinge: `signs` must be -1 or +1, got 0.0 in example 0.
      Of 0 and 1: 2 * signs - 1; booleans are taken as they are.
    """
    from jax.experimental.xla_metadata import set_xla_metadata  # it is part of the keys of jit's caches

    token = _is_on.set(on)
    broken.clear()
    try:
        with set_xla_metadata(jloss_checks=str(on)):
            yield
            jax.effects_barrier()
    except jax.errors.JaxRuntimeError:
        if broken:
            raise ValueError(broken[0]) from None
        raise
    finally:
        _is_on.reset(token)


broken: list[str] = []  # what callbacks have found in this block


def are_on() -> bool:
    """Whether calls are checked now."""
    return _is_on.get()


def checked_call(entry: Entry, static: Iterable[str], call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The value of a call, whose inputs are then checked; what it calls itself is not."""
    token = _is_on.set(False)
    try:
        value = call(*args, **kwargs)  # first, so that wrong shapes speak for themselves
        found = _judge(entry.public, frozenset(static))(*args, **kwargs)
    finally:
        _is_on.reset(token)
    _report(entry.name.lstrip("_"), found)
    return value


def checked_penalty(entry: Entry, call: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The value of a penalty, whose chosen leaves, examples that count and options are then checked."""
    from jloss._core.rules import rules_of_penalty

    token = _is_on.set(False)
    try:
        value = call()
        found = {rule.text: (rule.broken.any(), rule.value, rule.examples) for rule in rules_of_penalty(entry, given)}
    finally:
        _is_on.reset(token)
    _report(entry.name, found)
    return value


def _report(name: str, found: dict[str, Any]) -> None:
    """Raises what is broken, in a compiled program by a callback."""
    raise_broken = functools.partial(_raise, name)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(found)):
        jax.debug.callback(raise_broken, found)
    else:
        raise_broken(found)


@functools.cache
def _judge(public: Callable[..., Any], static: frozenset[str]) -> Callable[..., dict[str, Any]]:
    """For each demand, in words: whether it is broken, a value that breaks it, and in which example."""
    from jloss._core.catalogue import entry
    from jloss._core.rules import rules

    def judge(*args: Any, **kwargs: Any) -> dict[str, Any]:
        found = {}
        for rule in rules(entry(public), args, kwargs):
            found[f"{rule.text}\n{rule.remedy}"] = rule.broken.any(), rule.value, rule.examples
        return found

    judge.__signature__ = public.__signature__  # type: ignore[attr-defined]
    return jax.jit(judge, static_argnames=tuple(static))


def _raise(name: str, found: dict[str, Any]) -> None:
    for text, (is_broken, value, examples) in found.items():
        if is_broken:
            demand, _, remedy = text.partition("\n")
            at = np.argwhere(np.asarray(examples))
            place = f" in example {', '.join(map(str, at[0]))}" if np.ndim(examples) and len(at) else ""
            said = f"{name}: {demand}, got {value}{place}." + (f"\n  {remedy}" if remedy else "")
            broken.append(said)
            raise ValueError(said)
