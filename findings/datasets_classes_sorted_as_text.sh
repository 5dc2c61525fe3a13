#!/usr/bin/env bash
# datasets 5.2.0: class_encode_column of integers gives other integers as soon as there are more than ten classes: it sorts
# their names as text.
#
# Guess: labels 0 to 11 are their own class numbers and stay as they are, as with scikit-learn's LabelEncoder.
# Seen:  0, 1, 4, 5, ..., 11, 2, 3: class 2 is now 4 and class 10 is 2. The metadata say so ("0", "1", "10", ...), but whoever compares
#        with the raw labels of a test set, or with a model trained on them, has every class but two wrong. It looks right for ten classes.
#        cast_column with ClassLabel(num_classes=12) keeps the numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "datasets==5.2.0"
cd "$work"
HF_HUB_OFFLINE=1 HF_HOME="$work" "$work/env/bin/python" - <<'END'
import datasets

datasets.disable_progress_bars()
found = {}
for classes in (10, 12):
    raw = datasets.Dataset.from_dict({"label": list(range(classes))})
    encoded = raw.class_encode_column("label")
    found[classes] = {"labels": list(encoded["label"]), "names": encoded.features["label"].names}
kept = raw.cast_column("label", datasets.ClassLabel(num_classes=12))
print("datasets", datasets.__version__, found)
assert found[10]["labels"] == list(range(10)) and list(kept["label"]) == list(range(12))
assert found[12]["labels"] == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3], "the order of classes has changed"
END
