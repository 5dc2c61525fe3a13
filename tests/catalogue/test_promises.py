"""What a docstring promises to be a constant for the gradient is one: each promise beside the loss with that part frozen.

Values cannot show a broken promise. `frozen` is written from the formula and gets the point at which its constants are evaluated.
Inputs without any gradient are declared (`constants=`) and a law of their own.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

TARGET = jnp.array([1.0, 0, 3, 4])
BOX = jnp.array([0.0, 0, 4, 2])
LOGITS = jnp.array([[2.0, -1, 0.5], [0.3, 1.2, -0.4], [-1.0, 0.1, 2.5]])
LABELS = jnp.array([0, 2, 2])


class Promise(NamedTuple):
    loss: object  # of x
    frozen: object  # of x, and of x where it is a constant
    at: jax.Array


def iou(p, t=TARGET):
    low, high = jnp.maximum(p[:2], t[:2]), jnp.minimum(p[2:], t[2:])
    both = jnp.prod(jnp.maximum(high - low, 0.0))
    return both / (jnp.prod(p[2:] - p[:2]) + jnp.prod(t[2:] - t[:2]) - both)


def aspect(p, t=TARGET):
    angle = jnp.arctan((t[2] - t[0]) / (t[3] - t[1])) - jnp.arctan((p[2] - p[0]) / (p[3] - p[1]))
    return 4 / math.pi**2 * angle**2


def aspect_weight(p):
    return aspect(p) / (1 - iou(p) + aspect(p))


def squared_offset(p, t=TARGET):
    return jnp.sum((p[:2] + p[2:] - t[:2] - t[2:]) ** 2) / 4


def squared_diagonal(p, t=TARGET):
    return jnp.sum((jnp.maximum(p[2:], t[2:]) - jnp.minimum(p[:2], t[:2])) ** 2)


def diou(p):
    return 1 - iou(p) + squared_offset(p) / squared_diagonal(p)


def wiou(p, p0):
    return jnp.exp(squared_offset(p) / squared_diagonal(p0)) * (1 - iou(p))


def seesaw(z, z0):
    """After the labels 0, 2, 2 the counts are 1, 1 (at least) and 2."""
    log_counts = jnp.log(jnp.array([1.0, 1.0, 2.0]))
    scores = jax.nn.softmax(z0)
    label = scores[jnp.arange(3), LABELS][:, None]
    mitigation = 0.8 * jnp.minimum(0.0, log_counts[None] - log_counts[LABELS][:, None])
    compensation = 2 * jnp.maximum(0.0, jnp.log(scores) - jnp.log(jnp.maximum(label, 1e-2)))
    return -jnp.mean(jax.nn.log_softmax(z + mitigation + compensation)[jnp.arange(3), LABELS])


def early_learning(z, z0):
    """The first update makes the memory 0.3 of the belief."""
    belief = jnp.clip(jax.nn.softmax(z0), 1e-4, 1 - 1e-4)
    memory = 0.3 * belief / jnp.sum(belief, axis=-1, keepdims=True)
    p = jax.nn.softmax(z)
    return jnp.mean(-jnp.log(p[jnp.arange(3), LABELS]) + 3 * jnp.log(1 - jnp.sum(memory * p, axis=-1)))


def generalized_dice(y, y0):
    p = jax.nn.softmax(jnp.arange(24.0).reshape(2, 4, 3) % 5)
    weight = 1 / jnp.sum(y0, axis=(0, 1)) ** 2
    return 1 - 2 * jnp.sum(weight * jnp.sum(p * y, axis=(0, 1))) / jnp.sum(weight * jnp.sum(p + y, axis=(0, 1)))


def of_generalized_dice(y):
    return jloss.generalized_dice(jax.nn.softmax(jnp.arange(24.0).reshape(2, 4, 3) % 5), y, smooth_numerator=0.0, smooth_denominator=0.0)


ANCHOR, NEAR, FAR = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0]), jnp.array([2.0, 1.0])


def triplet(p0):
    near, far = (jnp.sum(jnp.abs(ANCHOR - other) ** p0) ** (1 / p0) for other in (NEAR, FAR))
    return near - far + 1


def mean_flow(x, x0):
    error, error0 = (jnp.sum(jnp.square(u - 2 * TARGET)) for u in (x, x0))
    return error / (error0 + 1e-2) ** 0.75


PROMISES = {
    "triplet_margin: p": Promise(lambda p: jloss.triplet_margin(ANCHOR, NEAR, FAR, p=p), lambda p, p0: triplet(p0), jnp.array(3.0)),
    "ciou: alpha": Promise(lambda p: jloss.ciou(p, TARGET), lambda p, p0: diou(p) + aspect_weight(p0) * aspect(p), BOX),
    "alpha_iou: beta": Promise(
        lambda p: jloss.alpha_iou(p, TARGET, base="ciou", alpha=2.0),
        lambda p, p0: 1 - iou(p) ** 2 + (diou(p) - 1 + iou(p)) ** 2 + (aspect_weight(p0) * aspect(p)) ** 2,
        BOX,
    ),
    "focal_eiou: the factor": Promise(lambda p: jloss.focal_eiou(p, TARGET), lambda p, p0: jnp.sqrt(iou(p0)) * jloss.eiou(p, TARGET), BOX),
    "wiou_v1: the diagonal": Promise(lambda p: jloss.wiou_v1(p, TARGET), wiou, BOX),
    "wiou_v2: the factor": Promise(
        lambda p: jloss.wiou_v2().apply(jnp.float32(0.5), p, TARGET)[0], lambda p, p0: jnp.sqrt((1 - iou(p0)) / 0.5) * wiou(p, p0), BOX
    ),
    "wiou_v3: the factor": Promise(
        lambda p: jloss.wiou_v3().apply(jnp.float32(0.5), p, TARGET)[0],
        lambda p, p0: (1 - iou(p0)) / 0.5 / (3 * 1.9 ** ((1 - iou(p0)) / 0.5 - 3)) * wiou(p, p0),
        BOX,
    ),
    "mean_flow: the weight": Promise(
        lambda u: jloss.mean_flow(u[None, None], 2 * TARGET[None, None], jnp.zeros((1, 1, 4)), jnp.array(0.5), p=0.75), mean_flow, BOX
    ),
    "path_length_penalty: the mean": Promise(
        lambda mean: jloss.path_length_penalty(lambda z: 0 * z.reshape(1, 1, 2), jnp.ones((5, 2)), jax.random.key(0), mean),
        lambda mean, mean0: mean0**2,
        jnp.array(3.0),
    ),
    "feature_matching: the real features": Promise(
        lambda real: jloss.feature_matching(LOGITS, real), lambda real, real0: jnp.mean(jnp.abs(LOGITS - real0)), LOGITS**2 + 1
    ),
    "generalized_dice: the weights": Promise(
        of_generalized_dice, generalized_dice, jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (2, 4, 3)), jnp.float32)
    ),
    "seesaw: the factors": Promise(lambda z: jloss.seesaw().apply(jnp.zeros(3, jnp.int32), z, LABELS)[0], seesaw, LOGITS),
    "early_learning: the memory": Promise(
        lambda z: jloss.early_learning().apply(jloss.early_learning().init(3, 3), z, LABELS, jnp.arange(3))[0], early_learning, LOGITS
    ),
}


@pytest.mark.parametrize("promise", PROMISES)
def test_constant_for_the_gradient(promise):
    loss, frozen, at = PROMISES[promise]
    np.testing.assert_allclose(loss(at), frozen(at, at), rtol=1e-5)
    kept = jax.grad(frozen)(at, at)
    np.testing.assert_allclose(jax.grad(loss)(at), kept, rtol=1e-4, atol=1e-6)
    broken = jax.grad(lambda x: frozen(x, x))(at)
    assert not np.allclose(kept, broken, rtol=1e-2, atol=1e-4), "the point does not tell"


def test_the_floor_of_early_learning_is_not_reached():
    """A memory that agrees: -log p + 3 log(1 - t p), where t approaches the clipped belief."""
    criterion = jloss.early_learning()
    state, step = criterion.init(1, 3), jax.jit(criterion.apply)
    for _ in range(60):
        value, state = step(state, jnp.array([[12.0, 0, 0]]), jnp.array([0]), jnp.array([0]))
    p = np.exp([12.0, 0, 0]) / np.exp([12.0, 0, 0]).sum()
    belief = np.clip(p, 1e-4, 1 - 1e-4)
    belief /= belief.sum()
    wanted = -np.log(p[0]) + 3 * np.log(1 - np.sum(belief * p) * (1 - 0.7**60))
    np.testing.assert_allclose(value, wanted, rtol=1e-3)
    assert -25.4 < value < -25.3
