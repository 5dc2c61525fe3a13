"""Losses of ranks, boundaries and topology: the sort, ties, empty masks, distance maps, peers."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._core import sorting
from jloss.vision import surface

RNG = np.random.default_rng(0)
DISK = np.hypot(*(np.mgrid[:11, :12] - 5.0)) < 3.5


def value_and_grad(loss, *args, **options):
    value, gradient = jax.value_and_grad(lambda first: loss(first, *args[1:], **options))(jnp.asarray(args[0]))
    return float(value), np.asarray(gradient)


# ---------------------------------------------------------------- Lovasz


def berman(errors, foreground):
    """Value and slopes as in the paper's algorithm: cumulative sums of the sorted truth, one difference."""
    order = np.argsort(-errors, kind="stable")
    truth = foreground[order].astype(float)
    score = 1 - (truth.sum() - truth.cumsum()) / (truth.sum() + (1 - truth).cumsum())
    slopes = np.empty_like(score)
    slopes[order] = np.diff(score, prepend=0.0)
    return float(np.sum(errors * slopes)), slopes


@pytest.mark.slow
def test_lovasz_softmax_and_its_gradient_by_the_papers_algorithm():
    p = RNG.dirichlet(np.full(4, 0.7), (1, 16, 16)).astype(np.float32)
    labels = RNG.choice(3, (1, 16, 16), p=[0.7, 0.2, 0.1])  # class 3 is absent
    value, gradient = value_and_grad(jloss.lovasz_softmax, p, labels)
    parts = [berman(np.abs((labels == c) - p[..., c].astype(float)).ravel(), (labels == c).ravel()) for c in range(3)]
    np.testing.assert_allclose(value, np.mean([v for v, _ in parts]), rtol=1e-6)
    for c, (_, slopes) in enumerate(parts):
        wanted = np.where((labels == c).ravel(), -slopes, slopes) / 3
        np.testing.assert_allclose(gradient[..., c].ravel(), wanted, rtol=1e-4, atol=1e-8)
    assert np.all(gradient[..., 3] == 0)


def test_class_indices_are_not_ranked():
    """What kornia did: the truth that is sorted and summed is the label itself, not the class against the rest."""
    p = RNG.dirichlet(np.ones(3), (1, 8, 8)).astype(np.float32)
    labels = RNG.integers(0, 3, (1, 8, 8))
    wrong = np.mean([berman(np.abs((labels == c) - p[..., c]).ravel(), labels.ravel())[0] for c in range(3)])
    assert abs(wrong - float(jloss.lovasz_softmax(p, labels))) > 0.05


def test_packed_keys_sort_as_plain_ones(monkeypatch):
    """The same slopes, bit by bit, wherever the errors differ; the same loss with ties, zeros and infinities. In two parts."""
    errors = np.abs(RNG.standard_cauchy((5, 4000))).astype(np.float32)
    assert errors.size > sorting.LARGE
    errors[1] = RNG.integers(0, 4, 4000) / 4  # ties
    errors[2, ::2] = 0
    errors[3] *= 1e-30
    errors[4, :3] = [np.inf, 3e38, 2e-38]
    foreground = RNG.uniform(size=errors.shape) < 0.3
    foreground[2] = False
    packed = np.asarray(jax.jit(surface._slopes)(errors, foreground))
    monkeypatch.setattr(sorting.lax, "platform_dependent", lambda *inputs, default, **_: default(*inputs))
    plain = np.asarray(jax.jit(lambda *inputs: surface._slopes(*inputs))(errors, foreground))
    for row in (0, 3, 4):
        order = np.argsort(errors[row], kind="stable")
        unique = np.append(np.diff(errors[row][order]) > 0, True) & np.append(True, np.diff(errors[row][order]) > 0)
        assert unique.mean() > 0.9
        np.testing.assert_array_equal(packed[row][order][unique], plain[row][order][unique])
    finite = np.where(np.isfinite(errors), errors, 0).astype(np.float64)
    np.testing.assert_allclose((finite * packed).sum(1), (finite * plain).sum(1), rtol=1e-5)
    np.testing.assert_allclose(packed.sum(1), 1, rtol=1e-4)  # one minus the score, all wrong, is 1


def test_slopes_keep_their_digits():
    """Berman's difference of two scores near 1 loses the small slopes in float32; the closed form does not."""
    errors = RNG.permutation(np.linspace(0.01, 1, 50_000)).astype(np.float32)
    foreground = RNG.uniform(size=errors.size) < 0.01
    got = np.asarray(jax.jit(surface._slopes)(errors[None], foreground[None]))[0]
    np.testing.assert_allclose(got, berman(errors.astype(np.float64), foreground)[1], rtol=2e-6)


@pytest.mark.slow
def test_lovasz_hinge_is_the_jaccard_loss_of_hard_errors():
    """Logits of +-1 make every error 0 or 2: twice the Jaccard loss of the hard masks."""
    logits = np.where(DISK ^ (RNG.uniform(size=DISK.shape) < 0.2), 1.0, -1.0).astype(np.float32)
    wanted = 2 * float(jloss.jaccard((logits > 0).astype(np.float32), DISK, smooth_numerator=0.0, smooth_denominator=0.0))
    np.testing.assert_allclose(jloss.lovasz_hinge(logits, DISK), wanted, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [1, -1])
