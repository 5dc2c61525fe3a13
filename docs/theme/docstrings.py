"""Docstrings as Markdown: the whole call, formulas, doctests, keywords and references in the form that the site understands."""

import functools
import re
import sys
from pathlib import Path
from typing import Any

import griffe

import jloss
from jloss._core.aliases import names_elsewhere
from jloss._core.display import call, keywords, signature
from jloss._core.domains import DOMAINS

sys.path.insert(0, str(Path(__file__).parent))
from links import linked, peers  # the path is set in the line above

MATH = re.compile(r"^( *)\.\. math::[ ]*(?P<first>[^\n]*)\n(?P<rest>(?:\1[ ]+[^\n]*\n|[ ]*\n)*)", re.M)
DOCTEST = re.compile(r"^>>> (?:.+\n?)+", re.M)
TABLE = re.compile(r"^(?P<rule>=+(?: +=+)+)\n(?P<head>.*\n)(?P=rule)\n(?P<body>(?:.*\n)*?)(?P=rule)$", re.M)
REFERENCES = re.compile(r"^References:\n(?P<body>(?:[ ]+.*\n?|\n(?=[ ]))+)", re.M)


class Markdown(griffe.Extension):
    """Rewrites every docstring when it is read: the call first, and of a loss what it takes, its keywords and its other names."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if obj.is_alias or obj.docstring is None:
            return
        entry = jloss.CATALOGUE.get(obj.name) if obj.is_function else None
        text = obj.docstring.value
        if entry is not None and entry.core.__module__ == obj.module.path:
            text = with_keywords(entry, text)
            for parameter in obj.parameters:
                if entry.kind == "loss" and parameter.name in entry.inputs:
                    parameter.annotation = shape(entry, parameter.name)
            head = signature(entry, WIDTH)
        elif obj.is_function:
            head = call(obj.name, words(obj.parameters), WIDTH)
        else:
            head = ""
        obj.docstring.value = (f"```python\n{head}\n```\n\n" if head else "") + markdown(text)


WIDTH = 66  # characters that the column of text has room for


def words(parameters: Any) -> list[str]:
    """The parameters of a function as one writes them, without types."""
    found = []
    for parameter in parameters:
        if parameter.kind is griffe.ParameterKind.keyword_only and not any(word.startswith("*") for word in found):
            found.append("*")
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(parameter.kind, "")
        found.append(f"{stars}{parameter.name}" + (f"={parameter.default}" if parameter.default and not stars else ""))
    return found


def shape(entry: Any, name: str) -> str:
    """What an input is: its axes and its values."""
    meaning = DOMAINS[entry.domains[name]].meaning
    return f"Array[{', '.join(['...', *entry.inputs[name]])}], {meaning}"


def with_keywords(entry: Any, text: str) -> str:
    """The docstring of a loss with what its keywords mean and what others call it, in front of its references."""
    said = keywords(entry)
    lines = [f"    - `{name}`: {meaning}" for name, meaning in said.items()]
    added = ["Keywords:", *lines, ""] if said else []
    elsewhere = [*other_names().get(entry.name, [])]
    added += [f"Elsewhere: {', '.join(f'*{name}*' for name in elsewhere)}.".replace("_", r"\_"), ""] if elsewhere else []
    before, references, after = text.partition("References:\n")
    return "\n".join([before.rstrip(), "", *added, references + after])


@functools.cache
def other_names() -> dict[str, list[str]]:
    """What papers and other libraries call a loss."""
    found = {name: list(others) for name, others in peers().items()}
    for name, others in names_elsewhere().items():
        found.setdefault(name, []).extend(others)
    return found


def markdown(text: str) -> str:
    """A docstring with its formulas as `$$`, its doctests as code, and its references as a list."""
    text += "\n"
    text = TABLE.sub(_table, text)
    text = REFERENCES.sub(_references, text)
    text = DOCTEST.sub(lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", text)
    text = MATH.sub(_block, text)
    text = re.sub(r":math:`([^`]+)`", lambda match: rf"\({match[1]}\)", text)
    return linked(text)


def _block(match: re.Match[str]) -> str:
    formula = " ".join(f"{match['first']}\n{match['rest']}".split())
    outside = re.sub(r"\\begin\{(\w+)\}.*?\\end\{\1\}", "", formula)
    formula = rf"\begin{{aligned}} {formula} \end{{aligned}}" if r"\\" in outside else formula
    return f"\n{match[1]}$$\n{match[1]}{formula}\n{match[1]}$$\n\n"


def _table(match: re.Match[str]) -> str:
    """A table drawn with rules of equals signs; a row with an empty first cell goes on with the row above."""
    spans = [column.span() for column in re.finditer("=+", match["rule"])]
    ends = [start for start, _ in spans[1:]] + [None]
    rows: list[list[str]] = []
    for line in [match["head"], *match["body"].splitlines()]:
        cells = [line[start:end].strip() for (start, _), end in zip(spans, ends, strict=True)]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f"{above} {cell}".strip() for above, cell in zip(rows[-1], cells, strict=True)]
    head, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join(["", head, "|---" * len(spans) + "|", *body, ""])


def _references(match: re.Match[str]) -> str:
    """Each reference ends with its address."""
    items = re.findall(r"\S.*?https?://\S+", " ".join(match["body"].split()))
    return "References:\n" + "".join(f"    - {item}\n" for item in items) if items else match[0]
