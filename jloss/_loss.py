"""The formula for one example goes in; a batched, masked, weighted, reduced, compiled loss comes out."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, ParamSpec, TypedDict, get_args

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._arguments import (
    bound_to,
    check_array,
    check_arrays,
    check_option,
    check_static,
    explain,
    hints_of,
    is_cut,
    literals,
    within_32_bits,
)
from jloss._chunk import afresh, at_once, numbers
from jloss._made import Made, arguments
from jloss._math import row_length, spec_of
from jloss._shapes import (
    DOMAINS,
    Dims,
    Place,
    as_placed,
    batch_shape,
    expect,
    fill_masked,
    is_sound,
    parse,
    per_example,
    spatial,
    typed_inputs,
    widest,
)

P = ParamSpec("P")
Reduction = Literal["mean", "sum", "none", "parts"]


class Reduce(TypedDict, total=False):
    """The keywords of every loss.

    Args:
        where: Boolean, one per example. A masked example contributes neither value nor gradient, whatever it holds.
        weights: One per example. The mean is ``sum(w * l) / sum(w)``; an integer weight is a repetition, 0 a removal, also of NaN.
            They have a gradient, at 0 as elsewhere. Weights of both signs (advantages) may sum to nearly 0, and their mean is then
            noise divided by it: take ``"sum"`` and divide by the count. At a sum of exactly 0 the mean is inf or NaN.
        reduction: ``"mean"``; ``"sum"``; ``"none"``, one value per example; ``"parts"``, the pair (total, mass) whose sums
            over micro-batches divide to the exact mean.
        axis_name: Inside `jax.shard_map`, the mesh axis (or axes) over which total and mass are summed.
    """

    where: Array | None
    weights: Array | None
    reduction: Reduction
    axis_name: str | tuple[str, ...] | None


class OverClasses(Reduce, total=False):
    """Keywords of a loss with a class axis: `axis` is its place in the array."""

    axis: int


class Spatial(Reduce, total=False):
    """Keywords of a loss over spatial axes: `spatial_ndim` is their number."""

    spatial_ndim: int


class SpatialOverClasses(Spatial, OverClasses, total=False):
    """Spatial axes and a class axis, all in one example."""


class PerClass(Spatial, total=False):
    """Keywords of a mask loss: `axis` names a class axis, each of whose masks is then an example of its own."""

    axis: int | None


UNREDUCED = object()  # the reduction that transforms of batches ask for: the values, and the `where` and `weights` to reduce them with
_DEFAULTS = {"where": None, "weights": None, "reduction": "mean", "axis_name": None, "axis": -1, "spatial_ndim": 2}


class Entry(NamedTuple):
    """What is known of a public name."""

    name: str
    public: Callable[..., Any]
    core: Callable[..., Any]
    inputs: dict[str, Dims]  # {"logits": ("k",), "labels": ()}
    domains: dict[str, str]  # {"logits": "real", "labels": "class"}
    options: dict[str, Any]  # {"label_smoothing": 0.0}
    limits: dict[str, str]  # {"label_smoothing": "unit"}
    keywords: frozenset[str]  # where, weights, reduction, axis_name, and axis or spatial_ndim where it has them
    kind: str  # "loss", "stateful" (a factory of (init, apply)), "penalty" (of a pytree)
    constants: frozenset[str] = frozenset()  # inputs that have no gradient, such as a teacher's logits

    @property
    def family(self) -> str:
        """The module that defines it: ``"regression"``."""
        return self.core.__module__.rpartition(".")[2]


class StatefulLoss(NamedTuple):
    """A loss with memory: ``state = init(...)``; ``value, state = apply(state, predictions, targets, ...)``."""

    init: Callable[..., Any]
    apply: Callable[..., tuple[Array, Any]]


class Catalogue(dict[str, Entry]):
    """The losses by name; in a notebook a table with their formulas."""

    def _repr_html_(self) -> str:
        from jloss._display import table

        return table(self)


CATALOGUE = Catalogue()

# On CPUs, where XLA writes to memory what it does not fuse.
NOTICEABLE = 1 << 16  # numbers, from which on it is worth while to tell it in which order
LARGE = 1 << 24  # bytes, from which on it is cheaper to compute again than to keep


def entry(function: Callable[..., Any]) -> Entry:
    """What is known of a loss, listed or your own."""
    found = getattr(function, "__jloss__", None)
    if found is None:
        raise TypeError(f"{getattr(function, '__name__', function)!r} is not a jloss loss; write it with @jloss.loss(...).")
    return found


def loss(signature: str, domains: str, *, constants: str = "", **limits: str) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """Turns a function of one example into a loss.

    Args:
        signature: The core axes of each input, and of the result: ``"(k),()->()"``.
        domains: A word for each input, of `jloss._shapes.DOMAINS`: ``"real class"``.
        constants: The inputs that are under `stop_gradient`: ``"teacher_logits"``.
        **limits: For options, a domain (``label_smoothing="unit"``): a Python number outside raises ValueError.

    The function takes its inputs first, its options by keyword, and ends with ``**reduce: Unpack[Reduce]``, which becomes
    the reduction keywords. An option annotated `float` or `Array` is traced, any other is static.
    """
    return evaluated_by(_whole, signature, domains, constants, **limits)


def loss_of_terms(signature: str, domains: str, sooner: int = 1, **limits: str) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """`loss` for sums over classes of terms that are cheap to compute again, as large ones do for their gradient.

    From `LARGE` bytes on, or from a fraction of that: one over `sooner`.
    """
    return evaluated_by(functools.partial(_whole, sooner=sooner), signature, domains, **limits)


def loss_of_pixels(signature: str, domains: str, **limits: str) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """`loss` for masks whose pixels may stand in any order; it adds them up by `jloss._math.pixel_sum`."""
    return evaluated_by(functools.partial(_whole, any_order=True), signature, domains, **limits)


def evaluated_by(
    evaluate: Callable[..., Any], signature: str, domains: str, constants: str = "", **limits: str
) -> Callable[[Callable[P, Array]], Callable[P, Array]]:
    """`loss` with another ``evaluate(entry, arguments of the call, names of traced options)``, such as a chunk at a time."""
    dims, words = parse(signature), domains.split()

    def wrap(core: Callable[P, Array]) -> Callable[P, Array]:
        name = core.__name__
        try:
            shown, keywords = _with_keywords(inspect.signature(core, eval_str=True))
        except NameError as error:
            raise TypeError(f"{name}: an annotation names {error.name!r}, which its module does not have.") from None
        parameters = list(shown.parameters.values())
        inputs = dict(zip([p.name for p in parameters], dims, strict=False))
        kinds = dict(zip(inputs, words, strict=False))
        options = {p.name: p.default for p in parameters[len(dims) :] if p.name not in keywords}
        if (
            not len(dims) == len(words) == len(inputs)
            or not {*constants.split()} <= inputs.keys()
            or not set(words) <= DOMAINS.keys()
            or not limits.keys() <= options.keys()
        ):
            raise TypeError(f"{name}: the signature {signature!r}, the domains {domains!r} and the parameters {shown} do not fit.")
        traced = {p.name for p in parameters if {Array, float} & {p.annotation, *get_args(p.annotation)}} | {*inputs}
        literal = inputs.keys() | {"where", "weights"}
        has_labels = any(DOMAINS[kind].kind == "integer" for kind in kinds.values())
        static = {p.name: p.annotation for p in parameters if p.name not in traced | literal}

        def compiled(*args: Any, **kwargs: Any) -> Array | tuple[Array, Array]:
            bound = shown.bind(*args, **kwargs)
            bound.apply_defaults()
            check_arrays(name, parameters, bound.arguments)
            return evaluate(found, bound.arguments, traced)

        compiled.__name__ = compiled.__qualname__ = name  # jit(huber) in profiles and HLO
        compiled.__signature__ = shown  # type: ignore[attr-defined]

        @functools.cache  # on the first call: two hundred of them would double the time of `import jloss`
        def run() -> Callable[..., Any]:
            return jax.jit(compiled, static_argnames=tuple(static))

        @functools.wraps(core)
        def public(*args: P.args, **kwargs: P.kwargs) -> Array:
            for option in limits.keys() & kwargs.keys():
                check_option(name, option, kwargs[option], limits[option])
            for option in static.keys() & kwargs.keys():
                if kwargs[option] is UNREDUCED:
                    continue
                check_static(name, option, kwargs[option], static[option])
            if any(type(a) in (list, tuple) for a in args) or any(type(kwargs[n]) in (list, tuple) for n in literal & kwargs.keys()):
                args, kwargs = literals(args, kwargs, literal, kinds)  # type: ignore[assignment]
            if has_labels and any(map(is_cut, (*args, *kwargs.values()))):
                args, kwargs = within_32_bits(args, kwargs, kinds)  # type: ignore[assignment]
            try:
                return run()(*args, **kwargs)
            except Exception as error:
                explain(name, shown, args, kwargs, error)
                raise

        public.__signature__ = shown  # type: ignore[attr-defined]
        public.__doc__ = _document(core.__doc__, inputs, kinds)
        found = Entry(name, public, core, inputs, kinds, options, limits, frozenset(keywords), "loss", frozenset(constants.split()))
        public.__jloss__ = found  # type: ignore[attr-defined]
        if core.__module__.startswith("jloss.") and name.isidentifier() and not name.startswith("_"):  # not `tilted(huber)`
            CATALOGUE[name] = found
        return public

    return wrap


class Placed(NamedTuple):
    """The inputs of one call: as arrays of their domain's dtype, where their axes lie, and which examples count."""

    arrays: dict[str, Any]
    places: dict[str, Place]
    batch: tuple[int, ...]
    where: Array | None
    weights: Array | None


