"""The laws of a loss, as functions that anyone can call on a loss of their own.

`samples` draws inputs that fit a loss's signature, `LAWS` are what every loss must obey, `check` runs them all::

    report = jloss.testing.check(my_loss)
    assert report, report

A law is a function of a `Case` that raises `LawError` with what is wrong and with which inputs.
"""

import functools
import inspect
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jloss._loss import Entry, entry
from jloss._shapes import DOMAINS, spatial, split_offset

SIZES = {"k": 5, "n": 6, "m": 4, "d": 3, "t": 6, "u": 2, "e": 4, "h": 8, "w": 8, "c": 3, "s0": 4, "s1": 5, "s2": 3}
Inputs = dict[str, Any]


class LawError(AssertionError):
    """A law is broken."""

    def __init__(self, message: str, inputs: Inputs | None = None):
        super().__init__(message)
        self.inputs = inputs or {}


# ---------------------------------------------------------------- samples


def samples(loss: Callable[..., Any], *, batch: tuple[int, ...] = (4,), seed: int = 0, dtype: Any = np.float32, optional: bool = True) -> Inputs:
    """Inputs that fit the loss's signature and domains, as NumPy arrays.

    Args:
        loss: A loss of jloss or your own, written with `jloss.loss`.
        batch: The batch axes.
        seed: Of the random numbers.
        dtype: Of the floating inputs.
        optional: Whether to draw the inputs that may be None (masks, lengths), too.
    """
    found = entry(loss)
    rng = np.random.default_rng(seed)
    lengths = iter([letter for letter in ("t", "u", "n") if any(letter in map(_letter, dims) for dims in found.inputs.values())])
    drawn = {}
    for name, dims in found.inputs.items():
        domain = found.domains[name]
        steps = SIZES[next(lengths, "t")] if domain == "length" else 0
        if optional or name not in _optional(found):
            value = draw(domain, tuple(sizes(dims)), batch, rng, classes=_classes(found), steps=steps)
            drawn[name] = value.astype(dtype) if getattr(value, "dtype", None) == np.float64 else value
    return drawn


def sizes(dims: tuple[str, ...]) -> Iterator[int]:
    """The size of each core axis in the samples."""
    for dim in spatial(dims, 2):
        letter, offset = split_offset(dim)
        yield int(dim) if dim.isdigit() else SIZES.get(letter, 4) + offset


def draw(domain: str, shape: tuple[int, ...], batch: tuple[int, ...], rng: np.random.Generator, classes: int = 5, steps: int = 6) -> Any:
    """Random values of a domain, away from its singular points."""
    full = batch + shape
    normal = rng.normal(size=full)
    if domain in ("prob", "log_prob"):
        logs = normal - np.log(np.sum(np.exp(normal), axis=-1, keepdims=True))
        return logs if domain == "log_prob" else np.exp(logs)
    if domain in ("box", "rotated_box"):
        corner, size = rng.uniform(0.0, 1.0, (*full[:-1], 2)), rng.uniform(0.4, 1.5, (*full[:-1], 2))
        if domain == "box":
            return np.concatenate([corner, corner + size], axis=-1)
        return np.concatenate([corner, size, rng.uniform(-1.5, 1.5, (*full[:-1], 1))], axis=-1)
    if domain == "mask":
        mask = rng.uniform(size=full) < 0.75
        if shape:
            mask[..., :2] = True
        return mask
    if domain == "key":
        return jax.random.key(int(rng.integers(1 << 30)))
    if domain == "tree":
        return {"kernel": rng.normal(size=(3, 2)), "bias": rng.normal(size=2)}
    return {
        "real": lambda: normal,
        "unit": lambda: rng.uniform(0.05, 0.95, full),
        "positive": lambda: np.exp(0.5 * normal),
        "nonnegative": lambda: np.exp(0.5 * normal),
        "above_minus_one": lambda: rng.uniform(-0.5, 2.0, full),
        "sign": lambda: np.where(rng.uniform(size=full) < 0.5, -1.0, 1.0),
        "class": lambda: rng.integers(0, classes, full).astype(np.int32),
        "length": lambda: rng.integers(max(1, steps - 2), steps + 1, full).astype(np.int32),
    }[domain]()


