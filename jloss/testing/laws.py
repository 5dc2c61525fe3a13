"""What every loss must obey: functions of a `Case` that raise `LawError` with what is wrong and with which inputs.

Compiling is what they cost, so they share programs: most of them run one program of eight examples, with `where` and
`weights`, whose batch lies on several devices where there are several.
"""

import inspect
import itertools
import pickle
import re
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, PartitionSpec

from jloss._core.axes import spatial, split_offset
from jloss._core.domains import DOMAINS
from jloss.testing.cases import Case, LawError, Sharded, _mesh, _require, _short, _trace, close
from jloss.testing.samples import SCENES, Inputs, hard_samples, start_and_end
from jloss.testing.slopes import _fits, _referred, moved_by_steps, one_sided_slopes

# ---------------------------------------------------------------- laws


def batch_equals_one_by_one(case: Case) -> None:
    """A batch gives what its examples give one at a time, in value and gradient."""
    inputs = case.draw((8,))
    batch = case.rows(inputs, np.arange(4).reshape(2, 2))
    values, (_, gradients) = np.asarray(case(batch, reduction="none")), case.weighted(inputs)
    for i, at in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        one = {n: v[at] if n in case.batched else v for n, v in batch.items()}
        close(values[at], case(one), "an example in a batch differs from the example alone", one)
        _, alone = case.weighted(case.rows(inputs, [i] * 8))
        got, wanted = ({n: g[row] for n, g in found.items()} for found, row in ((gradients, i), (alone, 0)))
        close(got, wanted, "its gradient in a batch differs from the gradient alone", one)


def gradient_is_the_derivative(case: Case) -> None:
    """Reverse mode, forward mode and central differences agree, in float64; so does the value in float32."""
    keyed = any(DOMAINS[d].kind == "any" for d in case.entry.domains.values())  # other keys are drawn in float64
    pairs = np.arange(4).reshape(2, 2)
    narrow = None if keyed else np.asarray(case(case.rows(case.draw((4,)), pairs), reduction="none"))
    with jax.enable_x64(True):
        inputs = case.draw((4,), dtype=np.float64)
        floats = {n: v for n, v in case.floats(inputs).items() if n not in case.entry.constants}
        rest = case.rows({n: v for n, v in inputs.items() if n not in floats}, pairs)
        rng, h = np.random.default_rng(1), 1e-6
        direction = {n: rng.normal(size=v.shape) for n, v in floats.items()}

        @jax.jit
        def along(floats: Inputs, direction: Inputs) -> Any:
            return jax.jvp(lambda x: jnp.sum(case({n: {**x, **rest}[n] for n in inputs}, reduction="none")), (floats,), (direction,))

        value, forward = map(float, along(case.rows(floats, pairs), case.rows(direction, pairs)))
        moved = {n: np.concatenate([v, v + h * direction[n], v - h * direction[n]]) for n, v in floats.items()}
        values, gradients = differentiated(case, case.rows(inputs, np.arange(12) % 4) | moved)
    backward = sum(float(np.vdot(gradients[n][:4], direction[n])) for n in floats)
    if narrow is not None:
        close(narrow.ravel(), values[:4], "in float32 the loss is another than in float64", inputs)
    close(value, values[:4].sum(), "under forward mode the value differs", inputs, ulps=1e6)
    close(forward, backward, "forward-mode and reverse-mode derivatives differ", inputs, ulps=1e6)
    _require(np.isfinite(value) and np.isfinite(backward), f"value {value} and derivative {backward} of ordinary inputs", inputs)
    if case.stops_gradients:
        return
    above, below = values[4:8].sum(), values[8:].sum()
    numeric = (above - below) / (2 * h)
    _require(
        abs(numeric - backward) <= 1e-6 * (1 + abs(numeric)) + 1e-9 * abs(above),
        f"the gradient is not the derivative: along a direction {backward:.9g}, by central differences {numeric:.9g}",
        inputs,
    )


