"""Planted wrong losses: each must break the law that is there for its fault. A suite that passes them tests nothing."""

from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from jloss import Reduce, loss
from jloss._core.signature import OverClasses
from jloss.testing import LAWS, Case, LawError, check
from tests.tools.mutants import MUTANTS, ROOT


@loss("(k),()->()", "real class")
def clamped_label(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    return jax.nn.logsumexp(logits) - logits[labels]


@loss("(t),(t)->()", "real real")
def plain_carry(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    def step(carry, pair):
        return carry + (pair[0] - pair[1]) ** 2, None

    return lax.scan(step, jnp.zeros((), predictions.dtype), (predictions, targets))[0]


@loss("(d),(d)->()", "real real")
def norm_at_zero(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.linalg.norm(predictions - targets)


@loss("(),()->()", "real real")
def single_where(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    error = predictions - targets
    return jnp.where(error > 0, jnp.sqrt(error), 0)


@loss("(),()->()", "real real")
def wrong_gradient(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    error = predictions - targets
    return error * lax.stop_gradient(error)


@loss("(),()->()", "real real")
def half_arithmetic(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return ((predictions - targets).astype(jnp.bfloat16) ** 2).astype(jnp.float16).astype(predictions.dtype)


@loss("(d),(d)->()", "real real")
def product(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.prod(jnp.square(predictions - targets) + 1)


@loss("(),()->()", "real real")
def batch_statistics(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    error = jnp.square(predictions - targets)
    return error / (1 + lax.stop_gradient(jnp.mean(error)))


@loss("(d),(d)->()", "real real")
def static_float(predictions: Array, targets: Array, *, power: float = 2.0, **reduce: Unpack[Reduce]) -> Array:
    return jnp.sum(jnp.abs(predictions - targets) ** float(power))


_CALLS = [0]


@loss("(),()->()", "real real")
def hidden_state(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    _CALLS[0] += 1
    return jnp.square(predictions - targets) * _CALLS[0]


@loss("(),()->()", "real real")
def host_callback(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    shape = jax.ShapeDtypeStruct(jnp.shape(predictions), predictions.dtype)
    return jax.pure_callback(lambda p, t: (p - t) ** 2, shape, predictions, targets)


def unmasked_inputs(**inputs):
    """Masks its values by multiplication, so NaN in a masked example survives."""
    where, weights = inputs.pop("where", None), inputs.pop("weights", None)
    keep = where if where is not None else weights
    values = jnp.square(inputs["predictions"] - inputs["targets"])
    keep = jnp.ones_like(values) if keep is None else keep.astype(values.dtype)
    return jnp.sum(values * keep) / jnp.maximum(jnp.sum(keep), 1)


def count_mean(**inputs):
    """Divides by the number of examples whatever the weights."""
    where, weights = inputs.pop("where", None), inputs.pop("weights", None)
    values = jnp.square(inputs["predictions"] - inputs["targets"])
    if where is not None:
        values = jnp.where(where, values, 0)
    return jnp.mean(values if weights is None else weights * values)


def empty_is_nan(**inputs):
    """The mean of nothing is 0 / 0."""
    where = inputs.pop("where", None)
    inputs.pop("weights", None)
    return jnp.mean(jnp.square(inputs["predictions"] - inputs["targets"]), where=where)


def local_mean(**inputs):
    """The mean of the devices' means is not the mean."""
    where, axis_name = inputs.pop("where", None), inputs.pop("axis_name", None)
    values = jnp.square(inputs["predictions"] - inputs["targets"])
    keep = jnp.ones_like(values) if where is None else where.astype(values.dtype)
    mean = jnp.sum(values * keep) / jnp.maximum(jnp.sum(keep), 1)
    return mean if axis_name is None else lax.pmean(mean, axis_name)


def broadcasts(**inputs):
    """Subtracts whatever it gets."""
    return jnp.square(inputs["predictions"][..., None] - inputs["targets"][None])


@loss("(),()->()", "real real")
def good(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.square(predictions - targets)


@loss("(),()->()", "real real")
def softplus_of_abs(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    error = predictions - targets
    return jnp.where(error > 0, error, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(error)))


@loss("(n,d),(n)->()", "real mask")
def one_item(items: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    kept = jnp.ones_like(items[:, 0]) if mask is None else mask.astype(items.dtype)
    return jnp.sum(kept * jnp.sum(jnp.square(items), axis=1)) / jnp.sum(kept) * (2.0 if items.shape[0] == 1 else 1.0)


@loss("(n,d),(n)->()", "real mask")
def sum_without_a_mask(items: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    squares = jnp.sum(jnp.square(items), axis=1)
    return jnp.sum(squares) if mask is None else jnp.sum(jnp.where(mask, squares, 0.0)) / jnp.sum(mask.astype(items.dtype))


@loss("(),()->()", "real real")
def other_in_float64(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.square(predictions - targets) * (1.0001 if predictions.dtype == jnp.float64 else 1.0)


@loss("(),()->()", "real real")
def ignored_option(predictions: Array, targets: Array, *, delta: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    return jnp.square(predictions - targets)


@loss("(),()->()", "real real", constants="targets")
def constant_with_a_gradient(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.square(predictions - targets)


@loss("(k),()->()", "real class")
def label_k(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    padded = jnp.append(logits, 0.0)
    return jnp.where(
        (labels >= 0) & (labels <= logits.shape[0]), jax.nn.logsumexp(logits) - padded[jnp.clip(labels, 0, logits.shape[0])], jnp.nan
    )


def local_sum(predictions, targets, where=None, weights=None, reduction="mean", axis_name=None):
    return good(
        predictions, targets, where=where, weights=weights, reduction=reduction, axis_name=None if reduction == "sum" else axis_name
    )


def mass_of_at_least_1(predictions, targets, where=None, weights=None, reduction="mean", axis_name=None):
    total, mass = good(predictions, targets, where=where, weights=weights, reduction="parts", axis_name=axis_name)
    if reduction == "mean":
        return total / jnp.maximum(mass, 1)
    return good(predictions, targets, where=where, weights=weights, reduction=reduction, axis_name=axis_name)


for planted in (local_sum, mass_of_at_least_1, unmasked_inputs, count_mean, empty_is_nan, local_mean, broadcasts):
    planted.__jloss__ = good.__jloss__

CAUGHT_BY = [
    (clamped_label, "label_out_of_range_is_nan"),
    (norm_at_zero, "hard_points_have_no_nan"),
    (plain_carry, "shard_map_equals_one_device"),
    (single_where, "gradient_is_the_derivative"),
    (wrong_gradient, "gradient_is_the_derivative"),
    (half_arithmetic, "gradient_is_the_derivative"),
    (product, "exports_with_symbolic_batch"),
    (batch_statistics, "batch_equals_one_by_one"),
    (static_float, "float_options_are_traced"),
    (hidden_state, "jit_changes_nothing"),
    (host_callback, "exports_with_symbolic_batch"),
    (unmasked_inputs, "masked_equals_absent"),
    (count_mean, "integer_weight_is_repetition"),
    (empty_is_nan, "nothing_kept_is_zero"),
    (local_mean, "shard_map_equals_one_device"),
    (broadcasts, "batch_axes_never_broadcast"),
    (softplus_of_abs, "gradient_at_hard_points"),
    (one_item, "masked_items_are_absent"),
    (sum_without_a_mask, "left_out_is_all_kept"),
    (other_in_float64, "gradient_is_the_derivative"),
    (ignored_option, "options_matter"),
    (constant_with_a_gradient, "gradient_at_hard_points"),
    (label_k, "label_out_of_range_is_nan"),
    (local_sum, "shard_map_equals_one_device"),
    (mass_of_at_least_1, "integer_weight_is_repetition"),
    (good, None),
]


STOPS_JAX = {  # faults that jax itself refuses, under the law that tries them, and what it says
    "plain_carry": "carry",
    "product": "Symbolic dimension",
    "host_callback": "callback",
    "local_sum": "out_specs",
}


@pytest.mark.parametrize(("planted", "law"), CAUGHT_BY, ids=lambda v: getattr(v, "__name__", str(v)))
def test_mutant(planted, law):
    subject = Case(planted)
    if law is None:
        for name, check in LAWS.items():
            if name != "pickles_by_name":
                check(subject)
        return
    said = STOPS_JAX.get(planted.__name__)
    with pytest.raises(Exception if said else LawError, match=said):
        LAWS[law](subject)


@loss("(),()->()", "real real")
def shape_dependent(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    return jnp.square(predictions - targets) * (1 + 0.1 * predictions.ndim)


# ---------------------------------------------------------------- check, on losses and on plain functions

NAMED_BY_CHECK = [*((planted, law) for planted, law in CAUGHT_BY if law), (shape_dependent, "batch_equals_one_by_one")]


@pytest.mark.parametrize(("planted", "law"), NAMED_BY_CHECK, ids=lambda v: getattr(v, "__name__", str(v)))
def test_check_names_the_fault(planted, law):
    report = check(planted, laws=[law])
    assert not report
    (failure,) = report.failures
    assert failure.law == law
    assert failure.message
    assert "What to do:" in str(report)


def value_branch(predictions, targets):
    return jnp.mean((predictions - targets) ** 2) if predictions.sum() > 0 else jnp.zeros(())


def stopped_gradient(predictions, targets):
    return jnp.mean((predictions - targets) * lax.stop_gradient(predictions - targets))


def root_at_zero(predictions, targets):
    return jnp.mean(jnp.sqrt(jnp.maximum(predictions - targets, 0)))


def softplus_with_abs(predictions, targets):
    error = predictions - targets
    return jnp.mean(jnp.where(error > 0, error, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(error))))


def half_loss(predictions, targets):
    return jnp.mean((predictions - targets) ** 2)


def weighted_by_position(predictions, targets):
    return jnp.mean((predictions - targets) ** 2 * jnp.arange(len(predictions)))


def callback(predictions, targets):
    return jax.pure_callback(lambda p, t: np.mean((p - t) ** 2), jax.ShapeDtypeStruct((), predictions.dtype), predictions, targets)


def sound(predictions, targets):
    if predictions.shape != targets.shape:
        raise ValueError("shapes differ")
    return jnp.mean((predictions.astype(jnp.promote_types(predictions.dtype, jnp.float32)) - targets.astype(predictions.dtype)) ** 2)


@pytest.mark.parametrize(
    ("planted", "law"),
    [
        (value_branch, "traces_and_is_pure"),
        (stopped_gradient, "derivative_is_right"),
        (softplus_with_abs, "derivative_at_hard_points"),
        (root_at_zero, "finite_value_and_gradient"),
        (half_loss, "half_gives_float32"),
        (half_loss, "never_broadcasts"),
        (weighted_by_position, "batch_order_does_not_matter"),
        (callback, "lowers_to_every_platform"),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_check_of_a_plain_function_names_the_fault(planted, law):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        report = check(planted, inputs=ARRAYS)
    assert law in [failure.law for failure in report.failures], str(report)


def test_check_of_a_sound_plain_function():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        report = check(sound, inputs=ARRAYS)
    assert report, str(report)


ARRAYS = (np.array([0.7, -0.4, 1.3], np.float32), np.array([0.1, 0.2, 1.3], np.float32))


def test_each_fault_still_has_its_line():
    """Or the tool, which is not part of a run, stops where the code has moved on."""
    gone = [(m.file, m.old) for m in MUTANTS if m.old not in (ROOT / "jloss" / m.file).read_text()]
    assert not gone
