#!/usr/bin/env bash
# flashbax 0.1.3, jax 0.10.2: a prioritised buffer does not get over one very large priority: sums in its tree are corrected by differences,
# in float32, so that what was lost beside the large number stays lost when the priority is set back. A nan stays for good.
#
# Guess: eight items of priority 1, of which one was 1e8 for a while and is 1 again, are drawn equally often, an eighth each.
# Seen:  the item, and three others whose sums it shared, are never drawn again, and the last one is drawn in 62 % of cases, with a stated
#        probability of 0.125; after 1e9 one other item is all there is, with a probability of inf, whose importance weight is 0. After 1e6
#        it is right. After nan, set back to 1, all draws are of one item, with a probability of nan. One diverged step decides what a value
#        network sees from then on. Seen with device="cpu".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flashbax==0.1.3"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import flashbax
import jax
import jax.numpy as jnp


def draws(priority):
    """How often each of eight items is drawn, and the probabilities that are stated, after one priority was something else for a while."""
    options = {"max_length": 8, "min_length": 1, "sample_batch_size": 8, "add_batches": False}
    buffer = flashbax.make_prioritised_item_buffer(**options, priority_exponent=1.0, device="cpu")
    state = buffer.init({"item": jnp.array(0)})
    for i in range(8):
        state = buffer.add(state, {"item": jnp.array(i)})
    for value in (priority, 1.0):
        state = buffer.set_priorities(state, jnp.array([3]), jnp.array([value]))
    found = jax.vmap(buffer.sample, in_axes=(None, 0))(state, jax.random.split(jax.random.key(0), 200))
    shares = [round(float((found.experience["item"] == i).mean()), 3) for i in range(8)]
    return shares, sorted({str(round(float(p), 3)) for p in found.probabilities.ravel()})


rows = {str(p): draws(p) for p in (1.0, 1e6, 1e8, 1e9, float("nan"))}
for priority, (shares, probabilities) in rows.items():
    print(priority, shares, probabilities)
assert rows["1.0"] == rows["1000000.0"] == ([0.125] * 8, ["0.125"])
assert rows["100000000.0"] == ([0, 0, 0, 0, 0.125, 0.125, 0.125, 0.625], ["0.125"]), "sums of priorities have changed"
assert rows["1000000000.0"] == ([0, 0, 0, 0, 1, 0, 0, 0], ["inf"]), "sums of priorities have changed"
assert max(rows["nan"][0]) == 1 and rows["nan"][1] == ["nan"], "nan has changed"
END
