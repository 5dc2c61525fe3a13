"""Overlap losses of masks: one pair of masks (predicted probabilities, targets) is one example.

``*s`` are the spatial axes, two unless `spatial_ndim` says otherwise; ``k`` are the classes. A class axis that is named with
`axis` makes each class a mask of its own, so weights per class are `weights` and ignored classes `where`, of the shape of the
batch axes and then the class axis. Ignored pixels are the input `mask`, which the classes share; they are removed before any
arithmetic. In the formulas ``tp = sum(p y)``, ``fp = sum(p (1 - y))`` and ``fn = sum((1 - p) y)`` over the pixels, where p
are the predictions and y the targets; s and d are `smooth_numerator` and `smooth_denominator`.

The last axes are the spatial ones. Arrays that end in one channel, (N, H, W, 1), want ``axis=-1`` (or ``[..., 0]``): without, they are
N * H masks of W x 1 pixels, which is another number.

All of them take probabilities, and none has an activation inside. Losses of the boundary and of ranks are in
`jloss.vision.surface`, overlap with cross entropy in `jloss.vision.combined`.
"""

from typing import Literal, Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint
from jloss._core.layout import class_sums, pixel_sum
from jloss._core.loss import loss
from jloss._core.signature import PerClass, SpatialOverClasses
from jloss.numerics import safe_divide, safe_sqrt
from jloss.numerics._special import log_cosh
from jloss.vision._pixels import (
    MIN_PROBABILITY,
    SMOOTH,
    both_absent,
    confusion,
    error_and_total,
    keep_pixels,
    missed_share,
    number_of_pixels,
    pixel_mean,
    power,
    share,
)


