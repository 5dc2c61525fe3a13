#!/usr/bin/env bash
# optax 0.2.8: clip_by_global_norm squares and sums float16 gradients in float16. From a norm of 256 on, the norm is inf and the update 0.
#
# Guess: 1000 gradients of 10, a norm of 316, are scaled to the norm 1, that is, to 0.0316 each, as in bfloat16.
# Seen:  0 each, without a nan or inf that apply_if_finite or a loss scale would see: training stands still. 70000 gradients of 1, or one of
#        300, are enough, and one such leaf freezes the float32 leaves beside it. adaptive_grad_clip and normalize_by_update_norm do the same;
#        clip and clip_by_block_rms are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax.numpy as jnp
import numpy as np
import optax


def first(optimizer, slopes):
    params = {name: jnp.ones_like(slope) for name, slope in slopes.items()}
    updates, _ = optimizer.update(slopes, optimizer.init(params), params)
    return {name: float(update[0]) for name, update in updates.items()}


clip = optax.clip_by_global_norm(1.0)
half = {"half": jnp.full(1000, 10, jnp.float16)}
found = {
    "bfloat16": first(clip, {"x": jnp.full(1000, 10, jnp.bfloat16)})["x"],
    "float16, norm 32": first(clip, {"x": jnp.full(1000, 1, jnp.float16)})["x"],
    "float16, norm 316": first(clip, half)["half"],
    "70000 of 1": first(clip, {"x": jnp.full(70000, 1, jnp.float16)})["x"],
    "one of 300": first(clip, {"x": jnp.full(1, 300, jnp.float16)})["x"],
    "float32 beside it": first(clip, half | {"x": jnp.ones(3)})["x"],
    "adaptive_grad_clip": first(optax.adaptive_grad_clip(0.01), half)["half"],
    "normalize_by_update_norm": first(optax.normalize_by_update_norm(), half)["half"],
}
print("optax", optax.__version__, found)
np.testing.assert_allclose([found.pop("bfloat16"), found.pop("float16, norm 32")], 0.0316, rtol=1e-2)
assert set(found.values()) == {0.0}, "optax has changed"
assert first(optax.clip(1.0), half) == first(optax.clip_by_block_rms(1.0), half) == {"half": 1.0}
END
