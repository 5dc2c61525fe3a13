"""One loss of each family inside each framework: value, gradient and one step are those of plain JAX.

The first input of the loss is a parameter of the framework's kind, the rest is data.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from tests.cases import FIRST, case
from tests.core.test_stateful import CALLS

pytestmark = pytest.mark.slow
RATE = 0.1


@pytest.fixture(autouse=True)
def as_users_have_it():
    """Other libraries mix dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def library(name):
    return pytest.importorskip(name, exc_type=ImportError)


def drawn(name):
    """What is learned, and the loss of it."""
    subject = case(name)
    inputs = {n: v for n, v in subject.draw((4,)).items() if v is not None}
    first = next(n for n in subject.floats(inputs) if n not in subject.entry.constants)
    rest = {n: v for n, v in inputs.items() if n != first}
    return jnp.asarray(inputs[first]), lambda learned, **keywords: subject.loss(**{**rest, first: learned}, **keywords)


@functools.cache
def plain(name):
    """Value, gradient, and what a step of gradient descent makes of the parameter."""
    learned, loss = drawn(name)
    value, slope = jax.jit(jax.value_and_grad(loss))(learned)
    return value, slope, learned - RATE * slope


def agrees(name, *found):
    for got, wanted in zip(found, plain(name), strict=False):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


families = pytest.mark.parametrize("name", sorted(FIRST))
domains = pytest.mark.parametrize("name", sorted({jloss.CATALOGUE[name].domain: name for name in sorted(FIRST)}.values()))


