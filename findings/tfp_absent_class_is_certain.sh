#!/usr/bin/env bash
# tfp-nightly 0.26.0.dev20261027 on JAX (jax 0.10.2): a label that does not exist has the log probability 0 under Categorical, that is,
# probability 1, and no derivative. A padding label of -1, or classes counted from 1, look like perfect predictions.
#
# Guess: -inf, as in distrax and numpyro, or the last class for -1, as with an index.
# Seen:  0 for -1 and for 2 of two classes. OneHotCategorical gives 0 for a row of zeros, Poisson(2) -1.2450 for 1.5 events, and
#        Exponential(1) 1.0 for -1: more than at any time that can be. distrax 0.1.9 gives 0 for the row of zeros, too, and for class 0.5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "distrax==0.1.9" "numpyro==0.22.0" "tfp-nightly==0.26.0.dev20261027"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import distrax
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions
from tensorflow_probability.substrates import jax as tfp

tfd, logits, labels, zeros = tfp.distributions, jnp.array([0.0, 1.0]), jnp.array([-1, 0, 2]), jnp.zeros(2)
found = {
    "tfp": tfd.Categorical(logits=logits).log_prob(labels),
    "distrax": distrax.Categorical(logits=logits).log_prob(labels),
    "numpyro": numpyro.distributions.Categorical(logits=logits).log_prob(labels),
    "slope": jax.grad(lambda logits: tfd.Categorical(logits=logits).log_prob(-1))(logits),
    "zeros": [tfd.OneHotCategorical(logits=logits).log_prob(zeros), distrax.OneHotCategorical(logits=logits).log_prob(zeros)],
    "half": distrax.Categorical(logits=logits).log_prob(0.5),
    "outside": [tfd.Poisson(2.0).log_prob(1.5), tfd.Exponential(1.0).log_prob(-1.0)],
}
found = {name: np.asarray(value) for name, value in found.items()}
print("tfp", tfp.__version__, "jax", jax.__version__, {name: value.tolist() for name, value in found.items()})
wanted = {"tfp": [0, -1.31326, 0], "distrax": [-np.inf, -1.31326, -np.inf], "numpyro": [-np.inf, -1.31326, -np.inf], "slope": [0, 0]}
wanted |= {"zeros": [0, 0], "half": 0, "outside": [-1.24496, 1]}
for name, values in wanted.items():
    np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6, err_msg=f"{name} has changed")
END
