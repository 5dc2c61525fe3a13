"""Regularisers of adversarial training: features of the discriminator, its scores over time, the slope of the generator.

Penalties of a discriminator's slope (R1, R2, WGAN-GP, DRAGAN) are `gradient_penalty`.
"""

from collections.abc import Callable
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select
from jloss._core.domains import arithmetic_dtype
from jloss._core.loss import loss
from jloss._core.reduction import reduce, rows_of
from jloss._core.signature import Reduce
from jloss._core.stateful import listed_as
from jloss.generative._sets import group
from jloss.numerics import absolute, positive_part, safe_norm


@listed_as("penalty", "(),()->()", "tree tree")
def feature_matching(fake_features: Any, real_features: Any, *, average_layers: bool = True, **reduction: Unpack[Reduce]) -> Array:
    r"""Generated examples should look like real ones to the layers of the discriminator.

    .. math::
        \ell = \operatorname*{mean}_l \operatorname{mean} |f_l - \operatorname{sg}(r_l)|

    Real features are constants. Row i of every leaf belongs to example i; leave the last layer, the logits, out. HiFi-GAN and DAC add
    the layers up (and HiFi-GAN doubles them), ParallelWaveGAN takes their mean. Equal features have gradient 0.

    Args:
        fake_features: A pytree of arrays ``(examples, ...)``, such as the outputs of all layers, of generated examples.
        real_features: The same of real examples; constants.
        average_layers: Whether to take the mean over the leaves; else their sum.
        reduction: `where`, `weights`, `reduction` and `axis_name`, as in every loss.

    >>> feature_matching([jnp.ones((2, 3)), jnp.zeros((2, 4, 4))], [jnp.zeros((2, 3)), jnp.zeros((2, 4, 4))])
    Array(0.5, dtype=float32)

    References:
        Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs, 2018.
        https://arxiv.org/abs/1711.11585
        Kong, Kim, Bae, HiFi-GAN, 2020. https://arxiv.org/abs/2010.05646
    """
    distances = [_row_distances(f, r, **reduction) for f, r in _pairs_of_leaves(fake_features, real_features)]
    total = sum(distances[1:], distances[0])
    return reduce(total / len(distances) if average_layers else total, **reduction)  # type: ignore[arg-type]


