"""`linear_head` with the hidden states of a second model, and of losses of log-probabilities: equal to full logits."""

import functools
import inspect
import re
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from jloss._core import chunks
from jloss._core.log_probs import of_log_probs
from jloss.transforms import chunked, linear_head

RNG = np.random.default_rng(0)
N, T, U, D, E, K = 5, 7, 4, 3, 2, 6


def normal(*shape, scale=1.5):
    return jnp.asarray(scale * RNG.normal(size=shape), jnp.float32)


KERNEL, TEACHER_KERNEL, BIAS, TEACHER_BIAS = normal(K, D), normal(K, E), normal(K), normal(K)
HIDDEN, TEACHER_HIDDEN = normal(N, T, D), normal(N, T, E)
LABELS = jnp.asarray(RNG.integers(0, K, (N, T)), jnp.int32)
WHERE, WEIGHTS = jnp.arange(N * T).reshape(N, T) % 3 != 1, jnp.asarray(RNG.uniform(size=(N, T)), jnp.float32)


def logits(hidden, kernel, bias=0.0, soft_cap=None):
    z = jnp.einsum("...d,kd->...k", hidden, kernel) + jnp.broadcast_to(bias, (*hidden.shape[:-1], K))
    return z if soft_cap is None else soft_cap * jnp.tanh(z / soft_cap)


def assert_close(got, wanted, rtol=1e-5):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(b), initial=0))))

    jax.tree.map(close, got, wanted)


# ---------------------------------------------------------------- a student and its teacher

TEACHERS = {
    "distillation": ({"temperature": 2.0}, ()),
    "reverse_kl": ({}, ()),
    "generalized_jsd": ({"beta": 0.3}, ()),
    "decoupled_distillation": ({}, (LABELS,)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backward"), [*((name, "cached") for name in TEACHERS), ("distillation", "recompute")])
def test_neither_student_nor_teacher_needs_full_logits(name, backward):
    loss, (options, labels) = getattr(jloss, name), TEACHERS[name]
    head = linear_head(loss, 4, backward, teacher=True)  # 35 tokens: does not divide
    both = {"where": WHERE, "weights": WEIGHTS}

    @jax.jit
    def results(*models):
        found = []
        for keywords in ({"reduction": "mean", **both}, {"reduction": "none", **both}, {"reduction": "parts"}):

            def full(h, w, b, teacher_h, teacher_w, teacher_b, keywords=keywords):
                return loss(logits(h, w, b, 4.0), logits(teacher_h, teacher_w, teacher_b, 3.0), *labels, **options, **keywords)

            def short(h, w, b, teacher_h, teacher_w, teacher_b, keywords=keywords):
                biases = {"bias": b, "teacher_bias": teacher_b, "soft_cap": 4.0, "teacher_soft_cap": 3.0}
                return head(h, w, teacher_h, teacher_w, *labels, **biases, **options, **keywords)

            for f in (full, short):

                def number(*a, f=f):
                    value = f(*a)
                    return 3.0 * value[0] / value[1] if isinstance(value, tuple) else 7.0 * jnp.sum(jnp.square(value))

                found.append((f(*models), jax.grad(number, range(6))(*models)))
        return found

    found = results(HIDDEN, KERNEL, BIAS, TEACHER_HIDDEN, TEACHER_KERNEL, TEACHER_BIAS)
    for wanted, got in zip(found[::2], found[1::2], strict=True):
        assert_close(got, wanted)
        assert all(not slope.any() for slope in got[1][3:]), "the teacher is a constant"
        assert all(slope.any() for slope in got[1][:3])


@pytest.mark.slow
def test_a_teacher_of_another_width_and_dtype_and_nan_under_the_mask():
    head = linear_head(jloss.distillation, 4, teacher=True)
    hidden = HIDDEN.astype(jnp.bfloat16).at[0, 1].set(jnp.nan)
    teacher = TEACHER_HIDDEN.at[1, 0].set(jnp.inf)
    where = jnp.ones((N, T), bool).at[0, 1].set(False).at[1, 0].set(False)
    value, slopes = jax.value_and_grad(head, (0, 1))(hidden, KERNEL.astype(jnp.bfloat16), teacher, TEACHER_KERNEL, where=where)
    clean, wide = hidden.at[0, 1].set(0).astype(jnp.float32), KERNEL.astype(jnp.bfloat16).astype(jnp.float32)
    wanted, full = jax.value_and_grad(
        lambda h, w: jloss.distillation(logits(h, w), logits(TEACHER_HIDDEN, TEACHER_KERNEL), where=where), (0, 1)
    )(clean, wide)
    assert value.dtype == jnp.float32
    assert [s.dtype for s in slopes] == [jnp.bfloat16] * 2
    assert_close(value, wanted)
    assert_close(tuple(s.astype(jnp.float32) for s in slopes), full, rtol=4e-3)  # what bfloat16 holds
    assert not slopes[0][0, 1].any()


def test_a_student_at_its_teacher_has_no_gradient():
    slopes = jax.grad(linear_head(jloss.distillation, teacher=True), (0, 1))(HIDDEN, KERNEL, HIDDEN, KERNEL)
    assert not any(s.any() for s in slopes)


def mesh():
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:4])


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_both_vocabularies_sharded(backward):
    head = linear_head(jloss.distillation, 3, backward, teacher=True)
    hidden, teacher = HIDDEN.reshape(-1, D)[:8], TEACHER_HIDDEN.reshape(-1, E)[:8]

    def local(h, w, teacher_h, teacher_w):
        return head(h, w, teacher_h, teacher_w, axis_name="data", class_axis_name="model", temperature=2.0)

    specs = P("data"), P("model"), P("data"), P("model")
    mapped = jax.shard_map(local, mesh=mesh(), in_specs=specs, out_specs=P())
    got = jax.jit(jax.value_and_grad(mapped, (0, 1, 3)))(hidden, KERNEL, teacher, TEACHER_KERNEL)
    wanted = jax.value_and_grad(
        lambda h, w, teacher_w: jloss.distillation(logits(h, w), logits(teacher, teacher_w), temperature=2.0), (0, 1, 2)
    )(hidden, KERNEL, TEACHER_KERNEL)
    assert_close(got, wanted)