@loss("(*s),(*s),(*s)->()", "unit unit mask", **SMOOTH)
@hint(any_pixel_order=True)
def dice(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    squared: bool = False,
    soft_labels: bool = False,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""One minus the Dice overlap (F1 score) of two masks: the usual choice when the foreground is small.

    .. math::
        \ell = 1 - \frac{2\,tp + s}{2\,tp + fp + fn + d},
        \qquad 2\,tp + fp + fn = \sum \text{predictions} + \sum \text{targets}

    It is computed as ``(fp + fn + d - s) / (2 tp + fp + fn + d)``, which keeps its digits near a perfect match. An empty target
    gives nearly 1 for any prediction but an empty one; two empty masks (also an image whose pixels are all ignored) give
    ``1 - s/d``, which is 0 by default, and 0 if nothing is smoothed. For unequal costs of the two errors see `tversky`.

    The sums are over one image and one class. A channel axis of 1 at the end, as Keras models have it, needs ``axis=-1``: without
    it each row of pixels is a mask, and nothing can tell that this was not meant. Peers differ: Keras sums over the whole batch and
    gives 1 for two empty masks; `optax.dice_loss` takes logits unless told, fails under jit if told, and smooths with 1 pixel;
    segmentation_models_pytorch counts absent classes as 0 in the mean; older versions of MONAI masked in front of the activation, which
    turned an ignored pixel into 1/2.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere; soft labels in between.
        mask: True keeps a pixel.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.
        squared: Whether to sum squares in the denominator, as V-Net does; 0 only at a match, also for soft labels.
        soft_labels: Whether the overlap is ``sum(min(p, y))`` instead of ``sum(p y)``; 0 only at a match, also for soft labels.

    >>> dice(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.14285673, dtype=float32)

    Masks of several classes with the channels last, (batch, height, width, classes), take ``axis=-1``; the first class here overlaps
    by 2/3, the second by 4/5.

    >>> predictions = jax.nn.one_hot(jnp.array([[[0, 1], [1, 1]]]), 2)
    >>> targets = jax.nn.one_hot(jnp.array([[[0, 0], [1, 1]]]), 2)
    >>> dice(predictions, targets, axis=-1)
    Array(0.266666, dtype=float32)

    References:
        Milletari, Navab, Ahmadi, V-Net, 2016. https://arxiv.org/abs/1606.04797
        Wang, Popordanoska, Bertels, Lemmens, Blaschko, Dice Semimetric Losses, 2023. https://arxiv.org/abs/2303.16296
    """
    error, total = error_and_total(predictions, targets, mask, squared, soft_labels)
    return share(error + (smooth_denominator - smooth_numerator), total + smooth_denominator)


@loss("(*s),(*s),(*s)->()", "unit unit mask", **SMOOTH)
@hint(any_pixel_order=True)
def jaccard(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    soft_labels: bool = False,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""One minus the intersection over union of two masks.

    .. math::
        \ell = 1 - \frac{tp + s}{tp + fp + fn + d},
        \qquad tp + fp + fn = \sum \text{predictions} + \sum \text{targets} - tp

    It orders masks as `dice` does and charges small errors up to twice as much. Two empty masks give ``1 - s/d``, 0 by default.
    For surrogates that are exact at the corners see `lovasz_hinge` and `lovasz_softmax`. MONAI's Jaccard option counts every
    pixel twice, so that its smoothing weighs half as much as this one.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere; soft labels in between.
        mask: True keeps a pixel.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.
        soft_labels: Whether the overlap is ``sum(min(p, y))`` instead of ``sum(p y)``; 0 only at a match, also for soft labels.

    >>> jaccard(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.2499987, dtype=float32)

    References:
        Rahman, Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for Image Segmentation, 2016.
        https://doi.org/10.1007/978-3-319-50835-1_22
        Wang, Ning, Blaschko, Jaccard Metric Losses, 2023. https://arxiv.org/abs/2302.05666
    """
    error, total = error_and_total(predictions, targets, mask, soft_labels=soft_labels)
    return missed_share((total - error) / 2, error, smooth_numerator, smooth_denominator)


@loss("(*s),(*s),(*s)->()", "unit unit mask", fp_weight="nonnegative", fn_weight="nonnegative", **SMOOTH)
@hint(any_pixel_order=True)
def tversky(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    fp_weight: float = 0.5,
    fn_weight: float = 0.5,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    soft_labels: bool = False,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""Overlap loss with separate costs of false positives and false negatives: raise `fn_weight` to miss less.

    .. math::
        \ell = 1 - \frac{tp + s}{tp + \text{fp\_weight}\,fp + \text{fn\_weight}\,fn + d}

    Weights 1/2 and 1/2 are `dice` (with twice its smoothing), 1 and 1 are `jaccard`; the paper recommends 0.3 and 0.7. Two empty
    masks give ``1 - s/d``, 0 by default. The weights are named by what they cost because the Greek letters are not agreed on:
    alpha is on the false positives in this paper and on the false negatives in that of `focal_tversky`, and Keras had
    the two exchanged up to version 3.15, which its default of 1/2 hides; in kornia's before 0.9, summed over the classes, false
    positives equal false negatives, so that only the sum of its weights matters.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere; soft labels in between.
        mask: True keeps a pixel.
        fp_weight: Cost of a false positive.
        fn_weight: Cost of a false negative.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.
        soft_labels: Whether the overlap is ``sum(min(p, y))`` instead of ``sum(p y)``; 0 only at a match, also for soft labels.

    >>> missed = jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]])
    >>> tversky(*missed, fp_weight=0.3, fn_weight=0.7)
    Array(0.18918817, dtype=float32)

    References:
        Salehi, Erdogmus, Gholipour, Tversky loss function for image segmentation using 3D fully convolutional deep networks,
        2017. https://arxiv.org/abs/1706.05721
    """
    tp, fp, fn = confusion(predictions, targets, mask, soft_labels)
    return missed_share(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator)


@loss("(*s),(*s),(*s)->()", "unit unit mask", fp_weight="nonnegative", fn_weight="nonnegative", gamma="positive", **SMOOTH)
@hint(any_pixel_order=True)
def focal_tversky(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    fp_weight: float = 0.3,
    fn_weight: float = 0.7,
    gamma: float = 0.75,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""A power of `tversky`, for lesions that are small and hard to find.

    .. math::
        \ell = \left(1 - \frac{tp + s}{tp + \text{fp\_weight}\,fp + \text{fn\_weight}\,fn + d}\right)^{\gamma}

    With a `gamma` below 1 the gradient grows as the match becomes perfect, so that small regions are finished; above 1 it
    vanishes there, so that hard regions come first. At a perfect match, where a power below 1 has an infinite slope (the NaN
    that other implementations are known for), the gradient is 0. `gamma` is the exponent itself; the paper writes it as
    1/gamma with gamma = 4/3. The power is taken per class, as in the paper, not after the mean over the classes.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.
        fp_weight: Cost of a false positive.
        fn_weight: Cost of a false negative.
        gamma: The exponent.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.

    >>> focal_tversky(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.28685957, dtype=float32)

    References:
        Abraham, Khan, A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion Segmentation, 2018.
        https://arxiv.org/abs/1810.07842
    """
    tp, fp, fn = confusion(predictions, targets, mask)
    return power(missed_share(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator), gamma)


