"""``python -m jloss check module:loss``: finds the loss, tries the laws one by one, and says what to do about the broken ones."""

import contextlib
import functools
import importlib
import inspect
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jloss
from jloss._core.aliases import answer
from jloss._core.axes import spatial
from jloss._core.catalogue import CATALOGUE
from jloss._core.display import summary
from jloss._core.domains import DOMAINS
from jloss._core.lookup import Stopped, UsageError, nearest, option, stoppable
from jloss._core.stateful import StatefulLoss
from jloss.testing import ADVICE, LAWS, Case, Failure, LawError, Report, check
from jloss.testing.functions import FUNCTION_LAWS, Plain
from jloss.transforms._compose import loss_entry

SEARCH_SECONDS = 8.0  # seconds that the search for a small example of one law may take
ON_ERRORS = {  # what jax raises, and what to write instead
    "TracerBoolConversionError": "do not branch on values in Python: `jnp.where(condition, a, b)` instead of `if`.",
    "ConcretizationTypeError": "keep values inside jax: no `float()`, `int()` or `.item()` of an input.",
    "TracerArrayConversionError": "call `jnp` functions on the inputs, not NumPy's.",
    "TracerIntegerConversionError": "do not index a Python list or a NumPy array with an input: make it a `jnp` array first.",
    "NonConcreteBooleanIndexError": "select with `jnp.where(mask, a, b)`, not with `a[mask]`, whose size depends on values.",
    "UnexpectedTracerError": "do not keep arrays in globals or attributes between calls: return them.",
}


def run(
    target: str,
    *,
    inputs: str | None = None,
    laws: Sequence[str] = (),
    options: Sequence[str] = (),
    stops_gradients: bool = False,
    small: bool = True,
) -> Report:
    """Checks the loss that `target` names, ``module:loss``, and prints what it finds while it goes.

    Args:
        target: The module, from the current directory or installed, and the name in it.
        inputs: For a plain function: where its arrays are, ``module:name`` or a name in the same module.
        laws: Names of laws; all if empty.
        options: ``name=value``, at which the loss is checked instead of its defaults.
        stops_gradients: Some part is under `stop_gradient` on purpose, so finite differences do not apply.
        small: Whether to look for smaller examples than those that the laws drew.
    """
    with contextlib.suppress(RuntimeError):  # too late: someone has used jax already
        jax.config.update("jax_num_cpu_devices", max(4, jax.config.jax_num_cpu_devices))  # type: ignore[attr-defined]
    module, thing = resolve(target)
    subject: Any
    if isinstance(thing, Case):
        subject, name = thing, thing.entry.name
    elif inputs is not None or not _is_loss(thing):
        subject, name = _plain(target, thing, inputs, module), getattr(thing, "__name__", target)
        if options:
            raise UsageError(f"--option is for losses written with @jloss.loss; bind `{options[0]}` in a function of the --inputs.")
    else:
        entry = loss_entry(thing)
        pairs = dict(text.partition("=")[::2] for text in options)
        subject = Case(entry.public, {n: option(entry, n, v) for n, v in pairs.items()}, stops_gradients=stops_gradients)
        name = entry.name
    table: dict[str, Any] = dict(FUNCTION_LAWS) if isinstance(subject, Plain) else dict(LAWS)
    for law in laws:
        if law not in table:
            raise UsageError(f"no law is called `{law}`{nearest(law, table)}; laws: {', '.join(table)}.")
    if isinstance(thing, functools.partial):
        table.pop("pickles_by_name")  # it has no name of its own
    wanted = [law for law in table if law in laws or not laws]
    print(f"{name}: {len(wanted)} laws, on {len(jax.devices())} device{'s' * (len(jax.devices()) > 1)} ({jax.default_backend()})")
    passed: list[str] = []
    failures: list[Failure] = []
    tried = 0
    with stoppable() as stopped:
        for count, law in enumerate(wanted, 1):
            show_progress(f"  {count}/{len(wanted)} {law} ...")
            report = _check(subject, law)
            passed += report.passed
            failures += report.failures
            show_progress("")
            print(f"  {'ok    ' if report else 'BROKEN'}  {law.ljust(max(map(len, wanted)))}  {summary(table[law])}", flush=True)
            tried = count
            if stopped():
                break
        for i, failure in enumerate(failures if small and isinstance(subject, Case) else ()):
            show_progress(f"  looking for a small example of {failure.law} ...")
            failures[i] = smallest(subject, failure)
    show_progress("")
    if tried < len(wanted):
        if failures:
            print("\n" + "\n".join(report_lines(subject, target, name, passed, failures, table)))
        raise Stopped(f"stopped; {tried} of {len(wanted)} laws tried, {len(failures)} broken")
    print("\n" + "\n".join(report_lines(subject, target, name, passed, failures, table)))
    return Report(name, tuple(passed), tuple(failures))


# ---------------------------------------------------------------- what to check


