"""Penalties: of parameters, of a network's derivatives, and of what it puts out.

A penalty of parameters takes any pytree and gives one number, computed in float32 or wider; add it with `regularized`, or by
hand. ``where=`` chooses leaves by their path, a string such as ``"dense/kernel"``: ``where=lambda path: "kernel" in path``.
Arrays that are neither floating nor complex (counters, keys) are left out, and nothing chosen costs 0. At weights of 0 every
gradient is 0. Complex weights count by their absolute value; their gradient is that of `jax.grad`, whose conjugate leads downhill.

What a whole module holds counts, too: ``flax.nnx.state(model, flax.nnx.Param)`` leaves out the running variances of a BatchNorm,
``equinox.filter(model, equinox.is_inexact_array)`` the activation functions.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import gram
from jloss._core.domains import arithmetic_dtype
from jloss._core.loss import loss
from jloss._core.reduction import reduce, rows_of
from jloss._core.signature import OverClasses, Reduce
from jloss._core.stateful import listed_as
from jloss.numerics import absolute, normalize, positive_part, safe_norm, safe_sqrt
from jloss.numerics._special import softmax_entropy

Where = Callable[[str], bool] | None


@listed_as("penalty", "()->()", "tree")
def l1(params: Any, *, where: Where = None) -> Array:
    r"""The sum of the sizes of all weights (lasso): drives the unimportant ones to exactly 0.

    .. math:: \ell = \sum_i |w_i|

    The gradient is the sign of the weight, and 0 at 0, so that a weight that is 0 stays (`jnp.abs` would push it away).

    Args:
        params: A pytree of weights.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> params = {"kernel": jnp.array([3.0, -1.0]), "bias": jnp.array([5.0])}
    >>> l1(params, where=lambda path: path == "kernel")
    Array(4., dtype=float32)

    References:
        Tibshirani, Regression Shrinkage and Selection via the Lasso, 1996. https://doi.org/10.1111/j.2517-6161.1996.tb02080.x
    """
    return _total([jnp.sum(absolute(w)) for w in _leaves("l1", params, where).values()])


@listed_as("penalty", "()->()", "tree")
def l2(params: Any, *, where: Where = None) -> Array:
    r"""The sum of the squares of all weights (ridge, weight decay): keeps them small, none exactly 0.

    .. math:: \ell = \sum_i |w_i|^2

    There is no factor one half: a weight decay of ``d`` in plain gradient descent is ``d / 2`` times this. With Adam the two
    differ; there use ``optax.adamw``.

    Args:
        params: A pytree of weights.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> l2({"kernel": jnp.array([3.0, -1.0]), "bias": jnp.array([5.0])})
    Array(35., dtype=float32)

    References:
        Hoerl and Kennard, Ridge Regression, 1970. https://doi.org/10.1080/00401706.1970.10488634
    """
    return _total([jnp.sum(_square(w)) for w in _leaves("l2", params, where).values()])


@listed_as("penalty", "()->()", "tree", l1_ratio="unit")
def elastic_net(params: Any, *, l1_ratio: float = 0.5, where: Where = None) -> Array:
    r"""A mixture of `l1` and `l2`: sparse, and yet fair to groups of weights that do the same.

    .. math:: \ell = r \sum_i |w_i| + \frac{1 - r}{2} \sum_i |w_i|^2 \qquad r = \text{l1\_ratio}

    With the one half of scikit-learn and glmnet, which `l2` alone does not have.

    Args:
        params: A pytree of weights.
        l1_ratio: The share of `l1`, between 0 and 1; may be an array.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> elastic_net(jnp.array([3.0, -1.0]), l1_ratio=0.5)
    Array(4.5, dtype=float32)

    References:
        Zou and Hastie, Regularization and Variable Selection via the Elastic Net, 2005. https://doi.org/10.1111/j.1467-9868.2005.00503.x
    """
    weights = _leaves("elastic_net", params, where).values()
    first, second = (_total([jnp.sum(of(w)) for w in weights]) for of in (absolute, _square))
    ratio = jnp.asarray(l1_ratio).astype(first.dtype)
    return ratio * first + (1 - ratio) / 2 * second


@listed_as("penalty", "()->()", "tree")
def group_lasso(params: Any, *, axis: int | tuple[int, ...] | None = None, where: Where = None) -> Array:
    r"""The sum of the lengths of groups of weights: removes whole groups, such as all weights into one unit.

    .. math:: \ell = \sum_g \sqrt{|g|}\; \lVert w_g \rVert_2

    The gradient of a group of zeros is 0. The root of the size makes large and small groups equally hard to keep.

    Args:
        params: A pytree of weights.
        axis: The axes along which a group extends; the others count groups. For kernels of shape (in, out), 0 makes one group
            per output and 1 one per input. None makes every leaf one group.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> kernel = jnp.array([[3.0, 0.0], [4.0, 0.0]])
    >>> group_lasso({"kernel": kernel}, axis=0)
    Array(7.071068, dtype=float32)

    References:
        Yuan and Lin, Model Selection and Estimation in Regression with Grouped Variables, 2006.
        https://doi.org/10.1111/j.1467-9868.2005.00532.x
    """
    lengths = []
    for path, w in _leaves("group_lasso", params, where).items():
        axes = tuple(range(w.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
        if not all(-w.ndim <= a < w.ndim for a in axes):
            raise ValueError(f"group_lasso: `axis` is {axis}, but {path!r} has {w.ndim} axes; leave it out with `where`.")
        size = math.prod(w.shape[a] for a in axes)
        lengths.append(size**0.5 * jnp.sum(_norm(w, axes) if axes else absolute(w)))
    return _total(lengths)


@listed_as("penalty", "()->()", "tree")
def orthogonal(params: Any, *, where: Where = None) -> Array:
    r"""How far matrices are from having orthonormal columns (or rows, if they are wide): keeps signals and gradients in size.

    .. math:: \ell = \sum_W \lVert W^H W - I \rVert_F^2

    with the conjugate transpose, which is the transpose of real weights. For a wide matrix it is ``W W^H - I``, which can be 0.
    Kernels of convolutions count as matrices with their last axis as columns; vectors are left out. At weights of 0 the
    gradient is 0, though that is no minimum.

    Args:
        params: A pytree of weights.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> orthogonal({"kernel": 2 * jnp.eye(3), "bias": jnp.ones(3)})
    Array(27., dtype=float32)

    References:
        Brock et al., Neural Photo Editing with Introspective Adversarial Networks, 2017. https://arxiv.org/abs/1609.07093
    """
    terms = []
    for w in _matrices("orthogonal", params, where):
        tall = w if w.shape[0] >= w.shape[1] else w.conj().T
        products = gram(lambda x, y: _dot(x.conj().T, y), tall)
        terms.append(jnp.sum(_square(products - jnp.eye(len(products), dtype=products.dtype))))
    return _total(terms)


@listed_as("penalty", "()->()", "tree")
def spectral(params: Any, *, iterations: int = 20, where: Where = None) -> Array:
    r"""The squared largest singular values of matrices: bounds how much a network can amplify a change of its input.

    .. math:: \ell = \sum_W \sigma_{\max}(W)^2

    Found by power iteration from a fixed start, under stop_gradient; the gradient is that of ``|u^H W v|^2``, exact once the
    iteration has converged. Kernels of convolutions count as matrices with their last axis as columns, vectors are left out.

    Args:
        params: A pytree of weights.
        iterations: Steps of the power iteration; more where the two largest singular values are close.
        where: A function of a leaf's path, such as ``lambda path: "kernel" in path``, that chooses it; all if None.

    >>> spectral({"kernel": jnp.diag(jnp.array([3.0, 1.0]))})
    Array(9., dtype=float32)

    References:
        Yoshida and Miyato, Spectral Norm Regularization for Improving the Generalizability of Deep Learning, 2017.
        https://arxiv.org/abs/1705.10941
    """
    if iterations < 1:
        raise ValueError(f"spectral: `iterations` must be 1 or more, got {iterations}.")
    terms = []
    for w in _matrices("spectral", params, where):
        fixed = lax.stop_gradient(w)
        v = _most_amplified(fixed, iterations)
        u = _unit(_dot(fixed, v))
        terms.append(_square(_dot(u.conj(), _dot(w, lax.stop_gradient(v)))))
    return _total(terms)


@functools.partial(jax.jit, static_argnames="iterations")  # a loop outside of any jit is compiled anew by each call
def _most_amplified(w: Array, iterations: int) -> Array:
    """The unit vector that a matrix makes longest, by power iteration."""
    start = _unit(jnp.zeros_like(w[0]) + 2 + jnp.cos(jnp.arange(w.shape[1], dtype=w.real.dtype)).astype(w.dtype))
    return lax.fori_loop(0, iterations, lambda _, v: _unit(_dot(_dot(w, v).conj(), w).conj()), start)


@listed_as("penalty", "(),(*s),()->()", "tree real key")
def jacobian_penalty(
    function: Callable[[Array], Array], inputs: Array, key: Array, *, projections: int | None = 1, **reduction: Unpack[Reduce]
) -> Array:
    r"""The squared size of the derivative of the outputs in the inputs: wider margins against noise.

    .. math:: \ell = \left\lVert \frac{\partial f(x)}{\partial x} \right\rVert_F^2

    Estimated without bias by derivatives along random directions of the output, one backward pass each; `projections=None`
    takes all outputs and is exact. The reduction keywords are those of every loss: one example per row of `inputs`.

    Args:
        function: A network on ONE example, such as ``lambda x: model(x)``.
        inputs: Examples along the first axis.
        key: A random key; a new one in every step.
        projections: How many random directions; None for all.
        reduction: `where`, `weights`, `reduction` and `axis_name`, as in every loss.

    >>> matrix = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> jacobian_penalty(lambda x: matrix @ x, jnp.ones((5, 2)), jax.random.key(0), projections=None)
    Array(30., dtype=float32)

    References:
        Hoffman, Roberts and Yaida, Robust Learning with Jacobian Regularization, 2019. https://arxiv.org/abs/1908.02729
    """
    if projections is not None and projections < 1:
        raise ValueError(f"jacobian_penalty: `projections` must be 1 or more, or None, got {projections}.")

    def one(x: Array, key: Array) -> Array:
        outputs, pull = jax.vjp(lambda x: jnp.ravel(function(x)), x)
        if projections is None:
            directions = jnp.eye(outputs.size, dtype=outputs.dtype)
        else:
            normal = jax.random.normal(key, (projections, outputs.size), arithmetic_dtype([outputs]))  # bfloat16 has a mean
            directions = (normalize(normal) * (outputs.size / projections) ** 0.5).astype(outputs.dtype)
        return jnp.sum(jnp.square(_wide(jax.vmap(lambda d: pull(d)[0])(directions))))

    rows = rows_of("jacobian_penalty", "inputs", inputs, **reduction)
    return reduce(jax.vmap(one)(rows, jax.random.split(key, rows.shape[0])), **reduction)  # type: ignore[arg-type]


@listed_as("penalty", "(),(*s)->()", "tree real")
def gradient_penalty(
    critic: Callable[[Array], Array], inputs: Array, *, target: float = 1.0, one_sided: bool = False, **reduction: Unpack[Reduce]
) -> Array:
    r"""Keeps the slope of a critic near `target`: the penalty of WGAN-GP, and with ``target=0`` that of R1.

    .. math:: \ell = \bigl(\lVert \nabla_x \text{critic}(x) \rVert_2 - \text{target}\bigr)^2

    WGAN-GP takes `inputs` between real and generated examples, ``t * real + (1 - t) * fake`` with one uniform ``t`` for each;
    R1 takes real ones and half of this. Where the slope is exactly 0 the penalty has gradient 0, not NaN.

    Args:
        critic: A function of ONE example to one number.
        inputs: Examples along the first axis.
        target: The slope that costs nothing.
        one_sided: Whether slopes below `target` are free.
        reduction: `where`, `weights`, `reduction` and `axis_name`, as in every loss.

    >>> gradient_penalty(lambda x: 3 * jnp.sum(x), jnp.zeros((5, 1)))
    Array(4., dtype=float32)

    References:
        Gulrajani et al., Improved Training of Wasserstein GANs, 2017. https://arxiv.org/abs/1704.00028
    """

    def one(x: Array) -> Array:
        value = jnp.asarray(critic(x))
        if value.size != 1:
            raise ValueError(f"gradient_penalty: `critic` must give one number for one example, got {value.shape}.")
        return jnp.reshape(value, ())

    slopes = jax.vmap(jax.grad(one))(rows_of("gradient_penalty", "inputs", inputs, **reduction))
    steepness = safe_norm(_wide(slopes).reshape(len(slopes), math.prod(slopes.shape[1:])))
    excess = steepness - jnp.asarray(target).astype(steepness.dtype)
    return reduce(jnp.square(positive_part(excess) if one_sided else excess), **reduction)  # type: ignore[arg-type]


@loss("(k)->()", "real")
def entropy_penalty(logits: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""The entropy of a prediction: minimised, it makes unlabelled examples choose a side.

    .. math:: \ell = -\sum_i p_i \log p_i \qquad p = \text{softmax}(\text{logits})

    Between 0 and log k. The gradient vanishes for equal logits, the maximum, and for sure predictions. Classes at -inf are absent.

    Args:
        logits: Unnormalised log-probabilities.

    >>> entropy_penalty(jnp.zeros(4))
    Array(1.3862944, dtype=float32)

    References:
        Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, 2005.
        https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization
    """
    return softmax_entropy(logits)


