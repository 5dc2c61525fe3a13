"""Transforms: each obeys one law of its own, keeps the contract, and composes with the others two deep."""

import inspect
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from jloss.testing import check
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
from tests.compiled import AS_USERS

P = jnp.array([2.0, 0.0, 1.5, -1.0, 0.9])
T = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0])
WEIGHTS = jnp.array([1.0, 2.0, 0.5, 0.0, 3.0])
WHERE = jnp.array([True, True, False, True, True])
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
LABELS = jnp.array([0, 3, 1, 2, 0])


def ridge(params):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params))


def gradient(loss, *inputs, **keywords):
    return jax.value_and_grad(loss, argnums=0)(*inputs, **keywords)


def same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), first, second)


# ---------------------------------------------------------------- the law of each


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_tilted_absolute_error_is_quantile(q):
    same(gradient(tilted(jloss.absolute_error, 1 - q, q), P, T), gradient(jloss.quantile, P, T, q=q))
    same(gradient(tilted(jloss.squared_error, 1 - q, q), P, T), gradient(jloss.expectile, P, T, q=q))


@pytest.mark.parametrize("loss", [jloss.huber, jloss.poisson_nll, jloss.log_cosh])
def test_tilted_by_one_and_tolerant_of_nothing_are_the_loss(loss):
    same(gradient(tilted(loss), P, T), gradient(loss, P, T))
    same(gradient(tolerant(loss, 0.0), P, T), gradient(loss, P, T))


def test_tolerant_is_epsilon_insensitive():
    same(gradient(tolerant(jloss.absolute_error, 0.3), P, T), gradient(jloss.epsilon_insensitive, P, T, epsilon=0.3))
    same(gradient(tolerant(jloss.squared_error, 0.3), P, T), gradient(jloss.squared_epsilon_insensitive, P, T, epsilon=0.3))


def test_tolerant_has_no_gradient_up_to_its_border():
    inputs = jnp.array([0.0, 0.25, -0.25, 0.2500001])
    slope = jax.grad(tolerant(jloss.absolute_error, 0.25))(inputs, jnp.zeros(4), reduction="sum")
    np.testing.assert_array_equal(slope, [0, 0, 0, 1])


@pytest.mark.slow
def test_structural_risk_is_empirical_risk_plus_penalty():
    params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array(3.0)}
    risk = regularized(jloss.cross_entropy, ridge, 0.5)
    same(risk(LOGITS, LABELS, params, label_smoothing=0.1), jloss.cross_entropy(LOGITS, LABELS, label_smoothing=0.1) + 7.0)
    slope = jax.grad(risk, argnums=2)(LOGITS, LABELS, params, where=WHERE, weights=WEIGHTS)
    same(slope, params)  # 0.5 * 2 * params, whatever the masks
    same(risk(LOGITS, LABELS, params=params, axis=-1), risk(LOGITS.T, LABELS, params, axis=0))


def test_regularized_accumulates_exactly_over_micro_batches():
    risk = regularized(jloss.huber, ridge, 0.1)
    pieces = [risk(P[s], T[s], P, weights=WEIGHTS[s], reduction="parts") for s in (slice(0, 2), slice(2, 5))]
    total, mass = jax.tree.map(lambda *x: sum(x), *pieces)
    same(total / mass, risk(P, T, P, weights=WEIGHTS))


@pytest.mark.slow
def test_weighted_sum_of_one_is_the_loss():
    one = weighted_sum({"only": (1.0, jloss.huber)})
    for reduction in ("mean", "sum", "none", "parts"):
        keywords = {"where": WHERE, "weights": WEIGHTS, "reduction": reduction}
        total, parts = one(P, T, **keywords)
        same(total, jloss.huber(P, T, **keywords))
        same(parts, {"only": jloss.huber(P, T, **keywords)})


@pytest.mark.slow
def test_weighted_sum_returns_total_and_unweighted_parts():
    both = weighted_sum({"near": (2.0, jloss.huber), "far": (0.5, jloss.absolute_error)})
    for reduction in ("mean", "sum", "none"):
        total, parts = both(P, T, delta=0.5, weights=WEIGHTS, reduction=reduction)
        same(parts["near"], jloss.huber(P, T, delta=0.5, weights=WEIGHTS, reduction=reduction))
        same(total, 2.0 * parts["near"] + 0.5 * parts["far"])


@pytest.mark.parametrize("step", [3, np.int32(3), jnp.int32(3)], ids=lambda step: type(step).__name__)
def test_a_schedule_may_look_up_its_step(step):
    """An integer stays one, also where the schedule lies within another transform."""
    table = jnp.array([0.0, 1.0, 2.0, 5.0])
    looked_up = weighted_sum({"a": (lambda step: table[step], jloss.huber)})
    predictions, targets = jnp.array([1.0, 0.0]), jnp.zeros(2)  # 0.5 and 0
    assert looked_up(predictions, targets, step=step)[0] == 5 * 0.25
    assert hardest(looked_up, 0.5)(predictions, targets, step=step) == 5 * 0.5


