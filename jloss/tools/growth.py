"""How the cost of value and gradient grows with each size of a loss: with its batch, its classes, its items, its time, its pixels.

Time is what the program calculates, memory its temporaries beside inputs and gradients. Both are counted, not timed: by XLA in the
optimised program, and by `operations` in that of jax, where XLA counts a loop as if it ran once.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jloss._core.axes import spatial, split_offset
from jloss._core.backend import hints_of
from jloss._core.catalogue import Entry
from jloss._core.domains import DOMAINS
from jloss.testing import draw

BATCH = "batch"
SIZES = {"n": 1024, "m": 1024, "t": 128, "u": 16, "k": 32, "d": 16, "q": 32, "g": 32, "f": 32, "s0": 32, "s1": 16, "s2": 4, "h": 32, "w": 32}


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


def letters_of(entry: Entry) -> list[str]:
    """The sizes of an example, in the order of the signature."""
    dims = (split_offset(dim)[0] for name in entry.required for dim in spatial(entry.inputs[name], entry.spatial_ndim))
    return [letter for letter in dict.fromkeys(dims) if not letter.isdigit()]


def sizes_of(entry: Entry, numbers: int) -> dict[str, int]:
    """A size for each letter, and for the batch, such that the largest input has about so many numbers."""
    sizes = {**dict.fromkeys(letters_of(entry), 4), **SIZES, **hints_of(entry.core).sizes, BATCH: 1}
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
    if name.startswith("scatter") or name == "dynamic_update_slice":
        return given[1 if name == "dynamic_update_slice" else 2]
    return max(out, given[0] if name.startswith(("reduce_", "arg")) else 0)


def _size(aval: Any) -> int:
    return math.prod(getattr(aval, "shape", ()))


def _jaxprs(params: Mapping[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                yield one