def place_inputs(found: Entry, given: dict[str, Any]) -> Placed:
    """Checks the bound arguments of a call and finds their batch and core axes.

    An example of weight 0 is masked if it holds NaN or infinity. Any other counts with its weight of 0: the loss has a gradient there.
    """
    name, count, axis = found.name, given.get("spatial_ndim", 2), given.get("axis")
    if count < 1:
        raise ValueError(f"{name}: `spatial_ndim` must be 1 or more, got {count}.")
    arrays, dtype = typed_inputs(name, found.domains, given)
    arrays = {n: a if a is None or DOMAINS[found.domains[n]].kind == "any" else _widen(a, dtype) for n, a in arrays.items()}
    written = {n: spatial(d, count) for n, d in found.inputs.items()}
    per_class = "spatial_ndim" in found.keywords and not any("k" in d for d in found.inputs.values())
    roles = {n: _role(d, found.domains[n], per_class) for n, d in found.inputs.items()} if axis is not None else {}
    whole = {n: a for n, a in arrays.items() if found.domains[n] != "tree"}  # a tree may be a bare array; it has no batch axes
    batch, places = batch_shape(name, written, whole, axis, {n: role for n, role in roles.items() if role})
    where, weights = given.get("where"), given.get("weights")
    if where is not None:
        where = per_example(name, "where", where, batch, "boolean")
    if weights is not None:
        weights = per_example(name, "weights", weights, batch, "number").astype(dtype)
        for n, place in places.items():
            if DOMAINS[found.domains[n]].kind in ("float", "number") and None not in place.batch:
                usable = (weights != 0) | is_sound(arrays[n], place, found.domains[n], found.inputs[n])
                where = usable if where is None else where & usable
    return Placed(arrays, places, batch, where, weights)