@families
def test_flax_nnx(name):
    nnx = library("flax.nnx")
    learned, loss = drawn(name)

    class Model(nnx.Module):
        def __init__(self):
            self.learned = nnx.Param(learned)

        def __call__(self):
            return self.learned[...]

    model = Model()
    optimizer = nnx.Optimizer(model, optax.sgd(RATE), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        value, slopes = nnx.value_and_grad(lambda model: loss(model()))(model)
        optimizer.update(model, slopes)
        return value, slopes

    value, slopes = step(model, optimizer)
    agrees(name, value, slopes["learned"][...], model())
    agrees(name, jax.jit(loss)(Model().learned))  # a Param in place of an array


@families
def test_flax_linen(name):
    linen, states = library("flax.linen"), library("flax.training.train_state")
    learned, loss = drawn(name)

    class Model(linen.Module):
        @linen.compact
        def __call__(self):
            return loss(self.param("learned", lambda key: learned))

    model = Model()
    state = states.TrainState.create(apply_fn=model.apply, params=model.init(jax.random.key(0)), tx=optax.sgd(RATE))

    @jax.jit
    def step(state):
        value, slopes = jax.value_and_grad(state.apply_fn)(state.params)
        return value, slopes, state.apply_gradients(grads=slopes)

    value, slopes, state = step(state)
    agrees(name, value, slopes["params"]["learned"], state.params["params"]["learned"])


@families
def test_equinox(name):
    eqx = library("equinox")
    learned, loss = drawn(name)

    class Model(eqx.Module):
        learned: jax.Array
        loss: object  # a function among the leaves

        def __call__(self):
            return self.loss(self.learned)

    model, optimizer = Model(learned, loss), optax.sgd(RATE)

    @eqx.filter_jit
    def step(model, state):
        value, slopes = eqx.filter_value_and_grad(lambda model: model())(model)
        updates, state = optimizer.update(slopes, state)
        return value, slopes, eqx.apply_updates(model, updates)

    value, slopes, moved = step(model, optimizer.init(eqx.filter(model, eqx.is_inexact_array)))
    agrees(name, value, slopes.learned, moved.learned)
    own = jloss.CATALOGUE[name].public  # a loss as a leaf, and as a static field
    assert jax.tree.leaves(Model(learned, own))[1] is own
    assert eqx.filter(Model(learned, own), eqx.is_inexact_array).loss is None


@pytest.mark.parametrize("name", sorted(n for n in FIRST if len(jloss.CATALOGUE[n].required) == 2))
@pytest.mark.filterwarnings("ignore")  # Keras is not written for warnings as errors
def test_keras(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = library("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("set KERAS_BACKEND=jax")
    from jloss.compat.keras import loss as keras_loss

    subject = case(name)
    entry, inputs = subject.entry, subject.draw((4,))
    first, second = (inputs[n] for n in entry.required)

    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return self.factor * x

    model = keras.Sequential([keras.layers.Input(first.shape[1:]), Scale()])
    model.compile(loss=keras_loss(entry.public), optimizer=keras.optimizers.SGD(RATE))
    wanted, slope = jax.value_and_grad(lambda s: entry.public(s * first, second))(1.0)
    np.testing.assert_allclose(model.evaluate(first, second, batch_size=4, verbose=0), wanted, rtol=1e-5, atol=1e-6)
    model.fit(first, second, batch_size=4, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], 1 - RATE * slope, rtol=1e-4, atol=1e-5)


@families
def test_numpyro(name):
    numpyro, infer = library("numpyro"), library("numpyro.infer.util")
    learned, loss = drawn(name)
    size = learned.shape[0]

    def flat():
        at = numpyro.sample("learned", numpyro.distributions.ImproperUniform(numpyro.distributions.constraints.real, (), learned.shape))
        numpyro.factor("fit", -loss(at, reduction="sum"))

    def plates():
        at = numpyro.sample("learned", numpyro.distributions.ImproperUniform(numpyro.distributions.constraints.real, (), learned.shape))
        with numpyro.plate("batch", size):
            numpyro.factor("fit", -loss(at, reduction="none"))

    for model in (flat, plates):
        value, slope = jax.jit(jax.value_and_grad(lambda at, model=model: -infer.log_density(model, (), {}, {"learned": at})[0] / size))(
            learned
        )
        agrees(name, value, slope)


@families
def test_optimistix(name):
    optimistix = library("optimistix")
    learned, loss = drawn(name)

    def risk(at, _):
        return loss(at)

    found = optimistix.minimise(risk, optimistix.BFGS(rtol=1e-5, atol=1e-7), learned, max_steps=4, throw=False)
    assert jnp.isfinite(found.value).all()
    assert loss(found.value) <= plain(name)[0] + 1e-6


@domains  # a search along a line takes a second to compile
def test_lbfgs(name):
    learned, loss = drawn(name)
    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(at, state):
        value, slope = value_and_grad(at, state=state)
        updates, state = optimizer.update(slope, state, at, value=value, grad=slope, value_fn=loss)
        return optax.apply_updates(at, updates), state, (value, slope)

    at, state, found = step(learned, optimizer.init(learned))
    agrees(name, *found)
    at, state, _ = step(at, state)
    assert jnp.isfinite(at).all()
    assert loss(at) <= plain(name)[0] + 1e-6


@pytest.mark.parametrize("framework", ["flax.nnx", "equinox", "orbax.checkpoint"])
@pytest.mark.parametrize("name", CALLS)
def test_states(name, framework, tmp_path):
    """The state of each stateful loss goes through the containers of a framework, a step and a checkpoint, unchanged."""
    found = library(framework)
    sizes, *inputs = CALLS[name]
    criterion = getattr(jloss, name)()
    state = criterion.init(*sizes)

    def call(state):
        return criterion.apply(state, *inputs)

    if framework == "flax.nnx":

        class Model(found.Module):
            def __init__(self):
                self.state = found.Variable(state)

        model = Model()

        @found.jit
        def step(model):
            value, after = call(model.state.get_value())
            model.state.set_value(after)
            return value

        value, after = step(model), model.state.get_value()
    elif framework == "equinox":

        class Model(found.Module):
            index: found.nn.StateIndex

            def __init__(self):
                self.index = found.nn.StateIndex(state)

        model, kept = found.nn.make_with_state(Model)()

        @found.filter_jit
        def step(model, kept):
            value, after = call(kept.get(model.index))
            return value, kept.set(model.index, after)

        value, kept = step(model, kept)
        after = kept.get(model.index)
    else:
        value, after = call(state)
        checkpointer = found.StandardCheckpointer()
        checkpointer.save(tmp_path / "step", {"criterion": after})
        checkpointer.wait_until_finished()
        after = checkpointer.restore(tmp_path / "step", {"criterion": state})["criterion"]
    wanted = call(state)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), (value, after), wanted)
