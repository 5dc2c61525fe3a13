"""Losses with a running mean: the state, its update, and that only kept boxes of all devices enter it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import jloss

P = jnp.array([[0.0, 0, 2, 2], [0, 0, 3, 3], [5, 5, 6, 6], [0, 0, 1, 4]])
T = jnp.array([[0.0, 0, 2, 1], [1, 1, 4, 4], [0, 0, 1, 1], [0, 0, 1, 4]])
OVERLAPS = np.array([0.5, 4 / 14, 0, 1])
FACTORIES = {"wiou_v2": jloss.wiou_v2, "wiou_v3": jloss.wiou_v3}


def factor(name, beta):
    return np.sqrt(beta) if name == "wiou_v2" else beta / (3 * 1.9 ** (beta - 3))


@pytest.mark.parametrize("name", FACTORIES)
def test_value_and_state(name):
    focused = FACTORIES[name](momentum=0.25)
    state = focused.init(0.5)
    values, after = jax.jit(focused.apply, static_argnames="reduction")(state, P, T, reduction="none")
    plain = jloss.wiou_v1(P, T, reduction="none")
    np.testing.assert_allclose(values, factor(name, (1 - OVERLAPS) / 0.5) * np.asarray(plain), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(after, 0.75 * 0.5 + 0.25 * np.mean(1 - OVERLAPS), rtol=1e-6)
    assert after.dtype == state.dtype


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTORIES)
def test_factor_and_state_are_constants_for_the_gradient(name):
    focused = FACTORIES[name]()
    state = focused.init(0.5)
    gradient = jax.grad(lambda p: focused.apply(state, p, T, reduction="sum")[0])(P)
    plain = jax.grad(lambda p: jloss.wiou_v1(p, T, reduction="sum"))(P)
    np.testing.assert_allclose(gradient, factor(name, (1 - OVERLAPS) / 0.5)[:, None] * np.asarray(plain), rtol=1e-5, atol=1e-7)
    assert not np.any(jax.grad(lambda p: focused.apply(state, p, T)[1])(P))


@pytest.mark.slow
def test_masked_boxes_do_not_enter_the_mean():
    focused = jloss.wiou_v3(momentum=0.5)
    poisoned = P.at[2].set(jnp.nan)
    value, after = focused.apply(focused.init(), poisoned, T, where=jnp.array([True, True, False, True]))
    np.testing.assert_allclose(after, 0.5 + 0.5 * np.mean(1 - OVERLAPS[[0, 1, 3]]), rtol=1e-6)
    assert np.isfinite(value)
    value, after = focused.apply(focused.init(0.7), poisoned, T, weights=jnp.zeros(4))
    np.testing.assert_allclose([value, after], [0.0, 0.7], rtol=1e-6)


@pytest.mark.slow
def test_devices_share_one_mean():
    focused = jloss.wiou_v3(momentum=0.5)
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    where = jnp.array([True, False, False, True])
    batch = PartitionSpec("i")
    apply = jax.shard_map(
        lambda state, p, t, w: focused.apply(state, p, t, where=w, axis_name="i"),
        mesh=mesh,
        in_specs=(PartitionSpec(), batch, batch, batch),
        out_specs=PartitionSpec(),
    )
    got, wanted = apply(focused.init(), P, T, where), focused.apply(focused.init(), P, T, where=where)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_scan_carries_the_state():
    focused = jloss.wiou_v2()

    def step(state, _):
        value, state = focused.apply(state, P, T)
        return state, value

    last, values = jax.lax.scan(step, focused.init(), None, length=3)
    assert values.shape == (3,)
    assert last < 1
