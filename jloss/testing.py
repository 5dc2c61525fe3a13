"""Checks for losses, jloss's and your own.

`check` runs the laws (`jloss.laws`) and the hard points (`jloss.samples`) on a loss and reports what is broken, with which inputs::

    report = jloss.testing.check(my_loss)
    assert report, report

`checked` and `diagnose` (`jloss.debug`) find the input that makes a loss NaN.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jloss.debug import checked as checked
from jloss.debug import diagnose as diagnose
from jloss.laws import LAWS as LAWS
from jloss.laws import Case as Case
from jloss.laws import LawError as LawError
from jloss.laws import close, moved_by_steps, one_sided_slopes
from jloss.samples import SCENES, Inputs
from jloss.samples import SIZES as SIZES
from jloss.samples import draw as draw
from jloss.samples import hard as hard
from jloss.samples import hard_samples as hard_samples
from jloss.samples import samples as samples
from jloss.samples import sizes as sizes


class Failure(NamedTuple):
    """A broken law: its name, what is wrong, and the inputs that show it."""

    law: str
    message: str
    inputs: Inputs


class Report(NamedTuple):
    """What `check` found; true when every law holds."""

    name: str
    passed: tuple[str, ...]
    failures: tuple[Failure, ...]

    def __bool__(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.passed)} laws hold, {len(self.failures)} broken."]
        for failure in self.failures:
            law = {**LAWS, **FUNCTION_LAWS}[failure.law]
            lines += ["", f"{failure.law}: {(inspect.getdoc(law) or '').partition(chr(10))[0]}", f"  {failure.message}"]
            lines += [
                f"  {n} = {np.array2string(np.asarray(v), precision=6, threshold=12)}"
                for n, v in failure.inputs.items()
                if hasattr(v, "shape")
            ]
            lines += [f"  What to do: {ADVICE[failure.law]}"] if failure.law in ADVICE else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def check(loss: Callable[..., Any] | Case, *, inputs: Sequence[Any] | None = None, laws: Sequence[str] | None = None) -> Report:
    """Runs the laws on a loss and reports which hold, which do not, and with which inputs.

    Args:
        loss: A loss of jloss or your own, written with `jloss.loss`; a `Case` with its own sampler; or, with `inputs`, any
            function of arrays that returns a number or one number per example.
        inputs: For a plain function: the arrays to call it with, batch axis first.
        laws: Names of `LAWS` (of `FUNCTION_LAWS` for a plain function); all by default.

    >>> print(check(huber, laws=["batch_equals_one_by_one"]))
    huber: 1 laws hold, 0 broken.
    """
    if inputs is not None:
        subject: Any = Plain(loss, tuple(np.asarray(x) for x in inputs))  # type: ignore[arg-type]
        name, table = getattr(loss, "__name__", str(loss)), dict[str, Any](FUNCTION_LAWS)
    else:
        subject = loss if isinstance(loss, Case) else Case(loss)
        name, table = subject.entry.name, dict[str, Any](LAWS)
    passed, failures = [], []
    for law in laws or table:
        try:
            table[law](subject)
            passed.append(law)
        except LawError as error:
            failures.append(Failure(law, str(error), error.inputs))
        except Exception as error:  # a loss that jax refuses breaks the law that tried it
            failures.append(Failure(law, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", {}))
    return Report(name, tuple(passed), tuple(failures))


# ---------------------------------------------------------------- plain functions


class Plain(NamedTuple):
    """A function that is not written with `jloss.loss`, and arrays to call it with."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]

    def floats(self, inputs: Sequence[Any]) -> list[int]:
        return [i for i, x in enumerate(inputs) if jnp.issubdtype(x.dtype, jnp.floating)]

    def named(self) -> Inputs:
        return {f"input {i}": x for i, x in enumerate(self.inputs)}

    def total(self, inputs: Sequence[Any]) -> Callable[..., Any]:
        """The sum of its values, as a function of its floating inputs."""
        at = self.floats(inputs)

        def f(floats: Sequence[Any]) -> Any:
            given = list(inputs)
            for i, x in zip(at, floats, strict=True):
                given[i] = x
            return jnp.sum(self.function(*given))

        return f


