"""Boxes at their awkward points, against torch and published numbers, and on their way from a disjoint start to the target."""

import importlib.util
import itertools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.compiled import AS_USERS
from tests.peers import agree

IMAGE = jnp.array([100.0, 100.0])
LOSSES = {
    "iou": jloss.iou,
    "log_iou": jloss.log_iou,
    "giou": jloss.giou,
    "diou": jloss.diou,
    "ciou": jloss.ciou,
    "eiou": jloss.eiou,
    "siou": jloss.siou,
    "mpdiou": lambda p, t, **k: jloss.mpdiou(p, t, IMAGE, **k),
    "inner_iou": jloss.inner_iou,
    "shape_iou": lambda p, t, **k: jloss.shape_iou(p, t, scale=1.0, **k),
    "nwd": jloss.nwd,
    "focal_eiou": jloss.focal_eiou,
    "alpha_iou": lambda p, t, **k: jloss.alpha_iou(p, t, base="ciou", **k),
    "wiou_v1": jloss.wiou_v1,
    "wiou_v2": lambda p, t, **k: jloss.wiou_v2().apply(jnp.float32(0.5), p, t, **k)[0],
    "wiou_v3": lambda p, t, **k: jloss.wiou_v3().apply(jnp.float32(0.5), p, t, **k)[0],
}
BLIND = {"iou", "log_iou", "inner_iou", "focal_eiou"}  # no gradient for disjoint boxes, as their docstrings say
HARD = [
    *((0, 0, 1, 1), (0, 0, 2, 2), (0.5, 0.5, 1.5, 1.5), (1, 0, 2, 1), (3, 3, 4, 5), (0, 0, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2), (1, 1, 1, 1)),
    *((2, 2, 0, 0), (2, 0, 0, 2), (9, 9, 8, 7), (-1e4, -1e4, 1e4, 1e4), (1e4, 1e4, 1e4 + 16, 1e4 + 32), (1e4, 0, -1e4, 3)),
    *((0, 0, 1e-4, 1e-4), (1e-4, 0, 2e-4, 3e-4), (0.25, 0.25, 0.75, 0.75), (5e-13, 0, 1, 1)),
]
SIZES = np.array([1e-4, 1e-2, 1.0, 300.0, 1e4])
SHAPES = np.array([(0, 0, 1, 1), (0.25, 0.5, 1, 3), (-3, 1, -1, 1.75), (0, 0, 0.1, 5)])
IDENTICAL = (SIZES[:, None, None] * SHAPES).reshape(-1, 4)
DISJOINT = [((0, 0, 2, 2), (4, 4, 8, 6)), ((0, 0, 3, 2), (3.5, 0, 7, 1)), ((5, 0, 6, 1), (0, 0, 1, 4)), ((0, 9, 3, 10), (1, 1, 2, 4))]
ROWS = {
    "hard": np.array(list(itertools.product(HARD, HARD)), float),
    "identical": np.stack([IDENTICAL, IDENTICAL], axis=1),
    "disjoint": np.array(DISJOINT),
    "inverted": np.array([((3, 0, 1, 2), (0, 0, 4, 2))]),
}
PAIRS = np.concatenate(list(ROWS.values()))
AT = dict(zip(ROWS, np.split(np.arange(len(PAIRS)), np.cumsum([len(r) for r in ROWS.values()])[:-1]), strict=True))
HALF = ("bfloat16", "float16")


@pytest.fixture(scope="module")
def found():
    """All pairs, and all pairs rounded to bf16 and to fp16 (which the layer widens), in one compilation."""
    exact = jnp.asarray(PAIRS.astype(np.float32))
    pairs = jnp.stack([exact, *(exact.astype(dtype).astype(jnp.float32) for dtype in HALF)])

    @jax.jit
    def everything(predictions, targets):
        def both(loss):
            def total(p, t):
                values = loss(p, t, reduction="none")
                return jnp.sum(values), values

            (_, values), gradient = jax.value_and_grad(total, has_aux=True)(predictions, targets)
            return values, gradient

        return {name: both(loss) for name, loss in LOSSES.items()}

    return jax.tree.map(np.asarray, everything(pairs[..., 0, :], pairs[..., 1, :]))


