"""Ordered classes, sparse probabilities, and the adaptive softmax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss

RNG = np.random.default_rng(3)
LOGITS = jnp.asarray(RNG.normal(size=(6, 5)).astype(np.float32) * 2)
LABELS = jnp.array([0, 4, 2, 1, 3, 3])


def test_ordinal_losses_by_hand():
    z, y = LOGITS[:, :4], np.asarray(LABELS)
    each = np.log1p(np.exp(-np.where(y[:, None] > np.arange(4), 1, -1) * np.asarray(z, float)))
    np.testing.assert_allclose(jloss.coral(z, LABELS, reduction="none"), each.sum(1), rtol=1e-5)
    asked = y[:, None] >= np.arange(4)
    np.testing.assert_allclose(jloss.corn(z, LABELS, reduction="none"), (each * asked).sum(1), rtol=1e-5)
    gradient = jax.grad(jloss.corn)(z, LABELS)
    np.testing.assert_array_equal(np.asarray(gradient)[~asked], 0)
    p = np.exp(jax.nn.log_softmax(LOGITS))
    steps = np.cumsum(p, 1) - (y[:, None] <= np.arange(5))
    np.testing.assert_allclose(jloss.squared_emd(LOGITS, LABELS, reduction="none"), (steps**2).sum(1), rtol=1e-5)


def test_ordinal_edges():
    hard = jnp.array([[jnp.inf, jnp.inf, -jnp.inf, -jnp.inf], [1e4, 1e4, -1e4, -1e4]])
    for loss in (jloss.coral, jloss.corn):
        value, gradient = jax.value_and_grad(loss)(hard, jnp.array([2, 2]))
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
        values = loss(jnp.zeros((4, 4)), jnp.array([-1, 0, 4, 5]), reduction="none")
        np.testing.assert_array_equal(np.isnan(values), [True, False, False, True])
    far = [float(jloss.squared_emd(jnp.array([20.0, 0, 0, 0]), y)) for y in range(4)]
    np.testing.assert_allclose(far, [0, 1, 2, 3], atol=1e-5)


@pytest.mark.slow
def test_sparsemax_agrees_with_optax():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = optax.losses.multiclass_sparsemax_loss(LOGITS, LABELS)
    np.testing.assert_allclose(jloss.sparsemax(LOGITS, LABELS, reduction="none"), theirs, rtol=1e-5, atol=1e-6)
    two, bits = jnp.stack([jnp.zeros(6), LOGITS[:, 0]], axis=1), LABELS % 2
    with jax.numpy_dtype_promotion("standard"):
        theirs = optax.losses.sparsemax_loss(LOGITS[:, 0], bits)
    np.testing.assert_allclose(jloss.sparsemax(two, bits, reduction="none"), theirs, rtol=1e-5, atol=1e-6)


def projection(z, order):
    """The sparse probabilities by bisection."""
    low, high = z.max() / (3 - order) - 1, z.max() / (3 - order)
    for _ in range(100):
        middle = (low + high) / 2
        mass = (np.maximum(z / (3 - order) - middle, 0) ** (3 - order)).sum()
        low, high = (middle, high) if mass > 1 else (low, middle)
    return np.maximum(z / (3 - order) - low, 0) ** (3 - order)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "order"), [(jloss.sparsemax, 2), (jloss.entmax15, 1)])
def test_gradient_is_probability_minus_label(loss, order):
    with jax.enable_x64(True):
        z = jnp.concatenate([jnp.asarray(LOGITS, float), jnp.array([[1.0, 1, 1, 1, 1], [1e4, 0, -1e4, 5, 1e4], [0.0, 1, 0, -jnp.inf, 0]])])
        y = jnp.concatenate([LABELS, jnp.array([2, 0, 1], jnp.int32)])
        values, gradient = loss(z, y, reduction="none"), jax.grad(lambda z: loss(z, y, reduction="sum"))(z)
        for i in range(len(y)):
            p = projection(np.asarray(z[i], float), order)
            np.testing.assert_allclose(gradient[i], p - np.eye(5)[y[i]], atol=1e-10)
        assert np.isfinite(values).all()

        def slope(z):
            return jax.grad(loss)(z, y[0])

        moved = jax.jit(jax.vmap(slope))
        up, down = (moved(z[:1] + h * jnp.eye(5)) for h in (1e-6, -1e-6))
        curvature = jax.jit(jax.jacfwd(slope))(z[0])
        np.testing.assert_allclose(curvature, (up - down) / 2e-6, atol=1e-8)


@pytest.mark.slow
def test_a_clear_lead_costs_nothing():
    np.testing.assert_array_equal(jloss.sparsemax(jnp.array([3.0, 2.0, 0.5]), 0), 0)
    assert jloss.sparsemax(jnp.array([3.0, 2.1, 0.5]), 0) > 0
    np.testing.assert_array_equal(jloss.entmax15(jnp.array([3.0, 1.0, 0.5]), 0), 0)
    assert jloss.entmax15(jnp.array([3.0, 1.5, 0.5]), 0) > 0
    assert jloss.sparsemax(jnp.array([3.0, -jnp.inf]), 1) == np.inf


@pytest.mark.slow
def test_adaptive_softmax_agrees_with_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 30, [6, 14], div_value=2.0, head_bias=True)

    def array(x):
        return jnp.asarray(x.detach().numpy())

    head = {"kernel": array(layer.head.weight).T, "bias": array(layer.head.bias)}
    parameters = {"head": head, "tails": [{"down": array(t[0].weight).T, "up": array(t[1].weight).T} for t in layer.tail]}
    own = jloss.init_adaptive_log_softmax(jax.random.key(0), 16, 30, (6, 14), div_value=2.0, head_bias=True)
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, parameters)
    hidden, labels = RNG.normal(size=(30, 16)).astype(np.float32), np.arange(30)
    x = torch.tensor(hidden, requires_grad=True)
    output, loss = layer(x, torch.tensor(labels))
    loss.backward()

    def ours(hidden, parameters):
        return jloss.adaptive_log_softmax(hidden, labels, parameters, cutoffs=(6, 14))

    value, (slope, kernels) = jax.jit(jax.value_and_grad(ours, argnums=(0, 1)))(jnp.asarray(hidden), parameters)
    np.testing.assert_allclose(value, loss.item(), rtol=1e-6)
    np.testing.assert_allclose(jloss.adaptive_log_softmax(hidden, labels, parameters, reduction="none"), -array(output), rtol=1e-5)
    np.testing.assert_allclose(slope, x.grad.numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(kernels["tails"][1]["up"].T, layer.tail[1][1].weight.grad.numpy(), rtol=1e-4, atol=1e-7)
    log_probs = jloss.adaptive_log_probs(jnp.asarray(hidden), parameters)
    np.testing.assert_allclose(log_probs, layer.log_prob(torch.tensor(hidden)).detach().numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(log_probs.argmax(1), layer.predict(torch.tensor(hidden)).numpy())


@pytest.mark.slow
def test_adaptive_softmax_edges():
    parameters = jloss.init_adaptive_log_softmax(jax.random.key(0), 4, 7, (3, 5))
    np.testing.assert_allclose(jnp.exp(jloss.adaptive_log_probs(jnp.ones((2, 4)), parameters)).sum(1), 1, rtol=1e-6)
    values = jloss.adaptive_log_softmax(jnp.ones((4, 4)), jnp.array([-1, 0, 6, 7]), parameters, reduction="none")
    np.testing.assert_array_equal(np.isnan(values), [True, False, False, True])
    with pytest.raises(ValueError, match=r"^adaptive_log_softmax: `cutoffs` is \(3, 6\), but the parameters have \(3, 5\)"):
        jloss.adaptive_log_softmax(jnp.ones(4), 0, parameters, cutoffs=(3, 6))
    with pytest.raises(ValueError, match="`cutoffs` must rise from above 0 to below 7"):
        jloss.init_adaptive_log_softmax(jax.random.key(0), 4, 7, (5, 3))


def test_adaptive_softmax_names_a_divisor_that_is_not_known():
    with pytest.raises(TypeError, match=r"^init_adaptive_log_softmax: `div_value` must be known while the program is traced"):
        jax.jit(lambda x: jloss.init_adaptive_log_softmax(jax.random.key(0), 4, 7, (3, 5), div_value=x))(2.0)
