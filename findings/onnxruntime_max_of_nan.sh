#!/usr/bin/env bash
# onnxruntime 1.32.0 on x86 CPUs: ReduceMax of a row with one nan is nan if the nan comes first. Elsewhere the nan is dropped, and with it,
# in longer rows, one of the other numbers.
#
# Guess: nan, as from NumPy, torch and jax, or else the largest of the others, wherever the nan stands.
# Seen:  nan for [nan, 1, ..., 7], 7 with the nan in the place of the 4, and 6 in that of the 1; of 0 to 999, 998 with the nan in the place of
#        the 1: neither is the maximum of anything. ReduceMin does the same: -6 of 0, nan, -2, ..., -7. Max of two tensors keeps nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "$(uname -m)" = x86_64 ] || { echo "other vector instructions drop other numbers"; exit 1; }
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "onnx==1.23.2" "onnxruntime==1.32.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def by_onnx(name, row, other):
    row = np.asarray(row, np.float32)
    reduced = {"keepdims": 0} if name.startswith("Reduce") else {}
    graph = helper.make_graph(
        [helper.make_node(name, ["x", "other"], ["y"], **reduced)],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(other), "other")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": row})[0].tolist()


def with_nan(n, place):
    return [np.nan if i == place else i for i in range(n)]


largest = {(n, place): by_onnx("ReduceMax", with_nan(n, place), [0]) for n in (8, 1000) for place in (0, 4, 1)}
least = [by_onnx("ReduceMin", np.negative(with_nan(8, place)), [0]) for place in (0, 4, 1)]
pair = by_onnx("Max", [np.nan, 1], np.float32(0))
print("onnxruntime", onnxruntime.__version__, "numbers, place of the nan, maximum:", largest, "minima", least, "of two", pair)
assert np.isnan([largest[8, 0], largest[1000, 0], least[0], pair[0]]).all()
assert [largest[8, 4], largest[8, 1]] == [7, 6] and least[1:] == [-7, -6] and largest[1000, 1] == 998, "onnxruntime has changed"
END
