"""Names from elsewhere lead to ours, and stay names: none of them can be called."""

import importlib
import json
import re
import subprocess
import sys

import pytest

import jloss
from jloss._core import aliases
from jloss._core.exports import exports
from tests.pages.test_migration import LIBRARIES, table

PAIRS = [(ours, name) for ours, theirs in aliases.ELSEWHERE.items() for name in aliases.listed(theirs)]


def test_every_line_leads_to_a_public_name():
    for ours in aliases.ELSEWHERE:
        module, _, name = aliases.name_in(ours).rpartition(".")
        assert hasattr(importlib.import_module(f"jloss.{module}".strip(".")), name), ours
        for option in re.findall(r"(\w+)=", ours):
            entry = jloss.CATALOGUE[aliases.name_in(ours)]
            assert option in {*entry.options, *entry.keywords}, ours


def test_no_name_from_elsewhere_is_one_of_ours():
    for ours, name in PAIRS:
        assert not hasattr(jloss, name), f"{name} is a name of jloss, so it cannot lead to {ours}"
        assert ours in aliases.find(name), name


def test_no_line_says_what_spelling_says():
    own = {aliases.spelling(name): name for name in exports("jloss")}
    assert [(ours, name) for ours, name in PAIRS if own.get(aliases.spelling(name)) == ours] == []
    assert len(PAIRS) == len({*PAIRS})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mse", "jloss has no `mse`; it is `squared_error`."),
        ("MSELoss", "jloss has no `MSELoss`; it is `squared_error`."),
        ("l1_loss", "jloss has no `l1_loss`; it is `absolute_error`."),
        ("CrossEntropyLoss", "jloss has no `CrossEntropyLoss`; it is `cross_entropy`."),
        ("BCEWithLogitsLoss", "jloss has no `BCEWithLogitsLoss`; it is `sigmoid_cross_entropy`."),
        ("smooth_l1_loss", "jloss has no `smooth_l1_loss`; it is `smooth_l1`."),
        ("infonce", "jloss has no `infonce`; it is `info_nce`."),
        ("simclr", "jloss has no `simclr`; it is `nt_xent`."),
        ("NTXentLoss", "jloss has no `NTXentLoss`; it is `nt_xent` or `supervised_contrastive`."),
        ("focal", "jloss has no `focal`; it is `sigmoid_focal` or `softmax_focal`."),
        ("kl_div", "jloss has no `kl_div`; it is `kl_divergence` or `kl_divergence_with_log_targets`."),
        ("dice_loss", "jloss has no `dice_loss`; it is `dice`."),
        ("l2_loss", "jloss has no `l2_loss`; it is `0.5 * squared_error`."),
        ("pinball", "jloss has no `pinball`; it is `quantile`."),
    ],
)
def test_a_name_people_know_is_answered(name, said):
    with pytest.raises(AttributeError) as error:
        getattr(jloss, name)
    assert str(error.value) == said
    assert not hasattr(jloss, name)


def test_a_name_that_nobody_knows_is_only_missing():
    with pytest.raises(AttributeError, match=r"^module 'jloss' has no attribute 'hubber'$"):
        jloss.hubber  # noqa: B018


@pytest.mark.slow
def test_what_python_adds_does_not_contradict():
    done = subprocess.run([sys.executable, "-c", "import jloss; jloss.infonce"], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "AttributeError: jloss has no `infonce`; it is `info_nce`."  # no "Did you mean"


@pytest.mark.slow
def test_aliases_are_read_when_a_name_is_missing():
    program = """
import json, sys, jloss
jloss.huber, hasattr(jloss, "__wrapped__")
before = "jloss._core.aliases" in sys.modules
hasattr(jloss, "mse")
print(json.dumps([before, "jloss._core.aliases" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, True]


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_name_of_the_migration_page_is_answered(library):
    """docs/migration.md has executed rows; what they call a loss leads to it."""
    rows: dict[str, set[str]] = {}
    for names, _, call, *_ in table(library):
        for name in re.split(r",\s*", names):
            rows.setdefault(name, set()).update(re.findall(r"jloss\.(\w+)\(", call))
    for name, ours in rows.items():
        answers = {aliases.name_in(answer) for answer in aliases.find(name)} | {name}
        assert not ours or ours & answers, f"{name} is {ours}: it needs a line in jloss/_core/aliases.py; now {answers}"
