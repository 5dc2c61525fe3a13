"""Classification: the numbers of textbooks, the peers, and the points where peers go wrong."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import jloss
from jloss.numerics import log_softmax
from tests.compiled import AS_USERS

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5)).astype(np.float32) * 3
LABELS = np.array([0, 4, 2, 1, 3, 3])
PROBS = np.asarray(jax.nn.softmax(RNG.normal(size=(6, 5)).astype(np.float32)))
BITS = (RNG.uniform(size=(6, 5)) < 0.4).astype(np.float32)
SOFT = RNG.uniform(size=(6, 5)).astype(np.float32)
INF = np.inf


def value_and_grad(loss, first, *rest, **options):
    """Values, and the gradient of their sum in the first input."""

    def total(x):
        values = loss(x, *rest, **options)
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

    (_, values), gradient = jax.value_and_grad(total, has_aux=True)(jnp.asarray(first))
    return np.asarray(values), np.asarray(gradient)


def ours(loss, *args, **options):
    return value_and_grad(loss, *args, reduction="none", **options)


def test_worked_numbers():
    scores = jnp.array([[0.8, 0.1, 0.4], [0.1, 0.9, 0.2], [0.5, 0.4, 0.6]])
    np.testing.assert_allclose(jloss.cross_entropy(scores, jnp.array([0, 1, 2])), 0.81366, atol=5e-6)
    np.testing.assert_allclose(jloss.cross_entropy(scores, jnp.array([0, 1, 2]), reduction="none"), [0.7733, 0.6657, 1.0019], atol=5e-5)
    np.testing.assert_allclose(jloss.nll(jnp.array([[0.1, 0.8, 0.2], [0.4, 0.5, 0.6]]), jnp.array([1, 2])), -0.7, rtol=1e-6)
    probabilities, targets = [[0.1, 0.9, 0.8], [0.0, 1.0, 0.0]], [[0, 1, 1], [0, 1, 0]]
    np.testing.assert_allclose(jloss.binary_cross_entropy(probabilities, targets), 0.07231, atol=5e-6)
    logits, truth = [[-0.1, 0.9, 0.23], [-0.12, -0.34, 0.6]], [[0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(jloss.sigmoid_focal(logits, truth, alpha=0.25, gamma=2.0), 0.0824292, atol=5e-8)


def test_images_have_their_classes_on_axis_1():
    images = RNG.normal(size=(2, 5, 3, 4)).astype(np.float32)
    labels = RNG.integers(0, 5, (2, 3, 4))
    log_probs = jax.nn.log_softmax(images, axis=1)
    last = jloss.nll(jnp.moveaxis(log_probs, 1, -1), labels, reduction="none")
    np.testing.assert_array_equal(jloss.nll(log_probs, labels, axis=1, reduction="none"), last)
    np.testing.assert_allclose(jloss.cross_entropy(images, labels, axis=1, reduction="none"), last, rtol=1e-5, atol=1e-6)
    smooth = jloss.cross_entropy(jnp.zeros((2, 5, 3, 4)), labels, axis=1, label_smoothing=0.3)
    np.testing.assert_allclose(smooth, np.log(5), rtol=1e-6)  # Keras 3.15 divides by the wrong axis here


OPTAX = {
    "cross_entropy": (
        lambda x: jloss.cross_entropy(x, LABELS, reduction="none"),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, LABELS),
    ),
    "smoothed": (
        lambda x: jloss.cross_entropy(x, LABELS, reduction="none", label_smoothing=0.1),
        lambda x: optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(LABELS, 5), 0.1)),
    ),
    "soft": (lambda x: jloss.soft_cross_entropy(x, PROBS, reduction="none"), lambda x: optax.softmax_cross_entropy(x, PROBS)),
    "sigmoid": (
        lambda x: jloss.sigmoid_cross_entropy(x, SOFT, reduction="none"),
        lambda x: optax.sigmoid_binary_cross_entropy(x, SOFT),
    ),
    "focal": (
        lambda x: jloss.sigmoid_focal(x, SOFT, alpha=0.3, gamma=1.5, reduction="none"),
        lambda x: optax.sigmoid_focal_loss(x, SOFT, alpha=0.3, gamma=1.5),
    ),
    "poly1": (
        lambda x: jloss.poly1_cross_entropy(x, LABELS, epsilon=2.0, label_smoothing=0.1, reduction="none"),
        lambda x: optax.losses.poly_loss_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(LABELS, 5), 0.1)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTAX)
def test_agrees_with_optax(name):
    values, gradients = zip(*(value_and_grad(f, LOGITS) for f in OPTAX[name]), strict=True)
    np.testing.assert_allclose(values[0], values[1], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=2e-5, atol=2e-6)


@pytest.mark.slow
def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional

    def theirs(function, first, *rest, **options):
        x = torch.tensor(first, dtype=torch.float64, requires_grad=True)
        values = function(x, *(torch.tensor(r) for r in rest), reduction="none", **options)
        return values.detach().numpy(), torch.autograd.grad(values.sum(), x)[0].numpy()

    bits, soft, probs = BITS.astype(float), SOFT.astype(float), PROBS.astype(float)
    with jax.enable_x64(True):
        pairs = [
            (theirs(F.cross_entropy, LOGITS, LABELS), ours(jloss.cross_entropy, LOGITS.astype(float), LABELS)),
            (
                theirs(F.cross_entropy, LOGITS, LABELS, label_smoothing=0.2),
                ours(jloss.cross_entropy, LOGITS.astype(float), LABELS, label_smoothing=0.2),
            ),
            (
                theirs(F.cross_entropy, LOGITS, probs, label_smoothing=0.2),
                ours(jloss.soft_cross_entropy, LOGITS.astype(float), probs, label_smoothing=0.2),
            ),
            (theirs(F.nll_loss, LOGITS, LABELS), ours(jloss.nll, LOGITS.astype(float), LABELS)),
            (theirs(F.binary_cross_entropy, probs, bits), ours(jloss.binary_cross_entropy, probs, bits)),
            (
                theirs(F.binary_cross_entropy_with_logits, LOGITS, soft, pos_weight=torch.tensor(2.5)),
                ours(jloss.sigmoid_cross_entropy, LOGITS.astype(float), soft, positive_weight=2.5),
            ),
        ]
    for (their_values, their_gradients), (values, gradients) in pairs:
        np.testing.assert_allclose(values, their_values, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gradients, their_gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_where_torch_is_wrong():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    masked = [[2.0, 0.0, -INF]]
    assert F.cross_entropy(torch.tensor(masked), torch.tensor([0]), label_smoothing=0.1).item() == INF
    assert np.isnan(F.cross_entropy(torch.tensor(masked), torch.tensor([[0.5, 0.5, 0.0]])).item())
    assert np.isnan(F.binary_cross_entropy_with_logits(torch.tensor([INF]), torch.tensor([1.0])).item())
    assert np.isnan(F.cross_entropy(torch.zeros(2, 3), torch.tensor([-100, -100])).item())
    np.testing.assert_allclose(
        jloss.cross_entropy(jnp.array(masked), jnp.array([0]), label_smoothing=0.1),
        jloss.cross_entropy(jnp.array([[2.0, 0.0]]), jnp.array([0]), label_smoothing=0.1),
        rtol=1e-6,
    )
    nothing = jnp.array([-100, -100])
    assert jloss.cross_entropy(jnp.zeros((2, 3)), nothing, where=nothing != -100) == 0


def test_sigmoid_saturates_cleanly():
    x = jnp.array([INF, -INF, INF, -INF, 1e4, -1e4, 1000.0, 0.0, -0.0])
    t = jnp.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    values, gradient = ours(jloss.sigmoid_cross_entropy, x, t)
    np.testing.assert_allclose(values, [0, 0, INF, INF, 0, 1e4, 1000, np.log(2), np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient[4:], [0, -1, 1, -0.5, 0.5])
    assert np.isfinite(gradient).all()
    for gamma in (0.0, 0.3, 0.5, 1.0, 2.0):
        values, gradient = ours(jloss.sigmoid_focal, x, t, gamma=gamma)
        np.testing.assert_allclose(values[[0, 1, 2, 3, 4, 5, 6]], [0, 0, INF, INF, 0, 1e4, 1000], rtol=1e-6)
        np.testing.assert_allclose(values[7:], 0.5**gamma * np.log(2), rtol=1e-6)
        assert np.isfinite(gradient).all(), gamma
    # The gradient does not die where a float32 probability rounds to 0 (torch's sigmoid + BCELoss: -1.9e-10).
    np.testing.assert_allclose(jax.grad(jloss.sigmoid_cross_entropy)(-50.0, 1.0), -1)


def test_small_losses_keep_their_digits():
    np.testing.assert_allclose(jloss.sigmoid_cross_entropy(jnp.array(20.0), jnp.array(1)), np.log1p(np.exp(-20)), rtol=1e-6)
    np.testing.assert_allclose(jloss.sigmoid_focal(jnp.array(20.0), jnp.array(1), gamma=0.5), np.exp(-30), rtol=1e-5)
    np.testing.assert_allclose(jloss.binary_cross_entropy(jnp.array(1e-9), jnp.array(0)), 1e-9, rtol=1e-6)
    far = jnp.array([10000.0, 10001.0])
    np.testing.assert_allclose(jloss.cross_entropy(far, jnp.array(1)), np.log1p(np.exp(-1)), rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.5, 2.0])
def test_the_second_derivative_of_focal_where_the_label_is_certain(gamma):
    """There the loss is exp((1 + gamma) z). The square of odds of 1e-20 is 0 in float32."""
    for sign, target in ((1.0, 0.0), (-1.0, 1.0)):
        bend = jax.jit(jax.grad(jax.grad(lambda z, t=target: jloss.sigmoid_focal(z, jnp.float32(t), gamma=gamma))))
        wanted = (1 + gamma) ** 2 * np.exp(-15.0 * (1 + gamma))
        np.testing.assert_allclose(bend(jnp.float32(-15.0 * sign)), wanted, rtol=1e-4)
        assert abs(bend(jnp.float32(-50.0 * sign))) < 1e-20
        assert bend(jnp.float32(-1e4 * sign)) == 0


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.7])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_the_slope_of_focal_in_a_target_that_is_certain(gamma, alpha):
    """From within, by the formula in float64; whether gamma is left at its default of 2 or given."""

    def value(x, t):
        p = 1 / (1 + np.exp(-x))
        weight = 1 if alpha is None else alpha * t + (1 - alpha) * (1 - t)
        return weight * (1 - p * t - (1 - p) * (1 - t)) ** gamma * (t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x))

    with jax.enable_x64(True):
        slope = jax.jit(jax.vmap(jax.grad(lambda t, x, g: jloss.sigmoid_focal(x, t, alpha=alpha, gamma=g)), (0, 0, None)))
        x, t = np.array([0.7, 3.0, -2.0, -0.7, -3.0, 1.5]), np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        inside = np.where(t == 1, -1e-6, 1e-6)
        wanted = (4 * value(x, t + inside) - value(x, t + 2 * inside) - 3 * value(x, t)) / (2 * inside)
        np.testing.assert_allclose(slope(t, x, np.float64(gamma)), wanted, rtol=1e-6)
        if gamma == 2:
            at_default = jax.grad(lambda t: jnp.sum(jloss.sigmoid_focal(x, t, alpha=alpha, reduction="none")))(t)
            np.testing.assert_allclose(at_default, wanted, rtol=1e-6)
    far = jax.grad(jloss.sigmoid_focal, 1)(jnp.array([100.0, 1e4, INF]), jnp.ones(3), gamma=gamma)
    assert np.isfinite(far).all()


@pytest.mark.slow
def test_focal_gradient_is_finite_where_the_label_is_certain():
    x = jnp.array([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0], [0.0, 0.0, 0.0], [30.0, -30.0, -INF]])
    for gamma in (0.0, 0.5, 2.0):
        values, gradient = ours(jloss.softmax_focal, x, jnp.zeros(4, int), gamma=gamma)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient).all()
    plain, focal = jloss.cross_entropy(LOGITS, LABELS), jloss.softmax_focal(LOGITS, LABELS, gamma=0.0)
    np.testing.assert_allclose(focal, plain, rtol=1e-6)


@pytest.mark.slow
def test_absent_classes():
    logits = jnp.array([[1.0, -INF, 2.0, -INF]])
    for options in ({}, {"label_smoothing": 0.2}, {"z_loss": 0.01}):
        value, gradient = ours(jloss.cross_entropy, logits, jnp.array([2]), **options)
        np.testing.assert_allclose(value, jloss.cross_entropy(jnp.array([[1.0, 2.0]]), jnp.array([1]), **options), rtol=1e-6)
        np.testing.assert_array_equal(gradient[0, [1, 3]], 0)
        assert np.isfinite(gradient).all()
    value, gradient = ours(jloss.soft_cross_entropy, logits, jnp.array([[0.25, 0.0, 0.75, 0.0]]))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    value, gradient = ours(jloss.cross_entropy, logits, jnp.array([1]))  # the label itself is absent
    assert value[0] == INF
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64])
def test_labels_at_the_ends_of_their_dtype_are_nan_not_another_class(dtype):
    ends = np.iinfo(dtype)
    losses = (jloss.cross_entropy, jloss.nll, jloss.multiclass_zero_one, jloss.brier)
    with jax.enable_x64(True):
        labels = jnp.asarray(np.array([ends.min, 1, ends.max], dtype))
        values = jax.jit(lambda x: [loss(x, labels, reduction="none") for loss in losses])(jnp.zeros((3, 3), jnp.float32))
    for value in values:
        np.testing.assert_array_equal(np.isnan(value), [ends.min != 0, False, True])


def test_labels_above_256_survive_bfloat16_logits():
    logits = jnp.zeros((1, 300), jnp.bfloat16).at[0, 257].set(8.0)
    value = jloss.cross_entropy(logits, jnp.array([257]))
    np.testing.assert_allclose(value, np.log(np.exp(8) + 299) - 8, rtol=1e-5)  # Keras in bfloat16 reads label 256
    assert value.dtype == jnp.float32
    exact = jloss.cross_entropy(LOGITS.astype(jnp.bfloat16).astype(np.float32), LABELS)
    assert jloss.cross_entropy(jnp.asarray(LOGITS, jnp.bfloat16), LABELS) == exact  # optax answers in bfloat16, up to 0.04 off


def test_binary_cross_entropy_floor():
    p, t = jnp.array([0.0, 1.0, 0.0, 1.0, 1e-45, 1e-30, -0.1, 1.1]), jnp.array([1, 0, 0, 1, 1, 1, 0, 1])
    values, gradient = ours(jloss.binary_cross_entropy, p, t)
    np.testing.assert_allclose(values, [100, 100, 0, 0, 100, -np.log(1e-30), np.nan, np.nan], rtol=1e-6)
    assert np.isfinite(gradient[:6]).all()
    np.testing.assert_allclose(gradient[2:4], [1, -1])
    half = jloss.binary_cross_entropy(jnp.array([1.0], jnp.bfloat16), jnp.array([0]))
    assert half == 100  # Keras in bfloat16: inf


@pytest.mark.slow
def test_scores_of_probabilities():
    np.testing.assert_allclose(jloss.brier(jnp.eye(3), jnp.array([0, 1, 0]), reduction="none"), [0, 0, 2])
    value, gradient = ours(jloss.log_loss, jnp.array([[0.0, 1.0]]), jnp.array([0]))
    assert value[0] == INF
    np.testing.assert_array_equal(gradient, 0)
    sklearn = pytest.importorskip("sklearn.metrics")
    np.testing.assert_allclose(jloss.log_loss(PROBS, LABELS), sklearn.log_loss(LABELS, PROBS, labels=range(5)), rtol=1e-5)
    two = PROBS[:, :2] / PROBS[:, :2].sum(1, keepdims=True)
    np.testing.assert_allclose(jloss.brier(two, LABELS % 2), 2 * sklearn.brier_score_loss(LABELS % 2, two[:, 1]), rtol=1e-5)
    np.testing.assert_allclose(jloss.multiclass_zero_one(LOGITS, LABELS), 1 - sklearn.accuracy_score(LABELS, LOGITS.argmax(1)), rtol=1e-6)


def test_error_rates_have_no_gradient():
    np.testing.assert_array_equal(jax.grad(jloss.zero_one)(jnp.array([0.3, -1.0, 0.0]), jnp.array([-1, 1, 1])), 0)
    np.testing.assert_array_equal(jax.grad(jloss.multiclass_zero_one)(jnp.asarray(LOGITS), LABELS), 0)
    assert np.isnan(jloss.zero_one(jnp.nan, 1))
    assert np.isnan(jloss.multiclass_zero_one(jnp.array([0.0, jnp.nan]), 0))


@pytest.mark.parametrize(("count", "classes"), [(13, 9), (64, 3)])
def test_the_error_rate_of_logits_that_are_divided_in_the_same_program(count, classes):
    """XLA rounds the quotient in one place and not in another, so that none of the logits is the largest: that was 0 / 0."""
    rng = np.random.default_rng(7)
    logits, labels = rng.normal(size=(count, classes)).astype(np.float32), rng.integers(0, classes, count)
    rate = jax.jit(lambda z, y: jloss.multiclass_zero_one(z / 3, y, reduction="none"))
    found = rate.lower(logits, labels).compile(AS_USERS)(logits, labels)
    np.testing.assert_array_equal(found, logits.argmax(1) != labels)
    logits[3, 1] = np.nan
    found = rate.lower(logits, labels).compile(AS_USERS)(logits, labels)
    np.testing.assert_array_equal(np.isnan(found), np.arange(count) == 3)


@pytest.mark.slow
def test_weights_per_class_of_a_multi_label_problem():
    weights = np.array([1.0, 2.0, 0.5, 3.0, 1.0], np.float32)
    wide = np.broadcast_to(weights, LOGITS.shape)
    np.testing.assert_array_equal(
        jloss.sigmoid_cross_entropy(LOGITS, BITS, positive_weight=weights, reduction="none"),
        jloss.sigmoid_cross_entropy(LOGITS, BITS, positive_weight=jnp.asarray(wide), reduction="none"),
    )
    alpha = jnp.array([0.1, 0.2, 0.3, 0.4, 0.5])
    columns = [jloss.sigmoid_focal(LOGITS[:, i], BITS[:, i], alpha=alpha[i], reduction="none") for i in range(5)]
    np.testing.assert_allclose(jloss.sigmoid_focal(LOGITS, BITS, alpha=alpha, reduction="none"), np.stack(columns, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jloss.cross_entropy(LOGITS, LABELS, label_smoothing=1.5), "`label_smoothing` must be between 0 and 1, got 1.5."),
        (lambda: jloss.cross_entropy(LOGITS, LABELS, label_smoothing=-0.5), "`label_smoothing` must be between 0 and 1, got -0.5."),
        (lambda: jloss.softmax_focal(LOGITS, LABELS, gamma=-1.0), "`gamma` must be 0 or more, got -1.0."),
        (lambda: jloss.sigmoid_focal(LOGITS, BITS, alpha=2.0), "`alpha` must be between 0 and 1, got 2.0."),
    ],
)
def test_options_out_of_range(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


SHARDED = {
    "cross_entropy": {"label_smoothing": 0.1, "z_loss": 0.01},
    "softmax_focal": {},
    "poly1_cross_entropy": {"label_smoothing": 0.2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARDED)
def test_classes_split_over_devices(name):
    loss, options = jloss.CATALOGUE[name].public, SHARDED[name]
    mesh = jax.make_mesh((2, 2), ("data", "classes"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    logits = jnp.asarray(RNG.normal(size=(4, 8)).astype(np.float32)).at[0, 3].set(-jnp.inf)
    labels = jnp.array([7, 0, 3, 9])  # the last is out of range
    kept = jnp.array([True, True, True, False])

    def split(logits, labels, kept):
        return loss(logits, labels, where=kept, axis_name="data", class_axis_name="classes", **options)

    specs = (P("data", "classes"), P("data"), P("data"))
    sharded = jax.shard_map(split, mesh=mesh, in_specs=specs, out_specs=P())
    value, gradient = jax.jit(jax.value_and_grad(lambda x: sharded(x, labels, kept)))(logits)
    wanted, wanted_gradient = jax.value_and_grad(lambda x: loss(x, labels, where=kept, **options))(logits)
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-5, atol=1e-7)


KEEP = np.arange(4)
AT_INFINITY = {  # (logits, labels) -> the loss
    "cross_entropy": jloss.cross_entropy,
    "smoothed": lambda z, y: jloss.cross_entropy(z, y, label_smoothing=0.1),
    "z_loss": lambda z, y: jloss.cross_entropy(z, y, z_loss=1e-3),
    "soft_cross_entropy": lambda z, y: jloss.soft_cross_entropy(z, jax.nn.one_hot(y, 4)),
    "nll": lambda z, y: jloss.nll(log_softmax(z), y),
    "softmax_focal": jloss.softmax_focal,
    "half_focal": lambda z, y: jloss.softmax_focal(z, y, gamma=0.5),
    "poly1": jloss.poly1_cross_entropy,
    "logit_adjusted": lambda z, y: jloss.logit_adjusted(z, y, jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4]))),
    "ldam": lambda z, y: jloss.ldam(z, y, jnp.full(4, 0.1)),
    "generalized": jloss.generalized_cross_entropy,
    "symmetric": jloss.symmetric_cross_entropy,
    "reverse": jloss.reverse_cross_entropy,
    "linear_head": lambda z, y: jloss.linear_head(jloss.cross_entropy)(jnp.ones((1, 1)), z[:, None], y[None]),
    "distillation": lambda z, y: jloss.distillation(z, jnp.where(y == KEEP, jnp.inf, 0.0)),
    "reverse_kl": lambda z, y: jloss.reverse_kl(z, jnp.where(y == KEEP, jnp.inf, 0.0)),
    "decoupled": lambda z, y: jloss.decoupled_distillation(z, jnp.where(y == KEEP, jnp.inf, jnp.array([0.3, 0.1, -0.2, 1.0])), y),
    "normalized": lambda z, y: jloss.normalized_cross_entropy(z, y),
    "unlikelihood": lambda z, y: jloss.unlikelihood(z, (y != KEEP).astype(float)),
    "generalized_jsd": lambda z, y: jloss.generalized_jsd(z, jnp.where(y == KEEP, jnp.inf, 0.0)),
}


@pytest.mark.parametrize("name", AT_INFINITY)
def test_a_logit_of_infinity_takes_all_probability(name):
    loss = AT_INFINITY[name]
    logits = jnp.array([0.3, jnp.inf, -0.2, 1.0])
    value, gradient = jax.value_and_grad(loss)(logits, jnp.array(1))
    limit = jnp.inf if name in ("smoothed", "z_loss") else 0
    np.testing.assert_allclose(value, limit, atol=1e-6)
    if limit == 0:
        np.testing.assert_allclose(gradient, 0, atol=1e-6)
    other = jax.jit(loss)(logits, jnp.array(0))
    bounded = {"generalized": 1 / 0.7, "reverse": 4.0, "generalized_jsd": np.log(2), "normalized": 1 / 3}
    np.testing.assert_allclose(other, bounded.get(name, np.inf), rtol=1e-6)
    if np.isfinite(other):
        assert np.isfinite(jax.grad(loss)(logits, jnp.array(0))).all()


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "softmax_focal", "soft_cross_entropy"])
def test_logits_of_infinity_share_all_probability(name):
    logits = jnp.array([0.3, jnp.inf, jnp.inf, -jnp.inf])
    value, gradient = jax.value_and_grad(AT_INFINITY[name])(logits, jnp.array(1))
    np.testing.assert_allclose(value, np.log(2) / (4 if name == "softmax_focal" else 1), rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_logits_of_infinity_over_devices_and_in_rows_of_large_batches():
    logits = jnp.zeros((8, 9000)).at[jnp.arange(4), jnp.arange(4)].set(jnp.inf)
    labels = jnp.array([0, 1, 2, 0, 4, 5, 6, 7])
    values = jloss.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(values, [0, 0, 0, np.inf, *[np.log(9000)] * 4], rtol=1e-6)
    gradient = jax.grad(lambda z: jloss.cross_entropy(z, labels, where=jnp.arange(8) != 3))(logits)
    assert np.isfinite(gradient).all()
    assert not gradient[:3].any()
    mesh = jax.make_mesh((2,), ("classes",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    specs = jax.sharding.PartitionSpec(None, "classes"), jax.sharding.PartitionSpec()
    split = jax.shard_map(
        lambda z, y: jloss.cross_entropy(z, y, class_axis_name="classes", reduction="none"), mesh=mesh, in_specs=specs, out_specs=specs[1]
    )
    np.testing.assert_allclose(split(logits, labels), values, rtol=1e-6)


def test_moves_no_more_bytes_than_optax():
    logits, labels = jnp.zeros((64, 1000)), jnp.zeros(64, int)

    def cost(loss):
        compiled = jax.jit(jax.value_and_grad(loss)).lower(logits).compile()
        return compiled.cost_analysis()["bytes accessed"], compiled.memory_analysis().temp_size_in_bytes

    mine = cost(lambda x: jloss.cross_entropy(x, labels))
    theirs = cost(lambda x: optax.softmax_cross_entropy_with_integer_labels(x, labels).mean())
    assert mine[0] <= theirs[0]
    assert mine[1] <= theirs[1] + 4 * len(labels)  # whether the largest logit is infinite


def test_the_gradient_in_the_target_of_an_absent_class_is_finite():
    """The gap to a logit of -inf is a constant for it: what is left is log sum exp."""
    logits, targets = jnp.array([-jnp.inf, 0.0, 0.0]), jnp.array([0.0, 0.5, 0.5])
    np.testing.assert_allclose(jax.grad(jloss.soft_cross_entropy, argnums=1)(logits, targets), np.full(3, np.log(2)), rtol=1e-6)


@pytest.mark.slow
def test_soft_cross_entropy_of_many_is_that_of_few_at_the_awkward_points():
    """A large batch is computed in another order; at -inf, +inf (once and twice), zeros and 1e4 it gives the same."""
    logits = np.array(
        [[1, 2, -INF], [INF, 0, 1], [INF, INF, 1], [INF, -INF, 0], [1e4, -1e4, 0], [0, 0, 0], [-INF, -INF, 3], [-1, 5, 2]], np.float32
    )
    targets = np.array(
        [[0.5, 0.5, 0], [1, 0, 0], [0.5, 0.5, 0], [0.25, 0, 0], [0.5, 0, 0.5], [0, 0, 0], [0, 0, 1], [0.2, 0.3, 0.5]], np.float32
    )
    infinite = np.array([[1, -INF, 0], [INF, 0, 1]], np.float32), np.array([[0.5, 0.5, 0], [0.5, 0.5, 0]], np.float32)

    def both(logits, targets):
        gradients = jax.grad(lambda *inputs: jloss.soft_cross_entropy(*inputs, reduction="sum"), argnums=(0, 1))
        return jloss.soft_cross_entropy(logits, targets, reduction="none"), *gradients(logits, targets)

    few, many = both(logits, targets), both(*(np.tile(a, (4000, 1)) for a in (logits, targets)))
    assert np.all(np.isfinite(few[0]))
    assert not np.any(few[1][1:4])  # no gradient at +inf
    for small, large in zip(few, many, strict=True):
        np.testing.assert_allclose(large[: len(small)], small, rtol=2e-6, atol=1e-7)
        np.testing.assert_array_equal(large[-len(small) :], large[: len(small)])
    few, many = both(*infinite), both(*(np.tile(a, (16000, 1)) for a in infinite))
    np.testing.assert_array_equal(few[0], [INF, INF])
    np.testing.assert_array_equal(many[0][:2], [INF, INF])
    np.testing.assert_allclose(many[1][:2], few[1], rtol=2e-6, atol=1e-7)
