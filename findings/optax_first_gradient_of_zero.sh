#!/usr/bin/env bash
# optax 0.2.8: if the first gradient is exactly 0 (a batch of which nothing is kept), contrib.prodigy makes the parameters NaN, and
# contrib.dadapt_adamw its state, so that the next step does. optax.apply_if_finite around them lets both through, as it looks at the
# gradient and not at the update.
#
# Guess: a gradient of 0 leaves the parameters as they are; if not, apply_if_finite skips the step.
# Seen:  NaN after one step of prodigy, after two of dadapt_adamw, guarded or not. A zero in a later step does no harm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "optax==0.2.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import optax

params, zero, slope = jnp.array([1.0, -2.0]), jnp.zeros(2), jnp.array([0.3, -0.5])


def finite(optimizer, slopes):
    at, state, found = params, optimizer.init(params), []
    for slope in slopes:
        updates, state = optimizer.update(slope, state, at)
        at = optax.apply_updates(at, updates)
        found.append(bool(jnp.isfinite(at).all()))
    return found


found = {}
for name in ("prodigy", "dadapt_adamw", "dowg"):
    maker = getattr(optax.contrib, name)
    guarded = optax.apply_if_finite(maker(), max_consecutive_errors=5)
    found[name] = [finite(o, s) for o in (maker(), guarded) for s in ([zero, slope], [slope, zero, slope])]
print("optax", optax.__version__, found)
assert found["prodigy"] == [[False, False], [True, True, True]] * 2, "prodigy has changed"
assert found["dadapt_adamw"] == [[True, False], [True, True, True]] * 2, "dadapt_adamw has changed"
assert found["dowg"] == [[True, True], [True, True, True]] * 2
END
