#!/usr/bin/env bash
# jax 0.10.2: the gradient of x / y in y is computed as (g * y**-2) * x, so a quotient of two small numbers has an infinite gradient
# although g * (x / y) / y is in range at every step.
#
# Guess: at x = 2e-38, y = 2e-18 a cotangent of 1e6 gives -1e6 * (2e-38 / 2e-18) / 2e-18 = -5e3.
# Seen:  -inf in float32, compiled or not. Dividing both by y as a constant first gives -5e3.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp


def scaled(x, y):
    scale = 1 / jax.lax.stop_gradient(y)
    return (x * scale) / (y * scale)


def slope(quotient):
    return jax.jit(lambda x, y, g: jax.vjp(lambda y: quotient(x, y), y)[1](g)[0])(jnp.float32(2e-38), jnp.float32(2e-18), jnp.float32(1e6))


plain, other = slope(lambda x, y: x / y), slope(scaled)
print("jax", jax.__version__, "plain", plain, "scaled", other)
assert plain == -jnp.inf, "the gradient of a quotient has changed"
assert abs(other / -5e3 - 1) < 1e-4
END