def listed(kind: str, signature: str, domains: str, **limits: str) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """Adds a function that is not a plain loss to the catalogue: a ``"stateful"`` factory, a ``"penalty"`` of a pytree.

    What it is given is checked as the arguments of a loss are, and what ``init`` and ``apply`` of a stateful loss are given.
    """
    dims, words = parse(signature), domains.split()

    def wrap(function: Callable[P, Any]) -> Callable[P, Any]:
        name, shown = function.__name__, inspect.signature(function)
        names = words if kind == "stateful" else list(shown.parameters)[: len(dims)]
        inputs = dict(zip(names, dims, strict=True))
        options = {n: p.default for n, p in shown.parameters.items() if n not in inputs}

        @functools.wraps(function)
        def public(*args: P.args, **kwargs: P.kwargs) -> Any:
            given = bound_to(name, shown, args, kwargs)
            for option in limits.keys() & given.keys():
                check_option(name, option, given[option], limits[option])
            if kind != "stateful":
                return function(*args, **kwargs)
            settings = arguments(shown, args, kwargs)
            init, apply = function(**settings)  # type: ignore[call-arg]
            return StatefulLoss(
                Made(_init_of(name, init), public, settings, "init"), Made(_apply_of(name, apply, dims, words), public, settings, "apply")
            )

        found = Entry(name, public, function, inputs, dict(zip(names, words, strict=True)), options, limits, frozenset(), kind)
        CATALOGUE[name] = public.__jloss__ = found  # type: ignore[attr-defined]
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
                place_inputs(like, bound_to(name, shown, args, kwargs))
            except (TypeError, ValueError) as reason:
                raise reason from None
            raise

    return public


