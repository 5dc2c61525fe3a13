"""What a detector needs beside the loss of its boxes: classification heads that know the quality of a box, and set prediction.

`distribution_focal`, `quality_focal` and `varifocal` are the heads of one-stage detectors. `match` pairs predictions with targets
one to one, and `detr` is the loss of a set of predictions against the set of targets of an image, padded to a fixed length.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax, nn

from jloss._core.assignment import match
from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import absolute, clipped, log_softmax, pick, positive_part, safe_divide
from jloss.numerics.guards import softplus_by_series
from jloss.vision._geometry import compare, power
from jloss.vision.boxes import to_center_size


@loss("(n),()->()", "real real", constants="targets")
def distribution_focal(logits: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Cross entropy with the two bins around a real number: learns one side of a box as a distribution over bins 0..n-1.

    .. math::
        \ell = -(i + 1 - y) \log p_i - (y - i) \log p_{i+1}, \qquad i = \lfloor y \rfloor, \quad p = \mathrm{softmax}(\text{logits})

    The mean of the distribution that minimises it is the target. Targets beyond the last bin (or below the first) count as on
    it, so the last bin itself is a valid target, where other implementations read a bin that does not exist or stop short of it.
    The target is a constant for the gradient.

    Args:
        logits: One score per bin.
        targets: The distance in bins, between 0 and n-1.

    >>> distribution_focal(jnp.array([0.0, 2.0, 1.0, 0.0]), jnp.array(1.25))
    Array(0.7438118, dtype=float32)

    References:
        Li, Wang, Wu, Chen, Hu, Li, Tang and Yang, Generalized Focal Loss, 2020. https://arxiv.org/abs/2006.04388
    """
    bins = jnp.arange(logits.shape[0], dtype=logits.dtype)
    place = lax.stop_gradient(clipped(targets, 0.0, logits.shape[0] - 1.0))
    share = positive_part(1 - jnp.abs(bins - place))
    return -jnp.sum(jnp.where(share == 0, 0.0, share * log_softmax(logits)))