@loss("(k)->()", "real")
def confidence_penalty(logits: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""The negative entropy of a prediction: added to a classification loss, it keeps the network from being too sure.

    .. math:: \ell = \sum_i p_i \log p_i \qquad p = \text{softmax}(\text{logits})

    Between -log k and 0; `entropy_penalty` with the other sign. Label smoothing in `cross_entropy` does much the same.

    Args:
        logits: Unnormalised log-probabilities.

    >>> confidence_penalty(jnp.zeros(4))
    Array(-1.3862944, dtype=float32)

    References:
        Pereyra et al., Regularizing Neural Networks by Penalizing Confident Output Distributions, 2017. https://arxiv.org/abs/1701.06548
    """
    return -softmax_entropy(logits)


@loss("(h,w,c)->()", "real")
def total_variation_penalty(images: Array, *, isotropic: bool = False, **reduce: Unpack[Reduce]) -> Array:
    r"""The sum of the differences between neighbouring pixels: smooths noise and keeps edges.

    .. math::
        \ell = \sum_{i,j,c} |d| + |a| \quad\text{or}\quad \sum_{i,j,c} \sqrt{d^2 + a^2}
        \qquad d = x_{i+1,j,c} - x_{i,j,c},\ a = x_{i,j+1,c} - x_{i,j,c}

    The gradient of equal neighbours is 0. A sum and not a mean, as in TensorFlow and kornia: it grows with the image.

    Args:
        images: Height, width, channels.
        isotropic: Whether the two differences of a pixel are taken together, so that slanted edges cost no more than straight
            ones; a difference across the border is 0.

    >>> total_variation_penalty(jnp.array([[[0.0], [3.0]], [[4.0], [4.0]]]))
    Array(8., dtype=float32)

    References:
        Rudin, Osher and Fatemi, Nonlinear total variation based noise removal algorithms, 1992.
        https://doi.org/10.1016/0167-2789(92)90242-F
    """
    down, across = jnp.diff(images, axis=0), jnp.diff(images, axis=1)
    if not isotropic:
        return jnp.sum(absolute(down)) + jnp.sum(absolute(across))
    down, across = jnp.pad(down, ((0, 1), (0, 0), (0, 0))), jnp.pad(across, ((0, 0), (0, 1), (0, 0)))
    return jnp.sum(safe_sqrt(jnp.square(down) + jnp.square(across)))


def _leaves(penalty: str, params: Any, where: Where) -> dict[str, Array]:
    """The chosen floating and complex leaves by path, all in the widest precision."""
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    chosen = {n: _as_array(penalty, n, leaf) for n, leaf in named.items() if where is None or where(n)}
    weights = {n: w for n, w in chosen.items() if jnp.issubdtype(w.dtype, jnp.inexact)}
    wide = arithmetic_dtype([w.real for w in weights.values()])
    pairs = jnp.complex128 if wide == jnp.float64 else jnp.complex64
    return {n: w.astype(pairs if jnp.iscomplexobj(w) else wide) for n, w in weights.items()}


def _as_array(penalty: str, path: str, leaf: Any) -> Array:
    try:
        return jnp.asarray(leaf)
    except (TypeError, ValueError):
        what = f"leaf {path!r} of `params`" if path else "`params`"
        raise TypeError(
            f"{penalty}: {what} is no array but a {type(leaf).__name__}; leave such leaves out, "
            "by `where` or, of an Equinox module, by `eqx.filter(model, eqx.is_inexact_array)`."
        ) from None


def _matrices(penalty: str, params: Any, where: Where) -> list[Array]:
    return [w.reshape(-1, w.shape[-1]) for w in _leaves(penalty, params, where).values() if w.ndim >= 2]


def _parts(w: Array) -> Array:
    """Complex numbers as pairs, behind all axes: where a root or a quotient of their size has a gradient at 0."""
    return jnp.stack([w.real, w.imag], axis=-1)


def _square(w: Array) -> Array:
    return jnp.square(w.real) + jnp.square(w.imag) if jnp.iscomplexobj(w) else jnp.square(w)


def _norm(w: Array, axes: tuple[int, ...]) -> Array:
    if not jnp.iscomplexobj(w):
        return safe_norm(w, axis=axes)
    return safe_norm(_parts(w), axis=(*(a % w.ndim for a in axes), w.ndim))


def _unit(v: Array) -> Array:
    """`normalize`, also of a complex vector."""
    if not jnp.iscomplexobj(v):
        return normalize(v)
    real, imag = jnp.split(normalize(jnp.concatenate([v.real, v.imag])), 2)
    return lax.complex(real, imag)


def _total(terms: list[Array]) -> Array:
    return sum(terms[1:], terms[0]) if terms else jnp.zeros((), jnp.float32)


def _wide(x: Array) -> Array:
    return x.astype(arithmetic_dtype([x]))


def _dot(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)