@loss("(*s),(*s),(*s)->()", "unit unit mask", **SMOOTH)
@hint(any_pixel_order=True)
def log_dice(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""Minus the logarithm of the Dice overlap: a region that is missed altogether costs far more than one found in part.

    .. math::
        \ell = -\log \frac{2\,tp + s}{2\,tp + fp + fn + d}

    The smoothing decides what no overlap costs: ``log((fp + fn + d) / s)``, about 11.5 for one pixel, and inf (with gradient 0)
    without smoothing. Two empty masks give ``log(d/s)``, 0 by default.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.

    >>> log_dice(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.15415026, dtype=float32)

    References:
        Wong, Moradi, Tang, Syeda-Mahmood, 3D Segmentation with Exponential Logarithmic Loss for Highly Unbalanced Object Sizes,
        2018. https://arxiv.org/abs/1809.00076
    """
    p, y = keep_pixels(mask, predictions, targets)
    error, _ = error_and_total(p, y, None)
    overlap, missed = pixel_sum((p + p) * y) + smooth_numerator, error + (smooth_denominator - smooth_numerator)
    near = missed <= overlap
    some, total = (jnp.where(near | (overlap == 0), 1.0, x) for x in (overlap, overlap + missed))
    far = jnp.where(~near & (overlap == 0), jnp.inf, jnp.log(total) - jnp.log(some))
    return jnp.where(near, jnp.log1p(share(jnp.where(near, missed, 0.0), overlap)), far)


@loss("(*s),(*s),(*s)->()", "unit unit mask", **SMOOTH)
@hint(any_pixel_order=True)
def log_cosh_dice(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[PerClass],
) -> Array:
    r"""The log-cosh of `dice`, which is flat near a perfect match and never steeper than ``tanh(1)``.

    .. math::
        \ell = \log \cosh\left(1 - \frac{2\,tp + s}{2\,tp + fp + fn + d}\right)

    Where dice is small this is half its square, so hard images get most of the gradient. Empty masks are as in `dice`.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.

    >>> log_cosh_dice(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.01016948, dtype=float32)

    References:
        Jadon, A survey of loss functions for semantic segmentation, 2020. https://arxiv.org/abs/2006.14822
    """
    error, total = error_and_total(predictions, targets, mask)
    missed = share(error + (smooth_denominator - smooth_numerator), total + smooth_denominator)
    return log_cosh(missed)


@loss("(*s),(*s),(*s)->()", "unit unit mask")
@hint(any_pixel_order=True)
def mcc(predictions: Array, targets: Array, *, mask: Array | None = None, **reduce: Unpack[PerClass]) -> Array:
    r"""One minus the Matthews correlation of two masks: it also counts the background that was found.

    .. math::
        \ell = 1 - \frac{tp\,tn - fp\,fn}{\sqrt{(tp + fp)(tp + fn)(tn + fp)(tn + fn)}}

    0 for equal masks, 1 for masks that have nothing to do with each other, 2 for opposite ones. It treats foreground and
    background alike. Where the correlation is undefined, because a mask is empty or full (to within 1e-14) or all pixels are
    ignored, the loss is 1 with gradient 0, as scikit-learn's coefficient is then 0; implementations that add a constant above
    and below give 1/2 for a perfect prediction of a full mask, and 3/2 for an empty one. So combine it with `dice` where empty
    masks occur.

    Args:
        predictions: Probabilities of the foreground.
        targets: 1 in the foreground, 0 elsewhere.
        mask: True keeps a pixel.

    >>> mcc(jnp.array([[0.5, 1.0], [0.0, 0.0]]), jnp.array([[1.0, 1.0], [0.0, 0.0]]))
    Array(0.22540331, dtype=float32)

    References:
        Abhishek, Hamarneh, Matthews Correlation Coefficient Loss for Deep Convolutional Networks, 2020.
        https://arxiv.org/abs/2010.13454
    """
    p, y = keep_pixels(mask, predictions, targets)
    pixels = number_of_pixels(p) if mask is None else jnp.maximum(jnp.sum(mask, dtype=jnp.int32), 1)
    tp, fp, fn = (x / pixels.astype(p.dtype) for x in confusion(p, y))
    tn = pixel_mean(both_absent(p, y), mask)
    p_spread, y_spread = (jnp.where(x <= MIN_PROBABILITY**2, 0.0, x) for x in ((tp + fp) * (tn + fn), (tp + fn) * (tn + fp)))
    covariance = tp * tn - fp * fn
    return 1 - safe_divide(covariance, safe_sqrt(p_spread) * safe_sqrt(y_spread))


@loss("(*s,k),(*s,k),(*s)->()", "unit unit mask", **SMOOTH)
def generalized_dice(
    predictions: Array,
    targets: Array,
    *,
    mask: Array | None = None,
    weighting: Literal["square", "simple", "uniform"] = "square",
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[SpatialOverClasses],
) -> Array:
    r"""One Dice over all classes, each weighted by its rarity: for classes of very different sizes.

    .. math::
        \ell = 1 - \frac{2 \sum_c w_c\,tp_c + s}{\sum_c w_c\,(2\,tp_c + fp_c + fn_c) + d},
        \qquad w_c = \left(\frac{\min_i g_i}{g_c}\right)^{2}, \qquad g_c = \sum \text{targets}_c

    The inverse squares of the class sizes (constants for the gradient) make every class count alike, however small. They are
    scaled so that the rarest class that is present has weight 1, which changes the smoothing only: with the plain ``1 / g**2``
    the smoothing outweighs the masks on large images. A class that is absent has weight 1, too; its false positives count, but
    do not dominate. If all classes are absent (all pixels ignored) the loss is 1 - s/d, 0 by default.

    The loss of optax of this name is another one: a weighted mean of the Dice of the classes, where an absent class takes
    nearly all the weight from those that are there.

    Args:
        predictions: Probabilities of each class.
        targets: One-hot, or soft labels.
        mask: True keeps a pixel.
        weighting: ``"square"``, the paper's; ``"simple"``, ``1 / g``; ``"uniform"``, all classes by their pixels.
        smooth_numerator: s, pixels of the rarest class added to the numerator.
        smooth_denominator: d, pixels of the rarest class added to the denominator.

    >>> labels = jnp.array([[0, 0], [0, 1]])
    >>> generalized_dice(jnp.full((2, 2, 3), 1 / 3), jax.nn.one_hot(labels, 3))
    Array(0.7857123, dtype=float32)

    References:
        Sudre, Li, Vercauteren, Ourselin, Cardoso, Generalised Dice overlap as a deep learning loss function for highly
        unbalanced segmentations, 2017. https://arxiv.org/abs/1707.03237
    """
    p, y = keep_pixels(None if mask is None else mask[..., None], predictions, targets)
    size = lax.stop_gradient(class_sums(y))
    present = size > 0
    rarest = jnp.min(jnp.where(present, size, jnp.inf))
    weights = jnp.where(present, jnp.where(present, rarest, 1.0) / jnp.where(present, size, 1.0), 1.0) ** _POWERS[weighting]
    error, total = error_and_total(p, y, None, by_class=True)
    error, total = jnp.sum(weights * error), jnp.sum(weights * total)
    return share(error + (smooth_denominator - smooth_numerator), total + smooth_denominator)


@loss("(*s,k),(*s,k),(k,k),(*s)->()", "prob unit unit mask", **SMOOTH)
def wasserstein_dice(
    probabilities: Array,
    targets: Array,
    distances: Array,
    *,
    mask: Array | None = None,
    background: int = 0,
    smooth_numerator: float = 1e-5,
    smooth_denominator: float = 1e-5,
    **reduce: Unpack[SpatialOverClasses],
) -> Array:
    r"""Dice over classes of which some are nearer to each other than others: confusing near classes costs less.

    .. math::
        \ell = 1 - \frac{2\,T + s}{2\,T + \sum_i \delta_i + d}, \qquad
        \delta_i = \sum_{l, m} \text{targets}_{il}\,\text{distances}_{lm}\,\text{probabilities}_{im}, \qquad
        T = \sum_i (1 - \delta_i) \sum_{l \ne \text{background}} \text{targets}_{il}

    :math:`\delta` is the earth mover's distance from the prediction to the label of a pixel. With distances of 1 between all
    classes a pixel costs the probability of the wrong ones. An image that holds only well predicted background, or whose pixels
    are all ignored, gives 1 - s/d, 0 by default.

    Args:
        probabilities: Of each class, after a softmax.
        targets: One-hot, or soft labels.
        distances: Cost of calling class l class m, between 0 and 1; 0 on the diagonal. One matrix for all examples.
        mask: True keeps a pixel.
        background: The class that gives no true positives.
        smooth_numerator: s, pixels added to the numerator.
        smooth_denominator: d, pixels added to the denominator.

    >>> near = jnp.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.2], [1.0, 0.2, 0.0]])
    >>> predicted, labels = jnp.array([[1, 2]]), jnp.array([[1, 1]])
    >>> wasserstein_dice(jax.nn.one_hot(predicted, 3), jax.nn.one_hot(labels, 3), near)
    Array(0.0526315, dtype=float32)

    References:
        Fidon, Li, Garcia-Peraza-Herrera, Ekanayake, Kitchen, Ourselin, Vercauteren, Generalised Wasserstein Dice Score for
        Imbalanced Multi-class Segmentation using Holistic Convolutional Networks, 2017. https://arxiv.org/abs/1707.00478
    """
    classes = targets.shape[-1]
    if not 0 <= background < classes:
        raise ValueError(f"wasserstein_dice: `background` must be one of the {classes} classes, got {background}.")
    p, y = keep_pixels(None if mask is None else mask[..., None], probabilities, targets)
    cost = jnp.sum(y * jnp.matmul(p, distances.T, precision="highest"), axis=-1)
    hit = jnp.sum((1 - cost) * (jnp.sum(y, axis=-1) - y[..., background]))
    return missed_share(2 * hit, jnp.sum(cost), smooth_numerator, smooth_denominator)


_POWERS = {"square": 2, "simple": 1, "uniform": 0}
