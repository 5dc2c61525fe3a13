"""Plants faults of one line, one at a time, and says which of them the tests catch: python -m tests.tools.mutants [word ...]

Not part of a test run: ask before and after the tests themselves change. A word picks the faults whose file or text holds it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SWEEPS = [f"tests/catalogue/test_{n}.py" for n in ("oracles", "laws", "edges", "nan", "properties")]

FAMILIES = "tests/families"


class Mutant(NamedTuple):
    file: str  # below jloss/
    old: str
    new: str
    losses: str = ""  # whose tests in the sweeps concern it
    tests: str = ""  # and these


MUTANTS = [
    # the heart
    Mutant("_core/reduction.py", "return total if axis_name is None else lax.psum(total, axis_name)", "return total", "huber"),
    Mutant("_core/reduction.py", "total / backend.select(kept, mass, 1.0)", "total / jnp.maximum(mass, 1)", "huber"),
    Mutant("_core/reduction.py", "total, mass = lax.psum((total, mass), axis_name)", "total = lax.psum(total, axis_name)", "huber"),
    Mutant("_core/reduction.py", "harmless if where is None else where & harmless", "harmless", "huber", "tests/core/test_reduction.py"),
    Mutant("_core/loss.py", "if batch.where is None:", "if True:", "gaussian_nll"),
    Mutant("_core/loss.py", "usable if where is None else where & usable", "usable", "gaussian_nll"),
    Mutant("_core/axes.py", "return select(keep, array, jax.lax.stop_gradient(array))", "return array", "kl_divergence"),
    Mutant(
        "_core/loss.py",
        "jnp.zeros((), first.dtype) if first.shape[at] == 0",
        "jnp.ones((), first.dtype) if first.shape[at] == 0",
        "",
        "tests/families/representation/test_sets.py",
    ),
    Mutant(
        "_core/loss.py", "*jax.tree.leaves([*batch.arrays.values()])", "*jax.tree.leaves(batch.arrays)", "", "tests/core/test_backend.py"
    ),
    Mutant(
        "_core/chunks.py",
        "return array.reshape(self.counts[0], *inside, *core)",
        "return array[::-1].reshape(self.counts[0], *inside, *core)",
        "",
        "tests/core/test_chunks.py",
    ),
    Mutant("_core/backend.py", "half + half.mT.conj()", "2 * half", "", "tests/core/test_backend.py"),
    Mutant("_core/sorting.py", "cuts = [len(rows) * i // count", "cuts = [len(rows) // count * i", "", "tests/core/test_sorting.py"),
    # elementwise
    Mutant("regression/robust.py", "2 * width - 1)", "width - 1)", "cauchy"),
    Mutant(
        "regression/robust.py",
        "inside = jnp.abs(error) < scale",
        "inside = jnp.abs(error) < 1.2 * scale",
        "tukey_biweight",
        f"{FAMILIES}/regression/test_errors.py",
    ),
    Mutant("regression/robust.py", "select(jnp.isnan(error), error, 1.0)", "1.0", "tukey_biweight"),
    Mutant("probabilistic/likelihood.py", "select(variances <= epsilon, epsilon, variances)", "variances + epsilon", "gaussian_nll"),
    Mutant("probabilistic/likelihood.py", "gammaln(targets + 1) if full", "gammaln(targets) if full", "poisson_nll"),
    # classes
    Mutant("classification/entropy.py", "return -targets * log_yes", "return -jnp.abs(targets) ** 1.001 * log_yes", "binary_cross_entropy"),
    Mutant("classification/entropy.py", "(labels >= 0) & (labels < k)", "(labels >= 0) & (labels <= k)", "brier"),
    Mutant(
        "classification/entropy.py",
        "select(absent, lax.stop_gradient(targets), targets)",
        "targets",
        "soft_cross_entropy",
        f"{FAMILIES}/classification/test_entropy.py",
    ),
    Mutant(
        "classification/entropy.py",
        "present = (logits > -jnp.inf) & (needed != 0)",
        "present = needed != 0",
        "cross_entropy",
        "tests/catalogue/test_edge_contract.py",
    ),
    Mutant(
        "classification/margin.py",
        "return positive_part(margin - signs * scores)",
        "return jnp.maximum(margin - signs * scores, 0.0)",
        "hinge",
        f"{FAMILIES}/classification/test_margin.py",
    ),
    Mutant(
        "classification/margin.py",
        "select(peak == hit, 0.0, peak - hit)",
        "peak - hit",
        "multiclass_perceptron",
        f"{FAMILIES}/classification/test_margin.py",
    ),
    # divergences
    Mutant(
        "distributions/divergence.py",
        "return 0.5 * jnp.sum(absolute(p - q))",
        "return 0.5 * jnp.sum(jnp.abs(p - q))",
        "total_variation",
        f"{FAMILIES}/distributions/test_divergence.py",
    ),
    Mutant("distributions/divergence.py", "safe_norm(safe_sqrt(p) - safe_sqrt(q))", "safe_norm(jnp.sqrt(p) - jnp.sqrt(q))", "hellinger"),
    Mutant("distributions/divergence.py", "jnp.abs(order) < 0.25, near_one", "jnp.abs(order) < 0.6, near_one", "renyi_divergence"),
    # pictures
    Mutant(
        "vision/boxes.py",
        "jnp.where(pair.iou > 0.5, pair.aspect_weight",
        "jnp.where(pair.iou >= 0.5, pair.aspect_weight",
        "ciou",
        f"{FAMILIES}/vision/test_boxes.py",
    ),
    Mutant(
        "vision/_geometry.py",
        "return lax.stop_gradient(share(aspect, 1 - self.iou + aspect))",
        "return share(aspect, 1 - self.iou + aspect)",
        "ciou",
        "tests/catalogue/test_promises.py",
    ),
    Mutant("vision/boxes.py", "return 1 - pair.iou + (far + unlike) / 2", "return 1 - pair.iou + far / 2 + unlike / 2.0001", "siou"),
    Mutant("vision/_pixels.py", "[a if mask is None else jnp.where", "[a if mask is not None else jnp.where", "dice"),
    Mutant("vision/_pixels.py", "pixel_sum((p + p) * y) / 2, pixel_sum(p - p * y)", "pixel_sum((p + p) * y) / 2, pixel_sum(p)", "tversky"),
    Mutant(
        "vision/segmentation.py",
        "size = lax.stop_gradient(class_sums(y))",
        "size = class_sums(y)",
        "generalized_dice",
        "tests/catalogue/test_promises.py",
    ),
    Mutant(
        "vision/_pixels.py",
        "jnp.maximum(jnp.sum(mask, dtype=jnp.int32), 1).astype(x.dtype)",
        "jnp.asarray(x.size).astype(x.dtype)",
        "combo",
    ),
    # embeddings and sets
    Mutant(
        "representation/embedding.py",
        "    p = lax.stop_gradient(p)\n",
        "",
        "triplet_margin",
        "tests/catalogue/test_promises.py",
    ),
    Mutant("representation/embedding.py", "far - near + margin", "near - far + margin", "batch_hard_triplet"),
    Mutant(
        "representation/self_distillation.py",
        "_cosine(predictions, lax.stop_gradient(targets))",
        "_cosine(predictions, targets)",
        "byol simsiam",
    ),
    Mutant(
        "representation/_tiles.py",
        "steps = lax.psum(1, mesh.axis_name) - 1",
        "steps = lax.psum(1, mesh.axis_name) - 2",
        "",
        "tests/families/representation/test_sets.py::test_a_ring_of_three",
    ),
    # sequences
    Mutant("sequence/tagging.py", "return jnp.where(run[0], moved, alpha) if run", "return moved if run", "crf"),
    # transforms and compat
    Mutant("transforms/batches.py", "lax.stop_gradient(values), mass", "values * 0, mass", "", "tests/core/test_transforms.py"),
    Mutant("compat/torch.py", "floored = var + lax.stop_gradient(", "floored = var + (", "", "tests/compat/test_torch.py"),
]


class Only:
    """Of the sweeps, the tests of some losses; of other files, all."""

    def __init__(self, losses: str, whole: str):
        self.losses = {*losses.split()}
        self.sweeps = tuple(path for path in SWEEPS if path not in whole.split())

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = [item for item in items if self.concerns(item)]

    def concerns(self, item) -> bool:
        name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
        return name in self.losses if item.nodeid.startswith(self.sweeps) else True


RUN = "import sys, pytest; from tests.tools.mutants import Only; sys.exit(pytest.main(sys.argv[3:], plugins=[Only(*sys.argv[1:3])]))"


def paths(mutant: Mutant) -> list[str]:
    return list(dict.fromkeys([*(SWEEPS if mutant.losses else []), *mutant.tests.split()]))


def caught_by(mutant: Mutant, tree: Path) -> str:
    """The first test that fails, or nothing."""
    path = tree / "jloss" / mutant.file
    text = path.read_text()
    if text.count(mutant.old) == 0:
        raise SystemExit(f"{mutant.file} no longer holds {mutant.old!r}")
    path.write_text(text.replace(mutant.old, mutant.new))
    options = ["-x", "-q", "-n", "0", "-m", "slow or not slow", "--no-header", "-p", "no:cacheprovider"]
    command = [sys.executable, "-c", RUN, mutant.losses, mutant.tests, *options, *paths(mutant)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": ""})
    path.write_text(text)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (lines or [f"exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}"])[0]


def main(words: list[str]) -> None:
    chosen = [m for m in MUTANTS if not words or any(w in f"{m.file} {m.old} {m.losses}" for w in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(shutil.copytree(ROOT, Path(folder) / "tree", ignore=shutil.ignore_patterns(".git", "*cache*", "site")))
        for mutant in chosen:
            start = time.perf_counter()
            by = caught_by(mutant, tree)
            survivors += not by
            line = f"{'caught' if by else 'NOT CAUGHT'} {time.perf_counter() - start:4.0f} s  {mutant.file}: {mutant.new}"
            print(line.replace("\n", " ")[:150], f"\n    {by[:160]}" if by else "", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} caught")


if __name__ == "__main__":
    main(sys.argv[1:])
