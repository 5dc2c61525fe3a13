"""Contrastive losses: in tiles, over devices, with little memory, and for sets with nothing to contrast."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from tests.cases import finite_on

RNG = np.random.default_rng(7)
N, D = 8, 3
FIRST, SECOND = (jnp.asarray(RNG.normal(size=(N, D)), jnp.float32) for _ in range(2))
LABELS = jnp.array([0, 0, 1, 2, 1, 0, 3, 4])
MASK = jnp.array([True, True, True, False, True, True, True, True])


def info_nce(first, second, mask, sharpness, **options):
    return jloss.info_nce(first, second, mask, temperature=1 / sharpness, **options)


def nt_xent(first, second, mask, sharpness, **options):
    return jloss.nt_xent(first, second, mask, temperature=1 / sharpness, **options)


def decoupled(first, second, mask, sharpness, **options):
    return jloss.decoupled_contrastive(first, second, mask, temperature=1 / sharpness, sigma=0.5, **options)


def supervised(first, second, mask, sharpness, **options):
    """The labels travel as a third feature of the second views, so that all losses are called alike."""
    return jloss.supervised_contrastive(first, second[:, 0].astype(jnp.int32), mask, temperature=1 / sharpness, **options)


def clip(first, second, mask, sharpness, **options):
    return jloss.clip(first, second, mask, scale=sharpness, **options)


def siglip(first, second, mask, sharpness, **options):
    return jloss.siglip(first, second, mask, scale=sharpness, bias=-0.5 * sharpness, **options)


LOSSES = [info_nce, nt_xent, decoupled, supervised, clip, siglip]


def inputs(loss):
    return FIRST, jnp.tile(LABELS[:, None].astype(jnp.float32), (1, D)) if loss is supervised else SECOND


def unit(x):
    return x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True))


def dense(loss, first, second, sharpness):
    """The formulas on the full matrix, all items kept."""
    n = first.shape[0]
    own = jnp.eye(n, dtype=bool)
    z = sharpness * unit(first) @ unit(second).T
    if loss is siglip:
        return jnp.sum(jax.nn.softplus(jnp.where(own, -1.0, 1.0) * (z - 0.5 * sharpness))) / n
    if loss in (info_nce, clip):
        forward, backward = (jnp.mean(jax.nn.logsumexp(z, axis=axis) - jnp.diag(z)) for axis in (1, 0))
        return forward if loss is info_nce else 0.5 * (forward + backward)
    views = first if loss is supervised else jnp.concatenate([first, second])
    names = second[:, 0] if loss is supervised else jnp.tile(jnp.arange(n), 2)
    z = sharpness * unit(views) @ unit(views).T
    itself = jnp.eye(len(views), dtype=bool)
    twin = (names[:, None] == names[None, :]) & ~itself
    usable, number = twin.any(1), jnp.maximum(twin.sum(1), 1)
    drawn = jnp.sum(jnp.where(twin, z, 0.0), axis=1) / number.astype(z.dtype)
    among = jax.nn.logsumexp(jnp.where(itself | twin if loss is decoupled else itself, -jnp.inf, z), axis=1)
    if loss is decoupled:
        powers = jax.lax.stop_gradient(jnp.exp(drawn / sharpness / 0.5))
        drawn = drawn * (2 - powers / jnp.mean(powers))
    return jnp.sum(jnp.where(usable, among - drawn, 0.0)) / usable.sum().astype(z.dtype)


def assert_close(got, wanted, rtol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1e-3, float(np.max(np.abs(b))))), got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [decoupled, supervised, clip, siglip])
def test_tiles_masks_and_a_learned_temperature_change_nothing(loss):
    """Whole and in tiles that do not divide, with a mask and with the items left out, against the formula; small and large logits."""
    first, second = inputs(loss)
    kept = np.flatnonzero(MASK)

    @jax.jit
    def all_forms(sharpness):
        def of(function, *args):
            return jax.value_and_grad(function, (0, 1, 2))(*args, sharpness)

        poisoned = [jnp.where(MASK[:, None], x, jnp.nan if loss is not supervised else 9.0) for x in (first, second)]
        tiled = of(lambda a, b, s: loss(a, b, MASK, s, chunk_size=3), *poisoned)
        whole = of(lambda a, b, s: loss(a, b, MASK, s), *poisoned)
        return tiled, whole, of(lambda a, b, s: dense(loss, a, b, s), first[kept], second[kept])

    for sharpness in (2.0, 300.0):
        tiled, whole, wanted = all_forms(jnp.float32(sharpness))
        assert_close(tiled, whole, rtol=1e-4)
        assert whole[0] == pytest.approx(float(wanted[0]), rel=1e-4)
        rtol = 1e-4 if sharpness < 100 else 1e-2  # of a softmax that float32 saturates
        assert_close([g[kept] for g in whole[1][:2]], list(wanted[1][:2]), rtol)
        assert_close(whole[1][2], wanted[1][2], rtol)
        assert not np.any(np.asarray(whole[1][0])[~np.asarray(MASK)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "ring"),
    [(info_nce, False), (nt_xent, False), (supervised, False), (clip, False), (clip, True), (decoupled, True), (siglip, True)],
)
def test_a_set_over_four_devices_is_the_set_on_one(loss, ring):
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    chunk = 1 if ring else None

    def local(first, second, mask, sharpness):
        return loss(first, second, mask, sharpness, negatives_axis_name="i", ring=ring, chunk_size=chunk)

    mapped = jax.shard_map(local, mesh=mesh, in_specs=(P("i"), P("i"), P("i"), P()), out_specs=P(), check_vma=True)

    def of(function, first, second, sharpness):
        return jax.value_and_grad(lambda a, b, s: 3 * function(a, b, MASK, s), (0, 1, 2))(first, second, sharpness)

    @jax.jit
    def both(*given):
        return of(mapped, *given), of(loss, *given)

    assert_close(*both(*inputs(loss), jnp.float32(5.0)))


@pytest.mark.slow
def test_sets_with_nothing_to_contrast_are_finite():
    """One item, all items alike, zero vectors, nothing kept, no positives: finite values, and gradients that are 0 where they should be."""
    sets = {
        "one": (FIRST[:4], SECOND[:4], jnp.arange(4) == 2),
        "alike": (jnp.ones((4, D)), jnp.ones((4, D)), jnp.ones(4, bool)),
        "zero": (jnp.zeros((4, D)).at[0].set(1.0), jnp.zeros((4, D)), jnp.ones(4, bool)),
        "none": (FIRST[:4], SECOND[:4], jnp.zeros(4, bool)),
    }
    lonely = jnp.arange(4)
    losses = {
        **{f.__name__: (lambda a, b, m, f=f: f(a, b, m, 10.0)) for f in LOSSES if f is not supervised},
        "supervised": lambda a, b, m: jloss.supervised_contrastive(a, lonely, m),
        "alignment": jloss.alignment,
        "uniformity": lambda a, b, m: jloss.uniformity(a, m),
        "tiled uniformity": lambda a, b, m: jloss.uniformity(a, m, chunk_size=2),
    }
    found = finite_on(sets, losses)
    for name in ("info_nce", "nt_xent", "clip", "supervised", "uniformity"):
        assert found["one"][name][0] == pytest.approx(0, abs=1e-6)
        assert found["none"][name][0] == 0
        assert not any(np.any(g) for g in found["none"][name][1])
    assert found["one"]["decoupled"][0] == 0
    assert jloss.clip(FIRST[:1], SECOND[:1]) == pytest.approx(0, abs=1e-6)
    assert jloss.nt_xent(FIRST[:1], SECOND[:1]) == pytest.approx(0, abs=1e-6)
    assert found["alike"]["info_nce"][0] == pytest.approx(np.log(4), rel=1e-6)
    assert found["alike"]["nt_xent"][0] == pytest.approx(np.log(7), rel=1e-6)
    assert found["alike"]["uniformity"][0] == 0
    assert found["zero"]["clip"][0] == pytest.approx(np.log(4), rel=1e-6)


@pytest.mark.slow
def test_a_label_may_have_many_items_and_the_mean_is_over_those_that_have_another():
    value = jloss.supervised_contrastive(FIRST, LABELS, temperature=0.5)
    alone = np.isin(np.asarray(LABELS), [2, 3, 4])
    z = np.asarray(unit(FIRST) @ unit(FIRST).T) / 0.5
    each = [
        np.mean([np.log(np.sum(np.exp(np.delete(z[i], i)))) - z[i, j] for j in range(N) if j != i and LABELS[j] == LABELS[i]])
        for i in range(N)
        if not alone[i]
    ]
    assert value == pytest.approx(np.mean(each), rel=1e-5)


# ---------------------------------------------------------------- peers


@pytest.mark.slow
def test_optax_agrees_for_two_views_and_leaves_other_positives_out_of_the_denominator():
    both, names = jnp.concatenate([FIRST, SECOND]), jnp.tile(jnp.arange(N), 2)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        pairs = jax.value_and_grad(optax.losses.ntxent)(both, names, 0.2)
        triple = optax.losses.ntxent(both, names % 5, 0.2)
    ours = jax.value_and_grad(lambda x: jloss.nt_xent(x[:N], x[N:], temperature=0.2))(both)
    assert_close(ours, pairs, rtol=1e-4)
    assert jloss.supervised_contrastive(both, names % 5, temperature=0.2) > triple + 0.05


def test_torch_agrees_on_clip():
    torch = pytest.importorskip("torch")
    a, b = (torch.tensor(np.asarray(x), requires_grad=True) for x in (FIRST, SECOND))
    z = torch.nn.functional.normalize(a) @ torch.nn.functional.normalize(b).T / 0.07
    target = torch.arange(N)
    loss = 0.5 * (torch.nn.functional.cross_entropy(z, target) + torch.nn.functional.cross_entropy(z.T, target))
    loss.backward()
    assert_close(jax.value_and_grad(jloss.clip, (0, 1))(FIRST, SECOND), (loss.detach().numpy(), (a.grad.numpy(), b.grad.numpy())), 1e-4)


# ---------------------------------------------------------------- memory and options


def planned(loss, n, d, **options):
    """Bytes of temporaries of value and both gradients."""
    x = jax.ShapeDtypeStruct((n, d), jnp.float32)
    function = jax.value_and_grad(lambda a, b: loss(a, b, **options), (0, 1))
    return jax.jit(function).lower(x, x).compile().memory_analysis().temp_size_in_bytes


def test_one_matrix_is_all_that_the_whole_form_holds():
    n, d = 2048, 256
    assert planned(jloss.clip, n, d) < 4 * (n * n + 4 * n * d)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "copies"), [(jloss.clip, 3), (jloss.nt_xent, 12)], ids=["clip", "nt_xent"])
def test_tiles_hold_a_chunk_and_copies_of_the_vectors(loss, copies):
    n, d, chunk = 2048, 256, 128
    assert planned(loss, n, d, chunk_size=chunk) < 4 * (2 * chunk * n + copies * n * d)


def test_options_are_checked():
    with pytest.raises(ValueError, match="clip: `chunk_size` must be 1 or more, got 0"):
        jloss.clip(FIRST, SECOND, chunk_size=0)
    with pytest.raises(ValueError, match="nt_xent: `ring` needs one mesh axis in `negatives_axis_name`, got None"):
        jloss.nt_xent(FIRST, SECOND, ring=True)
    with pytest.raises(ValueError, match="temperature"):
        jloss.info_nce(FIRST, SECOND, temperature=-1.0)


@pytest.mark.slow
def test_matryoshka_adds_the_losses_of_the_first_features():
    nested = jloss.matryoshka(jloss.clip, (1, 3), weights=(0.5, 2.0))
    wanted = 0.5 * jloss.clip(FIRST[:, :1], SECOND[:, :1]) + 2.0 * jloss.clip(FIRST, SECOND)
    assert_close(nested(FIRST, SECOND), wanted)
    slope = jax.grad(jloss.matryoshka(jloss.clip, (2,)))(FIRST, SECOND)
    assert np.any(slope[:, :2])
    assert not np.any(slope[:, 2])
    with pytest.raises(ValueError, match="`dims` goes to 4, but `images` has 3 features"):
        jloss.matryoshka(jloss.clip, (4,))(FIRST, SECOND)
    with pytest.raises(TypeError, match="huber has no input with an axis `d`"):
        jloss.matryoshka(jloss.huber, (1,))
