"""What `import jloss` leaves for later, in a process of its own: nobody sees that it does."""

import compileall
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jloss

ROOT = Path(jloss.__file__).parents[1]


ASKED = ["len", "bool", "list", "sorted", "str", "max"]
FIRST_CALLS = ["jloss.giou", "import jloss.vision.boxes", "jloss.CATALOGUE['giou']", "'giou' in jloss.CATALOGUE", "0"]
ONE_OBJECT = """
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
said = sorted(n for n in dir(jloss) if not n.startswith("_"))
"""
PROGRAMS = {
    "modules": "said = [m for m in sys.modules if m.startswith('jloss.')]",
    "modules of giou": "jloss.giou; said = [m for m in sys.modules if m.startswith('jloss.')]",
    **{first: f"{first}; said = list(jloss.CATALOGUE)" for first in FIRST_CALLS},
    "one object": ONE_OBJECT,
    **{f"{how} of part": f"said = len(str({how}(jloss.CATALOGUE)))" for how in ASKED},
    **{f"{how} of all": f"list(jloss.CATALOGUE); said = len(str({how}(jloss.CATALOGUE)))" for how in ASKED},
}
ALL = """
import importlib, json, sys
found = {}
for name, program in json.loads(sys.argv[1]).items():
    for module in [m for m in sys.modules if m.partition(".")[0] == "jloss"]:
        del sys.modules[module]
    names = {"sys": sys, "jloss": importlib.import_module("jloss")}
    exec(program, names)
    found[name] = names["said"]
print(json.dumps(found))
"""


@functools.cache
def all_said():
    """What each program finds in a process in which nothing of jloss was imported before."""
    done = subprocess.run([sys.executable, "-c", ALL, json.dumps(PROGRAMS)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def said_by(name):
    return all_said()[name]


@pytest.mark.slow
def test_import_jloss_imports_no_family():
    loaded = said_by("modules")
    assert [m for m in loaded if not m.startswith("jloss._core")] == []


@pytest.mark.slow
def test_a_loss_imports_its_own_domain_only():
    loaded = said_by("modules of giou")
    assert "jloss.vision.boxes" in loaded
    assert not any(m.startswith(("jloss.sequence", "jloss.language")) for m in loaded)


@pytest.mark.parametrize("first", FIRST_CALLS)
def test_the_catalogue_is_whole_and_in_order_whatever_came_first(first):
    assert said_by(first) == list(jloss.CATALOGUE)


def test_every_way_to_a_loss_is_one_object():
    assert {*jloss.CATALOGUE, "numerics", "regularization", "vision", "testing", "Reduce", "match"} <= {*said_by("one object")}


@pytest.mark.parametrize("how", ASKED)
def test_whoever_asks_for_all_gets_all(how):
    assert said_by(f"{how} of part") == said_by(f"{how} of all")


def test_a_name_that_does_not_exist_is_missing():
    with pytest.raises(AttributeError, match="module 'jloss' has no attribute 'hubber'"):
        jloss.hubber  # noqa: B018
    with pytest.raises(ImportError, match="hubber"):
        from jloss import hubber  # noqa: F401
    with pytest.raises(KeyError, match="hubber"):
        jloss.CATALOGUE["hubber"]


@pytest.mark.slow
def test_bytecode_alone_is_enough(tmp_path):
    shutil.copytree(ROOT / "jloss", tmp_path / "jloss", ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(tmp_path, legacy=True, quiet=2)
    for file in tmp_path.rglob("*.py"):
        file.unlink()
    program = "import jloss; assert jloss.__file__.endswith('.pyc'); jloss.giou; print(*jloss.CATALOGUE)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(jloss.CATALOGUE)
