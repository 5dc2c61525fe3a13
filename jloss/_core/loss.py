"""The formula for one example goes in; a batched, masked, weighted, reduced, compiled loss comes out.

The trip of a call:

1. `public` checks the Python options and turns lists into arrays (`arguments`); on a mistake it names the argument.
2. `compiled` binds the arguments by name, under `jax.jit`.
3. `evaluate` finds the batch axes, masks, applies the core under `jax.vmap`, and reduces.

Steps named ``backend.`` or ``layout.`` change the order of the arithmetic and no number; deleting them all leaves a correct loss.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters.partial_eval import DynamicJaxprTracer

from jloss._core import backend, layout
from jloss._core.arguments import (
    check_arrays,
    check_option,
    check_static,
    in_byte_order,
    is_cut_to_32_bits,
    is_misread,
    keep_within_32_bits,
    lists_to_arrays,
    raise_plainly,
)
from jloss._core.axes import Axes, Dims, batch_shape, check_batch_is_left, check_some, fill_masked, is_sound, parse, per_example, spatial
from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.checks import are_on, checked_call
from jloss._core.domains import DOMAINS, arithmetic_dtype, is_known, typed_inputs
from jloss._core.reduction import count_kept, keep_values, reduce_total, reduce_values, share_of_example
from jloss._core.signature import UNREDUCED, axis_roles, document, place_of, read_parameters
from jloss._core.types import as_written, readable

P = ParamSpec("P")
Loss = Callable[P, Array]


@readable
def loss(signature: str, domains: str = "", *, constants: str = "", **limits: str) -> Callable[[Loss[P]], Loss[P]]:
    """Turns a function of one example into a loss.

    Args:
        signature: The core axes of each input, and of the result: ``"(k),()->()"``.
        domains: A word for each input, such as ``"real class"``; a wrong one raises TypeError with the list of all.
        constants: The inputs that are under `stop_gradient`: ``"teacher_logits"``.
        **limits: For options, a domain (``label_smoothing="unit"``): a Python number outside raises ValueError.

    The function takes its inputs first, its options by keyword, and ends with ``**reduce: Unpack[Reduce]``, which becomes
    the reduction keywords. An option annotated `float` or `Array` is traced, any other is static.
    """
    if callable(signature):
        raise TypeError(
            f'{getattr(signature, "__name__", "loss")}: say what the inputs are, as in @jloss.loss("(k),()->()", "real class").'
            + place_of(signature)
        )
    return loss_by(evaluate, signature, domains, constants, **limits)


def loss_by(evaluate: Callable[..., Any], signature: str, domains: str, constants: str = "", **limits: str) -> Callable[[Loss[P]], Loss[P]]:
    """`loss` with another ``evaluate(entry, arguments of the call, names of traced options)``, such as a chunk at a time."""
    words = domains.split()

    def wrap(core: Loss[P]) -> Loss[P]:
        try:
            dims = parse(signature)
        except ValueError as error:
            raise ValueError(f"{core.__name__}: {error}{place_of(core)}") from None
        core = zero_of_no_items(core, dims[0])
        name, read = core.__name__, read_parameters(core, dims, words, limits, constants.split())
        parameters = list(read.signature.parameters.values())
        arrays = read.inputs.keys() | {"where", "weights"}
        door = door_of(core)

        def compiled(*args: Any, **kwargs: Any) -> Any:
            bound = read.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            check_arrays(name, parameters, bound.arguments)
            return evaluate(entry, bound.arguments, read.traced)

        compiled.__name__ = compiled.__qualname__ = name  # jit(huber) in profiles and HLO
        compiled.__signature__ = read.signature  # type: ignore[attr-defined]

        @functools.cache  # on the first call: two hundred of them would double the time of `import jloss`
        def jitted() -> Callable[..., Any]:
            # Not `inline`: outside of jit, jax 0.10 then computes a gradient an operation at a time (`hinge` of 4M numbers: 45 ms for 10),
            # and compiles the loop of a recursion in each call.
            return jax.jit(compiled, static_argnames=tuple(read.static))

        @functools.wraps(core)
        def public(*args: P.args, **kwargs: P.kwargs) -> Array:
            for option in limits.keys() & kwargs.keys():
                check_option(name, option, kwargs[option], limits[option])
            for option in read.static.keys() & kwargs.keys():
                if kwargs[option] is not UNREDUCED:
                    check_static(name, option, kwargs[option], read.static[option])
            if door is not None:
                door(name, dict(zip(read.inputs, args, strict=False)) | kwargs)
            if any(type(a) in (list, tuple) for a in args) or any(type(kwargs[n]) in (list, tuple) for n in arrays & kwargs.keys()):
                args, kwargs = lists_to_arrays(name, args, kwargs, arrays, read.domains)  # type: ignore[assignment]
            if any(map(is_misread, (*args, *kwargs.values()))):
                args, kwargs = in_byte_order(name, read.signature, args, kwargs)  # type: ignore[assignment]
            if any(map(is_cut_to_32_bits, (*args, *kwargs.values()))):
                args, kwargs = keep_within_32_bits(args, kwargs, read.domains)  # type: ignore[assignment]
            try:
                if are_on():
                    return checked_call(entry, read.static, jitted(), args, kwargs)
                if is_staged(*args, *(kwargs[n] for n in arrays & kwargs.keys())):
                    with jax.named_scope(name):
                        return compiled(*args, **kwargs)
                return jitted()(*args, **kwargs)
            except Exception as error:
                raise_plainly(entry, read.signature, args, kwargs, error)
                raise

        public.__signature__ = as_written(read.signature)  # type: ignore[attr-defined]
        public.__doc__ = document(core.__doc__, read)
        entry = Entry(
            name, public, core, read.inputs, read.domains, read.options, limits, read.keywords, "loss", frozenset(constants.split())
        )
        public.__jloss__ = entry  # type: ignore[attr-defined]
        if core.__module__.startswith("jloss.") and name.isidentifier() and not name.startswith("_"):  # not `tilted(huber)`
            CATALOGUE[name] = entry
        return public

    return wrap


def is_staged(*inputs: Any) -> bool:
    """Whether a call is traced into the program of a caller, so that a program of its own would only be traced twice.

    A quarter to a third of the time to trace value and gradient of `hinge`: 9.7 ms for 13.3. What is mapped or differentiated outside
    of `jax.jit` is not: there each operation would be compiled alone.
    """
    staged = False
    for x in inputs:
        if x is not None and not isinstance(x, Array):
            return False
        while isinstance(x, jax.core.Tracer) and not staged:
            staged, x = isinstance(x, DynamicJaxprTracer), getattr(x, "primal", getattr(x, "val", None))
    return staged


def at_the_door(check: Callable[[str, dict[str, Any]], None]) -> Callable[[Loss[P]], Loss[P]]:
    """Has ``check(name, what a call gives, by name)`` look at each call before it is traced; stands below `@loss`."""

    def wrap(core: Loss[P]) -> Loss[P]:
        core.__jloss_door__ = check  # type: ignore[attr-defined]
        return core

    return wrap


def door_of(core: Loss[P]) -> Callable[[str, dict[str, Any]], None] | None:
    """What looks at each call of this core."""
    return getattr(core, "__jloss_door__", None)


def evaluate(entry: Entry, given: dict[str, Any], traced: frozenset[str]) -> Any:
    """The value of one call: all examples at once."""
    batch, reduction = batch_of(entry, given), given["reduction"]
    if (row := layout.in_one_row(entry, given)) is not given:  # only then, for errors say the shapes that were given
        given, batch = row, batch_of(entry, row)
    where, count = count_kept(batch.where, batch.weights, reduction)
    if (cut := backend.cut_of(entry, batch, reduction)) is not None:
        return evaluate_in_blocks(entry, given, traced, batch._replace(where=where), count, cut)
    batch = layout.arrange(entry, mask_inputs(entry, given, batch._replace(where=where)), given)
    options = cast_options(entry, given, traced, arithmetic_dtype(batch.arrays))
    core = backend.recomputed_if_large(entry.core, entry.elementwise, batch.arrays)
    few = 0 < backend.size_of(batch.arrays) < backend.REORDER_FROM and is_known(*batch.shape)
    with backend.few_numbers(few), backend.as_primitives(entry):
        program = backend.program_of(entry, functools.partial(core, **options), batch.arrays, reduction, where)
        if program is not None:
            (values,) = backend.run(program, *jax.tree.leaves([*batch.arrays.values()]))
        else:
            values = map_examples(core, batch.arrays, batch.axes, options, len(batch.shape), entry.elementwise)
    if values.shape != batch.shape:
        raise ValueError(f"{entry.name}: one example must give one number; the core gave {values.shape} for batch axes {batch.shape}.")
    values = real_numbers(entry.name, values)
    if reduction is UNREDUCED:
        return values, where, batch.weights
    how = backend.how_to_sum(entry, program, batch.arrays, values, where, reduction)
    return reduce_values(how.values, where, count, batch.weights, reduction, given["axis_name"], how.sorts, how.lanes)


def zero_of_no_items(core: Loss[P], dims: Dims) -> Loss[P]:
    """A core that gives 0 for a set of no items: their number is a shape, and nothing is compared."""
    if "n" not in dims:
        return core
    at = dims.index("n")

    @functools.wraps(core)
    def of_some(*args: P.args, **kwargs: P.kwargs) -> Array:
        first: Any = args[0] if args else kwargs[next(iter(inspect.signature(core).parameters))]
        return jnp.zeros((), first.dtype) if first.shape[at] == 0 else core(*args, **kwargs)

    return of_some


class Batch(NamedTuple):
    """The inputs of a call: arrays of their domain's dtype, where their axes lie, and which examples count."""

    arrays: dict[str, Any]
    axes: dict[str, Axes]
    shape: tuple[int, ...]
    where: Array | None
    weights: Array | None
    isolated: bool = False  # no example shares anything that has a gradient with another