def test_lovasz_of_ignored_pixels(axis):
    p = RNG.dirichlet(np.ones(3), (4, 5, 6)).astype(np.float32)
    labels = RNG.integers(0, 3, (4, 5, 6))
    mask = RNG.uniform(size=(4, 5, 6)) < 0.6
    mask[1] = False
    wanted = [float(jloss.lovasz_softmax(p[i][mask[i]], labels[i][mask[i]], spatial_ndim=1)) for i in (0, 2, 3)]
    poisoned = np.where(mask[..., None], p, np.nan)
    ignored = np.where(mask, labels, 255)
    given = np.moveaxis(poisoned, -1, axis)

    def f(p):
        values = jloss.lovasz_softmax(p, ignored, mask=mask, axis=axis, reduction="none")
        return jnp.sum(values), values

    gradient, values = jax.jit(jax.grad(f, has_aux=True))(given)
    np.testing.assert_allclose(values, [wanted[0], 0, *wanted[1:]], rtol=1e-5)
    gradient = np.moveaxis(np.asarray(gradient), axis, -1)
    assert np.isfinite(gradient).all()
    assert np.all(gradient[~mask] == 0)
    assert np.isnan(jloss.lovasz_softmax(p, ignored, reduction="none")).all()  # 255 is no class: say so with mask


def test_lovasz_descends_to_the_mask():
    """Per-class binary masks through `axis`, from wrong logits to the right mask."""
    targets = np.stack([DISK, ~DISK, np.zeros_like(DISK)])[None]

    @jax.jit
    def step(logits):
        return logits - 30 * jax.grad(lambda z: jloss.lovasz_hinge(z, targets, axis=1))(logits)

    logits = jnp.zeros(targets.shape)
    for _ in range(60):
        logits = step(logits)
    assert np.array_equal(np.asarray(logits > 0), targets)


# ---------------------------------------------------------------- distances


@pytest.mark.parametrize("sampling", [None, (2.0, 0.5)])
def test_distance_map_by_brute_force(sampling):
    found = jloss.distance_map(DISK, sampling=sampling)
    at = np.argwhere(np.ones_like(DISK)) * np.array(sampling or (1, 1))
    between = np.linalg.norm(at[:, None] - at[None], axis=-1)
    inside = DISK.ravel()
    wanted = np.where(inside, -between[:, ~inside].min(1), between[:, inside].min(1)).reshape(DISK.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert found.dtype == np.float32


def test_distance_maps_of_batches_and_of_masks_without_a_boundary():
    masks = np.stack([DISK, np.zeros_like(DISK), np.ones_like(DISK)])
    maps = jloss.distance_map(masks.astype(np.float32))
    np.testing.assert_array_equal(maps[0], jloss.distance_map(DISK))
    assert np.all(maps[1:] == 0)
    volume = jloss.distance_map(masks, spatial_ndim=3)
    assert volume[0, 5, 5] == -1  # the empty slice is next to it
    assert jloss.distance_map(masks[:0]).shape == (0, 11, 12)
    with pytest.raises(ValueError, match="distance_map: `masks` has 2 axes, but needs at least 3"):
        jloss.distance_map(DISK, spatial_ndim=3)


def test_distance_map_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(ImportError, match=r"pip install 'jloss\[surface\]'"):
        jloss.distance_map(DISK)


def test_distance_losses_charge_the_far_error():
    near, far = DISK.astype(np.float32), DISK.astype(np.float32)
    near[5, 9], far[0, 11] = 1, 1
    distances = jloss.distance_map(DISK)
    assert jloss.boundary(near, distances) < jloss.boundary(far, distances)

    def hausdorff(p):
        return float(jloss.hausdorff_dt(p, DISK, jloss.distance_map(p), distances))

    assert hausdorff(DISK.astype(np.float32)) == 0 < hausdorff(near) < hausdorff(far)


@pytest.mark.slow
def test_all_ignored_is_zero():
    p, ignored = jnp.full(DISK.shape, jnp.nan), np.zeros_like(DISK)
    distances = jloss.distance_map(DISK)
    for value, gradient in (
        value_and_grad(jloss.boundary, p, distances, mask=ignored),
        value_and_grad(jloss.hausdorff_er, p, DISK, mask=ignored, erosions=2),
        value_and_grad(jloss.cldice, p, DISK, mask=ignored, iterations=2),
    ):
        assert value == 0
        assert np.all(gradient == 0)


@pytest.mark.parametrize("shape", [(20,), (6, 7, 8)])
def test_erosion_against_a_convolution(shape):
    """The paper's recipe with torch's convolution, in one and three dimensions (the oracle has two), value and gradient."""
    torch = pytest.importorskip("torch")
    n = len(shape)
    middle = tuple(slice(1, -1) for _ in shape)
    prediction = RNG.uniform(0, 0.2, shape)
    prediction[middle] = RNG.uniform(0.85, 1, prediction[middle].shape)
    target = np.zeros(shape)
    kernel = np.zeros((3,) * n)
    for axis in range(n):
        kernel[tuple(slice(None) if i == axis else 1 for i in range(n))] = 1 / (2 * n + 1)
    p = torch.tensor(prediction, requires_grad=True)
    error, total = (p - torch.tensor(target)) ** 2, 0.0
    convolve = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)[n - 1]
    for k in range(1, 5):
        error = torch.relu(convolve(error[None, None], torch.tensor(kernel)[None, None], padding=1)[0, 0] - 0.5)
        spread = error.max() - error.min()
        error = (error - error.min()) / spread if spread > 0 else error
        total = total + k**1.5 * error.mean()
    total.backward()
    with jax.enable_x64(True):
        value, gradient = value_and_grad(jloss.hausdorff_er, prediction, target, alpha=1.5, erosions=4, spatial_ndim=n)
    np.testing.assert_allclose(value, total.item(), rtol=1e-9)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-7, atol=1e-10)


