"""The notebooks run from top to bottom, and what they show is what is committed.

``python -m tests.pages.test_notebooks`` runs them and writes their outputs.
"""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = "quickstart"  # the one that the newest jax runs, too
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"), key=lambda path: (path.stem != FIRST, path))


def execute(path):
    """The notebook after a run in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **{k: v for k, v in os.environ.items() if k != "XLA_FLAGS"},  # the tests' flags are not for numbers that people see
        "PYTHONPATH": os.pathsep.join(paths),
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # on a busy machine XLA says under a cell that it was slow
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute(
        env=environment
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
    return notebook


def shown(notebook):
    """What a reader sees under each cell: its text and the kinds of its pictures, without the digits that differ by machine."""
    cells = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        texts = [o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in outputs if "image/png" not in o.get("data", {})]
        pictures = sum("image/png" in o.get("data", {}) for o in outputs)
        cells.append((re.sub(r"\s+", " ", "".join(texts)), pictures))
    return cells


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook(path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    stored = nbformat.read(path, as_version=4)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert code
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), f"{path.name}: run all its cells in order and save it"
    for i, (now, before) in enumerate(zip(shown(execute(path)), shown(stored), strict=True)):
        assert NUMBER.sub("#", now[0]) == NUMBER.sub("#", before[0]), f"{path.name}, cell {i}"
        numbers = [[float(n) for n in NUMBER.findall(text)] for text in (now[0], before[0])]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=0.02), f"{path.name}, cell {i}"
        assert now[1] == before[1], f"{path.name}, cell {i}: pictures"


if __name__ == "__main__":
    import nbformat

    for path in NOTEBOOKS:
        nbformat.write(execute(path), path)
        print("wrote", path.name)
