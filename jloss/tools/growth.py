"""How the cost of value and gradient grows with each size of a loss: with its batch, its classes, its items, its time, its pixels.

Time is what the program calculates, memory what it holds with inputs and results. Both are counted, not timed: `operations` and `held`
follow jax's program through its loops, which XLA counts as if they ran once. Where they grow faster than a loss declares, XLA may still
have fused what is large: then its optimised program is asked.

A size that stands once in an input is declared linear, one that stands twice (a matrix of classes) quadratic. What grows faster says so
below `@loss`: ``@hint(time="n^2")``, ``@hint(time="n^3", memory="n^2")``. A logarithm adds less than `TOLERANCE` between two sizes.
"""

import collections
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jloss._core.axes import spatial, split_offset
from jloss._core.backend import hints_of
from jloss._core.catalogue import Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.domains import DOMAINS
from jloss.testing import draw

BATCH = "batch"
SIZES = {"n": 1024, "m": 1024, "t": 128, "u": 32, "k": 32, "d": 16, "q": 32, "s0": 32, "s1": 16, "s2": 4, "h": 32, "w": 32}
FROM, SMALL = {"n": 1024, "m": 1024, "u": 64, "c": 32, "e": 32}, 16  # where a size begins (others at 128); the most that the rest are
NUMBERS, RATIO = 1 << 18, 16  # of the largest input at the smaller size, and the larger size over it
TOLERANCE = 0.2


class Costs(NamedTuple):
    """What XLA says of a compiled program: operations, and bytes that it moves and that it holds beside inputs and results."""

    flops: float
    moved: float
    temporary: float

    @classmethod
    def of(cls, program: Any) -> "Costs":
        said = program.cost_analysis() or {}
        memory = program.memory_analysis()
        return cls(said.get("flops", 0.0), said.get("bytes accessed", 0.0), getattr(memory, "temp_size_in_bytes", math.nan))


class Exponents(NamedTuple):
    """Of time and of memory: 1 is linear."""

    time: float
    memory: float


def letters_of(entry: Entry) -> list[str]:
    """The sizes of an example, in the order of the signature; of images their height, and the batch where an example is one number.

    A size that samples hint at (the length of a window) is not free, unless it is a number of items or of steps.
    """
    dims = (split_offset(dim)[0] for name in entry.required for dim in spatial(entry.inputs[name], entry.spatial_ndim))
    fixed = {"s1", "s2", *(hints_of(entry.core).sizes.keys() - {"n", "t"})}
    return [letter for letter in dict.fromkeys(dims) if not letter.isdigit() and letter not in fixed] or [BATCH]


def declared(entry: Entry, letter: str) -> Exponents:
    """How fast a loss says that it grows: by a hint, or as its inputs do."""
    counts = [collections.Counter(split_offset(d)[0] for d in spatial(entry.inputs[n], entry.spatial_ndim)) for n in entry.required]
    least = 1 if letter == BATCH else max(count[letter] for count in counts)
    hints = hints_of(entry.core)
    return Exponents(*(powers(words).get(letter, least) for words in (hints.time, hints.memory)))


def powers(words: str) -> dict[str, int]:
    """``"n^2 d"`` as ``{"n": 2, "d": 1}``."""
    split = (word.partition("^") for word in words.split())
    return {letter: int(power or 1) for letter, _, power in split}


def exponents(entry: Entry, letter: str, ratio: int = RATIO, allowed: Exponents | None = None) -> Exponents:
    """How time and memory grow with one size; XLA is asked only where what is `allowed` would be exceeded, or always.

    Args:
        entry: Of the loss.
        letter: The size, as in the signature, or ``"batch"``.
        ratio: The larger size over the smaller one.
        allowed: What may go uncounted by XLA.
    """
    hinted = hints_of(entry.core).sizes
    others = {other: min(SMALL, size) for other, size in SIZES.items()}
    sizes = sizes_of(entry, NUMBERS, {**others, **hinted, letter: max(FROM.get(letter, 128), hinted.get(letter, 0))})
    small = _counted(entry.public, tuple(sizes.items()))
    large = _counted(entry.public, tuple({**sizes, letter: sizes[letter] * ratio}.items()))

    def exponent(of: str) -> float:
        return math.log(max(1.0, getattr(large, of)) / max(1.0, getattr(small, of)), ratio)

    found = Exponents(exponent("operations"), exponent("held"))
    if allowed and all(f <= a for f, a in zip(found, allowed, strict=True)):
        return found
    return Exponents(max(found.time, exponent("flops")), exponent("bytes"))


