"""Overlap losses: class axes, masks, empty masks, worked numbers, peers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.vision._pixels import share
from tests.compiled import AS_USERS

OVERLAP = ["dice", "jaccard", "tversky", "focal_tversky", "log_dice", "log_cosh_dice", "combo", "unified_focal"]
PER_MASK = [*OVERLAP, "mcc"]
RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.95, (2, 3, 4, 5)).astype(np.float32)  # (batch, class, height, width)
Y = (RNG.uniform(size=P.shape) < 0.4).astype(np.float32)
KEEP = RNG.uniform(size=(2, 4, 5)) < 0.7


def loss(name):
    return jloss.CATALOGUE[name].public


def last(x):
    return np.moveaxis(x, 1, -1)


@functools.cache
def compiled(name):
    def f(p, y, mask, smoothing):
        values = loss(name)(p, y, mask=mask, reduction="none", **smoothing)
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

    return jax.jit(jax.value_and_grad(f, argnums=(0, 1), has_aux=True))


def run(name, p, y, mask=None, s=1e-5, d=1e-5):
    """Six examples of 4 x 5 pixels, so that each loss is compiled once: their values, and the gradients in both masks."""
    p, y = (np.broadcast_to(np.asarray(x, np.float32), (6, 4, 5)) for x in (p, y))
    mask = np.broadcast_to(np.asarray(True if mask is None else mask), (6, 4, 5))
    smoothing = {} if name == "mcc" else {"smooth_numerator": s, "smooth_denominator": d}
    (_, values), gradients = compiled(name)(p, y, mask, smoothing)
    return np.asarray(values), [np.asarray(g) for g in gradients]


# ---------------------------------------------------------------- class axes, spatial axes, masks


@pytest.mark.parametrize("axis", [1, -3, -1, 3])
def test_each_class_is_an_example_of_its_own(axis):
    alone, _ = run("dice", P.reshape(6, 4, 5), Y.reshape(6, 4, 5), np.repeat(KEEP, 3, axis=0))
    alone = alone.reshape(2, 3)
    where, weights = np.array([[1, 0, 1], [1, 1, 0]], bool), np.array([[1, 2, 3], [4, 0, 6]], np.float32)
    counted = where & (weights != 0)
    p, y, kept = (x if axis in (1, -3) else last(x) for x in (P, Y, KEEP[:, None] & counted[:, :, None, None]))

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def both(p):
        values = jloss.dice(p, y, mask=KEEP, axis=axis, reduction="none")
        return jloss.dice(p, y, mask=KEEP, axis=axis, where=where, weights=weights), values

    (mean, values), gradient = both(p)
    np.testing.assert_allclose(values, alone, rtol=2e-6)
    np.testing.assert_allclose(mean, np.average(alone, weights=counted * weights), rtol=2e-6)
    np.testing.assert_array_equal(np.asarray(gradient) != 0, kept)


@pytest.mark.parametrize("name", PER_MASK)
def test_nan_in_an_ignored_pixel_is_as_if_it_were_not_there(name):
    p, y, keep = P.reshape(6, 4, 5), Y.reshape(6, 4, 5), np.repeat(KEEP, 3, axis=0)
    values, gradients = run(name, np.where(keep, p, np.nan), np.where(keep, y, np.nan), keep)
    clean, wanted = run(name, p, y, keep)
    np.testing.assert_array_equal(values, clean)
    for g, w in zip(gradients, wanted, strict=True):
        np.testing.assert_array_equal(g, w)
        assert np.all(g[~keep] == 0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_spatial_axes_are_as_many_as_one_says(count):
    p, y = P.reshape((6, 20, 1, 1)[: count + 1] if count == 1 else (6, 4, 5, 1)[: count + 1]), Y.reshape(-1)
    y = y.reshape(p.shape)
    flat = jloss.dice(P.reshape(6, 20), Y.reshape(6, 20), spatial_ndim=1, reduction="none")
    np.testing.assert_allclose(jloss.dice(p, y, spatial_ndim=count, reduction="none"), flat, rtol=1e-6)
    classes = jloss.dice(np.moveaxis(p, 0, -1), np.moveaxis(y, 0, -1), spatial_ndim=count, axis=-1, reduction="none")
    np.testing.assert_allclose(classes, flat, rtol=1e-6)


def test_a_mask_without_batch_axes_is_shared():
    shared = jloss.dice(last(P), last(Y), mask=KEEP[0], axis=-1, reduction="none")
    both = jloss.dice(last(P), last(Y), mask=np.stack([KEEP[0]] * 2), axis=-1, reduction="none")
    np.testing.assert_array_equal(shared, both)


def test_wrong_axes_are_named():
    with pytest.raises(ValueError, match=r"dice: `mask` has batch axes \(2, 3\), but `predictions` has \(2,\)"):
        jloss.dice(P, Y, mask=Y > 0.5, axis=1)
    with pytest.raises(ValueError, match=r"dice: axis `s0` of `mask` has size 5, but 4 is expected from `predictions`"):
        jloss.dice(P, Y, mask=KEEP.swapaxes(1, 2), axis=1)
    with pytest.raises(ValueError, match="dice: `predictions` has 2 axes, but needs at least 3"):
        jloss.dice(P[0, 0], Y[0, 0], axis=-1)
    with pytest.raises(ValueError, match=r"`where` has shape \(2,\), but there is one value per example: \(2, 3\)"):
        jloss.dice(P, Y, axis=1, where=np.ones(2, bool))


def test_options_out_of_range():
    with pytest.raises(ValueError, match="focal_tversky: `gamma` must be greater than 0"):
        jloss.focal_tversky(P, Y, gamma=0.0)
    with pytest.raises(ValueError, match="generalized_dice: `weighting` must be one of"):
        jloss.generalized_dice(P, Y, weighting="cubic")
    with pytest.raises(ValueError, match="wasserstein_dice: `background` must be one of the 3 classes"):
        jloss.wasserstein_dice(last(P), last(Y), np.ones((3, 3), np.float32), background=3)


# ---------------------------------------------------------------- empty masks, documented numbers


@pytest.mark.parametrize(
    ("name", "empty", "missed"),
    [
        ("dice", 0, 1), ("jaccard", 0, 1), ("tversky", 0, 1), ("focal_tversky", 0, 1), ("log_dice", 0, np.log(2e5)),
        ("log_cosh_dice", 0, np.log(np.cosh(1))), ("mcc", 1, 1), ("combo", 0, 0.5 - 0.25 * np.log(0.9)), ("unified_focal", 0, None),
    ],
)  # fmt: skip
def test_empty_masks(name, empty, missed):
    p, mask = np.zeros((6, 4, 5)), np.ones((6, 4, 5), bool)
    p[1], p[2], p[3] = 0.3, np.nan, 0.1
    mask[1:3] = False
    values, gradients = run(name, p, 0.0, mask)
    np.testing.assert_allclose(values[:3], empty, atol=1e-6)
    assert np.isfinite(gradients).all()
    if missed is not None:
        np.testing.assert_allclose(values[3], missed, rtol=2e-5)


@pytest.mark.parametrize("name", OVERLAP)
def test_nothing_smoothed(name):
    values, gradients = run(name, 0.0, np.arange(6)[:, None, None] % 2, s=0.0, d=0.0)
    np.testing.assert_array_equal(values[::2], 0)
    assert np.all(values[1::2] == np.inf if name == "log_dice" else values[1::2] > 0.2)
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("name", PER_MASK)
def test_a_perfect_match_of_hard_masks_is_zero_to_the_last_digit(name):
    hard = Y.reshape(6, 4, 5)
    values, gradients = run(name, hard, hard)
    assert np.all(np.abs(values) <= (3e-7 if name == "mcc" else 0))
    assert np.isfinite(gradients).all()


def test_near_a_match_no_digits_are_lost():
    target = jnp.zeros((64, 64)).at[8:40, 8:40].set(1.0)
    off = jnp.where(target == 1, 1.0, 1e-7)
    wanted = (64 * 64 - 32 * 32) * 1e-7 / (2 * 32 * 32)
    np.testing.assert_allclose(jloss.dice(off, target), wanted, rtol=1e-4)  # one minus a ratio near 1 has one digit here


@pytest.mark.parametrize("name", [*OVERLAP, "generalized_dice"])
def test_masks_that_are_surely_empty_have_a_gradient_without_smoothing(name):
    """Of logits of -50, pixels of 2e-22, by whose square a derivative divides."""
    nothing = {"smooth_numerator": 0.0, "smooth_denominator": 0.0}

    def values(logits, targets):
        return jnp.sum(loss(name)(jax.nn.sigmoid(logits), targets, reduction="none", **nothing))

    logits, targets = np.full((2, 4, 4), -50, np.float32), np.zeros((2, 4, 4), np.float32)
    gradient = jax.jit(jax.grad(values)).lower(logits, targets).compile(AS_USERS)
    np.testing.assert_allclose(gradient(logits, targets), 0, atol=1e-6)
    targets[1, 0, 0] = 1
    assert np.isfinite(gradient(logits, targets)).all()


def test_a_share_of_a_negative_whole_has_its_gradient():
    """As of `wasserstein_dice`, of soft labels that add up to more than 1."""
    gradients = jax.grad(share, argnums=(0, 1))(3.0, jnp.float32(-2.0))
    np.testing.assert_allclose(gradients, [-0.5, -0.75], rtol=1e-6)


@pytest.mark.parametrize("likely", [1e-4, 1e-8, 1e-10])
def test_log_dice_of_a_large_region_that_is_missed_keeps_its_digits(likely):
    """Where the overlap was the total less the error, 131072 pixels left no digit of it: 23.3 for 18.4, with 132 times the gradient."""
    predictions, targets = np.full((512, 512), likely, np.float32), np.zeros((512, 512), np.float32)
    targets[:256] = 1
    overlap, total = 2**18 * likely + 1e-5, 2**18 * likely + 2**17 + 1e-5
    step = jax.jit(jax.value_and_grad(jloss.log_dice)).lower(predictions, targets).compile(AS_USERS)
    value, gradient = step(predictions, targets)
    np.testing.assert_allclose(value, np.log(total / overlap), rtol=1e-6)
    np.testing.assert_allclose(gradient[:256], 1 / total - 2 / overlap, rtol=1e-5)


def test_log_dice_of_what_is_hardly_found_without_smoothing():
    value, gradient = jax.value_and_grad(lambda p: jloss.log_dice(jnp.full((1, 1), p), jnp.ones((1, 1)), smooth_numerator=0.0))(2e-22)
    np.testing.assert_allclose([value, gradient], [np.log(1 / 4e-22), -5e21], rtol=1e-4)


# ---------------------------------------------------------------- relations and peers


@pytest.mark.slow
def test_relations():
    dice, jaccard = jloss.dice(P, Y, axis=1, reduction="none"), jloss.jaccard(P, Y, axis=1, reduction="none")
    half = {"smooth_numerator": 5e-6, "smooth_denominator": 5e-6}
    np.testing.assert_allclose(jloss.tversky(P, Y, axis=1, reduction="none", **half), dice, rtol=1e-6)
    np.testing.assert_allclose(jaccard, 2 * dice / (1 + dice), rtol=1e-5)
    np.testing.assert_allclose(jloss.tversky(P, Y, fp_weight=1.0, fn_weight=1.0, axis=1, reduction="none"), jaccard, rtol=1e-6)
    np.testing.assert_allclose(jloss.log_dice(P, Y, axis=1, reduction="none"), -np.log1p(-dice), rtol=1e-5)
    np.testing.assert_allclose(jloss.dice(P, P, soft_labels=True), 0, atol=1e-7)
    assert jloss.dice(P, P) > 0.2


@pytest.mark.slow
def test_optax_dice():
    """optax's dice is a Tversky index with one smoothing; its name for the costs are alpha and beta."""
    optax = pytest.importorskip("optax")
    logits = RNG.normal(size=(2, 4, 5, 3)).astype(np.float32)
    labels = jax.nn.one_hot(RNG.integers(0, 3, (2, 4, 5)), 3)

    def ours(z):
        return jloss.tversky(jax.nn.softmax(z), labels, axis=-1, fp_weight=0.2, fn_weight=0.9, smooth_numerator=1.0, smooth_denominator=1.0)

    def theirs(z):
        return jnp.mean(optax.losses.dice_loss(z, labels, alpha=0.2, beta=0.9, smooth=1.0))

    (value, gradient), (wanted, slope) = jax.value_and_grad(ours)(logits), jax.value_and_grad(theirs)(logits)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_an_absent_class_does_not_take_over_generalized_dice():
    """With it, optax's loss is that of the absent class alone; Sudre's moves little."""
    optax = pytest.importorskip("optax")
    labels = np.zeros((1, 8, 8), int)
    labels[:, 2:5, 2:6] = 1
    right = 8.0 * jax.nn.one_hot(labels, 3)
    wrong = 8.0 * jax.nn.one_hot(1 - labels, 3)
    onehot = jax.nn.one_hot(labels, 3)

    def ours(z):
        return float(jloss.generalized_dice(jax.nn.softmax(z), onehot))

    def theirs(z):
        with jax.numpy_rank_promotion("allow"):
            return float(optax.losses.multiclass_generalized_dice_loss(z, onehot))

    assert ours(right) < 0.01
    assert ours(wrong) > 0.95
    assert abs(theirs(wrong) - theirs(right)) < 1e-3  # as good as blind to the two classes that are there
    present = float(jloss.generalized_dice(jax.nn.softmax(wrong)[..., :2], onehot[..., :2]))
    assert abs(ours(wrong) - present) < 0.01


