"""Language and distillation: worked numbers, peers, all through `linear_head`, sharded classes and tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from jloss import linear_head

RNG = np.random.default_rng(3)
N, D, K = 8, 5, 6
HIDDEN, KERNEL, TEACHER = (jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((N, D), (K, D), (N, K)))
LABELS = jnp.asarray(RNG.integers(0, K, N), jnp.int32)
STUDENT = HIDDEN @ KERNEL.T


def assert_close(got, wanted, rtol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol), got, wanted)


# ---------------------------------------------------------------- tokens and sequences


@pytest.mark.slow
def test_token_log_probs_and_entropy():
    def full(h, w):
        log_p = jax.nn.log_softmax(10.0 * jnp.tanh((h @ w.T) / 10.0) / 0.7)
        return jnp.take_along_axis(log_p, LABELS[:, None], 1)[:, 0], -jnp.sum(jnp.exp(log_p) * log_p, axis=1)

    def ours(h, w):
        return jloss.token_log_probs(h, w, LABELS, soft_cap=10.0, temperature=0.7, chunk_size=3)

    @jax.jit
    def both(h, w):
        return [(f(h, w), jax.grad(lambda *a, f=f: jnp.sum(f(*a)[0] * f(*a)[1]), (0, 1))(h, w)) for f in (ours, full)]

    assert_close(*both(HIDDEN, KERNEL))
    *_, agreement = jloss.token_log_probs(HIDDEN, KERNEL, LABELS, agreement=True)
    np.testing.assert_array_equal(agreement, jnp.argmax(STUDENT, axis=1) == LABELS)
    assert np.isnan(jloss.token_log_probs(HIDDEN, KERNEL, LABELS.at[2].set(K))[0]).tolist() == [False, False, True] + [False] * 5
    batched = jloss.token_log_probs(HIDDEN.reshape(2, 4, D), KERNEL, LABELS.reshape(2, 4))
    assert_close(jax.tree.map(jnp.ravel, batched), jloss.token_log_probs(HIDDEN, KERNEL, LABELS))
    with pytest.raises(ValueError, match="token_log_probs: axis `d` of `kernel` has size 4"):
        jloss.token_log_probs(HIDDEN, KERNEL[:, :4], LABELS)


@pytest.mark.slow
def test_sequences_agree_with_tokens():
    logits, labels = jnp.stack([STUDENT[:4], STUDENT[4:]]), LABELS.reshape(2, 4)
    mask = jnp.array([[True, True, True, True], [True, False, False, False]])
    each = jloss.cross_entropy(logits, labels, label_smoothing=0.1, reduction="none")
    smoothed = jloss.sequence_cross_entropy(logits, labels, mask, label_smoothing=0.1, reduction="none")
    assert_close(smoothed, jnp.array([each[0].mean(), each[1, 0]]))
    negative = jloss.sequence_cross_entropy(logits, labels, mask, steps="sum", reduction="none")
    assert_close(jloss.sequence_log_prob(logits, labels, mask, reduction="none"), -negative)
    poisoned = logits.at[1, 1:].set(jnp.nan)
    slope = jax.grad(jloss.sequence_cross_entropy)(poisoned, labels, mask)
    assert np.isfinite(slope).all()
    assert not slope[1, 1:].any()
    head = linear_head(jloss.sequence_log_prob, chunk_size=1)
    assert_close(head(HIDDEN.reshape(2, 4, D), KERNEL, labels, mask), jloss.sequence_log_prob(logits, labels, mask))


@pytest.mark.slow
def test_unlikelihood_of_a_sure_token_has_its_gradient():
    logits = jnp.array([30.0, 0.0, 0.0])
    value, slope = jax.value_and_grad(jloss.unlikelihood)(logits, jnp.array([1, 0, 0]))
    assert_close(value, 30 - np.log(2))  # log(1 - p) in float32 would be -inf
    assert_close(slope, jnp.array([1.0, -0.5, -0.5]))
    tied = jax.grad(jloss.unlikelihood)(jnp.array([5.0, 5.0]), jnp.array([1, 0]))
    assert_close(tied, jnp.array([0.5, -0.5]))


# ---------------------------------------------------------------- routers


@pytest.mark.slow
def test_load_balancing_runs_from_one_to_the_number_of_experts():
    even = jnp.tile(20.0 * jnp.eye(4), (3, 1))
    assert_close(jloss.load_balancing(even), 1.0)
    assert_close(jloss.load_balancing(even.at[:, 0].set(50.0)), 4.0)
    assert_close(jloss.load_balancing(even, jnp.zeros(12, bool)), 0.0)
    slope = jax.grad(jloss.load_balancing)(jnp.asarray(RNG.normal(size=(12, 4)), jnp.float32))
    assert_close(slope.sum(axis=1), jnp.zeros(12))
    with pytest.raises(ValueError, match="`top_k` must be from 1 to the number of experts, 4, got 5"):
        jloss.load_balancing(even, top_k=5)


@pytest.mark.slow
def test_load_balancing_counts_over_devices():
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    logits, mask = jnp.asarray(RNG.normal(size=(16, 4)), jnp.float32), jnp.arange(16) < 7

    def local(logits, mask):
        return jloss.load_balancing(logits, mask, tokens_axis_name="i")

    mapped = jax.shard_map(local, mesh=mesh, in_specs=P("i"), out_specs=P())
    got = jax.jit(jax.value_and_grad(mapped))(logits, mask)
    assert_close(got, jax.value_and_grad(jloss.load_balancing)(logits, mask))


# ---------------------------------------------------------------- distillation


@pytest.mark.slow
def test_distillation_against_optax_and_its_gradient():
    for temperature in (1.0, 3.0):
        log_q, p = jax.nn.log_softmax(STUDENT / temperature), jax.nn.softmax(TEACHER / temperature)
        wanted = temperature**2 * optax.losses.kl_divergence(log_q, p)
        assert_close(jloss.distillation(STUDENT, TEACHER, temperature=temperature, reduction="none"), wanted)
        slope = jax.grad(jloss.distillation)(STUDENT, TEACHER, temperature=temperature, reduction="sum")
        assert_close(slope, temperature * (jnp.exp(log_q) - p))


def test_torch_agrees_on_both_directions():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    s, t = (functional.log_softmax(torch.tensor(np.asarray(x)), -1) for x in (STUDENT, TEACHER))
    assert_close(jloss.distillation(STUDENT, TEACHER), functional.kl_div(s, t, log_target=True, reduction="batchmean").numpy())
    assert_close(jloss.reverse_kl(STUDENT, TEACHER), functional.kl_div(t, s, log_target=True, reduction="batchmean").numpy())


@pytest.mark.slow
def test_generalized_jsd_has_the_two_divergences_as_its_ends():
    forward, reverse = jloss.distillation(STUDENT, TEACHER), jloss.reverse_kl(STUDENT, TEACHER)
    assert_close(jloss.generalized_jsd(STUDENT, TEACHER, beta=0.0), forward)
    assert_close(jloss.generalized_jsd(STUDENT, TEACHER, beta=1.0), reverse)
    assert_close(jloss.generalized_jsd(STUDENT, TEACHER, beta=1e-5) / 1e-5, forward, rtol=2e-3)
    assert_close(jloss.generalized_jsd(STUDENT, TEACHER, beta=1 - 2**-16) * 2**16, reverse, rtol=2e-3)
    apart = jloss.generalized_jsd(jnp.array([0.0, -jnp.inf]), jnp.array([-jnp.inf, 0.0]))
    assert_close(apart, np.log(2))


@pytest.mark.slow
def test_distillation_is_its_two_decoupled_parts():
    p_label = jnp.take_along_axis(jax.nn.softmax(TEACHER), LABELS[:, None], 1)[:, 0]
    keywords = {"temperature": 1.0, "reduction": "none"}
    label = jloss.decoupled_distillation(STUDENT, TEACHER, LABELS, beta=0.0, **keywords)
    others = jloss.decoupled_distillation(STUDENT, TEACHER, LABELS, alpha=0.0, beta=1.0, **keywords)
    assert_close(label + (1 - p_label) * others, jloss.distillation(STUDENT, TEACHER, reduction="none"))
    wrong = jloss.decoupled_distillation(STUDENT, TEACHER, LABELS.at[0].set(-100), reduction="none")
    assert np.isnan(wrong).tolist() == [True] + [False] * (N - 1)


ABSENT = {
    "distillation": (jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([2.0, 1.0, -jnp.inf]), True),
    "distillation of a class that the student lacks": (jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([2.0, 1.0, 0.0]), False),
    "reverse_kl": (jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([2.0, 1.0, 0.0]), True),
    "reverse_kl of a class that the teacher lacks": (jnp.array([0.0, 1.0, 0.0]), jnp.array([2.0, 1.0, -jnp.inf]), False),
    "generalized_jsd": (jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([-jnp.inf, 1.0, -jnp.inf]), True),
}


@pytest.mark.parametrize("name", ABSENT)
def test_absent_classes(name):
    student, teacher, is_finite = ABSENT[name]
    value, slope = jax.value_and_grad(getattr(jloss, name.partition(" ")[0]))(student, teacher)
    assert np.isfinite(value) == is_finite
    assert value > 0
    assert np.isfinite(slope).all()


# ---------------------------------------------------------------- through linear_head, and sharded


HEADED = {
    "distillation": (TEACHER, {"temperature": 2.0}),
    "reverse_kl": (TEACHER, {}),
    "generalized_jsd": (TEACHER, {"beta": 0.3}),
    "decoupled_distillation": (TEACHER, {}),
    "unlikelihood": (jnp.asarray(RNG.integers(0, 2, (N, K)), bool), {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADED)
def test_through_linear_head_and_over_sharded_classes(name):
    loss, (target, options) = getattr(jloss, name), HEADED[name]
    targets = (target, LABELS) if name == "decoupled_distillation" else (target,)
    head = linear_head(loss, chunk_size=3)
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:4])

    def local(h, w, *targets):
        return head(h, w, *targets, axis_name="data", class_axis_name="model", **options)

    specs = (P("data"), P("model"), P("data", "model"), P("data"))[: 2 + len(targets)]
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())

    @jax.jit
    def three(h, w):
        return [
            jax.value_and_grad(f, (0, 1))(h, w)
            for f in (
                lambda h, w: 3.0 * loss(h @ w.T, *targets, **options),
                lambda h, w: 3.0 * head(h, w, *targets, **options),
                lambda h, w: 3.0 * mapped(h, w, *targets),
            )
        ]

    whole, chunked, sharded = three(HIDDEN, KERNEL)
    assert_close(chunked, whole)
    assert_close(sharded, whole)


@pytest.mark.slow
def test_the_teacher_has_no_gradient():
    for name in ("distillation", "reverse_kl", "generalized_jsd"):
        assert not jax.grad(getattr(jloss, name), 1)(STUDENT, TEACHER).any()
    assert not jax.grad(jloss.decoupled_distillation, 1)(STUDENT, TEACHER, LABELS).any()
