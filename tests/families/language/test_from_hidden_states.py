"""Preferences and policies from hidden states: the numbers of full logits, on one device and on many, and no logits in memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jloss
from jloss import linear_head

RNG = np.random.default_rng(5)
N, T, D, E, K = 4, 6, 5, 3, 8


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


KERNEL, REFERENCE_KERNEL = normal(K, D), normal(K, E)
HIDDEN, REFERENCE_HIDDEN = (normal(N, T, D), normal(N, T, D)), (normal(N, T, E), normal(N, T, E))
LABELS = [jnp.asarray(RNG.integers(0, K, (N, T)), jnp.int32) for _ in range(2)]
MASKS = [jnp.arange(T)[None] < jnp.array(lengths)[:, None] for lengths in ([6, 3, 1, 0], [2, 6, 4, 5])]
SIGNS, WIN_RATES, ADVANTAGES = jnp.array([1, -1, -1, 1]), jnp.array([0.1, 0.9, 0.5, 1.0]), normal(N, T)
OLD = normal(N, T) - 2


def tokens(hidden, kernel, labels):
    log_p = jax.nn.log_softmax(jnp.einsum("ntd,kd->ntk", hidden, kernel))
    return jnp.take_along_axis(log_p, labels[..., None], -1)[..., 0]


def sequences(hidden, kernel, at, steps):
    """Of whole responses, by full logits."""
    total = jnp.sum(jnp.where(MASKS[at], tokens(hidden, kernel, LABELS[at]), 0), -1)
    return total / jnp.maximum(jnp.sum(MASKS[at].astype(jnp.float32), -1), 1) if steps == "mean" else total


PAIRS = {
    "dpo": {},
    "apo": {},
    "nca": {},
    "dpop": {"penalty": 2.0},
    "f_dpo": {"divergence": "alpha"},
    "orpo": {},
    "simpo": {},
    "cpo": {},
    "slic": {},
}
WITHOUT_REFERENCE = {"orpo": "mean", "simpo": "mean", "cpo": "sum", "slic": "sum"}
SINGLES = {"kto": (SIGNS, jnp.float32(0.3)), "bco": (SIGNS,), "sppo": (WIN_RATES,), "npo": ()}
OF_TOKENS = {
    "grpo": {"beta": 0.04},
    "gmpo": {},
    "ppo_clip": {"clip_high": 0.28},
    "cispo": {},
    "sapo": {},
    "reinforce": {},
    "kl_estimate": {},
}


def of_pairs(name, head, full):
    """Value of a preference loss from hidden states, or by full logits, as a function of the policy's hidden states and kernel."""
    options, loss = PAIRS[name], getattr(jloss, name)
    steps = WITHOUT_REFERENCE.get(name)

    def run(chosen, rejected, kernel):
        given = {"chosen_mask": MASKS[0], "rejected_mask": MASKS[1], **options}
        if full:
            both = [sequences(h, kernel, at, steps) for at, h in enumerate((chosen, rejected))]
            references = [] if steps else [sequences(h, REFERENCE_KERNEL, at, None) for at, h in enumerate(REFERENCE_HIDDEN)]
            return loss(*both, *references, **options)
        call = {"chosen_hidden": chosen, "rejected_hidden": rejected, "kernel": kernel}
        call |= {"chosen_labels": LABELS[0], "rejected_labels": LABELS[1]}
        if not steps:
            call |= {"reference_chosen_hidden": REFERENCE_HIDDEN[0], "reference_rejected_hidden": REFERENCE_HIDDEN[1]}
            call |= {"reference_kernel": REFERENCE_KERNEL}
        return head(**call, **given)

    return run


def assert_close(got, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_need_no_logits(name):
    head = linear_head(getattr(jloss, name), 5, teacher=name not in WITHOUT_REFERENCE)
    found = [jax.jit(jax.value_and_grad(of_pairs(name, head, full), (0, 1, 2)))(*HIDDEN, KERNEL) for full in (True, False)]
    assert_close(found[1], found[0])
    assert not np.asarray(found[1][1][0])[3].any(), "an empty response has no gradient"


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLES)
def test_single_responses_need_no_logits(name):
    loss, more = getattr(jloss, name), SINGLES[name]
    head = linear_head(loss, 5, teacher=True)

    def ours(hidden, kernel):
        return head(hidden, kernel, REFERENCE_HIDDEN[0], REFERENCE_KERNEL, LABELS[0], *more, mask=MASKS[0])

    def full(hidden, kernel):
        return loss(sequences(hidden, kernel, 0, None), sequences(REFERENCE_HIDDEN[0], REFERENCE_KERNEL, 0, None), *more)

    assert_close(*(jax.jit(jax.value_and_grad(f, (0, 1)))(HIDDEN[0], KERNEL) for f in (ours, full)))


