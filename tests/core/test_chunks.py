"""The chunk engine and `linear_head`: equal to full logits in value and every gradient, in a fraction of the memory."""

import inspect
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jloss
from jloss._core import chunks
from jloss._core.chunks import chunked_map, chunked_sum
from jloss.testing import samples
from jloss.transforms import chunked, linear_head, regularized

RNG = np.random.default_rng(0)
BATCH, D, K = (3, 7), 5, 6
HIDDEN, KERNEL, BIAS = (jnp.asarray(2.0 * RNG.normal(size=s), jnp.float32) for s in ((*BATCH, D), (K, D), (K,)))
LABELS = jnp.asarray(RNG.integers(0, K, BATCH), jnp.int32)
WHERE = jnp.asarray(RNG.uniform(size=BATCH) < 0.7)
WEIGHTS = jnp.asarray(RNG.uniform(size=BATCH), jnp.float32)
PROBS = jax.nn.softmax(jnp.asarray(RNG.normal(size=(*BATCH, K)), jnp.float32))
BITS = jnp.asarray(RNG.integers(0, 2, (*BATCH, K)), jnp.float32)


def logits(hidden, kernel, bias, soft_cap=None):
    z = jnp.einsum("...d,kd->...k", hidden, kernel) + jnp.broadcast_to(bias, (*hidden.shape[:-1], K))
    return z if soft_cap is None else soft_cap * jnp.tanh(z / soft_cap)


def number(result):
    """A number of whatever a reduction gives, with an outer factor that is not 1."""
    if isinstance(result, tuple):
        return 3.0 * result[0] / result[1]
    return 7.0 * jnp.sum(jnp.square(result)) if result.ndim else 7.0 * result


def assert_close(got, wanted, rtol=2e-5):
    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(b), initial=0))))

    jax.tree.map(close, got, wanted)


CASES = {
    "cross_entropy": (jloss.cross_entropy, LABELS, {"label_smoothing": 0.1, "z_loss": 0.01}),
    "soft_cross_entropy": (jloss.soft_cross_entropy, PROBS, {}),
    "softmax_focal": (jloss.softmax_focal, LABELS, {"gamma": 1.5}),
    "poly1_cross_entropy": (jloss.poly1_cross_entropy, LABELS, {"epsilon": 2.0}),
    "sigmoid_cross_entropy": (jloss.sigmoid_cross_entropy, BITS, {"positive_weight": 3.0}),
    "sigmoid_focal": (jloss.sigmoid_focal, BITS, {"alpha": 0.25}),
}
SETTINGS = [("mean", True), ("none", True), ("parts", False)]


SCHEDULES = [*((name, "cached") for name in CASES), ("cross_entropy", "recompute"), ("sigmoid_cross_entropy", "recompute")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "backward"), SCHEDULES)
def test_equals_full_logits(name, backward):
    loss, targets, options = CASES[name]
    head = linear_head(loss, chunk_size=4, backward=backward)  # 21 tokens: does not divide
    settings = SETTINGS if name in ("cross_entropy", "sigmoid_cross_entropy") else SETTINGS[:1]
    shape = BATCH if targets is LABELS or targets is PROBS else (*BATCH, K)
    where, weights = (jnp.broadcast_to(a.reshape(*BATCH, *[1] * (len(shape) - 2)), shape) for a in (WHERE, WEIGHTS))

    @jax.jit
    def both(hidden, kernel, bias):
        results = []
        for reduction, masked in settings:
            keywords = {**options, "reduction": reduction, **({"where": where, "weights": weights} if masked else {})}

            def full(h, w, b, keywords=keywords):
                return loss(logits(h, w, b, 4.0), targets, **keywords)

            def chunk(h, w, b, keywords=keywords):
                return head(h, w, targets, bias=b, soft_cap=4.0, **keywords)

            for f in (full, chunk):
                slopes = jax.grad(lambda *a, f=f: number(f(*a)), (0, 1, 2))(hidden, kernel, bias)
                results.append((f(hidden, kernel, bias), slopes))
        return results

    results = both(HIDDEN, KERNEL, BIAS)
    for wanted, got in zip(results[::2], results[1::2], strict=True):
        assert_close(got, wanted)


