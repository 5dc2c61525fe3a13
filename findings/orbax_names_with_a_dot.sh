#!/usr/bin/env bash
# orbax-checkpoint 0.12.8, jax 0.10.2: the arrays of "a.b" and of "b" inside of "a" are saved under one name, "a.b": one of them overwrites
# the other, without an error. The mask of a masked NumPy array is dropped.
#
# Guess: a tree is restored as it was saved, or refused, as it is for an array without elements.
# Seen:  both are restored, with the numbers of the one that was written last, which can change from run to run; only if their shapes differ
#        there is an error. Parameters that were flattened with dots, as torch names them, beside a nested tree of the same model lose half
#        of their weights. "a/b" beside "b" inside of "a" is right. The masked (1, --) comes back as (1, 2).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "orbax-checkpoint==0.12.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - 2> log <<'END' || { tail -5 log; exit 1; }
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


def again(tree, name):
    path = pathlib.Path.cwd() / name
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, tree)
    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.map(lambda array: np.asarray(array).tolist(), checkpointer.restore(path))


ones, zeros = jnp.ones(2), jnp.zeros(2)
dot = again({"a.b": ones, "a": {"b": zeros}}, "dot")
slash = again({"a/b": ones, "a": {"b": zeros}}, "slash")
masked = again({"x": np.ma.masked_array([1.0, 2.0], mask=[False, True])}, "masked")
print("orbax-checkpoint", ocp.__version__, "jax", jax.__version__, dot, slash, masked)
assert slash == {"a/b": [1, 1], "a": {"b": [0, 0]}}
assert dot["a.b"] == dot["a"]["b"], "names with a dot have changed"
assert masked == {"x": [1, 2]}, "masked arrays have changed"
END
