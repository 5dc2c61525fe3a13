"""The cases that are known to bite users of other libraries, each as one line of the contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

inf, nan = jnp.inf, jnp.nan


def value_and_slope(loss, x, *rest, **keywords):
    """Value and gradient in the first input."""
    value, slope = jax.value_and_grad(lambda x: loss(x, *rest, **keywords))(jnp.asarray(x))
    return np.asarray(value), np.asarray(slope)


# ---------------------------------------------------------------- reductions


def test_all_labels_ignored_is_zero():
    labels = jnp.full(3, -100)
    value, slope = value_and_slope(jloss.cross_entropy, jnp.ones((3, 4)), labels, where=labels != -100)
    assert value == 0
    assert (slope == 0).all()


def test_nan_logits_in_an_ignored_row_stay_there():
    value, slope = value_and_slope(jloss.cross_entropy, [[0.0, 1.0], [nan, nan]], jnp.array([0, 1]), where=jnp.array([True, False]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()
    assert (slope[1] == 0).all()


def test_smoothing_does_not_count_ignored_rows():
    logits, labels = jnp.array([[2.0, 0.0, 1.0], [5.0, -5.0, 0.0]]), jnp.array([0, 1])
    kept = jloss.cross_entropy(logits, labels, label_smoothing=0.2, where=jnp.array([True, False]))
    np.testing.assert_allclose(kept, jloss.cross_entropy(logits[0], labels[0], label_smoothing=0.2), rtol=1e-6)


def test_zero_weights_times_nan_is_zero():
    value, slope = value_and_slope(jloss.squared_error, [1.0, nan], jnp.zeros(2), weights=jnp.array([1.0, 0.0]))
    assert value == 1
    np.testing.assert_array_equal(slope, [2.0, 0.0])


def test_no_weight_at_all_is_zero():
    value, slope = value_and_slope(jloss.squared_error, [1.0, 2.0], jnp.zeros(2), weights=jnp.zeros(2))
    assert value == 0
    assert (slope == 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_empty_batch_is_a_scalar_zero(reduction):
    value = jloss.cross_entropy(jnp.zeros((0, 4)), jnp.zeros(0, jnp.int32), reduction=reduction)
    assert value.shape == ()
    assert value == 0


def test_accumulated_micro_batches_are_the_token_mean():
    rng = np.random.default_rng(0)
    logits, labels = jnp.asarray(rng.normal(size=(6, 5, 7)), jnp.float32), jnp.asarray(rng.integers(0, 7, (6, 5)))
    where = jnp.asarray(rng.uniform(size=(6, 5)) < 0.4)
    parts = [jloss.cross_entropy(logits[i : i + 2], labels[i : i + 2], where=where[i : i + 2], reduction="parts") for i in (0, 2, 4)]
    mean = sum(p[0] for p in parts) / sum(p[1] for p in parts)
    np.testing.assert_allclose(mean, jloss.cross_entropy(logits, labels, where=where), rtol=1e-6)


def test_a_mean_over_very_many_examples_counts_them_all():
    count = 2**24 + 2**20  # a float32 sum of ones stops at 2**24
    mean = jloss.absolute_error(jnp.ones(count), jnp.zeros(()), where=jnp.ones(count, bool))
    np.testing.assert_allclose(mean, 1.0, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_what_a_masked_example_holds_reaches_no_option_no_shared_input_and_no_second_derivative(bad):
    rng = np.random.default_rng(0)
    logits, where = rng.normal(size=(4, 3)).astype(np.float32), np.array([True, False, True, False])
    poisoned, labels = np.where(where[:, None], logits, np.float32(bad)), np.array([0, 1, 2, 0])

    @jax.jit
    def slopes(logits):
        smoothing = jax.grad(lambda s: jloss.cross_entropy(logits, labels, label_smoothing=s, where=where))(0.1)
        shared = jax.grad(lambda target: jloss.cosine_distance(logits, target, where=where))(jnp.array([1.0, 2.0, 3.0]))
        return smoothing, shared, jax.hessian(lambda x: jloss.cross_entropy(x, labels, where=where))(logits)

    for got, wanted in zip(slopes(poisoned), slopes(logits), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)


def test_a_mask_that_is_counted_by_the_word_counts_each_example():
    where = np.random.default_rng(0).uniform(size=(3, 1024)) < 0.7
    total, mass = jloss.absolute_error(jnp.full((3, 1024), 2.0), jnp.zeros((3, 1024)), where=jnp.asarray(where), reduction="parts")
    assert (float(total), float(mass)) == (2 * where.sum(), where.sum())


# ---------------------------------------------------------------- half precision


def test_the_squared_error_of_300_in_float16():
    value, slope = value_and_slope(jloss.squared_error, jnp.array([300.0], jnp.float16), jnp.zeros(1, jnp.float16))
    assert value == 90000
    assert slope == 600


def test_a_bfloat16_loss_is_not_quantised():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(size=(64, 2000)), jnp.bfloat16)
    labels = jnp.asarray(rng.integers(0, 2000, 64))
    value = jloss.cross_entropy(logits, labels)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, jloss.cross_entropy(logits.astype(jnp.float32), labels), rtol=1e-6)


def test_label_257_in_a_bfloat16_model():
    logits = jnp.zeros((1, 300), jnp.bfloat16).at[0, 257].set(5)
    np.testing.assert_allclose(jloss.cross_entropy(logits, jnp.array([257])), np.log(np.exp(5) + 299) - 5, rtol=1e-5)


def test_bfloat16_probabilities_at_their_ends():
    value, slope = value_and_slope(jloss.binary_cross_entropy, jnp.array([1.0, 0.0], jnp.bfloat16), jnp.array([0.0, 1.0], jnp.bfloat16))
    assert value == 100
    assert np.isfinite(slope.astype(np.float32)).all()


def test_bfloat16_boxes_one_pixel_apart():
    boxes = jnp.array([[0, 0, 300, 400], [1, 1, 301, 401]], jnp.float16)
    np.testing.assert_allclose(jloss.iou(boxes[0], boxes[1]), 1 - 0.988417, atol=1e-5)


# ---------------------------------------------------------------- infinities


@pytest.mark.parametrize(
    ("logit", "target", "value"), [(inf, 1, 0), (-inf, 0, 0), (inf, 0, inf), (-inf, 1, inf), (1000, 1, 0), (-1000, 1, 1000)]
)
def test_sigmoid_cross_entropy_at_infinite_and_saturated_logits(logit, target, value):
    got, slope = value_and_slope(jloss.sigmoid_cross_entropy, float(logit), jnp.asarray(float(target)))
    assert got == value
    assert np.isfinite(slope)
    assert abs(slope) <= 1


@pytest.mark.parametrize(
    ("loss", "x"),
    [
        (lambda x: jloss.poisson_nll(x, 2.0), 100.0),
        (lambda x: jloss.gamma_nll(x, 2.0), -100.0),
        (lambda x: jloss.linex(x, 0.0), 100.0),
        (lambda x: jloss.linex(x, 0.0, a=-1.0), -100.0),
        (lambda x: jloss.generalized_kl_divergence(x[None], jnp.ones(1)), 100.0),
        (lambda x: jloss.score_entropy(jnp.stack([x, x, x]), 0, 2, 1.0), 100.0),
        (lambda x: jloss.gaussian_kl(jnp.zeros(1), x[None]), 100.0),
        (lambda x: jloss.gaussian_kl(jnp.zeros(1), jnp.zeros(1), jnp.zeros(1), x[None]), -100.0),
        (lambda x: jloss.edm(jnp.ones((1, 1, 1)), jnp.zeros((1, 1, 1)), 1.0, x), -100.0),
    ],
)
def test_an_exponential_that_overflows_leaves_no_gradient_that_leads_further(loss, x):
    """The other term, linear in `x`, pulls the other way: alone it would go on in the wrong direction."""
    value, slope = value_and_slope(loss, x)
    assert (value, slope) == (inf, 0)
    assert np.isnan(loss(jnp.asarray(nan)))


def test_an_absent_class_is_finite():
    value, slope = value_and_slope(jloss.cross_entropy, [0.0, 1.0, -inf], jnp.array(0))
    np.testing.assert_allclose(value, np.log1p(np.e), rtol=1e-6)
    assert np.isfinite(slope).all()


def test_label_smoothing_with_an_absent_class_is_finite():
    value, slope = value_and_slope(jloss.cross_entropy, [0.0, 1.0, -inf], jnp.array(0), label_smoothing=0.1)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_a_soft_target_of_0_at_an_absent_class_is_finite():
    value, slope = value_and_slope(jloss.soft_cross_entropy, [0.0, 1.0, -inf], jnp.array([0.5, 0.5, 0.0]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_the_absent_class_as_label_is_infinite():
    assert jloss.cross_entropy(jnp.array([0.0, 1.0, -inf]), jnp.array(2)) == inf


def test_kl_where_both_are_zero():
    log_predictions, targets = jnp.array([0.0, -inf]), jnp.array([1.0, 0.0])
    value, slopes = jax.value_and_grad(jloss.kl_divergence, argnums=(0, 1))(log_predictions, targets)
    assert value == 0
    assert all(np.isfinite(s).all() for s in slopes)


def test_kl_log_targets_of_minus_infinity():
    value, slopes = jax.value_and_grad(jloss.kl_divergence_with_log_targets, argnums=(0, 1))(
        jnp.log(jnp.array([0.5, 0.5])), jnp.array([0.0, -inf])
    )
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    assert all(np.isfinite(s).all() for s in slopes)


# ---------------------------------------------------------------- labels and options


@pytest.mark.parametrize("label", [-1, 3, 2**31 - 1, -(2**31)])
def test_a_label_out_of_range_is_nan_never_zero(label):
    assert np.isnan(jloss.cross_entropy(jnp.zeros(3), jnp.asarray(label, jnp.int32)))


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int8, jnp.int16, jnp.uint16, jnp.int32, jnp.uint32])
def test_any_integer_dtype_of_labels(dtype):
    np.testing.assert_allclose(jloss.cross_entropy(jnp.array([0.0, 1.0]), jnp.asarray(1, dtype)), np.log1p(np.exp(-1)), rtol=1e-6)


def test_float_class_labels_are_not_probabilities_by_shape():
    with pytest.raises(TypeError, match="`labels` must be integer"):
        jloss.cross_entropy(jnp.zeros(3), jnp.array([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("smoothing", [-0.5, 1.5, 2.0])
def test_label_smoothing_out_of_range(smoothing):
    for loss in (jloss.cross_entropy, jloss.poly1_cross_entropy):
        with pytest.raises(ValueError, match="`label_smoothing` must be between 0 and 1"):
            loss(jnp.zeros(3), jnp.array(0), label_smoothing=smoothing)


@pytest.mark.parametrize(
    "loss",
    [jloss.squared_error, jloss.absolute_error, jloss.huber, jloss.sigmoid_cross_entropy, jloss.hinge, jloss.logistic, jloss.log_cosh],
    ids=lambda f: f.__name__,
)
def test_a_column_against_a_row_is_an_error(loss):
    with pytest.raises(ValueError, match="batch axes"):
        loss(jnp.zeros((3, 1)), jnp.zeros(3))


def test_label_smoothing_over_another_axis():
    logits, labels = jnp.arange(24.0).reshape(2, 3, 4), jnp.array([[0, 1, 2, 0], [2, 2, 1, 0]])
    front = jloss.cross_entropy(logits, labels, label_smoothing=0.3, axis=1)
    np.testing.assert_allclose(front, jloss.cross_entropy(jnp.moveaxis(logits, 1, -1), labels, label_smoothing=0.3), rtol=1e-6)


# ---------------------------------------------------------------- awkward points


@pytest.mark.parametrize("score", [100.0, 1000.0])
def test_soft_margin_does_not_overflow(score):
    value, slope = value_and_slope(jloss.logistic, score, jnp.asarray(-1.0))
    assert value == score
    assert slope == 1


def test_a_zero_vector_has_no_cosine_gradient():
    for loss in (jloss.cosine_distance, lambda a, b: jloss.cosine_embedding(a, b, jnp.asarray(1.0))):
        value, slope = value_and_slope(loss, jnp.zeros(3), jnp.array([1.0, 2.0, 2.0]))
        assert np.isfinite(value)
        assert (slope == 0).all()


def test_an_anchor_on_its_positive():
    value, slope = value_and_slope(jloss.triplet_margin, jnp.ones(3), jnp.ones(3), jnp.zeros(3), margin=5.0)
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("logit", [100.0, -100.0, 1e4, -1e4])
def test_focal_gradients_at_saturated_logits(gamma, logit):
    for target in (0.0, 1.0):
        value, slope = value_and_slope(jloss.sigmoid_focal, logit, jnp.asarray(target), gamma=gamma)
        assert np.isfinite(value)
        assert np.isfinite(slope)


def test_log_cosh_keeps_small_errors():
    np.testing.assert_allclose(jloss.log_cosh(jnp.array(1e-4), jnp.array(0.0)), 5e-9, rtol=1e-5)
    np.testing.assert_allclose(jloss.log_cosh(jnp.array(1e4), jnp.array(0.0)), 1e4 - np.log(2), rtol=1e-6)


def test_ciou_of_a_box_without_height():
    for target in ([0.0, 0.0, 2.0, 0.0], [1.0, 1.0, 1.0, 1.0]):
        value, slope = value_and_slope(jloss.ciou, [0.0, 0.0, 2.0, 2.0], jnp.array(target))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_poisson_full_is_exact():
    got = jloss.poisson_nll(jnp.array(0.0), jnp.array(2.0), full=True)
    np.testing.assert_allclose(got, 1 + np.log(2), rtol=1e-6)  # torch: 1.6518


def test_empty_masks_agree():
    value, slope = value_and_slope(jloss.dice, jnp.zeros((4, 4)), jnp.zeros((4, 4)))
    assert value == 0
    assert np.isfinite(slope).all()


def test_tversky_weighs_false_positives_by_fp_weight():
    false_positive = jloss.tversky(jnp.ones((1, 2)), jnp.array([[1.0, 0.0]]), fp_weight=1.0, fn_weight=0.0)
    false_negative = jloss.tversky(jnp.array([[1.0, 0.0]]), jnp.ones((1, 2)), fp_weight=1.0, fn_weight=0.0)
    assert false_positive > 0.4
    assert false_negative < 1e-4


def test_ctc_of_an_infeasible_alignment():
    value, slope = value_and_slope(jloss.ctc, jnp.zeros((2, 3)), jnp.array([1, 1]))
    assert value == inf
    assert (slope == 0).all()
    value, slope = value_and_slope(jloss.ctc, jnp.zeros((2, 3)), jnp.array([1, 1]), infeasible="zero")
    assert value == 0
    assert (slope == 0).all()


def test_ctc_is_never_negative():
    logits = 60.0 * jax.nn.one_hot(jnp.array([0, 1, 0, 2, 0, 0]), 4)
    assert jloss.ctc(logits, jnp.array([1, 2])) >= 0


def test_ctc_labels_out_of_range():
    for wrong in (-1, 4):
        assert np.isnan(jloss.ctc(jnp.zeros((5, 4)), jnp.array([1, wrong])))
