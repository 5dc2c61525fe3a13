"""The law of stateful losses: a state is a constant for every derivative. And the page about them."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

PAGE = Path(__file__).parents[2] / "docs" / "states.md"
LOGITS = jnp.array([[1.0, -0.5, 0.25], [0.0, 2.0, -1.0], [0.5, 0.5, -2.0], [3.0, 0.0, 1.0]])
LABELS = jnp.array([0, 1, 2, 0])
BITS = jax.nn.one_hot(LABELS, 3)
BOXES = jnp.array([[0.0, 0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 2.0]])
TRUE_BOXES = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 1.75]])
CALLS = {  # what `init` and `apply` are given; an entry for every stateful loss
    "early_learning": ((4, 3), LOGITS, LABELS, jnp.arange(4)),
    "equalized_focal": ((3,), LOGITS, BITS),
    "ghm": ((), LOGITS, BITS),
    "seesaw": ((3,), LOGITS, LABELS),
    "wiou_v2": ((), BOXES, TRUE_BOXES),
    "wiou_v3": ((), BOXES, TRUE_BOXES),
}
OPTIONS = {"ghm": {"bins": 5}}


def test_every_stateful_loss_is_tried():
    assert sorted(CALLS) == sorted(n for n, entry in jloss.CATALOGUE.items() if entry.kind == "stateful")


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_no_state_has_a_gradient(name):
    """Neither value nor next state depends on a state, nor the next state on the inputs, as far as derivatives know."""
    sizes, first, *rest = CALLS[name]
    criterion = getattr(jloss, name)(**OPTIONS.get(name, {}))
    _, state = criterion.apply(criterion.init(*sizes), 0.5 * first, *rest)  # not the first one, where much is 0

    def total(first, state):
        value, after = criterion.apply(state, first, *rest)
        floats = [leaf for leaf in jax.tree.leaves(after) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return value, sum((jnp.sum(jnp.square(leaf)) for leaf in floats), jnp.zeros(()))

    floating = jax.tree.map(lambda leaf: leaf if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.astype(float), state)
    kinds = jax.tree.map(lambda leaf: leaf.dtype, state)

    def of(first, state):
        return total(first, jax.tree.map(lambda leaf, kind: leaf.astype(kind), state, kinds))

    of_value, of_after = jax.jacrev(of, argnums=(0, 1))(first, floating)
    assert np.asarray(of_value[0]).any()  # the inputs of the value do
    for leaf in jax.tree.leaves((of_value[1], of_after)):
        assert not np.asarray(leaf).any()
    _, tangents = jax.jvp(of, (first, floating), (jnp.zeros_like(first), jax.tree.map(jnp.ones_like, floating)))
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tangents))


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_state_in_every_place_of_a_call(name):
    """By position or by keyword, from JAX or from NumPy."""
    sizes, *inputs = CALLS[name]
    criterion = getattr(jloss, name)(**OPTIONS.get(name, {}))
    state = criterion.init(*sizes)
    wanted = criterion.apply(state, *inputs)
    plain = jax.tree.map(np.asarray, state)
    for value, after in (criterion.apply(plain, *inputs), jax.jit(lambda s: criterion.apply(*[s, *inputs]))(state)):
        np.testing.assert_allclose(value, wanted[0], rtol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after, wanted[1])
    named = dict(zip(inspect.signature(criterion.apply).parameters, (state, *inputs), strict=False))
    np.testing.assert_array_equal(criterion.apply(**named)[0], wanted[0])
    if name == "ghm":
        slope = jax.grad(lambda s: criterion.apply(**{**named, "state": s})[0])(state)
        assert not any(np.asarray(leaf).any() for leaf in slope)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_a_batch_of_which_nothing_is_kept_leaves_the_state_alone(name):
    sizes, first, *rest = CALLS[name]
    criterion = getattr(jloss, name)(**OPTIONS.get(name, {}))
    empty = criterion.init(*sizes)
    where = jnp.zeros(criterion.apply(empty, first, *rest, reduction="none")[0].shape, bool)
    for state in (empty, criterion.apply(empty, first, *rest)[1]):
        calls = [
            criterion.apply(state, jnp.full_like(first, jnp.nan), *rest, where=where),
            criterion.apply(state, first[:0], *(x[:0] for x in rest)),
        ]
        for value, after in calls:
            assert value == 0
            jax.tree.map(np.testing.assert_array_equal, after, state)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_64_bits_widen_neither_a_state_nor_the_loss_of_float32(name):
    sizes, *inputs = CALLS[name]
    with jax.enable_x64(True):
        criterion = getattr(jloss, name)(**OPTIONS.get(name, {}))
        value, after = criterion.apply(criterion.init(*sizes), *inputs)
    assert value.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} <= {np.dtype(np.float32), np.dtype(np.int32)}


@pytest.mark.parametrize("name", ["ghm", "equalized_focal", "early_learning"])
def test_a_state_of_another_type_is_named(name):
    """Some checkpoints give a dict, or a list, where a named tuple was put in."""
    sizes, *inputs = CALLS[name]
    criterion = getattr(jloss, name)(**OPTIONS.get(name, {}))
    state = criterion.init(*sizes)
    kind = type(state).__name__
    for other, remedy in ((state._asdict(), f" Give {kind}(**state)."), (list(state), ""), (None, ""), ({"x": 1}, "")):
        said = f"{name}: `state` must be of type {kind}, as .init() gives it, got a {type(other).__name__}.{remedy}"
        with pytest.raises(TypeError, match=f"^{re.escape(said)}$"):
            criterion.apply(other, *inputs)


@pytest.mark.slow
def test_training_moves_no_state():
    """A state that sits among the parameters stays what the updates of the loss made it."""
    criterion = jloss.ghm(bins=5)
    state = criterion.apply(criterion.init(), LOGITS, BITS)[1]
    slope = jax.grad(lambda s: criterion.apply(s, LOGITS, BITS)[0])(state)
    for _ in range(10):
        state = jax.tree.map(lambda leaf, g: leaf - 0.1 * g, state, slope)
    np.testing.assert_array_equal(state.mass, 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["orbax.checkpoint", "flax.nnx"])
def test_the_page_is_true_of_other_libraries(library):
    pytest.importorskip(library)
    names = {"__name__": "page"}
    for kind, block in re.findall(r"^```(python|py)\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        if kind == "python" or library.partition(".")[0] in block:
            exec(compile(block, str(PAGE), "exec"), names)


def test_orbax_refuses_a_bare_array():
    orbax = pytest.importorskip("orbax.checkpoint")
    with pytest.raises(ValueError, match="does not support single arrays"):
        orbax.StandardCheckpointer().save("/nowhere", jloss.seesaw().init(3))
