"""Every loss agrees with its float64 NumPy oracle, in value and in gradient, under every option."""

import inspect
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.testing.laws import hard_count
from tests.cases import LOSSES, ORACLES, case


def example(inputs, batched, index):
    """One example, float64, as NumPy (but for a random key)."""

    def whole(value):
        return value if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else np.asarray(value)

    return {n: jax.tree.map(whole, v) if n not in batched else np.asarray(v)[index] for n, v in inputs.items()}


MANY = 24  # numbers, of which each is moved alone


def numeric_slopes(function, inputs, name, step=1e-6):
    """Central differences of the oracle: (directions, slope along each). Of many numbers some move alone, and once all together."""
    size = np.size(inputs[name])
    directions = np.eye(size)
    if size > MANY:
        rng = np.random.default_rng(size)
        directions = np.concatenate([directions[rng.choice(size, MANY, replace=False)], rng.normal(size=(1, size))])
    slopes = []
    for direction in directions:
        moves = step * direction.reshape(np.shape(inputs[name]))
        above, below = (float(function(**{**inputs, name: np.asarray(inputs[name], np.float64) + sign * moves})) for sign in (1, -1))
        slopes.append((above - below) / (2 * step))
    return directions, np.array(slopes)


def python(value):
    return np.asarray(value) if isinstance(value, list) else value


@pytest.mark.parametrize("name", LOSSES)
def test_oracle(name):
    assert name in ORACLES, f"write the oracle: {place(jloss.CATALOGUE[name], 'tests/oracles')}, `@oracle(...) def {name}(...)`"
    for setting, options in enumerate(ORACLES[name].options):
        with jax.enable_x64(True):
            compare(name, setting, options)


def place(entry, folder):
    """The file of its family in a folder whose tree is that of jloss."""
    return f"{folder}/{entry.core.__module__.removeprefix('jloss.').replace('.', '/')}.py"


def compare(name, setting, options):
    """Three examples under one setting of the options.

    Traced options are passed as arrays, and the examples again and again, so that settings share a program, also with the law
    `gradient_at_hard_points`.
    """
    oracle, found = ORACLES[name], jloss.CATALOGUE[name]
    subject = case(name)
    inputs = subject.draw((3,), seed=10 + setting, dtype=np.float64)
    if setting == 0:  # the defaults: also without the optional inputs
        inputs = {n: v for n, v in inputs.items() if n not in optional(name)}
    given = {**{n: v for n, v in found.options.items() if isinstance(v, float)}, **options}
    traced = {n: np.asarray(v, np.float64) for n, v in given.items() if n not in static(name) and v is not None}
    chosen = {n: v for n, v in given.items() if n in static(name)}
    values, gradients = subject._replace(options=chosen).run(
        subject.rows(inputs, np.arange(hard_count(subject)) % 3), reduction="none", **traced
    )
    for i in range(3):
        one = example(inputs, subject.batched, i)
        frozen = {"frozen": one} if oracle.frozen else {}

        def function(frozen=frozen, **given):
            return oracle.function(**given, **{k: python(v) for k, v in options.items()}, **frozen)

        np.testing.assert_allclose(values[i], function(**one), rtol=1e-9, atol=1e-11, err_msg=f"value of {name}({options})")
        for n, gradient in gradients.items():
            directions, wanted = numeric_slopes(function, one, n)
            scale = max(1.0, float(np.max(np.abs(wanted), initial=0.0)), abs(float(values[i])))
            np.testing.assert_allclose(
                directions @ np.ravel(gradient[i]),
                wanted,
                rtol=1e-6,
                atol=2e-8 * scale,
                err_msg=f"gradient of {name}({options}) in `{n}`, example {i}",
            )


def optional(name):
    """The inputs that may be None."""
    shown = inspect.signature(jloss.CATALOGUE[name].public).parameters
    return {n for n in jloss.CATALOGUE[name].inputs if shown[n].default is None}


def static(name):
    """The options that are part of the compiled program."""
    shown = inspect.signature(jloss.CATALOGUE[name].public).parameters
    annotations = {n: {shown[n].annotation, *get_args(shown[n].annotation)} for n in jloss.CATALOGUE[name].options}
    return {n for n, kinds in annotations.items() if not kinds & {float, jax.Array}}


def test_every_oracle_has_a_loss():
    names = {n for n, entry in jloss.CATALOGUE.items()}
    assert set(ORACLES) <= names, f"oracles without a loss: {sorted(set(ORACLES) - names)}"


@pytest.mark.parametrize("name", sorted(jloss.CATALOGUE))
def test_is_exported(name):
    module = jloss.CATALOGUE[name].core.__module__
    package = module.rpartition(".")[0].replace(".", "/")
    assert hasattr(jloss, name), f"add the line to {package}/__init__.py:  from {module} import {name} as {name}"
