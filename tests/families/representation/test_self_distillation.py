"""Learning without negatives: what is stopped, statistics over devices, collapse, and the numbers of the papers' formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from tests.cases import ORACLES, finite_on
from tests.compiled import AS_USERS

RNG = np.random.default_rng(11)
N, D = 8, 3
FIRST, SECOND = (jnp.asarray(RNG.normal(size=(N, D)), jnp.float32) for _ in range(2))
CENTER = jnp.asarray(RNG.normal(size=D), jnp.float32)
MASK = jnp.array([True, True, False, True, True, True, False, True])
KEY = jax.random.key(3)


def assert_close(got, wanted, rtol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1e-3, float(np.max(np.abs(b))))), got, wanted)


# ---------------------------------------------------------------- what is stopped


@pytest.mark.parametrize(
    ("loss", "inputs", "stopped"),
    [
        (jloss.byol, (FIRST, SECOND), (1,)),
        (jloss.simsiam, (FIRST, SECOND), (1,)),
        (jloss.dino, (FIRST, SECOND, CENTER), (1, 2)),
        (jloss.ibot, (FIRST, SECOND, CENTER), (1, 2)),
    ],
    ids=["byol", "simsiam", "dino", "ibot"],
)
def test_a_stopped_input_moves_the_loss_but_has_no_gradient(loss, inputs, stopped):
    slopes = jax.grad(loss, tuple(range(len(inputs))))(*inputs)
    for i, slope in enumerate(slopes):
        moved = [x + 0.1 * jnp.arange(x.size, dtype=x.dtype).reshape(x.shape) if i == j else x for j, x in enumerate(inputs)]
        assert abs(loss(*moved) - loss(*inputs)) > 1e-3
        assert np.any(slope) == (i not in stopped)


@pytest.mark.slow
def test_the_assignments_of_swav_are_stopped_and_those_of_the_other_view_are_its_targets():
    def targets(scores):
        """Sinkhorn, on the probabilities themselves."""
        q = np.exp(np.asarray(scores, float) / 0.2)
        for _ in range(3):
            q = q / q.sum(0, keepdims=True)
            q = q / q.sum(1, keepdims=True)
        return q

    slopes = jax.grad(jloss.swav, (0, 1))(FIRST, SECOND, temperature=0.5, epsilon=0.2)
    for slope, scores, other in zip(slopes, (FIRST, SECOND), (SECOND, FIRST), strict=True):
        wanted = (jax.nn.softmax(scores / 0.5) - targets(other)) / 0.5 / (2 * N)
        np.testing.assert_allclose(slope, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e3, 1e4, 1e9, 3e9, 1e30])
def test_swav_of_scores_of_any_size(size):
    """Of 1e9 / 0.05 one rounding is 1024: between a quotient and what clusters have too much it made assignments that overflowed."""
    first, second = (np.float32(size * RNG.normal(size=(6, 5))) for _ in range(2))
    step = jax.jit(jax.value_and_grad(jloss.swav)).lower(first, second)
    value, gradient = step.compile(AS_USERS)(first, second)
    given = {"first": np.float64(first), "second": np.float64(second)}
    np.testing.assert_allclose(value, ORACLES["swav"].function(**given, frozen=given), rtol=1e-6)
    np.testing.assert_allclose(np.sum(gradient, axis=1), np.zeros(6), atol=1e-6)  # of a softmax less assignments that add up to 1


@pytest.mark.slow
def test_the_nearest_neighbour_of_koleo_is_a_constant():
    def fixed(x):
        z = x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True))
        return -jnp.mean(jnp.log(jnp.sqrt(jnp.sum(jnp.square(z - z[neighbour]), axis=1)) + 1e-8))

    z = np.asarray(FIRST / jnp.sqrt(jnp.sum(FIRST * FIRST, axis=1, keepdims=True)))
    neighbour = np.argmin(np.sum((z[:, None] - z[None]) ** 2, -1) + 9.0 * np.eye(N), axis=1)
    forms = jloss.koleo, fixed, lambda x: jloss.koleo(x, chunk_size=3)
    whole, wanted, tiled = jax.jit(lambda x: [jax.value_and_grad(f)(x) for f in forms])(FIRST)
    assert_close(whole, wanted)
    assert_close(tiled, wanted)


# ---------------------------------------------------------------- formulas and peers


def test_byol_is_never_negative_and_keeps_its_digits_near_a_match():
    """Two less twice a cosine was -2e-7 of a third of all matches."""
    first = np.float32(np.random.default_rng(0).normal(size=(100, 16)))
    second = first + np.float32(1e-4) * np.float32(np.random.default_rng(1).normal(size=first.shape))
    step = jax.jit(lambda x, y: jloss.byol(x, y, reduction="none"))
    compiled = step.lower(first, second).compile(AS_USERS)
    assert (compiled(first, 3 * first) >= 0).all()
    np.testing.assert_allclose(compiled(first, 3 * first), 0, atol=1e-12)
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (np.float64(first), np.float64(second)))
    np.testing.assert_allclose(compiled(first, second), np.sum(np.square(x - y), 1), rtol=0.02)


def test_byol_is_twice_simsiam_plus_two():
    byol, simsiam = (jax.value_and_grad(f)(FIRST, 3.0 * SECOND) for f in (jloss.byol, jloss.simsiam))
    assert_close(byol, (2 + 2 * simsiam[0], 2 * simsiam[1]))


@pytest.mark.slow
def test_dino_is_the_cross_entropy_of_a_sharp_centred_teacher_and_ibot_counts_hidden_patches_of_each_image():
    def entropies(student, teacher):
        return -jnp.sum(jax.nn.softmax((teacher - CENTER[None]) / 0.04) * jax.nn.log_softmax(student / 0.1), axis=1)

    forms = (lambda s: jloss.dino(s, SECOND, CENTER)), (lambda s: entropies(s, SECOND).mean())
    assert_close(*jax.jit(lambda x: [jax.value_and_grad(f)(x) for f in forms])(FIRST))
    images = [x.reshape(2, 4, D) for x in (FIRST, SECOND)]
    hidden = jnp.array([[True, False, False, True], [False, True, False, False]])
    each = entropies(FIRST, SECOND).reshape(2, 4)
    wanted = jnp.stack([0.5 * (each[0, 0] + each[0, 3]), each[1, 1]])
    assert_close(jloss.ibot(*images, CENTER, hidden, reduction="none"), wanted)
    assert jloss.ibot(*images, CENTER, jnp.zeros((2, 4), bool)) == 0


@pytest.mark.slow
def test_torch_agrees_on_barlow_twins_and_vicreg():
    """Barlow twins standardise by the biased deviation, as a batch normalisation does; vicreg divides by n - 1 and adds its hinges."""
    torch = pytest.importorskip("torch")

    def barlow(a, b):
        x, y = ((z - z.mean(0)) / z.std(0, correction=0) for z in (a, b))
        c = x.T @ y / N
        return (torch.diag(c) - 1).square().sum() + 0.0051 * (c - torch.diag(torch.diag(c))).square().sum()

    def vicreg(a, b):
        total = 25 * torch.nn.functional.mse_loss(a, b)
        for z in (a, b):
            c = torch.cov(z.T)
            total = total + 25 * torch.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean() + (c - torch.diag(torch.diag(c))).square().sum() / D
        return total

    for ours, theirs in ((jloss.barlow_twins, barlow), (jloss.vicreg, vicreg)):
        a, b = (torch.tensor(np.asarray(x), dtype=torch.float64, requires_grad=True) for x in (FIRST, 0.5 * SECOND))
        value = theirs(a, b)
        value.backward()
        wanted = value.detach().numpy(), (a.grad.numpy(), b.grad.numpy())
        assert_close(jax.value_and_grad(ours, (0, 1))(FIRST, 0.5 * SECOND), wanted, 1e-4)


@pytest.mark.slow
def test_sigreg_of_gaussians_is_what_theory_says_and_of_anything_else_is_more():
    """Of n Gaussian items the mean is the integral of (1 - exp(-t^2)) exp(-t^2 / 2), 1.0526 between -3 and 3, whatever n is."""
    x = jax.random.normal(jax.random.key(0), (128, 64, 3))

    @jax.jit
    def values(x, key):
        return jloss.sigreg(x, key, slices=16, reduction="none")

    gaussian = values(x, KEY)
    assert gaussian.mean() == pytest.approx(1.0526, rel=0.06)
    for other in (2 * x, x + 1, 0 * x, jnp.sign(x), x.at[..., 2].set(x[..., 1])):
        assert values(other, KEY).mean() > 1.5 * gaussian.mean()
    np.testing.assert_array_equal(values(x, KEY), gaussian)
    assert np.any(values(x, jax.random.key(4)) != gaussian)


# ---------------------------------------------------------------- collapse, few items, devices


SETS = {
    "barlow_twins": lambda a, b, mask, **o: jloss.barlow_twins(a, b, mask, **o),
    "vicreg": lambda a, b, mask, **o: jloss.vicreg(a, b, mask, **o),
    "swav": lambda a, b, mask, **o: jloss.swav(a, b, mask, **o),
    "sigreg": lambda a, b, mask, **o: jloss.sigreg(a + b, KEY, mask, slices=4, knots=5, **o),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_set_over_four_devices_is_the_set_on_one(name):
    loss = SETS[name]
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    mapped = jax.shard_map(lambda a, b, m: loss(a, b, m, negatives_axis_name="i"), mesh=mesh, in_specs=P("i"), out_specs=P())

    def of(function, a, b):
        return jax.value_and_grad(lambda a, b: 3 * function(a, b, MASK), (0, 1))(a, b)

    @jax.jit
    def both(a, b):
        return of(mapped, a, b), of(loss, a, b)

    assert_close(*both(FIRST, SECOND), rtol=1e-4)


@pytest.mark.slow
def test_collapsed_and_tiny_sets_are_finite():
    losses = {
        **SETS,
        "koleo": lambda a, b, mask: jloss.koleo(a, mask) + jloss.koleo(b, mask, chunk_size=2),
        "dino": lambda a, b, mask: jloss.dino(a, b, CENTER, mask),
        "byol": lambda a, b, mask: jloss.byol(a, b, where=mask),
    }
    sets = {
        "alike": (jnp.ones((4, D)), jnp.ones((4, D)), jnp.ones(4, bool)),
        "zero": (jnp.zeros((4, D)), jnp.zeros((4, D)), jnp.ones(4, bool)),
        "one": (FIRST[:4], SECOND[:4], jnp.arange(4) == 2),
        "none": (jnp.full((4, D), jnp.nan), SECOND[:4], jnp.zeros(4, bool)),
    }
    found = finite_on(sets, losses)
    for name in losses:
        assert found["none"][name][0] == 0
        assert not any(np.any(g) for g in found["none"][name][1])
    assert found["one"]["koleo"][0] == 0
    assert found["one"]["barlow_twins"][0] == 0
    assert found["alike"]["barlow_twins"][0] == pytest.approx(D)  # no feature varies: no correlation
    assert found["alike"]["vicreg"][0] == pytest.approx(2 * 25 * (1 - 1e-2), rel=1e-5)
    assert found["alike"]["koleo"][0] == pytest.approx(-2 * np.log(1e-8), rel=1e-6)
    assert not np.any(found["alike"]["koleo"][1][0])


def test_options_are_checked():
    with pytest.raises(ValueError, match="swav: `iterations` must be 0 or more, got -1"):
        jloss.swav(FIRST, SECOND, iterations=-1)
    with pytest.raises(ValueError, match="sigreg: `slices` must be 1 or more and `knots` 2 or more, got 4 and 1"):
        jloss.sigreg(FIRST, KEY, slices=4, knots=1)


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15, 1e18])
def test_barlow_twins_does_not_depend_on_the_scale(scale):
    first, second = (jnp.asarray(np.random.default_rng(seed).normal(size=(8, 3)), jnp.float32) for seed in (0, 1))
    wanted = jloss.barlow_twins(first, second)
    np.testing.assert_allclose(jloss.barlow_twins(first * scale, second * scale), wanted, rtol=1e-5)
    assert np.isnan(jloss.barlow_twins(first * 1e20, second))  # whose squares overflow; features that are constant would cost 3


@pytest.mark.parametrize("items", [0, 1, 3])
def test_vicreg_of_vectors_without_features_is_0(items):
    assert jloss.vicreg(jnp.zeros((items, 0)), jnp.zeros((items, 0))) == 0
