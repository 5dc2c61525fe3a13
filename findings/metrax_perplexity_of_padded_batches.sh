#!/usr/bin/env bash
# google-metrax 0.2.4, jax 0.10.2: Perplexity weighs batches by their rows, not by the tokens that are kept, so that a padded batch counts
# like a full one, and a batch of nothing but padding like one that is predicted with certainty.
#
# Guess: by the docstring's formula with weights, one token of perplexity 2 and three of perplexity 8 have 8 / 2**0.5 = 5.657, in one batch
#        or two, and a batch whose weights are all 0 changes nothing.
# Seen:  5.657 in one batch, 4 in two, and 2.828, the root of 8, for three tokens of perplexity 8 and a batch of padding, which has 1
#        alone, the best there is. The last batch of an evaluation, filled up to size, makes a language model look better.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "google-metrax==0.2.4"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import metrax


def batch(choices, weights):
    """One row of tokens; at each, so many of eight words are equally likely, and the first is right."""
    logits = jnp.where(jnp.arange(8) < jnp.array(choices)[:, None], 0.0, -1e9)
    labels = jnp.zeros((1, len(choices)), int)
    return metrax.Perplexity.from_model_output(logits[None], labels, jnp.array([weights], float), from_logits=True)


two, eight, padding = batch([2, 1, 1], [1, 0, 0]), batch([8, 8, 8], [1, 1, 1]), batch([8, 8, 8], [0, 0, 0])
metrics = {
    "in one batch": batch([2, 8, 8, 8], [1, 1, 1, 1]),
    "in two batches": two.merge(eight),
    "padding": padding,
    "eight": eight,
    "eight and padding": eight.merge(padding),
}
found = {name: round(float(metric.compute()), 3) for name, metric in metrics.items()}
print("google-metrax 0.2.4:", found)
assert found["in one batch"] == 5.657 and found["eight"] == 8
assert found["in two batches"] == 4, "the merge has changed"
assert found["padding"] == 1 and found["eight and padding"] == 2.828, "a batch without weight has changed"
END