def _constant(state: Any) -> Any:
    """The state as arrays (a checkpoint may give those of NumPy) without a gradient."""
    return jax.tree.map(lambda leaf: lax.stop_gradient(jnp.asarray(leaf)) if hasattr(leaf, "dtype") else leaf, state)


def reduce(
    values: Array,
    where: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | tuple[str, ...] | None = None,
) -> Any:
    """Reduces one value per example, as every loss does; for losses of your own that are not written with `loss`.

    The mean is ``sum(w * l) / sum(w)`` over kept examples and over the devices of `axis_name`; 0 if nothing is kept.

    Args:
        values: One value per example.
        where: Boolean, one per example: the examples to keep.
        weights: One per example.
        reduction: ``"mean"``, ``"sum"``, ``"none"`` or ``"parts"``, the pair (total, mass).
        axis_name: The mesh axis or axes to sum over, inside `jax.shard_map`.

    >>> reduce(jnp.array([1.0, 2.0, 6.0]), weights=jnp.array([1.0, 1.0, 2.0]))
    Array(3.75, dtype=float32)
    """
    check_static("reduce", "reduction", reduction, Reduction)
    for argument, value in (("values", values), ("where", where), ("weights", weights)):
        check_array("reduce", argument, value, Array | None if argument != "values" else Array)
    values = jnp.asarray(values)
    expect(
        chex.assert_type,
        0 if jnp.issubdtype(values.dtype, jnp.complexfloating) else 0.0,
        float,
        message=lambda: f"reduce: `values` must be real numbers, got {values.dtype}{list(values.shape)}.",
        error=TypeError,
    )
    values = values.astype(widest([values]))
    if where is not None:
        where = per_example("reduce", "where", where, values.shape, "boolean")
    if weights is not None:
        weights = per_example("reduce", "weights", weights, values.shape, "number").astype(values.dtype)
    return reduce_values(values, *_counted(where, weights, reduction), weights, reduction, axis_name)


def reduce_values(
    values: Array,
    where: Array | None,
    count: Array | None,
    weights: Array | None,
    reduction: Any,
    axis_name: str | tuple[str, ...] | None = None,
) -> Any:
    """One value per example, reduced; `count` is how many there are, where the caller knows."""
    if reduction is UNREDUCED:
        return values, where, weights
    if weights is not None:
        weights = weights.astype(values.dtype)
        harmless = (weights != 0) | jnp.isfinite(values)  # a weight of 0 removes what is not a number
        where = harmless if where is None else where & harmless
    if where is not None:
        values = jnp.where(where, values, jnp.zeros_like(values))
    if weights is not None:
        weights = jnp.where(where, weights, jnp.zeros_like(weights))  # type: ignore[arg-type]
        values = weights * values
    if reduction == "none":
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total if axis_name is None else lax.psum(total, axis_name)
    examples = jnp.asarray(values.size) if count is None else count
    mass = examples.astype(values.dtype) if weights is None else jnp.sum(weights)
    kept = mass != 0 if weights is None else jnp.any(weights != 0)
    if axis_name is not None:
        total, mass = lax.psum((total, mass), axis_name)
        kept = mass != 0 if weights is None else lax.psum(kept.astype(jnp.int32), axis_name) > 0
    return (total, mass) if reduction == "parts" else mean_of(total, mass, kept)


