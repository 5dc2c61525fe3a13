#!/usr/bin/env bash
# google-metrax 0.2.4, jax 0.10.2: BLEU takes the shortest reference of each sentence for the brevity penalty, although its docstring, and
# the definition of BLEU, take the one of the closest length: with one short reference no translation is too short any more.
#
# Guess: eight words, seven of them as in a reference of nine, have 0.7421, with a second reference of four words, too: 9 is closer to 8.
# Seen:  0.7421 with the long one alone, 0.8409 with both, and sacrebleu 2.6.0 has 0.7421 for both. Two words out of a reference of ten have
#        1 instead of 0.0183 at max_order=2, as soon as a reference of two other words stands beside it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "google-metrax==0.2.4" "sacrebleu==2.6.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import metrax
from sacrebleu.metrics import BLEU


def scores(candidate, references, order):
    theirs = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order).corpus_score([candidate], [[r] for r in references])
    ours = metrax.BLEU.from_model_output([candidate], [references], max_order=order).compute()
    return round(float(ours), 4), round(theirs.score / 100, 4)


long, short = "the cat sat on the mat right over there", "on the mat sat"
eight = "the cat sat on the mat right here"
ten = "a b c d e f g h i j"
found = {
    "the long one": scores(eight, [long], 4),
    "both": scores(eight, [short, long], 4),
    "two of ten": scores("a b", [ten], 2),
    "two of ten, and two others": scores("a b", [ten, "x y"], 2),
}
print("metrax and sacrebleu:", found)
assert found["the long one"] == (0.7421, 0.7421) and found["two of ten"] == (0.0183, 0.0183)
assert found["both"] == (0.8409, 0.7421), "the length of the reference has changed"
assert found["two of ten, and two others"][0] == 1, "the length of the reference has changed"
END
