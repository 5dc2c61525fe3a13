#!/usr/bin/env bash
# numpy 2.4.6, pandas 3.1.1: rounding a float16 number to four places makes 7 infinite: it is multiplied by 10**4 in float16 first.
#
# Guess: 7 rounded to four places is 7, and to eight places, too: there is nothing to round.
# Seen:  inf from 7 on at four places and from 66 on at three, nan for all numbers, 0 as well, from five places on. A table of losses that
#        is rounded to be printed shows divergence where there is none. Series.round is the same; jnp.round of the same numbers is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "numpy==2.4.6" "pandas==3.1.1"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import jax.numpy as jnp
import numpy as np
import pandas as pd

numbers = np.array([0, 0.5, 6, 7, 66], np.float16)
found = {
    "numpy": {places: np.round(numbers, places).astype(float).tolist() for places in (2, 3, 4, 5)},
    "pandas": pd.Series(numbers).round(4).tolist(),
    "jax": jnp.round(numbers, 5).tolist(),
}
print("numpy", np.__version__, "pandas", pd.__version__, found)
assert found["numpy"][2] == found["jax"] == [0, 0.5, 6, 7, 66]
assert found["numpy"][3] == [0, 0.5, 6, 7, np.inf], "numpy has changed"
assert found["numpy"][4] == found["pandas"] == [0, 0.5, 6, np.inf, np.inf], "rounding to four places has changed"
assert np.isnan(found["numpy"][5]).all(), "rounding to five places has changed"
END