def resolve(target: str) -> tuple[str, Any]:
    """The module's name and the object of ``module:name``, looked for in the current directory first."""
    module, _, path = target.partition(":")
    if not path and module.startswith("jloss."):
        module, _, path = target.partition(".")  # as one of ours is written in a program
    if not module or not path:
        raise UsageError(f"check reads MODULE:LOSS, as mylosses:my_loss; got `{target}`.")
    module = module.removesuffix(".py").replace("\\", "/").removeprefix("./").replace("/", ".")
    if not all(part.isidentifier() for part in module.split(".")):  # a path from the root, or out of this directory
        raise UsageError(f"check reads a module of this directory, or an installed one; got `{target}`.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    here = [p.stem for p in Path.cwd().glob("*.py")]
    try:
        thing: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if module == missing or module.startswith(missing + "."):
            raise UsageError(f"no module is called `{missing}`, in {Path.cwd().name}/ or installed{nearest(missing, here)}.") from None
        raise UsageError(f"`{module}` cannot be imported: it needs `{missing}`, which is not installed.") from None
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename and f.filename != __file__]
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
        raise UsageError(f"`{module}` cannot be imported: {type(error).__name__}: {error}{where}") from None
    for part in path.split("."):
        if not hasattr(thing, part):
            losses = [n for n, v in vars(thing).items() if hasattr(v, "__jloss__")] if hasattr(thing, "__dict__") else []
            losses = [*CATALOGUE] if thing is jloss else losses
            if thing is jloss and (known := answer(part)):
                raise UsageError(f"`{module}` has no `{part}`; {known}.")
            known = f"; its losses: {', '.join(losses[:12])}{f', ... ({len(losses)})' if len(losses) > 12 else ''}" if losses else ""
            raise UsageError(f"`{module}` has no `{part}`{nearest(part, [n for n in dir(thing) if n[0] != '_']) or known}.")
        thing = getattr(thing, part)
    return module, thing


def _is_loss(thing: Any) -> bool:
    """Whether it is a loss written with `jloss.loss`; says so if it is something near it."""
    inner = thing.func if isinstance(thing, functools.partial) else thing
    if isinstance(thing, StatefulLoss):
        raise UsageError("this is a loss with memory, a pair (init, apply); the laws are for losses of their inputs alone.")
    entry = getattr(inner, "__jloss__", None)
    if entry is not None and entry.kind != "loss":
        raise UsageError(f"{entry.name} is a {entry.kind} function; the laws are for losses of predictions, without a state or parameters.")
    return entry is not None


def _plain(target: str, function: Any, inputs: str | None, module: str) -> Plain:
    """A plain function and its arrays."""
    if not callable(function):
        raise UsageError(f"`{target}` is not a loss, but {_a(type(function).__name__)}.")
    if inspect.isclass(function):
        raise UsageError(f"`{target}` is a class; name a loss: a function written with @jloss.loss, or a plain one with --inputs.")
    if inputs is None:
        raise UsageError(
            f"`{target}` is a plain function. Write it with @jloss.loss to get its inputs drawn, or say where arrays for it are: "
            f"--inputs {module}:arrays, a tuple (or a function that returns one) in the order of its parameters, batch axis first."
        )
    where = inputs if ":" in inputs else f"{module}:{inputs}"
    _, arrays = resolve(where)
    arrays = arrays() if callable(arrays) else arrays
    if not isinstance(arrays, tuple | list) or not arrays or not all(hasattr(x, "shape") for x in arrays):
        raise UsageError(
            f"--inputs: `{where}` must be a tuple of arrays, one for each input of `{target}`, got {_a(type(arrays).__name__)}."
        )
    subject = Plain(function, tuple(np.asarray(x) for x in arrays))
    if not subject.floats(subject.inputs):
        raise UsageError(f"--inputs: none of the arrays of `{where}` is floating, so there is no gradient to check.")
    try:
        function(*subject.inputs)
    except Exception as error:
        shapes = ", ".join(f"{x.dtype}{list(x.shape)}" for x in subject.inputs)
        raise UsageError(f"`{target}` does not run on `{where}` ({shapes}): {type(error).__name__}: {_line(error)}") from None
    return subject


def _check(subject: Any, law: str) -> Report:
    return check(subject.function, inputs=subject.inputs, laws=[law]) if isinstance(subject, Plain) else check(subject, laws=[law])


# ---------------------------------------------------------------- the smallest example


def smallest(case: Case, failure: Failure) -> Failure:
    """The same fault with as plain numbers as show it: one example repeated, then rounded, then with zeros and ones."""
    if not failure.inputs or failure.law in ("hard_points_have_no_nan", "pickles_by_name"):
        return failure
    end, best = time.monotonic() + SEARCH_SECONDS, failure
    drawn = case.draw((5,))

    def again(one: dict[str, Any]) -> Failure | None:
        def repeat(rng: Any, batch: tuple[int, ...]) -> dict[str, Any]:
            return {n: np.broadcast_to(v, (*batch, *v.shape)).copy() if n in case.batched else v for n, v in one.items()}

        if time.monotonic() > end:
            return None
        try:
            LAWS[failure.law](case._replace(sample=repeat))
        except LawError as error:
            if _kind(str(error)) == _kind(failure.message):
                return Failure(failure.law, str(error), error.inputs)
        except Exception:  # another fault than the one in hand
            return None
        return None

    for i in range(3):
        one = {n: v[i] if n in case.batched else v for n, v in drawn.items()}
        found = again(one)
        if found is None:
            continue
        best = found
        for plainer in _plainer(case, one):
            found = again(plainer)
            if found is not None:
                best = found
                break
        break
    return best