def finite_value_and_gradient(plain: Plain) -> None:
    """Ordinary inputs give a finite value and finite gradients."""
    at = plain.floats(plain.inputs)
    value, gradients = jax.value_and_grad(plain.total(plain.inputs))([jnp.asarray(plain.inputs[i]) for i in at])
    if not np.isfinite(value):
        raise LawError(f"the value is {value}", plain.named())
    for i, gradient in zip(at, gradients, strict=True):
        if not np.isfinite(gradient).all():
            raise LawError(f"the gradient in input {i} is not finite", plain.named())


def derivative_is_right(plain: Plain) -> None:
    """Reverse mode, forward mode and central differences agree, in float64."""
    with jax.enable_x64(True):
        inputs = [x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x for x in plain.inputs]
        f = jax.jit(plain.total(inputs))
        floats = [jnp.asarray(inputs[i]) for i in plain.floats(inputs)]
        rng = np.random.default_rng(0)
        direction = [rng.normal(size=x.shape) for x in floats]
        value, forward = jax.jvp(f, (floats,), (direction,))
        backward = sum(float(jnp.vdot(g, d)) for g, d in zip(jax.grad(f)(floats), direction, strict=True))
        close(forward, backward, "forward-mode and reverse-mode derivatives differ", plain.named(), ulps=1e6)
        above, below = (float(f([x + s * 1e-6 * d for x, d in zip(floats, direction, strict=True)])) for s in (1, -1))
        numeric = (above - below) / 2e-6
        if not abs(numeric - backward) <= 1e-5 * (1 + abs(numeric)) + 1e-8 * abs(float(value)):
            raise LawError(
                f"the gradient is not the derivative: {backward:.9g} along a direction, by central differences {numeric:.9g}", plain.named()
            )


def derivative_at_hard_points(plain: Plain) -> None:
    """At zeros, constants, whole numbers and matches the gradient is the slope, or lies between the slopes of both sides."""
    with jax.enable_x64(True):
        inputs = [x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x for x in plain.inputs]
        at = plain.floats(inputs)
        value_and_gradient = jax.jit(jax.value_and_grad(plain.total(inputs)))
        for scene, change in SCENES.items():
            point = [change(inputs[i], i == at[0]) for i in at]
            if scene.startswith(("match", "opposite")) and point[0].shape == point[-1].shape:
                point[-1] = -point[0] if scene == "opposite" else point[0]
            value, gradients = value_and_gradient(point)
            for j, i in enumerate(at):
                places, moved = moved_by_steps(point[j][None], 1)
                sides = np.array([value_and_gradient([*point[:j], x, *point[j + 1 :]])[0] for x in moved]).reshape(len(places), 4)
                slopes, doubt = one_sided_slopes(float(value), sides, np.ones_like(sides, bool))
                got = np.asarray(gradients[j]).ravel()[places]
                room = doubt + 2e-6 * (1 + np.abs(np.where(np.isfinite(slopes), slopes, 0)).max(axis=1) + 2e-3 * abs(np.nan_to_num(value)))
                outside = (got < slopes.min(axis=1) - room) | (got > slopes.max(axis=1) + room)
                if outside.any():
                    n = int(np.argmax(outside))
                    low, high = slopes[n].min(), slopes[n].max()
                    raise LawError(
                        f"at {scene} the gradient in input {i} is {got[n]:.6g}; by differences it is between {low:.6g} and {high:.6g}",
                        {f"input {k}": p for k, p in zip(at, point, strict=True)},
                    )


def traces_and_is_pure(plain: Plain) -> None:
    """It traces under jit (no Python branch on values, no host code), and gives the same without jit and called again."""
    first = jax.jit(plain.function)(*plain.inputs)
    for again in (plain.function(*plain.inputs), jax.jit(lambda *inputs: plain.function(*inputs))(*plain.inputs)):
        close(again, first, "the value differs without jit, or from call to call", plain.named())


def lowers_to_every_platform(plain: Plain) -> None:
    """Its value and gradient lower for CPU, CUDA and TPU."""
    shapes = [jax.ShapeDtypeStruct(plain.inputs[i].shape, plain.inputs[i].dtype) for i in plain.floats(plain.inputs)]
    jax.export.export(jax.jit(jax.value_and_grad(plain.total(plain.inputs))), platforms=("cpu", "cuda", "tpu"))(shapes)


def half_gives_float32(plain: Plain) -> None:
    """bfloat16 inputs give a float32 loss, not one of 8 bits."""
    half = [x.astype(jnp.bfloat16) if np.issubdtype(x.dtype, np.floating) else x for x in plain.inputs]
    shape = jax.eval_shape(plain.function, *half)
    if shape.dtype != jnp.float32:
        raise LawError(f"bfloat16 inputs give a {shape.dtype} loss", plain.named())