def mean_of(total: Array, mass: Array, kept: Array) -> Array:
    """The total over the mass; 0 with gradient 0 where nothing is kept. Weights that cancel (a mass of 0) give inf or NaN."""
    return jnp.where(kept, total / jnp.where(kept, mass, jnp.ones_like(mass)), jnp.zeros_like(total))


def _counted(where: Array | None, weights: Array | None, reduction: Any) -> tuple[Array | None, Array | None]:
    """`where`, and how many it keeps if that is the mass: counted in integers, as a float32 sum of ones stops at 2**24.

    CPUs widen a mask to four bytes an example to sum it, which takes longer than a simple loss. Added up in bytes first, 32 to one,
    it takes an eighth of that, and less again before the loss than beside it.
    """
    if where is None or weights is not None or reduction in ("none", "sum", UNREDUCED):
        return where, None

    def summed(where: Array) -> tuple[Array, Array]:
        return where, jnp.sum(where, dtype=jnp.int32)

    def in_bytes(where: Array) -> tuple[Array, Array]:
        columns = where.astype(jnp.uint8).reshape(*where.shape[:-1], where.shape[-1] // 512, 32, 16)
        exact = jnp.float32 if where.size <= 1 << 24 else jnp.int32
        counts = jnp.sum(columns, axis=-2, dtype=jnp.uint8)
        return lax.optimization_barrier((where, jnp.sum(counts.astype(exact)).astype(jnp.int32)))

    # A last axis that devices share is split evenly into blocks of 512.
    if not all(isinstance(n, int) for n in where.shape) or not where.ndim or where.shape[-1] % 512 or any(spec_of(where)):
        return summed(where)
    return lax.platform_dependent(where, cpu=in_bytes, default=summed)


def _all_counted(found: Entry, values: Array, arrays: dict[str, Any]) -> Array | None:
    """How many examples there are, which XLA on CPUs has to sort to find out. None where that gains nothing.

    It computes first what needs least: if the gradient of a mean needs 1 / n alone, it comes before the values, and both are kept
    at once. A number that comes later than they do lets the gradient take their place. That saves a temporary as large as the
    input, whose pages the system hands out anew in each call (`hinge` of 16M numbers: 39 ms for 66). Losses of vectors have no such
    temporary, and a constant of theirs is worth more.
    """
    shapes = {dims for n, dims in found.inputs.items() if arrays[n] is not None}
    if not shapes <= {(), ("k",), ("4",)} or not isinstance(values.size, int) or values.size >= 1 << 31:
        return None

    def sorted_out(n: Array) -> Array:
        pair = jnp.stack([lax.optimization_barrier(n)] * 2)
        for _ in range(2):
            pair = lax.sort(pair) ^ 1
        return pair[0]

    return lax.platform_dependent(jnp.asarray(values.size, jnp.int32), cpu=sorted_out, default=lambda n: n)


def _size(arrays: dict[str, Any], bytes: bool = False) -> int:
    """Of the largest input; 0 if sizes are not known yet."""
    known = [a for a in arrays.values() if isinstance(getattr(a, "size", None), int)]
    return max((a.size * (a.dtype.itemsize if bytes else 1) for a in known), default=0)


def _whole(found: Entry, given: dict[str, Any], traced: set[str], sooner: int = 0, any_order: bool = False) -> Any:
    """All examples at once."""
    arrays, places, batch, where, weights = place_inputs(found, given)
    where, count = _counted(where, weights, given["reduction"])
    isolated = False
    if where is not None:  # inputs, not only outputs: 0 * NaN is NaN in the gradient
        isolated = _isolated(found, given, arrays, places)
        filled = [n for n in places if not isolated or n not in _fixed(found, places)]
        arrays = arrays | {n: fill_masked(arrays[n], where, places[n], found.domains[n], isolated) for n in filled}
    arrays, places = _fixed_axes_first(found, arrays, places, where if isolated else None)
    per_class = given.get("axis") is not None and "k" not in {d for dims in found.inputs.values() for d in dims}
    shared = [n for n in places if per_class and found.domains[n] == "mask"]
    arrays, places = _masks_beside_classes(arrays, places, shared)
    if any_order and _size(arrays) >= NOTICEABLE:
        arrays, places = _in_long_rows(arrays, places)
    settings = settle(found, given, traced, widest(arrays))
    elementwise = not any(found.inputs.values())
    sooner = sooner or int(elementwise)  # 0: not at all
    core = afresh(found.core) if sooner * _size(arrays, bytes=True) >= LARGE else found.core
    with numbers(few=0 < _size(arrays) < NOTICEABLE and all(isinstance(n, int) for n in batch)):
        values = map_examples(core, arrays, places, settings, len(batch), elementwise)
    if values.shape != batch:
        raise ValueError(f"{found.name}: one example must give one number; the core gave {values.shape} for batch axes {batch}.")
    if where is None and given["reduction"] not in ("none", UNREDUCED) and _size(arrays) >= NOTICEABLE:
        if elementwise and "select_n" in str(jax.make_jaxpr(functools.partial(core, **settings))(*arrays.values())):
            values = at_once(values)
        if given["reduction"] != "sum":
            count = _all_counted(found, values, arrays)
    return reduce_values(values, where, count, weights, given["reduction"], given["axis_name"])


def _isolated(found: Entry, given: dict[str, Any], arrays: dict[str, Any], places: dict[str, Place]) -> bool:
    """Whether examples share nothing that has a gradient: neither an input, nor an option that the caller gave."""
    shared = [n for n, a in arrays.items() if a is not None and (n not in places or None in places[n].batch)]
    options = [n for n in found.options if isinstance(given[n], jax.Array)]
    return not options and not any(jnp.issubdtype(getattr(arrays[n], "dtype", float), jnp.floating) for n in shared)


def _fixed_axes_first(
    found: Entry, arrays: dict[str, Any], places: dict[str, Place], where: Array | None
) -> tuple[dict[str, Any], dict[str, Place]]:
    """Moves the numbers of a box in front of the batch: XLA on CPUs then computes columns, not strides, in half the time.

    Each column is taken on its own, and loses its gradient on its own where masked: a select behind the gradients put together
    keeps XLA from computing them one by one, which takes six times as long.
    """
    for name in _fixed(found, places):
        (at,) = places[name].core
        batch = tuple(None if b is None else b + (b < at) for b in places[name].batch)
        boxes = jnp.moveaxis(arrays[name], at, 0)
        columns = [lax.index_in_dim(boxes, i, keepdims=False) for i in range(boxes.shape[0])]
        if where is not None:
            keep = as_placed(where, places[name])
            columns = [jnp.where(keep, c, lax.stop_gradient(c)) for c in columns]
        arrays, places = arrays | {name: jnp.stack(columns) if batch else boxes}, places | {name: Place(batch, (0,))}
    return arrays, places


def _fixed(found: Entry, places: dict[str, Place]) -> list[str]:
    """The inputs of a few numbers each, such as a box."""
    return [n for n, dims in found.inputs.items() if n in places and len(dims) == 1 and dims[0].isdigit()]


def _masks_beside_classes(arrays: dict[str, Any], places: dict[str, Place], shared: list[str]) -> tuple[dict[str, Any], dict[str, Place]]:
    """Gives masks that the classes share a class axis where the classes have theirs: to meet one without, vmap would move it."""
    like = next(iter(places), "")
    classes = places[like].batch[-1] if like and places[like].batch else None
    if classes is None:
        return arrays, places
    before = sum(c < classes for c in places[like].core)
    for name in shared:
        batch, core = places[name]
        at = (*core, arrays[name].ndim)[before]
        mask = jnp.expand_dims(arrays[name], at)
        mask = jnp.broadcast_to(mask, (*mask.shape[:at], arrays[like].shape[classes], *mask.shape[at + 1 :]))
        moved = tuple(None if i is None else i + (i >= at) for i in batch[:-1])
        arrays, places = arrays | {name: mask}, places | {name: Place((*moved, at), tuple(i + (i >= at) for i in core))}
    return arrays, places


def _in_long_rows(arrays: dict[str, Any], places: dict[str, Place]) -> tuple[dict[str, Any], dict[str, Place]]:
    """Cuts the last axis of pixels, if short classes lie behind it, into (..., rows, 1, pixels of a row).

    What CPUs add up is then a few hundred numbers wide: masks of two classes take a quarter of the time, of 21 two thirds. It costs
    nothing elsewhere: pixels are not moved, neither between devices nor between the tiles of a TPU.
    """
    same = {(place, arrays[n].shape) for n, place in places.items()}
    (place, shape), *others = same
    if others or not place.core or None in place.batch or place.core[-1] != len(shape) - 2:
        return arrays, places
    at = place.core[-1]
    row, *unlike = {row_length(arrays[n], at) for n in places}
    if unlike or row == 1:
        return arrays, places
    rows = (*shape[:at], shape[at] // row, 1, row, shape[-1])
    place = Place((*place.batch[:-1], at + 3), (*place.core, at + 1, at + 2))
    return arrays | {n: arrays[n].reshape(rows) for n in places}, dict.fromkeys(places, place)


def settle(found: Entry, given: dict[str, Any], traced: set[str], dtype: Any) -> dict[str, Any]:
    """The options of a call, the traced ones as arrays; a Python int for a number is one of that dtype."""

    def cast(value: Any) -> Array:
        array = jnp.asarray(value)
        return _widen(array.astype(dtype) if array.aval.weak_type else array, dtype)

    return {n: cast(given[n]) if n in traced and given[n] is not None else given[n] for n in found.options}


def map_examples(core: Any, arrays: Any, places: Any, options: Any, levels: int, elementwise: bool) -> Array:
    """Nested vmaps over the batch axes where they lie. Flattening them would gather a sharded batch."""
    if elementwise:
        return jnp.asarray(core(*arrays.values(), **options))
    absent = [n for n, a in arrays.items() if n not in places]
    names = [n for n in arrays if n in places]

    def one(*cores: Array) -> Array:
        ordered = {n: c.transpose([sorted(places[n].core).index(at) for at in places[n].core]) for n, c in zip(names, cores, strict=True)}
        return jnp.asarray(core(**ordered, **{n: arrays[n] for n in absent}, **options))

    for level in reversed(range(levels)):
        mapped = [places[n].batch[level] for n in names]
        earlier = [[b for b in places[n].batch[:level] if b is not None] for n in names]
        axes = [None if at is None else at - sum(b < at for b in done) for at, done in zip(mapped, earlier, strict=True)]
        one = jax.vmap(one, in_axes=axes)
    return one(*(arrays[n] for n in names))


def _with_keywords(signature: inspect.Signature) -> tuple[inspect.Signature, list[str]]:
    """The signature with ``**reduce: Unpack[Reduce]`` written out as keywords."""
    *plain, last = signature.parameters.values()
    if last.kind is not inspect.Parameter.VAR_KEYWORD or not get_args(last.annotation):
        raise TypeError("a loss ends with `**reduce: Unpack[Reduce]`.")
    kind = get_args(last.annotation)[0]
    hints = hints_of(kind)
    defaults = _DEFAULTS | ({"axis": None} if kind is PerClass else {})
    extra = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=defaults[n], annotation=hints[n]) for n in _DEFAULTS if n in hints
    ]
    return signature.replace(parameters=[*plain, *extra], return_annotation=Array), [p.name for p in extra]


def _role(dims: Dims, domain: str, per_class: bool) -> str:
    """What `axis` means for an input: the place of its class axis, one mask per class, or nothing."""
    if dims.count("k") == 1:
        return "k"
    if dims == ("*s",) and per_class:
        return "shared" if domain == "mask" else "each"
    return ""


def _widen(array: Array, dtype: Any) -> Array:
    return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array


def _document(doc: str | None, inputs: dict[str, Dims], kinds: dict[str, str]) -> str | None:
    """The docstring with the shapes and domains that the signature knows."""
    if not doc:
        return doc
    width = max(map(len, inputs), default=0)
    rows = [
        f"    {n.ljust(width)}  (..., {', '.join(d)})".replace("..., )", "...)") + f", {DOMAINS[kinds[n]].meaning}"
        for n, d in inputs.items()
    ]
    return (
        inspect.cleandoc(doc)
        + "\n\nShapes:\n"
        + "\n".join(rows)
        + "\n\n`where`, `weights`, `reduction`, `axis_name`: see `jloss.Reduce`.\n"
    )
