#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0: HammingWindow begins with 2 / 23 = 0.0870. The windows of numpy, scipy and torch begin with 0.08: ONNX
# has 25 / 46 where they have 0.54.
#
# Guess: a periodic window of four is (0.08, 0.54, 1, 0.54), as torch.hamming_window's; HannWindow and BlackmanWindow are those of torch,
#        too.
# Seen:  (0.0870, 0.5435, 1, 0.5435) from both. Hann and Blackman are the same. A spectrogram whose window is exported as an operator
#        differs from the one a model was trained on; a window exported as a constant does not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import onnx
import onnxruntime
import scipy.signal
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

found = {}
for name in ("Hamming", "Hann", "Blackman"):
    graph = helper.make_graph(
        [helper.make_node(f"{name}Window", ["n"], ["y"])],
        "window",
        [helper.make_tensor_value_info("n", TensorProto.INT64, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    windows = [run(None, {"n": np.array(4)})[0] for run in (ReferenceEvaluator(model).run, session.run)]
    found[name] = [np.round(window, 4).tolist() for window in (*windows, scipy.signal.get_window(name.lower(), 4))]
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "reference, runtime, scipy:", found)
for name in ("Hann", "Blackman"):
    np.testing.assert_allclose(found[name][0], found[name][2], atol=1e-4)
    np.testing.assert_allclose(found[name][1], found[name][2], atol=1e-4)
assert found["Hamming"][2] == [0.08, 0.54, 1, 0.54]
for window in found["Hamming"][:2]:
    np.testing.assert_allclose(window, [2 / 23, 25 / 46, 1, 25 / 46], atol=1e-4, err_msg="HammingWindow has changed")
END