@pytest.mark.slow
def test_every_loss_of_axis_aligned_boxes_is_here():
    pairs = {name for name, entry in jloss.CATALOGUE.items() if [*entry.domains.values()][:1] == ["box"]}
    assert pairs == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_awkward_boxes(found, name):
    values, gradient = found[name]
    for i, dtype in enumerate(("float32", *HALF)):
        returned = np.asarray(jnp.asarray(gradient[i]).astype(dtype).astype(jnp.float32))
        wrong = PAIRS[~(np.isfinite(values[i]) & np.isfinite(returned).all(1))]
        assert not wrong.size, f"{name} of {dtype} boxes is not finite at {wrong[:3].tolist()}"
    assert (values > -1e-5).all()


@pytest.mark.parametrize("name", LOSSES)
def test_identical_boxes_rest(found, name):
    values, gradient = found[name]
    sides = (IDENTICAL[:, 2:] - IDENTICAL[:, :2]).min(1, keepdims=True)
    np.testing.assert_allclose(values[0, AT["identical"]], 0, atol=1e-6)
    np.testing.assert_allclose(gradient[0, AT["identical"]] * sides, 0, atol=2e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_disjoint_boxes_attract(found, name):
    pull = np.abs(found[name][1][0, AT["disjoint"]]).sum(1)
    assert (pull == 0).all() if name in BLIND else (pull > 1e-5).all(), f"{name} at disjoint boxes: {pull}"


@pytest.mark.parametrize("name", ["ciou", "eiou", "siou", "shape_iou", "nwd"])
def test_inverted_sides_are_pulled_back_into_shape(found, name):
    gradient = found[name][1][0, AT["inverted"][0]]
    assert gradient[2] - gradient[0] < 0, "a descent makes the negative width larger"


@pytest.mark.slow
def test_published_numbers():
    near, far = (jnp.array(p) for p in ([[0.0, 0, 2, 2], [1, 1, 4, 3]], [[0.0, 0, 2, 2], [4, 4, 8, 6]]))
    for loss, first, second in ((jloss.giou, 1.138889, 1.75), (jloss.diou, 1.018889, 1.41), (jloss.ciou, 1.019165, 1.411689)):
        np.testing.assert_allclose([loss(*near), loss(*far)], [first, second], rtol=1e-6)  # torchvision
    shifted = jnp.array([[d, 0.0, d + 10, 10] for d in (0.0, 2, 5, 10, 20, 50)])
    siou = jloss.siou(shifted, jnp.array([0.0, 0, 10, 10]), reduction="none")
    np.testing.assert_allclose(siou, [0, 0.3604, 0.7663, 1.1967, 1.2944, 1.3753], atol=5e-5)  # the paper's sign
    alpha = jax.grad(jloss.ciou)(jnp.array([0.0, 0, 4, 2]), jnp.array([1.0, 0, 3, 4]))
    np.testing.assert_allclose(alpha, [-0.0582, -0.0064, 0.0582, -0.1633], atol=5e-5)  # through alpha: another sign
    pixel = jloss.iou(jnp.array([0, 0, 300, 400], jnp.bfloat16), jnp.array([1, 1, 301, 401], jnp.bfloat16))
    assert pixel.dtype == jnp.float32
    assert 0 < 1 - pixel < 1  # in bf16 arithmetic the IoU is exactly 1


def test_ciou_gated_at_an_overlap_of_one_half_compares_no_shapes():
    half = (jnp.array([0.0, 0, 2, 1]), jnp.array([0.0, 0, 1, 1]))
    np.testing.assert_allclose(jloss.ciou(*half, gated=True), 0.5 + 0.25 / 5, rtol=1e-6)
    assert jloss.ciou(*half) > 0.552
    more = half[0].at[2].set(1.99)
    np.testing.assert_allclose(jloss.ciou(more, half[1], gated=True), jloss.ciou(more, half[1]), rtol=1e-6)


@pytest.mark.slow
def test_log_iou_at_its_floor():
    pair = (jnp.array([0.0, 0, 4, 1]), jnp.array([0.0, 0, 1, 1]))  # an IoU of one quarter
    for epsilon, slope in ((0.25, 0.25), (0.125, 0.25), (0.26, 0.0)):
        value, gradient = jax.value_and_grad(jloss.log_iou)(*pair, epsilon=epsilon)
        np.testing.assert_allclose(value, -math.log(max(0.25, epsilon)), rtol=1e-6)
        np.testing.assert_allclose(gradient[2], slope, rtol=1e-6)  # IoU = 1 / w


def test_one_pixel_of_a_large_box():
    np.testing.assert_allclose(1 - jloss.iou(jnp.array([0.0, 0, 300, 400]), jnp.array([1.0, 1, 301, 401])), 0.988417, atol=1e-6)


SIDES = (0, 1e-38, 1e-30, 1e-20, 1e-8, 1.0)


def tiny_pairs():
    """Boxes with sides next to nothing, alone and beside ordinary ones: apart, touching, one inside the other, matching."""
    pairs = []
    for w, h, v, k in itertools.product(SIDES, repeat=4):
        for x, y in ((0, 0), (1e-38, 0), (1e-30, 1e-30), (0, 1e-20), (0.5, 0.5), (1e-30, 2), (-1e-38, 1e-20), (w, 0), (w / 4, h / 4)):
            pairs.append(((x, y, x + w, y + h), (0, 0, v, k)))
    return np.array(pairs, np.float32)


def plain_values(pairs):
    """IoU, GIoU, DIoU and EIoU in float64, from the papers, and where no divisor is next to 0."""
    p, t = pairs.astype(float).transpose(1, 2, 0)
    size, target_size = p[2:] - p[:2], t[2:] - t[:2]
    overlap = np.prod(np.maximum(0, np.minimum(p[2:], t[2:]) - np.maximum(p[:2], t[:2])), axis=0)
    union = np.prod(size, axis=0) + np.prod(target_size, axis=0) - overlap
    hull = np.maximum(p[2:], t[2:]) - np.minimum(p[:2], t[:2])
    defined = (union > 3e-18) & (np.prod(hull, axis=0) > 3e-18)
    with np.errstate(all="ignore"):
        iou = 1 - overlap / union
        diou = iou + np.sum(((p[:2] + p[2:] - t[:2] - t[2:]) / 2) ** 2, axis=0) / np.sum(hull**2, axis=0)
        values = {"iou": iou, "giou": iou + 1 - union / np.prod(hull, axis=0), "diou": diou}
        return {**values, "eiou": diou + np.sum(((size - target_size) / hull) ** 2, axis=0)}, defined


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_sides_of_next_to_nothing(name):
    pairs = tiny_pairs()
    loss = LOSSES[name]
    values, gradients = jax.jit(lambda p, t: (loss(p, t, reduction="none"), jax.grad(lambda *x: loss(*x, reduction="sum"), (0, 1))(p, t)))(
        pairs[:, 0], pairs[:, 1]
    )
    for found in (values[:, None], *gradients):
        assert np.isfinite(found).all(), pairs[~np.isfinite(found).all(1)][:3].tolist()
    wanted, defined = plain_values(pairs)
    if name in wanted:
        assert defined.sum() > 1000
        np.testing.assert_allclose(np.asarray(values)[defined], wanted[name][defined], rtol=2e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_powers_of_overlaps_of_next_to_nothing(base, alpha):
    pairs = tiny_pairs()
    gradients = jax.grad(lambda p, t: jloss.alpha_iou(p, t, base=base, alpha=alpha, reduction="sum"), (0, 1))(pairs[:, 0], pairs[:, 1])
    assert np.isfinite(gradients).all()


@pytest.mark.slow
def test_boxes_of_next_to_nothing_in_a_set():
    boxes = jnp.array([[0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1 + 1e-8, 0.6], [0, 0, 1e-30, 1e-30], [0, 0, 1e-20, 1.0]])
    value, gradient = jax.value_and_grad(jloss.detr, 1)(jnp.zeros((4, 3)), boxes, jnp.array([0, 1]), boxes[2:] * jnp.float32(1.5))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def some_boxes(n, seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 10, (n, 2)), rng.uniform(1, 8, (n, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def torch_terms(torch, p, t):
    """IoU, hull and offsets in torch, from the papers."""
    low, high = torch.maximum(p[:, :2], t[:, :2]), torch.minimum(p[:, 2:], t[:, 2:])
    overlap = (high - low).clamp(min=0).prod(1)
    size, target_size = p[:, 2:] - p[:, :2], t[:, 2:] - t[:, :2]
    union = size.prod(1) + target_size.prod(1) - overlap
    hull = torch.maximum(p[:, 2:], t[:, 2:]) - torch.minimum(p[:, :2], t[:, :2])
    offset = (p[:, :2] + p[:, 2:] - t[:, :2] - t[:, 2:]) / 2
    return overlap / union, union, size, target_size, hull, offset


def torch_formula(torch, name):
    def value(p, t):
        iou, union, size, target_size, hull, offset = torch_terms(torch, p, t)
        distance = (offset**2).sum(1) / (hull**2).sum(1)
        angle = torch.atan(target_size[:, 0] / target_size[:, 1]) - torch.atan(size[:, 0] / size[:, 1])
        v = 4 / math.pi**2 * angle**2
        alpha = (v / (1 - iou + v)).detach()
        gap = (size - target_size).abs() / torch.maximum(size, target_size)
        far = offset.norm(dim=1)
        sine = torch.sin(2 * torch.arcsin(torch.minimum(offset[:, 0].abs(), offset[:, 1].abs()) / far))
        return {
            "iou": lambda: 1 - iou,
            "log_iou": lambda: -iou.clamp(min=1e-6).log(),
            "giou": lambda: 2 - iou - union / hull.prod(1),
            "diou": lambda: 1 - iou + distance,
            "ciou": lambda: 1 - iou + distance + alpha * v,
            "eiou": lambda: 1 - iou + distance + (((size - target_size) / hull) ** 2).sum(1),
            "focal_eiou": lambda: iou.detach().sqrt() * (1 - iou + distance + (((size - target_size) / hull) ** 2).sum(1)),
            "siou": lambda: (
                1 - iou + (1 - torch.exp(-(2 - sine)[:, None] * (offset / hull) ** 2)).sum(1) / 2 + ((1 - torch.exp(-gap)) ** 4).sum(1) / 2
            ),
            "wiou_v1": lambda: torch.exp((offset**2).sum(1) / (hull**2).sum(1).detach()) * (1 - iou),
            "mpdiou": lambda: 1 - iou + ((p - t) ** 2).sum(1) / 20000,
            "nwd": lambda: 1 - torch.exp(-((offset**2).sum(1) + ((size - target_size) ** 2).sum(1) / 4).sqrt() / 12.8),
        }[name]().mean()

    return value


@pytest.mark.parametrize("name", ["iou", "log_iou", "giou", "diou", "ciou", "eiou", "focal_eiou", "siou", "wiou_v1", "mpdiou", "nwd"])
def test_against_torch(name):
    torch = pytest.importorskip("torch")
    agree(LOSSES[name], torch_formula(torch, name), some_boxes(32, 0), some_boxes(32, 1), rtol=2e-5, atol=2e-6)


@pytest.mark.slow
def test_alpha_1_is_the_base():
    p, t = jnp.asarray(some_boxes(8, 2)), jnp.asarray(some_boxes(8, 3))
    for base in ("iou", "giou", "diou", "ciou"):
        np.testing.assert_allclose(jloss.alpha_iou(p, t, alpha=1.0, base=base), LOSSES[base](p, t), rtol=1e-5)
    with pytest.raises(ValueError, match="alpha_iou: `base` must be one of"):
        jloss.alpha_iou(p, t, base="eiou")


def test_converters():
    corners = some_boxes(5, 4)
    np.testing.assert_allclose(jloss.from_center_size(jloss.to_center_size(corners)), corners, atol=1e-5)
    np.testing.assert_array_equal(jloss.to_center_size(jnp.array([[1, 2, 5, 4]])), [[3.0, 3.0, 4.0, 2.0]])
    assert jloss.from_center_size(corners.astype(jnp.bfloat16)).dtype == jnp.float32
    for convert in (jloss.from_center_size, jloss.to_center_size):
        with pytest.raises(ValueError, match=r"`boxes` must have 4 numbers along its last axis, got float32\[2, 5\]"):
            convert(jnp.zeros((2, 5)))


@pytest.mark.slow
def test_pairwise_iou():
    first, second = some_boxes(3, 5), some_boxes(4, 6)
    every = jloss.pairwise_iou(first, second)
    assert every.shape == (3, 4)
    one_by_one = 1 - jloss.iou(np.repeat(first, 4, axis=0), np.tile(second, (3, 1)), reduction="none")
    np.testing.assert_allclose(every.ravel(), one_by_one, atol=1e-6)
    assert jloss.pairwise_iou(np.stack([first, first]), np.stack([second, second])).shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"pairwise_iou: expected first\(..., n, 4\), second\(..., m, 4\)"):
        jloss.pairwise_iou(np.stack([first, first]), second)


@pytest.fixture(scope="module")
def notebook():
    path = pathlib.Path(__file__).parents[3] / "notebooks" / "box_descent.py"
    spec = importlib.util.spec_from_file_location("box_descent", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_descent_from_disjoint_boxes(notebook):
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        steps = {name: descent.steps for name, descent in notebook.table().items()}
    arrived = {name for name, count in steps.items() if count is not None}
    assert arrived == set(steps) - BLIND, f"steps to an IoU above 0.9: {steps}"


@pytest.mark.slow
def test_descent_of_rotated_boxes(notebook):
    with jax.numpy_dtype_promotion("standard"):
        steps = {name: descent.steps for name, descent in notebook.rotated_table().items()}
    assert {name for name, count in steps.items() if count is not None} == {"gwd", "rotated_kld", "bhattacharyya", "probiou"}, steps


def test_a_gated_ciou_compares_shapes_only_beyond_an_iou_of_one_half():
    """At exactly one half: 1 - 1/2, and half a unit between the centres in a hull of 2 x 1."""
    value = jloss.ciou(jnp.array([0.0, 0.0, 2.0, 1.0]), jnp.array([0.0, 0.0, 1.0, 1.0]), gated=True)
    np.testing.assert_allclose(value, 0.5 + 0.25 / 5, rtol=1e-6)


@pytest.mark.slow
def test_the_shape_of_a_point_or_a_match_adds_no_second_derivative():
    """Sides of a point have no angle, and that between equal sides is rounding where products are not rounded before they are added."""
    boxes = jnp.array([[0.0, 0.0, 0.0, 0.0], [0.56697786, 0.9210797, 1.5664588, 2.0976346]])
    given = boxes[jnp.array([0, 0, 1, 1])], boxes[jnp.array([0, 1, 0, 1])]

    def curvature(loss):
        step = jax.jit(jax.vmap(jax.hessian(loss))).lower(*given)
        return step.compile(AS_USERS)(*given)

    np.testing.assert_allclose(curvature(jloss.ciou), curvature(jloss.diou), rtol=1e-5, atol=1e-5)


def test_giou_of_small_boxes_in_a_flat_hull():
    """Of a hull of 2 x 1e-4 nearly all is empty: its own derivatives, of 1e4, cancelled in that of the share and left 1e-3."""
    side = np.float32(1e-4)
    predictions, targets = np.float32([0, 0, side, side]), np.float32([2, 2e-5, 2 + side, 7e-5])
    gradient = jax.jit(jax.grad(jloss.giou), compiler_options=AS_USERS)(predictions, targets)
    p, t = np.float64(predictions), np.float64(targets)
    width, height = t[2], p[3]  # of the hull
    area, filled = width * height, p[2] * p[3] + (t[2] - t[0]) * (t[3] - t[1])
    # of 2 - filled / area: the left, lower and upper edge are the hull's, too
    by_width, by_height = -p[3] / area, -p[2] / area
    wanted = [-by_width - filled * height / area**2, -by_height - filled * width / area**2, by_width, by_height + filled * width / area**2]
    np.testing.assert_allclose(gradient, wanted, rtol=2e-6)


def test_nwd_fades_exponentially():
    """At 300 pixels the exponential is 7e-11; from it less 1 plus 1 nothing was left."""
    gradient = jax.grad(jloss.nwd)(np.float32([300, 0, 304, 2]), np.float32([0, 0, 4, 2]))
    np.testing.assert_allclose(gradient, np.float64([0.5, 0, 0.5, 0]) * math.exp(-300 / 12.8) / 12.8, rtol=1e-5)