def masked_equals_absent(case: Case) -> None:
    """An example under `where=False` is as if it were not there, even if it holds NaN; so is one of weight 0."""
    inputs = case.draw((8,))
    where = np.array([True, False, True, True, False, False, True, False])
    kept = np.flatnonzero(where)
    value, twice = case.weighted(case.rows(inputs, [*kept, *kept]))
    gradient = {n: g[:4] + g[4:] for n, g in twice.items()}
    poisoned = dict(inputs)
    for name in case.floats(inputs):
        poisoned[name] = inputs[name].copy()
        poisoned[name][~where] = np.nan
    for how, keywords in (("where=False", {"where": where}), ("weight 0", {"weights": where.astype(np.float32)})):
        masked, gradients = case.weighted(poisoned, **keywords)
        close(masked, value, f"with NaN under {how} the loss is not that of the kept examples", poisoned)
        for name, g in gradients.items():
            close(g[where], gradient[name], f"with NaN under {how} the gradients of the kept examples differ in `{name}`", poisoned)
            close(g[~where], np.zeros_like(g[~where]), f"a NaN under {how} reaches the gradient in `{name}`", poisoned)


def integer_weight_is_repetition(case: Case) -> None:
    """Weights 1 and 3 give what one and three copies give, without weights or a mask; so do weights of 1/16 and 3/16."""
    inputs = case.draw((8,))
    repeated = case.rows(inputs, [0, 1, 1, 1] * 2)
    wanted, copies = case(repeated), case.weighted(repeated)[1]
    for unit, how in ((1, "integer weights"), (1 / 16, "weights that sum to less than 1")):
        weighted, gradients = case.weighted(inputs, weights=unit * np.array([1, 3, 0, 0, 0, 0, 0, 0]))
        close(weighted, wanted, f"{how} differ from repetition", inputs)
        for name, g in copies.items():
            together = np.stack([g[0] + g[4], g[1:4].sum(0) + g[5:].sum(0)])
            close(gradients[name][:2], together, f"the gradient in `{name}` under {how} differs from repetition", inputs)


def nothing_kept_is_zero(case: Case) -> None:
    """All masked or all weights 0: 0, with gradient 0. An empty batch: 0."""
    inputs = case.draw((8,))
    for how, keywords in (("everything masked", {"where": False}), ("all weights 0", {"weights": 0})):
        value, gradients = case.weighted(inputs, **keywords)
        close(value, np.zeros(()), f"{how} is not 0", inputs)
        close(gradients, jax.tree.map(np.zeros_like, gradients), f"{how} has a gradient", inputs)
    empty = case.rows(inputs, [])
    close(case(empty), np.zeros((), np.float32), "an empty batch is not 0", empty)


def parts_add_up(case: Case) -> None:
    """The (total, mass) pairs of micro-batches sum to those of the batch, whatever the masks and weights."""
    inputs = case.draw((8,))
    weights = np.array([1.0, 2.0, 0.0, 0.5, 3.0, 1.5, 0.25, 2.0], np.float32)
    mean, _ = case.weighted(inputs, weights=weights)
    total, mass = 0.0, 0.0
    for rows, where in (([0, 1, 2, 3, 4, 5, 6, 7], [True] * 5 + [False] * 3), ([5, 6, 7, 0, 1, 2, 3, 4], [True] * 3 + [False] * 5)):
        part = case.parts(case.rows(inputs, rows), np.array(where), weights[rows])
        _require(isinstance(part, tuple) and len(part) == 2, "`reduction='parts'` is not the pair (total, mass)", inputs)
        total, mass = total + float(part[0]), mass + float(part[1])
    close(np.float32(mass), weights.sum(), "the masses of micro-batches do not add up to the sum of the weights", inputs)
    close(np.float32(total / mass), mean, "the totals over the masses of micro-batches are not the mean of the batch", inputs)