@pytest.mark.slow
def test_gradients_of_options_weights_and_targets():
    def f(head):
        def of(smoothing, z_loss, weights, cap, probs):
            hard = head(jloss.cross_entropy)(
                HIDDEN, KERNEL, LABELS, label_smoothing=smoothing, z_loss=z_loss, weights=weights, soft_cap=cap
            )
            return hard + 2.0 * head(jloss.soft_cross_entropy)(HIDDEN, KERNEL, probs, soft_cap=cap)

        return of

    def plain(loss):
        return lambda h, w, t, soft_cap, **options: loss(logits(h, w, jnp.zeros(K), soft_cap), t, **options)

    arguments = (0.1, 0.01, WEIGHTS, 4.0, PROBS)
    got = jax.grad(f(lambda loss: linear_head(loss, chunk_size=5)), range(5))(*arguments)
    assert_close(got, jax.grad(f(plain), range(5))(*arguments))


@pytest.mark.parametrize("size", [1, 4, 21, 1000])
def test_any_chunk_size(size):
    head = linear_head(jloss.cross_entropy, chunk_size=size)
    assert_close(head(HIDDEN, KERNEL, LABELS, bias=BIAS), jloss.cross_entropy(logits(HIDDEN, KERNEL, BIAS), LABELS))


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
@pytest.mark.parametrize("batch", [(21,), (9, 2), (1,), (3, 7)])
def test_slices_on_one_cpu(monkeypatch, batch, backward):
    monkeypatch.setattr(chunks.backend, "on_one_cpu", lambda: True)
    count = math.prod(batch)
    hidden, labels, where, weights = (
        a.reshape(21, *a.shape[2:])[:count].reshape(*batch, *a.shape[2:]) for a in (HIDDEN, LABELS, WHERE, WEIGHTS)
    )
    head = linear_head(jloss.cross_entropy, chunk_size=4, backward=backward)

    def parts(f):
        def numbers(h, k):
            each = jnp.arange(1.0, count + 1).reshape(batch) * f(h, k, reduction="none")
            return jnp.sum(each) + f(h, k, where=where | (labels == labels[(0,) * len(batch)]), weights=weights), each

        return jax.value_and_grad(numbers, (0, 1), has_aux=True)(hidden, KERNEL)

    got = parts(lambda h, k, **settings: head(h, k, labels, **settings))
    assert_close(got, parts(lambda h, k, **settings: jloss.cross_entropy(h @ k.T, labels, **settings)))


@pytest.mark.slow
def test_one_example_and_none():
    head = linear_head(jloss.cross_entropy)
    wanted = jloss.cross_entropy(KERNEL @ HIDDEN[0, 0], LABELS[0, 0])
    assert_close(head(HIDDEN[0, 0], KERNEL, LABELS[0, 0]), wanted)
    assert_close(head(HIDDEN[0, 0], KERNEL, LABELS[0, 0], reduction="none"), wanted)
    value, slope = jax.value_and_grad(head, 1)(HIDDEN[:0], KERNEL, LABELS[:0])
    assert value == 0
    assert not slope.any()


@pytest.mark.slow
def test_large_logits_and_wrong_labels():
    head = linear_head(jloss.cross_entropy, chunk_size=8)
    labels = LABELS.at[0, 0].set(-100).at[1, 1].set(K)
    values = head(1e4 * HIDDEN, KERNEL, labels, reduction="none")
    assert_close(values, jloss.cross_entropy(logits(1e4 * HIDDEN, KERNEL, jnp.zeros(K)), labels, reduction="none"))
    assert np.isnan(values[0, 0])
    assert np.isnan(values[1, 1])
    assert np.isnan(values).sum() == 2
    ignored = head(HIDDEN, KERNEL, labels, where=(labels >= 0) & (labels < K))
    assert np.isfinite(ignored)


