"""Heads and set prediction: against torch formulas, scipy's assignment and a plain implementation, with padding and devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from scipy.optimize import linear_sum_assignment

import jloss
from tests.peers import agree, draws


def same_cost(cost, found, columns):
    """`found` is a one-to-one assignment of the `columns` with scipy's total cost."""
    rows, chosen = linear_sum_assignment(cost[:, columns])
    has = np.flatnonzero(found >= 0)
    assert set(has) <= set(columns)
    assert len(has) == len(rows) == len(set(found[has]))
    np.testing.assert_allclose(cost[found[has], has].sum(), cost[:, columns][rows, chosen].sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(6, 4), (4, 6), (5, 5), (1, 3), (24, 10)])
def test_match_is_scipys(n, m):
    rng = np.random.default_rng(0)
    cost = rng.normal(size=(40, n, m)).astype(np.float32)
    cost[:10] = np.round(cost[:10])  # ties
    mask = rng.uniform(size=(40, m)) < 0.6
    masked, whole = np.asarray(jloss.match(cost, mask)), np.asarray(jloss.match(cost))
    assert masked.dtype == np.int32
    for i in range(40):
        same_cost(cost[i], masked[i], np.flatnonzero(mask[i]))
        same_cost(cost[i], whole[i], np.arange(m))


@pytest.mark.slow
def test_match_is_optaxs():
    optax = pytest.importorskip("optax")
    cost = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        rows, columns = optax.assignment.hungarian_algorithm(jnp.asarray(cost))
    np.testing.assert_array_equal(np.asarray(jloss.match(cost))[np.asarray(columns)], rows)


@pytest.mark.slow
def test_match_of_nothing_and_of_nan():
    assert jloss.match(jnp.zeros((3, 0))).shape == (0,)
    np.testing.assert_array_equal(jloss.match(jnp.zeros((0, 2))), [-1, -1])
    np.testing.assert_array_equal(jloss.match(jnp.zeros((2, 2)), jnp.zeros(2, bool)), [-1, -1])
    np.testing.assert_array_equal(np.sort(jloss.match(jnp.full((3, 2), jnp.nan))), [0, 1])
    np.testing.assert_array_equal(jloss.match(jnp.array([[jnp.nan, 1.0], [2.0, 1.0]])), [1, 0])
    with pytest.raises(ValueError, match=r"match: expected cost\(..., n, m\), mask\(..., m\), got cost\(3, 2\), mask\(3,\)"):
        jloss.match(jnp.zeros((3, 2)), jnp.ones(3, bool))


@pytest.mark.slow
def test_match_has_no_gradient_and_runs_inside_shard_map():
    cost = jnp.asarray(np.random.default_rng(2).normal(size=(4, 5, 3)).astype(np.float32))
    gradient = jax.grad(lambda c: jnp.sum(jnp.where(jloss.match(c) >= 0, 1.0, 0.0)))(cost)
    assert not np.any(gradient)
    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    spec = PartitionSpec("i")
    np.testing.assert_array_equal(jax.shard_map(jloss.match, mesh=mesh, in_specs=spec, out_specs=spec)(cost), jloss.match(cost))


def an_image(seed, n=7, m=4, k=5):
    rng = np.random.default_rng(seed)

    def boxes(count):
        corner, size = rng.uniform(0, 0.6, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))
        return np.concatenate([corner, corner + size], axis=1).astype(np.float32)

    return rng.normal(size=(n, k)).astype(np.float32), boxes(n), rng.integers(0, k - 1, m).astype(np.int32), boxes(m)


@pytest.mark.slow
def test_detr_against_torch():
    torch = pytest.importorskip("torch")

    def plain(logits, boxes, labels, targets, mask, normaliser):
        """One image, as the paper says it: scipy's assignment, cross entropy, L1 on centres, GIoU."""

        def convert(b):
            return torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], dim=1)

        def giou(b, t):
            overlap = (torch.minimum(b[..., 2:], t[..., 2:]) - torch.maximum(b[..., :2], t[..., :2])).clamp(min=0).prod(-1)
            union = (b[..., 2:] - b[..., :2]).prod(-1) + (t[..., 2:] - t[..., :2]).prod(-1) - overlap
            hull = (torch.maximum(b[..., 2:], t[..., 2:]) - torch.minimum(b[..., :2], t[..., :2])).prod(-1)
            return 2 - overlap / union - union / hull

        labels, targets = labels[mask].long(), targets[mask]
        l1 = (convert(boxes)[:, None] - convert(targets)[None]).abs().sum(-1)
        cost = -logits.softmax(-1)[:, labels] + 5 * l1 + 2 * giou(boxes[:, None], targets[None])
        rows, columns = linear_sum_assignment(cost.detach().numpy())
        classes = torch.full((len(logits),), logits.shape[1] - 1)
        classes[rows] = labels[columns]
        weight = torch.ones(logits.shape[1])
        weight[-1] = 0.1
        entropy = torch.nn.functional.cross_entropy(logits, classes, weight)
        return entropy + (5 * l1[rows, columns] + 2 * giou(boxes[rows], targets[columns])).sum() / normaliser

    for seed, mask in enumerate(([True] * 4, [True, False, True, False])):
        logits, boxes, labels, targets = an_image(seed)
        labels_given = np.where(mask, labels, -7).astype(np.int32)  # padding is not looked at
        targets_given = np.where(np.array(mask)[:, None], targets, np.nan).astype(np.float32)

        def ours(p, b, labels=labels_given, targets=targets_given, mask=mask):
            return jloss.detr(p, b, labels, targets, jnp.array(mask))

        def theirs(p, b, labels=labels, targets=targets, mask=mask):
            return plain(p, b, torch.tensor(labels), torch.tensor(targets), torch.tensor(mask), sum(mask))

        agree(ours, theirs, logits, boxes)


