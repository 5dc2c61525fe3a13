"""How a transform is made: a loss taken apart by its entry, and put together again under a new name.

A transform of examples changes the core (`derived`). A transform of batches keeps the inner loss and works on its values
(`outer`); it says how it is applied anew to another inner loss, so that a transform of examples can go below it. Several losses
of one batch make one (`together`).
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Unpack, get_args

import jax.numpy as jnp
from jax import Array

from jloss._loss import Entry, Reduce, Reduction, entry, loss, reduce
from jloss._math import safe_divide

Loss = Callable[..., Any]


def loss_entry(loss: Loss) -> Entry:
    """What is known of a loss; ``functools.partial(huber, delta=2.0)`` is one, too."""
    if isinstance(loss, functools.partial) and not loss.args:
        found = loss_entry(loss.func)
        preset = {n: loss.keywords[n] for n in loss.keywords if n in found.options}
        if preset.keys() == loss.keywords.keys():
            return entry(_rewrapped(found, preset))
    found = entry(loss)
    if found.kind != "loss":
        raise TypeError(f"{found.name} is a {found.kind} function; a transform takes a loss.")
    return found


def _rewrapped(found: Entry, preset: dict[str, Any]) -> Loss:
    """The loss with new defaults."""
    shown = inspect.signature(found.public)
    shown = shown.replace(parameters=[p.replace(default=preset.get(p.name, p.default)) for p in shown.parameters.values()])

    def public(*args: Any, **kwargs: Any) -> Any:
        return found.public(*args, **{**preset, **kwargs})

    public.__name__, public.__doc__, public.__signature__ = found.name, found.public.__doc__, shown  # type: ignore[attr-defined]
    core = functools.wraps(found.core)(lambda *args, **kwargs: found.core(*args, **{**preset, **kwargs}))
    core.__signature__ = _preset(inspect.signature(found.core), preset)  # type: ignore[attr-defined]
    public.__jloss__ = found._replace(public=public, core=core, options={**found.options, **preset})  # type: ignore[attr-defined]
    if hasattr(found.public, "_examples"):
        public._examples = lambda *a, **k: found.public._examples(*a, **{**preset, **k})  # type: ignore[attr-defined]
        inner, again = found.public._below  # type: ignore[attr-defined]
        own = {n: v for n, v in preset.items() if n in loss_entry(inner).options}
        public._below = functools.partial(inner, **own), again  # type: ignore[attr-defined]
    return public


def _preset(shown: inspect.Signature, preset: dict[str, Any]) -> inspect.Signature:
    return shown.replace(parameters=[p.replace(default=preset.get(p.name, p.default)) for p in shown.parameters.values()])


def base(loss: Loss) -> Entry | None:
    """The entry, unless the loss is one whose batch another transform has taken hold of."""
    found = loss_entry(loss)
    return None if hasattr(found.public, "_below") else found


def below(loss: Loss, transform: Callable[[Loss], Loss]) -> Loss:
    """Applies a transform of examples below one of batches."""
    inner, again = loss_entry(loss).public._below  # type: ignore[attr-defined]
    return again(transform(inner))


def unreduced(loss: Loss, **given: Any) -> tuple[Array, Array | None, Array | None]:
    """One value per example, and the `where` and `weights` with which they are to be reduced."""
    if hasattr(loss, "_examples"):
        return loss._examples(**given)
    where, weights = given.pop("where", None), given.pop("weights", None)
    given.pop("axis_name", None)
    where = where if where is None else jnp.asarray(where)
    weights = weights if weights is None else jnp.asarray(weights)
    kept = where if weights is None else (weights != 0 if where is None else where & (weights != 0))
    return loss(**given, where=kept, reduction="none"), kept, weights


def reduced(total: Array, mass: Array, reduction: Reduction) -> Any:
    """The last step of a reduction whose total and mass are known."""
    if reduction not in get_args(Reduction):
        raise ValueError(f"`reduction` must be one of {get_args(Reduction)}, got {reduction!r}.")
    if reduction == "parts":
        return total, mass
    return total if reduction == "sum" else total / jnp.where(mass == 0, 1, mass)


def like(values: Array, number: Any) -> Array:
    return jnp.asarray(number).astype(values.dtype)


def with_input(found: Entry, name: str, domain: str) -> Entry:
    """The entry with one more input, behind the others."""
    shown = inspect.signature(found.core)
    parameters = list(shown.parameters.values())
    if name in shown.parameters:
        raise TypeError(f"{found.name} has `{name}` already.")
    at = len(found.inputs)
    has_default = at and parameters[at - 1].default is not inspect.Parameter.empty
    kind = inspect.Parameter.KEYWORD_ONLY if has_default or (at and parameters[at - 1].kind is inspect.Parameter.KEYWORD_ONLY) else None
    extra = inspect.Parameter(name, kind or inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Array)

    def core(**given: Any) -> Array:
        given.pop(name, None)
        return found.core(**given)

    core.__doc__, core.__module__ = found.core.__doc__, found.core.__module__
    core.__signature__ = shown.replace(parameters=[*parameters[:at], extra, *parameters[at:]])  # type: ignore[attr-defined]
    return found._replace(core=core, inputs={**found.inputs, name: ()}, domains={**found.domains, name: domain})


def signature(inputs: Mapping[str, tuple[str, ...]]) -> str:
    return ",".join(f"({','.join(dims)})" for dims in inputs.values()) + "->()"


def derived(
    name: str, found: Entry, compute: Callable[..., Array], options: dict[str, Any], limits: dict[str, str], doc: str | None = None
) -> Loss:
    """The loss whose example is ``compute(core, inputs and options, **own options)``."""
    shown = inspect.signature(found.core)
    *parameters, last = shown.parameters.values()
    own = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Array | float) for n, default in options.items()
    ]
    hidden = options.keys() & found.options.keys()  # the inner loss has an option of this name: it keeps its default
    core_options = {n: found.options[n] for n in hidden}

    def core(*args: Any, **kwargs: Any) -> Array:
        given = dict(zip(found.inputs, args, strict=False)) | kwargs
        mine = {n: given.pop(n, default) for n, default in options.items()}
        return compute(found.core, {**given, **core_options}, **mine)

    core.__name__ = core.__qualname__ = name
    core.__module__ = __name__
    first = f"`{found.name}`, {name.partition('(')[0].replace('_', ' ')}." if doc is None else doc
    core.__doc__ = f"{first}\n\n{inspect.cleandoc(found.core.__doc__ or '')}"
    core.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(p for p in parameters if p.name not in hidden), *own, last], return_annotation=Array
    )
    limits = {n: v for n, v in found.limits.items() if n not in hidden} | limits
    for option, value in options.items():
        low_high = limits.get(option)
        if low_high == "nonnegative" and isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name.partition('(')[0]}: `{option}` must be 0 or more, got {value}.")
    return loss(signature(found.inputs), " ".join(found.domains.values()), **limits)(core)


def bind(found: Entry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, as given."""
    try:
        return dict(inspect.signature(found.public).bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise TypeError(f"{found.name}: {error}.") from None


def outer(whole: Entry, public: Loss, examples: Callable[..., Any], inner: Loss, again: Callable[[Loss], Loss]) -> Loss:
    """A loss that takes hold of the whole batch: named, signed and entered like any other."""
    public.__name__ = public.__qualname__ = whole.name
    public.__module__ = __name__
    public.__doc__ = whole.public.__doc__
    public.__signature__ = inspect.signature(whole.public)  # type: ignore[attr-defined]
    public.__jloss__ = whole._replace(public=public)  # type: ignore[attr-defined]
    public._examples, public._below = examples, (inner, again)  # type: ignore[attr-defined]
    return public


def together(
    title: str, losses: Mapping[str, Loss], combine: Callable[..., Array], setting: str
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Several losses as one, of the total ``combine(parts, unit, setting)``; `unit` is what a constant 1 would give."""
    if not losses:
        raise ValueError(f"{title}: needs at least one loss.")
    members = {n: loss_entry(member) for n, member in losses.items()}
    name = f"{title}({', '.join(found.name for found in members.values())})"
    first = next(iter(members.values()))
    same = len({tuple(found.domains.values()) for found in members.values()}) == 1
    rename = {n: dict(zip(found.inputs, first.inputs if same else found.inputs, strict=True)) for n, found in members.items()}
    shown = _united(members, rename, setting)
    if clash := [n for n in members if n in shown.parameters]:
        raise ValueError(f"{title}: {clash[0]!r} is an input or option of these losses; call the part otherwise.")

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        own = {n: kwargs.pop(n) for n in members if n in kwargs}
        try:
            given = dict(shown.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        chosen = {setting: given.pop(setting)} if setting in given else {}
        calls = {}
        for n, found in members.items():
            mine = {p: given[p] for p in inspect.signature(found.public).parameters if p in given and p not in found.inputs}
            data = dict(zip(found.inputs, own[n], strict=False)) if n in own else {i: given[j] for i, j in rename[n].items() if j in given}
            calls[n] = {**data, **mine}
        if reduction == "none":
            examples = {n: unreduced(found.public, **calls[n]) for n, found in members.items()}
            parts = {n: reduce(v, where, weights, "none") for n, (v, where, weights) in examples.items()}
            values, where, weights = next(iter(examples.values()))
            return combine(parts, reduce(jnp.ones_like(values), where, weights, reduction), **chosen), parts
        pairs = {n: found.public(**calls[n], reduction="parts") for n, found in members.items()}
        mass = next(iter(pairs.values()))[1]
        total = combine({n: t * safe_divide(mass, m) for n, (t, m) in pairs.items()}, mass, **chosen)
        return reduced(total, mass, reduction), {n: reduced(t, m, reduction) for n, (t, m) in pairs.items()}

    public.__name__ = public.__qualname__ = name
    public.__module__ = __name__
    public.__doc__ = "\n".join([f"The total and the parts of {title}:", *(f"    {n}: {found.name}" for n, found in members.items())])
    public.__signature__ = shown  # type: ignore[attr-defined]
    total = _total(name, members, rename, combine, shown, setting)
    if total is not None:
        public.__jloss__ = total  # type: ignore[attr-defined]
    return public


def _united(members: dict[str, Entry], rename: dict[str, dict[str, str]], setting: str) -> inspect.Signature:
    """The inputs and options of all members."""
    inputs: dict[str, inspect.Parameter] = {}
    others: dict[str, inspect.Parameter] = {}
    for n, found in members.items():
        for p in inspect.signature(found.public).parameters.values():
            if p.name in found.inputs:
                inputs.setdefault(rename[n][p.name], p.replace(name=rename[n][p.name], kind=p.POSITIONAL_OR_KEYWORD))
            else:
                others.setdefault(p.name, p)
    own = inspect.Parameter(setting, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Array | None)
    last = list(Reduce.__annotations__)
    ordered = sorted(inputs.values(), key=lambda p: p.default is not p.empty)
    options = sorted(others.values(), key=lambda p: p.name in last)
    return inspect.Signature([*ordered, own, *options], return_annotation=tuple[Array, dict[str, Array]])


def _total(
    name: str, members: dict[str, Entry], rename: dict[str, Any], combine: Any, shown: inspect.Signature, setting: str
) -> Entry | None:
    """The total as a loss of one example, for other transforms; None if the examples of the members are not the same."""
    dims: dict[str, tuple[str, ...]] = {}
    domains: dict[str, str] = {}
    for n, found in members.items():
        for i, j in rename[n].items():
            if dims.setdefault(j, found.inputs[i]) != found.inputs[i] or domains.setdefault(j, found.domains[i]) != found.domains[i]:
                return None
    if any(hasattr(found.public, "_below") for found in members.values()):
        return None
    order = [p for p in shown.parameters if p in dims]
    defaults = {o: [f.options[o] for f in members.values() if o in f.options] for f in members.values() for o in f.options}
    plain = [shown.parameters[o] for o, values in defaults.items() if all(v is values[0] or v == values[0] for v in values)]

    def core(*args: Any, **kwargs: Any) -> Array:
        given = dict(zip(order, args, strict=False)) | kwargs
        parts = {
            n: found.core(**{i: given[j] for i, j in rename[n].items()}, **{o: given[o] for o in found.options if o in given})
            for n, found in members.items()
        }
        return combine(parts, jnp.ones(()), **({setting: given[setting]} if given.get(setting) is not None else {}))

    core.__name__ = core.__qualname__ = name
    core.__module__, core.__doc__ = __name__, f"The total of {name}."
    lasts = {f.keywords: list(inspect.signature(f.core).parameters.values())[-1] for f in members.values()}
    last = next(iter(lasts.values()))
    last = last if len(lasts) == 1 else last.replace(annotation=Unpack[Reduce])
    core.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(shown.parameters[p] for p in order), shown.parameters[setting], *plain, last], return_annotation=Array
    )
    limits = {o: v for f in members.values() for o, v in f.limits.items() if o in [p.name for p in plain]}
    return entry(loss(signature({i: dims[i] for i in order}), " ".join(domains[i] for i in order), **limits)(core))