@pytest.mark.slow
def test_nan_under_the_mask_stays_there():
    hidden = HIDDEN.at[0].set(jnp.nan)
    where = jnp.ones(BATCH, bool).at[0].set(False)
    value, slopes = jax.value_and_grad(linear_head(jloss.cross_entropy, chunk_size=4), (0, 1))(hidden, KERNEL, LABELS, where=where)
    wanted, full = jax.value_and_grad(linear_head(jloss.cross_entropy), (0, 1))(HIDDEN[1:], KERNEL, LABELS[1:])
    assert_close((value, slopes[0][1:], slopes[1]), (wanted, full[0], full[1]))
    assert not slopes[0][0].any()


@pytest.mark.slow
def test_where_per_token_or_per_class():
    head = linear_head(jloss.sigmoid_cross_entropy, chunk_size=4)
    each = jnp.broadcast_to(WHERE[..., None], BITS.shape)
    for reduction in ("parts", "none"):
        assert_close(
            head(HIDDEN, KERNEL, BITS, where=WHERE, reduction=reduction), head(HIDDEN, KERNEL, BITS, where=each, reduction=reduction)
        )


# ---------------------------------------------------------------- what composes under which schedule


@pytest.mark.slow
def test_cached_takes_reverse_mode_of_any_order():
    def norm(f):
        return lambda h: jnp.sum(jnp.square(jax.grad(f, 1)(h, KERNEL, LABELS)))

    def full(h, w, y):
        return jloss.cross_entropy(logits(h, w, jnp.zeros(K)), y)

    head = linear_head(jloss.cross_entropy, chunk_size=4)
    assert_close(jax.jit(jax.grad(norm(head)))(HIDDEN), jax.jit(jax.grad(norm(full)))(HIDDEN), rtol=2e-4)
    many = jnp.stack([HIDDEN, 2 * HIDDEN])
    each = jax.vmap(jax.grad(head, 1), (0, None, None))(many, KERNEL, LABELS)
    assert_close(each[1], jax.grad(full, 1)(many[1], KERNEL, LABELS))
    stacked = jax.vmap(lambda w: head(HIDDEN, w, LABELS))(jnp.stack([KERNEL, -KERNEL]))
    assert_close(stacked[1], full(HIDDEN, -KERNEL, LABELS))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda h: head(h, KERNEL, LABELS), (HIDDEN,), (HIDDEN,))


def test_recompute_takes_forward_mode_too():
    def full(b):
        return jloss.cross_entropy(logits(HIDDEN, KERNEL, b), LABELS)

    head = linear_head(jloss.cross_entropy, chunk_size=4, backward="recompute")
    got = jax.jit(jax.hessian(lambda b: head(HIDDEN, KERNEL, LABELS, bias=b)))(BIAS)
    assert_close(got, jax.jit(jax.hessian(full))(BIAS), rtol=1e-4)


def test_a_function_may_hold_on_to_what_is_differentiated():
    @jax.grad
    def slope(scale):
        return chunked_sum(lambda rows, shared, where: scale * jnp.sum(rows * shared), jnp.arange(32.0), jnp.array(2.0))

    assert_close(slope(3.0), jnp.array(2.0 * 31 * 16))