def _letter(dim: str) -> str:
    return dim if dim == "*s" else split_offset(dim)[0]


def _classes(found: Entry) -> int:
    return SIZES["k"] if any("k" in map(_letter, dims) for dims in found.inputs.values()) else 3


def _optional(found: Entry) -> set[str]:
    return {n for n, p in inspect.signature(found.public).parameters.items() if p.default is None and n in found.inputs}


# ---------------------------------------------------------------- cases


class Case(NamedTuple):
    """A loss, option values, and where its inputs come from."""

    loss: Callable[..., Any]
    options: Mapping[str, Any] = {}
    sample: Callable[..., Inputs] | None = None  # (rng, batch) -> inputs, where the signature is not enough
    stops_gradients: bool = False  # some part is under stop_gradient, so finite differences do not apply

    @property
    def entry(self) -> Entry:
        return entry(self.loss)

    def draw(self, batch: tuple[int, ...] = (4,), seed: int = 0, dtype: Any = np.float32) -> Inputs:
        """Inputs as JAX arrays."""
        if self.sample is None:
            drawn = samples(self.loss, batch=batch, seed=seed, dtype=dtype)
        else:
            drawn = self.sample(np.random.default_rng(seed), batch)
        return {n: jax.tree.map(lambda a: _cast(a, dtype), v) for n, v in drawn.items()}

    def floats(self, inputs: Inputs) -> Inputs:
        """The inputs that have a gradient."""
        return {n: v for n, v in inputs.items() if n in self.batched and self.entry.domains[n] != "sign" and _is_float(v)}

    @property
    def batched(self) -> list[str]:
        """The inputs with batch axes."""
        return [n for n, d in self.entry.domains.items() if DOMAINS[d].kind != "any"]

    def __call__(self, inputs: Inputs, **keywords: Any) -> Any:
        return self.loss(**inputs, **self.options, **keywords)


def _is_float(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _cast(value: Any, dtype: Any) -> Any:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    array = np.asarray(value)
    return jnp.asarray(array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array)


def value_and_gradients(case: Case, inputs: Inputs, **keywords: Any) -> tuple[Any, Inputs]:
    """The reduced loss and its gradient in every floating input, jitted."""
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}
    static = {n: v for n, v in keywords.items() if isinstance(v, str)}
    arrays = {n: v for n, v in keywords.items() if n not in static}
    return _compiled(case.loss, tuple(sorted(case.options.items(), key=str)), tuple(static.items()))(floats, rest, arrays)


@functools.lru_cache(maxsize=64)
def _compiled(loss: Any, options: Any, static: Any) -> Any:
    def f(floats: Inputs, rest: Inputs, arrays: Inputs) -> Any:
        return loss(**floats, **rest, **arrays, **dict(options), **dict(static))

    return jax.jit(jax.value_and_grad(f))


def rows(inputs: Inputs, case: Case, index: Any) -> Inputs:
    """The examples of `index` along the first batch axis."""
    return {n: v[jnp.asarray(index)] if n in case.batched else v for n, v in inputs.items()}


def close(got: Any, want: Any, what: str, inputs: Inputs | None = None, ulps: float = 256) -> None:
    """Equal to within `ulps` units of rounding of the largest number involved."""
    got_leaves, want_leaves = jax.tree.leaves(got), jax.tree.leaves(want)
    for g, w in zip(got_leaves, want_leaves, strict=True):
        g, w = np.asarray(g), np.asarray(w)
        eps = max((np.finfo(x.dtype).eps for x in (g, w) if x.dtype.kind == "f"), default=0.0)
        g, w = g.astype(np.float64), w.astype(np.float64)
        finite = w[np.isfinite(w)]
        bound = ulps * eps * max(float(np.max(np.abs(finite), initial=0.0)), 1e-3)
        same = (np.abs(g - w) <= bound) | (g == w) | (np.isnan(g) & np.isnan(w))
        if g.shape != w.shape or not same.all():
            raise LawError(f"{what}\n  got       {_short(g)}\n  expected  {_short(w)}", inputs)