def of_tokens(name, head, full):
    """The same for a policy loss of tokens, under a mask."""
    loss, options = getattr(jloss, name), OF_TOKENS[name]
    names = [n for n in jloss.entry(loss).inputs if n in ("old_log_probs", "advantages")]
    more = {n: {"old_log_probs": OLD, "advantages": ADVANTAGES}[n] for n in names}
    masked = {"mask": MASKS[1]} if "mask" in jloss.entry(loss).inputs else {"where": MASKS[1]}
    has_reference = "reference_log_probs" in jloss.entry(loss).inputs

    def run(hidden, kernel):
        if full:
            more_ = dict(more)
            if has_reference:
                more_["reference_log_probs"] = tokens(REFERENCE_HIDDEN[1], REFERENCE_KERNEL, LABELS[1])
            return loss(tokens(hidden, kernel, LABELS[1]), **more_, **masked, **options)
        call = {"hidden": hidden, "kernel": kernel, "labels": LABELS[1], **more, **masked, **options}
        if has_reference:
            call |= {"reference_hidden": REFERENCE_HIDDEN[1], "reference_kernel": REFERENCE_KERNEL}
        return head(**call)

    return run, has_reference


@pytest.mark.parametrize("name", OF_TOKENS)
def test_policies_need_no_logits(name):
    teacher = "reference_log_probs" in jloss.entry(getattr(jloss, name)).inputs
    head = linear_head(getattr(jloss, name), 5, teacher=teacher)
    found = [jax.jit(jax.value_and_grad(of_tokens(name, head, full)[0], (0, 1)))(HIDDEN[1], KERNEL) for full in (True, False)]
    assert_close(found[1], found[0])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "shard_map"])
@pytest.mark.parametrize("name", ["dpo", "simpo", "grpo"])
def test_tokens_and_classes_on_several_devices(name, how):
    """Responses over one side of the mesh, the vocabulary over the other."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:4])
    loss = getattr(jloss, name)
    head = linear_head(loss, 5, teacher=name != "simpo")
    rows = {"labels": LABELS[1], "old_log_probs": OLD, "advantages": ADVANTAGES, "mask": MASKS[1]}
    hidden = {"hidden": HIDDEN[1]}
    if name != "grpo":
        rows = {"chosen_labels": LABELS[0], "rejected_labels": LABELS[1], "chosen_mask": MASKS[0], "rejected_mask": MASKS[1]}
        hidden = {"chosen_hidden": HIDDEN[0], "rejected_hidden": HIDDEN[1]}
    references = {
        "dpo": {"reference_chosen_hidden": REFERENCE_HIDDEN[0], "reference_rejected_hidden": REFERENCE_HIDDEN[1]},
        "grpo": {"reference_hidden": REFERENCE_HIDDEN[1]},
    }.get(name, {})
    kernels = {"kernel": KERNEL} | ({"reference_kernel": REFERENCE_KERNEL} if references else {})
    options = {"beta": 0.04} if name == "grpo" else {}
    given = {**hidden, **rows, **references, **kernels}
    specs = {n: P("model") if "kernel" in n else P("data") for n in given}

    def local(given):
        return head(**given, axis_name="data", class_axis_name="model", **options)

    over = jax.shard_map(local, mesh=mesh, in_specs=(specs,), out_specs=P())
    plain = functools.partial(lambda given: head(**given, **options))

    def value(policy):
        return (over if how == "shard_map" else plain)(given | policy)

    policy = hidden | {"kernel": KERNEL}
    placed = {n: jax.device_put(v, NamedSharding(mesh, specs[n])) for n, v in policy.items()}
    got = jax.jit(jax.value_and_grad(value))(placed)
    if name == "grpo":
        wanted, (of_hidden, of_kernel) = jax.value_and_grad(of_tokens(name, None, True)[0], (0, 1))(HIDDEN[1], KERNEL)
        slopes = {"hidden": of_hidden, "kernel": of_kernel}
    else:
        wanted, (first, second, of_kernel) = jax.value_and_grad(of_pairs(name, None, True), (0, 1, 2))(*HIDDEN, KERNEL)
        slopes = {"chosen_hidden": first, "rejected_hidden": second, "kernel": of_kernel}
    assert_close(got, (wanted, slopes))


@pytest.mark.slow
def test_bfloat16_hidden_states_give_float32_sums():
    head = linear_head(jloss.dpo)
    half = [h.astype(jnp.bfloat16) for h in HIDDEN]
    kernel = KERNEL.astype(jnp.bfloat16)
    value, slopes = jax.value_and_grad(lambda a, b, w: head(a, b, w, *LABELS), (0, 1, 2))(*half, kernel)
    wide = [h.astype(jnp.float32) for h in half]
    sums = [jnp.sum(tokens(h, kernel.astype(jnp.float32), y), -1) for h, y in zip(wide, LABELS, strict=True)]
    np.testing.assert_allclose(value, jloss.dpo(*sums), rtol=1e-5)
    assert value.dtype == jnp.float32
    assert {s.dtype for s in slopes} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.slow
def test_chunks_hold_a_seventh_of_the_logits():
    """2048 tokens, 32000 classes: what XLA plans beside inputs and gradients."""
    n, t, d, k = 8, 256, 64, 32000
    labels = jnp.zeros((n, t), jnp.int32)
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((n, t, d), (k, d))]
    old, advantages = jnp.zeros((n, t)), jnp.ones((n, t))

    def full(hidden, kernel):
        return jloss.grpo(tokens(hidden, kernel, labels), old, advantages)

    def short(hidden, kernel):
        return linear_head(jloss.grpo)(hidden, kernel, labels, old_log_probs=old, advantages=advantages)

    planned = [jax.jit(jax.value_and_grad(f, (0, 1))).lower(*shapes).compile().memory_analysis().temp_size_in_bytes for f in (full, short)]
    assert planned[1] < planned[0] / 7
