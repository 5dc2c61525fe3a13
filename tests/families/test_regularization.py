"""Penalties of parameters, of derivatives and of outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.oracles import regularization as oracle
from tests.peers import draws

KERNEL, WIDE, BIAS = (x / 2 for x in draws((4, 3), (2, 5), (3,), seed=7))
PARAMS = {"kernel": KERNEL, "wide": WIDE, "bias": BIAS}
OF_PARAMS = [
    (jloss.l1, oracle.l1, {}),
    (jloss.l2, oracle.l2, {}),
    (jloss.elastic_net, oracle.elastic_net, {"l1_ratio": 0.3}),
    (jloss.group_lasso, oracle.group_lasso, {}),
    (jloss.group_lasso, oracle.group_lasso, {"axis": 0}),
    (jloss.group_lasso, oracle.group_lasso, {"axis": -1}),
    (jloss.orthogonal, oracle.orthogonal, {}),
    (jloss.spectral, oracle.spectral, {"iterations": 200}),
]


@pytest.mark.parametrize(("penalty", "truth", "options"), OF_PARAMS)
def test_value_and_gradient(penalty, truth, options):
    plain = {} if penalty is jloss.spectral else options
    with jax.enable_x64(True):
        params = {n: jnp.asarray(w, jnp.float64) for n, w in PARAMS.items()}
        value, gradient = jax.jit(jax.value_and_grad(lambda p: penalty(p, **options)))(params)
    np.testing.assert_allclose(value, truth(PARAMS, **plain), rtol=1e-6)
    for name, w in PARAMS.items():
        wide = {n: np.asarray(v, np.float64) for n, v in PARAMS.items()}
        for at in np.ndindex(w.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = wide[name].copy()
                moved[at] += step
                ends.append(truth({**wide, name: moved}, **plain))
            np.testing.assert_allclose(gradient[name][at], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("penalty", "truth", "options"), OF_PARAMS)
def test_at_0_the_gradient_is_0(penalty, truth, options):
    zeros = {n: jnp.zeros_like(w) for n, w in PARAMS.items()}
    gradient = jax.jit(jax.grad(lambda p: penalty(p, **options)))(zeros)
    assert not any(np.asarray(g).any() for g in gradient.values())


@pytest.mark.slow
def test_paths():
    params = {
        "dense": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([10.0])},
        "layers": [jnp.array([100.0])],
        "step": jnp.array(7),
    }
    seen = []
    assert float(jloss.l1(params, where=lambda path: seen.append(path) or path == "dense/kernel")) == 3.0
    assert sorted(seen) == ["dense/bias", "dense/kernel", "layers/0", "step"]
    assert float(jloss.l1(params)) == 113.0  # the integer is no weight
    assert float(jloss.l2(params, where=lambda path: path.startswith("layers"))) == 10_000.0
    assert float(jloss.l1(params, where=lambda path: False)) == 0.0
    assert float(jloss.l1({})) == 0.0
    assert float(jloss.l1(jnp.array([1.0, -1.0]))) == 2.0


@pytest.mark.slow
def test_flax_paths():
    nnx = pytest.importorskip("flax.nnx")
    state = nnx.state(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Param)
    paths = []
    jloss.l2(state, where=lambda path: paths.append(path) or True)
    assert [p for p in paths if "kernel" in p]
    assert [p for p in paths if "bias" in p]


def test_half_precision_is_summed_in_float32():
    weights = jnp.full(10_000, 0.01, jnp.bfloat16)
    value, gradient = jax.value_and_grad(jloss.l1)({"w": weights})
    assert value.dtype == jnp.float32
    assert gradient["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(value, 10_000 * float(weights[0]), rtol=1e-5)


@pytest.mark.slow
def test_structural_risk():
    x, y = draws(5, 5)
    risk = jloss.regularized(jloss.huber, jloss.l2, 0.1)
    np.testing.assert_allclose(risk(x, y, PARAMS), jloss.huber(x, y) + 0.1 * jloss.l2(PARAMS), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: jloss.elastic_net(PARAMS, l1_ratio=1.5), "elastic_net: `l1_ratio` must be between 0 and 1, got 1.5."),
        (lambda: jloss.group_lasso(PARAMS, axis=1), "group_lasso: `axis` is 1, but 'bias' has 1 axes; leave it out with `where`."),
        (lambda: jloss.spectral(PARAMS, iterations=0), "spectral: `iterations` must be 1 or more, got 0."),
    ],
)
def test_bad_options(call, words):
    with pytest.raises(ValueError, match=words.partition(":")[0]) as caught:
        call()
    assert str(caught.value) == words


REAL, IMAGINARY = (x / 2 for x in draws((4, 3), (4, 3), seed=11))
COMPLEX = REAL.astype(np.complex128) + 1j * IMAGINARY


def singular(w):
    return np.linalg.svd(w.reshape(-1, w.shape[-1]), compute_uv=False)


def groups(w, axis):
    return w.shape[axis] ** 0.5 * np.sqrt((abs(w) ** 2).sum(axis)).sum()


OF_COMPLEX = [
    (jloss.l1, lambda w: abs(w).sum(), {}),
    (jloss.l2, lambda w: (abs(w) ** 2).sum(), {}),
    (jloss.elastic_net, lambda w: 0.3 * abs(w).sum() + 0.35 * (abs(w) ** 2).sum(), {"l1_ratio": 0.3}),
    (jloss.group_lasso, lambda w: (w.size * (abs(w) ** 2).sum()) ** 0.5, {}),
    (jloss.group_lasso, lambda w: groups(w, 0), {"axis": 0}),
    (jloss.group_lasso, lambda w: groups(w, 1), {"axis": -1}),
    (jloss.group_lasso, lambda w: abs(w).sum(), {"axis": ()}),
    (jloss.orthogonal, lambda w: ((singular(w) ** 2 - 1) ** 2).sum(), {}),
    (jloss.spectral, lambda w: singular(w)[0] ** 2, {"iterations": 200}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("penalty", "truth", "options"), OF_COMPLEX)
def test_complex_weights(penalty, truth, options):
    """Value and gradient, the latter in the convention of `jax.grad`: the real derivative minus i times the imaginary one."""
    for kernel in (COMPLEX, COMPLEX.T.copy()):
        with jax.enable_x64(True):
            value, gradient = jax.value_and_grad(lambda w: penalty({"k": w, "b": jnp.ones(1)}, **options))(jnp.asarray(kernel))
            bias = float(penalty(jnp.ones(1), **options))
        assert value.dtype == jnp.float64
        np.testing.assert_allclose(value, truth(kernel) + bias, rtol=1e-6)
        for at in np.ndindex(kernel.shape):
            slopes = []
            for step in (1e-6, 1e-6j):
                up, down = kernel.copy(), kernel.copy()
                up[at] += step
                down[at] -= step
                slopes.append((truth(up) - truth(down)) / 2e-6)
            np.testing.assert_allclose(gradient[at], slopes[0] - 1j * slopes[1], rtol=1e-5, atol=1e-7)
        assert not np.asarray(jax.grad(lambda w: penalty(w, **options))(jnp.zeros((3, 2), jnp.complex64))).any()


@pytest.mark.slow
def test_complex_and_real_weights_in_one_tree():
    assert float(jloss.l2({"w": jnp.array([3 + 4j]), "b": jnp.array([1.0])})) == 26.0
    value, gradient = jax.value_and_grad(jloss.l1)({"w": jnp.array([3 + 4j, 0]), "b": jnp.array([-1.0], jnp.bfloat16), "n": 3.0})
    assert (float(value), value.dtype) == (9.0, jnp.float32)
    np.testing.assert_allclose(gradient["w"], [0.6 - 0.8j, 0], rtol=1e-6)
    assert gradient["b"].dtype == jnp.bfloat16
    fit = jloss.regularized(jloss.squared_error, jloss.l2, 0.5)
    np.testing.assert_allclose(jax.grad(fit, argnums=2)(jnp.ones(2), jnp.ones(2), jnp.array([3 + 4j])), [3 - 4j])


@pytest.mark.parametrize("penalty", dict.fromkeys(penalty for penalty, _, _ in OF_PARAMS))
def test_leaves_that_are_no_arrays_are_named(penalty):
    model = {"kernel": jnp.ones((2, 2)), "layers": [jnp.tanh], "steps": 3, "key": jax.random.key(0)}
    name = penalty.__name__
    with pytest.raises(TypeError) as caught:
        penalty(model)
    assert str(caught.value).startswith(f"{name}: leaf 'layers/0' of `params` is no array but a ")
    assert "`eqx.filter(model, eqx.is_inexact_array)`" in str(caught.value)
    assert penalty(model, where=lambda path: not path.startswith("layers")) == penalty(model["kernel"])  # counters and keys cost nothing
    with pytest.raises(TypeError, match=f"{name}: `params` is no array but a str"):
        penalty("kernel")


def test_an_equinox_module():
    equinox = pytest.importorskip("equinox")
    model = equinox.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
    with pytest.raises(TypeError, match="leaf 'activation' of `params`"):
        jloss.l2(model)
    weights = [np.asarray(p, np.float64) for layer in model.layers for p in (layer.weight, layer.bias)]
    np.testing.assert_allclose(jloss.l2(equinox.filter(model, equinox.is_inexact_array)), sum((w**2).sum() for w in weights), rtol=1e-6)
    slope = equinox.filter_grad(lambda m: jloss.l2(equinox.filter(m, equinox.is_inexact_array)))(model)
    np.testing.assert_allclose(slope.layers[0].weight, 2 * model.layers[0].weight)


def test_batch_statistics_are_left_out_by_the_filter_of_the_docs():
    nnx = pytest.importorskip("flax.nnx")
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))  # scale 1, bias 0; running mean 0, running variance 1
    assert float(jloss.l2(norm)) == 4.0
    assert float(jloss.l2(nnx.state(norm, nnx.Param))) == 2.0


# ---------------------------------------------------------------- derivatives


def network(x):
    return jnp.tanh(jnp.asarray(KERNEL) @ x)


@pytest.mark.slow
def test_directions_of_bfloat16_are_isotropic():
    """jax's normal numbers in bfloat16 have a mean: along the ones, where this Jacobian points, the penalty was 1.6."""
    rows = jnp.ones((2000, 1), jnp.bfloat16)

    def summed(x):
        return jnp.broadcast_to(jnp.sum(x), (4096,)).astype(x.dtype) / 64

    def image(x):
        return summed(x).reshape(64, 64, 1)

    np.testing.assert_allclose(jloss.jacobian_penalty(summed, rows, jax.random.key(0)), 1, rtol=0.1)
    np.testing.assert_allclose(jloss.path_length_penalty(image, rows, jax.random.key(0), 0.0), 1 / 4096, rtol=0.1)


