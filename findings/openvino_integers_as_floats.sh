#!/usr/bin/env bash
# openvino 2026.4.1 on x86 CPUs: division, remainder and comparison of int32 are made in float32, int64 is cut to 32 bits, and uint32 has a sign.
#
# Guess: integers of an ONNX model are integers: 16777217 is not 16777216, its remainder by 2 is 1, and 2**40 + 1 by 1000 leaves 777.
# Seen:  16777217 == 16777216 is true, 16777217 and 2147483647 leave 0, 16777219 / 2 is 8388610 for 8388609, 2**40 + 1 leaves 1, and half of
#        4294967288 is 4294967292, by a shift and by a division. Row numbers, hashes and bit tricks of a model with more than 16 million rows
#        are wrong without an error. Sums, products and differences of int32, Gather and ArgMax are right.
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

KINDS = {np.int32: TensorProto.INT32, np.int64: TensorProto.INT64, np.uint32: TensorProto.UINT32}


def by_both(name, given, other, dtype=np.int32, kind=None, **attributes):
    given, other = np.array([given], dtype), np.array([other], dtype)
    graph = helper.make_graph(
        [helper.make_node(name, ["x", "other"], ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info("x", KINDS[dtype], given.shape)],
        [helper.make_tensor_value_info("y", kind or KINDS[dtype], None)],
        [numpy_helper.from_array(other, "other")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return session.run(None, {"x": given})[0].item(), np.asarray(compiled([given])[0]).item()


found = {
    "16777217 == 16777216": by_both("Equal", 16777217, 16777216, kind=TensorProto.BOOL),
    "16777217 mod 2": by_both("Mod", 16777217, 2),
    "2147483647 mod 2": by_both("Mod", 2147483647, 2),
    "16777219 / 2": by_both("Div", 16777219, 2),
    "2**40 + 1 mod 1000": by_both("Mod", 2**40 + 1, 1000, np.int64),
    "4294967288 / 2": by_both("Div", 4294967288, 2, np.uint32),
    "4294967288 >> 1": by_both("BitShift", 4294967288, 1, np.uint32, direction="RIGHT"),
    "16777217 * 3": by_both("Mul", 16777217, 3),
    "16777217 + 2": by_both("Add", 16777217, 2),
}
print("openvino", openvino.__version__, "onnxruntime and openvino:", found)
rights = [False, 1, 1, 8388609, 777, 2147483644, 2147483644, 50331651, 16777219]
wrongs = [True, 0, 0, 8388610, 1, 4294967292, 4294967292, 50331651, 16777219]
assert [right for right, _ in found.values()] == rights
assert [wrong for _, wrong in found.values()] == wrongs, "openvino has changed"
END