def test_weights_may_be_schedules():
    ramp = weighted_sum({"a": (optax.linear_schedule(0.0, 1.0, 10), jloss.huber), "b": (1.0, jloss.absolute_error)})
    traces = 0

    @jax.jit
    def step(i):
        nonlocal traces
        traces += 1
        return ramp(P, T, step=i)

    for i in (0, 5, 10):
        total, parts = step(jnp.array(i))
        same(total, i / 10 * parts["a"] + parts["b"])
    assert traces == 1
    with pytest.raises(TypeError, match=re.escape("weighted_sum: `step` is needed, the weight of 'a' is a schedule.")):
        ramp(P, T)


def test_weighted_sum_of_tasks_routes_inputs_by_name():
    tasks = weighted_sum({"depth": (1.0, jloss.huber), "kind": (0.1, jloss.cross_entropy)})
    wanted = jloss.huber(P, T) + 0.1 * jloss.cross_entropy(LOGITS, LABELS)
    same(tasks(predictions=P, targets=T, logits=LOGITS, labels=LABELS)[0], wanted)
    same(tasks(P, T, LOGITS, LABELS)[0], wanted)
    same(tasks(depth=(P, T), kind=(LOGITS, LABELS))[0], wanted)
    assert list(inspect.signature(tasks).parameters)[:4] == ["predictions", "targets", "logits", "labels"]
    with pytest.raises(ValueError, match="'logits' is an input or option"):
        weighted_sum({"logits": (1.0, jloss.cross_entropy)})


REDUCTIONS = [{"reduction": r, "where": WHERE, "weights": WEIGHTS} for r in ("mean", "sum", "none", "parts")]


@pytest.mark.parametrize("make", [lambda loss: hardest(loss, 1.0), lambda loss: trimmed(loss, 0.0)], ids=["hardest", "trimmed"])
def test_all_of_the_batch_is_the_loss(make):
    for keywords in REDUCTIONS:
        same(make(jloss.huber)(P, T, **keywords), jloss.huber(P, T, **keywords))
    same(gradient(make(jloss.huber), P, T, where=WHERE), gradient(jloss.huber, P, T, where=WHERE))


def test_hardest_and_trimmed_share_the_loss():
    for fraction in (0.3, 0.5):
        for keywords in ({}, {"where": WHERE}, {"weights": WEIGHTS}):
            parts = [make(jloss.huber, fraction)(P, T, **keywords) for make in (hardest, trimmed)]
            same(fraction * parts[0] + (1 - fraction) * parts[1], jloss.huber(P, T, **keywords))


@pytest.mark.slow
def test_hardest_takes_the_largest_losses_and_part_of_the_one_at_the_border():
    errors = jnp.array([1.0, 5.0, 2.0, 3.0, 4.0])
    zeros = jnp.zeros(5)
    same(hardest(jloss.absolute_error, 0.4)(errors, zeros), 4.5)
    same(hardest(jloss.absolute_error, 0.5)(errors, zeros), (5 + 4 + 1.5) / 2.5)
    same(hardest(jloss.absolute_error, 0.5)(errors, zeros, reduction="none"), jnp.array([0, 5, 0, 1.5, 4]))
    same(jax.grad(hardest(jloss.absolute_error, 0.4))(errors, zeros), jnp.array([0, 0.5, 0, 0, 0.5]))
    repeated = hardest(jloss.absolute_error, 0.5)(jnp.array([1.0, 5.0, 5.0, 2.0]), jnp.zeros(4))
    same(hardest(jloss.absolute_error, 0.5)(jnp.array([1.0, 5.0, 2.0]), jnp.zeros(3), weights=jnp.array([1.0, 2.0, 1.0])), repeated)


@pytest.mark.slow
def test_nothing_left_out_is_the_loss_for_the_gradient_in_a_weight_of_zero_too():
    """The losses 5, 1, 3 with weights 0, 1, 1: a mean of 2, which rises in a weight by a half of what its loss is above it."""
    losses, weights = jnp.array([5.0, 1.0, 3.0]), jnp.array([0.0, 1.0, 1.0])
    for nothing in (0.0, jnp.float32(0.0)):
        slope = jax.grad(lambda w, nothing=nothing: trimmed(jloss.absolute_error, nothing)(losses, jnp.zeros(3), weights=w))(weights)
        np.testing.assert_allclose(slope, [1.5, -0.5, 0.5])


