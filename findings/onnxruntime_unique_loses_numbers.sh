#!/usr/bin/env bash
# onnxruntime 1.32.0 on x86 CPUs: Unique of an array with nan has no nan, or, if the nan comes first, nothing but the nan.
# MeanVarianceNormalization of a constant is nan.
#
# Guess: as in onnx's reference: the unique numbers and a nan, (1, 2, 3, nan), wherever it stands; 0 for a constant, as the reference adds
#        1e-9.
# Seen:  (nan) for (nan, 2, 1, 3), (1, 2, 3) for (1, nan, 2, 3); nan for three ones. The reference, onnx 1.23.2, is wrong in another place:
#        1000 to 1002 are -1.206, 0 and 1.206 there, for 1.2247 from onnxruntime, since its variance is a difference of squares.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def both(operator, x, **attributes):
    x = np.array(x, np.float32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.ravel(run(None, {"x": x})[0]) for run in (ReferenceEvaluator(model).run, session.run)]


nan = np.nan
found = {
    "nan first": both("Unique", [nan, 2, 1, 3]),
    "nan second": both("Unique", [1, nan, 2, 3]),
    "constant": both("MeanVarianceNormalization", [[[[1, 1, 1]]]], axes=[3]),
    "far": both("MeanVarianceNormalization", [[[[1000, 1001, 1002]]]], axes=[3]),
}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, {name: [v.tolist() for v in pair] for name, pair in found.items()})
for name in ("nan first", "nan second"):
    np.testing.assert_equal(found[name][0], np.array([1, 2, 3, nan], np.float32))
np.testing.assert_equal(found["constant"][0], np.zeros(3, np.float32))
np.testing.assert_allclose(found["far"][1], [-1.2247, 0, 1.2247], atol=1e-3)
np.testing.assert_equal(found["nan first"][1], np.array([nan], np.float32), err_msg="Unique has changed")
np.testing.assert_equal(found["nan second"][1], np.array([1, 2, 3], np.float32), err_msg="Unique has changed")
np.testing.assert_equal(found["constant"][1], np.full(3, nan, np.float32), err_msg="MeanVarianceNormalization has changed")
np.testing.assert_allclose(found["far"][0], [-1.206, 0, 1.206], atol=1e-3, err_msg="the reference has changed")
END
