#!/usr/bin/env bash
# iree-base-compiler 3.13.0 (llvm-cpu): stablehlo.sort with is_stable = true does not keep the order of equal keys, so that jnp.argsort and
# every ranking made of it differ from XLA where there are ties.
#
# Guess: the stable argsort of [1, 0, 1, 0, 1, 0] is [1, 3, 5, 0, 2, 4].
# Seen:  another order of the equal ones; the sorted keys themselves are right. With the place as a second key the order is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "iree-base-compiler==3.13.0" "iree-base-runtime==3.13.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import importlib.metadata

import iree.compiler
import iree.runtime
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

keys = np.array([1, 0, 1, 0, 1, 0], np.float32)


def order(num_keys):
    def function(keys):
        return lax.sort((keys, jnp.arange(len(keys), dtype=jnp.int32)), num_keys=num_keys, is_stable=True)

    text = jax.jit(function).lower(keys).as_text()
    assert "is_stable = true" in text
    module = iree.compiler.compile_str(text, input_type="stablehlo", target_backends=["llvm-cpu"])
    ranked, places = iree.runtime.load_vm_flatbuffer(module, driver="local-task")["main"](keys)
    return ranked.to_host().tolist(), places.to_host().tolist()


stable = np.argsort(keys, kind="stable").tolist()
(ranked, places), (_, by_two_keys) = order(1), order(2)
print("iree", importlib.metadata.version("iree-base-compiler"), "places", places, "stable", stable, "with two keys", by_two_keys)
assert ranked == sorted(keys) and by_two_keys == stable
assert places != stable and sorted(places) == list(range(6)), "IREE's sort has changed"
END
