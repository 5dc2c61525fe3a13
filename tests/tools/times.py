"""What tests cost, from the reports of `pytest --junitxml=FILE`: python -m tests.tools.times FILE ...

Seconds of the processor, which do not depend on what else the machine does, by file, by law and by loss.
"""

import sys
from collections import Counter
from xml.etree import ElementTree

from tests.cases import LOSSES


def read(paths: list[str]) -> tuple[Counter, Counter, Counter, Counter]:
    """Seconds by file, by law, of the sweeps by loss, and of the plain tests and the slow ones."""
    files, laws, losses, kinds = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    known = set(LOSSES)
    for test in (test for path in paths for test in ElementTree.parse(path).iter("testcase")):
        properties = [(p.get("name"), p.get("value")) for p in test.iter("property")]  # of a law one for each setting of options
        seconds = sum(float(value) for name, value in properties if name == "cpu")
        files[test.get("classname")] += seconds
        kinds["slow" if ("slow", "True") in properties else "plain"] += seconds
        for name, value in properties:
            if name.startswith("law "):
                laws[name.removeprefix("law ")] += float(value)
        words = test.get("name").partition("[")[2].rstrip("]").split("-")
        for loss in known.intersection(words):
            losses[loss] += seconds
    return files, laws, losses, kinds


def table(title: str, numbers: Counter, most: int) -> None:
    print(f"\n{title}")
    for name, seconds in numbers.most_common(most):
        print(f"{seconds:8.1f}  {name}")
    rest = len(numbers) - most
    if rest > 0:
        print(f"{numbers.total() - sum(s for _, s in numbers.most_common(most)):8.1f}  {rest} others")


def main(paths: list[str]) -> None:
    files, laws, losses, kinds = read(paths)
    print(f"{files.total():.0f} seconds of the processor; a loss {losses.total() / max(1, len(losses)):.2f}, of {len(losses)} in sweeps")
    table("by kind (a plain run on two cores: under 1000)", kinds, 2)
    table("by file", files, 20)
    table("by law", laws, len(laws))
    table("the dearest losses", losses, 10)


if __name__ == "__main__":
    main(sys.argv[1:])
