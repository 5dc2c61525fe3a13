#!/usr/bin/env bash
# jax 0.10.2 with optax 0.2.8 on CPUs: logits / temperature inside of the jit of a cross entropy is rounded in one place and not in another.
#
# Guess: compiled or not, logits / 0.3 is one array of rounded numbers, so that the cross entropy of the largest class is 0 or more.
# Seen:  without jit the least value of 64 examples is 0. Under jit it is about -0.0004 where logits are near 1000, -0.004 near 10000 and
#        -900 near 3e9, where the gradient is NaN: the peak is the maximum of rounded quotients, but where it is subtracted XLA fuses
#        the multiplication with 1 / 0.3 and the subtraction, and half a unit in the last place of the logits goes into the exponent.
#        Divided after the peak is off, (z - z.max(-1, keepdims=True)) / 0.3, all is finite and not below -1e-6.
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

draws = jnp.asarray(np.random.default_rng(0).normal(size=(64, 100)), jnp.float32)
labels = jnp.argmax(draws, axis=1)


def divided(z):
    return optax.softmax_cross_entropy_with_integer_labels(z / 0.3, labels)


def divided_below_the_peak(z):
    return optax.softmax_cross_entropy_with_integer_labels((z - z.max(-1, keepdims=True)) / 0.3, labels)


print("jax", jax.__version__, "optax", optax.__version__)
for size in (1e3, 1e4, 3e9):
    logits = draws * size
    least = {"without jit": divided(logits), "jit": jax.jit(divided)(logits), "jit, peak off first": jax.jit(divided_below_the_peak)(logits)}
    least = {how: float(values.min()) for how, values in least.items()}
    nan = {f.__name__: bool(jnp.isnan(jax.jit(jax.grad(lambda z, f=f: f(z).mean()))(logits)).any()) for f in (divided, divided_below_the_peak)}
    print(f"logits near {size:g}: least value {least}, gradient is NaN: {nan}")
    assert least["without jit"] >= 0 and least["jit, peak off first"] > -1e-6 and not nan["divided_below_the_peak"]
    assert least["jit"] < -3e-7 * size and nan["divided"] == (size == 3e9), "it has changed"
END