def shard_map_equals_one_device(case: Case) -> None:
    """Inside shard_map with `axis_name` mean and sum are the global ones, also under uneven masks; so is the gradient."""
    inputs = case.draw((8,))
    kept = np.array([0, 1, 3, 4])
    where = np.isin(np.arange(8), kept)
    mesh = _mesh(AxisType.Auto)
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}
    spec = {n: PartitionSpec("i") if n in case.batched else PartitionSpec() for n in inputs}

    def over_devices(floats: Inputs, rest: Inputs, where: Array, reduction: str) -> Any:
        def local(inputs: Inputs, where: Array) -> Any:
            return case(inputs, where=where, axis_name="i", reduction=reduction)

        mapped = jax.shard_map(local, mesh=mesh, in_specs=(spec, PartitionSpec("i")), out_specs=PartitionSpec())
        return mapped({n: {**floats, **rest}[n] for n in inputs}, where)

    @jax.jit
    def run(floats: Inputs, rest: Inputs, where: Array) -> Any:
        return jax.value_and_grad(over_devices)(floats, rest, where, "mean"), over_devices(floats, rest, where, "sum")

    (value, gradient), total = jax.tree.map(np.asarray, run(floats, rest, where))
    wanted, twice = case.weighted(case.rows(inputs, [*kept, *kept]))
    close(value, wanted, "the mean over devices is not the global mean", inputs)
    close(total, 4 * wanted, "the sum over devices is not the global sum", inputs)
    for name, g in gradient.items():
        close(g[kept], twice[name][:4] + twice[name][4:], f"the gradient over devices in `{name}` is not that of one device", inputs)
        close(g[~where], np.zeros_like(g[~where]), f"a masked example on another device has a gradient in `{name}`", inputs)


def sharded_batch_gathers_nothing(case: Case) -> None:
    """Under plain jit a batch-sharded gradient needs no all-gather."""
    inputs = case.draw((8,))
    gathers = "all-gather" in Sharded.of(case, inputs).text()
    _require(not gathers, "the gradient of a sharded batch gathers the batch (all-gather in its HLO)", inputs)


def traces_under_explicit_sharding(case: Case) -> None:
    """Value and gradient trace for a batch whose sharding is part of its type."""
    _trace(case, case.draw((8,)), _mesh(AxisType.Explicit))


def exports_with_symbolic_batch(case: Case) -> None:
    """Value and gradient lower for CPU, CUDA and TPU with a batch size that is not known."""
    inputs = case.draw((2,))
    (size,) = jax.export.symbolic_shape("b")
    shapes = {n: jax.ShapeDtypeStruct((size, *v.shape[1:]), v.dtype) for n, v in inputs.items() if n in case.batched}
    floats = {n: shapes[n] for n in case.floats(inputs)}
    rest = {n: v for n, v in shapes.items() if n not in floats}

    def f(floats: Inputs, rest: Inputs, where: Array) -> Any:
        return case({n: {**inputs, **floats, **rest}[n] for n in inputs}, where=where)

    jax.export.export(jax.jit(jax.value_and_grad(f)), platforms=("cpu", "cuda", "tpu"))(
        floats, rest, jax.ShapeDtypeStruct((size,), jnp.bool_)
    )


def half_in_float32_out(case: Case) -> None:
    """bf16 and fp16 inputs give a float32 loss, computed in float32, and gradients in the input's dtype."""
    inputs = case.draw((8,))
    floats = case.floats(inputs)
    half = {n: v.astype(jnp.float16) if n in floats else v for n, v in inputs.items()}
    value = jax.eval_shape(lambda given: case(given), half)
    _require(value.dtype == jnp.float32, f"float16 inputs give a {value.dtype} loss", half)
    half = {n: v.astype(jnp.bfloat16) if n in floats else v for n, v in inputs.items()}
    both = jax.value_and_grad(lambda floats: case({n: {**half, **floats}[n] for n in half}))
    program = jax.make_jaxpr(both)({n: half[n] for n in floats})
    value, *gradients = program.out_avals
    _require(value.dtype == jnp.float32, f"bfloat16 inputs give a {value.dtype} loss", half)
    wrong = [str(a.dtype) for a in gradients if a.dtype != jnp.bfloat16]
    _require(not wrong, f"the gradients of bfloat16 inputs are {wrong}", half)
    if _computes_in(jnp.bfloat16, program.jaxpr):  # perhaps without rounding
        wide = {n: v.astype(np.float32) if n in floats else v for n, v in half.items()}
        close(case(half), case(wide), "bfloat16 inputs are not widened before the arithmetic", half)


def _computes_in(dtype: Any, jaxpr: Any) -> bool:
    """Whether a program does more with numbers of this dtype than to convert them."""
    for equation in jaxpr.eqns:
        inner = [x for p in equation.params.values() for x in (p if isinstance(p, list | tuple) else (p,))]
        inner = [x for x in (getattr(x, "jaxpr", x) for x in inner) if hasattr(x, "eqns")]
        made = any(getattr(v.aval, "dtype", None) == dtype for v in equation.outvars)
        if any(_computes_in(dtype, x) for x in inner) or (made and not inner and equation.primitive.name != "convert_element_type"):
            return True
    return False


