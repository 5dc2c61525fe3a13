"""The commands: ``python -m jloss train | list | show | check | bench | new``, or ``jloss ...``."""

import argparse
import importlib.metadata
import inspect
import json
import math
import os
import platform
import re
import sys
import textwrap
from collections.abc import Container, Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import jloss
from jloss import CATALOGUE, Entry
from jloss._core import aliases
from jloss._core.display import call, growth, keywords, signature
from jloss._core.exports import exports
from jloss._core.lookup import MissingExtra, Stopped, UsageError, find_entry, nearest, option

DATA = ("digits", "breast_cancer", "diabetes")
ELSEWHERE = {"--epochs": "--steps", "--dataset": "--data", "--output": "--out", "--gpu": "--device"}  # options as others call them


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 if it went well, 1 if `check` found a fault, 2 if what was asked for does not exist or does not fit, 130 if it was stopped.
    """
    commands = parser()
    arguments = commands.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an author's accent is no reason to stop on a console without it
    if arguments.version:
        print(f"jloss {importlib.metadata.version('jloss')}, jax {importlib.metadata.version('jax')}, Python {platform.python_version()}")
        return 0
    if arguments.command is None:
        commands.print_help()
        return 0
    try:
        return arguments.command(arguments) or 0
    except (UsageError, MissingExtra) as error:
        print(f"jloss: {error}", file=sys.stderr)
        return 2
    except (Stopped, KeyboardInterrupt) as stop:
        print(f"jloss: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # jloss list | head
        sys.stderr.close()
    except OSError as error:  # of a folder that cannot be made, a full disk
        if error.filename is None:
            raise
        print(f"jloss: `{error.filename}`: {error.strerror}.", file=sys.stderr)
        return 2
    return 0


def check_folder(path: Path) -> None:
    """Raises, before minutes are spent, where nothing can be written into a folder, which need not be there yet."""
    folder = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write into `{path}`: `{folder}` is {'not writable' if folder.is_dir() else 'not a folder'}.")


class Parser(argparse.ArgumentParser):
    """A command that answers a wrong option with its own usage and the nearest option."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._unknown(unknown[0].partition("=")[0]))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        words = message.split("'")  # argument COMMAND: invalid choice: 'trian' (choose from ...)
        if message.startswith("argument COMMAND: ") and len(words) > 1:
            message = f"no command is called `{words[1]}`{nearest(words[1], self._commands())}; commands: {', '.join(self._commands())}."
        super().error(message)

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"`{word}` is one word too many."
        known = [o for action in self._actions for o in action.option_strings if o.startswith("--") and o != "--help"]
        near = f"; nearest: {ELSEWHERE[word]}" if ELSEWHERE.get(word) in known else nearest(word, known)
        return f"no option is called `{word}`{near}; options: {', '.join(known)}."

    def _commands(self) -> list[str]:
        return [name for action in self._actions if isinstance(action.choices, dict) for name in action.choices]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = Parser(prog="jloss", description="Differentiable losses for JAX.")
    top.add_argument("--version", action="store_true", help="print the versions of jloss, jax and Python")
    top.set_defaults(command=None)
    commands = top.add_subparsers(metavar="COMMAND")

    train = commands.add_parser("train", help="train a small network on real data, once per loss, and compare")
    train.add_argument("--data", default="digits", metavar="|".join(DATA), help="data that ship inside scikit-learn (digits)")
    train.add_argument("--loss", metavar="A,B", help="names, with commas; some that suit the data if left out")
    train.add_argument("--option", action="append", default=[], metavar="LOSS.NAME=VALUE", help="softmax_focal.gamma=1.5; may be repeated")
    help_imbalance = "long-tailed classes: how many times rarer the last is than the first (20 if bare)"
    train.add_argument("--imbalance", type=float, nargs="?", const=20.0, default=1.0, metavar="RATIO", help=help_imbalance)
    help_noise = "fraction of wrong labels, or of outliers among numbers (0.1 if bare)"
    train.add_argument("--noise", type=float, nargs="?", const=0.1, default=0.0, metavar="FRACTION", help=help_noise)
    train.add_argument("--seed", type=int, default=0, help="of the split, the weights, the batches and the noise (0)")
    train.add_argument("--steps", type=int, default=500, help="of the optimizer, per loss (500)")
    train.add_argument("--out", type=Path, default=Path("runs/train"), metavar="DIR", help="where table.csv and curves.png go (runs/train)")
    train.set_defaults(command=_train)

    listing = commands.add_parser("list", help="print the catalogue, or what a word finds in it")
    listing.add_argument("words", nargs="*", metavar="WORD", help="in a name, a first line or a name from elsewhere: focal, mse, boxes")
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--domain", metavar="NAME", help="only this domain: vision, classification, ...")
    which.add_argument("--family", metavar="NAME", help="only this family: boxes, margin, ...")
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="as a table")
    form.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(command=_list)

    show = commands.add_parser("show", help="print one loss, transform or helper: signature, docstring, shapes, keywords")
    show.add_argument("name", help="also as others call it: mse, CrossEntropyLoss")
    show.add_argument("--plot", type=Path, metavar="FILE", help="draw it and its derivative, as PNG, PDF or SVG")
    show.set_defaults(command=_show)

    check = commands.add_parser("check", help="try the laws on a loss of your own, and say what is broken and what to do")
    check.add_argument("target", metavar="MODULE:LOSS", help="a module, from this directory or installed, and the name of a loss in it")
    help_inputs = "for a plain function: a tuple of arrays, batch axis first, or a function that returns one"
    check.add_argument("--inputs", metavar="MODULE:NAME", help=help_inputs)
    check.add_argument("--law", action="append", default=[], metavar="A,B", help="only these laws; may be repeated")
    check.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the loss; may be repeated")
    check.add_argument("--stops-gradients", action="store_true", help="a stop_gradient is meant: no finite differences")
    check.add_argument("--quick", action="store_true", help="do not look for smaller examples of what is broken")
    check.set_defaults(command=_check)

    bench = commands.add_parser("bench", help="time value and gradient against optax, rax and torch")
    bench.add_argument("--loss", metavar="A,B", help="names, with commas, or all; those that a peer has if left out")
    bench.add_argument("--size", type=int, default=1 << 20, help="how many numbers the first input has, about (1048576)")
    bench.add_argument("--device", default="cpu", help="a JAX platform: cpu, gpu, tpu (cpu)")
    bench.add_argument("--repeats", type=int, default=15, help="interleaved timings per row (15)")
    bench.add_argument(
        "--out", type=Path, default=Path("runs/bench"), metavar="DIR", help="where bench.csv, bench.md and bench.png go (runs/bench)"
    )
    bench.set_defaults(command=_bench)

    new = commands.add_parser("new", help="begin a loss: write the function, the export line and the oracle, but for their formulas")
    new.add_argument("name")
    new.add_argument("--domain", metavar="NAME", help="for a loss of jloss: its package; left out, the loss is yours, in a module here")
    new.add_argument("--family", metavar="NAME", help="for a loss of jloss: its module, which may be new")
    new.add_argument("--like", metavar="LOSS", help="takes the same inputs as this loss (as the first of the family)")
    new.set_defaults(command=_new)
    return top


