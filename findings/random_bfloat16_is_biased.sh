#!/usr/bin/env bash
# jax 0.10.2: jax.random draws 8 random bits for a bfloat16 number, so a distribution has 128 values: rare events come too often or not at
# all, tails are cut off, and means are shifted. dtype=bfloat16, or a bfloat16 probability, is not "the same, rounded".
#
# Guess: the draw is made in float32 and rounded to bfloat16: bernoulli(p) is true with probability p, means and tails as in float32.
# Seen:  bernoulli(bfloat16(0.001)) is true in 0.8 % of draws; of softmax(0, -3, -6) categorical draws the last class (0.24 %) in 0.06 %;
#        normal has a mean of -0.012 and nothing beyond 2.9 in a million draws; logistic has a mean of -0.68 and a deviation of 7.8 for 0
#        and 1.8. In float16 bernoulli(0.001) is 0.2 %. gamma, beta, t and truncated_normal draw in float32 and are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np

key, draws = jax.random.key(0), 1_000_000


def rates(dtype):
    logits = jnp.broadcast_to(jnp.array([0, -3, -6], dtype), (draws, 3))
    normal, logistic = (np.asarray(draw(key, (draws,), dtype), np.float64) for draw in (jax.random.normal, jax.random.logistic))
    return {
        "bernoulli": float(jnp.mean(jax.random.bernoulli(key, dtype(0.001), (draws,)))),
        "rare class": float(jnp.mean(jax.random.categorical(key, logits) == 2)),
        "normal": (len(np.unique(normal)), round(normal.mean(), 4), float(np.abs(normal).max())),
        "logistic": (round(logistic.mean(), 3), round(logistic.std(), 2)),
    }


wide, narrow = rates(jnp.float32), rates(jnp.bfloat16)
half = float(jnp.mean(jax.random.bernoulli(key, jnp.float16(0.001), (draws,))))
print("jax", jax.__version__, "float32", wide, "bfloat16", narrow, "float16 bernoulli", half)
assert abs(wide["bernoulli"] - 1e-3) < 2e-4 and abs(wide["rare class"] - 2.36e-3) < 3e-4 and wide["normal"][2] > 4
assert 0.007 < narrow["bernoulli"] < 0.0086 and 0.0018 < half < 0.0022, "bernoulli has changed"
assert narrow["rare class"] < 1e-3, "categorical has changed"
assert narrow["normal"][0] == 128 and -0.016 < narrow["normal"][1] < -0.008 and narrow["normal"][2] < 3, "normal has changed"
assert narrow["logistic"][0] < -0.5 and narrow["logistic"][1] > 6, "logistic has changed"
END
