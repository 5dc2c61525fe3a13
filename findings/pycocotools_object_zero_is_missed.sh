#!/usr/bin/env bash
# pycocotools 2.0.11: an object whose annotation has the id 0 is never found: the id of what a detection matches is also the flag that it
# matches, and 0 is no match.
#
# Guess: detections that are equal to the objects have an average precision and recall of 1, however the annotations are numbered.
# Seen:  for three objects with the ids 0, 1 and 2 a precision of 0.442 and a recall of 0.667; with the ids 1, 2 and 3 both are 1. One
#        object is missed, and its detection is a false alarm. Of a set of thousands it is a small loss that nobody sees; enumerate()
#        numbers from 0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "pycocotools==2.0.11" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import contextlib
import importlib.metadata
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def score(first):
    with contextlib.redirect_stdout(io.StringIO()):
        objects = [
            {"id": first + place, "image_id": place + 1, "category_id": 1, "bbox": [10.0 * place, 10, 50, 50], "area": 2500, "iscrowd": 0}
            for place in range(3)
        ]
        truth = COCO()
        truth.dataset = {"info": {}, "images": [{"id": place} for place in (1, 2, 3)], "categories": [{"id": 1}], "annotations": objects}
        truth.createIndex()
        found = truth.loadRes([{"image_id": o["image_id"], "category_id": 1, "bbox": list(o["bbox"]), "score": 0.9} for o in objects])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[8])


from_zero, from_one = score(0), score(1)
print("pycocotools", importlib.metadata.version("pycocotools"), "ids from 0:", from_zero, "from 1:", from_one)
assert from_one == (1, 1)
np.testing.assert_allclose(from_zero, [0.442, 0.667], atol=1e-3, err_msg="the id 0 has changed")
END