def batch_order_does_not_matter(plain: Plain) -> None:
    """Reversing the batch reverses the values, or leaves a reduced value as it is."""
    value = np.asarray(plain.function(*plain.inputs))
    turned = np.asarray(plain.function(*(x[::-1] if x.ndim else x for x in plain.inputs)))
    close(turned, value[::-1] if value.ndim else value, "the order of the examples changes their losses", plain.named())


def never_broadcasts(plain: Plain) -> None:
    """A batch of (n,) against (n, 1) is an error, not an (n, n) array."""
    if len(plain.inputs) < 2 or not plain.inputs[1].ndim:
        return
    wrong = [plain.inputs[0], np.expand_dims(plain.inputs[1], 1), *plain.inputs[2:]]
    try:
        shape = jax.eval_shape(plain.function, *wrong)
    except Exception:  # refused, as it should be
        return
    raise LawError(f"shapes {wrong[0].shape} and {wrong[1].shape} are accepted and give {shape.shape}", plain.named())


FUNCTION_LAWS: dict[str, Callable[[Plain], None]] = {
    law.__name__: law
    for law in (
        finite_value_and_gradient,
        derivative_is_right,
        derivative_at_hard_points,
        traces_and_is_pure,
        lowers_to_every_platform,
        half_gives_float32,
        batch_order_does_not_matter,
        never_broadcasts,
    )
}

ADVICE = {
    "batch_equals_one_by_one": "write the core for one example, without reductions over the batch and without branches on shapes.",
    "gradient_is_the_derivative": "look for a single `where` around a singular point, a rounding, a stop_gradient or a hand-written rule.",
    "derivative_is_right": "look for a single `where` around a singular point, a rounding, a stop_gradient or a hand-written rule.",
    "masked_equals_absent": "mask the inputs before the arithmetic, not only the values: 0 * NaN is NaN. `jloss.loss` does both.",
    "integer_weight_is_repetition": "divide by the sum of the weights, not by the count; `jloss.reduce` does.",
    "nothing_kept_is_zero": "guard the division where nothing is left; `jloss.reduce` does.",
    "parts_add_up": "return (total, mass) for `reduction='parts'`; `jloss.reduce` does.",
    "shard_map_equals_one_device": "sum total and mass over `axis_name` before dividing; make scan carries with `zeros_like(input)`.",
    "sharded_batch_gathers_nothing": "do not reshape or sort over batch axes; vmap them.",
    "exports_with_symbolic_batch": "avoid host callbacks, `jnp.prod`, and Python arithmetic on the batch size.",
    "lowers_to_every_platform": "avoid host callbacks and operations of one platform.",
    "half_in_float32_out": "widen the inputs to float32 first; cores written with `jloss.loss` get them widened.",
    "half_gives_float32": "widen the inputs to float32 first; cores written with `jloss.loss` get them widened.",
    "batch_axes_never_broadcast": "require equal batch axes; `jloss.loss` does.",
    "never_broadcasts": "require equal shapes, or write it with `jloss.loss`, which does.",
    "float_options_are_traced": "do not call `float()` on an option, or branch on it in Python.",
    "jit_changes_nothing": "remove hidden state: counters, random numbers without a key, values kept between calls.",
    "traces_and_is_pure": "use `jnp.where` instead of `if`, and remove hidden state.",
    "label_out_of_range_is_nan": "pick the label's score with `jloss._math.pick`: plain indexing clamps, `take_along_axis` wraps.",
    "hard_points_have_no_nan": "guard singular points by two `where`s, inside and outside; see `jloss._math`.",
    "left_out_is_all_kept": "start with `if mask is None:` a mask of ones, so that there is one formula, not two.",
    "masked_items_are_absent": "divide by the number of items that are kept, and look at what a set of one item gives.",
    "options_matter": "use the option, or remove it.",
    "gradient_at_hard_points": "the slopes of `where`, `abs`, `max` and `sort` add up wrongly at a tie; see `jloss._math`.",
    "derivative_at_hard_points": "the slopes of `where`, `abs`, `max` and `sort` add up wrongly at a tie; see `jloss._math`.",
    "finite_value_and_gradient": "guard singular points by two `where`s, inside and outside; see `jloss._math`.",
    "pickles_by_name": "define the loss at the top of a module.",
}
