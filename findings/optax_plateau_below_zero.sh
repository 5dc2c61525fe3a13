#!/usr/bin/env bash
# optax 0.2.8: contrib.reduce_on_plateau never reduces the learning rate of a loss that stands still below 0. By default a value counts as
# an improvement if it is less than (1 - 1e-4) times the best, and of a negative best that is more than the best.
#
# Guess: a loss that has not changed for 50 steps is on a plateau, at 10 and at -10: the scale is halved again and again.
# Seen:  at 10 and 0 the scale is 1.5e-5 after 50 steps with a patience of 3, at -10 it is 1; of one that gets worse from -10 by 1e-4 a
#        step, too. Log densities, SI-SDR, cosine similarity and ELBO are such losses. rtol=0, atol=1e-4 is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import optax
from optax.contrib import reduce_on_plateau


def scale(first, step=0.0, **tolerance):
    optimizer = reduce_on_plateau(factor=0.5, patience=3, **tolerance)
    state, update = optimizer.init(1.0), jax.jit(optimizer.update)
    for i in range(50):
        _, state = update(1.0, state, value=first + i * step)
    return float(state.scale)


found = {
    "at": {value: scale(value) for value in (10.0, 0.0, -10.0)},
    "worse": [scale(10.0, 1e-4), scale(-10.0, 1e-4)],
    "absolute": [scale(value, rtol=0.0, atol=1e-4) for value in (10.0, 0.0, -10.0)],
}
print("optax", optax.__version__, "scale of the learning rate after 50 steps:", found)
assert found["at"][10.0] == found["at"][0.0] < 1e-4 and found["worse"][0] < 1e-4 and max(found["absolute"]) < 1e-4
assert found["at"][-10.0] == found["worse"][1] == 1, "negative losses have changed"
END