def batch_axes_never_broadcast(case: Case) -> None:
    """A batch of (4,) against (4, 1) is an error that names the argument."""
    inputs = case.draw((4,))
    for name in [n for n in inputs if n in case.batched][1:]:
        wrong = {**inputs, name: np.expand_dims(inputs[name], 1)}
        try:
            jax.eval_shape(lambda given: case({**inputs, **given}, reduction="none"), {n: wrong[n] for n in case.batched if n in wrong})
        except ValueError as error:
            _require("batch axes" in str(error), f"the error does not speak of batch axes: {error}", wrong)
        else:
            raise LawError(f"`{name}` with batch axes (4, 1) broadcasts against (4,)", wrong)


def float_options_are_traced(case: Case) -> None:
    """Options with a float default take a traced value, so they never recompile and can be learned."""
    inputs = case.draw((len(SCENES),))
    number = jax.ShapeDtypeStruct((), jnp.float32)
    options = {o: number for o, default in case.entry.options.items() if isinstance(default, float) and o not in case.options}

    def trace(*names: str) -> None:
        jax.eval_shape(jax.grad(lambda given: jnp.sum(case(inputs, reduction="none", **given))), {o: options[o] for o in names})

    if not options:
        return
    try:
        trace(*options)
    except Exception:
        for option in options:
            try:
                trace(option)
            except Exception as error:
                raise LawError(f"`{option}` does not take a traced value: {error}", inputs) from error
        raise


def transformations_compose(case: Case) -> None:
    """jit inside vmap, scan, and forward-over-reverse second derivatives trace."""
    stacked = case.draw((3, 2, 2))
    batched = {n: v for n, v in stacked.items() if n in case.batched}
    values = jax.eval_shape(jax.vmap(lambda given: case({**stacked, **given}, reduction="none")), batched)
    _require(values.shape == (3, 2, 2), f"under vmap the values have shape {values.shape}, not (3, 2, 2)", stacked)
    inputs = case.draw((8,))
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}

    def f(floats: Inputs) -> Any:
        return case({n: {**floats, **rest}[n] for n in inputs})

    def twice(floats: Inputs) -> Any:
        return jax.jvp(jax.grad(f), (floats,), (floats,))[1]

    def step(carry: Any, _: Any) -> tuple[Any, None]:
        return carry + f(floats), None

    jax.eval_shape(twice, floats)
    jax.eval_shape(lambda: jax.lax.scan(step, np.float32(0), None, length=2))


def jit_changes_nothing(case: Case) -> None:
    """Traced again it is the same program; called again, and (a short program) without jit, it gives the same value."""
    inputs = case.draw((8,))
    close(case(inputs), case(inputs), "the value changes from call to call", inputs)
    inputs = {n: v[0] if n in case.batched else v for n, v in inputs.items()}
    value = case(inputs)
    with jax.disable_jit():  # the core is traced each time
        once, again = (jax.make_jaxpr(lambda given: case(given))(inputs) for _ in range(2))
        same = re.sub("0x[0-9a-f]+", "", str(once)) == re.sub("0x[0-9a-f]+", "", str(again))
        same = same and all(np.array_equal(x, y, equal_nan=True) for x, y in zip(once.consts, again.consts, strict=True))
        _require(same, "traced again, it is another program: something is kept between calls", inputs)
        if len(once.eqns) <= 25:
            close(case(inputs), value, "the value without jit differs", inputs)


