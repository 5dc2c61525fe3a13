"""No change makes a loss dearer unseen: operations, bytes moved and temporaries are those of a committed table, or it changes, too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jloss.tools.growth import Costs
from tests.tools import costs

ROOT, PARTS = Path(__file__).parents[2], 6
AT_HAND = pytest.mark.skipif(not costs.TABLE.exists(), reason="the table is of the oldest jax; a newer one fuses otherwise")


@AT_HAND
def test_every_loss_has_a_row():
    missing, gone = sorted(set(costs.NAMES) - set(costs.read())), sorted(set(costs.read()) - set(costs.NAMES))
    assert not missing, f"{costs.TABLE.name} lacks {', '.join(missing)}: {costs.COMMAND} {' '.join(missing)}"
    assert not gone, f"{costs.TABLE.name} has rows of what is no more, {', '.join(gone)}: {costs.COMMAND} {costs.NAMES[0]}"


@AT_HAND
@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_costs_are_those_of_the_table(part):
    """In a process of its own: the programs of the other tests are not optimised."""
    command = [sys.executable, "-m", "tests.tools.costs", "--part", f"{part}/{PARTS}"]
    done = subprocess.run(command, cwd=ROOT, env=costs.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = costs.differences(costs.read(), {name: Costs(*figures) for name, figures in json.loads(done.stdout).items()})
    assert not found, costs.advice(found)


def test_what_counts_as_a_change(monkeypatch, tmp_path):
    monkeypatch.setattr(costs, "TABLE", tmp_path / "tests" / "core" / "costs" / "0.csv")
    costs.TABLE.parent.parent.mkdir(parents=True)
    old = {"huber": Costs(2e6, 1e7, 0.0), "giou": Costs(3e8, 2e7, 1e6)}
    costs.write(old)
    assert costs.read() == old
    assert costs.TABLE.read_text().splitlines()[1:] == [
        "regression,errors,huber,2000000,10000000,0",
        "vision,boxes,giou,300000000,20000000,1000000",
    ]
    assert costs.differences(old, {"huber": Costs(2.09e6, 0.96e7, 4000.0), "giou": old["giou"]}) == []
    new = {"huber": Costs(2.2e6, 1e7, 1 << 20), "giou": Costs(3e8, 1.8e7, 1e6), "ciou": old["giou"]}
    found = costs.differences(old, new)
    assert found == [
        "huber: flops rose from 2,000,000 to 2,200,000, +10 %",
        "huber: temporary rose from 0 to 1,048,576",
        "giou: moved fell from 20,000,000 to 18,000,000, -10 %",
        "ciou is not in the table",
    ]
    assert costs.advice(found).splitlines()[-1] == "If that is meant: python -m tests.tools.costs --write huber giou ciou"


def test_the_table_is_written_by_name(monkeypatch, tmp_path, capsys):
    """The other rows stay; comparing says what differs and fails."""
    monkeypatch.setattr(costs, "TABLE", tmp_path / "0.csv")
    costs.write({"huber": Costs(1.0, 1.0, 0.0), "absolute_error": Costs(1.0, 1.0, 0.0)})
    monkeypatch.setattr(costs, "NUMBERS", 64)
    monkeypatch.setattr(costs, "NOTHING", 0)
    assert costs.main(["huber"]) == 1
    assert "huber: flops rose from 1 to" in capsys.readouterr().out
    assert costs.main(["--write", "huber"]) == 0
    table = costs.read()
    assert table["absolute_error"] == Costs(1.0, 1.0, 0.0)
    assert table["huber"].flops > 64
    assert costs.main(["huber"]) == 0
    assert costs.main(["--part", "1/400", "huber"]) == 0