def test_generalized_dice_is_sudres_ratio():
    targets = np.zeros((1, 6, 6, 3), np.float32)
    targets[..., 0], targets[:, 1:3, 1:3, 1], targets[:, 5, 5, 2] = 1, 1, 1
    targets[..., 0] -= targets[..., 1] + targets[..., 2]
    p = RNG.dirichlet(np.ones(3), (1, 6, 6)).astype(np.float32)
    weights = 1 / targets.sum((0, 1, 2)) ** 2
    wanted = 1 - 2 * (weights * (p * targets).sum((0, 1, 2))).sum() / (weights * (p + targets).sum((0, 1, 2))).sum()
    bare = {"smooth_numerator": 0.0, "smooth_denominator": 0.0}
    np.testing.assert_allclose(jloss.generalized_dice(p, targets, **bare), wanted, rtol=1e-6)
    front = jloss.generalized_dice(np.moveaxis(p, -1, 1), np.moveaxis(targets, -1, 1), axis=1, **bare)
    np.testing.assert_allclose(front, wanted, rtol=1e-6)


def test_wasserstein_dice_of_equal_distances():
    """All classes equally far: a pixel costs the probability of the wrong classes."""
    labels = np.array([[[0, 1], [2, 1]]])
    p = RNG.dirichlet(np.ones(3), labels.shape).astype(np.float32)
    right = np.take_along_axis(p, labels[..., None], -1)[..., 0]
    hit = (right * (labels != 0)).sum()
    wanted = 1 - 2 * hit / (2 * hit + (1 - right).sum())
    value = jloss.wasserstein_dice(p, jax.nn.one_hot(labels, 3), 1 - np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    near = np.array([[0, 1, 1], [1, 0, 0.1], [1, 0.1, 0]], np.float32)
    confused = jax.nn.one_hot(np.where(labels == 0, 0, 3 - labels), 3)
    assert jloss.wasserstein_dice(confused, jax.nn.one_hot(labels, 3), near) < 0.1


def test_unified_focal_limits():
    """With gamma = 0 and all weight on one part it is the weighted cross entropy, or the mean of two Tversky losses."""
    p, y = P[0, 0], Y[0, 0]
    entropy = jloss.combo(p, y, alpha=0.6, ce_ratio=1.0)
    np.testing.assert_allclose(jloss.unified_focal(p, y, weight=1.0, gamma=0.0), entropy, rtol=1e-6)
    sides = jloss.tversky(p, y, fp_weight=0.4, fn_weight=0.6) + jloss.tversky(1 - p, 1 - y, fp_weight=0.4, fn_weight=0.6)
    np.testing.assert_allclose(jloss.unified_focal(p, y, weight=0.0, gamma=0.0), sides / 2, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_keras(monkeypatch):
    """Keras's dice of one mask is this one; its Tversky has alpha on one error or, up to version 3.15, on the other."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    p, y, bare = P[0, 0], Y[0, 0], {"smooth_numerator": 0.0, "smooth_denominator": 0.0}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = [float(keras.losses.dice(y, p)), float(keras.losses.tversky(y, p, alpha=0.9, beta=0.2))]
    np.testing.assert_allclose(theirs[0], jloss.dice(p, y, **bare), rtol=1e-5)
    either = [float(jloss.tversky(p, y, fp_weight=a, fn_weight=b, **bare)) for a, b in ((0.9, 0.2), (0.2, 0.9))]
    assert np.min(np.abs(np.array(either) - theirs[1])) < 1e-5 < np.abs(either[0] - either[1])


def test_matthews_correlation_of_hard_masks():
    metrics = pytest.importorskip("sklearn.metrics")
    hard = (P > 0.5).astype(np.float32)
    wanted = [[1 - metrics.matthews_corrcoef(Y[b, c].ravel(), hard[b, c].ravel()) for c in range(3)] for b in range(2)]
    np.testing.assert_allclose(jloss.mcc(hard, Y, axis=1, reduction="none"), wanted, rtol=1e-5, atol=1e-6)
