#!/usr/bin/env bash
# jax 0.10.2: one nan makes the whole image nan in jax.image.resize, however far away it is, and one inf does, too: each axis is multiplied
# by a dense matrix of weights, and 0 * nan is nan.
#
# Guess: the pixels near the nan, that is, one of 16 after halving an 8 x 8 image, and 9 at the most for wider kernels.
# Seen:  all 16, by "linear", "cubic" and "lanczos3", and all 256 when enlarged to 16 x 16; "nearest" has one. A depth map with a missing
#        pixel has to be filled, or its mask resized beside it, before and not after.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp

image = jnp.zeros((8, 8)).at[7, 7].set(jnp.nan)
found = {method: int(jnp.isnan(jax.image.resize(image, (4, 4), method)).sum()) for method in ("nearest", "linear", "cubic", "lanczos3")}
found["enlarged"] = int(jnp.isnan(jax.image.resize(image, (16, 16), "linear")).sum())
found["inf"] = int((~jnp.isfinite(jax.image.resize(image.at[7, 7].set(jnp.inf), (4, 4), "linear"))).sum())
print("jax", jax.__version__, "pixels that are not finite:", found)
assert found.pop("nearest") == 1 and found.pop("enlarged") == 256, "jax.image.resize has changed"
assert set(found.values()) == {16}, "jax.image.resize has changed"
END
