"""Formulas as MathML, made when the site is built: pages need no script and no network. The font comes with them."""

import functools
import html
import re
from importlib import resources
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from math_core import LatexToMathML

ARITHMATEX = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)
TEXT = re.compile(r"\\text\{[^}]*\}")
SIZES = re.compile(r"\\[bB]ig(l|r)(?![a-z])")  # Chromium draws a bracket of given size with an exponent smaller than its partner
CONVERTER = LatexToMathML()
LETTERS = {*range(0x20, 0x7F), 0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)}  # and as browsers slant those of one letter
PARTS = {0x221A, 0x302, 0x303}  # of roots and accents, which MathML draws without a letter
used: set[int] = LETTERS | PARTS


@functools.cache
def mathml(latex: str, block: bool = False) -> str:
    """A formula as MathML, left out of the search; a formula with a mistake stops the build."""
    latex = TEXT.sub(lambda match: match[0].replace(r"\_", "_").replace("_", r"\_"), latex)
    latex = SIZES.sub(lambda match: r"\left" if match[1] == "l" else r"\right", latex)
    found = CONVERTER.convert_with_local_state(latex, displaystyle=block)
    used.update(map(ord, html.unescape(found)))
    found = found.replace("<math", "<math data-search-exclude", 1)
    return f'<div class="formula">{found}</div>' if block else found


def with_mathml(page: str) -> str:
    """The HTML of a page whose formulas have been marked by arithmatex."""
    return ARITHMATEX.sub(lambda match: mathml(html.unescape(match[2]).strip(), match[1] == "div"), page)


def write_font(path: Path) -> None:
    """STIX Two Math with what the formulas use, so that brackets grow on machines without a mathematical font."""
    font = TTFont(resources.files("ziamath.fonts") / "STIXTwoMath-Regular.ttf")
    subsetter = subset.Subsetter(subset.Options(layout_features=["*"], drop_tables=["DSIG"]))
    subsetter.populate(unicodes=used)
    subsetter.subset(font)
    font.flavor = "woff"
    path.parent.mkdir(parents=True, exist_ok=True)
    font.save(path)