def _plainer(case: Case, one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The example with small numbers, the plainest first; domains stay what they are."""
    decimals = {"real": 0, "nonnegative": 0, "positive": 1, "unit": 1, "box": 1, "above_minus_one": 1, "nonpositive": 1}
    names = [n for n in case.floats(one) if case.entry.domains[n] in decimals]
    if not names:
        return
    zeros = {n: np.zeros_like(one[n]) for n in names if case.entry.domains[n] == "real"}
    for fewer in (0, 1):
        rounded = {n: np.round(one[n], decimals[case.entry.domains[n]] + fewer) for n in names}
        rounded = {n: one[n] if (DOMAINS[case.entry.domains[n]].low > v).any() else v for n, v in rounded.items()}
        if not fewer:
            yield from ({**one, **rounded, **{n: z}} for n, z in list(zeros.items())[1:])
        yield {**one, **rounded}


def _kind(message: str) -> str:
    """What a message says, without its numbers."""
    return re.sub(r"[-+.\d]+(e[-+]?\d+)?|nan|inf", "#", message.partition("\n")[0])


# ---------------------------------------------------------------- words


def report_lines(
    subject: Any, target: str, name: str, passed: Sequence[str], failures: Sequence[Failure], table: dict[str, Callable[..., Any]]
) -> Iterator[str]:
    """The report: every fault once, with the laws that it breaks, an example, and what to do."""
    if not failures:
        yield f"{name}: all {len(passed)} laws hold."
        return
    yield f"{name}: {len(passed)} laws hold, {len(failures)} broken."
    faults: dict[str, list[Failure]] = {}
    for failure in failures:
        key = failure.law if failure.inputs else re.sub(r"\{[^}]*\}|\d+", "", failure.message)  # one mistake stops many laws
        faults.setdefault(key, []).append(failure)
    for number, same in enumerate(faults.values(), 1):
        first = same[0]
        yield ""
        more = f" and {len(same) - 3} more laws" if len(same) > 3 else ""
        yield f"{number}. {', '.join(f.law for f in same[:3])}{more}"
        if len(same) == 1:
            yield f"   The law        {summary(table[first.law])}"
        yield "   What happened  " + "\n                  ".join(first.message.split("\n\n")[0].split("\n")[:3])
        if not first.inputs and (place := _place(subject, table[first.law])):
            yield f"   Where          {place}"
        lead = "   With inputs    "
        for line in _inputs(subject, first.inputs):
            yield lead + line
            lead = " " * len(lead)
        advice = ON_ERRORS.get(first.message.partition(":")[0]) or ADVICE.get(first.law)
        if advice:
            yield f"   What to do     {advice}"
        yield f"   Run it alone   python -m jloss check {target} --law {first.law}"
    if len(faults) > 1:
        yield "\nBegin with the first: the others may follow from it."


def _inputs(subject: Any, inputs: dict[str, Any]) -> Iterator[str]:
    """An input a line; if all examples are the same one, that one."""
    arrays = {n: np.asarray(v) for n, v in inputs.items() if hasattr(v, "shape") and not _is_key(v)}
    batched = [n for n in arrays if isinstance(subject, Case) and n in subject.batched]
    count = 1
    while len({np.shape(arrays[n])[:1] for n in batched}) == 1 and all(_repeats(arrays[n]) for n in batched):
        count *= len(arrays[batched[0]])
        arrays |= {n: arrays[n][0] for n in batched}
        if any(arrays[n].ndim <= len(spatial(subject.entry.inputs[n], subject.entry.spatial_ndim)) for n in batched):
            break
    for n, value in arrays.items():
        text = np.array2string(value + 0 if value.dtype.kind == "f" else value, precision=6, threshold=60, separator=", ")
        yield f"{n} = " + re.sub(r"\s*\n\s*", " ", text)
    yield from (f"{n} = a random key" for n, v in inputs.items() if hasattr(v, "shape") and _is_key(v))
    if count > 1:
        yield f"in each of {count} examples"


def _repeats(x: np.ndarray) -> bool:
    """Whether an array has several rows, which are all the same."""
    return x.ndim > 0 and len(x) > 1 and np.array_equal(x, np.broadcast_to(x[:1], x.shape))


def _is_key(value: Any) -> bool:
    return jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)


def _place(subject: Any, law: Callable[..., Any]) -> str:
    """The line of the loss in which jax stopped."""
    function = subject.function if isinstance(subject, Plain) else subject.entry.core
    file = inspect.getsourcefile(inspect.unwrap(function)) if inspect.isfunction(inspect.unwrap(function)) else None
    try:
        law(subject)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return ""


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _a(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def show_progress(text: str) -> None:
    """What is being done, on a terminal; nothing in a log."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
