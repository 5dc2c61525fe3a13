"""Worked numbers, corners and peers of the margin losses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from tests.peers import agree, draws

SCORES = jnp.array([0.1, 0.2, 0.4, 0.8])


def signs_of(shape, seed=1):
    return np.where(np.random.default_rng(seed).random(shape) < 0.5, -1, 1).astype(np.int32)


def test_worked_numbers():
    np.testing.assert_allclose(jloss.multi_margin(SCORES, 3), 0.325, rtol=1e-6)
    for classes, wanted in (({3, 0}, 0.85), ({3}, 0.325)):
        targets = jnp.array([c in classes for c in range(4)])
        np.testing.assert_allclose(jloss.multilabel_margin(SCORES, targets), wanted, rtol=1e-6)


def test_logistic_is_exact_far_away():
    scores = jnp.array([-1000.0, 1000.0])
    for sign in (1, -1):
        signs = jnp.full(2, sign)
        value = jloss.logistic(scores, signs, reduction="none")
        np.testing.assert_array_equal(value, [1000.0, 0.0] if sign == 1 else [0.0, 1000.0])
        slopes = jax.grad(lambda s, signs=signs: jloss.logistic(s, signs, reduction="sum"))(scores)
        np.testing.assert_array_equal(slopes, [-1.0, 0.0] if sign == 1 else [0.0, 1.0])


@pytest.mark.parametrize("kind", [bool, np.int8, np.int32, np.float32, "bfloat16"])
def test_signs_of_any_kind(kind):
    scores = draws((6,))[0]
    signs = signs_of(6)
    given = jnp.asarray(signs > 0) if kind is bool else jnp.asarray(signs).astype(kind)
    for loss in (jloss.hinge, jloss.logistic):
        np.testing.assert_allclose(loss(scores, given), loss(scores, signs.astype(np.float32)), rtol=1e-6)


@pytest.mark.slow
def test_on_a_corner_where_the_loss_is_0_so_is_the_gradient():
    one, zero, sign = jnp.ones(1), jnp.zeros(1), jnp.ones(1)
    tie = jnp.array([1.0, 1.0, 0.0])
    for f, x in (
        (lambda s: jloss.hinge(s, sign), one),
        (lambda s: jloss.squared_hinge(s, sign), one),
        (lambda s: jloss.perceptron(s, sign), zero),
        (lambda s: jloss.multiclass_perceptron(s, 0), tie),
        (lambda s: jloss.multiclass_hinge(s, 0), tie.at[0].set(2.0)),
        (lambda s: jloss.categorical_hinge(s, 0), tie.at[0].set(2.0)),
        (lambda s: jloss.multi_margin(s, 0), tie.at[0].set(2.0)),
        (lambda s: jloss.multilabel_margin(s, jnp.array([True, False, False])), tie.at[0].set(2.0)),
        (lambda s: jloss.margin_ranking(s, s, sign), one),
        (lambda d: jloss.hinge_embedding(d, -sign), one),
    ):
        value, gradient = jax.jit(jax.value_and_grad(f))(x)
        assert float(value) == 0.0
        assert not np.asarray(gradient).any(), f


@pytest.mark.slow
def test_one_class_and_absent_classes():
    for loss in (jloss.multiclass_hinge, jloss.multiclass_perceptron, jloss.multi_margin):
        value, gradient = jax.value_and_grad(loss)(jnp.array([-3.0]), 0)
        assert float(value) == 0.0
        assert not np.asarray(gradient).any()
    absent = jnp.array([0.5, -jnp.inf, 0.2])
    for loss in (jloss.multiclass_hinge, jloss.multi_margin):
        value, gradient = jax.value_and_grad(loss)(absent, 0)
        np.testing.assert_allclose(value, 0.7 / (3 if loss is jloss.multi_margin else 1), rtol=1e-6)
        assert np.isfinite(gradient).all()
    value, gradient = jax.value_and_grad(jloss.multilabel_margin)(absent, jnp.array([True, False, False]))
    np.testing.assert_allclose(value, 0.7 / 3, rtol=1e-6)
    np.testing.assert_allclose(gradient, [-1 / 3, 0.0, 1 / 3], rtol=1e-6)


@pytest.mark.slow
def test_multilabel_margin_is_the_sum_over_pairs():
    scores, chosen = draws((20, 9), (20, 9), seed=4)
    holds = jnp.asarray(chosen > 0.5)

    def pairs(s):
        gaps = 1 + s[:, None, :] - s[:, :, None]
        counted = holds[:, :, None] & ~holds[:, None, :] & (gaps > 0)
        return jnp.mean(jnp.sum(jnp.where(counted, gaps, 0), axis=(1, 2)) / 9)

    for offset in (0.0, 1e3):
        got, wanted = (jax.value_and_grad(f)(jnp.asarray(scores) + offset) for f in (lambda s: jloss.multilabel_margin(s, holds), pairs))
        jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-7), got, wanted)
    integers = jloss.multilabel_margin(scores, holds.astype(jnp.int32))
    np.testing.assert_allclose(integers, jloss.multilabel_margin(scores, holds))


@pytest.mark.parametrize("classes", [9, 200])  # compared, sorted
@pytest.mark.parametrize("far", [2.0**26, -(2.0**26)])
@pytest.mark.parametrize("outlier", [3, 4])
def test_one_class_far_from_the_others_drowns_none(classes, outlier, far):
    """The third holds, the fourth does not. Beside a wrong one 1e7 ahead the others had a third of their gradient, at 1e8 none."""
    (scores,) = draws((classes,))
    scores, holds = np.array(scores, np.float64), np.arange(classes) % 3 == 0
    scores[outlier] = far
    gaps = 1 + scores[None, :] - scores[:, None]
    close = holds[:, None] & ~holds[None, :] & (gaps > 0)
    wanted = np.sum(gaps, where=close) / classes, (np.sum(close, axis=0) - np.sum(close, axis=1)) / classes
    got = jax.value_and_grad(jloss.multilabel_margin)(scores.astype(np.float32), jnp.asarray(holds))
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-6, atol=1e-7), got, wanted)


def test_multilabel_soft_margin_is_the_mean_over_classes():
    logits, chosen = draws((6, 5), (6, 5))
    targets = (chosen > 0).astype(np.float32)
    values = jloss.multilabel_soft_margin(logits, targets, reduction="none")
    np.testing.assert_allclose(values, jloss.sigmoid_cross_entropy(logits, targets, reduction="none").mean(-1), rtol=1e-6)
    front = jloss.multilabel_soft_margin(logits.T, targets.T, axis=0, reduction="none")
    np.testing.assert_allclose(front, values, rtol=1e-6)


def test_p_is_1_or_2():
    with pytest.raises(ValueError, match="multi_margin: `p` must be 1 or 2, got 3"):
        jloss.multi_margin(SCORES, 3, p=3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (jloss.hinge, optax.losses.hinge_loss),
        (jloss.perceptron, optax.losses.perceptron_loss),
        (jloss.multiclass_hinge, optax.losses.multiclass_hinge_loss),
        (jloss.multiclass_perceptron, optax.losses.multiclass_perceptron_loss),
    ],
)
def test_optax(ours, theirs):
    shape = (32, 5) if "multiclass" in ours.__name__ else (32,)
    scores = draws(shape)[0]
    targets = np.random.default_rng(2).integers(0, 5, 32) if len(shape) == 2 else signs_of(32).astype(np.float32)
    got = jax.value_and_grad(lambda s: ours(s, targets))(scores)
    wanted = jax.value_and_grad(lambda s: jnp.mean(theirs(s, jnp.asarray(targets))))(scores)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-7), got, wanted)


@pytest.mark.slow
def test_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, y = draws((32,), (32,))
    signs = signs_of(32).astype(np.float32)
    scores = draws((12, 5), seed=5)[0]
    labels = np.random.default_rng(3).integers(0, 5, 12)

    def with_signs(loss, **options):
        return lambda *given: loss(*given, jnp.asarray(signs), **options)

    agree(with_signs(jloss.logistic), lambda x: functional.soft_margin_loss(x, torch.tensor(signs)), x)
    agree(
        with_signs(jloss.hinge_embedding, margin=1.5), lambda d: functional.hinge_embedding_loss(d, torch.tensor(signs), margin=1.5), abs(x)
    )
    ranking = functional.margin_ranking_loss
    agree(with_signs(jloss.margin_ranking, margin=0.3), lambda a, b: ranking(a, b, torch.tensor(signs), margin=0.3), x, y)
    for p, margin in ((1, 1.0), (2, 0.5)):
        options = {"p": p, "margin": margin}
        agree(
            lambda s, options=options: jloss.multi_margin(s, labels, **options),
            lambda s, options=options: functional.multi_margin_loss(s, torch.tensor(labels), **options),
            scores,
        )
    targets = np.array([[3, 0, -1, 1, 1], [2, -1, 0, 0, 0], [-1, 0, 0, 0, 0], [0, 1, 2, 3, 4]])
    hot = np.zeros((4, 5), bool)
    for row, classes in enumerate([(3, 0), (2,), (), (0, 1, 2, 3, 4)]):
        hot[row, list(classes)] = True
    agree(lambda s: jloss.multilabel_margin(s, hot), lambda s: functional.multilabel_margin_loss(s, torch.tensor(targets)), scores[:4])
    chosen = (draws((12, 5), seed=6)[0] > 0).astype(np.float32)
    agree(
        lambda s: jloss.multilabel_soft_margin(s, chosen), lambda s: functional.multilabel_soft_margin_loss(s, torch.tensor(chosen)), scores
    )


def test_where_torch_and_optax_differ():
    torch = pytest.importorskip("torch")
    score = torch.tensor([100.0], requires_grad=True)
    value = torch.nn.functional.soft_margin_loss(score, torch.tensor([-1.0]))
    value.backward()
    assert torch.isinf(value)
    assert torch.isnan(score.grad).all()
    np.testing.assert_allclose(jloss.logistic(jnp.array([100.0]), jnp.array([-1])), 100.0)
    assert float(jax.grad(lambda s: optax.losses.perceptron_loss(s, 1))(0.0)) == -0.5


@pytest.mark.parametrize("name", ["multiclass_hinge", "multiclass_perceptron", "categorical_hinge"])
def test_classes_tied_for_strongest_share_the_gradient(name):
    scores = jnp.array([[0.0, 1.0, 1.0, 0.5], [2.0, 2.0, 2.0, 0.0], [0.0, 3.0, 1.0, 1.0]])
    gradient = jax.grad(lambda s: getattr(jloss, name)(s, jnp.array([0, 3, 0]), reduction="sum"))(scores)
    np.testing.assert_allclose(gradient, [[-1, 0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3, -1], [-1, 1, 0, 0]], rtol=1e-6)


def test_no_gradient_on_the_corner_and_at_a_tie():
    assert jax.grad(jloss.hinge)(1.0, 1) == 0
    assert jax.grad(jloss.hinge)(-1.0, -1) == 0
    for loss in (jloss.multiclass_perceptron, jloss.margin_ranking):
        tied = jax.grad(lambda x, loss=loss: loss(x, 0) if loss is jloss.multiclass_perceptron else loss(x[0], x[1], 1))(jnp.ones(2))
        np.testing.assert_array_equal(tied, [0, 0])


def test_any_numbers_that_are_equal_are_a_tie():
    """Their slope is that of their mean, whose value may be rounded: of five it is often not the number itself."""
    (numbers,) = draws((200, 1))
    scores, labels = jnp.broadcast_to(1e4 * np.abs(numbers), (200, 6)), jnp.zeros(200, jnp.int32)
    for loss, wanted in ((jloss.multiclass_perceptron, 0), (jloss.multiclass_hinge, 1), (jloss.categorical_hinge, 1)):
        np.testing.assert_array_equal(loss(scores, labels, reduction="none"), np.full(200, wanted))
    assert not np.asarray(jax.grad(jloss.multiclass_perceptron)(scores, labels)).any()


@pytest.mark.parametrize("name", ["multiclass_hinge", "categorical_hinge", "multi_margin"])
def test_the_margin_is_not_lost_in_large_scores(name):
    """Classes that are tied, as near 0 as far from it, eager and compiled."""
    loss, scores, label = getattr(jloss, name), jnp.full(4, 1e9), jnp.asarray(1)
    expected = loss(jnp.zeros(4), label)
    assert expected > 0
    for found in (loss(scores, label), jax.jit(loss)(scores, label)):
        np.testing.assert_array_equal(found, expected)
