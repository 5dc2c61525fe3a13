"""How a transform is made: a loss taken apart by its entry, and put together again under a new name.

A transform of examples changes the core (`example_transform`). A transform of batches keeps the inner loss and works on its values
(`batch_transform`); it says how it is applied anew to another inner loss, so that a transform of examples can go below it. Several losses
of one batch make one (`combined`).
"""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Unpack, get_args

import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import check_argument, check_option, check_static, unbound
from jloss._core.catalogue import BatchTransform, Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.log_probs import Steps
from jloss._core.loss import at_the_door, door_of, loss, loss_by, real_numbers
from jloss._core.reduction import mean_of, reduce
from jloss._core.signature import UNREDUCED, OverClasses, PerClass, Reduce, Reduction, Spatial, SpatialOverClasses
from jloss._core.types import as_written, meaning

Loss = Callable[..., Any]


def loss_entry(loss: Loss) -> Entry:
    """What is known of a loss; ``functools.partial(huber, delta=2.0)`` is one, too."""
    if isinstance(loss, functools.partial) and not loss.args:
        entry = loss_entry(loss.func)
        preset = {n: loss.keywords[n] for n in loss.keywords if n in entry.options}
        if preset.keys() == loss.keywords.keys():
            return entry_of(_rewrapped(entry, preset))
    entry = entry_of(loss)
    if entry.kind != "loss":
        raise TypeError(f"{entry.name} is a {entry.kind} function; a transform takes a loss.")
    return entry


def _rewrapped(entry: Entry, preset: dict[str, Any]) -> Loss:
    """The loss with new defaults."""
    shown = inspect.signature(entry.public)
    shown = shown.replace(parameters=[p.replace(default=preset.get(p.name, p.default)) for p in shown.parameters.values()])

    def public(*args: Any, **kwargs: Any) -> Any:
        return entry.public(*args, **{**preset, **kwargs})

    public.__name__, public.__doc__, public.__signature__ = entry.name, entry.public.__doc__, shown  # type: ignore[attr-defined]
    core = functools.wraps(entry.core)(lambda *args, **kwargs: entry.core(*args, **{**preset, **kwargs}))
    core.__signature__ = _preset(inspect.signature(entry.core), preset)  # type: ignore[attr-defined]
    batch = entry.batch
    if batch is not None:
        inner = batch.inner and functools.partial(batch.inner, **{n: v for n, v in preset.items() if n in loss_entry(batch.inner).options})
        unreduced = batch.unreduced and functools.partial(batch.unreduced, **preset)
        batch = batch._replace(inner=inner, unreduced=unreduced)
    options = {**entry.options, **preset}
    public.__jloss__ = entry._replace(public=public, core=core, options=options, batch=batch)  # type: ignore[attr-defined]
    return public


def _preset(shown: inspect.Signature, preset: dict[str, Any]) -> inspect.Signature:
    return shown.replace(parameters=[p.replace(default=preset.get(p.name, p.default)) for p in shown.parameters.values()])


def entry_unless_batch_transform(loss: Loss) -> Entry | None:
    """The entry, unless the loss is one whose batch another transform has taken hold of."""
    entry = loss_entry(loss)
    return entry if entry.batch is None else None


def apply_inside(loss: Loss, transform: Callable[[Loss], Loss]) -> Any:
    """Applies a transform of examples below one of batches."""
    inner, again = batch_transform_of(loss)
    return again(transform(inner))


def batch_transform_of(loss: Loss) -> tuple[Any, Any]:
    """The loss inside a transform of batches, and that transform with its settings."""
    entry = loss_entry(loss)
    assert entry.batch is not None, "only asked of losses that are made by one"
    if entry.batch.inner is None:
        raise TypeError(
            f"{entry.name}: some of its losses take hold of a whole batch, so that what changes single examples has to go below, "
            "around each of them."
        )
    return entry.batch.inner, entry.batch.again


def does_reweigh(loss: Loss) -> bool:
    """Whether the examples of a loss count otherwise than its call says, as those of `hardest`."""
    batch = loss_entry(loss).batch
    return batch is not None and batch.reweighs


def per_example_values(loss: Loss, **given: Any) -> tuple[Array, Array | None, Array | None]:
    """One value per example, and the `where` and `weights` with which they are to be reduced."""
    batch = loss_entry(loss).batch
    if batch is not None and batch.unreduced is not None:
        return batch.unreduced(**given)
    given.pop("axis_name", None)
    values, where, weights = loss(**given, reduction=UNREDUCED)
    return values, _spread(where, values), _spread(weights, values)


