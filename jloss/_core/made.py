"""Functions that other functions make, such as ``tilted(huber)``: they know how they were made.

So they pickle, by their maker and what it was given, and are equal where they were made alike. Under `jax.jit` equal ones are one
entry of its cache.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np

from jloss._core.types import readable

Maker = TypeVar("Maker", bound=Callable[..., Any])


class Made:
    """A function, its maker and what that was given; of makers of several functions, the name of this one."""

    __name__: str

    def __init__(self, function: Callable[..., Any], maker: Callable[..., Any], given: Mapping[str, Any], part: str = "") -> None:
        functools.update_wrapper(self, function)
        self._function, self._maker, self._given, self._part = function, maker, given, part
        known = getattr(function, "__jloss__", None)
        if known is not None and known.public is function:  # that of a weighted sum is the total alone
            self.__jloss__ = known._replace(public=self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<loss {self.__name__}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (self._maker, self._given, self._part)

    def __deepcopy__(self, memo: Any) -> "Made":
        return self  # as a function does

    @functools.cached_property
    def _key(self) -> Any:
        return self._maker, self._part, key_of(self._given)

    @functools.cached_property
    def _hash(self) -> int:
        return hash(self._key)


class _Itself:
    """Something that can be compared by its identity alone, such as a tracer."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def made(maker: Maker) -> Maker:
    """A maker of losses which know how they were made."""
    shown = inspect.signature(maker)

    @functools.wraps(maker)
    def make(*args: Any, **kwargs: Any) -> Any:
        try:
            shown.bind(*args, **kwargs)
        except TypeError as error:
            name, required = maker.__name__, [n for n, p in shown.parameters.items() if p.default is p.empty]
            raise TypeError(f"{name}: {error}.\n  expected  {name}({', '.join(required)}, ...)") from None
        args, kwargs = _held(args), _held(kwargs)
        given = arguments(shown, args, kwargs)

        def anew() -> Any:
            function: Any = maker(*args, **kwargs)
            # A transform below another one has been made by that.
            return function if isinstance(function, Made) else Made(function, make, given)

        return _once(_Call(anew, (make, key_of(given)))) if is_plain(given) else anew()

    return readable(make)  # type: ignore[return-value]


class _Call:
    """A call of a maker, equal to those of the same maker with equal arguments."""

    def __init__(self, anew: Callable[[], Any], key: Any) -> None:
        self.anew, self.key = anew, key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Call) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@functools.lru_cache(maxsize=64)
def _once(call: _Call) -> Any:
    """What a maker gives, the same for equal calls: ``linear_head(loss)(...)`` outside of jit is compiled once, not by each call."""
    return call.anew()


def is_plain(value: Any) -> bool:
    """Whether a value may be kept for a while: numbers, words, losses, and containers of them.

    No array, which lies on a device; and no other function, which may read what changes, and is to be traced anew then.
    """
    if isinstance(value, Made):
        return is_plain(value._given)
    if isinstance(value, functools.partial):
        return is_plain(value.func) and is_plain(value.args) and is_plain(value.keywords)
    if isinstance(value, Mapping):
        return all(map(is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if inspect.isfunction(value):
        return hasattr(value, "__jloss__")
    return value is None or isinstance(value, bool | int | float | str | np.generic)


def arguments(shown: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """What a function was given, by name, with its defaults."""
    bound = shown.bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def key_of(value: Any) -> Any:
    """Something that is equal, and hashes alike, for equal values: arrays by what they hold, and containers of them."""
    if isinstance(value, jax.core.Tracer):
        return _Itself(value)
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return "key", str(value.dtype), key_of(jax.random.key_data(value))
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return "array", str(value.dtype), value.shape, getattr(value, "weak_type", False), np.asarray(value).tobytes()
    if isinstance(value, functools.partial):
        return functools.partial, key_of(value.func), key_of(value.args), key_of(value.keywords)
    if isinstance(value, Mapping):
        return "mapping", tuple((name, key_of(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return "sequence", tuple(key_of(each) for each in value)
    if isinstance(value, bool | int | float | complex):
        return type(value), repr(value)  # NaN is itself, and True is not 1
    try:
        hash(value)
    except TypeError:
        return _Itself(value)
    return value


def _held(value: Any) -> Any:
    """A copy that no one else can change."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) is dict:
        return {name: _held(each) for name, each in value.items()}
    return type(value)(map(_held, value)) if type(value) in (list, tuple) else value


def _made_again(maker: Callable[..., Any], given: Mapping[str, Any], part: str) -> Any:
    again = maker(**given)
    return getattr(again, part) if part else again
