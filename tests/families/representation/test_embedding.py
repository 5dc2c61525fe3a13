"""Metric learning: blocks, awkward angles, and pytorch-metric-learning, with the differences of docs/disagreements/metric_learning.md."""

import functools
import math
import pathlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.representation import _sets, similarity
from tests.compiled import AS_USERS

RNG = np.random.default_rng(5)
N, D, K = 9, 4, 4
X = RNG.normal(size=(N, D)).astype(np.float32)
LABELS = np.array([0, 0, 1, 2, 1, 0, 3, 2, 1], np.int32)
PROTOTYPES = RNG.normal(size=(K, D)).astype(np.float32)
CENTRES = RNG.normal(size=(K, 3, D)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_hard_triplet", "batch_semi_hard_triplet", "batch_all_triplet", "lifted_structure"])
def test_blocks_change_nothing(name, monkeypatch):
    """Sets above 512 items are compared in blocks; here above four. The gradient goes through both."""
    core = jloss.CATALOGUE[name].core
    mask = jnp.arange(N) != 3

    def evaluate():
        return jax.jit(jax.value_and_grad(lambda x: core(x, jnp.asarray(LABELS), mask, margin=jnp.float32(1.5))))(jnp.asarray(X))

    whole = evaluate()
    for limit, number in (("UNBLOCKED_ITEMS", 4), ("UNBLOCKED_PARTNERS", 4), ("SENSIBLE", 8)):
        monkeypatch.setattr(_sets, limit, number)
    if name == "lifted_structure":
        by_blocks = _sets.by_blocks
        monkeypatch.setattr(similarity, "by_blocks", lambda function, rows, size=128: by_blocks(function, rows, 4))
    for got, wanted in zip(evaluate(), whole, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_hard_triplet", "batch_semi_hard_triplet", "batch_all_triplet"])
def test_an_item_far_from_all_others_drowns_no_distance_among_them(name):
    """Wherever in the set it stands, the others have the same gradient."""
    far = np.where(np.arange(N)[:, None] == N // 2, np.float32(1e4), X)
    slope = jax.jit(jax.grad(functools.partial(getattr(jloss, name), margin=0.5)))

    def moved(by, mask=None):
        given = () if mask is None else (np.roll(mask, by),)
        return np.roll(slope(np.roll(far, by, 0), np.roll(LABELS, by), *given), -by, 0)

    wanted = moved(1)
    assert np.count_nonzero(np.abs(wanted).sum(axis=1)) > N // 2
    for by in (N - N // 2, N - N // 2 - 1, 0):  # first, last, in the middle
        np.testing.assert_allclose(moved(by), wanted, rtol=1e-3, atol=1e-4)
    mask = np.arange(N) < N // 2 + 1  # the last that is kept, then the first
    np.testing.assert_allclose(moved(N - N // 2, mask), moved(0, mask), rtol=1e-3, atol=1e-4)


def second_derivatives(loss, x, along):
    """Along a direction: of jax, and the central difference of the gradients."""
    slope = jax.grad(loss)
    _, found = jax.jvp(slope, (x,), (along,))
    return found, (slope(x + 0.01 * along) - slope(x - 0.01 * along)) / 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["uniformity", "histogram", "fast_ap"])
def test_the_second_derivative_of_items_that_coincide(name):
    given = () if name == "uniformity" else (LABELS,)
    x, along = jnp.ones((N, D)), jnp.asarray(X) / 4
    found, wanted = second_derivatives(lambda x: getattr(jloss, name)(x, *given), x, along)
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(found, wanted, atol=0.03 * np.abs(wanted).max())
    np.testing.assert_allclose(jax.grad(lambda x: getattr(jloss, name)(x, *given))(x), np.zeros((N, D)), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arcface", "subcenter_arcface"])
def test_an_embedding_that_is_its_own_prototype_has_no_gradient_in_optimised_code(name):
    """Of equal vectors it makes units that differ by rounding, whose direction is no direction of the angle."""
    own = np.float32(np.random.default_rng(0).normal(size=(100, 16)))
    prototypes = np.stack([own, -own], axis=1)
    loss = functools.partial(getattr(jloss, name), scale=2.0, reduction="sum")
    labels, table = np.zeros(100, np.int32), prototypes if name == "arcface" else prototypes[:, :, None]
    step = jax.jit(jax.grad(lambda x: loss(x, labels, table)))
    for x in (own, 3 * own, -own):
        gradient = step.lower(x).compile(AS_USERS)(x)
        np.testing.assert_allclose(gradient, np.zeros_like(own), atol=1e-5)  # it was 0.022 over the length


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("name", "margin"), [("arcface", 0.0), ("arcface", 0.5), ("sphereface", 1), ("sphereface", 4)])
def test_the_second_derivative_at_the_own_prototype_and_opposite_to_it(name, margin, sign):
    if sign == 1 and margin == 0.5:
        return  # the angle has a corner there
    loss = functools.partial(getattr(jloss, name), margin=margin, scale=4.0)
    own = jnp.asarray(PROTOTYPES)[0]
    found, wanted = second_derivatives(lambda x: loss(x, 0, PROTOTYPES), sign * own, jnp.asarray(X)[0])
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max() + 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("equal", [False, True], ids=["apart", "two equal"])
def test_a_centre_and_its_equal_have_no_direction_in_optimised_code(equal):
    """XLA rounds one of two equal centres and not the other: what was left had a length of 1 in the gradient."""
    centres = np.random.default_rng(0).normal(size=(5, 3, 3)).astype(np.float32)
    centres[:, 1] = centres[:, 0] if equal else centres[:, 1]
    step = jax.jit(jax.value_and_grad(jloss.soft_triple_regularizer)).lower(centres)
    _, found = step.compile(AS_USERS)(centres)
    with jax.enable_x64(True):
        wanted = jax.grad(jloss.soft_triple_regularizer)(np.float64(centres))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 3, 16])
@pytest.mark.parametrize("name", ["koleo", "lifted_structure", "pair_margin", "ranked_list", "soft_triple_regularizer"])
def test_multiples_of_a_vector_have_no_distance_in_optimised_code(name, d):
    """Their units differ by rounding. Where there are others, the gradient of a multiple is that of the vector over its length."""
    loss, labels = getattr(jloss, name), np.repeat(np.arange(4, dtype=np.int32), 3)
    rng = np.random.default_rng(0)
    lengths = np.float32(rng.uniform(0.5, 2.0, (12, 1)))
    one, several = (np.repeat(np.float32(rng.normal(size=(n, d))), 12 // n, axis=0) for n in (1, 4))

    def whole(x):
        given = (x.reshape(4, 3, d),) if name.startswith("soft_triple") else (x,) if name == "koleo" else (x, labels)
        return loss(*given, reduction="sum")

    step = jax.jit(jax.grad(whole)).lower(one).compile(AS_USERS)
    np.testing.assert_array_equal(step(one * lengths), np.zeros_like(one))
    wanted = step(several)
    assert name in ("koleo", "soft_triple_regularizer") or np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(lengths * step(several * lengths), wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1e-3, 0.01])
def test_normalized_softmax_is_never_negative_in_optimised_code(temperature):
    """XLA rounds a quotient in one place and not in another: the logit of a sure class was above the largest."""
    rng, labels = np.random.default_rng(0), np.arange(200, dtype=np.int32) % 5
    prototypes = np.float32(rng.normal(size=(5, 3)))
    embeddings = np.float32(prototypes[labels] * rng.uniform(0.5, 3, size=(200, 1)))
    values = jax.jit(lambda x, y: jloss.normalized_softmax(x, labels, y, temperature=temperature, reduction="none"))
    optimised = values.lower(embeddings, prototypes).compile(AS_USERS)
    assert np.min(optimised(embeddings, prototypes)) >= 0


@pytest.mark.slow
def test_angular_margins_have_finite_gradients_at_their_prototype_and_opposite_to_it():
    prototypes = jnp.eye(3)
    for sign in (1.0, -1.0):
        x = sign * 2.0 * prototypes[0]

        def total(x, prototypes):
            several = jnp.stack([prototypes, prototypes], axis=1)
            plain = [loss(x, 0, prototypes, scale=8.0) for loss in (jloss.arcface, jloss.cosface, jloss.sphereface)]
            return sum(plain) + jloss.subcenter_arcface(x, 0, several, scale=8.0)

        value, slopes = jax.jit(jax.value_and_grad(total, (0, 1)))(x, prototypes)
        assert np.isfinite(value)
        assert all(np.isfinite(slope).all() for slope in slopes)


# ---------------------------------------------------------------- pytorch-metric-learning


@pytest.fixture(scope="module")
def peer():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorch_metric_learning", exc_type=ImportError)


def theirs(function, *inputs):
    """Value and gradients in torch."""
    import torch

    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(*tensors)
        value.backward()
    return float(value.detach()), [t.grad.numpy() for t in tensors]


def ours(function, *inputs):
    value, slopes = jax.jit(jax.value_and_grad(function, tuple(range(len(inputs)))))(*map(jnp.asarray, inputs))
    return float(value), [np.asarray(s) for s in slopes]


def assert_agree(mine, yours, *inputs):
    (value, slopes), (wanted, gradients) = ours(mine, *inputs), theirs(yours, *inputs)
    assert value == pytest.approx(wanted, rel=1e-4)
    for slope, gradient in zip(slopes, gradients, strict=True):
        np.testing.assert_allclose(slope, gradient, rtol=2e-3, atol=2e-4 * np.max(np.abs(gradient)))


def tensor(values):
    import torch

    return torch.tensor(np.asarray(values), dtype=torch.long)


def plain_distance(peer):
    from pytorch_metric_learning import distances

    return distances.LpDistance(normalize_embeddings=False)


SETS = {
    "multi_similarity": lambda L: L.MultiSimilarityLoss(),
    "circle": lambda L: L.CircleLoss(),
    "lifted_structure": lambda L: L.LiftedStructureLoss(),
    "n_pairs": lambda L: L.NPairsLoss(),
    "tuplet_margin": lambda L: L.TupletMarginLoss(),
    "fast_ap": lambda L: L.FastAPLoss(),
    "histogram": lambda L: L.HistogramLoss(n_bins=100),
    "supervised_contrastive": lambda L: L.SupConLoss(temperature=0.1),
}


@pytest.mark.parametrize("name", SETS)
def test_sets(peer, name):
    from pytorch_metric_learning import losses

    make = SETS[name](losses)
    assert_agree(lambda x: getattr(jloss, name)(x, jnp.asarray(LABELS)), lambda x: make(x, tensor(LABELS)), X)


@pytest.mark.slow
def test_angular_of_unit_vectors_views_and_triplets(peer):
    from pytorch_metric_learning import losses, miners, reducers

    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    labels, distance = tensor(LABELS), plain_distance(peer)
    angular = losses.AngularLoss()
    value, _ = theirs(lambda x: angular(x, labels), unit)
    assert float(jloss.angular(unit, LABELS)) == pytest.approx(value, rel=1e-4)
    names, pairs = tensor([0, 1, 2, 3] * 2), losses.NTXentLoss(temperature=0.2)
    assert_agree(lambda x: jloss.nt_xent(x[:4], x[4:], temperature=0.2), lambda x: pairs(x, names), X[:8])
    every = losses.TripletMarginLoss(margin=1.0, distance=distance)
    assert_agree(lambda x: jloss.batch_all_triplet(x, jnp.asarray(LABELS)), lambda x: every(x, labels), X)
    mined = losses.TripletMarginLoss(margin=1.0, distance=distance, reducer=reducers.MeanReducer())
    miner = miners.BatchHardMiner(distance=distance)
    assert_agree(lambda x: jloss.batch_hard_triplet(x, jnp.asarray(LABELS)), lambda x: mined(x, labels, miner(x, labels)), X)
    views, halves = losses.VICRegLoss(), (X, X[::-1].copy())
    assert_agree(lambda a, b: jloss.vicreg(a, b, variance=12.5), lambda a, b: views(a, ref_emb=b), *halves)


DEGREES = math.degrees(0.5)
PER_CLASS = {
    "arcface": (lambda L: L.ArcFaceLoss(K, D, margin=DEGREES, scale=16), "W", {"scale": 16.0}),
    "cosface": (lambda L: L.CosFaceLoss(K, D, margin=0.35, scale=16), "W", {"scale": 16.0}),
    "subcenter_arcface": (
        lambda L: L.SubCenterArcFaceLoss(num_classes=K, embedding_size=D, margin=DEGREES, scale=16),
        "W",
        {"scale": 16.0},
    ),
    "normalized_softmax": (lambda L: L.NormalizedSoftmaxLoss(K, D, temperature=0.05), "W", {}),
    "soft_triple": (lambda L: L.SoftTripleLoss(K, D, centers_per_class=3), "fc", {}),
    "proxy_nca": (lambda L: L.ProxyNCALoss(K, D, softmax_scale=3), "proxies", {}),
    "proxy_anchor": (lambda L: L.ProxyAnchorLoss(K, D), "proxies", {}),
}


def with_weights(loss, name, weights):
    """Their loss on our weights: columns of prototypes, rows of proxies."""
    delattr(loss, name)
    columns = weights.reshape(-1, weights.shape[-1])
    setattr(loss, name, columns if name == "proxies" else columns.t())
    return loss


@pytest.mark.parametrize("name", PER_CLASS)
def test_prototypes_and_proxies(peer, name):
    from pytorch_metric_learning import losses

    make, attribute, options = PER_CLASS[name]
    weights = CENTRES if name in ("subcenter_arcface", "soft_triple") else PROTOTYPES
    assert_agree(
        lambda x, w: getattr(jloss, name)(x, jnp.asarray(LABELS), w, **options),
        lambda x, w: with_weights(make(losses), attribute, w)(x, tensor(LABELS)),
        X,
        weights,
    )


# The examples of the page: embeddings, labels, our value (or gradient) and theirs.
TRIANGLE = [[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0]]
QUAD = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.6, -0.8]]
AXES = np.eye(2, dtype=np.float32)
EXAMPLES = {
    "angular": (TRIANGLE, [0, 0, 1], jloss.angular, lambda L, x, y: L.AngularLoss()(x, y)),
    "pair_margin": (QUAD, [0, 0, 1, 2], jloss.pair_margin, lambda L, x, y: L.MarginLoss()(x, y)),
    "contrastive_pair": (
        [[0.6, 0.8], [1.0, 0.0]],
        [0, 1],
        lambda x, y: jloss.contrastive_pair(x[0], x[1], jnp.float32(0)),
        lambda L, x, y: L.ContrastiveLoss()(x, y),
    ),
    "supervised_contrastive": (
        [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]],
        [0, 0, 1, 1],
        lambda x, y: jloss.supervised_contrastive(x, y, temperature=0.05),
        lambda L, x, y: L.SupConLoss(temperature=0.05)(x, y),
    ),
    "nt_xent": (
        [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]],
        [0, 0, 0, 1],
        lambda x, y: jloss.supervised_contrastive(x, y, temperature=0.5),
        lambda L, x, y: L.NTXentLoss(temperature=0.5)(x, y),
    ),
    "batch_all_triplet": (
        [[2.0, 0.0], [0.0, 2.0], [-1.0, 0.0]],
        [0, 0, 1],
        jloss.batch_all_triplet,
        lambda L, x, y: L.TripletMarginLoss(margin=1.0)(x, y),
    ),
    "batch_semi_hard_triplet": (
        [[0.0], [1.0], [1.2], [1.5]],
        [0, 0, 1, 2],
        jloss.batch_semi_hard_triplet,
        lambda L, x, y: _semi_hard(x, y),
    ),
    "ranked_list": (
        QUAD,
        [0, 0, 1, 2],
        lambda x, y: jloss.ranked_list(x, y, temperature=4.0),
        lambda L, x, y: L.RankedListLoss(margin=0.4, Tn=4, alpha=1.2)(x, y),
    ),
    "proxy_nca": (
        [[1.0, 0.0]] * 2,
        [1, 0],
        lambda x, y: jloss.proxy_nca(x, y, AXES, scale=100.0),
        lambda L, x, y: with_weights(L.ProxyNCALoss(2, 2, softmax_scale=100), "proxies", tensor_of(AXES))(x, y),
    ),
    "sphereface": (
        [[2.4, 1.8]],
        [0],
        lambda x, y: jloss.sphereface(x, y, AXES, scale=1.0),
        lambda L, x, y: with_weights(L.SphereFaceLoss(2, 2, scale=1), "W", tensor_of(AXES))(x, y),
    ),
    "vicreg": (
        [[0.5, 0.0], [0.0, 0.5], [-0.5, 0.0]],
        [0, 0, 0],
        lambda x, y: jloss.vicreg(x, x),
        lambda L, x, y: L.VICRegLoss()(x, ref_emb=1.0 * x),
    ),
    "arcface (gradient)": (
        [[2.0, 0.0]],
        [0],
        lambda x, y: jnp.sum(jnp.abs(jax.grad(lambda x: jloss.arcface(x, y, AXES, scale=16.0))(x))),
        lambda L, x, y: _slope(lambda x: with_weights(L.ArcFaceLoss(2, 2, margin=DEGREES, scale=16), "W", tensor_of(AXES))(x, y), x),
    ),
    "tuplet_margin (gradient)": (
        [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]],
        [0, 0, 1],
        lambda x, y: jnp.max(jnp.abs(jax.grad(lambda x: jloss.tuplet_margin(x, y))(x))),
        lambda L, x, y: _slope(lambda x: L.TupletMarginLoss()(x, y), x),
    ),
}
PAGE = pathlib.Path(__file__).parents[3] / "docs" / "disagreements" / "metric_learning.md"


def tensor_of(values):
    import torch

    return torch.tensor(values)


def _slope(function, x):
    x = x.clone().requires_grad_()
    function(x).backward()
    return x.grad.abs().max()


def _semi_hard(x, y):
    from pytorch_metric_learning import losses, miners

    distance = plain_distance(None)
    miner = miners.TripletMarginMiner(margin=1.0, type_of_triplets="semihard", distance=distance)
    return losses.TripletMarginLoss(margin=1.0, distance=distance)(x, y, miner(x, y))


@pytest.mark.parametrize("name", EXAMPLES)
def test_disagreements(peer, name):
    """The numbers on the page are those of both libraries, and they differ."""
    from pytorch_metric_learning import losses

    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name.split()[0]}`{name[len(name.split()[0]) :]} |")]
    wanted = [float(cell) for cell in row.split("|")[3:5]]
    x, labels, mine, yours = EXAMPLES[name]
    x = np.asarray(x, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = float(jax.jit(mine)(jnp.asarray(x), jnp.asarray(labels))), float(yours(losses, tensor_of(x), tensor(labels)).detach())
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert not np.isclose(*wanted, rtol=1e-3)