def test_a_head_over_classes_has_a_slope_in_a_weight_of_zero():
    """At the weights 1 and 0 the mean rises in the second by its loss less the first."""
    hidden, kernel, targets = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.eye(3, 2), jnp.array([[1.0, 0, 0], [0, 1, 1]])
    slope = jax.grad(lambda w: jloss.linear_head(jloss.sigmoid_cross_entropy)(hidden, kernel, targets, weights=w))(jnp.array([1.0, 0.0]))
    soft = [np.log1p(np.exp(x)) for x in (-1.0, 0.0, -2.0)]  # logits 1, 0, 0 and 0, 2, 0
    np.testing.assert_allclose(slope, [0, (soft[1] + soft[2] + soft[1]) / 3 - (soft[0] + 2 * soft[1]) / 3], atol=1e-6)


@pytest.mark.slow
def test_three_tenths_of_ten_are_three():
    """0.3 is above three tenths in float32, by which the fourth would count a millionth."""
    losses = jnp.arange(10.0)
    np.testing.assert_array_equal(np.flatnonzero(hardest(jloss.absolute_error, 0.3)(losses, jnp.zeros(10), reduction="none")), [7, 8, 9])
    np.testing.assert_array_equal(jax.grad(hardest(jloss.absolute_error, 0.3))(losses, jnp.zeros(10)) > 0, losses > 6)


@pytest.mark.slow
def test_a_chunk_at_a_time_each_direction_stops_its_own():
    """The teacher of one direction is the student of the other."""
    student, teacher = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[0.0, 1.0], [3.0, 0.0]])
    both = jloss.symmetric(jloss.distillation)
    wanted = jax.grad(both, (0, 1))(student, teacher)
    got = jax.grad(chunked(both, chunk_size=1), (0, 1))(student, teacher)
    same(got, wanted)
    one_way = [jax.grad(jloss.distillation)(*pair) / 2 for pair in ((student, teacher), (teacher, student))]
    same(wanted, tuple(one_way))


@pytest.mark.slow
def test_tasks_of_different_sizes_count_by_their_means():
    """Squares of 1 and 3, a mean of 5; sizes 1, 2, 3 and 6, a mean of 3. The mass of the total is that of the first."""
    tasks = weighted_sum({"near": (1.0, jloss.squared_error), "far": (10.0, jloss.absolute_error)})
    data = {"near": (jnp.array([1.0, 3.0]), jnp.zeros(2)), "far": (jnp.array([1.0, 2.0, 3.0, 6.0]), jnp.zeros(4))}
    assert float(tasks(**data)[0]) == 35.0
    (total, mass), _ = tasks(**data, reduction="parts")
    assert (float(total), float(mass)) == (70.0, 2.0)


@pytest.mark.slow
def test_trimmed_survives_outliers_and_wrong_labels():
    same(trimmed(jloss.absolute_error, 0.25)(jnp.array([1.0, 1e30, 2.0, 3.0]), jnp.zeros(4)), 2.0)
    labels = LABELS.at[2].set(-100)  # NaN, and left out as the hardest
    value, slope = jax.value_and_grad(trimmed(jloss.cross_entropy, 0.2))(LOGITS, labels)
    same(value, jloss.cross_entropy(LOGITS, labels, where=labels >= 0))
    assert np.isfinite(slope).all()
    assert np.isnan(hardest(jloss.cross_entropy, 0.2)(LOGITS, labels))


