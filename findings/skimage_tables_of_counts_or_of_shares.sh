#!/usr/bin/env bash
# scikit-image 0.26.0: of the two scores of segmentations that take a contingency table, one needs a table of counts and the other one of
# shares, and neither looks: variation_of_information of counts is too large by the number of pixels, and adapted_rand_error of shares is no
# error.
#
# Guess: the table that contingency_table makes of two images gives both scores what the images give: conditional entropies of 0.5 and 0.6887
#        bits and an error of 0.6, and so does a normalised one.
# Seen:  2 and 2.755 for four pixels from a table of counts, which is what contingency_table makes unless it is asked for shares, and 64 times
#        as much for 64 pixels, so that segmentations of two sizes cannot be compared. Of shares the entropies are right and the error is
#        -0.43, with a precision of 1.25 and a recall of 1.67. By the documentation each takes the table that contingency_table makes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import skimage
from skimage.metrics import adapted_rand_error, contingency_table, variation_of_information

true, tested = np.array([[1, 1, 2, 2]]), np.array([[1, 2, 2, 2]])
counts, shares = contingency_table(true, tested), contingency_table(true, tested, normalize=True)


def rounded(numbers):
    return [round(float(number), 4) for number in numbers]


entropies = {
    "images": rounded(variation_of_information(true, tested)),
    "counts": rounded(variation_of_information(true, tested, table=counts)),
    "shares": rounded(variation_of_information(true, tested, table=shares)),
}
many = np.tile(true, (16, 1)), np.tile(tested, (16, 1))
larger = rounded(variation_of_information(*many, table=contingency_table(*many)) / variation_of_information(*many))
errors = {
    "images": rounded(adapted_rand_error(true, tested)),
    "counts": rounded(adapted_rand_error(table=contingency_table(true, tested, sparse_type="array"))),
    "shares": rounded(adapted_rand_error(table=contingency_table(true, tested, normalize=True, sparse_type="array"))),
}
print("scikit-image", skimage.__version__, "entropies:", entropies, "for 64 pixels:", larger, "errors:", errors)
assert entropies["shares"] == entropies["images"] == [0.5, 0.6887] and errors["counts"] == errors["images"] and errors["images"][0] == 0.6
assert entropies["counts"] == [2.0, 2.7549] and larger == [64, 64], "entropies of counts have changed"
assert errors["shares"] == [-0.4286, 1.25, 1.6667], "errors of shares have changed"
END