@pytest.mark.slow
def test_detr_learns_a_set():
    optax = pytest.importorskip("optax")
    logits, boxes, labels, targets = an_image(9)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 400))
    parameters = (jnp.asarray(logits), jloss.to_center_size(boxes))

    def loss(parameters):
        return jloss.detr(parameters[0], jloss.from_center_size(parameters[1]), labels, targets)

    def step(carry, _):
        parameters, state = carry
        updates, state = optimizer.update(jax.grad(loss)(parameters), state)
        return (optax.apply_updates(parameters, updates), state), None

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        (parameters, _), _ = jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, length=400))(parameters)
    found = jloss.pairwise_iou(jloss.from_center_size(parameters[1]), targets)
    assert (jnp.max(found, axis=0) > 0.9).all()
    best = np.argmax(found, axis=0)
    np.testing.assert_array_equal(np.argmax(parameters[0][best], axis=1), labels)


@pytest.mark.slow
def test_heads_against_torch():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    z, quality = draws(64, scale=3.0)[0], np.random.default_rng(3).uniform(0.05, 0.95, 64).astype(np.float32)

    def qfl(z, q):
        return ((q - z.sigmoid()).abs() ** 2 * f.binary_cross_entropy_with_logits(z, q, reduction="none")).mean()

    agree(jloss.quality_focal, qfl, z, quality)

    def vfl(z):
        q = torch.tensor(mixed)
        weight = torch.where(q > 0, q, 0.75 * z.sigmoid() ** 2)
        return (weight * f.binary_cross_entropy_with_logits(z, q, reduction="none")).mean()

    mixed = np.where(np.arange(64) % 2 == 0, quality, 0).astype(np.float32)
    agree(lambda z: jloss.varifocal(z, mixed), vfl, z)

    logits, place = draws((32, 8))[0], np.random.default_rng(4).uniform(0, 6.9, 32).astype(np.float32)

    def dfl(logits):
        y = torch.tensor(place)
        low = y.long()
        left = f.cross_entropy(logits, low, reduction="none") * (low + 1 - y)
        return (left + f.cross_entropy(logits, low + 1, reduction="none") * (y - low)).mean()

    agree(lambda x: jloss.distribution_focal(x, place), dfl, logits)


@pytest.mark.slow
def test_heads_at_their_ends():
    logits = jnp.array([0.0, 1.0, 2.0, 3.0])
    ends = jloss.distribution_focal(jnp.stack([logits] * 4), jnp.array([3.0, 3.7, 0.0, -1.0]), reduction="none")
    np.testing.assert_allclose(ends, -jax.nn.log_softmax(logits)[jnp.array([3, 3, 0, 0])], rtol=1e-6)
    for loss in (jloss.quality_focal, jloss.varifocal):
        z, q = jnp.array([1e4, -1e4, 1e4, -1e4, 0.0]), jnp.array([1.0, 0.0, 0.0, 1.0, 0.5])
        gradient = jax.grad(lambda z, q=q, loss=loss: loss(z, q, reduction="sum"))(z)
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(loss(z, q, reduction="none")[:2], 0, atol=1e-6)


@pytest.mark.parametrize(("name", "negative", "soft"), [("quality_focal", 1.0, 0.125), ("varifocal", 0.75, 0.25)])
def test_heads_of_an_infinite_logit(name, negative, soft):
    """Nothing where it agrees with a label of 0 or 1; else infinite, with the gradient that large logits have."""
    loss, inf = jloss.CATALOGUE[name].public, jnp.inf
    z, q = jnp.array([inf, -inf, inf, -inf, inf, -inf]), jnp.array([1.0, 0.0, 0.0, 1.0, 0.5, 0.5])
    for logits, expected in ((z, [0, 0, inf, inf, inf, inf]), (jnp.clip(z, -1e4, 1e4), None)):
        values, pull = jax.vjp(lambda z: loss(z, q, reduction="none"), logits)
        np.testing.assert_allclose(pull(jnp.ones(6))[0], [0, 0, negative, -1, soft, -soft], atol=1e-6)
        if expected:
            np.testing.assert_array_equal(values, expected)


