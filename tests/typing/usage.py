"""What a type checker must see of a loss: its inputs, its options, the reduction keywords. Checked by mypy, never run."""

from collections.abc import Callable
from typing import Unpack, assert_type

import jax
import jax.numpy as jnp
from jax import Array

import jloss

predictions, targets = jnp.ones(3), jnp.zeros(3)
logits, labels = jnp.zeros((3, 5)), jnp.zeros(3, int)

assert_type(jloss.huber(predictions, targets), Array)
assert_type(jloss.huber(predictions, targets, delta=0.5, where=targets > 0, weights=predictions, reduction="sum", axis_name="data"), Array)
assert_type(jloss.cross_entropy(logits, labels, label_smoothing=0.1, axis=-1, reduction="none"), Array)
assert_type(jloss.ctc(jnp.zeros((2, 7, 5)), jnp.ones((2, 3), int), label_length=jnp.array([3, 2]), infeasible="zero"), Array)
assert_type(jloss.dice(jnp.ones((4, 4, 4)), jnp.ones((4, 4, 4)), spatial_ndim=3, axis=None), Array)

jloss.huber(predictions)  # type: ignore[call-arg]
jloss.huber(predictions, targets, dleta=0.5)  # type: ignore[call-arg]
jloss.huber(predictions, targets, delta="wide")  # type: ignore[arg-type]
jloss.huber(predictions, targets, reduction="average")  # type: ignore[arg-type]
jloss.huber(predictions, targets, axis=0)  # type: ignore[call-arg]
jloss.ctc(jnp.zeros((2, 7, 5)), jnp.ones((2, 3), int), infeasible="nan")  # type: ignore[arg-type]


@jloss.loss("(),()->()", "real real", power="positive")
def power_error(predictions: Array, targets: Array, *, power: float = 2.0, **reduce: Unpack[jloss.Reduce]) -> Array:
    """A loss of one's own has the same types."""
    return jnp.abs(predictions - targets) ** power


assert_type(power_error(predictions, targets, power=3.0, reduction="mean"), Array)
power_error(predictions, targets, powr=3.0)  # type: ignore[call-arg]

objective: Callable[[Array, Array], Array] = jloss.huber
gradient: Array = jax.grad(jloss.huber)(predictions, targets)
assert_type(jloss.CATALOGUE["huber"].family, str)