def temporaries(f, *arguments, wanted=(0, 1)):
    step = jax.jit(jax.value_and_grad(f, wanted)).lower(*arguments).compile()
    return step.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_the_logits_of_both_models_are_never_held():
    n, d, k = 2048, 64, 8192
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((n, d), (k, d), (n, d), (k, d))]
    full = temporaries(lambda h, w, g, v: jloss.distillation(h @ w.T, g @ v.T), *shapes)
    one = temporaries(lambda h, w, g, v: linear_head(jloss.distillation)(h, w, g @ v.T), *shapes)
    for backward in ("cached", "recompute"):
        two = temporaries(linear_head(jloss.distillation, backward=backward, teacher=True), *shapes)
        assert 8 * two <= full
        assert 4 * two <= one + n * k  # which holds the teacher's logits


# ---------------------------------------------------------------- losses of log-probabilities


@jloss.loss("(),(),(),()->()", "real real real real")
@of_log_probs("chosen rejected reference_chosen reference_rejected", steps="sum")
def pair_loss(
    chosen: Array,
    rejected: Array,
    reference_chosen: Array | None = None,
    reference_rejected: Array | None = None,
    *,
    beta: float = 0.1,
    **reduce: Unpack[jloss.Reduce],
) -> Array:
    """Of two sequences and a reference.

    Args:
        chosen: Log-probability of the
            better one.
        rejected: That of the other.
        reference_chosen: The same, of the reference.
        reference_rejected: The same, of the reference.
        beta: Scale.
    """
    margin = chosen - rejected
    if reference_chosen is not None:
        margin = margin - (reference_chosen - reference_rejected)
    return jnp.square(beta * margin - 1)


@jloss.loss("(t),(t),(t),(t)->()", "real real mask real")
@of_log_probs("log_probs reference_log_probs")
def steps_loss(
    log_probs: Array,
    advantages: Array,
    mask: Array | None = None,
    reference_log_probs: Array | None = None,
    **reduce: Unpack[jloss.Reduce],
) -> Array:
    terms = jnp.square(log_probs - advantages)
    if reference_log_probs is not None:
        terms = terms + 0.5 * jnp.exp(reference_log_probs - log_probs)
    if mask is None:
        return jnp.mean(terms)
    return jnp.sum(jnp.where(mask, terms, 0)) / jnp.sum(mask.astype(terms.dtype))


