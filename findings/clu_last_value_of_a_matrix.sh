#!/usr/bin/env bash
# clu 0.0.12, jax 0.10.2: LastValue, "the last average global batch value", takes another mean than Average beside it: of an array with more
# than one axis it is the sum over the others, and a mask of examples goes along the last axis.
#
# Guess: of losses with the shape (batch, outputs) LastValue and Average give the same number after one batch, with a mask of examples, too.
# Seen:  for a batch of three with three outputs, all 1, Average is 1 and LastValue is 3. Of two examples with the outputs (1, 2) and
#        (30, 40) and a mask that keeps the first, Average is 1.5 and LastValue is 31: it keeps the first output of both examples. It goes
#        unnoticed where a batch is as long as a row, and for vectors both are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "clu==0.0.12"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
from clu import metrics


def both(values, mask=None):
    average = metrics.Average.from_model_output(jnp.array(values), None if mask is None else jnp.array(mask))
    last = metrics.LastValue.from_model_output(jnp.array(values), None if mask is None else jnp.array(mask))
    return float(average.compute()), float(last.compute())


rows = [[1.0, 2.0], [30.0, 40.0]]
found = {
    "vector": both([1.0, 2.0, 6.0]),
    "masked vector": both([1.0, 2.0, 6.0], [True, True, False]),
    "ones": both([[1.0] * 3] * 3),
    "masked rows": both(rows, [True, False]),
}
print("Average and LastValue:", found)
assert found["vector"] == (3, 3) and found["masked vector"] == (1.5, 1.5)
assert found["ones"] == (1, 3), "the mean of a matrix has changed"
assert found["masked rows"] == (1.5, 31), "the mask of examples has changed"
END
