"""The losses by name, and what is known of each. Tests, pages, plots, the benchmark and the command line all read this list."""

import functools
import importlib
import inspect
import textwrap
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from jloss._core.axes import Dims
from jloss._core.exports import exports
from jloss._core.types import readable


class BatchTransform(NamedTuple):
    """How a transform of batches is taken apart: what it was applied to, and how it is applied anew."""

    inner: Callable[..., Any] | None  # the loss inside; None of a sum of several
    again: Callable[[Callable[..., Any]], Callable[..., Any]]  # the same transform, of another loss
    unreduced: Callable[..., Any] | None = None  # values, where, weights of a call; None where the loss itself gives them
    evaluate: Callable[..., Any] | None = None  # how it goes over the examples, for a transform that has to act above it
    reweighs: bool = False  # whether `unreduced` gives other weights than the call


class Entry(NamedTuple):
    """A row of the catalogue: everything that is known of a loss."""

    name: str
    public: Callable[..., Any]  # what users call
    core: Callable[..., Any]  # the formula for one example
    inputs: dict[str, Dims]  # {"logits": ("k",), "labels": ()}
    domains: dict[str, str]  # {"logits": "real", "labels": "class"}
    options: dict[str, Any]  # {"label_smoothing": 0.0}
    limits: dict[str, str]  # {"label_smoothing": "unit"}
    keywords: frozenset[str]  # where, weights, reduction, axis_name, and axis or spatial_ndim where it has them
    kind: str  # "loss", "stateful" (a factory of (init, apply)), "penalty" (of a pytree)
    constants: frozenset[str] = frozenset()  # inputs that have no gradient, such as a teacher's logits
    batch: BatchTransform | None = None  # of a loss that takes hold of a whole batch

    def __reduce__(self) -> Any:
        """By what users call, which is found by its name; a core is not."""
        return (entry, (self.public,)) if getattr(self.public, "__jloss__", None) is self else (Entry, tuple(self))

    def __repr__(self) -> str:
        given = [n if n in self.required else f"{n}=None" for n in self.inputs] if self.kind != "stateful" else []
        options = [f"{n}={getattr(v, '__name__', None) or repr(v)}" for n, v in self.options.items() if v is not inspect.Parameter.empty]
        return f"<{self.kind} {self.name}({', '.join(given + options)}) of {self.core.__module__}>"

    @property
    def family(self) -> str:
        """The module that defines it: ``"boxes"``."""
        return self.core.__module__.rpartition(".")[2]

    @property
    def domain(self) -> str:
        """The package of its family: ``"vision"``."""
        return self.core.__module__.split(".")[1]

    @property
    def required(self) -> list[str]:
        """The inputs that cannot be left out."""
        parameters = inspect.signature(self.public).parameters
        return [n for n in self.inputs if parameters[n].default is inspect.Parameter.empty]

    @property
    def optional(self) -> set[str]:
        """The inputs that may be None."""
        parameters = inspect.signature(self.public).parameters
        return {n for n in self.inputs if parameters[n].default is None}

    @property
    def spatial_ndim(self) -> int:
        """How many axes ``*s`` stands for by default: two of an image, three of a whole datum."""
        shown = inspect.signature(self.public).parameters.get("spatial_ndim")
        return 2 if shown is None or shown.default is inspect.Parameter.empty else shown.default

    @property
    def elementwise(self) -> bool:
        """Whether an example is one number of each input."""
        return not any(self.inputs.values())

    @property
    def has_classes(self) -> bool:
        """Whether an example has a class axis."""
        return any("k" in dims for dims in self.inputs.values())


class Catalogue(dict[str, Entry]):
    """The losses by name; in a notebook a table with their formulas.

    A family adds its losses when it is imported. All families are, in the order in which jloss exports them, when somebody asks for a
    loss that is not there yet, or for all.
    """

    _is_whole = False
    _lock = threading.RLock()

    def load(self) -> None:
        """Imports all families."""
        with self._lock:
            if self._is_whole:
                return
            self._is_whole = True  # so that a family may ask for what is there by now
            try:
                modules = [importlib.import_module(module).__name__ for module in dict.fromkeys(exports("jloss").values())]
            except BaseException:
                self._is_whole = False
                raise
            place = {module: i for i, module in enumerate(modules)}
            entries = sorted(dict.items(self), key=lambda item: place.get(item[1].core.__module__, len(place)))
            self.clear()
            self.update(entries)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """There is one; a copy of it is no catalogue of jloss."""
        return "CATALOGUE" if self is CATALOGUE else super().__reduce_ex__(protocol)

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            self.load()
        return super().__contains__(name)

    def __missing__(self, name: str) -> Entry:
        if name in self:
            return self[name]
        raise KeyError(name)

    def __repr__(self) -> str:
        families: dict[str, list[str]] = {}
        for name, entry in self.items():
            families.setdefault(f"{entry.domain}.{entry.family}" if entry.domain != entry.family else entry.family, []).append(name)
        lines = [textwrap.fill(f"{family}: {', '.join(names)}", 120, subsequent_indent="    ") for family, names in families.items()]
        return "\n".join([f"{len(self)} losses, such as CATALOGUE['huber'], which is jloss.huber:", *lines])

    def _repr_html_(self) -> str:
        from jloss._core.display import table

        return table(self)


def _of_all(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of dictionaries, for the whole catalogue."""

    @functools.wraps(method)
    def whole(catalogue: Catalogue, *args: Any, **kwargs: Any) -> Any:
        catalogue.load()
        return method(catalogue, *args, **kwargs)

    return whole


for _name in (
    *("__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__or__", "__ror__"),
    *("get", "keys", "values", "items", "copy", "pop", "popitem", "setdefault"),
):
    setattr(Catalogue, _name, _of_all(getattr(dict, _name)))

CATALOGUE = Catalogue()


@readable
def entry(loss: Callable[..., Any]) -> Entry:
    """What is known of a loss, of jloss or your own."""
    entry = getattr(loss, "__jloss__", None)
    if entry is None:
        name = getattr(loss, "__name__", loss)
        if isinstance(loss, tuple) and hasattr(loss, "apply"):
            raise TypeError("A StatefulLoss is called by .apply(state, ...); it cannot stand where a loss without state is expected.")
        if hasattr(loss, "__jloss_total__"):
            raise TypeError(
                f"{name!r} is no loss of one example, because {loss.__jloss_total__}; put what acts on it around each of its losses."
            )
        if hasattr(loss, "dtype") or isinstance(loss, int | float):
            raise TypeError(f"{loss!r} is a value, not a loss: give the function itself, huber and not huber(...).")
        raise TypeError(f"{name!r} is not a jloss loss; write it with @jloss.loss(...).")
    return entry
