"""Arithmetic that is computed another way than jax does it, beside NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss import numerics
from jloss.numerics import _special
from tests.cases import ORACLES
from tests.compiled import AS_USERS

RNG = np.random.default_rng(0)
Y, X = (np.float32(RNG.normal(size=100_000) * 10 ** RNG.uniform(-9, 9, 100_000)) for _ in range(2))


def test_angle_to_five_units_in_the_last_place():
    axes = np.float32([[0, 1], [0, -1], [1, 0], [-1, 0], [1, 1], [1, -1], [-1, -1], [0, 2e-19], [1e-30, -1e30], [np.inf, 1], [1, -np.inf]])
    y, x = np.concatenate([Y, axes[:, 0]]), np.concatenate([X, axes[:, 1]])
    wanted = np.arctan2(y.astype(np.float64), x)
    got = np.asarray(jax.jit(_special.arctan2)(y, x))
    assert got.dtype == np.float32
    assert np.max(np.abs(got - wanted) / np.spacing(np.abs(wanted).astype(np.float32))) < 5


@pytest.mark.slow
@pytest.mark.parametrize("y", [0.0, 0.3, -2.0, np.nan])
@pytest.mark.parametrize("x", [1.0, -0.7])
def test_angle_has_the_derivatives_of_arctan2(y, x):
    def derivatives(f):
        return [
            d(f, (0, 1))(jnp.float32(y), jnp.float32(x)) for d in (jax.grad, jax.hessian, lambda f, at: jax.jacfwd(jax.hessian(f, at), at))
        ]

    jax.tree.map(np.testing.assert_array_equal, derivatives(_special.arctan2), derivatives(jnp.arctan2))
    assert np.isnan(_special.arctan2(jnp.float32(y), jnp.float32(x))) == np.isnan(y)


def test_tanh_keeps_the_digits_of_its_derivative():
    """4 e^-2x / (1 + e^-2x)^2: one minus the square of a number next to one has none of them."""
    x = np.float32([0, -0.0, 1e-20, -1e-20, 0.3, -0.3, 2, -2, 7, -7, 9, -9, 12.4, -12.4, 30, -30, 44, -44, 200, -200, np.inf, -np.inf])
    share = np.exp(-2 * np.abs(x.astype(np.float64)))
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(_special.tanh)), compiler_options=AS_USERS)(x)
    np.testing.assert_allclose(value, np.tanh(x.astype(np.float64)), rtol=4e-7)
    np.testing.assert_allclose(slope, 4 * share / (1 + share) ** 2, rtol=2e-6, atol=1e-37)
    curved = jax.vmap(jax.grad(jax.grad(_special.tanh)))(x)
    np.testing.assert_allclose(curved, -2 * np.tanh(x.astype(np.float64)) * 4 * share / (1 + share) ** 2, rtol=1e-5, atol=1e-18)
    assert np.isnan(jax.grad(_special.tanh)(jnp.nan))


def test_angle_in_double_precision_is_arctan2():
    with jax.enable_x64(True):
        np.testing.assert_array_equal(_special.arctan2(jnp.float64(0.3), jnp.float64(-0.7)), np.arctan2(0.3, -0.7))


@pytest.mark.slow
def test_a_nan_that_does_not_count_leaves_the_gradients_of_its_neighbours_alone():
    rows = jnp.array([[1.0, jnp.nan, 2.0], [0.0, 1.0, 2.0]])
    kept = jnp.array([False, True])
    gradient = jax.grad(lambda x: jnp.sum(jnp.where(kept, numerics.logsumexp(x), 0.0)))(rows)
    np.testing.assert_array_equal(gradient[0, jnp.array([0, 2])], 0)
    np.testing.assert_allclose(gradient[1], jax.nn.softmax(rows[1]), rtol=1e-6)
    assert np.isnan(numerics.logsumexp(rows)[0])


@pytest.mark.slow
def test_zeros_are_normalised_beside_others_in_one_program():
    """XLA multiplies the scales of a zero vector with each other."""
    first, second = (jnp.asarray(RNG.normal(size=(8, 3)), jnp.float32) for _ in range(2))
    kept = jnp.arange(8) != 3
    gradient = jax.jit(jax.grad(lambda a, scale: jloss.siglip(a, second, kept, scale=scale)))(first, jnp.float32(2))
    assert np.isfinite(gradient).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_norms_are_right_up_to_the_largest_number(dtype):
    """Also where the squares, and even the sum, of as many numbers as there are would overflow."""
    info = jnp.finfo(dtype)
    for size in (float(info.tiny), 1.0, float(info.max) / 4, float(info.max)):
        for shape in ([1.0, 0.0], [0.5, -0.5], [0.125] * 64):
            vector = jnp.asarray(np.array(shape) * size).astype(dtype)
            given = np.asarray(vector, np.float64)
            if not 0 < np.min(np.abs(given[given != 0])) >= float(info.tiny):
                continue  # XLA on CPUs takes what is smaller for 0
            length = size * np.linalg.norm(given / size)
            value, gradient = jax.jit(jax.value_and_grad(numerics.safe_norm))(vector)
            np.testing.assert_allclose(np.float64(value), length, rtol=float(info.eps))
            np.testing.assert_allclose(np.float64(gradient), given / length, rtol=2 * float(info.eps))


@pytest.mark.slow
def test_a_hundred_numbers_in_float16_are_normalised():
    """Their squares add up to more than 65504, or are less than 6e-8."""
    for size in (1e-4, 1e3, 6e4):
        vector = jnp.full(100, size, jnp.float16)
        np.testing.assert_allclose(numerics.normalize(vector), np.full(100, 0.1), rtol=1e-3)
        slopes = jax.grad(lambda x: numerics.normalize(x)[0])(vector)  # (e - u u_0) / norm
        wanted = (np.eye(100)[0] - 0.01) / (10 * np.float64(vector[0]))
        np.testing.assert_allclose(np.float64(slopes), wanted, rtol=2e-3, atol=6e-8)


def test_arrays_of_numpy_in_float64_have_the_range_of_float32():
    """That is what JAX makes of them."""
    vector = np.array([3e30, 4e30])
    np.testing.assert_allclose(numerics.safe_norm(vector), 5e30, rtol=1e-6)
    np.testing.assert_allclose(numerics.normalize(vector), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int16, jnp.uint32])
def test_a_label_of_few_bits_picks_among_many(dtype):
    """Counted in int8, the classes 10 and 266 were one, and 300 classes were 44."""
    scores = jnp.arange(300.0)
    for label in (10, 100):
        value, gradient = jax.value_and_grad(numerics.pick)(scores, dtype(label))
        assert value == label
        np.testing.assert_array_equal(gradient, np.eye(300)[label])
    assert np.isnan(numerics.pick(scores[:5], dtype(10)))


@pytest.mark.parametrize("size", [1e-36, 1e-30, 1e-12, 1.0, 1e12, 1e30, 1e36])
def test_norms_neither_overflow_nor_underflow(size):
    vector = jnp.array([3.0, 4.0, 0.0]) * jnp.float32(size)
    value, gradient = jax.jit(jax.value_and_grad(numerics.safe_norm))(vector)
    np.testing.assert_allclose(value, 5 * size, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.6, 0.8, 0], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(numerics.normalize)(vector), [0.6, 0.8, 0], rtol=1e-6)
    slopes = jax.jit(jax.jacobian(numerics.normalize))(vector) * jnp.float32(size)
    np.testing.assert_allclose(slopes, (np.eye(3) - np.outer([0.6, 0.8, 0], [0.6, 0.8, 0])) / 5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("distillation", {"temperature": 0.3}),
        ("reverse_kl", {"temperature": 0.3}),
        ("decoupled_distillation", {"temperature": 0.07}),
        ("ldam", {"scale": 3.3}),
        ("dino", {"teacher_temperature": 0.07}),
        ("ibot", {"student_temperature": 0.3}),
    ],
)
def test_scaled_logits_of_any_size(name, options):
    """Of 1e10 / 0.3 one rounding is 2048: between a quotient and its peak it made an exponent that overflowed, and a value of -inf."""
    loss, oracle, rng = jloss.CATALOGUE[name], ORACLES[name], np.random.default_rng(0)
    of_an_image = (4,) if name in ("dino", "ibot") else ()
    student, teacher = (np.float32(size * rng.normal(size=(64, *of_an_image, 100))) for size in (3e9, 1.0))
    labels, of_classes = rng.integers(0, 100, 64, np.int32), np.float32(rng.uniform(size=100))
    others = {"labels": labels, "teacher_logits": teacher, "teacher": teacher, "margins": of_classes, "center": of_classes}
    first, *rest = loss.required
    given = {n: others[n] for n in rest}
    step = jax.jit(jax.value_and_grad(lambda x, given: loss.public(x, **given, **options))).lower(student, given)
    value, gradient = step.compile(AS_USERS)(student, given)
    examples = [{first: student[i]} | {n: v if v is of_classes else v[i] for n, v in given.items()} for i in range(64)]
    examples = [{n: np.float64(v) if v.dtype == np.float32 else v for n, v in one.items()} for one in examples]
    wanted = [oracle.function(**one, **options, **({"frozen": one} if oracle.frozen else {})) for one in examples]
    np.testing.assert_allclose(value, np.mean(wanted), rtol=1e-5)
    assert np.isfinite(gradient).all()