def axis_is_where_the_classes_are(case: Case) -> None:
    """With the classes on another axis, `axis` gives what the examples give with their classes last, in value and gradient."""
    if "axis" not in case.entry.keywords:
        return
    inputs = case.draw((8,))
    if inspect.signature(case.loss).parameters["axis"].default is None:  # four masks, of a class each, are one example
        axis, source, moves = -1, 1, {n for n in case.batched if case.entry.domains[n] != "mask"}
        inputs = {n: v if n in moves else np.repeat(v[::4], 4, 0) for n, v in inputs.items()}
    else:
        axis, source, moves = 1, -1, {n for n in case.batched if case.entry.inputs[n].count("k") == 1}
    value, gradients = case.weighted(inputs)
    moved = dict(inputs)
    for name in inputs.keys() & {*case.batched}:
        pairs = inputs[name].reshape((2, 4, *inputs[name].shape[1:]))
        moved[name] = np.moveaxis(pairs, source, axis) if name in moves else pairs if axis == 1 else pairs[:, 0]
    other, found = case.run(moved, axis=axis)
    close(other, value, f"the loss over `axis={axis}` differs from that of the examples one by one", moved)
    for name, g in found.items():
        back = np.moveaxis(g, axis, source) if name in moves else g
        wanted = gradients[name].reshape((2, 4, *gradients[name].shape[1:]))
        wanted = wanted if back.shape == wanted.shape else wanted.sum(1)  # a mask that the classes share
        close(back, wanted, f"the gradient in `{name}` over `axis={axis}` differs from that of the examples one by one", moved)


def left_out_is_all_kept(case: Case) -> None:
    """An optional mask, or a length, that is left out means that all is kept."""
    inputs = case.rows(case.draw((8,)), np.arange(4).reshape(2, 2))
    shown = inspect.signature(case.loss).parameters
    masks = [n for n in inputs if shown[n].default is None and case.entry.domains[n] == "mask"]
    if not masks:
        return
    rest = {n: v for n, v in inputs.items() if n not in masks}
    close(
        case(rest, reduction="none"),
        case({**inputs, **{n: np.ones_like(inputs[n]) for n in masks}}, reduction="none"),
        f"without {' and '.join(f'`{n}`' for n in masks)} the loss is another than with all of it kept",
        rest,
    )


def masked_items_are_absent(case: Case) -> None:
    """A set of which a mask keeps one item, or three, is the set of these alone."""
    found = case.entry
    masks = [n for n, d in found.domains.items() if d == "mask" and len(found.inputs[n]) == 1 and found.inputs[n][0] in ("n", "m", "t")]
    if len(masks) != 1 or case.sample is not None or "discounts" in found.inputs:  # returns look ahead, past the mask
        return
    inputs, letter = case.draw((2,)), found.inputs[masks[0]][0]
    if any(split_offset(d) != (d, 0) and split_offset(d)[0] == letter for dims in found.inputs.values() for d in dims):
        return
    for count in (1, 3):
        cut = {n: (slice(None), *(slice(0, count if d == letter else None) for d in dims)) for n, dims in found.inputs.items()}
        few = {n: v[cut[n]] if n in case.batched else v for n, v in inputs.items()}
        few[masks[0]] = np.ones_like(few[masks[0]])
        kept = np.broadcast_to(np.arange(inputs[masks[0]].shape[1]) < count, inputs[masks[0]].shape)
        values = case({**inputs, masks[0]: kept}, reduction="none")
        close(1 + case(few, reduction="none"), 1 + values, f"{count} of all items differ from a set of {count}", few)


def options_matter(case: Case) -> None:
    """Each option that is a number changes the loss of some inputs."""
    inputs = case.draw((len(SCENES),))  # as many as there are
    points, _ = start_and_end(case.entry, lambda count: case.draw((count,), seed=3))
    far = {n: -4 * v if case.entry.domains[n] == "real" else v for n, v in inputs.items()}  # beyond what a limit lets pass
    shown = inspect.signature(case.entry.core).parameters
    words = {n: get_args(shown[n].annotation) for n in case.entry.options if get_origin(shown[n].annotation) is Literal}
    words |= {n: (not v,) for n, v in case.entry.options.items() if isinstance(v, bool)}
    settings: list[dict[str, Any]] = [{}, *({n: word} for n in words if n not in case.options for word in words[n])]
    options = {n: v for n, v in case.entry.options.items() if isinstance(v, float) and n not in case.options}

    def values(given: Inputs, setting: dict[str, Any], **changed: float) -> np.ndarray:  # all as arrays: one program for all options
        return np.asarray(case(given, reduction="none", **setting, **{n: np.float32(v) for n, v in (options | changed).items()}))

    for option, default in options.items():
        limits = DOMAINS[case.entry.limits[option]] if option in case.entry.limits else DOMAINS["real"]
        changed = [v for v in (default + 0.25, 2 * default, default / 2, default - 0.25) if limits.low <= v <= limits.high and v != default]
        for setting, given in itertools.product(settings, (inputs, points, far)):
            first, *rest = (values(given, setting, **{option: v}) for v in (default, *changed))
            if any(not np.array_equal(first, other, equal_nan=True) for other in rest):
                break
        else:
            raise LawError(f"`{option}` changes nothing", inputs)