def _short(x: Any) -> str:
    return np.array2string(np.asarray(x), precision=6, threshold=12, edgeitems=3).replace("\n", " ")


def _require(condition: Any, message: str, inputs: Inputs | None = None) -> None:
    if not condition:
        raise LawError(message, inputs)


# ---------------------------------------------------------------- laws


def batch_equals_one_by_one(case: Case) -> None:
    """A batch gives what its examples give one at a time, in value and gradient."""
    inputs = case.draw((2, 2))
    values = case(inputs, reduction="none")
    total, gradients = value_and_gradients(case, inputs, reduction="sum")
    close(jnp.sum(values), total, "`reduction='sum'` is not the sum of `reduction='none'`", inputs)
    for i in range(2):
        for j in range(2):
            one = {n: v[i, j] if n in case.batched else v for n, v in inputs.items()}
            value, gradient = value_and_gradients(case, one, reduction="sum")
            close(values[i, j], value, "an example in a batch differs from the example alone", one)
            close({n: g[i, j] for n, g in gradients.items()}, gradient, "its gradient in a batch differs from the gradient alone", one)


def gradient_is_the_derivative(case: Case) -> None:
    """Reverse mode, forward mode and central differences agree, in float64."""
    with jax.enable_x64(True):
        inputs = case.draw((5,), dtype=np.float64)
        floats = case.floats(inputs)
        rest = {n: v for n, v in inputs.items() if n not in floats}
        rng = np.random.default_rng(1)
        direction = {n: jnp.asarray(rng.normal(size=v.shape)) for n, v in floats.items()}

        @jax.jit
        def along(floats: Inputs, direction: Inputs) -> Any:
            def f(x: Inputs) -> Any:
                return case({**x, **rest}, reduction="sum")

            value, tangent = jax.jvp(f, (floats,), (direction,))
            gradient = jax.grad(f)(floats)
            return value, tangent, sum(jnp.vdot(gradient[n], direction[n]) for n in floats)

        _, forward, backward = along(floats, direction)
        close(forward, backward, "forward-mode and reverse-mode derivatives differ", inputs, ulps=1e5)
        if case.stops_gradients:
            return
        h = 1e-6
        above, below = (along({n: v + s * h * direction[n] for n, v in floats.items()}, direction)[0] for s in (1, -1))
        numeric = (above - below) / (2 * h)
        scale = 1e-6 * (1 + abs(float(numeric)) + abs(float(above)) * 1e-3)
        _require(
            abs(float(numeric - backward)) <= scale,
            f"the gradient is not the derivative: along a direction {float(backward):.9g}, by central differences {float(numeric):.9g}",
            inputs,
        )


def masked_equals_absent(case: Case) -> None:
    """An example under `where=False` is as if it were not there, even if it holds NaN; so is one of weight 0."""
    inputs = case.draw((5,))
    where = jnp.array([True, False, True, True, False])
    kept = rows(inputs, case, [0, 2, 3])
    value, gradient = value_and_gradients(case, kept)
    poisoned = {n: v.at[jnp.array([1, 4])].set(jnp.nan) if n in case.floats(inputs) else v for n, v in inputs.items()}
    for how, keywords in (("where=False", {"where": where}), ("weight 0", {"weights": where.astype(jnp.float32)})):
        masked, gradients = value_and_gradients(case, poisoned, **keywords)
        close(masked, value, f"with NaN under {how} the loss is not that of the kept examples", poisoned)
        close({n: g[jnp.array([0, 2, 3])] for n, g in gradients.items()}, gradient, f"with NaN under {how} the kept gradients differ", poisoned)
        close(
            {n: g[jnp.array([1, 4])] for n, g in gradients.items()},
            {n: jnp.zeros_like(g[jnp.array([1, 4])]) for n, g in gradients.items()},
            f"a NaN under {how} reaches the gradient",
            poisoned,
        )


