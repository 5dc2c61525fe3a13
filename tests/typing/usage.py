"""What a type checker must see of jloss. Checked by `mypy --strict` and by pyright as a user's code is, never run."""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Unpack, assert_type

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jloss
from jloss.classification import seesaw
from jloss.numerics import safe_divide
from jloss.regression import huber as of_domain
from jloss.regression.robust import cauchy as of_family
from jloss.testing import checked
from jloss.transforms import (
    chunked,
    deep_supervision,
    hardest,
    linear_head,
    matryoshka,
    permutation_invariant,
    regularized,
    smoothed_metric,
    symmetric,
    tilted,
    tolerant,
    trimmed,
    uncertainty_weighted,
    weighted_sum,
)

predictions, targets = jnp.ones(3), jnp.zeros(3)
logits, labels = jnp.zeros((3, 5)), jnp.zeros(3, int)

# ---------------------------------------------------------------- a loss, by its three names

assert_type(jloss.huber(predictions, targets), Array)
assert_type(of_domain(predictions, targets, delta=0.5), Array)
assert_type(of_family(predictions, targets, scale=0.5), Array)
assert_type(jloss.huber(predictions, targets, delta=0.5, where=targets > 0, weights=predictions, reduction="sum", axis_name="data"), Array)
assert_type(jloss.cross_entropy(logits, labels, label_smoothing=0.1, axis=-1, reduction="none"), Array)
assert_type(jloss.ctc(jnp.zeros((2, 7, 5)), jnp.ones((2, 3), int), label_length=jnp.array([3, 2]), infeasible="zero"), Array)
assert_type(jloss.dice(jnp.ones((4, 4, 4)), jnp.ones((4, 4, 4)), spatial_ndim=3, axis=None), Array)

# ---------------------------------------------------------------- what runs is taken

learned: Array = jnp.array(0.5)
assert_type(jloss.huber(predictions, targets, delta=learned), Array)
assert_type(jloss.huber(predictions, targets, delta=np.float32(0.5)), Array)
assert_type(jloss.huber(np.ones(3), np.zeros(3), where=np.ones(3, bool), weights=np.ones(3)), Array)
assert_type(jloss.huber(0.5, 1), Array)
assert_type(jloss.huber([0.8, 0.1], [1, 1], where=[True, False]), Array)
assert_type(jloss.cross_entropy([[0.8, 0.1, 0.4]], [0]), Array)
assert_type(jloss.sigmoid_cross_entropy(logits, targets=np.zeros((3, 5)), positive_weight=jnp.ones(5)), Array)
assert_type(jloss.ctc_greedy_decode(np.zeros((2, 7, 5))).labels, Array)


class Parameter:
    """As those of Flax modules."""

    def __jax_array__(self) -> Array:
        return jnp.ones(3)


assert_type(jloss.huber(Parameter(), targets), Array)

# ---------------------------------------------------------------- "parts" are two


def total_and_mass(reduction: Literal["mean", "sum", "none", "parts"]) -> Array:
    total, mass = jloss.huber(predictions, targets, reduction="parts")
    assert_type(total, Array)
    assert_type(jloss.huber(predictions, targets, reduction=reduction), Array | tuple[Array, Array])
    assert_type(jloss.reduce(predictions), Array)
    assert_type(jloss.reduce(predictions, None, None, "none"), Array)
    assert_type(jloss.reduce([1.0, 2.0], reduction="parts"), tuple[Array, Array])
    assert_type(jloss.gradient_penalty(jnp.sum, logits, reduction="parts"), tuple[Array, Array])
    return total / mass


# ---------------------------------------------------------------- what does not run is not

jloss.huber(predictions)  # type: ignore[call-overload]
jloss.huber(predictions, "targets")  # type: ignore[call-overload]
jloss.huber(predictions, targets, dleta=0.5)  # type: ignore[call-overload]
jloss.huber(predictions, targets, delta="wide")  # type: ignore[call-overload]
jloss.huber(predictions, targets, reduction="average")  # type: ignore[call-overload]
jloss.huber(predictions, targets, axis=0)  # type: ignore[call-overload]
jloss.ctc(jnp.zeros((2, 7, 5)), jnp.ones((2, 3), int), infeasible="nan")  # type: ignore[call-overload]
jloss.reduce(predictions, reduction="avg")  # type: ignore[call-overload]
jloss.hubr(predictions, targets)  # type: ignore[attr-defined]

# ---------------------------------------------------------------- losses of losses

