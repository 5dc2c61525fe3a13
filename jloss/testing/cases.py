"""A loss under test, and the programs that its laws share.

Compiling is what laws cost: most of them run one program of eight examples, with `where` and `weights`, whose batch lies on
several devices where there are several.
"""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jloss._core.catalogue import Entry, entry
from jloss._core.domains import DOMAINS
from jloss.testing.samples import Inputs, samples


class LawError(AssertionError):
    """A law is broken."""

    def __init__(self, message: str, inputs: Inputs | None = None):
        super().__init__(message)
        self.inputs = inputs or {}


class Case(NamedTuple):
    """A loss, option values, and where its inputs come from."""

    loss: Callable[..., Any]
    options: Mapping[str, Any] = MappingProxyType({})
    sample: Callable[..., Inputs] | None = None  # (rng, batch) -> inputs, where the signature is not enough
    stops_gradients: bool = False  # some part is under stop_gradient, so finite differences do not apply
    reference: Callable[..., Any] | None = None  # then: ``(**example, frozen=example)`` -> the value, of whose first part they are taken

    @property
    def entry(self) -> Entry:
        return entry(self.loss)

    def draw(self, batch: tuple[int, ...] = (4,), seed: int = 0, dtype: Any = np.float32) -> Inputs:
        """Inputs as NumPy arrays (and a JAX key, where one is wanted)."""
        rng = np.random.default_rng(seed)
        drawn = samples(self.loss, batch=batch, seed=seed, options=self.options) if self.sample is None else self.sample(rng, batch)
        return {n: jax.tree.map(lambda a: _cast(a, dtype), v) for n, v in drawn.items()}

    def floats(self, inputs: Inputs) -> Inputs:
        """The inputs that have a gradient."""
        return {n: v for n, v in inputs.items() if n in self.batched and self.entry.domains[n] != "sign" and _is_float(v)}

    @property
    def batched(self) -> list[str]:
        """The inputs with batch axes."""
        return [n for n, d in self.entry.domains.items() if DOMAINS[d].kind != "any"]

    def __call__(self, inputs: Inputs, **keywords: Any) -> Any:
        return self.loss(**inputs, **self.options, **keywords)

    def run(self, inputs: Inputs, **keywords: Any) -> tuple[Any, Inputs]:
        """The loss (values, with ``reduction="none"``) and the gradient of its sum in every floating input, jitted, as NumPy."""
        floats = self.floats(inputs)
        rest = {n: v for n, v in inputs.items() if n not in floats}
        static = tuple(sorted((n, v) for n, v in keywords.items() if isinstance(v, str | int)))
        arrays = {n: v for n, v in keywords.items() if not isinstance(v, str | int)}
        options = tuple(sorted(self.options.items()))
        value, gradients = _compiled(self.loss, options, static, tuple(inputs))(floats, rest, arrays)
        return jax.tree.map(np.asarray, (value, gradients))

    def weighted(self, inputs: Inputs, where: Any = True, weights: Any = 1) -> tuple[Any, Inputs]:
        """`run` of the mean of eight examples, under a mask and weights; one program for all masks and weights."""
        (mean, _), gradients = jax.tree.map(np.asarray, Sharded.of(self, inputs)(inputs, where, weights))
        return mean, gradients

    def parts(self, inputs: Inputs, where: Any = True, weights: Any = 1) -> Any:
        """What `reduction="parts"` gives in that program."""
        (_, parts), _ = jax.tree.map(np.asarray, Sharded.of(self, inputs)(inputs, where, weights))
        return parts

    def rows(self, inputs: Inputs, index: Any) -> Inputs:
        """The examples of `index` along the first batch axis."""
        return {n: v[np.asarray(index, int)] if n in self.batched else v for n, v in inputs.items()}


@functools.lru_cache(maxsize=64)
def _compiled(loss: Any, options: Any, static: Any, order: tuple[str, ...]) -> Any:
    def f(floats: Inputs, rest: Inputs, arrays: Inputs) -> Any:
        given = {**floats, **rest}
        value = loss(**{n: given[n] for n in order}, **arrays, **dict(options), **dict(static))
        return jnp.sum(value), value

    def both(floats: Inputs, rest: Inputs, arrays: Inputs) -> Any:
        (_, value), gradients = jax.value_and_grad(f, has_aux=True)(floats, rest, arrays)
        return value, gradients

    return jax.jit(both)


