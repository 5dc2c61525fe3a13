#!/usr/bin/env bash
# onnxruntime 1.32.0 on x86 CPUs: in float32 Sigmoid is exactly 0 from -18 down, and has no relative accuracy before it: a quotient of
# polynomials takes the place of the exponential, and the argument is clamped.
#
# Guess: 1 / (1 + exp(-x)) is about exp(x): 1.5e-8 at -18, 2.1e-9 at -20 and 9.4e-14 at -30, numbers that float32 has down to -87.
# Seen:  0 at all three, twice too much at -17, half of it at -16. The logarithm of a probability is -inf where jax and OpenVINO have -20,
#        so that the loss of an exported model is inf for one confident error. Softplus of the same argument is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

x = np.array([-30, -20, -18, -17, -16, -5, 1], np.float32)


def run(*operators):
    names = ["x", *(f"y{place}" for place in range(len(operators)))]
    graph = helper.make_graph(
        [helper.make_node(operator, [before], [after]) for operator, before, after in zip(operators, names, names[1:])],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, x.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0].astype(np.float64)


sigmoid, logarithm, softplus = run("Sigmoid"), run("Sigmoid", "Log"), run("Softplus")
exact = x.astype(np.float64)
right = 1 / (1 + np.exp(-exact))
print("onnxruntime", onnxruntime.__version__, x.tolist(), sigmoid.tolist(), "right", right.tolist(), "logarithm", logarithm.tolist())
np.testing.assert_allclose(softplus, np.log1p(np.exp(exact)), rtol=1e-5)
np.testing.assert_allclose(sigmoid[-2:], right[-2:], rtol=1e-4)
assert (sigmoid[:3] == 0).all() and (logarithm[:3] == -np.inf).all(), "the sigmoid of -18 and less has changed"
assert sigmoid[3] / right[3] > 1.5 and sigmoid[4] / right[4] < 0.7, "the sigmoid of -17 and -16 has changed"
END