def scans(jaxpr):
    """All scan equations, however deep."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for value in equation.params.values():
            if hasattr(value, "jaxpr"):
                yield from scans(value.jaxpr)


def test_only_wanted_gradients_are_computed():
    head = linear_head(jloss.cross_entropy)
    both = jax.make_jaxpr(jax.grad(head, (0, 1)))(HIDDEN, KERNEL, LABELS).jaxpr
    frozen = jax.make_jaxpr(jax.grad(head, 0))(HIDDEN, KERNEL, LABELS).jaxpr
    value = jax.make_jaxpr(head)(HIDDEN, KERNEL, LABELS).jaxpr
    carries = [[v.aval.shape for s in scans(j) for v in s.outvars] for j in (both, frozen, value)]
    assert [KERNEL.shape in shapes for shapes in carries] == [True, False, False]
    assert [len(shapes) for shapes in carries] == [3, 2, 1]


# ---------------------------------------------------------------- memory and precision


@pytest.mark.slow
def test_a_fraction_of_the_memory():
    n, d, k = 2048, 64, 8192
    arguments = [jax.ShapeDtypeStruct(s, t) for s, t in (((n, d), jnp.float32), ((k, d), jnp.float32), ((n,), jnp.int32))]

    def temporaries(f):
        return jax.jit(jax.value_and_grad(f, (0, 1))).lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    full = temporaries(lambda h, w, y: jloss.cross_entropy(h @ w.T, y))
    for backward in ("cached", "recompute"):
        assert 7 * temporaries(linear_head(jloss.cross_entropy, backward=backward)) <= full


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_the_gradient_of_a_half_precision_kernel_is_summed_in_float32(backward):
    hidden, kernel = (jnp.asarray(RNG.normal(size=s), jnp.bfloat16) for s in ((1024, 8), (16, 8)))
    labels = jnp.zeros(1024, jnp.int32)  # all push the same way, so that a half-precision sum would stop growing

    def error(f):
        got = jax.jit(jax.grad(f, 1))(hidden, kernel, labels)
        assert got.dtype == jnp.bfloat16
        return float(jnp.linalg.norm(got.astype(jnp.float32) - wanted) / jnp.linalg.norm(wanted))

    wide = [a.astype(jnp.float32) for a in (hidden, kernel)]
    wanted = jax.grad(lambda h, w, y: jloss.cross_entropy(h @ w.T, y), 1)(*wide, labels)
    whole = error(lambda h, w, y: jloss.cross_entropy(jnp.matmul(h, w.T, preferred_element_type=jnp.float32), y))
    parts = error(linear_head(jloss.cross_entropy, chunk_size=4, backward=backward))
    assert parts < 1.5 * whole
    value = linear_head(jloss.cross_entropy, chunk_size=4)(hidden, kernel, labels)
    assert value.dtype == jnp.float32
    assert_close(value, jloss.cross_entropy(wide[0] @ wide[1].T, labels))


# ---------------------------------------------------------------- rows into chunks


@pytest.mark.slow
def test_chunks_are_strided_and_padding_does_not_count():
    seen = []

    def look(rows, shared, where):
        seen.append((rows.shape, where))
        return jnp.sum(rows if where is None else jnp.where(where, rows, 0))

    layout = chunks._layout((32,), 8)
    np.testing.assert_array_equal(layout.split(jnp.arange(32))[1], [1, 5, 9, 13, 17, 21, 25, 29])
    assert layout.split_where(None) is None
    for sizes, size in (((32,), 8), ((5, 2), 1), ((2, 3, 13), 5), ((0,), 2), ((), 1)):
        array = 1 + jnp.arange(int(np.prod(sizes, dtype=int)), dtype=jnp.float32).reshape(sizes)
        layout = chunks._layout(sizes, size)
        np.testing.assert_array_equal(layout.join(layout.split(array)), array)
        assert_close(chunked_sum(look, array, levels=len(sizes), chunk_size=size), jnp.sum(array))
        doubled = chunked_map(lambda rows, shared, where: {"twice": 2 * rows}, array, levels=len(sizes), chunk_size=size)
        assert_close(doubled["twice"], 2 * array)


@pytest.mark.parametrize("loss", [jloss.cross_entropy, jloss.huber, jloss.dice], ids=lambda loss: loss.__name__)
def test_chunked_is_the_loss(loss):
    inputs = samples(loss, batch=(7, 3))
    first, where = next(iter(inputs)), jnp.asarray(RNG.uniform(size=(7, 3)) < 0.5)

    @jax.jit
    def all_of(f_inputs):
        def of(f):
            def masked(x):
                return f(**{**f_inputs, first: x}, where=where)

            return jax.value_and_grad(masked)(f_inputs[first]), f(**f_inputs, reduction="none")

        return of(loss), of(chunked(loss, chunk_size=4))

    wanted, got = all_of(inputs)
    assert_close(got, wanted)


@pytest.mark.slow
def test_chunked_takes_the_class_axis_anywhere():
    front = jnp.moveaxis(logits(HIDDEN, KERNEL, BIAS), -1, 1)
    assert_close(chunked(jloss.cross_entropy, chunk_size=4)(front, LABELS, axis=1), jloss.cross_entropy(front, LABELS, axis=1))
    masks = jax.nn.sigmoid(jnp.asarray(RNG.normal(size=(3, 4, 5, 2)), jnp.float32))
    mask = jnp.asarray(RNG.uniform(size=(3, 4, 5)) < 0.5)
    for reduction in ("mean", "none"):
        keywords = {"axis": -1, "mask": mask, "reduction": reduction}
        assert_close(chunked(jloss.dice, chunk_size=2)(masks, masks**2, **keywords), jloss.dice(masks, masks**2, **keywords))


# ---------------------------------------------------------------- many devices


def mesh(kind=AxisType.Auto):
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind), devices=jax.devices()[:4])


SHARDED = {
    "tokens": ({"axis_name": ("data", "model")}, P(("data", "model")), P()),
    "classes": ({"class_axis_name": "model"}, P(), P("model")),
    "tokens and classes": ({"axis_name": "data", "class_axis_name": "model"}, P("data"), P("model")),
}


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
@pytest.mark.parametrize("how", SHARDED)
def test_shard_map_equals_one_device(how, backward):
    names, rows, classes = SHARDED[how]
    hidden, kernel, labels = HIDDEN.reshape(21, D)[:20], KERNEL, LABELS.reshape(21)[:20]
    where = jnp.arange(20) < 7  # all on the first shards
    head = linear_head(jloss.cross_entropy, chunk_size=3, backward=backward)

    def local(h, w, b, cap, y, keep):
        return head(h, w, y, bias=b, soft_cap=cap, where=keep, z_loss=0.1, **names)

    mapped = jax.shard_map(local, mesh=mesh(), in_specs=(rows, classes, classes, P(), rows, rows), out_specs=P())

    def scaled(f):
        return lambda *a: 5.0 * f(*a)

    def whole(h, w, b, cap, y, keep):
        return jloss.cross_entropy(logits(h, w, b, cap), y, where=keep, z_loss=0.1)

    arguments = (hidden, kernel, BIAS, 4.0, labels, where)
    got = jax.jit(jax.value_and_grad(scaled(mapped), range(4)))(*arguments)
    assert_close(got, jax.value_and_grad(scaled(whole), range(4))(*arguments))


@pytest.mark.slow
def test_elementwise_head_with_sharded_classes():
    head = linear_head(jloss.sigmoid_cross_entropy, chunk_size=3)
    specs = (P("data"), P("model"), P("data", "model"))
    hidden, bits = HIDDEN.reshape(21, D)[:20], BITS.reshape(21, K)[:20]

    def local(h, w, t):
        return head(h, w, t, axis_name="data", class_axis_name="model")

    mapped = jax.shard_map(local, mesh=mesh(), in_specs=specs, out_specs=P())
    got = jax.jit(jax.value_and_grad(mapped, (0, 1)))(hidden, KERNEL, bits)
    assert_close(got, jax.value_and_grad(lambda h, w, t: jloss.sigmoid_cross_entropy(h @ w.T, t), (0, 1))(hidden, KERNEL, bits))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_plain_jit_with_sharded_tokens_gathers_nothing(kind):
    here = mesh(kind)
    rows, whole = NamedSharding(here, P(("data", "model"))), NamedSharding(here, P())
    hidden, labels = jnp.tile(HIDDEN.reshape(21, D), (8, 1))[:128], jnp.tile(LABELS.reshape(21), 8)[:128]
    with jax.set_mesh(here):
        arguments = jax.device_put(hidden, rows), jax.device_put(KERNEL, whole), jax.device_put(labels, rows)
        step = jax.jit(jax.value_and_grad(linear_head(jloss.cross_entropy, chunk_size=16), (0, 1))).lower(*arguments).compile()
        text = step.as_text()
        got = step(*arguments)
    assert not re.search("all-gather|all-to-all|collective-permute", text)
    wanted = jax.value_and_grad(lambda h, w, y: jloss.cross_entropy(h @ w.T, y), (0, 1))(hidden, KERNEL, labels)
    assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("backward", ["cached", "recompute"])
@pytest.mark.parametrize("size", [1, 3, 16])
def test_every_chunk_has_rows_of_all_devices_of_an_explicit_mesh(size, backward):
    """jax refuses chunks that devices cannot share, and to take the first rows of a mask that is a constant by an index."""
    here = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:4])
    rows, whole = NamedSharding(here, P("data")), NamedSharding(here, P())
    hidden, labels, keep = HIDDEN.reshape(21, D)[:12], LABELS.reshape(21)[:12], jnp.arange(12) % 3 > 0
    head = linear_head(jloss.cross_entropy, size, backward)
    with jax.set_mesh(here):
        h, w, y, where = (jax.device_put(x, at) for x, at in ((hidden, rows), (KERNEL, whole), (labels, rows), (keep, rows)))
        got = jax.jit(jax.value_and_grad(lambda h, w: head(h, w, y, where=where), (0, 1)))(h, w)
    assert_close(got, jax.value_and_grad(lambda h, w: jloss.cross_entropy(h @ w.T, labels, where=keep), (0, 1))(hidden, KERNEL))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "backward"), [(None, "cached"), (4, "cached"), (4, "recompute")])
def test_exports_with_a_symbolic_batch(size, backward):
    (many,) = jax.export.symbolic_shape("b")
    shapes = [jax.ShapeDtypeStruct(s, t) for s, t in (((many, D), jnp.float32), ((K, D), jnp.float32), ((many,), jnp.int32))]
    step = jax.jit(jax.value_and_grad(linear_head(jloss.cross_entropy, size, backward), (0, 1)))
    exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(*shapes)
    hidden, labels = HIDDEN.reshape(21, D), LABELS.reshape(21)
    assert_close(exported.call(hidden, KERNEL, labels), step(hidden, KERNEL, labels))


# ---------------------------------------------------------------- form


@pytest.mark.slow
def test_shows_itself_and_composes():
    head = linear_head(jloss.cross_entropy)
    found = jloss.entry(head)
    assert found.inputs == {"hidden": ("d",), "kernel": ("k", "d"), "labels": (), "bias": ("k",)}
    shown = inspect.signature(head).parameters
    assert list(shown)[:4] == ["hidden", "kernel", "labels", "bias"]
    assert {"label_smoothing", "z_loss", "soft_cap", "class_axis_name", "where"} <= shown.keys()
    penalized = regularized(head, lambda w: jnp.sum(jnp.square(w)), 0.1)
    wanted = head(HIDDEN, KERNEL, LABELS) + 0.1 * jnp.sum(jnp.square(KERNEL))
    assert_close(penalized(HIDDEN, KERNEL, LABELS, params=KERNEL), wanted)
    assert_close(
        linear_head(regularized(jloss.cross_entropy, jnp.sum, 0.1))(HIDDEN, KERNEL, LABELS, params=jnp.ones(3)),
        head(HIDDEN, KERNEL, LABELS) + 0.3,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_head(jloss.nll), "linear_head: needs a loss of logits, such as cross_entropy; nll takes log_probs (log_prob)."),
        (
            lambda: linear_head(jloss.cross_entropy, backward="never"),
            "linear_head: `backward` must be one of ('cached', 'recompute')",
        ),
        (lambda: linear_head(jloss.cross_entropy, chunk_size=0), "linear_head: `chunk_size` must be 1 or more, got 0."),
        (lambda: linear_head(jloss.cross_entropy)(HIDDEN, KERNEL[:, :4], LABELS), "axis `d` of `kernel` has size 4, but 5 is expected"),
        (lambda: linear_head(jloss.cross_entropy)(HIDDEN, KERNEL), "missing input `labels`"),
        (lambda: linear_head(jloss.sigmoid_cross_entropy)(HIDDEN, KERNEL, BITS, where=WHERE[0]), "`where` has shape (7,)"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()


@pytest.mark.slow
def test_forward_mode_of_the_cached_schedule_says_what_to_do():
    hidden, kernel, labels = jnp.ones((4, 2)), jnp.eye(3, 2), jnp.array([0, 1, 2, 0])
    for maker, inner, rest in (
        (jloss.linear_head, jloss.cross_entropy, (kernel, labels)),
        (jloss.chunked, jloss.huber, (jnp.zeros((4, 2)),)),
    ):
        name = f"{maker.__name__}({inner.__name__})"
        message = (
            f'{name}: `backward` is "cached", which has no forward-mode derivatives (jvp, jacfwd); use {maker.__name__}(loss, backward='
        )
        for loss in (maker(inner), jloss.regularized(maker(inner), lambda p: jnp.sum(p))):
            params = {} if loss == maker(inner) else {"params": jnp.ones(2)}

            def value(x, loss=loss, rest=rest, params=params):
                return loss(x, *rest, **params)

            for attempt in (
                lambda f: jax.jvp(f, (hidden,), (hidden,)),
                lambda f: jax.jacfwd(f)(hidden),
                lambda f: jax.jacfwd(jax.jacfwd(f))(hidden),
            ):
                with pytest.raises(TypeError, match=re.escape(message)):
                    attempt(value)
            assert jax.hessian(value)(hidden).shape == (4, 2, 4, 2)
        again = maker(inner, backward="recompute")
        assert jax.jvp(lambda x, again=again, rest=rest: again(x, *rest), (hidden,), (hidden,))[1].shape == ()
    with pytest.raises(TypeError, match="missing input `kernel`"):
        jloss.linear_head(jloss.cross_entropy)(hidden)


# ---------------------------------------------------------------- float16


@pytest.mark.parametrize("backward", ["cached", "recompute"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
def test_chunks_of_float16_stay_in_range(backward, scale):
    """4096 tokens of one label in a chunk: the gradient of their sum is beyond 65504. That of the mean is 30 (p - 1) = -20."""
    n = 65536
    hidden, kernel, labels = jnp.full((n, 2), 30, jnp.float16), jnp.zeros((3, 2), jnp.float16), jnp.zeros(n, jnp.int32)
    head = linear_head(jloss.cross_entropy, backward=backward)
    slopes = jax.grad(lambda h, k: head(h, k, labels, weights=jnp.full(n, scale)), (0, 1))(hidden, kernel)
    assert slopes[1].dtype == jnp.float16
    np.testing.assert_allclose(slopes[1].astype(jnp.float32), [[-20, -20], [10, 10], [10, 10]], rtol=2e-3)
    assert not np.any(slopes[0])  # a kernel of zeros


def test_weights_of_10000_in_a_chunk_of_float16():
    x = jnp.full(4, 6.25, jnp.float16)
    slopes = jax.grad(lambda x: chunked(jloss.squared_error)(x, 0 * x, weights=jnp.full(4, 1e4)))(x)
    np.testing.assert_array_equal(slopes, jnp.full(4, 3.125, jnp.float16))