def batch_of(entry: Entry, given: dict[str, Any]) -> Batch:
    """Checks the bound arguments of a call and finds their batch and core axes.

    An example of weight 0 is masked if it holds NaN or infinity. Any other counts with its weight of 0: the loss has a gradient there.
    """
    name, count, axis = entry.name, given.get("spatial_ndim", 2), given.get("axis")
    if count < 1:
        raise ValueError(f"{name}: `spatial_ndim` must be 1 or more, got {count}.")
    arrays, dtype = typed_inputs(name, entry.domains, given)
    arrays = {n: a if a is None or DOMAINS[entry.domains[n]].kind == "any" else widen(a, dtype) for n, a in arrays.items()}
    written = {n: spatial(dims, count) for n, dims in entry.inputs.items()}
    batched = {n: a for n, a in arrays.items() if entry.domains[n] != "tree"}  # a tree may be a bare array; it has no batch axes
    shape, axes = batch_shape(name, written, batched, axis, axis_roles(entry) if axis is not None else {})
    check_some(name, written, batched, axes, {"k": "classes", **backend.hints_of(entry.core).needs})
    if shape and "*s" in entry.inputs[next(iter(entry.inputs))]:
        check_batch_is_left(name, entry.inputs, batched, axes)
    where, weights = given.get("where"), given.get("weights")
    if where is not None:
        where = per_example(name, "where", where, shape, "boolean")
    if weights is not None:
        weights = per_example(name, "weights", weights, shape, "number").astype(dtype)
        for n, at in axes.items():
            if DOMAINS[entry.domains[n]].kind in ("float", "number") and None not in at.batch:
                usable = (weights != 0) | is_sound(arrays[n], at, entry.domains[n], entry.inputs[n])
                where = usable if where is None else where & usable
    return Batch(arrays, axes, shape, where, weights)


