#!/usr/bin/env bash
# distrax 0.1.9, jax 0.10.2: a part of a LogStddevNormal with max_scale, dist[0], is another distribution: the bound is applied to the
# scale that was bounded already. A part of a Quantized has lost its eps.
#
# Guess: a batch of distributions is indexed as an array is: dist[0] has the scale dist.scale[0] and the density dist.log_prob(x)[0].
# Seen:  a scale of 1/3 for 1/2 and 0.4223 for 0.7311 at max_scale=1; a part of a part has 1/4 for the first, and so on. A policy of which one
#        member is looked at explores less than it does, and the ratio of its probabilities to those of the batch is not 1. Quantized with
#        eps=0.1 has -2.95 and its part -10.60 where the two ends of a bin differ by less than that.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "distrax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import distrax
import jax.numpy as jnp
import numpy as np

bounded = distrax.LogStddevNormal(jnp.zeros(2), jnp.array([0.0, 1.0]), max_scale=1.0)
free = distrax.LogStddevNormal(jnp.zeros(2), jnp.array([0.0, 1.0]))
coarse = distrax.Quantized(distrax.Logistic(jnp.zeros(2), jnp.full(2, 1e4)), eps=0.1)
found = {
    "batch": bounded.scale,
    "parts": [bounded[0].scale, bounded[1].scale],
    "part of a part": bounded[0:1][0].scale,
    "without a bound": [free[0].scale, free[1].scale],
    "density": [bounded.log_prob(0.0)[0], bounded[0].log_prob(0.0)],
    "quantized": [coarse.log_prob(jnp.array([5.0, 5.0]))[0], coarse[0].log_prob(5.0)],
}
found = {name: np.asarray(value) for name, value in found.items()}
print("distrax", distrax.__version__, {name: value.round(4).tolist() for name, value in found.items()})
np.testing.assert_allclose(found["batch"], [0.5, 0.7311], rtol=1e-4)
np.testing.assert_allclose(found["without a bound"], np.exp([0.0, 1.0]), rtol=1e-5)
np.testing.assert_allclose(found["parts"], [1 / 3, 0.42232], rtol=1e-4, err_msg="slices of LogStddevNormal have changed")
np.testing.assert_allclose(found["part of a part"], 0.25, rtol=1e-4, err_msg="slices of LogStddevNormal have changed")
np.testing.assert_allclose(found["density"][1] - found["density"][0], np.log(1.5), rtol=1e-3)
np.testing.assert_allclose(found["quantized"], [-2.9456, -10.5979], rtol=1e-3, err_msg="slices of Quantized have changed")
END