def _spread(each: Array | None, values: Array) -> Array | None:
    """One per example, also where each class of a linear head has a value of its own."""
    if each is None or each.ndim == values.ndim:
        return each
    return jnp.broadcast_to(each.reshape(each.shape + (1,) * (values.ndim - each.ndim)), values.shape)


def reduced(total: Array, mass: Array, reduction: Reduction) -> Any:
    """The last step of a reduction whose total and mass are known."""
    if reduction == "parts":
        return total, mass
    return total if reduction == "sum" else mean_of(total, mass, (mass != 0) | (total != 0))


def shared_mass(masses: Iterable[Array]) -> Array:
    """The mass over which several totals are brought together: the first that is not 0."""
    return functools.reduce(lambda mass, other: jnp.where(mass == 0, other, mass), masses)


def over_mass(total: Array, own: Array, mass: Array) -> Array:
    """A total over its own mass as a total over another; 0 if nothing is kept, and gradient 0."""
    none = (own == 0) & (total == 0)
    return jnp.where(none, jnp.zeros_like(total), total * (mass / jnp.where(none, jnp.ones_like(own), own)))


def cast_like(values: Array, number: Any) -> Array:
    return jnp.asarray(number).astype(values.dtype)


def with_inputs(
    entry: Entry, inputs: dict[str, tuple[str, ...]], domains: dict[str, str], optional: Collection[str] = (), axis: bool = True
) -> Entry:
    """The entry with other inputs, which the caller of its core takes away again; those that are `optional` may be None."""
    shown = inspect.signature(entry.core).parameters
    *options, last = (p for n, p in shown.items() if n not in entry.inputs)
    if clash := [p.name for p in options if p.name in inputs]:
        raise TypeError(f"{entry.name} has an option `{clash[0]}`, which is to be an input.")
    parameters: list[inspect.Parameter] = []
    for name in inputs:
        was = shown.get(name, inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD))
        default = None if name in optional else was.default
        impossible = any(p.default is not p.empty for p in parameters) and default is inspect.Parameter.empty
        behind = any(p.kind is p.KEYWORD_ONLY for p in parameters)
        kind = inspect.Parameter.KEYWORD_ONLY if name in optional or behind or impossible else was.kind
        annotation = Array | None if name in optional else shown[name].annotation if name in shown else Array
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    if not axis:
        kept = {SpatialOverClasses: Spatial, OverClasses: Reduce, PerClass: Spatial}
        last = last.replace(annotation=Unpack[kept.get(kind := get_args(last.annotation)[0], kind)])

    def core(**given: Any) -> Array:
        return entry.core(**given)

    core.__doc__, core.__module__ = entry.core.__doc__, entry.core.__module__
    core.__signature__ = inspect.Signature([*parameters, *options, last], return_annotation=Array)  # type: ignore[attr-defined]
    return entry._replace(core=core, inputs=inputs, domains=domains)


def signature(inputs: Mapping[str, tuple[str, ...]]) -> str:
    return ",".join(f"({','.join(dims)})" for dims in inputs.values()) + "->()"


def example_transform(
    name: str, entry: Entry, compute: Callable[..., Array], options: dict[str, Any], limits: dict[str, str], evaluate: Any = None
) -> Any:
    """The loss whose example is ``compute(core, inputs and options, **own options)``; own options `..._name` and `steps` are static."""
    shown = inspect.signature(entry.core)
    *parameters, last = shown.parameters.values()
    annotations = {
        n: str | None if n.endswith("_name") else Steps if n == "steps" else Array | float if v is not None else Array | float | None
        for n, v in options.items()
    }
    own = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=v, annotation=annotations[n]) for n, v in options.items()]
    hidden = options.keys() & entry.options.keys()  # the inner loss has an option of this name: it keeps its default
    core_options = {n: entry.options[n] for n in hidden}

    def core(*args: Any, **kwargs: Any) -> Array:
        given = dict(zip(entry.inputs, args, strict=False)) | kwargs
        mine = {n: given.pop(n, default) for n, default in options.items()}
        return compute(entry.core, {**given, **core_options}, **mine)

    core.__name__ = core.__qualname__ = name
    core.__module__ = __name__
    core.__doc__ = f"`{entry.name}`, {name.partition('(')[0].replace('_', ' ')}.\n\n{inspect.cleandoc(entry.core.__doc__ or '')}"
    core.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(p for p in parameters if p.name not in hidden), *own, last], return_annotation=Array
    )
    door = door_of(entry.core)
    if door is not None:
        at_the_door(lambda name, given: door(name, {**entry.options, **given}))(core)
    limits = {n: v for n, v in entry.limits.items() if n not in hidden} | limits
    for option, value in options.items():
        check_argument(name.partition("(")[0], option, value, annotations[option])
        if option in limits:
            check_option(name.partition("(")[0], option, value, limits[option])
    make = loss if evaluate is None else functools.partial(loss_by, evaluate)
    constants = " ".join(n for n in entry.inputs if n in entry.constants)
    return make(signature(entry.inputs), " ".join(entry.domains.values()), constants=constants, **limits)(core)


