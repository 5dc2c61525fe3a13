"""Plain functions, not written with `jloss.loss`: what they must obey."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jloss.testing.cases import LawError, close
from jloss.testing.samples import SCENES, Inputs
from jloss.testing.slopes import moved_by_steps, one_sided_slopes


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
