"""Which module has which public name: read from the export lines, so that ``import jloss`` need not import the families."""

import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

LINE = re.compile(r"^ *from ([\w.]+) import (?:\*|(\w+) as \2)$", re.MULTILINE)


def source(module: str) -> str:
    """The text of a module, which need not be imported; empty where only its bytecode is installed."""
    spec = importlib.util.find_spec(module)
    return getattr(spec.loader, "get_source", lambda _: None)(module) or "" if spec else ""


@functools.cache
def exports(module: str) -> dict[str, str]:
    """The names of ``from MODULE import NAME as NAME`` and their modules, in order; ``from MODULE import *`` stands for those of MODULE."""
    return dict(_pairs(source(module)))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for module, name in LINE.findall(text):
        yield from [(name, module)] if name else exports(module).items()


def _name_here(name: str) -> str:
    """Where a name from elsewhere leads; only looked up for a name that is missing."""
    from jloss._core.aliases import answer

    return answer(name)


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package that imports what it exports, and its modules, when they are asked for."""

    def get(name: str) -> Any:
        if name == "__all__":
            return list(exports(package))
        if name == "__version__":
            from importlib.metadata import version

            return version(package)
        if name in exports(package):
            value = getattr(importlib.import_module(exports(package)[name]), name)
            _sign(value)
        elif not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}"):
            value = importlib.import_module(f"{package}.{name}")
        elif not name.startswith("_") and (known := _name_here(name)):
            raise AttributeError(f"{package} has no `{name}`; {known}.", name=name, obj=None)  # with obj Python adds a guess of its own
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        module = sys.modules[package]
        return sorted({*vars(module), *exports(package), *(m.name for m in pkgutil.iter_modules(module.__path__) if m.name[0] != "_")})

    return get, names


def _sign(value: Any) -> None:
    """Gives a function the signature that people read, if it has none."""
    function = inspect.unwrap(value) if callable(value) else None  # one that `jax.jit` made takes no signature itself
    if inspect.isfunction(function) and not hasattr(value, "__jloss__"):
        from jloss._core.types import readable

        readable(function)