def bind_call(entry: Entry, args: tuple[Any, ...], kwargs: dict[str, Any], reduction: Reduction) -> dict[str, Any]:
    """The arguments by name, as given, but for the reduction."""
    check_static(entry.name, "reduction", reduction, Reduction)
    shown = inspect.signature(entry.public)
    try:
        return dict(shown.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise unbound(entry.name, shown, kwargs, error, entry) from None


def batch_transform(
    whole: Entry, public: Loss, examples: Callable[..., Any], inner: Loss | None, again: Callable[[Loss], Loss], reweighs: bool = False
) -> Any:
    """A loss that takes hold of the whole batch: named, signed and entered like any other."""
    reweighs = reweighs or (inner is not None and does_reweigh(inner))
    public.__name__ = public.__qualname__ = whole.name
    public.__module__ = __name__
    public.__doc__ = whole.public.__doc__
    public.__signature__ = inspect.signature(whole.public)  # type: ignore[attr-defined]
    public.__jloss__ = whole._replace(public=public, batch=BatchTransform(inner, again, examples, reweighs=reweighs))  # type: ignore[attr-defined]
    return public


def combined(
    title: str, losses: Mapping[str, Loss], combine: Callable[..., Array], setting: str
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Several losses as one, of the total ``combine(parts, unit, setting)``; `unit` is what a constant 1 would give."""
    if not losses:
        raise ValueError(f"{title}: needs at least one loss.")
    members = {n: loss_entry(each) for n, each in losses.items()}
    name = f"{title}({', '.join(member.name for member in members.values())})"
    first = next(iter(members.values()))
    same = len({tuple(member.domains.values()) for member in members.values()}) == 1
    rename = {n: dict(zip(member.inputs, first.inputs if same else member.inputs, strict=True)) for n, member in members.items()}
    shown = _united(members, rename, setting)
    if setting != "step" and (nested := [n for n, member in members.items() if setting in member.options]):
        raise ValueError(f"{title}: {nested[0]!r} takes `{setting}` itself; put its losses beside the others.")
    if clash := [n for n in members if n in shown.parameters]:
        raise ValueError(f"{title}: {clash[0]!r} is an input or option of these losses; call the part otherwise.")

    several = [set(member.required) for member in members.values()]
    by_name = not same and any(a != b and a & b for a in several for b in several)  # whose place is it?

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        if reduction is not UNREDUCED:
            check_static(name, "reduction", reduction, Reduction)
        if args and by_name:
            ours = ", ".join(f"{n}=({', '.join(member.required)})" for n, member in members.items())
            inputs = ", ".join(n for n, p in shown.parameters.items() if p.kind is not p.KEYWORD_ONLY)
            raise TypeError(
                f"{name}: these losses share some inputs and not others, so all are given by keyword: {inputs}; "
                f"or those of each loss as a tuple.\n  expected  {title}(...)({ours})"
            )
        own = {n: kwargs.pop(n) for n in members if n in kwargs}
        try:
            given = dict(shown.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise unbound(name, shown, kwargs, error) from None
        chosen = {setting: given[setting]} if setting in given else {}
        calls = {}
        for n, member in members.items():
            mine = {p: given[p] for p in inspect.signature(member.public).parameters if p in given and p not in member.inputs}
            data = dict(zip(member.inputs, own[n], strict=False)) if n in own else {i: given[j] for i, j in rename[n].items() if j in given}
            calls[n] = {**data, **mine}
        if reduction in ("none", UNREDUCED):
            examples = {n: per_example_values(member.public, **calls[n]) for n, member in members.items()}
            check_alike(name, {f"the examples of {n!r}": values for n, (values, _, _) in examples.items()})
            values, where, weights = next(iter(examples.values()))
            if reduction is UNREDUCED:
                return (combine({n: v for n, (v, _, _) in examples.items()}, jnp.ones_like(values), **chosen), where, weights), {}
            parts = {n: reduce(v, where, weights, "none") for n, (v, where, weights) in examples.items()}
            return combine(parts, reduce(jnp.ones_like(values), where, weights, reduction), **chosen), parts
        pairs = {n: member.public(**calls[n], reduction="parts") for n, member in members.items()}
        mass = shared_mass(m for _, m in pairs.values())
        total = combine({n: over_mass(t, m, mass) for n, (t, m) in pairs.items()}, mass, **chosen)
        return reduced(total, mass, reduction), {n: reduced(t, m, reduction) for n, (t, m) in pairs.items()}

    public.__name__ = public.__qualname__ = name
    public.__module__ = __name__
    public.__doc__ = "\n".join([f"The total and the parts of {title}:", *(f"    {n}: {member.name}" for n, member in members.items())])
    public.__signature__ = as_written(shown)  # type: ignore[attr-defined]
    total = _total(name, members, rename, combine, shown, setting)
    if isinstance(total, str):
        public.__jloss_total__ = total  # type: ignore[attr-defined]
    else:
        public.__jloss__ = _of_batches(total, public, members)  # type: ignore[attr-defined]
    return public


def check_alike(name: str, values: dict[str, Array]) -> None:
    """Raises where values of single examples, which are to be added up, are not of the same examples."""
    (one, first), *others = values.items()
    for another, each in others:
        if each.shape != first.shape:
            raise ValueError(
                f'{name}: reduction="none" needs one batch of examples, but {one} have shape {first.shape} and {another} {each.shape}; '
                f'"mean", "sum" and "parts" take batches of different sizes.'
            )


def _of_batches(total: Entry, public: Loss, members: dict[str, Entry]) -> Entry:
    """The total where one of the losses takes hold of a whole batch: only transforms of batches can go above it."""
    if all(member.batch is None for member in members.values()):
        return total

    def alone(*args: Any, **kwargs: Any) -> Any:
        return public(*args, **kwargs)[0]

    def examples(**given: Any) -> Any:
        if len(members) > 1 and (odd := [member.name for member in members.values() if does_reweigh(member.public)]):
            raise TypeError(
                f"{total.name}: the examples of {odd[0]} count otherwise than those of the others, so that none has a value alone."
            )
        return public(**given, reduction=UNREDUCED)[0]

    return entry_of(batch_transform(total, alone, examples, None, lambda loss: loss, any(does_reweigh(m.public) for m in members.values())))


def _united(members: dict[str, Entry], rename: dict[str, dict[str, str]], setting: str) -> inspect.Signature:
    """The inputs and options of all members."""
    inputs: dict[str, inspect.Parameter] = {}
    others: dict[str, inspect.Parameter] = {}
    for n, member in members.items():
        for p in inspect.signature(member.public).parameters.values():
            if p.name in member.inputs:
                inputs.setdefault(
                    rename[n][p.name], p.replace(name=rename[n][p.name], kind=p.POSITIONAL_OR_KEYWORD, annotation=meaning(p.annotation))
                )
            elif p.name != setting:  # a schedule within a schedule asks at the same step
                others.setdefault(p.name, p.replace(annotation=meaning(p.annotation)))
    own = inspect.Parameter(setting, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Array | None)
    last = list(Reduce.__annotations__)
    ordered = sorted(inputs.values(), key=lambda p: p.default is not p.empty)
    options = sorted(others.values(), key=lambda p: p.name in last)
    return inspect.Signature([*ordered, own, *options], return_annotation=tuple[Array, dict[str, Array]])


def _total(
    name: str, members: dict[str, Entry], rename: dict[str, Any], combine: Any, shown: inspect.Signature, setting: str
) -> Entry | str:
    """The total as a loss of one example, for other transforms; or why there is none."""
    dims: dict[str, tuple[str, ...]] = {}
    domains: dict[str, str] = {}
    for n, member in members.items():
        for i, j in rename[n].items():
            if dims.setdefault(j, member.inputs[i]) != member.inputs[i] or domains.setdefault(j, member.domains[i]) != member.domains[i]:
                return f"`{j}` is something else for {member.name} than for the others"
    order = [p for p in shown.parameters if p in dims]
    defaults = {o: [f.options[o] for f in members.values() if o in f.options] for f in members.values() for o in f.options}
    plain = [
        shown.parameters[o] for o, values in defaults.items() if o != setting and all(v is values[0] or v == values[0] for v in values)
    ]

    def core(*args: Any, **kwargs: Any) -> Array:
        given = dict(zip(order, args, strict=False)) | kwargs
        parts = {}
        for n, member in members.items():
            options = {o: given[o] for o in member.options if o in given}
            part = member.core(**{i: given[j] for i, j in rename[n].items()}, **options)
            parts[n] = real_numbers(member.name, jnp.asarray(part))
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
    return entry_of(loss(signature({i: dims[i] for i in order}), " ".join(domains[i] for i in order), **limits)(core))


# ---------------------------------------------------------------- a chunk of examples at a time
