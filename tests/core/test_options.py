"""Settings in other dtypes than what they meet: NumPy's float64, integers, booleans, half precision, arrays of 64 bits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss import CATALOGUE
from tests.core.test_stateful import CALLS, OPTIONS

P, T, WIDE = jnp.array([0.5, 3.0, -1.0], jnp.float32), jnp.zeros(3, jnp.float32), jnp.ones(4, jnp.float32)
HIDDEN, KERNEL, LABELS = jnp.ones((3, 4), jnp.float32), jnp.eye(5, 4, dtype=jnp.float32), np.array([0, 1, 4])
PARAMS = {"kernel": jnp.ones((3, 2), jnp.float32), "bias": jnp.ones(2, jnp.float32)}
KINDS = {
    "float64 of NumPy": np.float64,
    "float64 of JAX": lambda value: jnp.asarray(value, jnp.float64 if jax.config.jax_enable_x64 else jnp.float32),
    "bfloat16": lambda value: jnp.asarray(value, jnp.bfloat16),
    "integer of NumPy": np.int64,
    "integer of JAX": lambda value: jnp.asarray(int(value)),
    "boolean": bool,
}
TAKES_ONE = {  # calls with a setting, which is 1
    "huber": lambda one: jloss.huber(P, T, delta=one),
    "cross_entropy": lambda one: jloss.cross_entropy(HIDDEN, LABELS[:3] % 4, label_smoothing=one),
    "q_learning": lambda one: jloss.q_learning(HIDDEN, LABELS % 4, T, T, HIDDEN, delta=one),
    "si_sdr": lambda one: jloss.si_sdr(P, P[::-1], max_db=one),
    "asymmetric": lambda one: jloss.asymmetric(P, T, gamma_positive=one),
    "chunked": lambda one: jloss.chunked(jloss.cross_entropy, chunk_size=2)(HIDDEN, LABELS % 4, label_smoothing=one),
    "linear_head": lambda one: jloss.linear_head(jloss.cross_entropy)(HIDDEN, KERNEL, LABELS, soft_cap=one),
    "tilted": lambda one: jloss.tilted(jloss.huber, one)(P, T),
    "tolerant": lambda one: jloss.tolerant(jloss.huber, one)(P, T),
    "regularized": lambda one: jloss.regularized(jloss.huber, jloss.l2, one)(P, T, PARAMS),
    "regularized, by example": lambda one: jloss.regularized(jloss.huber, jloss.l2, one)(P, T, PARAMS, reduction="none"),
    "regularized, inside": lambda one: jloss.hardest(jloss.regularized(jloss.huber, jloss.l2, one), 0.5)(P, T, PARAMS),
    "a penalty that counts": lambda one: jloss.regularized(jloss.huber, lambda params: len(params), one)(P, T, PARAMS),
    "weighted_sum": lambda one: jloss.weighted_sum({"a": (one, jloss.huber)})(a=(P, T))[0],
    "elastic_net": lambda one: jloss.elastic_net(PARAMS, l1_ratio=one),
    "gradient_penalty": lambda one: jloss.gradient_penalty(lambda x: jnp.sum(x * x), HIDDEN, target=one),
    "token_log_probs": lambda one: jloss.token_log_probs(HIDDEN, KERNEL, LABELS, temperature=one, soft_cap=one)[0],
    "gae": lambda one: jloss.gae(P, WIDE, T, lam=one),
    "lambda_returns": lambda one: jloss.lambda_returns(P, T, T, lam=one),
    "vtrace_targets": lambda one: jloss.vtrace_targets(P, T, T, T, P, lam=one, clip_rho=one, clip_c=one, clip_pg_rho=one)[1],
    "group_advantages": lambda one: jloss.group_advantages(P, epsilon=one),
    "ldam_margins": lambda one: jloss.ldam_margins(LABELS, one).astype(jnp.float32),  # they are as wide as jax's numbers
    "pre_emphasis": lambda one: jloss.pre_emphasis(P, one),
    "soft_dtw_alignment": lambda one: jloss.soft_dtw_alignment(HIDDEN, HIDDEN, gamma=one),
    **{
        f"diffusion_weight, {way}": lambda one, way=way: jloss.diffusion_weight(P, "v", way, gamma=one, p2_gamma=one, p2_k=one, bias=one)
        for way in ("min_snr", "soft_min_snr", "p2", "sigmoid")
    },
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", TAKES_ONE)
def test_a_setting_has_the_dtype_of_the_arithmetic(name, x64):
    with jax.enable_x64(x64):
        wanted = TAKES_ONE[name](1.0)
        for kind, make in KINDS.items():
            found = TAKES_ONE[name](make(1.0))
            assert found.dtype == wanted.dtype == jnp.float32, kind
            np.testing.assert_allclose(found, wanted, rtol=1e-5, err_msg=kind)


@pytest.mark.slow
def test_every_loss_takes_a_whole_number_as_an_integer():
    """Traced only: what is cast is cast for all alike."""
    taken = 0
    for name in ("circle", "proxy_anchor", "shape_iou", "varifocal", "smith_waterman", "apo", "mean_flow", "retrace"):
        given = jloss.testing.samples(CATALOGUE[name].public)
        for option, default in CATALOGUE[name].options.items():
            if isinstance(default, float) and default >= 1 and default == int(default):
                for value in (np.int64(default), jnp.asarray(int(default))):
                    call = functools.partial(CATALOGUE[name].public, **given, **{option: value})
                    assert jax.eval_shape(call).dtype == jnp.float32
                    taken += 1
    assert taken > 8


def test_a_list_that_does_not_fit_is_named_where_it_holds_integers():
    with pytest.raises((TypeError, ValueError), match=r"^huber: does `delta` of shape \(2,\) fit the whole batch\?"):
        jloss.huber(P, T, delta=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_a_state_keeps_its_dtype_whatever_the_settings_are(name, x64):
    """Or a loop that carries it does not trace."""
    sizes, *inputs = CALLS[name]
    with jax.enable_x64(x64):
        for option, default in CATALOGUE[name].options.items():
            for kind in ("float64 of NumPy", "float64 of JAX", "bfloat16"):
                if isinstance(default, float):
                    criterion = getattr(jloss, name)(**{**OPTIONS.get(name, {}), option: KINDS[kind](default)})

                    def step(state, _, criterion=criterion):
                        return criterion.apply(state, *inputs)[::-1]

                    state, _ = jax.lax.scan(step, criterion.init(*sizes), length=2)
                    kinds = [leaf.dtype for leaf in jax.tree.leaves(state)]
                    assert kinds == [leaf.dtype for leaf in jax.tree.leaves(criterion.init(*sizes))], (option, kind)


def test_settings_of_numpy_are_those_of_python():
    assert jloss.ghm(momentum=np.float64(0.5)) == jloss.ghm(momentum=0.5)
    with pytest.raises(ValueError, match="ghm: `momentum` must be below 1"):
        jloss.ghm(momentum=np.float32(1.0))


@pytest.mark.slow
def test_hidden_states_and_kernel_of_other_dtypes():
    half = KERNEL.astype(jnp.bfloat16)
    np.testing.assert_allclose(jloss.token_log_probs(HIDDEN, half, LABELS)[0], jloss.token_log_probs(HIDDEN, KERNEL, LABELS)[0], rtol=1e-6)
    with jax.enable_x64(True):
        wide = KERNEL.astype(jnp.float64) / 3
        found = jloss.token_log_probs(HIDDEN, wide, LABELS, bias=np.zeros(5, np.float32))[0]
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, jloss.token_log_probs(HIDDEN.astype(jnp.float64), wide, LABELS)[0], rtol=1e-12)
