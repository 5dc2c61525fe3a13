"""Public functions that are no plain loss: factories of losses with memory, and penalties of a pytree."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.arguments import as_plain, bound_to, check_option
from jloss._core.axes import Dims, parse
from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.checks import are_on, checked_penalty
from jloss._core.domains import as_key
from jloss._core.loss import batch_of
from jloss._core.made import Made, arguments
from jloss._core.signature import with_keywords
from jloss._core.types import as_written

P = ParamSpec("P")
R = TypeVar("R")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    Init = TypeVarWithDefault("Init", bound=Callable[..., Any], default=Callable[..., Any], covariant=True)
    Apply = TypeVarWithDefault("Apply", bound=Callable[..., Any], default=Callable[..., tuple[Array, Any]], covariant=True)
else:
    Init, Apply = TypeVar("Init"), TypeVar("Apply")


class StatefulLoss(NamedTuple, Generic[Init, Apply]):
    """A loss with memory: ``state = init(...)``; ``value, state = apply(state, predictions, targets, ...)``."""

    init: Init
    apply: Apply

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Says what to call instead: a loss with memory is two functions."""
        name = getattr(getattr(self.init, "_maker", None), "__name__", "StatefulLoss")
        raise TypeError(f"{name}: a loss with memory is two functions; use .init and .apply: value, state = criterion.apply(state, ...).")


def listed_as(kind: str, signature: str, domains: str, **limits: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Adds a function that is not a plain loss to the catalogue: a ``"stateful"`` factory, a ``"penalty"`` of a pytree.

    What it is given is checked as the arguments of a loss are, and what ``init`` and ``apply`` of a stateful loss are given.
    """
    dims, words = parse(signature), domains.split()

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        name, shown = function.__name__, inspect.signature(function)
        make: Any = function
        names = words if kind == "stateful" else list(shown.parameters)[: len(dims)]
        inputs = dict(zip(names, dims, strict=True))
        options = {n: p.default for n, p in shown.parameters.items() if n not in inputs}
        keys = {n for n, word in zip(names, words, strict=True) if word == "key"}

        @functools.wraps(function)
        def public(*args: P.args, **kwargs: P.kwargs) -> Any:
            given = bound_to(name, shown, args, kwargs)
            for option in limits.keys() & given.keys():
                check_option(name, option, given[option], limits[option])
            for key in keys & given.keys():
                if as_key(name, key, given[key]).ndim:
                    raise ValueError(f"{name}: `{key}` must be one random key, got {given[key].shape}; the examples split it.")
            if kind != "stateful":
                if are_on():
                    keywords = given.get("reduction", {})  # `where` and its kin, of those that have examples
                    return checked_penalty(entry, functools.partial(function, *args, **kwargs), options | given | keywords)
                return function(*args, **kwargs)
            for option, value in given.items():
                if getattr(value, "ndim", 0) > 1:
                    raise ValueError(f"{name}: `{option}` is a setting, got shape {value.shape}; inputs go to .apply(state, ...).")
            settings = {n: as_plain(value) for n, value in arguments(shown, args, kwargs).items()}
            init, apply = make(**settings)
            return StatefulLoss(
                Made(_init_of(name, init), public, settings, "init"), Made(_apply_of(name, apply, dims, words), public, settings, "apply")
            )

        public.__signature__ = as_written(with_keywords(name, shown)[0] if "reduction" in shown.parameters else shown)  # type: ignore[attr-defined]
        entry = Entry(name, public, function, inputs, dict(zip(names, words, strict=True)), options, limits, frozenset(), kind)
        CATALOGUE[name] = public.__jloss__ = entry  # type: ignore[attr-defined]
        return public

    return wrap


def _init_of(name: str, init: Callable[..., Any]) -> Callable[..., Any]:
    shown = inspect.signature(init)

    @functools.wraps(init)
    def public(*args: Any, **kwargs: Any) -> Any:
        return init(**bound_to(name, shown, args, kwargs))

    return public


def _apply_of(name: str, apply: Callable[..., Any], dims: Sequence[Dims], words: Sequence[str]) -> Callable[..., Any]:
    """`apply` of a stateful loss, whose states have no gradient; it says what was wrong with its inputs if it fails."""
    shown = inspect.signature(apply)
    state, *inputs = list(shown.parameters)[: 1 + len(dims)]
    like = Entry(name, apply, apply, dict(zip(inputs, dims, strict=True)), dict(zip(inputs, words, strict=True)), {}, {}, frozenset(), "")

    @functools.wraps(apply)
    def public(*args: Any, **kwargs: Any) -> Any:
        try:
            if args:
                args = (_constant(args[0]), *args[1:])
            elif state in kwargs:
                kwargs = kwargs | {state: _constant(kwargs[state])}
            value, after = apply(*args, **kwargs)
            return value, _constant(after)
        except Exception:
            try:
                given = bound_to(name, shown, args, kwargs)
                check_state(name, state, given[state], shown.parameters[state].annotation)
                batch_of(like, given)
            except (TypeError, ValueError) as reason:
                raise reason from None
            raise

    return public


def check_state(name: str, argument: str, value: Any, kind: Any) -> None:
    """Raises where a state of several arrays is of another type: some checkpoints give a dict, or a list, for a named tuple."""
    fields = getattr(kind, "_fields", ())
    if fields and not isinstance(value, kind):
        remedy = f" Give {kind.__name__}(**state)." if isinstance(value, dict) and value.keys() == {*fields} else ""
        raise TypeError(f"{name}: `{argument}` must be of type {kind.__name__}, as .init() gives it, got a {type(value).__name__}.{remedy}")


def _constant(state: Any) -> Any:
    """The state as arrays (a checkpoint may give those of NumPy) without a gradient."""
    return jax.tree.map(lambda leaf: lax.stop_gradient(jnp.asarray(leaf)) if hasattr(leaf, "dtype") else leaf, state)
