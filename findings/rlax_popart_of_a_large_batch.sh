#!/usr/bin/env bash
# rlax 0.1.9, jax 0.10.2: popart adds up the steps of all targets of a batch instead of averaging them, so that its running mean moves by the
# step size times the batch, and beyond the targets once that is over 1.
#
# Guess: a running mean stays among its targets: 64 targets of 1 and a step size of 0.1 move it from 0 to 0.1, or, as one after the other,
#        to 0.9988.
# Seen:  6.4, and a scale at its lower bound, 0.0001, as the second moment is less than 6.4**2: a target of 1 is -54000 when normalised. After
#        the next two batches it is -28.2 and 158.5: it diverges, at this step size with more than 20 targets, at 0.001 with more than 2000, which
#        128 environments with 20 steps are. With axis_name all devices count together.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "rlax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax.numpy as jnp
import numpy as np
import rlax


def means(count, batches, step_size=0.1):
    initial, update = rlax.popart(1, step_size, 1e-4, 1e4)
    params, state, seen = {"w": jnp.ones((1, 1)), "b": jnp.zeros(1)}, initial(), []
    for _ in range(batches):
        params, state = update(params, state, jnp.ones(count), jnp.zeros(count, int))
        seen.append(float(state.shift[0]))
    normalised = rlax.normalize(state, jnp.ones(1), jnp.zeros(1, int))
    return seen, float(state.scale[0]), float(normalised[0])


found = {"one": means(1, 1), "one by one": means(1, 64), "batch": means(64, 1), "three batches": means(64, 3), "4000": means(4000, 3, 1e-3)}
found["one by one"] = (found["one by one"][0][-1:], *found["one by one"][1:])
print("rlax", importlib.metadata.version("rlax"), "means, scale, normalised target:", found)
np.testing.assert_allclose([found["one"][0][0], found["one by one"][0][0]], [0.1, 0.9988], atol=1e-4)
np.testing.assert_allclose(found["batch"][0], 6.4, rtol=1e-4, err_msg="the step of a batch has changed")
np.testing.assert_allclose(found["batch"][1:], [1e-4, -54000], rtol=1e-3, err_msg="the step of a batch has changed")
np.testing.assert_allclose(found["three batches"][0], [6.4, -28.16, 158.464], rtol=1e-3, err_msg="the step of a batch has changed")
np.testing.assert_allclose(found["4000"][0], [4, -8, 28], rtol=1e-3, err_msg="the step of a batch has changed")
END
