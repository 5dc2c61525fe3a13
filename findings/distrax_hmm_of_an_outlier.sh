#!/usr/bin/env bash
# distrax 0.1.9, jax 0.10.2: an observation that no state of a hidden Markov model explains adds nothing to its log likelihood, so that an
# outlier is better than any proper observation. HMM.forward multiplies densities, not their logarithms, and a sum of 0 is replaced by 1.
#
# Guess: as from tfp, -3.3691 for (0, 1, 0.5) under normals at 0 and 1, and -116.512 with 16 in the place of the 1; -313.9 for three
#        observations of a hundred numbers each, whose densities are about exp(-104).
# Seen:  -3.3691, -1.138, and 0 if the outlier stands first, whatever follows: the states have the probabilities 0 and 0 from there on. For a
#        hundred numbers, and from 90 on, it is 0, whatever they are, and for 50 it is -102.2 instead of -157.3. A model that is fitted by it
#        has no gradient from such data, and the best fit explains nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "distrax==0.1.9" "tfp-nightly==0.26.0.dev20261027"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import distrax
import jax
import jax.numpy as jnp
import numpy as np
from tensorflow_probability.substrates import jax as tfp

tfd, start, change = tfp.distributions, jnp.array([0.5, 0.5]), jnp.array([[0.9, 0.1], [0.1, 0.9]])


def by_distrax(observed, values):
    return distrax.HMM(distrax.Categorical(probs=start), distrax.Categorical(probs=change), observed).forward(values)


def by_tfp(observed, values):
    return tfd.HiddenMarkovModel(tfd.Categorical(probs=start), tfd.Categorical(probs=change), observed, len(values)).log_prob(values)


def pair(values):
    means = jnp.array([0.0, 1.0])
    return float(by_distrax(distrax.Normal(means, jnp.ones(2)), values)[0]), float(by_tfp(tfd.Normal(means, jnp.ones(2)), values))


def wide(size):
    means = jnp.array([[0.0] * size, [1.0] * size])
    observed = (d.MultivariateNormalDiag(means, jnp.ones_like(means)) for d in (distrax, tfd))
    values = jnp.array([[0.5] * size, [1.5] * size, [0.5] * size])
    return float(by_distrax(next(observed), values)[0]), float(by_tfp(next(observed), values))


def shifted(shift):
    return by_distrax(distrax.Normal(jnp.array([0.0, 1.0]) + shift, jnp.ones(2)), jnp.array([16.0, 0, 0.5]))[0]


cases = {"proper": [0.0, 1, 0.5], "outlier": [0.0, 16, 0.5], "outlier first": [16.0, 0, 0.5]}
found = {name: pair(jnp.array(values)) for name, values in cases.items()} | {size: wide(size) for size in (10, 50, 100)}
states = by_distrax(distrax.Normal(jnp.array([0.0, 1.0]), jnp.ones(2)), jnp.array(cases["outlier"]))[1][-1].tolist()
slope = float(jax.grad(shifted)(0.0))
print("distrax", distrax.__version__, "tfp", tfp.__version__, found, "states after an outlier:", states, "slope:", slope)
np.testing.assert_allclose([found[name][0] for name in ("proper", 10)], [found[name][1] for name in ("proper", 10)], rtol=1e-5)
np.testing.assert_allclose([found[name][1] for name in found], [-3.3691, -116.512, -116.512, -32.011, -157.284, -313.875], rtol=1e-4)
np.testing.assert_allclose([found[name][0] for name in ("outlier", "outlier first", 50, 100)], [-1.138, 0, -102.23, 0], rtol=1e-3)
assert states == [0, 0] and slope == 0, "distrax has changed"
END