@loss("(n,d),(m,d),(n),(m)->()", "real real mask mask", constants="real_features")
def mean_feature_matching(
    fake_features: Array,
    real_features: Array,
    fake_mask: Array | None = None,
    real_mask: Array | None = None,
    *,
    p: Literal[1, 2] = 2,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The mean features of a batch of generated examples should be those of real ones.

    .. math::
        \ell = \sum_d (\bar f_d - \operatorname{sg}(\bar r_d))^2 \quad (p = 2), \qquad
        \operatorname*{mean}_d |\bar f_d - \operatorname{sg}(\bar r_d)| \quad (p = 1)

    An example is a whole set. Real features are constants. ``p=1`` is StudioGAN's form. A set of no items costs 0.

    Args:
        fake_features: Features of generated examples.
        real_features: Features of real examples; there may be more or fewer of them.
        fake_mask: Which generated examples to use; all by default.
        real_mask: Which real examples to use; all by default.
        p: 2, the squared distance, or 1, the mean absolute difference.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> mean_feature_matching(jnp.array([[1.0, 0.0], [3.0, 0.0]]), jnp.array([[0.0, 1.0]]))
    Array(5., dtype=float32)

    References:
        Salimans et al., Improved Techniques for Training GANs, 2016. https://arxiv.org/abs/1606.03498
    """
    fake = group(fake_features, fake_mask, negatives_axis_name)
    real = group(lax.stop_gradient(real_features), real_mask, negatives_axis_name)
    gap = fake.mean(fake.items) - real.mean(real.items)
    distance = jnp.sum(jnp.square(gap)) if p == 2 else jnp.mean(absolute(gap))
    return select(fake.none | real.none, 0.0, distance)


@loss("(),(),(),()->()", "real real real real", constants="real_average fake_average")
def lecam_penalty(real_logits: Array, fake_logits: Array, real_average: Array, fake_average: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Holds real scores near the average of generated ones and the other way round: for GANs with little data.

    .. math::
        \ell = \max(0, r - \operatorname{sg}(\bar f))^2 + \max(0, \operatorname{sg}(\bar r) - f)^2

    The averages are running means of both scores, yours to keep: ``0.99 * average + 0.01 * logits.mean()``; they have no gradient.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        real_average: A running mean of real scores; a constant.
        fake_average: A running mean of generated scores; a constant.

    >>> lecam_penalty(jnp.array(3.0), jnp.array(-1.0), jnp.array(1.0), jnp.array(0.0))
    Array(13., dtype=float32)

    References:
        Tseng et al., Regularizing Generative Adversarial Networks under Limited Data, 2021. https://arxiv.org/abs/2104.03310
    """
    above = positive_part(real_logits - lax.stop_gradient(fake_average))
    below = positive_part(lax.stop_gradient(real_average) - fake_logits)
    return jnp.square(above) + jnp.square(below)


@listed_as("penalty", "(),(*s),(),()->()", "tree real key real")
def path_length_penalty(
    generator: Callable[[Array], Array], latents: Array, key: Array, mean_length: Array | float, **reduction: Unpack[Reduce]
) -> Array:
    r"""A step in the latents should change the image by the same amount everywhere.

    .. math::
        \ell = \bigl(\lVert J^\top y \rVert_2 - \operatorname{sg}(\text{mean\_length})\bigr)^2
        \qquad J = \frac{\partial\, \text{generator}(z)}{\partial z},\ y \sim N(0, 1/(h w))

    One random direction of the output for each example, normal and divided by the root of the number of pixels. `mean_length` is a running
    mean of the lengths, yours to keep: StyleGAN2 moves it by 0.01 towards the mean of the batch. A length of 0 has gradient 0.

    Args:
        generator: A function of ONE example's latents to an image ``(h, w, c)``.
        latents: Latents of examples along the first axis.
        key: A random key; a new one in every step.
        mean_length: The length that costs nothing; a constant.
        reduction: `where`, `weights`, `reduction` and `axis_name`, as in every loss.

    >>> path_length_penalty(lambda z: 0.0 * z.reshape(1, 1, 2), jnp.ones((5, 2)), jax.random.key(0), 3.0)
    Array(9., dtype=float32)

    References:
        Karras et al., Analyzing and Improving the Image Quality of StyleGAN, 2020. https://arxiv.org/abs/1912.04958
    """
    target = lax.stop_gradient(mean_length)

    def one(z: Array, key: Array) -> Array:
        image, pull = jax.vjp(generator, z)
        size = max(image.size, 1) / (image.shape[-1:] or (1,))[0]
        normal = jax.random.normal(key, image.shape, arithmetic_dtype([image]))  # whose mean is 0; in bfloat16 it is not
        (slope,) = pull((normal / size**0.5).astype(image.dtype))
        return jnp.square(safe_norm(_wide(slope), axis=None) - target)

    rows = rows_of("path_length_penalty", "latents", latents, **reduction)
    return reduce(jax.vmap(one)(rows, jax.random.split(key, rows.shape[0])), **reduction)  # type: ignore[arg-type]


def _pairs_of_leaves(fake: Any, real: Any) -> list[tuple[Array, Array]]:
    """The leaves of both trees, which must be alike."""
    name = "feature_matching"
    (fakes, shape), (reals, other) = (jax.tree_util.tree_flatten_with_path(tree) for tree in (fake, real))
    if str(shape) != str(other):
        raise ValueError(f"{name}: `fake_features` and `real_features` must have the same leaves, got {shape} and {other}.")
    if not fakes:
        raise ValueError(f"{name}: `fake_features` must have at least one leaf, got none.")
    pairs, sizes = [], set()
    for (path, leaf), (_, match) in zip(fakes, reals, strict=True):
        f, r = jnp.asarray(leaf), jnp.asarray(match)
        where = jax.tree_util.keystr(path, simple=True, separator="/") or "the array"
        if f.shape != r.shape:
            raise ValueError(f"{name}: {where!r} has shape {f.shape} in `fake_features`, but {r.shape} in `real_features`.")
        if f.ndim == 0:
            raise ValueError(f"{name}: {where!r} has no axis of examples; leaves are (examples, ...).")
        sizes.add(f.shape[0])
        if len(sizes) > 1:
            others = min(sizes - {f.shape[0]})
            raise ValueError(f"{name}: {where!r} has {f.shape[0]} examples, others have {others}; leaves are (examples, ...).")
        pairs.append((f, lax.stop_gradient(r)))
    return pairs


def _row_distances(fake: Array, real: Array, **reduction: Any) -> Array:
    """The mean absolute difference of each example."""
    f, r = (rows_of("feature_matching", name, leaf, **reduction) for name, leaf in (("fake_features", fake), ("real_features", real)))
    dtype = arithmetic_dtype([f, r])
    f, r = f.astype(dtype), r.astype(dtype)
    return jnp.mean(absolute(f - r).reshape(f.shape[0], -1), axis=1) if f.size else jnp.zeros(f.shape[:1], f.dtype)


def _wide(x: Array) -> Array:
    return x.astype(arithmetic_dtype([x]))
