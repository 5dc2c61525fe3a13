"""Masks: overlap and cross entropy in one loss."""

from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import hint
from jloss._core.layout import pixel_sum
from jloss._core.loss import loss
from jloss._core.signature import PerClass
from jloss.vision._pixels import (
    MIN_PROBABILITY,
    SMOOTH,
    both_absent,
    clipped_log,
    confusion,
    error_and_total,
    keep_pixels,
    missed_share,
    pixel_mean,
    power,
    share,
)


@loss("(*s),(*s),(*s)->()", "unit unit mask", alpha="unit", ce_ratio="unit", **SMOOTH)
@hint(any_pixel_order=True)
def combo(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    alpha: float = 0.5,
    ce_ratio: float = 0.5,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""Weighted cross entropy per pixel plus `dice` per region.

    .. math::
        \ell = -\frac{\text{ce\_ratio}}{n} \sum \left[\alpha\,y \log p + (1 - \alpha)(1 - y) \log(1 - p)\right]
               + (1 - \text{ce\_ratio})\left(1 - \frac{2\,tp + s}{2\,tp + fp + fn + d}\right)

    The cross entropy gives every pixel a gradient from the start, the overlap keeps a small foreground from being ignored. The
    paper subtracts the overlap; one minus it has the same gradient and is 0 at a perfect match. `alpha` is the paper's beta:
    above 1/2 it raises the cost of missed foreground (in a Keras version that is often copied, a misplaced bracket puts alpha in
    front of both terms). Logarithms are taken of probabilities of at least 1e-7. An image whose pixels are all ignored gives
    ``(1 - ce_ratio) (1 - s/d)``, 0 by default.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.
        alpha: Weight of the foreground in the cross entropy; the background has the rest.
        ce_ratio: Weight of the cross entropy; dice has the rest.
        smooth_numerator: s, pixels added to the numerator of dice.
        smooth_denominator: d, pixels added to the denominator of dice.

    >>> combo(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.11475006, dtype=float32)

    References:
        Taghanaki, Zheng, Zhou, Georgescu, Sharma, Xu, Comaniciu, Hamarneh, Combo Loss, 2018. https://arxiv.org/abs/1805.02798
    """
    p, y = keep_pixels(mask, predictions, targets)
    pixel = alpha * y * clipped_log(p) + (1 - alpha) * (1 - y) * clipped_log(1 - p)
    error, total = error_and_total(p, y, None)
    region = share(error + (smooth_denominator - smooth_numerator), total + smooth_denominator)
    return (1 - ce_ratio) * region - ce_ratio * pixel_mean(pixel, mask)


@loss("(*s),(*s),(*s)->()", "unit unit mask", weight="unit", delta="unit", gamma="unit", **SMOOTH)
@hint(blocks=2, any_pixel_order=True)
def unified_focal(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    weight: float = 0.5,
    delta: float = 0.6,
    gamma: float = 0.5,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""Focal cross entropy and focal Tversky with common parameters, the background suppressed, the foreground enhanced.

    .. math::
        \ell = -\frac{\text{weight}}{n} \sum \left[\delta\,y \log p + (1 - \delta)(1 - y)\,p^{\gamma} \log(1 - p)\right]
               + \frac{1 - \text{weight}}{2} \left[(1 - T_b) + (1 - T_f)^{1 - \gamma}\right], \qquad
        T_f = \frac{tp + s}{tp + \delta\,fn + (1 - \delta)\,fp + d}

    This is the asymmetric form. :math:`T_b` is the same index of the background (tn for tp, fp and fn exchanged). `delta` is
    the cost of a false negative, the foreground the rare class. `weight` is on the cross entropy, as in the paper (in the
    authors' code it is on the Tversky part, which the default hides), and the two indices are averaged, as in the authors'
    code (the paper adds them). Logarithms and powers are taken of probabilities of at least 1e-7; at a perfect match, where
    the power has an infinite slope, the gradient is 0. MONAI's version documents logits, but takes probabilities.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.
        weight: Weight of the focal cross entropy; the focal Tversky part has the rest.
        delta: Cost of missed foreground; wrong foreground costs the rest.
        gamma: How much easy background is suppressed, and the match of the foreground enhanced; 0 to 1.
        smooth_numerator: s, pixels added to the numerators.
        smooth_denominator: d, pixels added to the denominators.

    >>> unified_focal(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.17677501, dtype=float32)

    References:
        Yeung, Sala, Schoenlieb, Rundo, Unified Focal loss, 2021. https://arxiv.org/abs/2102.04525
    """
    p, y = keep_pixels(mask, predictions, targets)
    pixel = delta * y * clipped_log(p) + (1 - delta) * (1 - y) * jnp.maximum(p, MIN_PROBABILITY) ** gamma * clipped_log(1 - p)
    tp, fp, fn = confusion(p, y)
    (absent,) = keep_pixels(mask, both_absent(p, y))
    tn = pixel_sum(absent)
    fore = missed_share(tp, delta * fn + (1 - delta) * fp, smooth_numerator, smooth_denominator)
    back = missed_share(tn, delta * fp + (1 - delta) * fn, smooth_numerator, smooth_denominator)
    return 0.5 * (1 - weight) * (back + power(fore, 1 - gamma)) - weight * pixel_mean(pixel, mask)