@pytest.mark.slow
def test_hardest_is_chosen_among_all_devices():
    mesh = jax.make_mesh((4,), ("i",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    errors, where = jnp.asarray(np.random.default_rng(1).normal(size=12), jnp.float32), jnp.arange(12) % 5 != 1
    spec = jax.sharding.PartitionSpec("i")
    loss = hardest(jloss.squared_error, 0.3)

    def local(p, t, where):
        return loss(p, t, where=where, axis_name="i")

    mapped = jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=jax.sharding.PartitionSpec())
    arguments = errors, jnp.zeros(12), where
    same(jax.jit(jax.value_and_grad(mapped))(*arguments), jax.value_and_grad(lambda p, t, w: loss(p, t, where=w))(*arguments))


def test_symmetric_of_a_symmetric_loss_is_the_loss():
    same(gradient(symmetric(jloss.huber), P, T), gradient(jloss.huber, P, T))
    p, q = jax.nn.log_softmax(LOGITS), jax.nn.log_softmax(-2.0 * LOGITS)
    kl = jloss.kl_divergence_with_log_targets
    same(symmetric(kl)(p, q), symmetric(kl)(q, p))
    same(symmetric(kl)(p, q), 0.5 * (kl(p, q) + kl(q, p)))


@pytest.mark.slow
def test_permutation_invariant():
    rng = np.random.default_rng(2)
    voices, targets = (jnp.asarray(rng.normal(size=(3, 4, 6)), jnp.float32) for _ in range(2))
    loss = permutation_invariant(jloss.squared_error)
    value, slope = jax.value_and_grad(loss)(voices, targets)
    order = jnp.array([2, 0, 3, 1])
    shuffled, moved = jax.value_and_grad(loss)(voices[:, order], targets)
    same(shuffled, value)
    same(moved, slope[:, order])
    orders = jnp.array(list(itertools.permutations(range(4))))
    each = jnp.mean(jnp.square(voices[:, None] - targets[:, orders]), axis=(2, 3))
    same(value, jnp.mean(jnp.min(each, axis=1)))
    same(permutation_invariant(jloss.huber)(voices[:, :1], targets[:, :1]), jloss.huber(voices[:, :1], targets[:, :1]))
    classes = permutation_invariant(jloss.cross_entropy)(LOGITS, LABELS)  # one set of five
    best = min(np.mean([-jax.nn.log_softmax(LOGITS)[i, LABELS[j]] for i, j in enumerate(o)]) for o in itertools.permutations(range(5)))
    same(classes, best)


@pytest.mark.slow
def test_deep_supervision_of_one_depth_is_the_loss():
    one = deep_supervision(jloss.huber, [1.0])
    for keywords in REDUCTIONS:
        same(one((P,), T, **keywords), jloss.huber(P, T, **keywords))
    two = deep_supervision(jloss.huber, [1.0, 0.25])
    same(two((P, 2 * P), T, where=WHERE), jloss.huber(P, T, where=WHERE) + 0.25 * jloss.huber(2 * P, T, where=WHERE))
    coarse = two((P, P[:2]), (T, T[:2]))  # another resolution
    same(coarse, jloss.huber(P, T) + 0.25 * jloss.huber(P[:2], T[:2]))
    slopes = jax.grad(two)((P, P[:2]), (T, T[:2]))
    assert [g.shape for g in slopes] == [(5,), (2,)]
    with pytest.raises(ValueError, match="`predictions` must be a tuple of 2 arrays"):
        two(P, T)


@pytest.mark.slow
def test_uncertainty_weighted_at_its_best_variances():
    tasks = uncertainty_weighted({"near": jloss.squared_error, "far": jloss.absolute_error})
    total, parts = tasks(P, T, log_variances={"near": 0.0, "far": 0.0}, where=WHERE)
    same(total, 0.5 * (parts["near"] + parts["far"]))
    best = jnp.log(jnp.array([parts["near"], parts["far"]]))
    slope = jax.grad(lambda s: tasks(P, T, log_variances=s, where=WHERE)[0])(best)
    same(slope, jnp.zeros(2))
    for keywords in REDUCTIONS[:3]:
        total = tasks(P, T, log_variances=best, **keywords)[0]
        each = tasks(P, T, log_variances=best, **{**keywords, "reduction": "none"})[0]
        mass = jnp.sum(jnp.where(WHERE, WEIGHTS, 0))
        same(jnp.sum(each), jnp.sum(total) * (mass if keywords["reduction"] == "mean" else 1))
    with pytest.raises(TypeError, match="`log_variances` is needed"):
        tasks(P, T)


def accuracy(choice, target):
    return jnp.sum(choice * target)


def f1(chosen, target):
    return 2 * jnp.sum(chosen * target) / jnp.maximum(jnp.sum(chosen) + jnp.sum(target), 1e-6)


def ndcg(rank, grades):
    gains = jnp.exp2(grades) - 1
    ideal = jnp.sum(-jnp.sort(-gains) / jnp.log2(2 + jnp.arange(gains.size, dtype=jnp.float32)))
    return jnp.sum(gains / jnp.log2(1 + rank)) / ideal


METRICS = {
    "argmax": (accuracy, jax.nn.one_hot(LABELS, 4), jnp.mean(jnp.argmax(LOGITS, 1) == LABELS)),
    "threshold": (f1, jnp.array([[1.0, 0, 1, 0]] * 5), None),
    "rank": (ndcg, jnp.array([[2.0, 0, 1, 3]] * 5), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("decision", METRICS)
def test_smoothed_metric_sharpens_to_the_metric(decision):
    metric, targets, known = METRICS[decision]
    if decision == "threshold":
        known = np.mean([f1((LOGITS[i] > 0).astype(jnp.float32), targets[i]) for i in range(5)])
    if decision == "rank":
        known = np.mean([ndcg(1 + jnp.argsort(jnp.argsort(-LOGITS[i])).astype(jnp.float32), targets[i]) for i in range(5)])
    for perturbed in (False, True):
        keys = (jax.random.key(0),) if perturbed else ()
        loss = smoothed_metric(metric, 1e-4, decision=decision, perturbed=perturbed, samples=4)
        np.testing.assert_allclose(loss(LOGITS, targets, *keys), 1 - known, atol=1e-3)
        soft = smoothed_metric(metric, 1.0, decision=decision, perturbed=perturbed, samples=16)
        slope = jax.grad(soft)(LOGITS, targets, *keys)
        assert np.isfinite(slope).all()
        assert slope.any()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e3, 1e4, 3e9])
def test_no_item_is_ahead_of_itself(size):
    """Of 1e10 / 0.3 one rounding is 2048, and XLA may round one of two equal quotients: the rank of the first was 0.5, or 1.5."""
    scores = np.float32(size * np.random.default_rng(0).normal(size=(64, 100)))
    first = np.eye(100, dtype=np.float32)[scores.argmax(axis=1)]
    loss = smoothed_metric(lambda rank, targets: jnp.sum(targets / rank), 0.3, decision="rank")
    step = jax.jit(jax.value_and_grad(loss)).lower(scores, first)
    value, gradient = step.compile(AS_USERS)(scores, first)
    ahead = (np.float64(scores)[:, None] - np.float64(scores)[:, :, None]) / 0.3
    ranks = 0.5 + np.sum(1 / (1 + np.exp(-np.clip(ahead, -700, 700))), axis=2)
    np.testing.assert_allclose(value, 1 - np.mean(np.sum(first / ranks, axis=1)), atol=1e-6)
    assert np.isfinite(gradient).all()


def test_training_on_a_smoothed_metric_improves_the_metric():
    loss = smoothed_metric(accuracy, 1.0)
    logits, targets = LOGITS, jax.nn.one_hot(LABELS, 4)
    step = jax.jit(lambda x: x - 5.0 * jax.grad(loss)(x, targets))
    for _ in range(60):
        logits = step(logits)
    assert jnp.mean(jnp.argmax(logits, 1) == LABELS) == 1


@pytest.mark.slow
def test_perturbed_gradient_is_that_of_the_smoothed_metric():
    loss = smoothed_metric(f1, 1.0, decision="threshold", perturbed=True, samples=1_000_000)
    scores, targets = jnp.array([0.3]), jnp.array([1.0])  # the metric is 1 above 0: its mean over normal noise is the cumulative normal
    value, slope = jax.value_and_grad(loss)(scores, targets, jax.random.key(1))
    # The noise of a million samples: standard deviations of 0.0005 and 0.0006 over keys.
    np.testing.assert_allclose(value, 1 - jax.scipy.stats.norm.cdf(0.3), atol=0.003)
    np.testing.assert_allclose(slope[0], -jax.scipy.stats.norm.pdf(0.3), atol=0.003)


# ---------------------------------------------------------------- the contract


TRANSFORMED = {
    "regularized": lambda: regularized(jloss.cross_entropy, ridge, 0.1),
    "tilted_tolerant": lambda: tilted(tolerant(jloss.huber, 0.05), 2.0),
    "tilted_regularized": lambda: tilted(regularized(jloss.huber, ridge, 0.1), 2.0),
    "symmetric_tolerant": lambda: symmetric(tolerant(jloss.log_cosh, 0.05)),
    "permutation_invariant": lambda: permutation_invariant(jloss.cross_entropy),
    "trimmed_tilted": lambda: trimmed(tilted(jloss.huber, 2.0), 0.0),
    "hardest_linear_head": lambda: hardest(linear_head(jloss.cross_entropy, chunk_size=2), 1.0),
    "smoothed_metric": lambda: smoothed_metric(f1, decision="threshold"),
    "chunked_symmetric": lambda: chunked(symmetric(jloss.huber), chunk_size=2),
    "regularized_weighted_sum": lambda: regularized(weighted_sum({"a": (1.0, jloss.huber), "b": (0.5, jloss.log_cosh)}), ridge),
}


QUICK = ["masked_equals_absent", "parts_add_up", "shard_map_equals_one_device"]
IN_FULL = ("tilted_tolerant", "regularized")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMED)
def test_keeps_the_contract(name):
    report = check(TRANSFORMED[name](), laws=None if name in IN_FULL else QUICK)
    assert report, str(report)


