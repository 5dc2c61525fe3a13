"""Transforms at ties, at borders, over batches of several sizes, and where formulas have a kink."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.transforms import (
    chunked,
    deep_supervision,
    hardest,
    linear_head,
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
from tests.core.test_transforms import LABELS, LOGITS, WHERE, P, T, accuracy, gradient, ridge, same

# ---------------------------------------------------------------- ties, borders, batches of several sizes


E1 = float(np.e) - 1  # poisson_nll at a match of 1: e - 1, with slope e - 1


def test_tilted_at_a_tie_is_too_low():
    """``under`` counts, whatever the loss is there."""
    for over, under, wanted in ((2.0, 1.0, E1), (1.0, 2.0, 2 * E1), (0.0, 1.0, E1)):
        value, slope = gradient(tilted(jloss.poisson_nll, over=over, under=under), jnp.ones(1), jnp.ones(1))
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
        np.testing.assert_allclose(slope, [wanted], rtol=1e-6)


def test_tolerant_at_its_border_and_of_a_loss_that_is_not_0_at_a_match():
    loss = tolerant(jloss.poisson_nll, 0.25)
    predictions, targets = jnp.array([0.75, 1.0, 1.25, 1.5, 0.5]), jnp.ones(5)
    wanted = [E1, E1, E1, np.exp(1.25) - 1.25, np.exp(0.75) - 0.75]
    np.testing.assert_allclose(loss(predictions, targets, reduction="none"), wanted, rtol=1e-6)
    slope = jax.grad(loss)(predictions, targets, reduction="sum")
    np.testing.assert_allclose(slope, [0, 0, 0, np.exp(1.25) - 1, np.exp(0.75) - 1], rtol=1e-6)
    by_margin = jax.grad(lambda m: loss(predictions, targets, margin=m, reduction="sum"))(0.25)
    np.testing.assert_allclose(by_margin, -(np.exp(1.25) - 1) + (np.exp(0.75) - 1), rtol=1e-6)


@pytest.mark.slow
def test_tolerant_of_nothing_is_the_loss_at_a_match():
    for loss in (jloss.poisson_nll, jloss.squared_error, jloss.absolute_error):
        same(gradient(tolerant(loss, 0.0), jnp.ones(2), jnp.ones(2)), gradient(loss, jnp.ones(2), jnp.ones(2)))
    assert np.isnan(tolerant(jloss.squared_error, 0.5)(jnp.array([jnp.nan]), jnp.zeros(1)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fraction", "hard"),
    [(0.25, [0, 3, 0, 0]), (0.5, [0, 3, 3, 0]), (0.375, [0, 3, 1.5, 0]), (0.75, [0, 3, 3, 2]), (0.625, [0, 3, 3, 1])],
)
def test_of_equal_losses_the_first_is_the_hardest(fraction, hard):
    errors, zeros = jnp.array([1.0, 3.0, 3.0, 2.0]), jnp.zeros(4)
    easy = np.array([1.0, 3.0, 3.0, 2.0]) - hard
    for each in ({}, {"where": jnp.ones(4, bool)}, {"weights": jnp.ones(4)}):
        np.testing.assert_array_equal(hardest(jloss.absolute_error, fraction)(errors, zeros, reduction="none", **each), hard)
        np.testing.assert_array_equal(trimmed(jloss.absolute_error, fraction)(errors, zeros, reduction="none", **each), easy)
        np.testing.assert_allclose(hardest(jloss.absolute_error, fraction)(errors, zeros, **each), sum(hard) / (4 * fraction))
        np.testing.assert_allclose(trimmed(jloss.absolute_error, fraction)(errors, zeros, **each), sum(easy) / (4 - 4 * fraction))
        slope = jax.grad(hardest(jloss.absolute_error, fraction))(errors, zeros, **each)
        np.testing.assert_allclose(slope, np.array(hard) / np.array([1, 3, 3, 2]) / (4 * fraction), rtol=1e-6)


def test_no_mass_is_summed_where_none_is_given():
    """The size is static; what counts an array of ones need not agree with it."""
    for make in (hardest, trimmed):
        text = str(jax.make_jaxpr(make(jloss.huber, 0.5))(P, T))
        assert "cumsum" not in text
        assert text.count("reduce_sum") == 2  # the total and the mass of the chosen
        assert "cumsum" in str(jax.make_jaxpr(make(jloss.huber, 0.5))(P, T, where=WHERE))


TWO, FOUR = (jnp.ones(2), jnp.zeros(2)), (jnp.full(4, 2.0), jnp.zeros(4))  # squared errors of 1 and 4


@pytest.mark.slow
def test_tasks_with_batches_of_their_own():
    """Each is reduced by its own mass: 1 from two examples and half of 1 from four are 1.5."""
    tasks = weighted_sum({"a": (1.0, jloss.absolute_error), "b": (0.5, jloss.squared_error)})
    total, parts = tasks(a=TWO, b=(jnp.ones(4), jnp.zeros(4)))
    assert (float(total), {n: float(v) for n, v in parts.items()}) == (1.5, {"a": 1.0, "b": 1.0})
    total, mass = tasks(b=TWO, a=FOUR, reduction="parts")[0]
    assert float(total / mass) == 2.5
    total, parts = uncertainty_weighted({"a": jloss.squared_error, "b": jloss.squared_error})(
        a=TWO, b=FOUR, log_variances=jnp.log(jnp.array([2.0, 4.0]))
    )
    np.testing.assert_allclose(total, 0.5 * (1 / 2 + np.log(2) + 4 / 4 + np.log(4)), rtol=1e-6)
    total, parts = tasks(a=TWO, b=(jnp.zeros((0,)), jnp.zeros((0,))))  # a task without examples costs nothing
    assert (float(total), float(parts["b"])) == (1.0, 0.0)


def test_depths_with_batches_of_their_own():
    depths = deep_supervision(jloss.squared_error, [1.0, 0.5])
    assert float(depths((TWO[0], FOUR[0]), (TWO[1], FOUR[1]))) == 3.0
    kept = (jnp.array([True, False]), jnp.array([True, False, False, False]))
    assert float(depths((jnp.array([1.0, 9.0]), jnp.array([2.0, 9.0, 9.0, 9.0])), (TWO[1], FOUR[1]), where=kept)) == 3.0
    assert float(depths((TWO[0], FOUR[0]), (TWO[1], FOUR[1]), weights=(jnp.full(2, 0.25), jnp.full(4, 3.0)))) == 3.0


OF_ERRORS = {  # of errors 3, 1, the losses 9 and 1
    "tilted": (lambda: tilted(jloss.squared_error, 2.0), 20.0),
    "tolerant": (lambda: tolerant(jloss.squared_error, 1.0), 4.0),
    "symmetric": (lambda: symmetric(jloss.squared_error), 10.0),
    "hardest": (lambda: hardest(jloss.squared_error, 0.5), 9.0),
    "trimmed": (lambda: trimmed(jloss.squared_error, 0.5), 1.0),
    "chunked": (lambda: chunked(jloss.squared_error, 1), 10.0),
    "recomputed": (lambda: chunked(jloss.squared_error, 1, "recompute"), 10.0),
    "regularized": (lambda: functools.partial(regularized(jloss.squared_error, ridge, 0.5), params=jnp.ones(2)), 12.0),
    "deep_supervision": (lambda: lambda p, t, **how: deep_supervision(jloss.squared_error, [1.0, 0.5])((p, p), t, **how), 15.0),
    "weighted_sum": (lambda: lambda p, t, **how: weighted_sum({"a": (0.5, jloss.squared_error)})(p, t, **how)[0], 5.0),
    "uncertainty_weighted": (
        lambda: lambda p, t, **how: uncertainty_weighted({"a": jloss.squared_error})(p, t, log_variances=[jnp.zeros(())], **how)[0],
        5.0,
    ),
}


@pytest.mark.parametrize("name", OF_ERRORS)
def test_a_mass_below_1_divides(name):
    """Weights of a quarter change no mean, and a sum by a quarter."""
    make, total = OF_ERRORS[name]
    loss, mass = make(), 1 if name in ("hardest", "trimmed") else 2
    errors, zeros, quarter = jnp.array([3.0, 1.0]), jnp.zeros(2), jnp.full(2, 0.25)
    np.testing.assert_allclose(loss(errors, zeros), total / mass, rtol=1e-6)
    np.testing.assert_allclose(loss(errors, zeros, weights=quarter), total / mass, rtol=1e-6)
    np.testing.assert_allclose(loss(errors, zeros, reduction="sum"), total, rtol=1e-6)
    np.testing.assert_allclose(loss(errors, zeros, weights=quarter, reduction="sum"), total / 4, rtol=1e-6)


@pytest.mark.parametrize("name", OF_ERRORS)
def test_reductions_over_devices(name):
    """Four devices of two examples each, errors 3 and 1: the sum is that of eight, the mean that of two."""
    make, total = OF_ERRORS[name]
    loss, mass = make(), 1 if name in ("hardest", "trimmed") else 2
    mesh = jax.make_mesh((4,), ("i",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    spec = jax.sharding.PartitionSpec

    def local(p, t):
        return [loss(p, t, reduction=r, axis_name="i") for r in ("sum", "mean", "parts")]

    mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=spec("i"), out_specs=spec()))
    got = mapped(jnp.tile(jnp.array([3.0, 1.0]), 4), jnp.zeros(8))
    np.testing.assert_allclose(got[0], 4 * total, rtol=1e-6)
    np.testing.assert_allclose(got[1], total / mass, rtol=1e-6)
    np.testing.assert_allclose(got[2], (4 * total, 4 * mass), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_a_head_adds_up_over_devices(backward):
    """Logits 1 and 0 for each of eight tokens, label 0: log(1 + 1/e) each; and elementwise, errors 1 and 0."""
    mesh = jax.make_mesh((4,), ("i",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    spec = jax.sharding.PartitionSpec
    kernel = jnp.array([[1.0], [0.0]])
    for loss, targets, each, masses in (
        (jloss.cross_entropy, jnp.zeros(8, jnp.int32), np.log1p(np.exp(-1)), 8),
        (jloss.squared_error, jnp.zeros((8, 2)), 1.0, 16),
    ):
        head = linear_head(loss, 1, backward)

        def local(h, t, head=head):
            return [head(h, kernel, t, reduction=r, axis_name="i") for r in ("sum", "mean", "parts")]

        mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=spec("i"), out_specs=spec()))
        got = mapped(jnp.ones((8, 1)), targets)
        np.testing.assert_allclose(got[0], 8 * each, rtol=1e-6)
        np.testing.assert_allclose(got[1], 8 * each / masses, rtol=1e-6)
        np.testing.assert_allclose(got[2], (8 * each, masses), rtol=1e-6)
        weighted = head(jnp.ones((8, 1)), kernel, targets, weights=jnp.full(8, 0.01))
        np.testing.assert_allclose(weighted, 8 * each / masses, rtol=1e-6)


# ---------------------------------------------------------------- the derivative where formulas have a kink


def first_of(values):
    return jnp.sum(values * jnp.array([1.0, 2.0, 4.0], values.dtype))


AT_KINKS = {  # a loss, and points that lie on its borders, ties and matches
    "tilted_absolute": (tilted(jloss.absolute_error, 2.0, 3.0), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "tilted_by_one": (tilted(jloss.poisson_nll), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "tilted_squared": (tilted(jloss.squared_error, 2.0, 3.0), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "tilted_hinge": (tilted(jloss.huber, 2.0), ([2.0, 0.0, 1.0], [1.0, 1.0, 1.0])),
    "tolerant_absolute": (tolerant(jloss.absolute_error, 0.5), ([1.5, 0.5, 1.0], [1.0, 1.0, 1.0])),
    "tolerant_squared": (tolerant(jloss.squared_error, 0.5), ([1.5, 0.5, 1.0], [1.0, 1.0, 1.0])),
    "tolerant_poisson": (tolerant(jloss.poisson_nll, 0.5), ([1.5, 0.5, 1.0], [1.0, 1.0, 1.0])),
    "tolerant_of_nothing": (tolerant(jloss.poisson_nll, 0.0), ([1.0, 0.5, 0.0], [1.0, 1.0, 0.0])),
    "symmetric_quantile": (symmetric(functools.partial(jloss.quantile, q=0.9)), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "symmetric_linex": (symmetric(jloss.linex), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "hardest": (hardest(jloss.squared_error, 0.5), ([1.0, -1.0, 1.0], [0.0, 0.0, 0.0])),
    "hardest_at_zero": (hardest(jloss.absolute_error, 0.5), ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0])),
    "hardest_of_a_slope": (hardest(jloss.poisson_nll, 0.4), ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])),
    "trimmed": (trimmed(jloss.squared_error, 0.5), ([1.0, -1.0, 1.0], [0.0, 0.0, 0.0])),
    "trimmed_of_a_slope": (trimmed(jloss.poisson_nll, 0.4), ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0])),
    "permutation_invariant": (permutation_invariant(jloss.squared_error), ([[1.0], [0.0], [2.0]], [[1.0], [0.0], [2.0]])),
    "permutation_invariant_tie": (permutation_invariant(jloss.squared_error), ([[0.0], [0.0], [0.5]], [[1.0], [0.0], [2.0]])),
    "permutation_invariant_slope": (permutation_invariant(jloss.poisson_nll), ([[0.0], [0.0], [1.0]], [[1.0], [0.0], [1.0]])),
    "deep_supervision": (lambda p, t, **how: deep_supervision(jloss.absolute_error, [1.0, 0.5])((p, 2 * p), t, **how), ([0.0] * 3,) * 2),
    "weighted_sum": (lambda p, t, **h: weighted_sum({"a": (1.0, jloss.log_cosh), "b": (2.0, jloss.huber)})(p, t, **h)[0], ([1.0] * 3,) * 2),
    "chunked": (chunked(jloss.quantile, 2), ([1.0, 0.0, 2.0], [1.0, 0.0, 1.0])),
    "smoothed_argmax": (smoothed_metric(lambda c, t: first_of(c)), ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
    "smoothed_threshold": (smoothed_metric(lambda c, t: first_of(c), decision="threshold"), ([0.0, 0.0, 1.0], [0.0, 0.0, 0.0])),
    "smoothed_rank": (smoothed_metric(lambda c, t: first_of(c), decision="rank"), ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
}


@pytest.mark.parametrize("name", AT_KINKS)
def test_the_gradient_at_ties_and_borders(name):
    """Where both one-sided differences agree it is that number, elsewhere between them."""
    loss, (predictions, targets) = AT_KINKS[name]
    with jax.enable_x64(True):
        p, t = (np.array(x, np.float64) for x in (predictions, targets))
        total = jax.jit(lambda p, t: loss(p, t, reduction="sum"))
        for which, slope in enumerate(jax.grad(total, argnums=(0, 1))(p, t)):
            for at in np.ndindex(slope.shape):
                ends = []
                for step in (1e-6, -1e-6):
                    moved = [p.copy(), t.copy()]
                    moved[which][at] += step
                    ends.append(float(total(*moved) - total(p, t)) / step)
                assert min(ends) - 1e-4 <= slope[at] <= max(ends) + 1e-4, (which, at, ends, float(slope[at]))


@pytest.mark.slow
def test_raw_and_typed_keys_draw_the_same_noise():
    loss = smoothed_metric(accuracy, 1.0, perturbed=True, samples=8)
    targets = jax.nn.one_hot(LABELS, 4)
    values = [loss(LOGITS, targets, key, reduction="none") for key in (jax.random.PRNGKey(3), jax.random.key(3))]
    np.testing.assert_array_equal(*values)
    assert len(np.unique(values[0])) > 1


@pytest.mark.slow
def test_a_partial_is_a_loss_with_other_defaults():
    narrow = functools.partial(jloss.huber, delta=0.25)
    same(tilted(narrow, 2.0)(P, T), tilted(jloss.huber, 2.0)(P, T, delta=0.25))
    both = weighted_sum({"a": (1.0, narrow), "b": (1.0, jloss.huber)})
    same(both(P, T)[0], jloss.huber(P, T, delta=0.25) + jloss.huber(P, T))


@pytest.mark.parametrize(
    ("make", "inputs", "optional"),
    [
        (lambda: jloss.dpo, ["chosen", "rejected"], ["reference_chosen", "reference_rejected", "margin"]),
        (lambda: jloss.ctc, ["logits", "labels"], ["logit_length", "label_length"]),
        (lambda: linear_head(jloss.cross_entropy), ["hidden", "kernel", "labels"], []),
        (
            lambda: linear_head(jloss.dpo),
            ["chosen_hidden", "rejected_hidden", "kernel", "chosen_labels", "rejected_labels"],
            ["reference_chosen", "reference_rejected", "margin"],
        ),
    ],
)
def test_parameters_come_behind_the_inputs_and_before_what_may_be_left_out(make, inputs, optional):
    """Also behind a linear head, whose bias goes by keyword; and what had a place keeps one."""
    shown = inspect.signature(regularized(make(), jloss.l2)).parameters
    assert [n for n, p in shown.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == [*inputs, "params", *optional]


@pytest.mark.slow
def test_parameters_have_a_place_behind_a_linear_head():
    hidden, kernel, labels = jnp.ones((4, 2)), jnp.eye(3, 2), jnp.array([0, 1, 2, 0])
    head = linear_head(jloss.cross_entropy)
    both = regularized(head, jloss.l2, 0.1)(hidden, kernel, labels, {"w": jnp.array([3.0])}, bias=jnp.ones(3))
    np.testing.assert_allclose(both, head(hidden, kernel, labels, bias=jnp.ones(3)) + 0.9, rtol=1e-6)
