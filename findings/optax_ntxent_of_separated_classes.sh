#!/usr/bin/env bash
# optax 0.2.8, jax 0.10.2: the gradient of losses.ntxent is nan once the classes are well apart at a low temperature, with a loss of 0: the
# exponentials of the negatives underflow to 0 in the entries that are masked afterwards, and the logarithm of 0 is differentiated there.
#
# Guess: two pairs on opposite sides, at cosines of 0.98 and -1, have a loss and a gradient of 0 to seven digits, at every temperature below
#        0.1.
# Seen:  loss 0 and eight times nan at a temperature of 0.02; at 0.05 all is well. A training that goes well ends in nan. Orthogonal classes
#        are safe down to 0.012.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import optax

opposite = jnp.array([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
orthogonal = jnp.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
labels = jnp.array([0, 0, 1, 1])
found = {}
for name, embeddings, temperature in (("at 0.05", opposite, 0.05), ("at 0.02", opposite, 0.02), ("orthogonal", orthogonal, 0.012)):
    loss, gradient = jax.value_and_grad(optax.losses.ntxent)(embeddings, labels, temperature)
    found[name] = (float(loss), int(jnp.isnan(gradient).sum()))
print("optax", optax.__version__, "jax", jax.__version__, "loss, and how many derivatives are nan:", found)
assert all(abs(loss) < 1e-6 for loss, _ in found.values())
assert found["at 0.05"][1] == found["orthogonal"][1] == 0
assert found["at 0.02"][1] == 8, "ntxent has changed"
END