def test_regions_cost_and_isolated_pixels_do_not():
    small, large, dots = np.zeros((3, 12, 12), np.float32)
    small[3:6, 3:6], large[2:9, 2:9], dots[::3, ::3] = 1, 1, 1
    losses = [value_and_grad(jloss.hausdorff_er, p, np.zeros((12, 12), np.float32)) for p in (large, small, dots, 0 * dots)]
    assert losses[0][0] > losses[1][0] > losses[2][0] == losses[3][0] == 0
    assert all(np.isfinite(g).all() for _, g in losses)


# ---------------------------------------------------------------- topology


@pytest.mark.slow
def test_soft_skeleton_against_max_pooling():
    """clDice with torch's pooling, value and gradient, for images without ties."""
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.max_pool2d

    def skeleton(x, iterations):
        def erode(x):
            return -torch.maximum(pool(-x, (3, 1), 1, (1, 0)), pool(-x, (1, 3), 1, (0, 1)))

        found = torch.relu(x - pool(erode(x), 3, 1, 1))
        for _ in range(iterations):
            x = erode(x)
            more = torch.relu(x - pool(erode(x), 3, 1, 1))
            found = found + torch.relu(more - found * more)
        return found

    prediction, target = RNG.uniform(size=(2, 14, 15))
    p, y = torch.tensor(prediction, requires_grad=True), torch.tensor(target)
    lines = [skeleton(x[None, None], 3)[0, 0] for x in (p, y)]
    precision, sensitivity = ((line * other).sum() + 1 for line, other in zip(lines, (y, p), strict=True))
    precision, sensitivity = precision / (lines[0].sum() + 1), sensitivity / (lines[1].sum() + 1)
    loss = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    loss.backward()
    with jax.enable_x64(True):
        value, gradient = value_and_grad(jloss.cldice, prediction, target, iterations=3)
    np.testing.assert_allclose(value, loss.item(), rtol=1e-9)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-7, atol=1e-10)


@pytest.mark.slow
def test_a_broken_vessel_costs_more_than_a_thin_one():
    vessel = np.zeros((9, 30), np.float32)
    vessel[3:6, 2:28] = 1
    broken, thin = vessel.copy(), vessel.copy()
    broken[:, 12:14] = 0
    thin[3] = 0
    assert jloss.dice(thin, vessel) > jloss.dice(broken, vessel)
    run = jax.jit(jax.value_and_grad(lambda p, y, smooth: jloss.cldice(p, y, smooth=smooth, iterations=4)))
    losses = [run(p, vessel, 1.0) for p in (thin, broken, vessel, 0 * vessel)]
    assert losses[0][0] < losses[1][0] < losses[3][0]
    np.testing.assert_allclose(losses[2][0], 0, atol=1e-6)
    assert all(np.isfinite(g).all() for _, g in losses)
    value, gradient = run(0 * vessel, 0 * vessel, 0.0)
    assert value == 0
    assert np.isfinite(gradient).all()


@pytest.mark.slow
def test_spatial_axes_and_class_axes():
    p, y = RNG.uniform(size=(2, 2, 3, 4, 5, 6)).astype(np.float32)
    alone = [[float(jloss.cldice(p[b, c], y[b, c], spatial_ndim=3, iterations=2)) for c in range(3)] for b in range(2)]
    together = jloss.cldice(np.moveaxis(p, 1, -1), np.moveaxis(y, 1, -1), spatial_ndim=3, axis=-1, iterations=2, reduction="none")
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-7)


def test_options_out_of_range():
    with pytest.raises(ValueError, match="hausdorff_er: `erosions` must be at least 1, got 0"):
        jloss.hausdorff_er(jnp.zeros((3, 3)), jnp.zeros((3, 3)), erosions=0)
    with pytest.raises(ValueError, match="cldice: `iterations` must be 0 or more, got -1"):
        jloss.cldice(jnp.zeros((3, 3)), jnp.zeros((3, 3)), iterations=-1)
    with pytest.raises(ValueError, match="hausdorff_dt: `alpha` must be greater than 0"):
        jloss.hausdorff_dt(*(jnp.zeros((3, 3)) for _ in range(4)), alpha=0.0)