def hard_points_have_no_nan(case: Case) -> None:
    """At zeros, ties, ends of the range and degenerate inputs, neither the value nor a gradient is NaN."""
    drawn = hard_samples(case.loss, options=case.options) if case.sample is None else None
    if drawn is None:
        return
    inputs, count = drawn
    floats = case.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}

    @jax.jit
    def run(floats: Inputs, rest: Inputs) -> Any:
        def f(x: Inputs) -> Any:
            values = case({n: {**x, **rest}[n] for n in inputs}, reduction="none")
            return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

        return jax.value_and_grad(f, has_aux=True)(floats)

    (_, values), gradients = jax.tree.map(np.asarray, run(floats, rest))
    for i in range(count):
        one = case.rows(inputs, [i])
        shown = {n: np.squeeze(v, 0) if n in case.batched else v for n, v in one.items()}
        _require(not np.isnan(values[i]), f"the value is NaN at a hard point: {_say(shown)}", shown)
        for name, gradient in gradients.items():
            bad = np.isnan(gradient[i]).any() or (np.isfinite(values[i]) and not np.isfinite(gradient[i]).all())
            _require(not bad, f"the gradient in `{name}` is {_short(gradient[i])} at a hard point: {_say(shown)}", shown)


def gradient_at_hard_points(case: Case) -> None:
    """At zeros, constants, whole numbers, ties and matches the gradient is the slope, or lies between the slopes of both sides.

    In float64. Inputs that are declared constants have the gradient 0.
    """
    if case.stops_gradients and case.reference is None:
        return
    with jax.enable_x64(True):
        points, scenes, moves, batch = _moved_hard_points(case)
        floats = case.floats(points)
        values, gradients = _by_one_program(case, batch)
        values = np.where(np.isfinite(values), values, np.nan)
        if case.reference is not None:
            values = _referred(case, batch, scenes, moves)
    at = len(scenes)
    for name, (places, shifted) in moves.items():
        sides = values[at : at + len(shifted)].reshape(len(scenes), len(places), 4)
        at += len(shifted)
        fits = np.all(_fits(shifted, case.entry.domains[name]).reshape(len(scenes), len(places), 4, -1), axis=-1, keepdims=True)[..., 0]
        for i, scene in enumerate(scenes):
            gradient = gradients[name][i].ravel()[places]
            none = name in case.entry.constants
            slopes, doubt = (np.zeros((len(places), 2)), np.zeros(len(places))) if none else one_sided_slopes(values[i], sides[i], fits[i])
            low, high = np.min(slopes, axis=1), np.max(slopes, axis=1)
            scale = 1 + np.max(np.where(np.isfinite(slopes), np.abs(slopes), 0), axis=1) + 2e-3 * np.nan_to_num(abs(values[i]))
            room = 2e-6 * scale + doubt
            outside = np.asarray((gradient < low - room) | (gradient > high + room) | (np.isnan(gradient) & np.isfinite(values[i])))
            if outside.any():
                j = int(np.argmax(outside))
                index = np.unravel_index(places[j], np.shape(floats[name][i]))
                which = f"`{name}`[{', '.join(map(str, index))}]" if index else f"`{name}`"
                one = {n: np.squeeze(v[i : i + 1], 0) if n in case.batched else v for n, v in points.items()}
                between = f"{low[j]:.7g}" if high[j] - low[j] < 1e-4 * scale[j] else f"between {low[j]:.7g} and {high[j]:.7g}"
                raise LawError(f"at {scene} the gradient in {which} is {gradient[j]:.7g}; by differences it is {between}", one)


