#!/usr/bin/env bash
# iree-base-compiler 3.13.0 (llvm-cpu): of s[:, None] + s[None, :], where s is a reduction, only the diagonal is computed. Pairwise
# distances of a set to itself, sizes[:, None] + sizes[None, :] - 2 x @ x.T, are silently wrong.
#
# Guess: s = [1, 2, 3], the row sums of a matrix, gives [[2, 3, 4], [3, 4, 5], [4, 5, 6]], as with a vector that is no reduction.
# Seen:  the diagonal 2, 4, 6 and whatever was in memory elsewhere (often zeros). With two different matrices it is right.
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
import numpy as np


def by_iree(function, *arrays):
    text = jax.jit(function).lower(*arrays).as_text()
    module = iree.compiler.compile_str(text, input_type="stablehlo", target_backends=["llvm-cpu"])
    return iree.runtime.load_vm_flatbuffer(module, driver="local-task")["main"](*arrays).to_host()


x = np.array([[1, 0], [1, 1], [2, 1]], np.float32)
cases = {
    "a reduction with itself": (lambda x: x.sum(1)[:, None] + x.sum(1)[None, :], x),
    "two reductions": (lambda x, y: x.sum(1)[:, None] + y.sum(1)[None, :], x, x),
    "a column with itself": (lambda x: x[:, 0][:, None] + x[:, 0][None, :], x),
}
found = {}
for name, (function, *arrays) in cases.items():
    got, wanted = by_iree(function, *arrays), np.asarray(jax.jit(function)(*arrays))
    found[name] = (bool(np.array_equal(got, wanted)), bool(np.array_equal(np.diagonal(got), np.diagonal(wanted))))
print("iree", importlib.metadata.version("iree-base-compiler"), {name: f"all {a}, diagonal {b}" for name, (a, b) in found.items()})
assert found == {"a reduction with itself": (False, True), "two reductions": (True, True), "a column with itself": (True, True)}, "IREE has changed"
END
