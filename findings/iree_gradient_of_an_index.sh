#!/usr/bin/env bash
# iree-base-compiler 3.13.0 (llvm-cpu): the gradient of x[i], for a traced i under vmap, does not compile: jax makes it a scatter of slices of
# size 1, which IREE refuses. The gradient of jnp.take(x, i, mode="clip"), a scatter of single numbers, compiles and is right.
#
# Guess: both are gathers of one number per row, so both compile.
# Seen:  "'iree_linalg_ext.scatter' op expected indices to be equal to batch rank or batch rank + 1" for the first. This is the gradient
#        of every cross entropy that picks the logit of a label by its index.
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

x, labels = np.arange(20, dtype=np.float32).reshape(4, 5), np.array([0, 3, 4, 1], np.int32)


def compiles(pick):
    def slope(x, labels):
        return jax.grad(lambda x: jnp.sum(jnp.square(jax.vmap(pick)(x, labels))))(x)

    text = jax.jit(slope).lower(x, labels).as_text()
    try:
        module = iree.compiler.compile_str(text, input_type="stablehlo", target_backends=["llvm-cpu"])
    except iree.compiler.CompilerToolError as error:
        return "iree_linalg_ext.scatter" in str(error) and "refused"
    found = iree.runtime.load_vm_flatbuffer(module, driver="local-task")["main"](x, labels).to_host()
    return "right" if np.array_equal(found, jax.jit(slope)(x, labels)) else "wrong"


found = {"x[i]": compiles(lambda x, i: x[i]), "jnp.take": compiles(lambda x, i: jnp.take(x, i, mode="clip"))}
print("iree", importlib.metadata.version("iree-base-compiler"), found)
assert found == {"x[i]": "refused", "jnp.take": "right"}, "IREE has changed"
END