hard = hardest(jloss.huber, 0.5)
assert_type(hard(predictions, targets, delta=learned), Array)
assert_type(hard(predictions, targets, reduction="parts"), tuple[Array, Array])
hard(predictions, targets, dleta=0.5)  # type: ignore[call-overload]
assert_type(trimmed(jloss.huber, learned)(predictions, targets), Array)
assert_type(chunked(jloss.cross_entropy, chunk_size=2)(logits, labels, axis=-1), Array)
assert_type(symmetric(jloss.linex)(predictions, targets), Array)
assert_type(permutation_invariant(jloss.huber)(logits, logits), Array)
assert_type(matryoshka(jloss.info_nce, (1, 2))(logits, logits, temperature=learned), Array)
assert_type(checked(jloss.huber)(predictions, targets, reduction="parts"), tuple[Array, Array])
assert_type(tilted(jloss.huber, over=learned)(predictions, targets, under=2.0, delta=0.5), Array)
assert_type(tolerant(jloss.huber, 0.1)(predictions, targets, margin=0.2, reduction="parts"), tuple[Array, Array])
assert_type(linear_head(jloss.cross_entropy)(logits, logits, labels, bias=np.zeros(3), label_smoothing=0.1), Array)
assert_type(linear_head(jloss.cross_entropy)(logits, logits, labels, reduction="parts"), tuple[Array, Array])
assert_type(regularized(jloss.huber, jloss.l2, 1e-4)(predictions, targets, {"kernel": logits}), Array)
assert_type(deep_supervision(jloss.huber, (1.0, learned))((predictions, predictions), targets), Array)
assert_type(deep_supervision(partial(jloss.huber, delta=2.0), [1.0])((predictions,), targets), Array)


def accuracy(choice: Array, target: Array) -> Array:
    return jnp.sum(choice * target)


assert_type(smoothed_metric(accuracy, temperature=0.5)(logits, logits, temperature=learned), Array)
both = weighted_sum({"near": (learned, jloss.huber), "far": (lambda step: 0.5 * step, jloss.log_cosh)})
assert_type(both(predictions, targets, step=3), tuple[Array, dict[str, Array]])
assert_type(
    uncertainty_weighted({"near": jloss.huber})(predictions, targets, log_variances={"near": learned}, reduction="parts"),
    tuple[tuple[Array, Array], dict[str, tuple[Array, Array]]],
)
linear_head(jloss.cross_entropy)(logits, logits, labels, bias="none")  # type: ignore[call-overload]
tilted(jloss.huber)(predictions, targets, reduction="average")  # type: ignore[call-overload]
hardest(jloss.huber, "half")  # type: ignore[arg-type]
weighted_sum([jloss.huber])  # type: ignore[arg-type]

# ---------------------------------------------------------------- losses with memory, penalties

criterion = seesaw(p=learned)
state = criterion.init(5)
assert_type(state, Array)
value, state = criterion.apply(state, logits, np.zeros(3, int), where=None, reduction="mean")
assert_type(value, Array)
(total, mass), state = criterion.apply(state, logits, labels, reduction="parts")
assert_type(mass, Array)
assert_type(jloss.ghm().init().counts, Array)
assert_type(jloss.wiou_v3().apply(jnp.ones(()), logits, logits)[0], Array)
anyone: jloss.StatefulLoss = jloss.ghm()
criterion.init()  # type: ignore[call-arg]
criterion.apply(state, logits, labels, wher=None)  # type: ignore[call-overload]
assert_type(jloss.l2({"kernel": logits}, where=lambda path: "kernel" in path), Array)
assert_type(jloss.elastic_net(logits, l1_ratio=learned), Array)

# ---------------------------------------------------------------- a loss of one's own


@jloss.loss("(),()->()", "real real", power="positive")
def power_error(predictions: Array, targets: Array, *, power: float = 2.0, **reduce: Unpack[jloss.Reduce]) -> Array:
    """It has the types that its author gave it."""
    return jnp.abs(predictions - targets) ** power


assert_type(power_error(predictions, targets, power=3.0, reduction="mean"), Array)
assert_type(tilted(power_error)(predictions, targets), Array)
assert_type(safe_divide(predictions, targets), Array)
power_error(predictions, targets, powr=3.0)  # type: ignore[call-arg]

objective: Callable[[Array, Array], Array] = jloss.huber
objectives: dict[str, Callable[..., Array]] = {"huber": jloss.huber, "hard": hard, "own": power_error}
gradient: Any = jax.grad(jloss.huber)(predictions, targets)
assert_type(partial(jloss.huber, delta=2.0)(predictions, targets), Array)
assert_type(jloss.CATALOGUE["huber"].family, str)
assert_type(jloss.entry(jloss.huber).name, str)