def integer_weight_is_repetition(case: Case) -> None:
    """Weights 1, 2, 3 give what one, two and three copies give."""
    inputs = case.draw((3,))
    weighted, gradient = value_and_gradients(case, inputs, weights=jnp.array([1.0, 2.0, 3.0]))
    repeated, gradients = value_and_gradients(case, rows(inputs, case, [0, 1, 1, 2, 2, 2]))
    close(weighted, repeated, "integer weights differ from repetition", inputs)
    first = {n: jnp.stack([g[0], g[1] + g[2], g[3] + g[4] + g[5]]) for n, g in gradients.items()}
    close(gradient, first, "gradients under integer weights differ from repetition", inputs)


def nothing_kept_is_zero(case: Case) -> None:
    """All masked, all weights 0, or an empty batch: 0, with gradient 0."""
    inputs = case.draw((5,))
    nothing = jnp.zeros(5, bool)
    empty = rows(inputs, case, np.zeros(0, np.int32))
    for how, given, keywords in (
        ("everything masked", inputs, {"where": nothing}),
        ("all weights 0", inputs, {"weights": nothing.astype(jnp.float32)}),
        ("an empty batch", empty, {}),
    ):
        value, gradients = value_and_gradients(case, given, **keywords)
        close(value, jnp.zeros(()), f"{how} is not 0", given)
        close(gradients, jax.tree.map(jnp.zeros_like, gradients), f"{how} has a gradient", given)


def parts_add_up(case: Case) -> None:
    """The (total, mass) pairs of micro-batches sum to those of the batch, whatever the masks."""
    inputs = case.draw((6,))
    where = jnp.array([True, True, False, True, False, False])
    weights = jnp.array([1.0, 2.0, 1.0, 0.5, 3.0, 1.0])
    parts = [case(rows(inputs, case, i), where=where[i], weights=weights[i], reduction="parts") for i in (jnp.arange(3), jnp.arange(3, 6))]
    total, mass = (sum(p[i] for p in parts) for i in (0, 1))
    close((total, mass), case(inputs, where=where, weights=weights, reduction="parts"), "parts of micro-batches do not add up", inputs)
    close(total / mass, case(inputs, where=where, weights=weights), "the total over the mass is not the mean", inputs)


def shard_map_equals_one_device(case: Case) -> None:
    """Inside shard_map with `axis_name` the mean is the global one, also under uneven masks; so is the gradient."""
    devices = jax.devices()
    count = min(len(devices), 4)
    inputs = case.draw((2 * count,))
    where = jnp.arange(2 * count) % 3 != 1
    mesh = jax.make_mesh((count,), ("i",), axis_types=(AxisType.Auto,), devices=devices[:count])
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}
    spec = {n: PartitionSpec("i") if n in case.batched else PartitionSpec() for n in inputs}

    def local(inputs: Inputs, where: Array) -> Any:
        return case(inputs, where=where, axis_name="i")

    mapped = jax.shard_map(local, mesh=mesh, in_specs=(spec, PartitionSpec("i")), out_specs=PartitionSpec())
    sharded = jax.jit(jax.value_and_grad(lambda floats, rest, where: mapped({n: {**floats, **rest}[n] for n in inputs}, where)))
    value, gradient = sharded(floats, rest, where)
    wanted, gradients = value_and_gradients(case, inputs, where=where)
    close(value, wanted, "the mean over devices is not the global mean", inputs)
    close(gradient, gradients, "the gradient over devices is not that of one device", inputs)