@pytest.mark.slow
def test_every_order_of_two_is_one_loss():
    """A transform of examples acts below one of batches, whichever is written first."""
    pairs = [
        (lambda loss: tilted(loss, 2.0), lambda loss: hardest(loss, 0.5)),
        (lambda loss: tolerant(loss, 0.2), lambda loss: trimmed(loss, 0.5)),
        (lambda loss: symmetric(loss), lambda loss: hardest(loss, 0.5)),
        (lambda loss: tilted(loss, 2.0), lambda loss: chunked(loss, 2)),
    ]
    for below, above in pairs:
        first, second = below(above(jloss.huber)), above(below(jloss.huber))
        assert first.__name__ == second.__name__
        same(gradient(first, P, T, where=WHERE), gradient(second, P, T, where=WHERE))
    params = {"w": jnp.array([3.0])}
    one, other = (f(jloss.huber) for f in (lambda x: hardest(regularized(x, ridge), 0.5), lambda x: regularized(hardest(x, 0.5), ridge)))
    for keywords in REDUCTIONS:
        same(one(P, T, params, **keywords), other(P, T, params, **keywords))
    deep = deep_supervision(hardest(jloss.huber, 0.5), [1.0, 0.5])
    same(deep((P, P), T), 1.5 * hardest(jloss.huber, 0.5)(P, T))
    sums = weighted_sum({"a": (1.0, hardest(jloss.huber, 0.5)), "b": (2.0, trimmed(jloss.absolute_error, 0.5))})
    total, parts = sums(P, T, where=WHERE)
    same(total, parts["a"] + 2 * parts["b"])
    same(parts["a"], hardest(jloss.huber, 0.5)(P, T, where=WHERE))