@pytest.mark.slow
def test_jacobian_penalty_is_unbiased():
    (inputs,) = draws((3, 3), seed=8)
    exact = [float(np.sum(np.square(jax.jacobian(network)(x)))) for x in inputs]
    key = jax.random.key(0)
    values = jloss.jacobian_penalty(network, inputs, key, projections=None, reduction="none")
    np.testing.assert_allclose(values, exact, rtol=1e-5)
    estimate = jax.jit(lambda k: jloss.jacobian_penalty(network, inputs, k, projections=2, reduction="none"))
    many = jax.vmap(estimate)(jax.random.split(key, 2000))
    np.testing.assert_allclose(many.mean(0), exact, atol=4 * float(many.std(0).max()) / 2000**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("projections", [1, 2, None])
def test_raw_and_typed_keys_are_the_same_randomness(projections):
    (inputs,) = draws((3, 3), seed=8)
    values = [
        jloss.jacobian_penalty(network, inputs, key, projections=projections, reduction="none")
        for key in (jax.random.PRNGKey(5), jax.random.key(5))
    ]
    np.testing.assert_array_equal(*values)
    assert values[0].shape == (3,)


@pytest.mark.slow
def test_gradient_penalty():
    inputs, direction = draws((5, 3), (3,), seed=9)
    slope = float(np.linalg.norm(direction))
    for target in (1.0, 0.0):
        value = jloss.gradient_penalty(lambda x: direction @ x, inputs, target=target)
        np.testing.assert_allclose(value, (slope - target) ** 2, rtol=1e-5)
    assert float(jloss.gradient_penalty(lambda x: direction @ x / 1e3, inputs, one_sided=True)) == 0.0
    learn = jax.grad(lambda w: jloss.gradient_penalty(lambda x: w @ x, inputs))
    assert not np.asarray(learn(jnp.zeros(3))).any()  # no NaN where the slope is 0
    np.testing.assert_allclose(learn(jnp.asarray(direction)), 2 * (slope - 1) * direction / slope, rtol=1e-5)


@pytest.mark.parametrize("keywords", [{"where": jnp.array([True, False, True])}, {"weights": jnp.array([1.0, 0.0, 1.0])}])
def test_masked_examples_have_no_influence(keywords):
    (inputs,) = draws((3, 3), seed=10)
    bad = inputs.copy()
    bad[1] = np.nan

    def risk(w, x, **keywords):
        def critic(x):
            return jnp.sum(jnp.tanh(w @ x))

        jacobian = jloss.jacobian_penalty(lambda x: w @ x**2, x, jax.random.key(1), projections=None, **keywords)
        return jloss.gradient_penalty(critic, x, **keywords) + jacobian

    run = jax.jit(jax.value_and_grad(risk))
    got = run(jnp.asarray(KERNEL), bad, **keywords)
    wanted = run(jnp.asarray(KERNEL), inputs[[0, 2]])
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4)


@pytest.mark.slow
def test_an_example_of_weight_zero_has_a_slope_in_its_weight():
    """Slopes 2 and 6, so losses of 1 and 25: at the weights 1 and 0 the mean rises by 24 in the second."""
    inputs, weights = jnp.array([[1.0], [3.0]]), jnp.array([1.0, 0.0])
    slope = jax.grad(lambda w: jloss.gradient_penalty(lambda x: jnp.sum(x**2), inputs, weights=w))(weights)
    np.testing.assert_allclose(slope, [0.0, 24.0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"gradient_penalty: `where` has shape \(3,\), but there is one value per example: \(2,\)"):
        jloss.gradient_penalty(jnp.sum, inputs, where=jnp.ones(3, bool))


def test_entropy_of_absent_classes():
    value, gradient = jax.value_and_grad(jloss.entropy_penalty)(jnp.array([0.0, 0.0, -jnp.inf]))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-7)


def test_a_flat_image_has_no_gradient():
    for isotropic in (False, True):
        gradient = jax.grad(lambda x, isotropic=isotropic: jloss.total_variation_penalty(x, isotropic=isotropic))(jnp.ones((4, 4, 1)))
        assert not np.asarray(gradient).any()