def sharded_batch_gathers_nothing(case: Case) -> None:
    """Under plain jit a batch-sharded gradient needs no all-gather; it also traces under explicit sharding."""
    devices = jax.devices()
    count = min(len(devices), 4)
    inputs = case.draw((2 * count,))
    where = jnp.arange(2 * count) % 3 != 1
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((count,), ("i",), axis_types=(kind,), devices=devices[:count])
        placed = _placed(case, inputs, mesh)
        floats = case.floats(placed)
        rest = {n: v for n, v in placed.items() if n not in floats}

        def f(floats: Inputs, rest: Inputs, where: Array) -> Any:
            return case({n: {**floats, **rest}[n] for n in inputs}, where=where)

        with jax.set_mesh(mesh):
            at = NamedSharding(mesh, PartitionSpec("i"))
            lowered = jax.jit(jax.value_and_grad(f)).lower(floats, rest, jax.device_put(where, at))
            if kind is AxisType.Auto:
                text = lowered.compile().as_text()
                _require("all-gather" not in text, "the gradient of a sharded batch gathers the batch (all-gather in its HLO)", inputs)


def _placed(case: Case, inputs: Inputs, mesh: Mesh) -> Inputs:
    def put(name: str, value: Any) -> Any:
        return jax.device_put(value, NamedSharding(mesh, PartitionSpec("i") if name in case.batched else PartitionSpec()))

    return {n: put(n, v) for n, v in inputs.items()}


def exports_with_symbolic_batch(case: Case) -> None:
    """Value and gradient lower for CPU, CUDA and TPU with a batch size that is not known."""
    inputs = case.draw((2,))
    (size,) = jax.export.symbolic_shape("b")

    def abstract(name: str, value: Any) -> Any:
        return jax.ShapeDtypeStruct((size, *value.shape[1:]), value.dtype) if name in case.batched else value

    floats = {n: abstract(n, v) for n, v in case.floats(inputs).items()}
    fixed = {n: v for n, v in inputs.items() if n not in case.batched}
    rest = {n: abstract(n, v) for n, v in inputs.items() if n not in floats and n not in fixed}

    def f(floats: Inputs, rest: Inputs, where: Array) -> Any:
        return case({n: {**floats, **rest, **fixed}[n] for n in inputs}, where=where)

    jax.export.export(jax.jit(jax.value_and_grad(f)), platforms=("cpu", "cuda", "tpu"))(floats, rest, jax.ShapeDtypeStruct((size,), jnp.bool_))


def half_in_float32_out(case: Case) -> None:
    """bf16 and fp16 inputs give a float32 loss, computed in float32, and gradients in the input's dtype."""
    for dtype in (jnp.bfloat16, jnp.float16):
        inputs = case.draw((3,), dtype=dtype)
        value, gradients = value_and_gradients(case, inputs)
        _require(value.dtype == jnp.float32, f"{jnp.dtype(dtype)} inputs give a {value.dtype} loss", inputs)
        wrong = {n: str(g.dtype) for n, g in gradients.items() if g.dtype != dtype}
        _require(not wrong, f"the gradients of {jnp.dtype(dtype)} inputs are {wrong}", inputs)
    wide = {n: v.astype(jnp.float32) if _is_float(v) else v for n, v in inputs.items()}
    close(value, value_and_gradients(case, wide)[0], "float16 inputs are not widened before the arithmetic", inputs)


def batch_axes_never_broadcast(case: Case) -> None:
    """A batch of (4,) against (4, 1) is an error that names the argument."""
    names = [n for n in case.batched if n in case.draw((4,))]
    for name in names[1:]:
        inputs = case.draw((4,))
        inputs[name] = jnp.expand_dims(inputs[name], 1)
        try:
            jax.eval_shape(lambda inputs: case(inputs, reduction="none"), inputs)
        except ValueError as error:
            _require("batch axes" in str(error), f"the error does not speak of batch axes: {error}", inputs)
        else:
            raise LawError(f"`{name}` with batch axes (4, 1) broadcasts against (4,)", inputs)


def float_options_are_traced(case: Case) -> None:
    """Options with a float default take a traced value, so they never recompile and can be learned."""
    inputs = case.draw((3,))
    for option, default in case.entry.options.items():
        if isinstance(default, float) and option not in case.options:
            try:
                jax.eval_shape(jax.grad(lambda o, option=option: case(inputs, **{option: o})), jax.ShapeDtypeStruct((), jnp.float32))
            except Exception as error:
                raise LawError(f"`{option}` does not take a traced value: {error}", inputs) from error