ALL = {
    "tilted": lambda loss: tilted(loss, 2.0),
    "tolerant": lambda loss: tolerant(loss, 0.1),
    "symmetric": symmetric,
    "permutation_invariant": permutation_invariant,
    "hardest": lambda loss: hardest(loss, 0.5),
    "trimmed": lambda loss: trimmed(loss, 0.3),
    "chunked": lambda loss: chunked(loss, 2),
    "linear_head": lambda loss: linear_head(loss, 2),
    "regularized": lambda loss: regularized(loss, ridge),
    "deep_supervision": lambda loss: deep_supervision(loss, [1.0, 0.5]),
    "weighted_sum": lambda loss: weighted_sum({"only": (1.0, loss)}),
    "uncertainty_weighted": lambda loss: uncertainty_weighted({"only": loss}),
}
REFUSED = {  # outer, inner: what is said instead
    ("tilted", "permutation_invariant"): "needs an elementwise loss",
    ("tolerant", "permutation_invariant"): "needs an elementwise loss",
    ("linear_head", "linear_head"): "has a linear head already",
    ("uncertainty_weighted", "uncertainty_weighted"): "put its losses beside the others",
}


def inputs_of(loss, names):
    """Four examples: of numbers, of sets if their order does not matter, of hidden states if there is a head, of as many depths."""
    sets = (3,) * names.count("permutation_invariant")
    parameters = inspect.signature(loss).parameters
    shapes = {"predictions": (4, *sets, *((5,) if sets else ())), "targets": (4, *sets, *((5,) if sets else ()))}
    if "hidden" in parameters:
        shapes = {"hidden": (4, *sets, 2), "kernel": (5, 2), "targets": (4, *sets, 5)}
    given = {n: jax.ShapeDtypeStruct(shape, jnp.float32) for n, shape in shapes.items()}
    first = next(iter(given))
    for _ in range(names.count("deep_supervision")):
        given[first] = (given[first], given[first])
    own = {"params": jax.ShapeDtypeStruct((2,), jnp.float32), "log_variances": jax.ShapeDtypeStruct((1,), jnp.float32)}
    return given | {n: v for n, v in own.items() if n in parameters}


@pytest.mark.slow
@pytest.mark.parametrize("above", ALL)
def test_any_two_compose(above):
    """A masked batch and its gradient trace, whichever stands in which; what makes no sense says so."""
    for below, make in ALL.items():
        if (above, below) in REFUSED:
            with pytest.raises((TypeError, ValueError), match=REFUSED[above, below]):
                ALL[above](make(jloss.huber))
            continue
        loss = ALL[above](make(jloss.huber))

        def total(given, where, loss=loss):
            value = loss(**given, where=where)
            return value[0] if isinstance(value, tuple) else value

        given = inputs_of(loss, (above, below))
        value, slope = jax.eval_shape(jax.value_and_grad(total), given, jax.ShapeDtypeStruct((4,), jnp.bool_))
        assert value.shape == (), (above, below)
        assert jax.tree.map(jnp.shape, slope) == jax.tree.map(jnp.shape, given), (above, below)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8,), (2, 4), (3, 5, 4)])
