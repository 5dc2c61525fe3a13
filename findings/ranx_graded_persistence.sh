#!/usr/bin/env bash
# ranx 0.3.21: rank-biased precision multiplies by the grade of a document, although its documentation has 0 or 1 there, so that it can
# exceed 1; and bpref of a query without a document that is judged and not relevant is nan, and with it the mean.
#
# Guess: a query whose four documents are all relevant and found, of the grades 3, 2, 1 and 1, has 1 - 0.5**4 = 0.9375 with a persistence of
#        a half, and bpref is 1, as nothing that is not relevant stands before a relevant document.
# Seen:  2.1875 and nan; pytrec_eval 0.5.11 has 1 for bpref. With grades of 1 the first is 0.9375; with a document of grade 0, even one
#        that is not found, the second is 1. In collections of which only relevant documents are known, as those made of clicks, every
#        query is nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "ranx==0.3.21" "pytrec_eval-terrier==0.5.11"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import math

import pytrec_eval
from ranx import Qrels, Run, evaluate

run = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}


def score(metric, grades):
    return round(float(evaluate(Qrels({"query": grades}), Run({"query": run}), metric)), 4)


graded, ones = {"a": 3, "b": 2, "c": 1, "d": 1}, dict.fromkeys("abcd", 1)
found = {
    "rbp.50": [score("rbp.50", grades) for grades in (graded, ones)],
    "bpref": [score("bpref", grades) for grades in (ones, ones | {"e": 0})],
}
theirs = pytrec_eval.RelevanceEvaluator({"query": ones}, {"bpref"}).evaluate({"query": run})["query"]["bpref"]
both = float(evaluate(Qrels({"query": ones, "other": ones | {"e": 0}}), Run({"query": run, "other": run}), "bpref"))
print("ranx 0.3.21:", found, "mean of both", both, "pytrec_eval:", theirs)
assert found["rbp.50"][1] == 0.9375 and found["bpref"][1] == theirs == 1
assert found["rbp.50"][0] == 2.1875, "rank-biased precision has changed"
assert math.isnan(found["bpref"][0]) and math.isnan(both), "bpref has changed"
END