def transformations_compose(case: Case) -> None:
    """jit inside vmap, scan, and forward-over-reverse second derivatives trace."""
    inputs = case.draw((3, 2))
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}
    mapped = {n: 0 if n in case.batched else None for n in inputs}
    values = jax.eval_shape(jax.vmap(lambda inputs: case(inputs, reduction="none"), in_axes=(mapped,)), inputs)
    _require(values.shape == (3, 2), f"under vmap the values have shape {values.shape}, not (3, 2)", inputs)

    def f(floats: Inputs) -> Any:
        return case({**floats, **rest})

    def twice(floats: Inputs) -> Any:
        return jax.jvp(jax.grad(f), (floats,), (floats,))[1]

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        return carry + f(floats), None

    jax.eval_shape(twice, floats)
    jax.eval_shape(lambda: jax.lax.scan(step, jnp.zeros(()), None, length=2))


def jit_changes_nothing(case: Case) -> None:
    """The value is the same with jit disabled, and calling twice gives the same."""
    inputs = case.draw((2,))
    value = case(inputs)
    close(case(inputs), value, "two calls with the same inputs differ", inputs, ulps=0)
    with jax.disable_jit():
        close(case(inputs), value, "the value without jit differs", inputs)


def axis_is_where_the_classes_are(case: Case) -> None:
    """`axis=1` on inputs with their classes in front gives what `axis=-1` gives on the others."""
    if "axis" not in case.entry.keywords:
        return
    inputs = case.draw((2, 3))
    if inspect.signature(case.loss).parameters["axis"].default is None:  # each class is a mask of its own
        each = [n for n in inputs if case.entry.domains[n] != "mask"]
        inputs = {n: v if n in each else v[:, 0] for n, v in inputs.items()}
        first, second, moved = -1, 1, {n: -1 if n in each else None for n in inputs}
        inputs, front = {n: jnp.moveaxis(v, 1, -1) if n in each else v for n, v in inputs.items()}, inputs
    else:
        first, second, moved = -1, 1, {n: -1 if "k" in case.entry.inputs[n] else None for n in inputs}
        front = {n: v if moved[n] is None else jnp.moveaxis(v, -1, 1) for n, v in inputs.items()}
    value, gradient = _with_axis(case, inputs, first)
    other, gradients = _with_axis(case, front, second)
    close(other, value, "the loss over `axis=1` differs from `axis=-1` on moved inputs", inputs)
    back = {n: g if moved[n] is None else jnp.moveaxis(g, 1, -1) for n, g in gradients.items()}
    close(back, gradient, "the gradient over `axis=1` differs from `axis=-1` on moved inputs", inputs)


def _with_axis(case: Case, inputs: Inputs, axis: int) -> tuple[Any, Inputs]:
    return value_and_gradients(case._replace(options={**case.options, "axis": axis}), inputs)


def pickles_by_name(case: Case) -> None:
    """The loss is a plain function: it pickles, and shows its full signature."""
    again = pickle.loads(pickle.dumps(case.loss))
    _require(again is case.loss, "pickling does not give back the same function")
    shown = inspect.signature(case.loss).parameters
    missing = {"where", "weights", "reduction", "axis_name"} - shown.keys()
    _require(not missing, f"the signature lacks {sorted(missing)}")


LAWS: dict[str, Callable[[Case], None]] = {
    law.__name__: law
    for law in (
        batch_equals_one_by_one,
        gradient_is_the_derivative,
        masked_equals_absent,
        integer_weight_is_repetition,
        nothing_kept_is_zero,
        parts_add_up,
        shard_map_equals_one_device,
        sharded_batch_gathers_nothing,
        exports_with_symbolic_batch,
        half_in_float32_out,
        batch_axes_never_broadcast,
        float_options_are_traced,
        transformations_compose,
        jit_changes_nothing,
        axis_is_where_the_classes_are,
        pickles_by_name,
    )
}
