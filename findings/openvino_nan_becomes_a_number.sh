#!/usr/bin/env bash
# openvino 2026.4.1 on x86 CPUs, in float32: nan becomes a number in many operations of an ONNX model.
#
# Guess: as in onnxruntime, a nan among the inputs is a nan in the result, and no comparison with it is true.
# Seen:  exp(nan) is inf, relu(nan) 0, clip(nan, -1, 1) is -1, HardSigmoid 1, and Max and Min of nan and 1 are 1; nan > 1 and nan >= 1 are
#        true, nan < 1 is false; ReduceLogSumExp of (nan, 1, 2) is inf. A model that has gone wrong looks well after its first ReLU, and a
#        loss made of exp is inf for nan. log, sqrt, tanh, softplus, IsNaN and x != x are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$(uname -m)" = x86_64 ] || { echo "the code for other processors is another"; exit 1; }
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" "openvino==2026.4.1" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper


def by_both(name, given, kind=TensorProto.FLOAT, constants=(), **attributes):
    given = np.asarray(given, np.float32)
    names = [f"c{i}" for i in range(len(constants))]
    graph = helper.make_graph(
        [helper.make_node(name, ["x", *names], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given.shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in zip(names, constants)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, {"x": given})[0].ravel()[0].item(), np.asarray(compiled([given])[0]).ravel()[0].item()


one, boolean, found = np.float32(1), TensorProto.BOOL, {}
for name in ("Exp", "Relu", "HardSigmoid", "Log", "Sqrt", "Tanh", "Softplus"):
    found[name] = by_both(name, [np.nan, 2])
found["Clip"] = by_both("Clip", [np.nan, 2], constants=(-one, one))
found["ReduceLogSumExp"] = by_both("ReduceLogSumExp", [np.nan, 1, 2], constants=([0],))
for name in ("Max", "Min"):
    found[name] = by_both(name, [np.nan, 2], constants=(one,))
for name in ("Greater", "GreaterOrEqual", "Less"):
    found[name] = by_both(name, [np.nan, 2], boolean, constants=(one,))
found["IsNaN"] = by_both("IsNaN", [np.nan, 2], boolean)
print("openvino", openvino.__version__, "onnxruntime and openvino:", found)
wrong = {"Exp": np.inf, "Relu": 0, "HardSigmoid": 1, "Clip": -1, "ReduceLogSumExp": np.inf, "Max": 1, "Min": 1}
assert all(np.isnan(found[name][0]) and found[name][1] == value for name, value in wrong.items()), "openvino has changed"
assert found["Greater"] == found["GreaterOrEqual"] == (False, True), "openvino has changed"
assert np.isnan([found[name] for name in ("Log", "Sqrt", "Tanh", "Softplus")]).all()
assert found["Less"] == (False, False) and found["IsNaN"] == (True, True)
END