@jloss.loss("(),()->()", "real real")
@of_log_probs("log_probs")
def token_loss(log_probs: Array, advantages: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    return -advantages * log_probs


CHOSEN, REJECTED = normal(N, T, D), normal(N, U, D)
REFERENCE_CHOSEN, REFERENCE_REJECTED = normal(N, T, E), normal(N, U, E)
CHOSEN_LABELS, REJECTED_LABELS = (jnp.asarray(RNG.integers(0, K, (N, s)), jnp.int32) for s in (T, U))
CHOSEN_MASK = jnp.asarray(np.arange(T) < np.array([7, 6, 3, 1, 5])[:, None])
REJECTED_MASK = jnp.asarray(np.arange(U) < np.array([4, 1, 2, 0, 3])[:, None])
ADVANTAGES = normal(N, T)


def label_log_probs(hidden, kernel, labels, *rest):
    return jnp.take_along_axis(jax.nn.log_softmax(logits(hidden, kernel, *rest)), labels[..., None], -1)[..., 0]


def of_sequence(values, mask, steps="sum"):
    total = jnp.sum(jnp.where(mask, values, 0), -1)
    return total if steps == "sum" else total / jnp.maximum(1, jnp.sum(mask, -1)).astype(total.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["sum", "mean"])
@pytest.mark.parametrize(
    ("size", "backward"), [(None, "cached"), (1, "cached"), (3, "cached"), (10, "cached"), (1000, "cached"), (3, "recompute")]
)
def test_pairs_of_sequences_and_a_reference(size, backward, steps):
    head = linear_head(pair_loss, size, backward, teacher=True)
    where, weights = jnp.arange(N) != 2, jnp.arange(N, dtype=jnp.float32)
    masks = {"chosen_mask": CHOSEN_MASK, "rejected_mask": REJECTED_MASK}

    def short(c, r, w, b, ref_c, ref_r, v):
        return head(
            c, r, w, ref_c, ref_r, v, CHOSEN_LABELS, REJECTED_LABELS, **masks, bias=b, steps=steps, beta=0.7, where=where, weights=weights
        )

    def full(c, r, w, b, ref_c, ref_r, v):
        each = [
            of_sequence(label_log_probs(*of), mask, steps)
            for of, mask in (
                ((c, w, CHOSEN_LABELS, b), CHOSEN_MASK),
                ((r, w, REJECTED_LABELS, b), REJECTED_MASK),
                ((ref_c, v, CHOSEN_LABELS), CHOSEN_MASK),
                ((ref_r, v, REJECTED_LABELS), REJECTED_MASK),
            )
        ]
        return pair_loss(*each[:2], *map(jax.lax.stop_gradient, each[2:]), beta=0.7, where=where, weights=weights)

    arguments = CHOSEN, REJECTED, KERNEL, BIAS, REFERENCE_CHOSEN, REFERENCE_REJECTED, TEACHER_KERNEL
    got = jax.jit(jax.value_and_grad(short, range(7)))(*arguments)
    assert_close(got, jax.jit(jax.value_and_grad(full, range(7)))(*arguments))
    assert not any(slope.any() for slope in got[1][4:])


@pytest.mark.slow
def test_the_reference_may_be_numbers_or_absent():
    head = linear_head(pair_loss)
    chosen, rejected = (
        of_sequence(label_log_probs(h, KERNEL, y), jnp.ones(y.shape, bool))
        for h, y in ((CHOSEN, CHOSEN_LABELS), (REJECTED, REJECTED_LABELS))
    )
    given = CHOSEN, REJECTED, KERNEL, CHOSEN_LABELS, REJECTED_LABELS
    assert_close(head(*given), pair_loss(chosen, rejected))
    numbers = {"reference_chosen": normal(N), "reference_rejected": normal(N)}
    assert_close(head(*given, **numbers, reduction="none"), pair_loss(chosen, rejected, **numbers, reduction="none"))


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 3, 9])
def test_steps_of_a_sequence_whatever_masked_ones_hold(size):
    head = linear_head(steps_loss, size, teacher=True)
    hidden, reference = (h.at[0, 6].set(jnp.nan) for h in (HIDDEN, TEACHER_HIDDEN))
    mask = jnp.asarray(np.arange(T) < np.array([6, 7, 2, 4, 5])[:, None])
    labels = jnp.where(mask, LABELS, -100)

    def short(h, w):
        return head(h, w, reference, TEACHER_KERNEL, labels, ADVANTAGES, mask)

    def full(h, w):
        log_probs, of_reference = label_log_probs(h, w, LABELS), label_log_probs(TEACHER_HIDDEN, TEACHER_KERNEL, LABELS)
        return steps_loss(log_probs, ADVANTAGES, mask, reference_log_probs=of_reference)

    got = jax.jit(jax.value_and_grad(short, (0, 1)))(hidden, KERNEL)
    assert_close(got, jax.jit(jax.value_and_grad(full, (0, 1)))(HIDDEN, KERNEL))


