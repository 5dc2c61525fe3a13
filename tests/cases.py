"""The losses under test, with the samplers of their oracles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.testing import Case, samples
from tests.oracles import load

ORACLES = load()
LOSSES = sorted(name for name, entry in jloss.CATALOGUE.items() if entry.kind == "loss")
FIRST = {*{jloss.CATALOGUE[name].family: name for name in reversed(jloss.CATALOGUE) if name in LOSSES}.values()}  # of each family


def mostly_slow(names: list[str]) -> list:
    """Parameters of a sweep that a plain run makes with the first loss of each family only."""
    return [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in names]


def case(name: str, options: dict | None = None) -> Case:
    """The loss of this name as the laws want it."""
    found = ORACLES.get(name)
    sample = found.sample if found else None
    reference = functools.partial(found.function, **(options or {})) if found and found.frozen else None
    return Case(jloss.CATALOGUE[name].public, options or {}, sample, reference is not None, reference)


def inputs_of_size(name, size):
    """A batch whose first input has about `size` numbers: a thousand examples again and again."""
    drawn = samples(getattr(jloss, name), batch=(1009,), optional=False)
    count = -(-size // (next(iter(drawn.values())).size // 1009))
    return {n: np.resize(a, (count, *np.shape(a)[1:])) for n, a in drawn.items()}


@functools.lru_cache(maxsize=2)
def each_alone(name: str):
    """The compiled loss of each example, and the gradient of the sum of those that are finite, of (inputs with a gradient, the others)."""
    loss = jloss.CATALOGUE[name].public

    def total(floats, rest):
        given = {**floats, **rest}
        values = loss(**{n: given[n] for n in loss.__jloss__.inputs if n in given}, reduction="none")
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def finite_on(sets: dict, losses: dict) -> dict:
    """Value and gradients in the first two inputs of each loss on each set of inputs, all of which must be finite."""

    @jax.jit
    def evaluate(*given):
        return {n: jax.value_and_grad(f, (0, 1))(*given) for n, f in losses.items()}

    found = {name: evaluate(*given) for name, given in sets.items()}
    for leaf in jax.tree.leaves(found):
        assert np.isfinite(leaf).all()
    return found
