"""The losses under test, with the samplers of their oracles."""

import functools

import jax
import numpy as np
import pytest

import jloss
from jloss.testing import Case
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


def finite_on(sets: dict, losses: dict) -> dict:
    """Value and gradients in the first two inputs of each loss on each set of inputs, all of which must be finite."""

    @jax.jit
    def evaluate(*given):
        return {n: jax.value_and_grad(f, (0, 1))(*given) for n, f in losses.items()}

    found = {name: evaluate(*given) for name, given in sets.items()}
    for leaf in jax.tree.leaves(found):
        assert np.isfinite(leaf).all()
    return found
