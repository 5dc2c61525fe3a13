"""Edges of the sequence losses, and their peers."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.sequence import _recursion, transducer
from tests.oracles.sequence import recognition as oracles


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(loss, options, logits, *args):
    value, pull = jax.vjp(lambda x: loss(x, *args, reduction="none", **dict(options)), logits)
    return value, pull(jnp.ones_like(value))[0]


def value_and_gradient(loss, logits, *args, **options):
    """Of each example; compiled once per shape."""
    value, gradient = run(loss, tuple(options.items()), logits, *args)
    return np.asarray(value), np.asarray(gradient)


# ------------------------------------------------------------------------------------------------------------------ ctc


@pytest.mark.slow
def test_ctc_agrees_with_torch_in_float64(rng):
    torch = pytest.importorskip("torch")
    logits = rng.normal(size=(6, 30, 7)) * 3
    labels = rng.integers(1, 7, (6, 9)).astype(np.int32)
    labels[0, 3] = labels[0, 4]
    logit_length, label_length = np.array([30, 29, 25, 20, 30, 18]), np.array([9, 0, 5, 9, 1, 8])
    there = torch.tensor(logits, requires_grad=True)
    log_probs = there.log_softmax(-1).transpose(0, 1)
    peer = torch.nn.functional.ctc_loss(
        log_probs, torch.tensor(labels), torch.tensor(logit_length), torch.tensor(label_length), reduction="none"
    )
    peer.sum().backward()
    with jax.enable_x64(True):
        for options in ({}, {"chunk_size": 15}):
            value, gradient = value_and_gradient(jloss.ctc, logits, labels, logit_length, label_length, **options)
            np.testing.assert_allclose(value, peer.detach().numpy(), rtol=1e-12)
            np.testing.assert_allclose(gradient, there.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_ctc_of_a_long_sequence_has_a_posterior_of_three_digits(rng):
    """Without the normalisers in the recursion its sums stay small. optax 0.2.8 and torch 2.13 keep them there: two digits."""
    optax = pytest.importorskip("optax")
    logits, labels = np.float32(3 * rng.normal(size=(2, 1000, 100))), np.int32(rng.integers(1, 100, (2, 50)))

    def peer(logits):
        return optax.ctc_loss(logits, jnp.zeros(logits.shape[:2], logits.dtype), labels, jnp.zeros(labels.shape, logits.dtype))

    def slope(f, dtype):
        return np.asarray(jax.jit(jax.grad(lambda x: jnp.sum(f(x))))(jnp.asarray(logits, dtype)))

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        wanted = slope(peer, jnp.float64)
    np.testing.assert_allclose(slope(lambda x: jloss.ctc(x, labels, reduction="none"), jnp.float32), wanted, rtol=0, atol=1e-3)
    assert np.abs(slope(peer, jnp.float32) - wanted).max() > 2e-3, "optax has changed"


@pytest.mark.slow
def test_ctc_agrees_with_optax_on_full_lengths(rng):
    optax = pytest.importorskip("optax")
    logits, labels = rng.normal(size=(3, 12, 5)).astype(np.float32), rng.integers(1, 5, (3, 4))
    peer = optax.ctc_loss(jnp.asarray(logits), jnp.zeros((3, 12)), jnp.asarray(labels), jnp.zeros((3, 4)))
    np.testing.assert_allclose(jloss.ctc(logits, labels, reduction="none"), peer, rtol=1e-5)


@pytest.mark.parametrize("blank", [0, 1, 3, -1])
def test_ctc_blank_anywhere_is_a_permutation_of_classes(rng, blank):
    logits, labels = rng.normal(size=(6, 4)).astype(np.float32), np.array([1, 1, 3])
    order = [c for c in range(1, 4)]
    order.insert(blank % 4, 0)  # class order[j] stands at j
    moved = np.array([order.index(c) for c in labels])
    np.testing.assert_allclose(jloss.ctc(logits[:, order], moved, blank=blank), jloss.ctc(logits, labels), rtol=1e-6)


@pytest.mark.slow
def test_ctc_without_labels_is_all_blanks(rng):
    logits = rng.normal(size=(5, 3)).astype(np.float32)
    blanks = -np.sum(np.asarray(jax.nn.log_softmax(logits))[:, 0])
    np.testing.assert_allclose(jloss.ctc(logits, np.zeros(0, np.int32)), blanks, rtol=1e-6)
    np.testing.assert_allclose(jloss.ctc(logits, np.array([2, 1]), label_length=0), blanks, rtol=1e-6)
    assert jloss.ctc(logits[:0], np.zeros(0, np.int32)) == 0
    assert jloss.ctc(logits[:0], np.array([1])) == np.inf
    assert jloss.ctc(logits, np.array([1]), logit_length=0) == np.inf


@pytest.mark.slow
def test_ctc_infeasible_is_inf_without_gradient(rng):
    logits = rng.normal(size=(3, 3, 4)).astype(np.float32)
    labels = np.array([[1, 2, 3], [1, 1, 2], [2, 2, 2]])
    for infeasible, wanted in (("inf", np.inf), ("zero", 0.0)):
        value, gradient = value_and_gradient(jloss.ctc, logits, labels, infeasible=infeasible)
        assert np.isfinite(value[0])
        np.testing.assert_array_equal(value[1:], wanted)
        np.testing.assert_array_equal(gradient[1:], 0)
        assert np.abs(gradient[0]).sum() > 0.1


@pytest.mark.slow
def test_ctc_beyond_the_lengths_nothing_matters(rng):
    logits = rng.normal(size=(2, 6, 4)).astype(np.float32)
    labels = np.array([[1, 2, 3], [2, 2, 1]])
    want, wanted = value_and_gradient(jloss.ctc, logits[:, :4], labels[:, :2])
    poisoned = np.concatenate([logits[:, :4], np.full((2, 2, 4), np.nan, np.float32)], axis=1)
    for label in (0, -7, 99):
        padded = np.concatenate([labels[:, :2], np.full((2, 3), label)], axis=1)
        for options in ({}, {"chunk_size": 4}):
            value, gradient = value_and_gradient(jloss.ctc, poisoned, padded, np.array([4, 4]), np.array([2, 2]), **options)
            np.testing.assert_allclose(value, want, rtol=1e-6)
            np.testing.assert_allclose(gradient[:, :4], wanted, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(gradient[:, 4:], 0)


@pytest.mark.slow
def test_ctc_bad_labels_and_lengths_are_nan_for_their_example_only(rng):
    logits = np.broadcast_to(rng.normal(size=(6, 4)), (7, 6, 4)).astype(np.float32)
    labels = np.array([[1, 2], [0, 2], [1, 4], [1, -1], [1, 2], [1, 2], [1, 2]])
    value, gradient = value_and_gradient(jloss.ctc, logits, labels, np.array([6, 6, 6, 6, 7, -1, 6]), np.array([2, 2, 2, 2, 2, 2, 3]))
    assert np.isfinite(value[0])
    assert np.isnan(value[1:]).all()
    assert np.isfinite(gradient[0]).all()
    np.testing.assert_array_equal(gradient[1:], 0)


@pytest.mark.slow
def test_ctc_is_never_negative_when_sure():
    labels = np.array([1, 2, 1])
    path = np.array([1, 1, 2, 0, 1])
    for scale in (5.0, 10.0, 17.0, 30.0, 1e4):
        logits = scale * np.eye(3, dtype=np.float32)[path]
        assert 0 <= float(jloss.ctc(logits, labels)) < 10 * np.exp(-scale) * 6 + 1e-6
    wide = np.broadcast_to(logits, (4, 5, 3))
    assert np.isfinite(value_and_gradient(jloss.ctc, wide, np.broadcast_to(labels, (4, 3)))[1]).all()


@pytest.mark.slow
def test_ctc_absent_classes(rng):
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    logits[:, 3] = -np.inf
    np.testing.assert_allclose(jloss.ctc(logits, np.array([1, 2])), jloss.ctc(logits[:, :3], np.array([1, 2])), rtol=1e-6)
    value, gradient = value_and_gradient(jloss.ctc, logits[None], np.array([[1, 3]]))
    assert value[0] == np.inf
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.slow
def test_ctc_frames_without_probability_and_nan(rng):
    """A frame of -inf has no path; NaN within the length is never taken for one, not even with `infeasible="zero"`."""
    logits, labels = np.broadcast_to(rng.normal(size=(5, 4)), (4, 5, 4)).astype(np.float32), np.broadcast_to([1, 2], (4, 2))
    logits[1, 2] = -np.inf
    logits[2, 2] = np.nan
    logits[3, 4, 3] = np.nan
    for infeasible, wanted in (("inf", np.inf), ("zero", 0.0)):
        for chunk_size in (None, 2):
            value, gradient = value_and_gradient(jloss.ctc, logits, labels, infeasible=infeasible, chunk_size=chunk_size)
            np.testing.assert_array_equal(value[1:], [wanted, np.nan, np.nan])
            np.testing.assert_array_equal(gradient[1], 0)
            assert np.isfinite(gradient[0]).all()


@pytest.mark.slow
def test_ctc_of_one_frame_and_in_half_precision(rng):
    logits = rng.normal(size=(1, 300)).astype(np.float32)
    for label in (1, 257, 299):  # bfloat16 has no 257
        want = -jax.nn.log_softmax(logits)[0, label]
        for options in ({}, {"chunk_size": 4}):
            np.testing.assert_allclose(jloss.ctc(logits, np.array([label]), **options), want, rtol=1e-6)
        half = jnp.asarray(logits, jnp.bfloat16)
        value, gradient = jax.value_and_grad(jloss.ctc)(half, np.array([label]))
        np.testing.assert_allclose(value, -jax.nn.log_softmax(half.astype(jnp.float32))[0, label], rtol=1e-6)
        assert (value.dtype, gradient.dtype) == (jnp.float32, jnp.bfloat16)
        assert int(jnp.argmin(gradient)) == label


@pytest.mark.slow
def test_ctc_large_logits_keep_their_digits(rng):
    logits, labels = rng.normal(size=(40, 6)), np.array([1, 2, 3, 3])
    shifted = (logits + 4096 * rng.integers(-1, 2, (40, 1))).astype(np.float32)
    with jax.enable_x64(True):
        want, wanted = value_and_gradient(jloss.ctc, shifted.astype(np.float64)[None], labels[None])
    value, gradient = value_and_gradient(jloss.ctc, shifted[None], labels[None])
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "labels"), [(4, 7), (9, 3)])  # chunks of logits, chunks of what is picked from them
def test_ctc_chunks_change_nothing_but_memory(rng, classes, labels):
    logits = rng.normal(size=(2, 23, classes)).astype(np.float32)
    labels = rng.integers(1, classes, (2, labels))
    want, wanted = value_and_gradient(jloss.ctc, logits, labels)
    for chunk_size in (5, 100):
        value, gradient = value_and_gradient(jloss.ctc, logits, labels, chunk_size=chunk_size)
        np.testing.assert_allclose(value, want, rtol=1e-6)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_what_tpus_run_instead_gives_the_same(rng, monkeypatch):
    offset = rng.integers(0, 3, (5, 4), np.int32)

    def shifted(x):
        return _recursion.delayed(x, -1e30), _recursion.last_entry(x)

    def run(spread, x, band):
        outputs, pull = jax.vjp(lambda x, band: (shifted(x), spread(band, offset)), x, band)
        return outputs, pull(jax.tree.map(jnp.cos, outputs))

    inputs = rng.normal(size=6).astype(np.float32), rng.normal(size=(5, 3, 2)).astype(np.float32)
    here = jax.jit(lambda *args: run(transducer._taken, *args))(*inputs)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *args, tpu, default: tpu(*args))
    there = jax.jit(lambda *args: run(transducer._selected, *args))(*inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), here, there)


def temporaries(f, *args):
    return jax.jit(jax.value_and_grad(f)).lower(*args).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_ctc_memory():
    optax = pytest.importorskip("optax")
    logits, labels = jax.ShapeDtypeStruct((4, 200, 500), np.float32), np.ones((4, 50), np.int32)
    plain = temporaries(lambda x: jloss.ctc(x, labels), logits)
    peer = temporaries(lambda x: jnp.mean(optax.ctc_loss(x, jnp.zeros((4, 200)), labels, jnp.zeros((4, 50)))), logits)
    assert plain < peer / 5
    assert temporaries(lambda x: jloss.ctc(x, labels, chunk_size=14), logits) < plain / 1.5
    assert temporaries(lambda x: jloss.ctc(x, labels), logits) < 4 * 200 * 500 * 4 / 2  # less than half of the logits


def test_ctc_bad_options():
    logits, labels = jnp.zeros((4, 3)), jnp.array([1, 2])
    for options, message in (
        ({"blank": 3}, "ctc: `blank` must be a class, from -3 to 2, got 3."),
        ({"infeasible": "nan"}, "ctc: `infeasible` must be one of \\('inf', 'zero'\\), got 'nan'."),
        ({"chunk_size": 0}, "ctc: `chunk_size` must be 1 or more, got 0."),
    ):
        with pytest.raises(ValueError, match="^" + message.replace(".", r"\.")):
            jloss.ctc(logits, labels, **options)


def test_ctc_oracle_by_hand():
    """The oracle itself: two steps, one label: (1, 1), (0, 1), (1, 0)."""
    p = np.array([[0.2, 0.8], [0.6, 0.4]])
    np.testing.assert_allclose(oracles.ctc(np.log(p), np.array([1])), -np.log(0.8 * 0.4 + 0.2 * 0.4 + 0.8 * 0.6))


# ----------------------------------------------------------------------------------------------------- alignment, decoding


def test_ctc_alignment_is_the_best_of_all_paths(rng):
    logits = rng.normal(size=(8, 5, 4)).astype(np.float32) * 2
    labels = rng.integers(1, 4, (8, 2)).astype(np.int32)
    labels[0] = 2
    logit_length, label_length = np.array([5, 5, 4, 3, 5, 5, 1, 3]), np.array([2, 1, 2, 2, 0, 2, 1, 2])
    classes, positions, score = jax.tree.map(np.asarray, jloss.ctc_alignment(logits, labels, logit_length, label_length))
    for i in range(8):
        t, u = logit_length[i], label_length[i]
        log_probs = oracles.log_softmax(logits[i, :t].astype(float))
        paths = oracles.readings(int(t), 4, 0)[tuple(labels[i, :u])]
        scores = log_probs[np.arange(t), paths].sum(-1)
        np.testing.assert_allclose(score[i], scores.max(), rtol=1e-5)
        np.testing.assert_array_equal(classes[i, :t], paths[scores.argmax()])
        np.testing.assert_array_equal(classes[i, t:], -1)
        spoken = positions[i][positions[i] >= 0]
        np.testing.assert_array_equal(labels[i][spoken], classes[i, :t][classes[i, :t] != 0])
        np.testing.assert_array_equal(np.unique(spoken), np.arange(u))


def test_ctc_alignment_without_a_path():
    logits, labels = jnp.zeros((3, 2, 3)), jnp.array([[1, 1], [1, 3], [1, 2]])
    classes, positions, score = jloss.ctc_alignment(logits, labels)
    np.testing.assert_array_equal(score[:2], [-np.inf, np.nan])
    np.testing.assert_array_equal(classes, [[-1, -1], [-1, -1], [1, 2]])
    np.testing.assert_array_equal(positions, [[-1, -1], [-1, -1], [0, 1]])


def test_ctc_greedy_decode_reads_what_python_reads(rng):
    best = rng.integers(0, 3, (6, 9))
    length = np.array([9, 8, 0, 5, 9, 1])
    for blank in (0, -1):
        labels, count = jloss.ctc_greedy_decode(jax.nn.one_hot(best, 3), length, blank=blank)
        for i in range(6):
            wanted = [c for c, _ in itertools.groupby(best[i, : length[i]]) if c != blank % 3]
            assert np.asarray(labels[i]).tolist() == wanted + [-1] * (9 - len(wanted))
            assert count[i] == len(wanted)


def test_helpers_check_their_inputs():
    with pytest.raises(ValueError, match="ctc_alignment: `labels` has batch axes"):
        jloss.ctc_alignment(jnp.zeros((2, 4, 3)), jnp.zeros((3, 2), int))
    with pytest.raises(TypeError, match="ctc_alignment: `labels` must be integer"):
        jloss.ctc_alignment(jnp.zeros((4, 3)), jnp.zeros(2))
    half = jloss.crf_marginals(jnp.zeros((2, 3), jnp.bfloat16), jnp.zeros((3, 3), jnp.bfloat16))
    assert half.dtype == jnp.float32