def mask_inputs(entry: Entry, given: dict[str, Any], batch: Batch) -> Batch:
    """The inputs with harmless numbers in masked examples. Masking the result is not enough: 0 * NaN is NaN in the gradient."""
    if batch.where is None:
        return batch
    shared = [n for n, a in batch.arrays.items() if a is not None and (n not in batch.axes or None in batch.axes[n].batch)]
    learned = [n for n in entry.options if isinstance(given[n], jax.Array)]
    isolated = not learned and not any(jnp.issubdtype(getattr(batch.arrays[n], "dtype", float), jnp.floating) for n in shared)
    later = layout.column_inputs(entry, batch.axes) if isolated else []
    filled = {
        n: fill_masked(batch.arrays[n], batch.where, at, entry.domains[n], isolated) for n, at in batch.axes.items() if n not in later
    }
    return batch._replace(arrays=batch.arrays | filled, isolated=isolated)


def cast_options(entry: Entry, given: dict[str, Any], traced: frozenset[str], dtype: Any) -> dict[str, Any]:
    """The options of a call, the traced ones as arrays: Python numbers of that dtype, and known while the core is traced.

    Integers and booleans are converted as those among the inputs are: a core calculates with numbers.
    """

    def cast(name: str, value: Any) -> Any:
        if name == "step" and jnp.issubdtype(jnp.result_type(value), jnp.integer):
            return jnp.asarray(value)  # of a schedule, which may look it up in a table
        if type(value) in (int, float):
            return np.asarray(value, dtype)
        array = jnp.asarray(value)
        whole = jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == jnp.bool_
        return widen(array.astype(dtype) if array.aval.weak_type or whole else array, dtype)

    return {n: cast(n, given[n]) if n in traced and given[n] is not None else given[n] for n in entry.options}