@pytest.mark.slow
@pytest.mark.parametrize("loss", [jloss.sequence_cross_entropy, jloss.sequence_log_prob])
def test_a_masked_step_of_a_sequence_of_logits_may_hold_anything(loss):
    mask = jnp.asarray(np.arange(T) < np.array([6, 7, 2, 4, 5])[:, None])
    got = jax.value_and_grad(linear_head(loss), (0, 1))(HIDDEN.at[0, 6].set(jnp.nan), KERNEL, jnp.where(mask, LABELS, -100), mask)
    assert_close(got, jax.value_and_grad(lambda h, w: loss(logits(h, w), LABELS, mask), (0, 1))(HIDDEN, KERNEL))


@pytest.mark.slow
def test_tokens_are_examples():
    head = linear_head(token_loss, 4)
    got = jax.value_and_grad(lambda h, w: head(h, w, LABELS, ADVANTAGES, where=WHERE, soft_cap=2.0), (0, 1))(HIDDEN, KERNEL)
    wanted = jax.value_and_grad(lambda h, w: token_loss(label_log_probs(h, w, LABELS, 0.0, 2.0), ADVANTAGES, where=WHERE), (0, 1))(
        HIDDEN, KERNEL
    )
    assert_close(got, wanted)
    assert np.isnan(head(HIDDEN, KERNEL, LABELS.at[0, 0].set(K), ADVANTAGES, reduction="none")).sum() == 1


@pytest.mark.slow
def test_tokens_and_both_vocabularies_sharded():
    head = linear_head(steps_loss, 3, teacher=True)

    def local(h, w, g, v, y, a):
        return head(h, w, g, v, y, a, axis_name="data", class_axis_name="model")

    specs = P("data"), P("model"), P("data"), P("model"), P("data"), P("data")
    mapped = jax.shard_map(local, mesh=mesh(), in_specs=specs, out_specs=P())
    given = HIDDEN[:4], KERNEL, TEACHER_HIDDEN[:4], TEACHER_KERNEL, LABELS[:4], ADVANTAGES[:4]
    assert_close(jax.jit(jax.value_and_grad(mapped, (0, 1)))(*given), jax.value_and_grad(head, (0, 1))(*given))


@pytest.mark.slow
def test_one_long_sequence_needs_the_logits_of_a_chunk():
    t, d, k = 2048, 64, 8192
    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((1, t, d), (k, d), (1, t, d), (k, d))]
    labels, advantages = jnp.zeros((1, t), int), jnp.zeros((1, t))

    def full(h, w, g, v):
        log_probs = [jnp.take_along_axis(jax.nn.log_softmax(a @ b.T), labels[..., None], -1)[..., 0] for a, b in ((h, w), (g, v))]
        return steps_loss(log_probs[0], advantages, reference_log_probs=jax.lax.stop_gradient(log_probs[1]))

    def short(h, w, g, v):
        return linear_head(steps_loss, teacher=True)(h, w, g, v, labels, advantages)

    assert 4 * temporaries(short, *shapes) <= temporaries(full, *shapes)


@pytest.mark.slow
def test_a_batch_of_symbolic_size():
    (size,) = jax.export.symbolic_shape("b")
    head = linear_head(steps_loss, teacher=True)
    given = HIDDEN, KERNEL, TEACHER_HIDDEN, TEACHER_KERNEL, LABELS, ADVANTAGES
    shapes = [jax.ShapeDtypeStruct((size, *a.shape[1:]) if a.shape[0] == N else a.shape, a.dtype) for a in given]
    step = jax.jit(jax.value_and_grad(head, (0, 1)))
    assert_close(jax.export.export(step)(*shapes).call(*given), step(*given))


# ---------------------------------------------------------------- form


