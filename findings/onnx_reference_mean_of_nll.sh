#!/usr/bin/env bash
# onnx 1.23.2: the reference implementation divides the mean of NegativeLogLikelihoodLoss by all examples, also by those of ignore_index, if
# there are no weights per class, and takes the logarithm of a softmax in SoftmaxCrossEntropyLoss and LogSoftmax.
#
# Guess: the reference says what onnxruntime computes, as the specification does: the mean over those that count, and finite losses.
# Seen:  0.3333 for 1 with one of three examples kept, though the mean of SoftmaxCrossEntropyLoss of the same package is right, and so is
#        this one with weights of 1. Logits 1000 and 0 with the second class have inf for 1000. Whoever tests an exporter of losses against
#        the reference finds the wrong side at fault.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" numpy
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator


def evaluated(operator, *arrays, **attributes):
    feed = {f"x{i}": x for i, x in enumerate(arrays)}
    inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in feed.items()]
    node = helper.make_node(operator, list(feed), ["y"], **attributes)
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.round(run(None, feed)[0], 4).tolist() for run in (ReferenceEvaluator(model).run, session.run)]


scores, labels = np.array([[-1, -2], [-3, -1], [-2, -4]], np.float32), np.array([0, -1, -1])
far, second = np.array([[1000, 0]], np.float32), np.array([1])
found = {
    "nll": evaluated("NegativeLogLikelihoodLoss", scores, labels, ignore_index=-1),
    "nll with weights": evaluated("NegativeLogLikelihoodLoss", scores, labels, np.ones(2, np.float32), ignore_index=-1),
    "cross entropy": evaluated("SoftmaxCrossEntropyLoss", scores, labels, ignore_index=-1),
    "far": evaluated("SoftmaxCrossEntropyLoss", far, second),
    "LogSoftmax": evaluated("LogSoftmax", far),
}
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "reference and runtime:", found)
assert found["nll with weights"] == [1, 1] and found["cross entropy"][0] == found["cross entropy"][1]
np.testing.assert_allclose(found["nll"], [1 / 3, 1], atol=1e-4, err_msg="the mean has changed")
assert found["far"] == [np.inf, 1000] and found["LogSoftmax"] == [[[0, -np.inf]], [[0, -1000]]], "the logarithm has changed"
END