def evaluate_in_blocks(entry: Entry, given: dict[str, Any], traced: frozenset[str], batch: Batch, count: Any, cut: Any) -> Any:
    """The value of one call, a block of examples at a time, from what the call gave: nothing as large as an input lies between."""
    given = given | {n: jnp.asarray(given[n]) for n in entry.options if isinstance(given[n], np.ndarray)}
    places = {n: axes.batch[cut.level] for n, axes in batch.axes.items()} | {"where": cut.level, "weights": cut.level}
    for n in entry.options:  # of an elementwise loss they broadcast, and may have one number for each example, or class
        at = cut.level - len(batch.shape) + np.ndim(given[n]) if entry.elementwise and isinstance(given[n], Array) else -1
        places[n] = at if at >= 0 and given[n].shape[at] == cut.size else None
    names = [n for n in (*entry.inputs, *entry.options, "where", "weights") if isinstance(given.get(n), Array)]

    def total_of_block(scale: Any, *arrays: Array) -> Array:
        inside = given | dict(zip(names, arrays, strict=True))
        block = batch_of(entry, inside)
        block = layout.arrange(entry, mask_inputs(entry, inside, block), inside)
        options = cast_options(entry, inside, traced, arithmetic_dtype(block.arrays))
        values = map_examples(entry.core, block.arrays, block.axes, options, len(block.shape), entry.elementwise)
        return jnp.sum(keep_values(real_numbers(entry.name, values), block.where, block.weights)[0]) * scale

    def total(scale: Any) -> Array:
        operands, at = [given[n] for n in names], [*map(places.get, names)]
        # What all share is widened, so that its gradients add up in float32.
        operands = [x.astype(jnp.float32) if i is None and x.dtype == jnp.bfloat16 else x for x, i in zip(operands, at, strict=True)]
        if not isinstance(scale, Array):  # a constant, of which XLA makes no array of weights that the blocks read
            return backend.sum_of_blocks(functools.partial(total_of_block, scale), operands, at, cut)
        return backend.sum_of_blocks(total_of_block, [scale, *operands], [None, *at], cut)

    reduction, size, axis_name = given["reduction"], math.prod(batch.shape), given["axis_name"]
    dtype = arithmetic_dtype(batch.arrays)
    if reduction == "mean" and batch.weights is None:  # each gradient is divided by the mass as it is written
        is_known_share = cut.small and count is None and axis_name is None
        mean = total(np.asarray(1 / size, dtype) if is_known_share else share_of_example(size, count, dtype, axis_name))
        return mean if axis_name is None else jax.lax.psum(mean, axis_name)
    weights = batch.weights if batch.weights is None or batch.where is None else jnp.where(batch.where, batch.weights, 0.0)
    return reduce_total(total(jnp.ones((), dtype)), size, batch.where, count, weights, reduction, axis_name)


def map_examples(core: Any, arrays: Any, axes: Any, options: Any, levels: int, elementwise: bool) -> Array:
    """The core under one `jax.vmap` per batch axis, where that axis lies. Flattening them would gather a sharded batch."""
    if elementwise:
        return jnp.asarray(core(*arrays.values(), **options))
    unbatched = {n: a for n, a in arrays.items() if n not in axes}
    names = [n for n in arrays if n in axes]

    def one(*cores: Array) -> Array:
        ordered = {n: c.transpose([sorted(axes[n].core).index(at) for at in axes[n].core]) for n, c in zip(names, cores, strict=True)}
        return jnp.asarray(core(**ordered, **unbatched, **options))

    for level in reversed(range(levels)):
        outer = [[at for at in axes[n].batch[:level] if at is not None] for n in names]  # mapped before, so no longer there
        now = [axes[n].batch[level] for n in names]
        one = jax.vmap(
            one, in_axes=[None if at is None else at - sum(o < at for o in mapped) for at, mapped in zip(now, outer, strict=True)]
        )
    return one(*(arrays[n] for n in names))


def real_numbers(name: str, values: Array) -> Array:
    """What a core gave, in float32 or wider: it may count errors in integers or booleans, or compute in half precision."""
    if jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise TypeError(f"{name}: one example must give one real number; the core gave {values.dtype}.")
    return values if values.dtype in (jnp.float32, jnp.float64) else values.astype(jnp.float32)


def widen(array: Array, dtype: Any) -> Array:
    """Floating numbers in the dtype of the arithmetic; labels and masks as they are."""
    return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array
