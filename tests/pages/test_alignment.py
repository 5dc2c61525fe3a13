"""Every number of the page on alignment: ours by its code, the others by their formulas, written here from their sources in NumPy."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

PAGE = (Path(__file__).parents[2] / "docs/alignment.md").read_text()
LIBRARIES = ("TRL", "verl", "OpenRLHF", "Liger")
TABLES = re.findall(r"<!-- table -->\n(?:\|.*\n){2}((?:\|.*\n)+)", PAGE)
ROWS = [[cell.strip() for cell in line.strip().strip("|").split("|")] for table in TABLES for line in table.splitlines()]
NUMBER = r"\*{0,2}(-?[\d.]+|inf)\*{0,2}$"

MASK = np.array([[1, 1, 1], [1, 0, 0]])
RATIOS = np.array([[1.5, 0.5, 1.0], [2.0, 1.0, 1.0]])
ADVANTAGES = np.array([[1.0], [-1.0]]) * np.ones((2, 3))


def surrogate(ratios, low=0.2, high=0.2):
    return -np.minimum(ratios * ADVANTAGES, np.clip(ratios, 1 - low, 1 + high) * ADVANTAGES)


TOKENS = surrogate(RATIOS)
PER_RESPONSE = (TOKENS * MASK).sum(1)
WHOLE = surrogate(np.exp((np.log(RATIOS) * MASK).sum(1) / MASK.sum(1))[:, None] * np.ones((2, 3)), 3e-4, 4e-4)
CHOSEN, REJECTED = -2.0 + 4.0, -3.0 + 2.0  # sums, over the reference


def softplus(x):
    return math.log1p(math.exp(x))


def k3(u, floor=-math.inf, cap=math.inf):
    """Of ``log pi - log reference``, with the limits of the exponent and of the result."""
    u = max(u, floor)
    with np.errstate(over="ignore"):
        return min(float(np.exp(np.float32(-u))) - 1 + u, cap)


def log_odds(x):
    return x - math.log(1 - math.exp(x))


def everywhere(number, *but):
    return {name: number for name in LIBRARIES if name not in but}


STD = np.std([1, 0, 0, 1], ddof=1)
MEAN_OF_MEANS = (PER_RESPONSE / MASK.sum(1)).mean()
TOKEN_MEAN = PER_RESPONSE.sum() / MASK.sum()
THEIRS = {
    "responses alike (GRPO)": everywhere(MEAN_OF_MEANS),
    "tokens alike (DAPO)": everywhere(TOKEN_MEAN),
    "tokens alike, by weights": everywhere(TOKEN_MEAN),
    "a constant length of 8 (Dr. GRPO)": everywhere(PER_RESPONSE.sum() / (2 * 8), "OpenRLHF"),
    "sums per response": {
        "TRL": PER_RESPONSE.mean(),
        "verl": PER_RESPONSE.mean(),
        "Liger": (TOKENS * MASK.sum(1, keepdims=True)).sum() / (2 * 3),
    },
    "the ratio of the response (GSPO)": everywhere((WHOLE * MASK).sum(1).dot(1 / MASK.sum(1)) / 2),
    "a response without tokens counts": {
        **dict.fromkeys(("TRL", "Liger"), (PER_RESPONSE[0] / 3 + 0) / 2),
        **dict.fromkeys(("verl", "OpenRLHF"), PER_RESPONSE[0] / 3),
    },
    "it does not count": dict.fromkeys(("verl", "OpenRLHF"), PER_RESPONSE[0] / 3),
    "a log-ratio of 25, A = -1": {
        **dict.fromkeys(("TRL", "Liger"), math.exp(25)),
        **dict.fromkeys(("verl", "OpenRLHF"), math.exp(20)),
    },
    "a ratio of 5, A = -1, at most 3": everywhere(-min(min(5, 3) * -1, 1.2 * -1)),
    "a bounded weight (CISPO) of ratio 9, log p = -0.5": everywhere(-min(9, 5) * -0.5, "OpenRLHF"),
    "values that moved from 0 to 0.5, of 2": dict.fromkeys(("verl", "OpenRLHF"), 0.5 * max((0.5 - 2) ** 2, (0.2 - 2) ** 2)),
    "values that are not clipped": {"OpenRLHF": 0.5 * (0.5 - 2) ** 2},
    "k1 of half a nat": dict.fromkeys(("verl", "OpenRLHF"), 0.5),
    "k2": dict.fromkeys(("verl", "OpenRLHF"), 0.5**2 / 2),
    "k3": everywhere(k3(0.5)),
    "k1 of -15 nats": {"verl": -15, "OpenRLHF": max(-15, -10)},
    "k2 of -15 nats": {"verl": 15**2 / 2, "OpenRLHF": min(15**2 / 2, 10)},
    "k3 of -15 nats": {
        **dict.fromkeys(("TRL", "Liger"), k3(-15)),
        "verl": k3(-15, floor=-20, cap=10),
        "OpenRLHF": k3(-15, floor=-10, cap=10),
    },
    "k3 of -100 nats": {
        **dict.fromkeys(("TRL", "Liger"), k3(-100)),
        "verl": k3(-100, floor=-20, cap=10),
        "OpenRLHF": k3(-100, floor=-10, cap=10),
    },
    "the best of four": {"TRL": 0.5 / (STD + 1e-4), "verl": 0.5 / (STD + 1e-6)},
    "with verl's epsilon": {"verl": 0.5 / (STD + 1e-6)},
    "not scaled (Dr. GRPO)": everywhere(1 - 0.5, "Liger"),
    "against the others (RLOO)": dict.fromkeys(("verl", "OpenRLHF"), 1 - (0 + 0 + 1) / 3),
    "one response of reward 5": {"verl": (5 - 0) / (1 + 1e-6)},  # it takes 0 for the mean and 1 for the deviation
    "of sums (DPO)": everywhere(softplus(-0.1 * (CHOSEN - REJECTED)), "verl"),
    "of means per token": {"TRL": softplus(-0.1 * (CHOSEN / 4 - REJECTED / 2))},
    "a tenth of the labels wrong (cDPO)": {
        "TRL": softplus(-0.3),  # its "sigmoid" does not smooth
        "OpenRLHF": 0.9 * softplus(-0.3) + 0.1 * softplus(0.3),
    },
    "`ipo` of sums, as in the paper": {"OpenRLHF": (CHOSEN - REJECTED - 5) ** 2},
    "`ipo` of means, as its authors ran it": {"TRL": (CHOSEN / 4 - REJECTED / 2 - 5) ** 2},
    "unbiased (robust DPO)": dict.fromkeys(("TRL", "Liger"), (0.9 * softplus(-0.3) - 0.1 * softplus(0.3)) / 0.8),
    "EXO": dict.fromkeys(
        ("TRL", "Liger"),
        sum(p * math.log(p / q) for p, q in ((1 / (1 + math.exp(-0.3)), 0.9), (1 / (1 + math.exp(0.3)), 0.1))),
    ),
    "the margin of SimPO": dict.fromkeys(("TRL", "Liger"), softplus(-2.0 * (-0.5 - -1.5 - 0.5 / 2.0))),
    "the odds of ORPO, with the mean of the chosen tokens": dict.fromkeys(
        ("TRL", "Liger"), 0.5 + 0.1 * softplus(log_odds(-1.5) - log_odds(-0.5))
    ),
    "CPO, with the sum of the chosen tokens": dict.fromkeys(("TRL", "Liger"), softplus(-0.1 * (-2.0 - -3.0)) + 0.5),
    "SPPO of both sides": dict.fromkeys(("TRL", "Liger"), (CHOSEN - 0.5 / 0.1) ** 2 + (REJECTED + 0.5 / 0.1) ** 2),
    "rewards 2 and 1": dict.fromkeys(("TRL", "OpenRLHF"), softplus(-1.0)),
    "rewards 1 and 101": {"TRL": 100.0, "OpenRLHF": math.inf},  # float32: log(1 + exp(100))
}


def test_every_row_is_known():
    assert [row[0] for row in ROWS] == list(THEIRS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_row(row):
    what, code, number, *cells = row
    names: dict = {}
    exec(re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1], names)
    assert float(eval(code.strip("`"), names)) == pytest.approx(float(number), rel=2e-5, abs=2e-6)
    shown = {name: re.search(NUMBER, cell) for name, cell in zip(LIBRARIES, cells, strict=True) if cell}
    assert shown.keys() == THEIRS[what].keys()
    for name, found in shown.items():
        assert float(found[1]) == pytest.approx(THEIRS[what][name], rel=2e-5, abs=2e-6), name
        differs = float(found[1]) != float(number)
        assert found[0].startswith("**") == differs, f"{name}: a number that is not ours is bold"