@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_chunks_of_an_option_with_several_numbers(shape, backward):
    """They broadcast against the whole batch, not against whatever chunk has as many examples."""
    rng = np.random.default_rng(0)
    several = (*(1 for _ in shape[1:]), shape[-1])
    p, t, delta, weights = (jnp.asarray(rng.uniform(0.1, 2, s), jnp.float32) for s in (shape, shape, several, shape))
    where = jnp.asarray(rng.uniform(size=shape) < 0.7)
    for keywords in ({}, {"where": where}, {"where": where, "weights": weights}, {"reduction": "sum"}):
        steps = [
            jax.value_and_grad(lambda p, d, f=f, k=keywords: f(p, t, delta=d, **k), (0, 1))
            for f in (chunked(jloss.huber, 3, backward), jloss.huber)
        ]
        for got, want in zip(*(jax.tree.leaves(step(p, delta)) for step in steps), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    every = chunked(jloss.huber, 3, backward)(p, t, delta=delta, reduction="none")
    np.testing.assert_allclose(every, jloss.huber(p, t, delta=delta, reduction="none"), rtol=1e-6)


@pytest.mark.parametrize("loss", [chunked(jloss.softmax_focal, 2), jloss.softmax_focal])
def test_an_option_cannot_have_a_number_for_each_example_of_a_vector(loss):
    with pytest.raises(ValueError, match="one example must give one number"):
        loss(jnp.zeros((4, 3)), jnp.zeros(4, int), gamma=jnp.ones(4))


def test_an_option_cannot_have_a_number_for_each_token_of_a_head():
    loss = linear_head(jloss.sigmoid_focal, 2)
    with pytest.raises(ValueError, match="one example must give one number"), jax.numpy_rank_promotion("allow"):
        loss(jnp.ones((4, 2)), jnp.ones((3, 2)), jnp.ones((4, 3)), gamma=jnp.ones((4, 3)))


@pytest.mark.parametrize("kept", [(True, True), (False, True), (True, False), (False, False)])
def test_a_depth_of_which_nothing_is_kept_is_0_and_no_other(kept):
    """Also the first, over whose mass the others are brought."""
    loss, whole = deep_supervision(jloss.huber, (1.0, 0.5)), jnp.array([True, False, True, True, False])
    where = tuple(whole if keep else jnp.zeros(5, bool) for keep in kept)

    def each(p, **keywords):
        return sum(w * jloss.huber(p, T, where=m, **keywords) for w, m in zip((1.0, 0.5), where, strict=True))

    same(jax.value_and_grad(lambda p: loss((p, p), T, where=where))(P), jax.value_and_grad(each)(P))
    total, mass = loss((P, P), T, where=where, reduction="parts")
    same(total, each(P) * mass)
    same(loss((P, P), T, where=where, reduction="none"), each(P, reduction="none"))


def test_depths_with_weights_of_their_own():
    loss, weights = deep_supervision(jloss.huber, (1.0, 0.5)), (jnp.array([1.0, 0.0, 2.0, 3.0, 0.0]), jnp.array([2.0, 1.0, 0.0, 1.0, 1.0]))
    for reduction in ("mean", "none"):
        each = [jloss.huber(P, T, weights=w, reduction=reduction) for w in weights]
        same(loss((P, P), T, weights=weights, reduction=reduction), each[0] + 0.5 * each[1])


def test_a_task_without_data_is_0_and_no_other():
    empty = jnp.zeros(0)
    total, parts = weighted_sum({"a": (1.0, jloss.huber), "b": (0.5, jloss.absolute_error)})(a=(empty, empty), b=(P, T))
    same(total, 0.5 * jloss.absolute_error(P, T))
    assert parts["a"] == 0
    learned = uncertainty_weighted({"a": jloss.huber, "b": jloss.absolute_error})
    total, _ = learned(a=(empty, empty), b=(P, T), log_variances=[0.3, 0.4])
    same(total, 0.5 * (0.3 + np.exp(-0.4) * jloss.absolute_error(P, T) + 0.4))


def test_weights_that_cancel_are_no_number_in_a_sum_of_losses_either():
    weights = jnp.array([1.0, -1.0, 2.0, -2.0, 0.0])
    assert not np.isfinite(jloss.huber(P, T, weights=weights))
    assert not np.isfinite(weighted_sum({"a": (1.0, jloss.huber), "b": (0.5, jloss.absolute_error)})(P, T, weights=weights)[0])


@pytest.mark.slow
def test_nested_transforms_of_one_kind():
    """Chunks in chunks are chunks, a second penalty is added, a schedule within a schedule asks at the same step."""
    same(gradient(chunked(chunked(jloss.huber, 2), 3), P, T, where=WHERE), gradient(jloss.huber, P, T, where=WHERE))
    twice = regularized(regularized(jloss.huber, ridge, 0.5), ridge, 0.25)
    same(twice(P, T, WEIGHTS, where=WHERE), jloss.huber(P, T, where=WHERE) + 0.75 * ridge(WEIGHTS))
    ramp = optax.linear_schedule(0.0, 1.0, 10)
    total, _ = weighted_sum({"outer": (ramp, weighted_sum({"inner": (ramp, jloss.huber)}))})(P, T, step=5)
    same(total, 0.25 * jloss.huber(P, T))
    depths = deep_supervision(deep_supervision(jloss.huber, [1.0, 0.5]), [1.0, 2.0])
    same(depths(((P, 2 * P), (P, P)), T), jloss.huber(P, T) * 4 + 0.5 * jloss.huber(2 * P, T))
    hidden, kernel, targets = jnp.ones((5, 2)), jnp.array([[1.0, 0.5], [2.0, -1.0]]), jnp.zeros((5, 2))
    head = hardest(linear_head(jloss.squared_error), 0.5)
    same(head(hidden, kernel, targets, where=WHERE), 2.25)  # of outputs 1.5 and 1, the larger error of each token


def test_options_of_a_transform_are_traced_and_learnable():
    loss = tilted(jloss.squared_error, over=1.0)
    slope = jax.grad(lambda over: loss(P, T, over=over, reduction="sum"))(4.0)
    same(slope, jnp.sum(jnp.where(P > T, jnp.square(P - T), 0)))
    learned = jax.grad(lambda over: tilted(jloss.squared_error, over=over)(P, T, reduction="sum"))(4.0)
    same(learned, slope)


def test_shows_itself():
    loss = regularized(tilted(jloss.huber, 2.0), ridge)
    found = jloss.entry(loss)
    assert loss.__name__ == found.name == "regularized(tilted(huber))"
    assert list(found.inputs) == ["predictions", "targets", "params"]
    shown = inspect.signature(loss).parameters
    assert list(shown)[:3] == list(found.inputs)
    assert {"delta", "over", "under", "where", "weights", "reduction", "axis_name"} <= shown.keys()
    assert shown["over"].default == 2.0
    assert "Squared error near zero" in inspect.getdoc(loss)
    assert not any("(" in name for name in jloss.CATALOGUE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tilted(jloss.cross_entropy), "tilted: needs an elementwise loss of predictions and targets in one unit"),
        (lambda: tolerant(jloss.sigmoid_cross_entropy, 0.1), "sigmoid_cross_entropy takes logits (real), targets (unit)."),
        (lambda: tolerant(jloss.huber, -1.0), "tolerant: `margin` must be 0 or more, got -1.0."),
        (lambda: regularized(jloss.huber, lambda w: w)(P, T, P), "regularized: a penalty must be one number, got shape (5,)."),
        (lambda: hardest(jloss.huber, 0.0), "hardest: `fraction` must be above 0 and up to 1, got 0.0."),
        (lambda: trimmed(jloss.huber, 1.0), "trimmed: `fraction` must be 0 or more and below 1, got 1.0."),
        (lambda: symmetric(jloss.cross_entropy), "symmetric: needs two inputs of one kind"),
        (lambda: permutation_invariant(jloss.router_z)(P, T), "router_z"),
        (lambda: deep_supervision(jloss.huber, []), "deep_supervision: `weights` needs a number for each depth."),
        (lambda: smoothed_metric(f1, 0.0), "smoothed_metric: `temperature` must be greater than 0, got 0.0."),
        (lambda: smoothed_metric(f1, decision="guess"), "smoothed_metric: `decision` must be one of"),
        (lambda: weighted_sum({}), "weighted_sum: needs at least one loss."),
        (
            lambda: weighted_sum({"bce": (1.0, jloss.sigmoid_cross_entropy), "dice": (1.0, jloss.dice)})(*[jnp.zeros((2, 4, 4))] * 3),
            "so all are given by keyword: logits, targets, predictions, mask; or those of each loss as a tuple.\n"
            "  expected  weighted_sum(...)(bce=(logits, targets), dice=(predictions, targets))",
        ),
        (lambda: tilted(lambda p, t: p - t), "'<lambda>' is not a jloss loss"),
        (
            lambda: jax.jit(lambda d: matryoshka(jloss.info_nce, (d, 3)))(2),
            "matryoshka: `dims[0]` is static and must be a Python int, got an array.",
        ),
        (lambda: matryoshka(jloss.info_nce, (2, 2.5)), "matryoshka: `dims[1]` is static and must be a Python int, got 2.5."),
        (lambda: matryoshka(jloss.info_nce, 2), "matryoshka: `dims` must be a sequence, with one for each length, got 2."),
        (lambda: matryoshka(jloss.info_nce, (1, 2), (1.0, None)), "matryoshka: `weights[1]` must be a number or an array"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()
