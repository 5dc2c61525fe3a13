#!/usr/bin/env bash
# optax 0.2.8: inject_hyperparams(adam), the way to a learning rate that can be changed, makes bfloat16 parameters nan at the first step: it
# casts all hyperparameters to the dtype of the parameters, and the nearest bfloat16 number to b2 = 0.999 is 1.
#
# Guess: the first step is -0.001 for a gradient of 0.1, with and without inject_hyperparams, whatever the dtype.
# Seen:  nan for adam and adamw: 1 - b2**t, by which they divide, is 0. lion and rmsprop run on with b2 = 0.988 for 0.99 and a decay of
#        0.898 for 0.9. In float16 it is eps = 1e-8 that becomes 0. hyperparam_dtype=jnp.float32 cures all, but makes the updates
#        float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
import optax


def step(optimizer, dtype=jnp.bfloat16):
    parameters = jnp.ones(2, dtype)
    update, state = optimizer.update(jnp.full(2, 0.1, dtype), optimizer.init(parameters), parameters)
    return update, getattr(state, "hyperparams", {})


injected = optax.inject_hyperparams
found = {
    "adam": float(step(optax.adam(1e-3))[0][0]),
    "injected": [float(step(injected(f)(learning_rate=1e-3))[0][0]) for f in (optax.adam, optax.adamw)],
    "b2": float(step(injected(optax.adam)(learning_rate=1e-3))[1]["b2"]),
    "b2 of lion": float(step(injected(optax.lion)(learning_rate=1e-3))[1]["b2"]),
    "decay": float(step(injected(optax.rmsprop)(learning_rate=1e-3))[1]["decay"]),
    "eps": float(step(injected(optax.adam)(learning_rate=1e-3), jnp.float16)[1]["eps"]),
}
update, _ = step(injected(optax.adam, hyperparam_dtype=jnp.float32)(learning_rate=1e-3))
found["float32"] = [float(update[0]), update.dtype.name]
print("optax", optax.__version__, "jax", jax.__version__, found)
np.testing.assert_allclose([found["adam"], found["float32"][0]], -1e-3, rtol=1e-2)
assert np.isnan(found["injected"]).all() and found["b2"] == 1, "the dtype of hyperparameters has changed"
np.testing.assert_allclose([found["b2 of lion"], found["decay"]], [0.98828125, 0.8984375], err_msg="the dtype has changed")
assert found["eps"] == 0 and found["float32"][1] == "float32", "the dtype of hyperparameters has changed"
END
