#!/usr/bin/env bash
# chex 0.1.92, jax 0.10.2: assert_numerical_grads replaces jax.lax.stop_gradient by a function that returns ones while it checks. So it
# compares the derivatives of another function: wrong ones pass, and right ones fail.
#
# Guess: stop_gradient(x) * x has the derivative x and the slope 2 x, so the check fails, as jax.test_util.check_grads does. A logsumexp
#        whose peak is taken off under stop_gradient passes: it is the right derivative.
# Seen:  the first passes, and so does stop_gradient(x**2), whose derivative is 0. The second fails at logits of 100 with nan, as 1 is taken
#        off for the peak; at logits of 1 it passes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "chex==0.1.92"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import chex
import jax
import jax.numpy as jnp
from jax.test_util import check_grads

x = jnp.array([1.0, 2.0])


def passes(check, function, *inputs):
    try:
        check(function, inputs, 1)
        return True
    except AssertionError:
        return False


def half_stopped(x):
    return (jax.lax.stop_gradient(x) * x).sum()


def stopped(x):
    return jax.lax.stop_gradient(x**2).sum()


def log_sum_exp(x):
    peak = jax.lax.stop_gradient(x.max())
    return jnp.log(jnp.exp(x - peak).sum()) + peak


def by_chex(function, inputs, order):
    return chex.assert_numerical_grads(function, inputs, order)


def by_jax(function, inputs, order):
    return check_grads(function, inputs, order, atol=0.05, rtol=0.05)


assert jnp.isfinite(log_sum_exp(100 * x)) and jnp.isfinite(jax.grad(log_sum_exp)(100 * x)).all()
found = {
    check.__name__: [
        passes(check, half_stopped, x),
        passes(check, stopped, x),
        passes(check, log_sum_exp, x),
        passes(check, log_sum_exp, 100 * x),
    ]
    for check in (by_jax, by_chex)
}
print("chex", chex.__version__, "jax", jax.__version__, "what passes:", found)
assert not any(found["by_jax"][:2]) and found["by_jax"][2]
assert found["by_chex"] == [True, True, True, False], "assert_numerical_grads has changed"
END
