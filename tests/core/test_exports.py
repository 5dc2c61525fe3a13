"""What `import jloss` leaves for later, in processes of their own: nobody sees that it does."""

import compileall
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jloss

ROOT = Path(jloss.__file__).parents[1]


def said_by(program, root=ROOT):
    """What a fresh process prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", f"import json, sys, jloss\n{program}"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_jloss_imports_no_family():
    loaded = said_by("print(json.dumps([m for m in sys.modules if m.startswith('jloss.')]))")
    assert [m for m in loaded if not m.startswith("jloss._core")] == []


def test_a_loss_imports_its_own_domain_only():
    loaded = said_by("jloss.giou; print(json.dumps([m for m in sys.modules if m.startswith('jloss.')]))")
    assert "jloss.vision.boxes" in loaded
    assert not any(m.startswith(("jloss.sequence", "jloss.language")) for m in loaded)


@pytest.mark.parametrize("first", ["jloss.giou", "import jloss.vision.boxes", "jloss.CATALOGUE['giou']", "'giou' in jloss.CATALOGUE", "0"])
def test_the_catalogue_is_whole_and_in_order_whatever_came_first(first):
    assert said_by(f"{first}; print(json.dumps(list(jloss.CATALOGUE)))") == list(jloss.CATALOGUE)


def test_every_way_to_a_loss_is_one_object():
    program = """
import copy, pickle
from jloss import huber
import jloss.vision
assert jloss.huber is huber is jloss.regression.huber is jloss.regression.errors.huber is jloss.CATALOGUE["huber"].public
assert jloss.vision.boxes.giou is jloss.vision.giou is jloss.giou
assert pickle.loads(pickle.dumps(jloss.giou)) is jloss.giou
names = {}
exec("from jloss import *", names)
assert names["giou"] is jloss.giou and {*jloss.CATALOGUE} <= {*names}
assert len(dict(jloss.CATALOGUE)) == len({**jloss.CATALOGUE}) == len(jloss.CATALOGUE.copy()) == len(jloss.CATALOGUE | {})
print(json.dumps(sorted(n for n in dir(jloss) if not n.startswith("_"))))
"""
    assert {*jloss.CATALOGUE, "numerics", "regularization", "vision", "testing", "Reduce", "match"} <= {*said_by(program)}


@pytest.mark.parametrize("how", ["len", "bool", "list", "sorted", "str", "max"])
def test_whoever_asks_for_all_gets_all(how):
    alone, whole = (said_by(f"{first}; print(json.dumps(len(str({how}(jloss.CATALOGUE)))))") for first in ("0", "list(jloss.CATALOGUE)"))
    assert alone == whole


def test_a_name_that_does_not_exist_is_missing():
    with pytest.raises(AttributeError, match="module 'jloss' has no attribute 'hubber'"):
        jloss.hubber  # noqa: B018
    with pytest.raises(ImportError, match="hubber"):
        from jloss import hubber  # noqa: F401
    with pytest.raises(KeyError, match="hubber"):
        jloss.CATALOGUE["hubber"]


def test_bytecode_alone_is_enough(tmp_path):
    shutil.copytree(ROOT / "jloss", tmp_path / "jloss", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(tmp_path, legacy=True, quiet=2)
    for file in tmp_path.rglob("*.py"):
        file.unlink()
    program = "assert jloss.__file__.endswith('.pyc'); jloss.giou; print(json.dumps(list(jloss.CATALOGUE)))"
    assert said_by(program, tmp_path) == list(jloss.CATALOGUE)
