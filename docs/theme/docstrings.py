"""Docstrings as Markdown: formulas, doctests and references in the form that the site understands."""

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))
from links import linked  # the path is set in the line above

MATH = re.compile(r"^( *)\.\. math::[ ]*(?P<first>[^\n]*)\n(?P<rest>(?:\1[ ]+[^\n]*\n|[ ]*\n)*)", re.M)
DOCTEST = re.compile(r"^>>> (?:.+\n?)+", re.M)
REFERENCES = re.compile(r"^References:\n(?P<body>(?:[ ]+.*\n?|\n(?=[ ]))+)", re.M)


class Markdown(griffe.Extension):
    """Rewrites every docstring when it is read."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring with its formulas as `$$`, its doctests as code, and its references as a list."""
    text += "\n"
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


def _references(match: re.Match[str]) -> str:
    """Each reference ends with its address."""
    items = re.findall(r"\S.*?https?://\S+", " ".join(match["body"].split()))
    return "References:\n" + "".join(f"    - {item}\n" for item in items) if items else match[0]