@loss("(),()->()", "real unit", beta="nonnegative")
@hint(blocks=2)
def quality_focal(logits: Array, quality: Array, *, beta: float = 2.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Focal loss for a soft label: the score learns the IoU of its box, and easy examples count little.

    .. math::
        \ell = |q - \sigma(z)|^\beta \, \mathrm{BCE}(\sigma(z), q), \qquad z = \text{logits}, \; q = \text{quality}

    0 where the label is 0 or 1 and the score agrees, and wherever the score equals the label, with gradient 0. Sum it over classes
    and divide by the number of positives, as detectors do. The weight is differentiated, as in the paper.

    Args:
        logits: Score of a class, before the logistic function.
        quality: The IoU of the box with its target for the true class, else 0.
        beta: How little good estimates count; 0 is `sigmoid_cross_entropy`.

    >>> quality_focal(jnp.array([0.0, 4.0]), jnp.array([0.8, 0.0]), reduction="none")
    Array([0.06238325, 3.874907  ], dtype=float32)

    References:
        Li, Wang, Wu, Chen, Hu, Li, Tang and Yang, Generalized Focal Loss, 2020. https://arxiv.org/abs/2006.04388
    """
    weight = power(absolute(nn.sigmoid(logits) - quality), beta)
    return _settled(logits, weight) * _cross_entropy(logits, quality)


def _cross_entropy(logits: Array, quality: Array) -> Array:
    """Sigmoid cross entropy; 0 where an infinite logit agrees with its label of 0 or 1, in which 0 * inf would be NaN."""
    yes = select((quality == 0) & (logits == -jnp.inf), 0.0, softplus_by_series(-logits))
    no = select((quality == 1) & (logits == jnp.inf), 0.0, softplus_by_series(logits))
    return quality * yes + (1 - quality) * no


def _settled(logits: Array, weight: Array) -> Array:
    """A weight that no longer changes where the logit is infinite, as is the loss that it weighs."""
    return select(jnp.isinf(logits), lax.stop_gradient(weight), weight)


@loss("(),()->()", "real unit", alpha="nonnegative", gamma="nonnegative")
@hint(blocks=1)
def varifocal(logits: Array, quality: Array, *, alpha: float = 0.75, gamma: float = 2.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Cross entropy weighted by the quality of the box, and focal for negatives only: no positive is suppressed.

    .. math::
        \ell = \begin{cases} q\, \mathrm{BCE}(\sigma(z), q) & q > 0 \\ -\alpha\, \sigma(z)^\gamma \log(1 - \sigma(z)) & q = 0 \end{cases}
        \qquad z = \text{logits}, \; q = \text{quality}

    Unlike `quality_focal` it is asymmetric: a positive counts as much as its box overlaps. The weight of a negative is
    differentiated. Divide by the number (or the summed quality) of positives, as detectors do.

    Args:
        logits: Score of a class, before the logistic function.
        quality: The IoU of the box with its target for the true class, else 0.
        alpha: Weight of the negatives.
        gamma: How little easy negatives count; 0 is `sigmoid_cross_entropy` with the weights q and `alpha`.

    >>> varifocal(jnp.array([0.0, 4.0]), jnp.array([0.8, 0.0]), reduction="none")
    Array([0.55451775, 2.9061801 ], dtype=float32)

    References:
        Zhang, Wang, Dayoub and Suenderhauf, VarifocalNet: An IoU-aware Dense Object Detector, 2021. https://arxiv.org/abs/2008.13367
    """
    nothing = quality <= 0
    positive = quality * _cross_entropy(select(nothing, 0.0, logits), quality)
    logits = select(nothing, logits, 0.0)
    log_share = jnp.where(gamma == 0, 0.0, -gamma * softplus_by_series(-logits))  # 0 * inf is NaN
    negative = alpha * _settled(logits, jnp.exp(log_share)) * softplus_by_series(logits)
    return jnp.where(nothing, negative, positive)


@loss("(n,k),(n,4),(m),(m,4),(m)->()", "real box class box mask", no_object_weight="nonnegative", boxes_per_image="nonnegative")
@hint(time="m^2", memory="m^2")
def detr(
    class_logits: Array,
    boxes: Array,
    labels: Array,
    target_boxes: Array,
    target_mask: Array | None = None,
    *,
    class_cost: float = 1.0,
    box_cost: float = 5.0,
    giou_cost: float = 2.0,
    no_object_weight: float = 0.1,
    boxes_per_image: float = 0.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""A set of predictions against the set of targets of an image, paired one to one by the cheapest matching.

    .. math::
        \ell = \lambda_c \frac{\sum_q w_q \, \mathrm{CE}_q}{\sum_q w_q}
             + \frac{1}{\max(1, |T|)} \sum_{j \in T} \left(
               \lambda_b \lVert b_{\pi(j)} - t_j \rVert_1 + \lambda_g \, \mathrm{giou}(b_{\pi(j)}, t_j)\right)

    The pairing :math:`\pi` minimises the sum of ``-class_cost p[label] + box_cost L1 + giou_cost giou`` and is a constant for
    the gradient. Each prediction learns the class of its target, the others "no object", which is the last class and counts
    :math:`w_q` = `no_object_weight`. L1 is taken on centres and sizes, as in the paper.

    The mean runs over images, and each divides its boxes by its own number of targets :math:`|T|`. The reference code divides by
    the number of boxes in the batch on all devices: give their mean number per image, e.g.
    ``lax.pmean(target_mask.sum(-1).mean(), axis_name)``, as `boxes_per_image`. Masked targets have no influence, whatever they
    hold. For auxiliary layers see `deep_supervision`: each layer is paired anew.

    Args:
        class_logits: One row per prediction; the last class is "no object".
        boxes: Corners of the predicted boxes, relative to the image (0 to 1), which makes L1 and GIoU comparable.
        labels: Class of each target.
        target_boxes: Corners of each target, in the same unit.
        target_mask: Which targets exist; all by default.
        class_cost: Weight of the class, in the matching and in the loss.
        box_cost: Weight of L1, in both.
        giou_cost: Weight of `giou`, in both.
        no_object_weight: Weight of a prediction without target in the class term.
        boxes_per_image: What the box terms of an image are divided by; 0 stands for its own number of targets, at least 1.

    >>> logits = jnp.array([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0]])
    >>> boxes = jnp.array([[0.0, 0.0, 0.2, 0.2], [0.5, 0.5, 1.0, 1.0]])
    >>> detr(logits, boxes, jnp.array([0]), jnp.array([[0.5, 0.5, 1.0, 0.9]]))
    Array(1.1859767, dtype=float32)

    References:
        Carion, Massa, Synnaeve, Usunier, Kirillov and Zagoruyko, End-to-End Object Detection with Transformers, 2020.
        https://arxiv.org/abs/2005.12872
    """
    n, k = class_logits.shape
    exists = jnp.ones_like(labels, bool) if target_mask is None else target_mask
    labels = jnp.where(exists, labels, 0)
    target_boxes = jnp.where(exists[:, None], target_boxes, jnp.array([0, 0, 1, 1], target_boxes.dtype))
    log_probs = log_softmax(class_logits)

    def box_terms(boxes: Array, target_boxes: Array) -> Array:
        """Of boxes and targets that broadcast against each other."""
        pair = compare(boxes, target_boxes)
        apart = jnp.sum(absolute(to_center_size(boxes) - to_center_size(target_boxes)), axis=-1)
        return box_cost * apart + giou_cost * (1 - pair.iou + pair.empty_share)

    likeness = jnp.take(jnp.exp(log_probs), jnp.clip(labels, 0, k - 1), axis=1)
    cost = box_terms(boxes[:, None, :], target_boxes[None, :, :])
    cost = cost - jnp.min(cost, axis=0, keepdims=True) - class_cost * likeness  # far boxes must not drown the classes
    partner = match(cost, exists)
    paired = partner >= 0
    chosen = jnp.take(boxes, jnp.where(paired, partner, 0), axis=0)
    box_term = jnp.sum(jnp.where(paired, box_terms(chosen, target_boxes), 0.0))

    owner = jnp.arange(n, dtype=jnp.int32)[:, None] == partner[None, :]
    busy = jnp.any(owner, axis=1)
    classes = jnp.where(busy, jnp.sum(jnp.where(owner, labels[None, :], 0), axis=1, dtype=labels.dtype), k - 1)
    surprisal = -jax.vmap(pick)(log_probs, classes)
    weight = jnp.where(busy, 1.0, no_object_weight)
    count = jnp.maximum(1, jnp.sum(paired)).astype(boxes.dtype)
    count = jnp.where(boxes_per_image > 0, boxes_per_image, count)
    unsound = jnp.any(jnp.isnan(boxes)) | jnp.any(jnp.isnan(target_boxes))  # also of a box that finds no partner
    return class_cost * safe_divide(jnp.sum(weight * surprisal), jnp.sum(weight)) + jnp.where(unsound, jnp.nan, box_term / count)
