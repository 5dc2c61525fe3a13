"""Independent truths: plain NumPy in float64, one example at a time, written from the papers and not from the code.

A family's oracles live in the module of its name. The properties a loss claims stand beside its oracle:

==================  =====================================================================================================
nonnegative         the loss is never below 0
zero_at_match       ``loss(x, x)`` is 0 (for labels and signs: the loss goes to 0 as the right answer is given with confidence)
symmetric           the first two inputs can be exchanged
convex              convex in the first input
shift_invariant     adding one constant to the first input (along its class axis) changes nothing; for two real vectors or
                    numbers, to both
scale_invariant     multiplying the first input by a positive constant changes nothing
==================  =====================================================================================================
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

PROPERTIES = ("nonnegative", "zero_at_match", "symmetric", "convex", "shift_invariant", "scale_invariant")


class Undetermined(Exception):
    """An oracle raises it for an example without a single answer, such as a tie between assignments."""


class Oracle(NamedTuple):
    """The true value of one example, what the loss claims, and the option settings to compare."""

    function: Callable[..., Any]
    properties: frozenset[str]
    options: tuple[dict[str, Any], ...]
    frozen: bool
    sample: Callable[..., dict[str, Any]] | None


ORACLES: dict[str, Oracle] = {}


def oracle(
    properties: str = "",
    *,
    options: list[dict[str, Any]] | None = None,
    frozen: bool = False,
    sample: Callable[..., dict[str, Any]] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the oracle of the loss of the same name."""
    words = frozenset(properties.split())
    unknown = words - set(PROPERTIES)
    if unknown:
        raise ValueError(f"unknown properties {sorted(unknown)}; they are {PROPERTIES}.")

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        ORACLES[function.__name__] = Oracle(function, words, ({}, *(options or [])), frozen, sample)
        return function

    return register


def constant(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """These inputs have no gradient: below `oracle(frozen=True)`, their values are those of the point at which it is taken."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def at(frozen: Any = None, **given: Any) -> Any:
            return function(**given | {n: v for n, v in (frozen or {}).items() if n in names})

        return at

    return wrap


def load() -> dict[str, Oracle]:
    """All oracles of all families."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return ORACLES
