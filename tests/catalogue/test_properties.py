"""What a loss claims beside its oracle holds for drawn values; what it does not claim is falsified by some draw.

In every run for the first loss of each family.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jloss
from tests.cases import LOSSES, ORACLES, case, mostly_slow
from tests.oracles import PROPERTIES

DRAWS = 64  # one batch of so many examples stands for so many draws


@functools.cache
def values_of(name):
    return jax.jit(lambda inputs: jloss.CATALOGUE[name].public(**inputs, reduction="none"))


def drawn(name, seed, scale=1.0):
    """A batch of examples; the real inputs also come small and large."""
    inputs = case(name).draw((DRAWS,), seed=seed)
    domains = jloss.CATALOGUE[name].domains
    return {n: v * np.float32(scale) if domains[n] == "real" else v for n, v in inputs.items()}


def pair(name):
    """The first two inputs, if they are of one kind."""
    entry = jloss.CATALOGUE[name]
    names = list(entry.inputs)[:2]
    same = len(names) == 2 and entry.inputs[names[0]] == entry.inputs[names[1]] and entry.domains[names[0]] == entry.domains[names[1]]
    return names if same else None


def applies(name, prop):
    entry = jloss.CATALOGUE[name]
    first = next(iter(entry.inputs))
    if prop in ("zero_at_match", "symmetric"):
        return pair(name) is not None
    if prop in ("shift_invariant", "scale_invariant"):
        return entry.domains[first] == "real"
    if prop == "convex":
        return entry.domains[first] in ("real", "unit", "positive", "prob")
    return True


def excess(name, prop, seed, scale):
    """By how much the property fails, one number per example; at most rounding where it holds."""
    run, inputs = values_of(name), drawn(name, seed, scale)
    first = next(iter(inputs))
    value = run(inputs)
    if prop == "nonnegative":
        return -np.asarray(value), value
    if prop == "zero_at_match":
        a, b = pair(name)
        same = run({**inputs, b: inputs[a]})
        return jnp.abs(same), value
    if prop == "symmetric":
        a, b = pair(name)
        return jnp.abs(run({**inputs, a: inputs[b], b: inputs[a]}) - value), value
    if prop == "convex":
        other = drawn(name, seed + 1, scale)[first]
        middle = run({**inputs, first: (inputs[first] + other) / 2})
        ends = (value + run({**inputs, first: other})) / 2
        return middle - ends, ends
    if prop == "shift_invariant":
        shift = jnp.asarray(np.random.default_rng([seed, 1]).normal(size=(DRAWS,)).astype(np.float32)) * 3
        moved = {n: v + shift.reshape((DRAWS,) + (1,) * (v.ndim - 1)) for n, v in inputs.items() if n in (pair(name) or [first])}
        return jnp.abs(run({**inputs, **moved}) - value), value
    factor = jnp.asarray(np.random.default_rng([seed, 2]).uniform(0.5, 3.0, size=(DRAWS,)).astype(np.float32))
    return jnp.abs(run({**inputs, first: inputs[first] * factor.reshape((DRAWS,) + (1,) * (inputs[first].ndim - 1))}) - value), value


def holds(name, prop):
    """Whether every draw obeys, as hypothesis finds draws."""

    @settings(max_examples=4, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 10**6), st.sampled_from([1e-3, 1.0, 30.0]))
    def check(seed, scale):
        over, size = excess(name, prop, seed, scale)
        bound = 2e-5 * (1 + float(np.max(np.abs(np.where(np.isfinite(size), size, 0)))))
        assert float(np.max(over)) <= bound, f"{name} is not {prop}, at seed {seed} and scale {scale}"

    check()


def is_falsified(name, prop):
    """Whether some draw shows that it does not hold."""
    for seed in range(3):
        for scale in (1.0, 1e-3, 30.0):
            over, size = excess(name, prop, seed, scale)
            if float(np.max(over)) > 1e-4 * (1e-3 + float(np.median(np.abs(size)))):
                return True
    return False


@pytest.mark.parametrize("name", mostly_slow([n for n in LOSSES if n in ORACLES]))
def test_properties(name):
    claims = ORACLES[name].properties
    for prop in PROPERTIES:
        if prop in claims:
            assert applies(name, prop), f"{prop} says nothing about the inputs of {name}"
            holds(name, prop)
        elif applies(name, prop):
            assert is_falsified(name, prop), f"no draw shows that {name} is not {prop}: declare it in its @oracle(...)"
