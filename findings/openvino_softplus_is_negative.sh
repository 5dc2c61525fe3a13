#!/usr/bin/env bash
# openvino 2026.4.1 on x86 CPUs, in float32: SoftPlus is negative for some arguments below -17, 0 for others from -15 on, and not monotonic.
#
# Guess: log(1 + exp(x)) is positive and about exp(x) there: 3.1e-7 at -15, 1.5e-8 at -18 and 2.1e-9 at -20, as in onnxruntime and jax.
# Seen:  0 at -15, 9.5e-7 at -16, 0 at -17 and -1.9e-6 at -18, -20 and -29: its steps are 9.5e-7, and they go on below 0. A scale or a
#        concentration that is made positive by softplus is negative, its logarithm and its root are nan. Sigmoid is right there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "openvino==2026.4.1" "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper

x = np.array([-29, -20, -18, -17, -16, -15, -10, 1], np.float32)


def both(operator):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.array(compiled(x)[0], np.float64), np.array(session.run(None, {"x": x})[0], np.float64)


softplus, reference = both("Softplus")
sigmoid, _ = both("Sigmoid")
right = np.log1p(np.exp(x.astype(np.float64)))
print("openvino", openvino.__version__, x.tolist(), softplus.tolist(), "onnxruntime", reference.tolist(), "right", right.tolist())
np.testing.assert_allclose(reference, right, rtol=1e-5)
np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-x.astype(np.float64))), rtol=1e-4)
np.testing.assert_allclose(softplus[-1], right[-1], rtol=1e-5)
assert (softplus[:3] < -1e-6).all() and np.isnan(np.sqrt(softplus[:3])).all(), "SoftPlus has changed"
assert softplus[3] == softplus[5] == 0 < softplus[4], "SoftPlus has changed"
END
