"""Overlap losses of masks: one pair of masks (predicted probabilities, targets) is one example.

``*s`` are the spatial axes, two unless `spatial_ndim` says otherwise; ``k`` are the classes. A class axis that is named with
`axis` makes each class a mask of its own, so weights per class are `weights` and ignored classes `where`, of the shape of the
batch axes and then the class axis. Ignored pixels are the input `mask`, which the classes share; they are removed before any
arithmetic. In the formulas ``tp = sum(p y)``, ``fp = sum(p (1 - y))`` and ``fn = sum((1 - p) y)`` over the pixels, where p
are the predictions and y the targets; s and d are `smooth_numerator` and `smooth_denominator`.

All of them take probabilities, and none has an activation inside. Losses of the boundary and of ranks are in `jloss.surface`.
"""

from typing import Literal, Unpack

import jax.numpy as jnp
from jax import Array

from jloss import _math
from jloss._loss import PerClass, SpatialOverClasses, loss

FLOOR = 1e-7  # under a logarithm or a root of a probability: its gradient is finite, and 0 below


@loss("(*s),(*s),(*s)->()", "unit unit mask", smooth_numerator="nonnegative", smooth_denominator="nonnegative")
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

    The sums are over one image and one class. Peers differ: Keras sums over the whole batch and gives 1 for two empty masks;
    `optax.dice_loss` takes logits unless told, fails under jit if told, and smooths with 1 pixel; MONAI's masked form masks in
    front of its activation, which turns an ignored pixel into 1/2.

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

    References:
        Milletari, Navab, Ahmadi, V-Net, 2016. https://arxiv.org/abs/1606.04797
        Wang, Popordanoska, Bertels, Lemmens, Blaschko, Dice Semimetric Losses, 2023. https://arxiv.org/abs/2303.16296
    """
    error, total = _error_and_total(predictions, targets, mask, squared, soft_labels)
    return _math.safe_divide(error + (smooth_denominator - smooth_numerator), total + smooth_denominator)


@loss("(*s),(*s),(*s)->()", "unit unit mask", smooth_numerator="nonnegative", smooth_denominator="nonnegative")
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
    tp, fp, fn = _counts(predictions, targets, mask, soft_labels)
    return _miss(tp, fp + fn, smooth_numerator, smooth_denominator)


@loss(
    "(*s),(*s),(*s)->()",
    "unit unit mask",
    fp_weight="nonnegative",
    fn_weight="nonnegative",
    smooth_numerator="nonnegative",
    smooth_denominator="nonnegative",
)
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
    alpha is on the false positives in this paper and on the false negatives in that of `focal_tversky`, and Keras exchanged
    the two in versions 3.2 to 3.15, which its default of 1/2 hides; in kornia's version, summed over the classes, false
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
    tp, fp, fn = _counts(predictions, targets, mask, soft_labels)
    return _miss(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator)


@loss(
    "(*s),(*s),(*s)->()",
    "unit unit mask",
    fp_weight="nonnegative",
    fn_weight="nonnegative",
    gamma="positive",
    smooth_numerator="nonnegative",
    smooth_denominator="nonnegative",
)
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
    tp, fp, fn = _counts(predictions, targets, mask)
    return _power(_miss(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator), gamma)


# ---------------------------------------------------------------- sums over the pixels of one example


def _kept(mask: Array | None, *arrays: Array) -> list[Array]:
    """The arrays with zeros at ignored pixels, which count nowhere and have no gradient, whatever they held."""
    return [a if mask is None else jnp.where(mask, a, 0) for a in arrays]


def _counts(predictions: Array, targets: Array, mask: Array | None, soft_labels: bool = False) -> tuple[Array, Array, Array]:
    """True positives, false positives, false negatives."""
    p, y = _kept(mask, predictions, targets)
    if soft_labels:
        over = _math.positive_part(p - y)
        return jnp.sum(p - over), jnp.sum(over), jnp.sum(_math.positive_part(y - p))
    return jnp.sum(p * y), jnp.sum(p * (1 - y)), jnp.sum((1 - p) * y)


def _error_and_total(predictions: Array, targets: Array, mask: Array | None, squared: bool, soft_labels: bool) -> tuple[Array, Array]:
    """``fp + fn`` and ``2 tp + fp + fn``: two sums, where three counts would be three."""
    p, y = _kept(mask, predictions, targets)
    if squared:
        return jnp.sum(jnp.square(p - y)), jnp.sum(jnp.square(p) + jnp.square(y))
    if soft_labels:
        return jnp.sum(_math.absolute(p - y)), jnp.sum(p + y)
    return jnp.sum(p * (1 - y) + y * (1 - p)), jnp.sum(p + y)


def _miss(tp: Array, error: Array, smooth_numerator: Array | float, smooth_denominator: Array | float) -> Array:
    """``1 - (tp + s) / (tp + error + d)`` without its cancellation; 0 for two empty masks that nothing smooths."""
    return _math.safe_divide(error + (smooth_denominator - smooth_numerator), tp + error + smooth_denominator)


def _power(x: Array, exponent: Array | float) -> Array:
    """``x ** exponent`` for ``x >= 0`` and a positive exponent; gradient 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1) ** exponent, jnp.where(jnp.isnan(x), x, 0))