def plain_detr(logits, boxes, labels, targets):
    """One image and one layer in NumPy, paired by scipy: the class term, and the sum of the box terms."""

    def box_terms(b, t):
        low, high = np.maximum(b[..., :2], t[..., :2]), np.minimum(b[..., 2:], t[..., 2:])
        both = np.prod(np.maximum(high - low, 0), axis=-1)
        union = np.prod(b[..., 2:] - b[..., :2], axis=-1) + np.prod(t[..., 2:] - t[..., :2], axis=-1) - both
        hull = np.prod(np.maximum(b[..., 2:], t[..., 2:]) - np.minimum(b[..., :2], t[..., :2]), axis=-1)
        center, target_center = (np.concatenate([(x[..., :2] + x[..., 2:]) / 2, x[..., 2:] - x[..., :2]], axis=-1) for x in (b, t))
        return 5 * np.abs(center - target_center).sum(-1) + 2 * (1 - both / union + (hull - union) / hull)

    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    terms = box_terms(boxes[:, None], targets[None])
    rows, columns = linear_sum_assignment(terms - np.exp(log_probs)[:, labels])
    classes = np.full(len(logits), logits.shape[1] - 1)
    classes[rows] = labels[columns]
    weight = np.where(classes == logits.shape[1] - 1, 0.1, 1.0)
    return -(weight * log_probs[np.arange(len(logits)), classes]).sum() / weight.sum(), terms[rows, columns].sum()


@pytest.mark.slow
def test_detr_of_auxiliary_layers_over_devices_against_scipy():
    """Two decoder layers, each paired anew with one set of targets; four images on two devices share one number of boxes."""
    factors = (1.0, 0.25)
    layers = [[an_image(10 * layer + i, m=3) for i in range(4)] for layer in range(2)]
    logits, boxes = (tuple(jnp.stack([image[part] for image in layer]) for layer in layers) for part in (0, 1))
    counts = np.array([3, 1, 0, 2])
    mask = jnp.arange(3)[None, :] < counts[:, None]
    labels = jnp.where(mask, jnp.stack([image[2] for image in layers[0]]), -7)  # padding is not looked at
    targets = jnp.where(mask[..., None], jnp.stack([image[3] for image in layers[0]]), jnp.nan)

    def of_layer(layer):
        found = [
            plain_detr(
                *(np.asarray(x, float) for x in (logits[layer][i], boxes[layer][i])), *(np.asarray(x[i][:c]) for x in (labels, targets))
            )
            for i, c in enumerate(counts)
        ]
        return sum(classes for classes, _ in found) / 4 + sum(apart for _, apart in found) / counts.sum()

    wanted = sum(factor * of_layer(layer) for layer, factor in enumerate(factors))
    several = jloss.deep_supervision(jloss.detr, factors)

    def local(logits, boxes, labels, targets, mask):
        boxes_per_image = jax.lax.pmean(jnp.mean(jnp.sum(mask, axis=1).astype(jnp.float32)), "i")
        return several(logits, boxes, labels, targets, mask, boxes_per_image=boxes_per_image, axis_name="i")

    mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
    over_devices = jax.shard_map(local, mesh=mesh, in_specs=PartitionSpec("i"), out_specs=PartitionSpec())
    value, gradient = jax.jit(jax.value_and_grad(over_devices, argnums=(0, 1)))(logits, boxes, labels, targets, mask)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)

    def on_one(logits, boxes):
        return several(logits, boxes, labels, targets, mask, boxes_per_image=1.5)

    value, single = jax.jit(jax.value_and_grad(on_one, argnums=(0, 1)))(logits, boxes)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    for ours, alone in zip(jax.tree.leaves(gradient), jax.tree.leaves(single), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, alone, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("logit", [-jnp.inf, -80.0, -1.0, 0.0, 2.0, 80.0])
@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
def test_an_exponent_of_0_switches_the_focusing_off(logit, quality):
    z, q = jnp.float32(logit), jnp.float32(quality)
    no, yes = np.logaddexp(0, float(logit)), np.logaddexp(0, -float(logit))
    plain = (quality * yes if quality else 0) + ((1 - quality) * no if quality < 1 else 0)
    slope = 1 / (1 + np.exp(-float(logit))) - quality
    weight = quality if quality else 0.75
    for loss, options, times in ((jloss.quality_focal, {"beta": 0.0}, 1), (jloss.varifocal, {"gamma": 0.0}, weight)):
        if np.isinf(logit) and (quality or loss is jloss.quality_focal):
            continue  # 0 * inf in the other term is for `sigmoid_cross_entropy` to avoid
        value, gradient = jax.value_and_grad(loss)(z, q, **options)
        np.testing.assert_allclose(value, times * plain, rtol=1e-6, atol=1e-30)
        np.testing.assert_allclose(gradient, times * slope, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_focal_eiou_without_focusing_is_eiou():
    p, t = jnp.array([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 3, 3]]), jnp.array([[1.0, 1, 4, 3], [5, 5, 6, 7], [0, 0, 3, 3]])
    plain = jax.value_and_grad(lambda p: jloss.eiou(p, t))(p)
    found = jax.value_and_grad(lambda p: jloss.focal_eiou(p, t, gamma=0.0))(p)
    jax.tree.map(np.testing.assert_array_equal, found, plain)
