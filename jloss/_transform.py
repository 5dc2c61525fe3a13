"""How a transform is made: a loss taken apart by its entry, and put together again under a new name.

A transform of examples changes the core (`derived`). A transform of batches keeps the inner loss and works on its values
(`outer`); it says how it is applied anew to another inner loss, so that a transform of examples can go below it. Several losses
of one batch make one (`together`).
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Unpack, get_args

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._arguments import check_argument, check_option, check_static
from jloss._chunk import Backward, chunked_map, chunked_sum
from jloss._loss import (
    UNREDUCED,
    Entry,
    OverClasses,
    PerClass,
    Reduce,
    Reduction,
    Spatial,
    SpatialOverClasses,
    entry,
    evaluated_by,
    loss,
    map_examples,
    mean_of,
    place_inputs,
    reduce,
    reduce_values,
    settle,
)
from jloss._math import safe_divide
from jloss._shapes import DOMAINS, Place, fill_masked, is_sound, per_example, typed_inputs, widest

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


def like(values: Array, number: Any) -> Array:
    return jnp.asarray(number).astype(values.dtype)


def with_inputs(found: Entry, inputs: dict[str, tuple[str, ...]], domains: dict[str, str], optional: str = "", axis: bool = True) -> Entry:
    """The entry with other inputs, which the one who calls its core takes away again; the one named `optional` may be None."""
    shown = inspect.signature(found.core).parameters
    *options, last = (p for n, p in shown.items() if n not in found.inputs)
    if clash := [p.name for p in options if p.name in inputs]:
        raise TypeError(f"{found.name} has an option `{clash[0]}`, which is to be an input.")
    parameters: list[inspect.Parameter] = []
    for name in inputs:
        default = None if name == optional else shown[name].default if name in shown else inspect.Parameter.empty
        behind = any(p.default is not p.empty or p.kind is p.KEYWORD_ONLY for p in parameters)
        kind = inspect.Parameter.KEYWORD_ONLY if name == optional or behind else inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotation = Array | None if name == optional else shown[name].annotation if name in shown else Array
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    if not axis:
        kept = {SpatialOverClasses: Spatial, OverClasses: Reduce, PerClass: Spatial}
        last = last.replace(annotation=Unpack[kept.get(kind := get_args(last.annotation)[0], kind)])

    def core(**given: Any) -> Array:
        return found.core(**given)

    core.__doc__, core.__module__ = found.core.__doc__, found.core.__module__
    core.__signature__ = inspect.Signature([*parameters, *options, last], return_annotation=Array)  # type: ignore[attr-defined]
    return found._replace(core=core, inputs=inputs, domains=domains)


def signature(inputs: Mapping[str, tuple[str, ...]]) -> str:
    return ",".join(f"({','.join(dims)})" for dims in inputs.values()) + "->()"


def derived(
    name: str, found: Entry, compute: Callable[..., Array], options: dict[str, Any], limits: dict[str, str], evaluate: Any = None
) -> Loss:
    """The loss whose example is ``compute(core, inputs and options, **own options)``; an own option `..._name` is static."""
    shown = inspect.signature(found.core)
    *parameters, last = shown.parameters.values()
    annotations = {
        n: str | None if n.endswith("_name") else Array | float if v is not None else Array | float | None for n, v in options.items()
    }
    own = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=v, annotation=annotations[n]) for n, v in options.items()]
    hidden = options.keys() & found.options.keys()  # the inner loss has an option of this name: it keeps its default
    core_options = {n: found.options[n] for n in hidden}

    def core(*args: Any, **kwargs: Any) -> Array:
        given = dict(zip(found.inputs, args, strict=False)) | kwargs
        mine = {n: given.pop(n, default) for n, default in options.items()}
        return compute(found.core, {**given, **core_options}, **mine)

    core.__name__ = core.__qualname__ = name
    core.__module__ = __name__
    core.__doc__ = f"`{found.name}`, {name.partition('(')[0].replace('_', ' ')}.\n\n{inspect.cleandoc(found.core.__doc__ or '')}"
    core.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(p for p in parameters if p.name not in hidden), *own, last], return_annotation=Array
    )
    limits = {n: v for n, v in found.limits.items() if n not in hidden} | limits
    for option, value in options.items():
        check_argument(name.partition("(")[0], option, value, annotations[option])
        if option in limits:
            check_option(name.partition("(")[0], option, value, limits[option])
    make = loss if evaluate is None else functools.partial(evaluated_by, evaluate)
    constants = " ".join(n for n in found.inputs if n in found.constants)
    return make(signature(found.inputs), " ".join(found.domains.values()), constants=constants, **limits)(core)


def bind(found: Entry, args: tuple[Any, ...], kwargs: dict[str, Any], reduction: Reduction) -> dict[str, Any]:
    """The arguments by name, as given, but for the reduction."""
    check_static(found.name, "reduction", reduction, Reduction)
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
    if setting != "step" and (nested := [n for n, found in members.items() if setting in found.options]):
        raise ValueError(f"{title}: {nested[0]!r} takes `{setting}` itself; put its losses beside the others.")
    if clash := [n for n in members if n in shown.parameters]:
        raise ValueError(f"{title}: {clash[0]!r} is an input or option of these losses; call the part otherwise.")

    def public(*args: Any, reduction: Reduction = "mean", **kwargs: Any) -> Any:
        check_static(name, "reduction", reduction, Reduction)
        own = {n: kwargs.pop(n) for n in members if n in kwargs}
        try:
            given = dict(shown.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise TypeError(f"{name}: {error}.") from None
        chosen = {setting: given[setting]} if setting in given else {}
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
            elif p.name != setting:  # a schedule within a schedule asks at the same step
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
    plain = [
        shown.parameters[o] for o, values in defaults.items() if o != setting and all(v is values[0] or v == values[0] for v in values)
    ]

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


# ---------------------------------------------------------------- a chunk of examples at a time


def check_schedule(name: str, chunk_size: int | None, backward: Backward = "cached") -> None:
    """Raises where a chunk size or schedule is none."""
    check_static(name, "chunk_size", chunk_size, int | None)
    check_static(name, "backward", backward, Backward)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"{name}: `chunk_size` must be 1 or more, got {chunk_size}.")


def in_chunks(
    chunk_size: int | None, backward: Backward, vector: Callable[..., Array] | None = None, narrow: frozenset[str] = frozenset()
) -> Callable[..., Any]:
    """How `evaluated_by` evaluates a loss a chunk of examples at a time.

    Args:
        chunk_size: Examples in a chunk.
        backward: When the derivative is computed.
        vector: Instead of the core: gives one value per class; `where` and `weights` may then be per example or per class.
        narrow: Inputs that are not widened, because the core does so where it does not cost memory.
    """

    def evaluate(found: Entry, given: dict[str, Any], traced: set[str]) -> Any:
        arrays, dtype = typed_inputs(found.name, found.domains, given)
        checked = place_inputs(found, given if vector is None else {**given, "where": None, "weights": None})
        batch, levels = checked.batch, len(checked.batch)
        classes = () if vector is None else (arrays["kernel"].shape[-2],)
        where, class_where, weights = checked.where, None, checked.weights
        if vector is not None:
            where, class_where, weights = _per_class(found.name, given, batch, classes, dtype)
            if weights is not None:
                counts = weights != 0 if weights.ndim == levels else jnp.any(weights != 0, axis=-1)
                usable = counts | is_sound(arrays["hidden"], checked.places["hidden"], "real", found.inputs["hidden"])
                where = usable if where is None else where & usable
        is_row = {n: any(at is not None for at in place.batch) or not levels for n, place in checked.places.items()}
        settings = settle(found, given, traced, dtype)
        rows = {
            "inputs": {n: _in_front(arrays[n], checked.places[n], batch) for n, yes in is_row.items() if yes},
            "where": class_where,
            "weights": weights,
        }
        shared = {
            "inputs": {n: a for n, a in arrays.items() if a is not None and not is_row.get(n)},
            "options": {n: v for n, v in settings.items() if isinstance(v, jax.core.Tracer)},  # constants stay constants in the loop
        }
        places = {
            n: Place((*range(levels),), (*range(levels, levels + len(place.core)),)) for n, place in checked.places.items() if is_row[n]
        }
        places |= {n: Place((None,) * levels, place.core) for n, place in checked.places.items() if not is_row[n]}

        def values(rows: Any, shared: Any, where: Array | None) -> Array:
            inputs = rows["inputs"] | shared["inputs"]
            if where is not None:
                inputs = {n: fill_masked(a, where, places[n], found.domains[n]) if is_row.get(n) else a for n, a in inputs.items()}
            inputs = {n: inputs.get(n) if n in narrow else _widened(inputs.get(n), found.domains[n], dtype) for n in found.inputs}
            core = found.core if vector is None else vector
            return map_examples(core, inputs, places, settings | shared["options"], levels, not any(found.inputs.values()))

        def total(rows: Any, shared: Any, where: Array | None) -> Array:
            value = values(rows, shared, where)
            keep, weights = _both(where, rows["where"], value.ndim), _behind(rows["weights"], value.ndim)
            return reduce_values(value, keep, None, weights, "sum")

        if given["reduction"] in ("none", UNREDUCED):
            value = chunked_map(values, rows, shared, where, levels=levels, chunk_size=chunk_size)
            keep, weights = _both(where, class_where, value.ndim), _behind(weights, value.ndim)
            keep, weights = (None if a is None else jnp.broadcast_to(a, value.shape) for a in (keep, weights))
            return reduce_values(value, keep, None, weights, given["reduction"])
        sum_of = chunked_sum(total, rows, shared, where, levels=levels, chunk_size=chunk_size, backward=backward)
        mass, kept = _mass(where, class_where, weights, batch, classes, dtype)
        axes = _axes(given["axis_name"], given["class_axis_name"] if vector is not None else None)
        if axes:
            sum_of, mass, kept = lax.psum((sum_of, mass, kept), axes)
        return mean_of(sum_of, mass, kept > 0) if given["reduction"] == "mean" else reduced(sum_of, mass, given["reduction"])

    return evaluate


def _in_front(array: Array, place: Place, batch: tuple[Any, ...]) -> Array:
    """The array with its batch axes in front, in order; one that lacks some of them (a mask, shared by the classes) is repeated."""
    array = array.transpose((*(at for at in place.batch if at is not None), *place.core))
    missing = [level for level, at in enumerate(place.batch) if at is None]
    if not missing:
        return array
    return jnp.broadcast_to(jnp.expand_dims(array, missing), (*batch, *array.shape[len(batch) - len(missing) :]))


def _widened(array: Any, domain: str, dtype: Any) -> Any:
    if array is None or DOMAINS[domain].kind == "any" or not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(dtype)


def _per_class(name: str, given: dict[str, Any], batch: tuple[Any, ...], classes: tuple[Any, ...], dtype: Any) -> Any:
    """`where` per example, `where` per class, and `weights`, each None if not given."""
    where, weights, class_where = given.get("where"), given.get("weights"), None
    if weights is not None:
        shape = (*batch, *classes) if jnp.ndim(weights) > len(batch) else batch
        weights = per_example(name, "weights", weights, shape, "number").astype(dtype)
    if where is not None and jnp.ndim(where) > len(batch):
        class_where = per_example(name, "where", where, (*batch, *classes), "boolean")
        where = jnp.any(class_where, axis=-1)
    elif where is not None:
        where = per_example(name, "where", where, batch, "boolean")
    return where, class_where, weights


def _mass(where: Any, class_where: Any, weights: Any, batch: tuple[Any, ...], classes: tuple[Any, ...], dtype: Any) -> tuple[Array, Array]:
    """What a loss of 1 would sum to, and how many numbers count in it."""
    per_class = class_where is not None or (weights is not None and weights.ndim > len(batch))
    shape = (*batch, *classes) if per_class else batch
    keep = _both(where, class_where, len(shape))
    repeats = 1 if per_class or not classes else classes[0]
    if weights is None:
        count = jnp.asarray(math.prod(shape)) if keep is None else jnp.sum(jnp.broadcast_to(keep, shape), dtype=jnp.int32)
        return count.astype(dtype) * repeats, count
    weights = jnp.broadcast_to(jnp.expand_dims(weights, range(weights.ndim, len(shape))), shape)
    weights = weights if keep is None else jnp.where(keep, weights, jnp.zeros_like(weights))
    return jnp.sum(weights) * repeats, jnp.sum(weights != 0, dtype=jnp.int32)


def _behind(array: Array | None, ndim: int) -> Array | None:
    """The array with axes of size 1 behind."""
    return array if array is None else jnp.expand_dims(array, range(array.ndim, ndim))


def _both(where: Array | None, class_where: Array | None, ndim: int) -> Array | None:
    where = _behind(where, ndim)
    if where is None or class_where is None:
        return class_where if where is None else where
    return where & class_where


def _axes(*names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(axis for name in names if name is not None for axis in ((name,) if isinstance(name, str) else name))


def head_logits(hidden: Array, kernel: Array, bias: Array | None, soft_cap: Array | None) -> Array:
    """The logits of one token (or of each of its leading axes), in float32 or wider."""
    wide = widest((hidden, kernel))
    dtype = hidden.dtype if hidden.dtype == kernel.dtype else wide
    over = (((hidden.ndim - 1,), (kernel.ndim - 1,)), ((), ()))
    logits = lax.dot_general(hidden.astype(dtype), kernel.astype(dtype), over, preferred_element_type=wide)
    if bias is not None:
        logits = logits + jnp.expand_dims(bias.astype(wide), range(logits.ndim - 1))
    return logits if soft_cap is None else soft_cap * jnp.tanh(logits / soft_cap)
