#!/usr/bin/env bash
# jax 0.12.0.1: inside jax.shard_map the gradient of lax.erf, and so of erfc, ndtr and the exact gelu, cannot be traced.
#
# Guess: an elementwise function that works inside shard_map has a gradient there, as exp, tanh and lgamma do.
# Seen:  values work; the gradient raises "Primitive polynomial requires varying manual axes to match". Without check_vma it works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=""
for found in python3.14 python3.13 python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-4].*/bin/python3; do
  "$found" -c "import venv, ensurepip" 2>/dev/null && { python=$found; break; }
done
[ -n "$python" ] || { echo "jax 0.12 needs Python 3.12 or newer"; exit 1; }
"$python" -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.12.0.1" "jaxlib==0.12.0"
cd "$work"
JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=2 "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec as P

mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
x = jnp.array([0.1, 0.3])


def works(function, **settings):
    try:
        jax.jit(jax.shard_map(function, mesh=mesh, in_specs=P("data"), out_specs=P("data"), **settings))(x)
    except ValueError as error:
        assert "polynomial requires varying manual axes to match" in str(error), error
        return False
    return True


functions = {
    "exp": jnp.exp,
    "lgamma": lax.lgamma,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "ndtr": jax.scipy.special.ndtr,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
}
values = {name: works(f) for name, f in functions.items()}
gradients = {name: works(jax.grad(lambda x, f=f: f(x).sum())) for name, f in functions.items()}
unchecked = {name: works(jax.grad(lambda x, f=f: f(x).sum()), check_vma=False) for name, f in functions.items()}
print("jax", jax.__version__, "gradients:", gradients)
assert all(values.values()) and all(unchecked.values()), "values have changed"
assert gradients == {"exp": True, "lgamma": True, "erf": False, "erfc": False, "ndtr": False, "gelu": False}, "gradients have changed"
END
