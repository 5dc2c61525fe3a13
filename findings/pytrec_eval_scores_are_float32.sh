#!/usr/bin/env bash
# pytrec_eval-terrier 0.5.11: the scores of a run, numbers of Python, are rounded to float32 before they are sorted, and documents whose
# scores have become equal are sorted by their names, in reverse.
#
# Guess: a document at 1700000001 stands before one at 1700000000, and one at 0.3 + 1e-9 before one at 0.3: the run has doubles.
# Seen:  the relevant one, named "a", is second, with a reciprocal rank of 0.5, and first again if it is named "c", whatever the scores say.
#        A ranking by time in seconds, by an id, or by probabilities close to 1 is evaluated by the alphabet: five documents at 1 - 1e-9,
#        1 - 2e-9, ... with the best first have 0.2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "pytrec_eval-terrier==0.5.11"
cd "$work"
"$work/env/bin/python" - <<'END'
import pytrec_eval


def reciprocal_rank(relevant, run):
    evaluator = pytrec_eval.RelevanceEvaluator({"query": {relevant: 1}}, {"recip_rank"})
    return round(evaluator.evaluate({"query": run})["query"]["recip_rank"], 4)


now = 1700000000.0
found = {
    "seconds": [reciprocal_rank(name, {name: now + 1, "b": now}) for name in ("a", "c")],
    "a billionth": [reciprocal_rank(name, {name: 0.3 + 1e-9, "b": 0.3}) for name in ("a", "c")],
    "probabilities": reciprocal_rank("a", {name: 1 - 1e-9 * (i + 1) for i, name in enumerate("abcde")}),
    "apart": [reciprocal_rank(name, {name: 0.31, "b": 0.3}) for name in ("a", "c")],
}
print("pytrec_eval-terrier 0.5.11:", found)
assert found["apart"] == [1, 1]
assert found["seconds"] == [0.5, 1] and found["a billionth"] == [0.5, 1] and found["probabilities"] == 0.2, "scores have changed"
END
