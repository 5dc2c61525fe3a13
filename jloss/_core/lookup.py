"""What the commands share: optional packages imported late, names with their nearest neighbours, values from text."""

import ast
import contextlib
import difflib
import importlib
import signal
import threading
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jloss._core.catalogue import CATALOGUE, Entry


class UsageError(ValueError):
    """The person asked for something that does not exist or does not fit; the message says what does."""


class MissingExtra(ImportError):
    """An optional package is not installed; the message says how to get it."""


class Stopped(Exception):
    """The person stopped a command; the message says how much is done, and what is done has been written."""


@contextlib.contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """A block that Ctrl-C ends in order; yields whether it has been pressed, since a KeyboardInterrupt within a callback of jax is lost."""
    pressed = threading.Event()

    def stop(*_: Any) -> None:
        pressed.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield pressed.is_set
    except KeyboardInterrupt:
        pressed.set()
    finally:
        signal.signal(signal.SIGINT, before)


def report_progress(console: Any, label: str, done: int, total: int) -> None:
    """A line where rich draws no bar, as in a file that a long run writes to."""
    if not (console.is_terminal or console.is_jupyter):
        console.print(f"{done}/{total} {label}", highlight=False, soft_wrap=True)


def import_extra(module: str, extra: str) -> Any:
    """Imports an optional module."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtra(f"{error.name} is not installed; get it with: pip install 'jloss[{extra}]'") from None


def find_entry(name: str) -> Entry:
    """The catalogue's entry of this name, which may be written as in a program: ``jloss.dpo``."""
    name = name.removeprefix("jloss.")
    if name not in CATALOGUE:
        from jloss._core.aliases import answer
        from jloss._core.exports import exports

        if name in exports("jloss"):
            raise UsageError(f"`{name}` is no loss of the catalogue; `python -m jloss show {name}` says what it is.")
        known = answer(name)
        raise UsageError(
            f"no loss is called `{name}`; {known}."
            if known
            else f"no loss is called `{name}`{nearest(name, CATALOGUE)}; `python -m jloss list` prints all."
        )
    return CATALOGUE[name]


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; nearest: huber"``: the names that look like this one, or that contain a part of it."""
    known = list(known)
    parts = [part for part in name.lower().replace("loss", "").strip("_").split("_") if len(part) > 2]
    alike = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.55)
    alike += [other for other in known if parts and all(part in other for part in parts)]
    return f"; nearest: {', '.join(list(dict.fromkeys(alike))[:4])}" if alike else ""


def option(entry: Entry, name: str, text: str) -> Any:
    """The value of an option, from the command line."""
    if name not in entry.options:
        known = ", ".join(f"{n}={v!r}" for n, v in entry.options.items()) or "none"
        raise UsageError(f"{entry.name} has no option `{name}`{nearest(name, entry.options)}; its options: {known}.")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):  # the last of {[]: 1}
        value = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    hint = typing.get_type_hints(entry.core).get(name)
    kinds = set(typing.get_args(hint)) | {hint}
    if float in kinds and type(value) not in (int, float, *(kinds & {type(None)})):
        try:
            value = float(text)  # inf, nan
        except ValueError:
            raise UsageError(f"{entry.name}: `{name}` is a number, got {text!r}.") from None
    choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
    if choices and value not in choices:
        raise UsageError(f"{entry.name}: `{name}` is one of {', '.join(map(repr, choices))}, got {text!r}.")
    if hint is not None:
        from jloss._core.arguments import check_argument

        try:
            check_argument(entry.name, name, value, hint)
        except (TypeError, ValueError) as error:  # a half where a whole number is wanted
            raise UsageError(str(error)) from None
    return value