class Sharded(NamedTuple):
    """The mean and its gradient under plain jit, compiled for a batch that lies on several devices."""

    program: Any
    place: Callable[[str, Any], Any]
    floats: frozenset[str]

    @classmethod
    def of(cls, case: Case, inputs: Inputs) -> "Sharded":
        leaves, tree = jax.tree.flatten(inputs)
        shapes = (tree, tuple(inputs), tuple((v.shape, str(v.dtype)) for v in leaves))
        return _sharded(case.loss, tuple(sorted(case.options.items())), shapes, lambda: cls.build(case, inputs))

    @classmethod
    def build(cls, case: Case, inputs: Inputs) -> "Sharded":
        place, traced = _trace(case, inputs, _mesh(AxisType.Auto))
        return cls(traced.lower().compile(), place, frozenset(case.floats(inputs)))

    def __call__(self, inputs: Inputs, where: Any, weights: Any) -> Any:
        placed = {n: self.place(n, v) for n, v in inputs.items()}
        floats = {n: v for n, v in placed.items() if n in self.floats}
        rest = {n: v for n, v in placed.items() if n not in floats}
        masks = [self.place("where", np.broadcast_to(np.asarray(m, t), (8,))) for m, t in ((where, bool), (weights, np.float32))]
        return self.program(floats, rest, *masks)

    def text(self) -> str:
        return self.program.as_text() or ""


_kept: dict[Any, Sharded] = {}


def _sharded(loss: Any, options: Any, shapes: Any, build: Callable[[], Sharded]) -> Sharded:
    """The program of this loss; those of the last few losses are kept."""
    key = (loss, options, shapes)
    if key not in _kept:
        for old in list(_kept)[:-4]:
            del _kept[old]
        _kept[key] = build()
    return _kept[key]


def _trace(case: Case, inputs: Inputs, mesh: Mesh) -> tuple[Callable[[str, Any], Any], Any]:
    """How inputs are placed on the mesh, and the traced program of value and gradient."""

    def place(name: str, value: Any) -> Any:
        spec = PartitionSpec("i") if name in case.batched or name == "where" else PartitionSpec()
        return jax.tree.map(lambda v: jax.device_put(v, NamedSharding(mesh, spec)), value)

    placed = {n: place(n, v) for n, v in inputs.items()}
    floats = case.floats(placed)
    rest = {n: v for n, v in placed.items() if n not in floats}

    def f(floats: Inputs, rest: Inputs, where: Array, weights: Array, reduction: str) -> Any:
        return case({n: {**floats, **rest}[n] for n in inputs}, where=where, weights=weights, reduction=reduction)

    def both(floats: Inputs, rest: Inputs, where: Array, weights: Array) -> Any:
        value, gradients = jax.value_and_grad(f)(floats, rest, where, weights, "mean")
        return (value, f(floats, rest, where, weights, "parts")), gradients  # tracing a derivative takes as long as all else

    with jax.set_mesh(mesh):
        ones = place("where", np.ones(8, bool)), place("where", np.ones(8, np.float32))
        return place, jax.jit(both).trace(floats, rest, *ones)


def _is_float(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _cast(value: Any, dtype: Any) -> Any:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    array = np.asarray(value)
    return array.astype(dtype) if jnp.issubdtype(array.dtype, np.floating) else array


def close(got: Any, want: Any, what: str, inputs: Inputs | None = None, ulps: float = 256) -> None:
    """Equal to within `ulps` units of rounding of the largest number involved."""
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        g, w = np.asarray(g), np.asarray(w)
        eps = max((float(jnp.finfo(x.dtype).eps) for x in (g, w) if jnp.issubdtype(x.dtype, jnp.floating)), default=0.0)
        g, w = g.astype(np.float64), w.astype(np.float64)
        largest = float(np.max(np.abs(w), initial=1e-3, where=np.isfinite(w)))
        same = (np.abs(np.where(g == w, 0, g - w)) <= ulps * eps * largest) | (np.isnan(g) & np.isnan(w))
        if g.shape != w.shape or not same.all():
            raise LawError(f"{what}\n  got       {_short(g)}\n  expected  {_short(w)}", inputs)


def _short(x: Any) -> str:
    return np.array2string(np.asarray(x), precision=6, threshold=12, edgeitems=3).replace("\n", " ")


def _require(condition: Any, message: str, inputs: Inputs | None = None) -> None:
    if not condition:
        raise LawError(message, inputs)


def _mesh(kind: AxisType) -> Mesh:
    count = max(c for c in (1, 2, 4) if c <= len(jax.devices()))
    return jax.make_mesh((count,), ("i",), axis_types=(kind,), devices=jax.devices()[:count])
