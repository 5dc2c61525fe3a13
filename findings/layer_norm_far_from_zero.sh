#!/usr/bin/env bash
# jax 0.10.2, flax 0.12.8, onnx 1.23.2 with onnxruntime 1.32.0: jax.nn.standardize, flax's LayerNorm and GroupNorm and ONNX's
# GroupNormalization take the variance as mean(x**2) - mean(x)**2 in float32. A few thousand deviations away from 0 it is 0, and the result
# is x / sqrt(epsilon).
#
# Guess: 10000, 10001 and 10002 are standardised to -1.2247, 0 and 1.2247: normalisation takes off the mean, wherever it is.
# Seen:  -316, 0 and 316 from jax.nn.standardize and from ONNX, in the reference and in onnxruntime, -1000, 0 and 1000 from flax. At 1000 to
#        1002 it is off by 2 %. use_fast_variance=False of flax, equinox 0.13.8's LayerNorm and ONNX's LayerNormalization are right.
#        Pressures in hPa and years are such numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flax==0.12.8" "equinox==0.13.8" "onnx==1.23.2" "onnxruntime==1.32.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import equinox
import flax
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from flax import linen
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.array([[10000, 10001, 10002]], np.float32)


def by_linen(module):
    return module.apply(module.init(jax.random.key(0), x), x)[0]


names = ["x", "scale", "bias"]
model = helper.make_model(
    helper.make_graph(
        [helper.make_node("GroupNormalization", names, ["y"], num_groups=1)],
        "norm",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 3] if name == "x" else [1]) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3])],
    ),
    opset_imports=[helper.make_opsetid("", 21)],
    ir_version=10,
)
given = {"x": x[None], "scale": np.ones(1, np.float32), "bias": np.zeros(1, np.float32)}
found = {
    "jax": jax.nn.standardize(x)[0],
    "jax at 1000": jax.nn.standardize(x - 9000)[0],
    "flax": by_linen(linen.LayerNorm()),
    "flax, slow": by_linen(linen.LayerNorm(use_fast_variance=False)),
    "flax, groups": by_linen(linen.GroupNorm(num_groups=1)),
    "equinox": equinox.nn.LayerNorm(3)(x[0]),
    "onnx": ReferenceEvaluator(model).run(None, given)[0],
    "onnxruntime": onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)[0],
}
found = {name: float(np.ravel(values)[2]) for name, values in found.items()}
print("jax", jax.__version__, "flax", flax.__version__, found)
for name in ("flax, slow", "equinox"):
    np.testing.assert_allclose(found[name], 1.2247, atol=1e-3, err_msg=name)
assert abs(found["jax at 1000"] - 1.2247) > 5e-3, "jax has changed"
for name in ("jax", "flax", "flax, groups", "onnx", "onnxruntime"):
    assert found[name] > 100, f"{name} has changed"
END
