"""Exported losses between versions of jax: ``python -m tests.frameworks.stablehlo write|read FOLDER [loss ...|all]``.

One version writes value and gradients of losses (the first of each family, unless named) and what it found; another reads and runs them.
The reader needs no jloss.
"""

import pathlib
import sys

import jax
import jax.export
import numpy as np


def write(folder, names):
    from tests.cases import FIRST, LOSSES
    from tests.frameworks.exporters import program

    for name in names if names and names != ["all"] else LOSSES if names else sorted(FIRST):
        function, leaves = program(name, "gradient")
        if any(jax.dtypes.issubdtype(getattr(a, "dtype", np.float32), jax.dtypes.prng_key) for a in leaves):
            continue  # NumPy has no file for keys
        exported = jax.export.export(jax.jit(function), platforms=("cpu", "cuda", "tpu"))(*leaves)
        (folder / f"{name}.bin").write_bytes(exported.serialize())
        results = jax.jit(function)(*leaves)
        np.savez(folder / f"{name}.npz", *leaves, **{f"result{i}": a for i, a in enumerate(results)})


def read(folder):
    files = sorted(folder.glob("*.bin"))
    assert files, f"{folder} holds no exported loss"
    for file in files:
        kept = np.load(file.with_suffix(".npz"))
        leaves = [kept[f"arr_{i}"] for i in range(sum(n.startswith("arr_") for n in kept))]
        found = jax.export.deserialize(bytearray(file.read_bytes())).call(*leaves)
        for i, result in enumerate(found):
            np.testing.assert_allclose(result, kept[f"result{i}"], rtol=1e-5, atol=1e-5, err_msg=f"{file.stem}, result {i}")
    print(f"jax {jax.__version__} read {len(files)} losses")


def main(arguments):
    todo, folder, *names = arguments
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    write(path, names) if todo == "write" else read(path)


if __name__ == "__main__":
    main(sys.argv[1:])