def _moved_hard_points(case: Case) -> tuple[Inputs, list[str], Inputs, Inputs]:
    """The hard points in float64, their names, the moves of each input with a gradient, and one batch of all of it."""
    points, scenes = start_and_end(case.entry, lambda count: case.draw((count,), seed=3, dtype=np.float64))
    moves = {n: moved_by_steps(v, len(scenes)) for n, v in case.floats(points).items()}
    everything = {n: [v] for n, v in points.items()}
    for moved, (_, shifted) in moves.items():
        for n, v in points.items():
            if n in case.batched:
                everything[n].append(shifted if n == moved else np.repeat(v, len(shifted) // len(scenes), axis=0))
    return points, scenes, moves, {n: np.concatenate(v) if n in case.batched else v[0] for n, v in everything.items()}


def _by_one_program(case: Case, inputs: Inputs) -> tuple[np.ndarray, Inputs]:
    """Values and gradients; one program for all settings of numbers."""
    given = {n: v for n, v in case.entry.options.items() if isinstance(v, float)} | dict(case.options)
    numbers = {n: np.float64(v) for n, v in given.items() if isinstance(v, float)}
    return case._replace(options={n: v for n, v in given.items() if n not in numbers}).run(inputs, reduction="none", **numbers)


def differentiated(case: Case, inputs: Inputs) -> tuple[np.ndarray, Inputs]:
    """Values and gradients of a few examples in float64, repeated until they are as many as the hard points: that is their program."""
    few = len(next(v for n, v in inputs.items() if n in case.batched))
    values, gradients = _by_one_program(case, case.rows(inputs, np.arange(hard_count(case)) % few))
    return values[:few], {n: g[:few] for n, g in gradients.items()}


def hard_count(case: Case) -> int:
    """How many examples the program of `gradient_at_hard_points` is for."""
    return len(next(v for n, v in _moved_hard_points(case)[-1].items() if n in case.batched))


def label_out_of_range_is_nan(case: Case) -> None:
    """A class label outside 0..k-1 gives NaN for its example, never another class, and touches no other example."""
    labels = [n for n, d in case.entry.domains.items() if d == "class"]
    others = [dim for n, dims in case.entry.inputs.items() if n not in labels for dim in dims if dim != "*s"]
    if not labels or "k" not in [split_offset(dim)[0] for dim in others]:
        return  # labels that name groups, not classes of an axis
    inputs = case.rows(case.draw((8,)), np.arange(4).reshape(2, 2))
    name = labels[0]
    good = np.asarray(case(inputs, reduction="none"))
    untouched = np.array([[True, True], [False, True]])
    for wrong in (-1, -100, 99, _class_count(case, inputs)):
        bad = {**inputs, name: inputs[name].copy()}
        bad[name][1, 0] = wrong
        values = np.asarray(case(bad, reduction="none"))
        _require(np.isnan(values[1, 0]), f"label {wrong} gives {values[1, 0]:.6g}, not NaN", bad)
        close(values[untouched], good[untouched], f"label {wrong} changes the loss of other examples", bad)


def _class_count(case: Case, inputs: Inputs) -> int:
    """How many classes a label may name: the size of the axis k."""
    for name, dims in case.entry.inputs.items():
        for at, dim in enumerate(reversed(tuple(spatial(dims, case.entry.spatial_ndim)))):
            letter, offset = split_offset(dim)
            if letter == "k":
                return int(np.shape(inputs[name])[-1 - at]) - offset
    raise AssertionError


def _say(inputs: Inputs) -> str:
    return ", ".join(f"{n}={_short(v)}" for n, v in inputs.items() if isinstance(v, np.ndarray))


def pickles_by_name(case: Case) -> None:
    """The loss is a plain function: it pickles, and shows its full signature."""
    try:
        again = pickle.loads(pickle.dumps(case.loss))
    except (pickle.PicklingError, AttributeError) as error:
        raise LawError(f"it does not pickle: {error}; define it at the top of a module") from error
    _require(again == case.loss, "pickling does not give back the same function")
    missing = {"where", "weights", "reduction", "axis_name"} - inspect.signature(case.loss).parameters.keys()
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
        traces_under_explicit_sharding,
        exports_with_symbolic_batch,
        half_in_float32_out,
        batch_axes_never_broadcast,
        float_options_are_traced,
        transformations_compose,
        jit_changes_nothing,
        axis_is_where_the_classes_are,
        label_out_of_range_is_nan,
        left_out_is_all_kept,
        masked_items_are_absent,
        options_matter,
        hard_points_have_no_nan,
        gradient_at_hard_points,
        pickles_by_name,
    )
}