def markdown(entries: Iterable[Entry] | None = None) -> str:
    """Losses as a table; all of them if left out."""
    lines = ["| loss | inputs | options | in a line |", "|---|---|---|---|"]
    for family, members in families(entries).items():
        lines.append(f"| **{family.replace('_', ' ')}** | | | |")
        for entry in members:
            options = ", ".join(f"{n}={_brief(v)}" for n, v in entry.options.items() if v is not inspect.Parameter.empty)
            lines.append(f"| `{entry.name}` | {_inputs(entry)} | {options} | {summary(entry).replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def domains() -> dict[str, list[Entry]]:
    """The catalogue by domain, in its order."""
    found: dict[str, list[Entry]] = {}
    for entry in CATALOGUE.values():
        found.setdefault(entry.domain, []).append(entry)
    return found


def families(entries: Iterable[Entry] | None = None) -> dict[str, list[Entry]]:
    """Losses by family, in the order of the catalogue; all of them if left out."""
    found: dict[str, list[Entry]] = {}
    for entry in CATALOGUE.values() if entries is None else entries:
        found.setdefault(entry.family, []).append(entry)
    return found


def summary(entry: Entry) -> str:
    """The first line of its docstring."""
    return _first_line(entry.public)


def _inputs(entry: Entry) -> str:
    return ", ".join(f"{n}({', '.join(dims)})" if dims else n for n, dims in entry.inputs.items())


def _brief(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


def _list(arguments: argparse.Namespace) -> None:
    asked = arguments.domain, arguments.family
    for kind, plural, name, known in zip(("domain", "family"), ("domains", "families"), asked, (domains(), families()), strict=True):
        if name is not None and name not in known:
            other = f"; `--domain {name}` is there" if name in domains() else nearest(name, known)
            raise UsageError(f"no {kind} is called `{name}`{other}; {plural}: {', '.join(known)}.")
    chosen = [e for e in CATALOGUE.values() if arguments.domain in (None, e.domain) and arguments.family in (None, e.family)]
    elsewhere = aliases.names_elsewhere()
    others: list[str] = []
    if arguments.words:
        helpers = [] if any(asked) or arguments.json or arguments.markdown else [n for n in exports("jloss") if n not in CATALOGUE]
        chosen, others = _found(" ".join(w.removeprefix("jloss.") for w in arguments.words), chosen, elsewhere, helpers)
    if arguments.json:
        print(json.dumps([_row(e, elsewhere) for e in chosen], indent=1))
        return
    if arguments.markdown:
        print(markdown(chosen))
        return
    width = max(len(n) for n in [*(e.name for e in chosen), *others])
    for family, entries in families(chosen).items():
        print(f"{family} ({len(entries)})")
        for entry in entries:
            print(f"  {entry.name.ljust(width)}  {summary(entry)}")
            if arguments.words and entry.name in elsewhere:
                print(f"  {' ' * width}  elsewhere: {', '.join(elsewhere[entry.name])}")
    if others:
        print(f"transforms and helpers ({len(others)})")
    for name in others:
        print(f"  {name.ljust(width)}  {_first_line(getattr(jloss, name))}")


def _found(word: str, entries: Sequence[Entry], elsewhere: dict[str, list[str]], helpers: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The losses that a word leads to, and the other functions: those that are called so first, then those that are described so."""
    meant = {aliases.name_in(ours) for ours in aliases.find(word)}
    parts = word.lower().split()

    def rank(name: str, family: str, line: str) -> int | None:
        called = " ".join([name, *elsewhere.get(name, [])]).lower()
        if name in meant:
            return 0
        if all(part in called for part in parts):
            return 1
        text = f"{called} {family} {line}".lower()
        return 2 if all(re.search(rf"(?<![a-z0-9-]){re.escape(part)}", text) for part in parts) else None

    losses = [(at, e) for e in entries if (at := rank(e.name, e.family, summary(e))) is not None]
    others = [(at, n) for n in helpers if (at := rank(n, "", _first_line(getattr(jloss, n)))) is not None]
    if not losses and not others:
        raise UsageError(f"no loss is called or described by `{word}`{nearest(word, [e.name for e in entries])}.")
    return [e for _, e in sorted(losses, key=lambda pair: pair[0])], [n for _, n in sorted(others, key=lambda pair: pair[0])]


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0].replace("`", "")


def _row(entry: Entry, elsewhere: dict[str, list[str]]) -> dict[str, Any]:
    """A loss for programs."""

    def plain(value: Any) -> Any:
        if value is inspect.Parameter.empty:
            return None
        return value if isinstance(value, str | bool | int | None) or (isinstance(value, float) and math.isfinite(value)) else _brief(value)

    optional = entry.optional if entry.kind == "loss" else set()
    return {
        "name": entry.name,
        "domain": entry.domain,
        "family": entry.family,
        "kind": entry.kind,
        "summary": summary(entry),
        "inputs": {n: {"axes": list(dims), "values": entry.domains[n], "required": n not in optional} for n, dims in entry.inputs.items()},
        "options": {n: plain(v) for n, v in entry.options.items()},
        "keywords": list(keywords(entry)),
        "elsewhere": elsewhere.get(entry.name, []),
    }


def _show(arguments: argparse.Namespace) -> None:
    name, public = arguments.name.removeprefix("jloss."), exports("jloss")
    if name not in public and len(known := aliases.find(name)) == 1 and (ours := aliases.name_in(known[0])) in public:
        print(f"`{name}` is `{known[0]}` here.\n")
        name = ours
    if name in public and name not in CATALOGUE:
        _show_helper(name, arguments.plot)
        return
    entry = find_entry(name)
    print(f"jloss.{signature(entry)}\n")
    print(inspect.getdoc(entry.public))
    if said := keywords(entry):
        print("\nKeywords:\n" + "\n".join(_wrapped(f"{n}: {words}", "    ") for n, words in said.items()))
    if grows := growth(entry):
        print(f"\nGrows faster than its inputs:\n    {grows}.")
    if names := aliases.names_elsewhere().get(entry.name):
        print(f"\nElsewhere:\n{_wrapped(', '.join(names), '')}")
    if arguments.plot is not None:
        from jloss.plotting.curves import curve, new_figure

        figure, axes = new_figure(1, 2)
        curve(entry.public, axes=axes)
        kinds = figure.canvas.get_supported_filetypes()
        if arguments.plot.suffix.lstrip(".").lower() not in kinds:
            raise UsageError(f"--plot cannot write `{arguments.plot}`; the name ends in one of {', '.join('.' + k for k in kinds)}.")
        check_folder(arguments.plot.parent)
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(arguments.plot, dpi=120)
        print(f"\nWrote {arguments.plot}")


def _show_helper(name: str, plot: Path | None) -> None:
    """A transform, or what else is no loss."""
    if plot is not None:
        raise UsageError(f"--plot draws losses; `{name}` is none.")
    value = getattr(jloss, name)
    shown = inspect.signature(value).parameters.values() if inspect.isroutine(value) else []
    words = [p.name if p.default is p.empty else f"{p.name}={_brief(p.default)}" for p in shown]
    if (plain := sum(p.kind is not p.KEYWORD_ONLY for p in shown)) < len(words):
        words.insert(plain, "*")
    print(f"jloss.{call(name, words, 88) if inspect.isroutine(value) else name}\n")
    print(inspect.getdoc(value))
    if names := aliases.names_elsewhere().get(name):
        print(f"\nElsewhere:\n{_wrapped(', '.join(names), '')}")


def _wrapped(text: str, hanging: str) -> str:
    return textwrap.fill(text, 120, initial_indent="    ", subsequent_indent="    " + hanging, break_on_hyphens=False)


def _names(text: str | None, default: Sequence[str], others: Container[str] = ()) -> list[str]:
    names = [n for n in default if n in CATALOGUE] if text is None else [n.strip() for n in text.split(",") if n.strip()]
    if text is not None and not names:
        raise UsageError(f"--loss reads names, with commas; got `{text}`.")
    return [n if n in others else find_entry(n).name for n in dict.fromkeys(names)]


def _train(arguments: argparse.Namespace) -> None:
    from jloss.tools import train

    if arguments.data not in DATA:
        raise UsageError(f"no data are called `{arguments.data}`{nearest(arguments.data, DATA)}; there are {', '.join(DATA)}.")
    losses: dict[str, dict[str, Any]] = {name: {} for name in _names(arguments.loss, train.DEFAULTS[arguments.data])}
    for text in arguments.option:
        path, equals, value = text.partition("=")
        name, dot, key = path.partition(".")
        if not equals or not dot:
            raise UsageError(f"--option reads LOSS.NAME=VALUE, as softmax_focal.gamma=1.5; got `{text}`.")
        if name not in losses:
            raise UsageError(f"--option {text}: {find_entry(name).name} is not among the losses to train: {', '.join(losses)}.")
        losses[name][key] = option(find_entry(name), key, value)
    check_folder(arguments.out)
    asked = {n: getattr(arguments, n) for n in ("steps", "seed", "imbalance", "noise", "out")}
    train.run(arguments.data, losses, **asked)


def _check(arguments: argparse.Namespace) -> int:
    from jloss.tools import check as _check

    for text in arguments.option:
        if "=" not in text:
            raise UsageError(f"--option reads NAME=VALUE, as delta=2.0; got `{text}`.")
    laws = [law.strip() for text in arguments.law for law in text.split(",")]
    report = _check.run(
        arguments.target,
        inputs=arguments.inputs,
        laws=laws,
        options=arguments.option,
        stops_gradients=arguments.stops_gradients,
        small=not arguments.quick,
    )
    return 0 if report else 1


def _bench(arguments: argparse.Namespace) -> None:
    from jloss.tools import bench

    names = _names(arguments.loss, [], {*bench.ROWS, "all"}) or None
    check_folder(arguments.out)
    bench.run(names, size=arguments.size, device=arguments.device, repeats=arguments.repeats, out=arguments.out)


def _new(arguments: argparse.Namespace) -> None:
    from jloss.tools import new

    new.run(arguments.name, domain=arguments.domain, family=arguments.family, like=arguments.like)


if __name__ == "__main__":
    raise SystemExit(main())
