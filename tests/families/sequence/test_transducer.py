"""Edges of the transducers, published numbers, and what relates them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@functools.partial(jax.jit, static_argnums=(0, 1))
def run(loss, options, first, *args):
    value, pull = jax.vjp(lambda x: loss(x, *args, reduction="none", **dict(options)), first)
    return value, pull(jnp.ones_like(value))[0]


def value_and_gradient(loss, first, *args, **options):
    value, gradient = run(loss, tuple(options.items()), first, *args)
    return np.asarray(value), np.asarray(gradient)


def test_rnnt_published_number():
    """The example in the tests of warp-transducer and torchaudio."""
    row = [[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1, 0.1], [0.1, 0.1, 0.2, 0.8, 0.1]]
    other = [[0.1, 0.6, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2, 0.1, 0.1], [0.7, 0.1, 0.2, 0.1, 0.1]]
    logits, labels = jnp.array([row, other]), jnp.array([1, 2])
    np.testing.assert_allclose(jloss.rnnt(logits, labels), 4.495666, rtol=1e-6)
    last = jnp.roll(logits, -1, axis=-1)
    np.testing.assert_allclose(jloss.rnnt(last, labels - 1, blank=-1), 4.495666, rtol=1e-6)


def test_rnnt_published_batch():
    """The second example in those tests, with the start of its gradient."""
    numbers = """
        .065357 .787530 .081592 .529716 .750675 .754135 .609764 .868140 .622532 .668522 .858039 .164539 .989780 .944298 .603168
        .946783 .666203 .286882 .094184 .366674 .736168 .166680 .714154 .399400 .535982 .291821 .612642 .324241 .800764 .524106
        .779195 .183314 .113745 .240222 .339470 .134160 .505562 .051597 .640290 .430733 .829473 .177467 .320700 .042883 .302803
        .675178 .569537 .558474 .083132 .060165 .107958 .748615 .943918 .486356 .418199 .652408 .024243 .134582 .366342 .295830
        .923670 .689929 .741898 .250005 .603430 .987289 .592606 .884672 .543450 .660770 .377128 .358021"""
    logits = np.array(numbers.split(), np.float32).reshape(2, 4, 3, 3)
    value, gradient = value_and_gradient(jloss.rnnt, logits, np.array([[1, 2], [1, 1]]))
    np.testing.assert_allclose(value, [4.2806529, 3.9384370], rtol=1e-6)
    published = [-0.186844, -0.062555, 0.249399, -0.203377, 0.202399, 0.000977, -0.141016, 0.079123, 0.061893]
    np.testing.assert_allclose(gradient.ravel()[:9], published, atol=1e-6)


@pytest.mark.slow
def test_rnnt_lattice_gradients_are_counts(rng):
    """Each path takes one blank per step and writes each label once."""
    label, stay = rng.normal(size=(3, 7, 4)).astype(np.float32), rng.normal(size=(3, 7, 5)).astype(np.float32)
    steps, labels = np.array([7, 5, 3]), np.array([4, 2, 0])
    for kind, blanks in (("regular", steps), ("modified", steps - labels)):
        over = jax.grad(lambda x, kind=kind: jloss.rnnt_lattice(*x, steps, labels, kind=kind, reduction="sum"))((label, stay))
        np.testing.assert_allclose(-np.sum(over[0], axis=1), np.arange(4) < labels[:, None], atol=1e-5)
        np.testing.assert_allclose(-np.sum(over[1], axis=(1, 2)), blanks, atol=1e-5)


@pytest.mark.slow
def test_rnnt_beyond_the_lengths_nothing_matters(rng):
    logits, labels = rng.normal(size=(2, 4, 3, 5)).astype(np.float32), np.array([[1, 2], [3, 3]])
    want, wanted = value_and_gradient(jloss.rnnt, logits, labels)
    padded = np.full((2, 6, 5, 5), np.nan, np.float32)
    padded[:, :4, :3] = logits
    for label in (0, -3, 77):
        more = np.concatenate([labels, np.full((2, 2), label)], axis=1)
        value, gradient = value_and_gradient(jloss.rnnt, padded, more, np.array([4, 4]), np.array([2, 2]))
        np.testing.assert_allclose(value, want, rtol=1e-6)
        np.testing.assert_allclose(gradient[:, :4, :3], wanted, atol=1e-6)
        np.testing.assert_array_equal(gradient[:, 4:], 0)
        np.testing.assert_array_equal(gradient[:, :, 3:], 0)


@pytest.mark.slow
def test_rnnt_impossible_and_bad(rng):
    logits = np.broadcast_to(rng.normal(size=(2, 4, 4)), (6, 2, 4, 4)).astype(np.float32)
    labels = np.array([[1, 2, 3]] * 4 + [[1, 0, 3], [1, 2, 4]])
    lengths = np.array([2, 0, 3, 2, 2, 2]), np.array([3, 1, 3, 4, 3, 3])
    value, gradient = value_and_gradient(jloss.rnnt, logits, labels, *lengths)
    assert np.isfinite(value[0])
    np.testing.assert_array_equal(value[1:], [np.inf, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(gradient[1], 0)
    value, gradient = value_and_gradient(jloss.rnnt, logits, labels, *lengths, kind="modified")
    assert value[0] == np.inf  # three labels in two steps of at most one
    np.testing.assert_array_equal(gradient[0], 0)
    assert jloss.rnnt(logits[0, :0], labels[0]) == np.inf
    np.testing.assert_allclose(jloss.rnnt(logits[0, :, :1], labels[0, :0]), -np.sum(jax.nn.log_softmax(logits[0, :, 0])[:, 0]), rtol=1e-6)


@pytest.mark.slow
def test_rnnt_simple_is_rnnt_of_the_sum(rng):
    acoustic, language = rng.normal(size=(3, 6, 5)).astype(np.float32), rng.normal(size=(3, 4, 5)).astype(np.float32)
    labels, lengths = rng.integers(1, 5, (3, 3)), (np.array([6, 4, 5]), np.array([3, 1, 0]))
    for kind in ("regular", "modified", "constrained"):
        want = jloss.rnnt(acoustic[:, :, None] + language[:, None], labels, *lengths, kind=kind, reduction="none")
        np.testing.assert_allclose(jloss.rnnt_simple(acoustic, language, labels, *lengths, kind=kind, reduction="none"), want, rtol=1e-5)


@pytest.mark.slow
def test_a_band_without_a_symbol_is_named():
    with pytest.raises(ValueError, match="rnnt_pruned: `logits` has bands without a symbol; axis `r` has size 0"):
        jloss.rnnt_pruned(np.zeros((4, 0, 5), np.float32), np.zeros(4, int), np.array([1, 2]))


@pytest.mark.slow
def test_rnnt_pruned_to_everything_is_rnnt(rng):
    logits, labels = rng.normal(size=(2, 5, 4, 6)).astype(np.float32), rng.integers(1, 6, (2, 3))
    want, wanted = value_and_gradient(jloss.rnnt, logits, labels, np.array([5, 4]), np.array([3, 2]))
    value, gradient = value_and_gradient(jloss.rnnt_pruned, logits, np.zeros((2, 5), int), labels, np.array([5, 4]), np.array([3, 2]))
    np.testing.assert_allclose(value, want, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["regular", "modified"])
def test_rnnt_ranges_hold_a_path_and_most_of_the_posterior(rng, kind):
    t, u, k, width = 20, 9, 6, 4
    labels = rng.integers(1, k, (5, u))
    language = np.concatenate([2 * jax.nn.one_hot(labels, k), np.zeros((5, 1, k))], axis=1).astype(np.float32)
    acoustic = rng.normal(size=(5, t, k)).astype(np.float32)
    lengths = np.array([20, 20, 15, 18, 20]), np.array([9, 4, 9, 2, 0])
    starts = np.asarray(jloss.rnnt_ranges(acoustic, language, labels, *lengths, width=width, kind=kind))
    rise = np.diff(starts, axis=1)
    assert (starts[:, 0] == 0).all()
    assert (rise >= 0).all()
    assert (rise <= (width - 1 if kind == "regular" else 1)).all()
    for i in range(5):
        assert starts[i, lengths[0][i] - 1] == max(lengths[1][i] + 1 - width, 0)
    joint = acoustic[:, :, None] + np.asarray(jloss.rnnt_prune(language, starts, width=width))
    pruned = np.asarray(jloss.rnnt_pruned(joint, starts, labels, *lengths, kind=kind, reduction="none"))
    full = np.asarray(jloss.rnnt_simple(acoustic, language, labels, *lengths, kind=kind, reduction="none"))
    assert (pruned >= full - 1e-4).all()
    fixed = np.minimum(np.arange(t) * (width - 1), max(u + 1 - width, 0))  # a band that looks at nothing
    blind = jloss.rnnt_pruned(
        acoustic[:, :, None] + np.asarray(jloss.rnnt_prune(language, np.broadcast_to(fixed, (5, t)), width=width)),
        np.broadcast_to(fixed, (5, t)), labels, *lengths, kind=kind, reduction="none",
    )  # fmt: skip
    assert pruned[0] < np.asarray(blind)[0]
    assert (jax.grad(lambda a: jnp.sum(jloss.rnnt_ranges(a, language, labels).astype(float)))(acoustic) == 0).all()


@pytest.mark.slow
def test_points_without_probability_and_nan(rng):
    """-inf everywhere at a point forbids it, as a band does; NaN within the lengths is never taken for an impossible path."""
    logits, labels = rng.normal(size=(3, 4, 3, 5)).astype(np.float32), np.broadcast_to([1, 2], (3, 2))
    logits[0, 1, 1] = -np.inf
    logits[1, 2] = -np.inf
    logits[2, 3, 2] = np.nan
    value, gradient = value_and_gradient(jloss.rnnt, logits, labels)
    np.testing.assert_array_equal(value[1:], [np.inf, np.nan])
    assert np.isfinite(gradient[:2]).all()
    scores = np.asarray(jax.nn.log_softmax(logits[0]))
    scores = np.where(np.isnan(scores), -np.inf, scores)
    np.testing.assert_allclose(value[0], jloss.rnnt_lattice(scores[:, [0, 1], [1, 2]], scores[..., 0]), rtol=1e-6)
    np.testing.assert_array_equal(gradient[0, 1, 1], 0)
    acoustic, language = logits[0, :, 0].copy(), np.zeros((3, 5), np.float32)
    for heard, expected in ((np.where(np.arange(4)[:, None] == 1, -np.inf, acoustic), language), (acoustic, np.full((3, 5), -np.inf))):
        run = jax.value_and_grad(lambda pair: jloss.rnnt_simple(*pair, labels[0], am_only_scale=0.1, lm_only_scale=0.1))
        value, gradients = run((jnp.asarray(heard, jnp.float32), jnp.asarray(expected, jnp.float32)))
        assert value == np.inf
        assert all((g == 0).all() for g in gradients)


def test_rnnt_memory():
    """No second array as large as the logits."""
    logits, labels = jax.ShapeDtypeStruct((2, 60, 21, 64), np.float32), np.ones((2, 20), np.int32)
    compiled = jax.jit(jax.value_and_grad(lambda x: jloss.rnnt(x, labels))).lower(logits).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * 60 * 21 * 64 * 4 / 2


def test_rnnt_bad_options():
    logits, labels = jnp.zeros((2, 3, 4)), jnp.array([1, 2])
    with pytest.raises(ValueError, match=r"^rnnt: `blank` must be a class, from -4 to 3, got 4\."):
        jloss.rnnt(logits, labels, blank=4)
    with pytest.raises(ValueError, match=r"^rnnt: `kind` must be one of \('regular', 'modified', 'constrained'\), got 'fast'\."):
        jloss.rnnt(logits, labels, kind="fast")
    with pytest.raises(ValueError, match=r"^rnnt: axis `u` of `labels` has size 3"):
        jloss.rnnt(logits, jnp.array([1, 2, 3]))
    with pytest.raises(ValueError, match=r"^rnnt_ranges: `width` must be 2 or more, got 1\."):
        jloss.rnnt_ranges(jnp.zeros((2, 3)), jnp.zeros((3, 3)), labels, width=1)