def test_says_what_it_takes():
    head = linear_head(pair_loss, teacher=True)
    assert jloss.entry(head).inputs == {
        "chosen_hidden": ("t", "d"),
        "rejected_hidden": ("u", "d"),
        "kernel": ("k", "d"),
        "reference_chosen_hidden": ("t", "f"),
        "reference_rejected_hidden": ("u", "f"),
        "reference_kernel": ("k", "f"),
        "chosen_labels": ("t",),
        "rejected_labels": ("u",),
        "chosen_mask": ("t",),
        "rejected_mask": ("u",),
        "bias": ("k",),
        "reference_bias": ("k",),
    }
    assert jloss.entry(head).constants == {
        "reference_chosen_hidden",
        "reference_rejected_hidden",
        "reference_kernel",
        "reference_bias",
    }
    shown = inspect.signature(head).parameters
    required = [n for n, p in shown.items() if p.default is p.empty]
    assert required == list(jloss.entry(head).inputs)[:8]
    assert {"beta", "steps", "soft_cap", "reference_soft_cap", "class_axis_name", "where"} <= shown.keys()
    arguments = head.__doc__.partition("Args:\n")[2].partition("\n\n")[0]
    names = [line.strip().partition(":")[0] for line in arguments.splitlines()]
    assert names == [
        *("chosen_hidden", "rejected_hidden", "kernel", "bias", "soft_cap"),
        *("reference_chosen_hidden", "reference_rejected_hidden", "reference_kernel", "reference_bias", "reference_soft_cap"),
        *("chosen_labels", "rejected_labels", "chosen_mask", "rejected_mask", "class_axis_name", "beta"),
    ]


@pytest.mark.parametrize("loss", [jloss.cross_entropy, jloss.soft_cross_entropy, jloss.sigmoid_cross_entropy, jloss.sequence_cross_entropy])
def test_help_lists_hidden_and_kernel_in_place_of_logits(loss):
    doc = linear_head(loss).__doc__
    arguments = doc.partition("Args:\n")[2].partition("\n\n")[0]
    assert arguments.startswith("    hidden: ")
    assert "``kernel.T``" in arguments
    assert "    logits: " not in arguments
    assert all(f"    {name}: " in arguments for name in ("bias", "soft_cap", "class_axis_name", list(jloss.entry(loss).inputs)[1]))


@pytest.mark.slow
def test_chunked_keeps_the_teacher():
    head = chunked(linear_head(jloss.distillation, teacher=True), 3)
    assert head == linear_head(jloss.distillation, 3, teacher=True)
    assert head != linear_head(jloss.distillation, 3)
    assert linear_head(chunked(jloss.distillation), 3, teacher=True) == head
    trimmed = jloss.trimmed(jloss.distillation, 0.2)
    inside = linear_head(trimmed, 3, teacher=True)
    given = HIDDEN, KERNEL, TEACHER_HIDDEN, TEACHER_KERNEL
    assert_close(inside(*given), trimmed(logits(HIDDEN, KERNEL), logits(TEACHER_HIDDEN, TEACHER_KERNEL)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: linear_head(jloss.cross_entropy, teacher=True),
            "`teacher` needs a loss of two models, such as distillation; cross_entropy is of one.",
        ),
        (lambda: linear_head(token_loss, teacher=True), "token_loss is of one."),
        (lambda: linear_head(jloss.distillation, teacher=1), "linear_head: `teacher` is static and must be a Python bool, got 1."),
        (
            lambda: linear_head(jloss.distillation, teacher=True)(HIDDEN, KERNEL, TEACHER_HIDDEN, TEACHER_KERNEL[:4]),
            "axis `k` of `teacher_kernel` has size 4, but 6 is expected from `kernel`.",
        ),
        (
            lambda: linear_head(jloss.distillation, teacher=True)(HIDDEN, KERNEL, TEACHER_HIDDEN, KERNEL),
            "axis `f` of `teacher_kernel` has size 3, but 2 is expected from `teacher_hidden`.",
        ),
        (lambda: linear_head(jloss.distillation, teacher=True)(HIDDEN, KERNEL, TEACHER_HIDDEN), "missing input `teacher_kernel`"),
        (lambda: linear_head(pair_loss)(CHOSEN, REJECTED, KERNEL, CHOSEN_LABELS, REJECTED_LABELS, steps="max"), "`steps` must be one of"),
        (lambda: linear_head(jloss.distillation, 0, teacher=True), "`chunk_size` must be 1 or more, got 0."),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


@pytest.mark.slow
def test_forward_mode_under_recompute():
    head = linear_head(pair_loss, 3, "recompute", teacher=True)
    given = functools.partial(head, CHOSEN, REJECTED)
    rest = REFERENCE_CHOSEN, REFERENCE_REJECTED, TEACHER_KERNEL, CHOSEN_LABELS, REJECTED_LABELS
    direction = normal(K, D)
    tangent = jax.jvp(lambda w: given(w, *rest), (KERNEL,), (direction,))[1]
    assert_close(tangent, jnp.vdot(jax.grad(lambda w: given(w, *rest))(KERNEL), direction))


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
@pytest.mark.parametrize(("tokens", "loops"), [(1, False), (8, False), (64, False), (65, True), (130, True)])
def test_few_tokens_need_no_loop(tokens, loops, backward, monkeypatch):
    monkeypatch.setattr(chunks, "FEWEST", 64)
    hidden, kernel = jnp.sin(jnp.arange(tokens * 4.0)).reshape(tokens, 4), jnp.cos(jnp.arange(28.0)).reshape(7, 4)
    labels, where = jnp.arange(tokens) % 7, jnp.arange(tokens) % 3 < 2

    def both(loss):
        return jax.value_and_grad(loss, (0, 1))

    headed = both(lambda h, k: jloss.linear_head(jloss.cross_entropy, backward=backward)(h, k, labels, where=where))
    whole = both(lambda h, k: jloss.cross_entropy(h @ k.T, labels, where=where))
    assert ("scan" in str(jax.make_jaxpr(headed)(hidden, kernel))) == loops
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), jax.jit(headed)(hidden, kernel), whole(hidden, kernel)
    )


