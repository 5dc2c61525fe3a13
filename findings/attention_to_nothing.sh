#!/usr/bin/env bash
# jax 0.10.2, flax 0.12.8: in dot_product_attention a query that may look at no key looks at all of them: the result is the mean of the
# masked values, and they get a gradient. The mask adds a large negative number, which is the same for all, and the softmax takes it off
# again.
#
# Guess: 0, as the rows have that query_seq_lengths leaves out, or nan, as from a bias of -inf.
# Seen:  15 for the masked values 10 and 20, by mask and by key_value_seq_lengths=0, with a derivative of 0.5 in each. An empty document in
#        a batch is encoded as what stands in its padding.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flax==0.12.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

query, keys = jnp.ones((1, 1, 1, 2)), jnp.ones((1, 2, 1, 2))
values = jnp.array([10.0, 20.0]).reshape(1, 2, 1, 1) * jnp.ones(2)
nothing, none = jnp.zeros((1, 1, 1, 2), bool), jnp.array([0])
attend = jax.nn.dot_product_attention
found = {
    "mask": attend(query, keys, values, mask=nothing),
    "key_value_seq_lengths": attend(query, keys, values, key_value_seq_lengths=none),
    "flax": nnx.dot_product_attention(query, keys, values, mask=nothing),
    "query_seq_lengths": attend(query, keys, values, query_seq_lengths=none),
    "bias": attend(query, keys, values, bias=jnp.full((1, 1, 1, 2), -jnp.inf)),
}
found = {name: float(jnp.ravel(value)[0]) for name, value in found.items()}
gradient = jax.grad(lambda values: attend(query, keys, values, mask=nothing)[0, 0, 0, 0])(values)[0, :, 0, 0].tolist()
print("jax", jax.__version__, found, "derivatives in the masked values", gradient)
assert found["query_seq_lengths"] == 0 and np.isnan(found["bias"])
assert found["mask"] == found["key_value_seq_lengths"] == found["flax"] == 15, "dot_product_attention has changed"
assert gradient == [0.5, 0.5], "the gradient has changed"
END
