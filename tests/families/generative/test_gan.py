"""Adversarial losses: infinite scores, sets over devices, layers of features, penalties with a derivative inside."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from jloss.generative.gan import CRITERIA

inf, nan = jnp.inf, jnp.nan
RNG = np.random.default_rng(3)
REAL, FAKE = (jnp.asarray(RNG.normal(size=n), jnp.float32) for n in (8, 12))
REAL_MASK, FAKE_MASK = jnp.asarray([1, 1, 0, 1, 0, 0, 1, 1], bool), jnp.asarray([0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1], bool)


# ---------------------------------------------------------------- scores that are sure


@pytest.mark.parametrize(
    ("r", "f", "smoothing", "value"),
    [
        (inf, -inf, 0.0, 0.0),
        (-inf, -inf, 0.0, inf),
        (inf, inf, 0.0, inf),
        (inf, -inf, 0.5, inf),
        (-inf, -inf, 0.5, inf),
        (0.0, 0.0, 0.25, 2 * math.log(2)),
        (2.0, -inf, 0.25, 0.875 * math.log1p(math.exp(-2)) + 0.125 * math.log1p(math.exp(2))),
    ],
)
def test_the_minimax_discriminator_at_infinite_scores(r, f, smoothing, value):
    got, slopes = jax.value_and_grad(jloss.minimax_discriminator, (0, 1))(r, f, label_smoothing=smoothing)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    assert np.isfinite(slopes).all()


def test_smoothing_has_its_slope_at_zero():
    slope = jax.grad(lambda a: jloss.minimax_discriminator(3.0, 0.0, label_smoothing=a))(0.0)
    np.testing.assert_allclose(slope, 1.5, rtol=1e-6)  # half of softplus(3) - softplus(-3)


def test_the_hinge_is_flat_at_its_corners():
    value, slopes = jax.value_and_grad(jloss.hinge_discriminator, (0, 1))(1.0, -1.0)
    assert (float(value), *map(float, slopes)) == (0.0, 0.0, 0.0)
    assert jloss.hinge_discriminator(inf, -inf) == 0


def test_patches_are_examples_like_images():
    real, fake = REAL[:8].reshape(2, 2, 2), FAKE[:8].reshape(2, 2, 2)
    wanted = np.mean(np.maximum(0, 1 - np.asarray(real)) + np.maximum(0, 1 + np.asarray(fake)))
    np.testing.assert_allclose(jloss.hinge_discriminator(real, fake), wanted, rtol=1e-6)


def test_the_generator_of_a_pair_is_its_discriminator_turned_round():
    for criterion in CRITERIA:
        one = jloss.relativistic_generator(REAL, FAKE[:8], criterion=criterion)
        np.testing.assert_allclose(one, jloss.relativistic_discriminator(FAKE[:8], REAL, criterion=criterion), rtol=1e-6)


# ---------------------------------------------------------------- sets


SETS = {
    "relativistic_average_discriminator": lambda r, f, **k: jloss.relativistic_average_discriminator(r, f, **k),
    "relativistic_average_generator": lambda r, f, **k: jloss.relativistic_average_generator(r, f, criterion="hinge", **k),
    "dual_contrastive": lambda r, f, **k: jloss.dual_contrastive(r, f, **k),
    "mean_feature_matching": lambda r, f, **k: jloss.mean_feature_matching(r[:, None], f[:, None], **k),
}


def masks(name, first, second):
    names = ("fake_mask", "real_mask") if name == "mean_feature_matching" else ("real_mask", "fake_mask")
    return dict(zip(names, (first, second), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_set_over_devices_is_the_set_on_one(name):
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])

    def local(r, f, rm, fm):
        return SETS[name](r, f, **masks(name, rm, fm), negatives_axis_name="i")

    spread = jax.shard_map(local, mesh=mesh, in_specs=P("i"), out_specs=P())
    got = jax.jit(jax.value_and_grad(spread, (0, 1)))(REAL, FAKE, REAL_MASK, FAKE_MASK)
    wanted = jax.value_and_grad(SETS[name], (0, 1))(REAL, FAKE, **masks(name, REAL_MASK, FAKE_MASK))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, wanted)
    unmasked = jax.shard_map(lambda r, f: SETS[name](r, f, negatives_axis_name="i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    np.testing.assert_allclose(unmasked(REAL, FAKE), SETS[name](REAL, FAKE), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_side_of_which_nothing_is_kept_costs_nothing(name):
    none = jnp.zeros_like(FAKE_MASK)
    holes = jnp.where(FAKE_MASK, FAKE, nan)
    for side in (lambda r: SETS[name](r, holes, **masks(name, REAL_MASK, none)), lambda r: SETS[name](r, jnp.zeros(0))):
        value, slope = jax.value_and_grad(side)(REAL)
        assert value == 0
        assert (slope == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_what_a_mask_drops_may_hold_anything(name):
    def of(r, f):
        return SETS[name](r, f, **masks(name, REAL_MASK, FAKE_MASK))

    got = jax.value_and_grad(of, (0, 1))(jnp.where(REAL_MASK, REAL, nan), jnp.where(FAKE_MASK, FAKE, inf))
    alone = jax.value_and_grad(SETS[name], (0, 1))(REAL[REAL_MASK], FAKE[FAKE_MASK])
    np.testing.assert_allclose(got[0], alone[0], rtol=1e-6)
    for slope, wanted, mask in zip(got[1], alone[1], (REAL_MASK, FAKE_MASK), strict=True):
        np.testing.assert_allclose(slope[mask], wanted, rtol=1e-5, atol=1e-7)
        assert (slope[~mask] == 0).all()


def test_both_averages_are_differentiated():
    """Least squares of one real score and one generated one is the paired loss, twice."""
    slope = jax.grad(lambda r: jloss.relativistic_average_discriminator(r, jnp.zeros(1), criterion="least_squares"))(jnp.array([3.0]))
    np.testing.assert_allclose(slope, [8.0])


def test_dual_contrast_of_scores_that_exp_cannot_hold():
    value = jloss.dual_contrastive(jnp.array([-500.0, 0.0]), jnp.array([500.0]))
    np.testing.assert_allclose(value, (1000 + 500) / 2 + 1000, rtol=1e-6)


# ---------------------------------------------------------------- features


@pytest.mark.slow
def test_layers_are_averaged_or_added():
    fake = {"first": jnp.ones((2, 3)), "second": jnp.full((2, 2, 2), 4.0)}
    real = {"first": jnp.zeros((2, 3)), "second": jnp.full((2, 2, 2), 1.0)}
    assert jloss.feature_matching(fake, real) == 2
    assert jloss.feature_matching(fake, real, average_layers=False) == 4
    np.testing.assert_array_equal(jloss.feature_matching(fake, real, where=jnp.array([True, False]), reduction="none"), [2, 0])


@pytest.mark.slow
def test_real_features_are_constants_and_equal_ones_have_no_slope():
    fake, real = jax.grad(jloss.feature_matching, (0, 1))([jnp.zeros((2, 3))], [jnp.ones((2, 3))])
    np.testing.assert_allclose(fake[0], np.full((2, 3), -1 / 6))
    assert not real[0].any()
    assert not jax.grad(jloss.feature_matching)([jnp.ones((2, 3))], [jnp.ones((2, 3))])[0].any()


@pytest.mark.slow
def test_nan_in_the_features_of_a_masked_example_stays_there():
    features = [jnp.array([[1.0], [nan]])]
    value, slope = jax.value_and_grad(lambda f: jloss.feature_matching(f, [jnp.zeros((2, 1))], where=jnp.array([True, False])))(features)
    assert value == 1
    np.testing.assert_array_equal(slope[0], [[1.0], [0.0]])


@pytest.mark.slow
def test_an_example_of_weight_zero_has_a_slope_in_its_weight():
    """The mean is w . l / sum(w), so that at the weights 1 and 0 it rises by the second loss less the first, 4 - 1."""
    features, weights = [jnp.array([[1.0], [4.0]])], jnp.array([1.0, 0.0])
    slope = jax.grad(lambda w: jloss.feature_matching(features, [jnp.zeros((2, 1))], weights=w))(weights)
    np.testing.assert_allclose(slope, [0.0, 3.0])
    absent = [jnp.array([[1.0], [nan]])]
    assert jloss.feature_matching(absent, [jnp.zeros((2, 1))], weights=weights) == 1


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"where": np.ones(3, bool)}, r"`where` has shape \(3,\), but there is one value per example: \(2,\)"),
        ({"where": np.ones(2, int)}, "`where` must be boolean, got int"),
        ({"weights": np.ones((2, 1))}, r"`weights` has shape \(2, 1\)"),
    ],
)
def test_a_mask_that_does_not_fit(mask, words):
    with pytest.raises((TypeError, ValueError), match=f"feature_matching: {words}"):
        jloss.feature_matching([jnp.ones((2, 3))], [jnp.zeros((2, 3))], **mask)
    with pytest.raises((TypeError, ValueError), match=f"path_length_penalty: {words}"):
        jloss.path_length_penalty(lambda z: z.reshape(1, 1, 2), jnp.ones((2, 2)), jax.random.key(0), 1.0, **mask)


@pytest.mark.slow
def test_lists_are_arrays_as_in_every_loss():
    assert jloss.feature_matching([jnp.ones((2, 3))], [jnp.zeros((2, 3))], where=[True, False]) == 1
    assert jloss.path_length_penalty(lambda z: 0.0 * z.reshape(1, 1, 2), [[1, 2], [3, 4]], jax.random.key(0), 3.0) == 9


def test_half_precision_features_are_compared_in_float32():
    value = jloss.feature_matching([jnp.full((1, 3000), 300.0, jnp.float16)], [jnp.zeros((1, 3000), jnp.float16)])
    assert value.dtype == jnp.float32
    assert value == 300


@pytest.mark.parametrize(
    ("fake", "real", "words"),
    [
        ({"a": jnp.ones((2, 3))}, {"a": jnp.ones((2, 4))}, r"'a' has shape \(2, 3\) in `fake_features`, but \(2, 4\)"),
        ({"a": jnp.ones(2)}, {"b": jnp.ones(2)}, "must have the same leaves"),
        ([jnp.ones((2, 3)), jnp.ones((3, 3))], [jnp.ones((2, 3)), jnp.ones((3, 3))], "'1' has 3 examples, others have 2"),
        ([], [], "at least one leaf"),
        ([jnp.ones(())], [jnp.ones(())], "no axis of examples"),
    ],
)
def test_features_that_do_not_fit(fake, real, words):
    with pytest.raises(ValueError, match=f"feature_matching: .*{words}"):
        jloss.feature_matching(fake, real)


# ---------------------------------------------------------------- derivatives inside


@pytest.mark.slow
def test_the_path_length_of_a_linear_generator():
    """J is a matrix: the expected squared length of J^T y is its squared norm over the number of pixels."""
    matrix = jnp.asarray(RNG.normal(size=(2 * 3 * 4, 5)), jnp.float32)

    def penalty(matrix, key):
        return jloss.path_length_penalty(lambda z: (matrix @ z).reshape(2, 3, 4), jnp.ones((4096, 5)), key, 0.0)

    value, slope = jax.jit(jax.value_and_grad(penalty))(matrix, jax.random.key(0))
    np.testing.assert_allclose(value, np.sum(np.square(matrix)) / 6, rtol=0.05)
    np.testing.assert_allclose(slope, matrix / 3, atol=0.12)


@pytest.mark.slow
def test_the_mean_length_is_a_constant_and_a_flat_generator_has_a_finite_slope():
    def penalty(scale, mean):
        return jloss.path_length_penalty(lambda z: scale * z.reshape(1, 1, 2), jnp.ones((3, 2)), jax.random.key(0), mean)

    (of_scale, of_mean), value = jax.grad(penalty, (0, 1))(0.0, 2.0), penalty(0.0, 2.0)
    assert (float(value), float(of_scale), float(of_mean)) == (4.0, 0.0, 0.0)
    lengths = [float(penalty(2.0, m)) for m in (0.0, 1.0)]
    assert lengths[0] != lengths[1]


@pytest.mark.slow
def test_a_masked_latent_reaches_nothing():
    latents = jnp.array([[1.0, 2.0], [nan, 0.0]])
    where = jnp.array([True, False])

    def penalty(scale, z):
        return jloss.path_length_penalty(lambda z: jnp.sin(scale * z).reshape(1, 1, 2), z, jax.random.PRNGKey(0), 1.0, where=where)

    slopes = jax.grad(penalty, (0, 1))(1.0, latents)
    assert all(np.isfinite(s).all() for s in slopes)
    assert not slopes[1][1].any()


def test_r1_of_the_hinge_in_one_step():
    """A gradient penalty beside the loss, as a discriminator is trained: second derivatives under jit."""

    @jax.jit
    def step(weight):
        critic = lambda x: jnp.sum(jnp.tanh(weight * x))  # noqa: E731
        scores = jax.vmap(critic)
        real, fake = jnp.array([[1.0], [2.0]]), jnp.array([[-1.0], [0.5]])
        penalty = jloss.gradient_penalty(critic, real, target=0.0) / 2
        return jloss.hinge_discriminator(scores(real), scores(fake)) + penalty

    h = 1e-3
    numeric = (step(0.7 + h) - step(0.7 - h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(step)(0.7), numeric, rtol=2e-3)
