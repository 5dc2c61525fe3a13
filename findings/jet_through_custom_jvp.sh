#!/usr/bin/env bash
# jax 0.10.2: jax.experimental.jet raises on every function with a custom_jvp, also on those of jax.nn and jax.numpy.
#
# Guess: the Taylor series of softplus at 0 along 1 begins log 2, 1/2, 1/4.
# Seen:  UnexpectedTracerError from jax.nn.softplus and jnp.logaddexp; the same formula written with log1p and exp works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
from jax.experimental.jet import jet


def series(function):
    try:
        value, terms = jet(function, (jnp.float32(0),), ([jnp.float32(1), jnp.float32(0)],))
        return [round(float(x), 4) for x in (value, *terms)]
    except Exception as error:
        return type(error).__name__


found = {
    "jax.nn.softplus": series(jax.nn.softplus),
    "jnp.logaddexp": series(lambda x: jnp.logaddexp(x, jnp.float32(0))),
    "log1p(exp(x))": series(lambda x: jnp.log1p(jnp.exp(x))),
}
print("jax", jax.__version__, found)
assert found == {
    "jax.nn.softplus": "UnexpectedTracerError",
    "jnp.logaddexp": "UnexpectedTracerError",
    "log1p(exp(x))": [0.6931, 0.5, 0.25],
}, "jet has changed"
END