@pytest.mark.parametrize(
    ("tokens", "features", "teacher", "chunks_of"),
    [
        (2048, 512, False, 4),
        (2048, 2048, False, 4),
        (2048, 100, False, 16),
        (1024, 128, False, 8),
        (2048, 512, True, 8),
        (16384, 512, False, 16),
    ],
)
def test_logits_of_a_chunk_are_no_larger_than_the_kernel(tokens, features, teacher, chunks_of, monkeypatch):
    """By default; nor are they of less tokens, down to 64, whose products would wait for the kernel."""
    monkeypatch.setattr(chunks, "FEWEST", 64)
    monkeypatch.setattr(chunks, "ENOUGH", 512)
    hidden, kernel = jax.ShapeDtypeStruct((tokens, features), jnp.float32), jax.ShapeDtypeStruct((300, features), jnp.float32)
    head = jloss.linear_head(jloss.distillation if teacher else jloss.cross_entropy, teacher=teacher)
    inputs = (hidden, kernel) * 2 if teacher else (hidden, kernel, jax.ShapeDtypeStruct((tokens,), jnp.int32))
    program = jax.make_jaxpr(jax.grad(head, 1))(*inputs)
    assert f"length={chunks_of}" in str(program)


def test_few_sequences_of_many_tokens_are_still_apart(monkeypatch):
    """What counts is how many tokens have their logits at once, not how many examples there are."""
    monkeypatch.setattr(chunks, "FEWEST", 64)
    hidden, kernel, mask = jnp.ones((4, 200, 4)), jnp.ones((7, 4)), jnp.ones((4, 200), bool)
    labels = jnp.zeros((4, 200), int)
    for loss, given in ((jloss.masked_diffusion, (labels, mask, jnp.ones(4))), (jloss.sequence_cross_entropy, (labels, mask))):
        program = jax.make_jaxpr(lambda h, k, loss=loss, given=given: jloss.linear_head(loss)(h, k, *given))(hidden, kernel)
        assert "scan" in str(program), loss
        assert "4,200,7" not in str(program), loss


@pytest.mark.parametrize("loss", [jloss.cross_entropy, jloss.softmax_focal, jloss.poly1_cross_entropy])
def test_rows_that_fill_up_the_vocabulary_are_taken_out_by_their_bias(loss):
    """And not under a soft cap, which lifts their logits to minus itself."""
    filled, bias = jnp.concatenate([KERNEL, jnp.zeros((3, D))]), jnp.concatenate([BIAS, jnp.full(3, -jnp.inf)])

    def head(hidden, kernel, **keywords):
        return jloss.linear_head(loss, chunk_size=8)(hidden, kernel, LABELS, **keywords)

    value, (slope, rows) = jax.value_and_grad(head, (0, 1))(HIDDEN, filled, bias=bias)
    wanted, (wanted_slope, wanted_rows) = jax.value_and_grad(head, (0, 1))(HIDDEN, KERNEL, bias=BIAS)
    assert_close((value, slope, rows[:K]), (wanted, wanted_slope, wanted_rows))
    np.testing.assert_array_equal(rows[K:], 0)
    assert head(HIDDEN, filled, bias=bias, soft_cap=2.0) > 1.01 * head(HIDDEN, KERNEL, bias=BIAS, soft_cap=2.0)