class _Counted:
    """A traced program with what is counted of it, compiled when XLA is asked."""

    def __init__(self, traced: Any) -> None:
        self.traced = traced
        self.operations = operations(traced.jaxpr.jaxpr)
        self.held = 4 * held(traced.jaxpr.jaxpr)

    @functools.cached_property
    def compiled(self) -> Any:
        return self.traced.lower().compile()

    @property
    def flops(self) -> float:
        return Costs.of(self.compiled).flops

    @property
    def bytes(self) -> float:
        memory = self.compiled.memory_analysis()
        return float(memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes)


@functools.lru_cache(maxsize=2)  # the smaller of one letter is that of the next
def _counted(loss: Any, sizes: tuple[tuple[str, int], ...]) -> _Counted:
    return _Counted(program(entry_of(loss), abstract_inputs(entry_of(loss), dict(sizes))))


def sizes_of(entry: Entry, numbers: int, core: Mapping[str, int]) -> dict[str, int]:
    """A size for each letter (4 where `core` has none), and so many examples that the largest input has about `numbers` numbers."""
    letters = {split_offset(d)[0] for n in entry.required for d in spatial(entry.inputs[n], entry.spatial_ndim)}
    sizes = {**dict.fromkeys(letters, 4), **core, BATCH: 1}
    largest = max(math.prod(getattr(a, "shape", ())) for a in abstract_inputs(entry, sizes).values())
    return {**sizes, BATCH: max(1, numbers // largest)}


def abstract_inputs(entry: Entry, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Shape and dtype of each required input, with so large core axes and ``sizes["batch"]`` examples."""
    return {name: _abstract(entry, name, sizes) for name in entry.required}


def _abstract(entry: Entry, name: str, sizes: Mapping[str, int]) -> Any:
    domain, dims = entry.domains[name], [split_offset(d) for d in spatial(entry.inputs[name], entry.spatial_ndim)]
    if DOMAINS[domain].kind == "any":
        return draw(domain, (), (), np.random.default_rng(0))
    small = draw(domain, tuple(int(d) if d.isdigit() else 2 for d, _ in dims), (1,), np.random.default_rng(0))
    dtype = np.float32 if small.dtype == np.float64 else small.dtype
    shape = tuple(int(letter) if letter.isdigit() else sizes[letter] + offset for letter, offset in dims)
    return jax.ShapeDtypeStruct((sizes[BATCH], *shape), dtype)


def program(entry: Entry, inputs: Mapping[str, Any]) -> Any:
    """Value and gradient in all floating inputs, traced."""
    floats = {n: a for n, a in inputs.items() if entry.domains[n] != "sign" and is_floating(a)}
    rest = {n: a for n, a in inputs.items() if n not in floats}

    def value(floats: Any, rest: Any) -> Any:
        return entry.public(**{n: {**floats, **rest}[n] for n in inputs})

    return jax.jit(jax.value_and_grad(value)).trace(floats, rest)


def is_floating(a: Any) -> bool:
    """Whether an input has a gradient."""
    return hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)


def operations(jaxpr: Any) -> float:
    """The operations of a program: loops count as often as they run, of two branches the dearer one."""
    return sum(_operations(eqn) for eqn in jaxpr.eqns)


def _operations(eqn: Any) -> float:
    inner, name = [operations(j) for j in _jaxprs(eqn.params)], eqn.primitive.name
    if inner:
        return max(inner) if name == "cond" else sum(inner) * (eqn.params["length"] if name == "scan" else 1)
    given, out = [_size(v.aval) for v in eqn.invars], sum(_size(v.aval) for v in eqn.outvars)
    if name == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        return 2 * out * math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        return 2 * out * given[1]
    if name == "sort":
        return out * math.log2(max(2, eqn.invars[0].aval.shape[eqn.params["dimension"]]))
    if name in ("cholesky", "triangular_solve", "lu", "qr", "eigh", "svd"):
        return out * max(eqn.invars[0].aval.shape[-2:])
    if name.startswith("scatter") or name == "dynamic_update_slice":
        return given[1 if name == "dynamic_update_slice" else 2]
    return max(out, given[0] if name.startswith(("reduce_", "arg")) else 0)


def held(jaxpr: Any) -> float:
    """The numbers of all that a program computes, which it holds at most; of a loop one round, and what it stacks."""
    total = 0.0
    for eqn in jaxpr.eqns:
        inner = [held(j) for j in _jaxprs(eqn.params)]
        total += max(inner, default=0) if eqn.primitive.name == "cond" else sum(inner)
        total += sum(_size(v.aval) for v in eqn.outvars)
    return total + sum(_size(v.aval) for v in jaxpr.invars)


def _size(aval: Any) -> int:
    return math.prod(getattr(aval, "shape", ()))


def _jaxprs(params: Mapping[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one
