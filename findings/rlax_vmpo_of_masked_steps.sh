#!/usr/bin/env bash
# rlax 0.1.9, jax 0.10.2: in vmpo_loss one masked step (restarting_weights of 0) can take the weight from all others: its advantage is set to
# 0 and is still among the numbers of which the largest is taken off before exp, so that the others underflow.
#
# Guess: weights are a softmax of the advantages of the best half of the kept steps: for advantages of -20, -20.1 and -20.2 at the temperature
#        0.1 they are 0.7311 and 0.2689, as for 0, -0.1 and -0.2.
# Seen:  0 for every step, as soon as a fourth one is masked, whatever its own advantage: no gradient for the policy, and a gradient of -23.6
#        for the temperature instead of -0.01. Without the masked step, or with all advantages 20 higher, it is right. Episodes that end are masked
#        so, and costs make all advantages negative before the values are learned.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "rlax==0.1.9"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import numpy as np
import rlax


def vmpo(advantages, kept):
    kept = jnp.array(kept)

    def loss(log_probs, temperature):
        bound = rlax.LagrangePenalty(jnp.array(1.0), 0.1)
        limits = [(jnp.zeros(len(kept)), bound)]
        share = 0.5 if len(kept) == 4 else 0.7
        losses, outputs = rlax.vmpo_loss(
            log_probs,
            jnp.array(advantages),
            rlax.LagrangePenalty(temperature, 0.1),
            limits,
            restarting_weights=kept,
            top_k_fraction=share,
        )
        return losses.mean(), outputs.normalized_weights

    gradients, weights = jax.grad(loss, argnums=(0, 1), has_aux=True)(-jnp.arange(1.0, 1 + len(kept)), jnp.array(0.1))
    return weights.tolist(), gradients[0].tolist(), float(gradients[1])


low = [-20.0, -20.1, -20.2]
found = {
    "no mask": vmpo(low, [1.0, 1, 1]),
    "masked": vmpo([*low, -20.0], [1.0, 1, 1, 0]),
    "masked, good": vmpo([*low, 5.0], [1.0, 1, 1, 0]),
    "higher": vmpo([0.0, -0.1, -0.2, -20.0], [1.0, 1, 1, 0]),
}
print("rlax", importlib.metadata.version("rlax"), "weights, gradients of log probabilities and temperature:", found)
for name in ("no mask", "higher"):
    weights, gradient, slope = found[name]
    np.testing.assert_allclose(weights[:3], [0.7311, 0.2689, 0], atol=1e-4)
    np.testing.assert_allclose(gradient[:3], [-0.7311, -0.2689, 0], atol=1e-4)
    np.testing.assert_allclose(slope, -0.0109, atol=1e-3)
for name in ("masked", "masked, good"):
    weights, gradient, slope = found[name]
    assert not any(weights) and not any(gradient), "what a masked step does has changed"
    np.testing.assert_allclose(slope, -23.619, atol=0.01, err_msg="what a masked step does has changed")
END
