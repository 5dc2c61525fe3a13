"""The commands: ``python -m jloss train | list | show | check | bench``, or ``jloss ...``."""

import argparse
import inspect
import sys
from collections.abc import Container, Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from jloss import CATALOGUE, Entry
from jloss._core.lookup import MissingExtra, UsageError, find_entry, nearest, option

DATA = ("digits", "breast_cancer", "diabetes")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; 0 if it went well, 1 if `check` found a fault, 2 if what was asked for does not exist or does not fit."""
    arguments = parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an author's accent is no reason to stop on a console without it
    try:
        return arguments.command(arguments) or 0
    except (UsageError, MissingExtra) as error:
        print(f"jloss: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # jloss list | head
        sys.stderr.close()
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="jloss", description="Differentiable losses for JAX.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

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

    listing = commands.add_parser("list", help="print the catalogue")
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--domain", metavar="NAME", help="only this domain: vision, classification, ...")
    which.add_argument("--family", metavar="NAME", help="only this family: boxes, margin, ...")
    listing.add_argument("--markdown", action="store_true", help="as a table")
    listing.set_defaults(command=_list)

    show = commands.add_parser("show", help="print one loss: signature, shapes, domains, docstring")
    show.add_argument("name")
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
    return (inspect.getdoc(entry.public) or "").partition("\n")[0].replace("`", "")


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
    if arguments.markdown:
        print(markdown(chosen))
        return
    width = max(len(e.name) for e in chosen)
    for family, entries in families(chosen).items():
        print(f"{family} ({len(entries)})")
        for entry in entries:
            print(f"  {entry.name.ljust(width)}  {summary(entry)}")


def _show(arguments: argparse.Namespace) -> None:
    entry = find_entry(arguments.name)
    print(f"jloss.{entry.name}{_signature(entry)}\n")
    print(inspect.getdoc(entry.public))
    if arguments.plot is not None:
        from jloss.plotting.curves import curve, new_figure

        figure, axes = new_figure(1, 2)
        curve(entry.public, axes=axes)
        kinds = figure.canvas.get_supported_filetypes()
        if arguments.plot.suffix.lstrip(".") not in kinds:
            raise UsageError(f"--plot cannot write `{arguments.plot}`; the name ends in one of {', '.join('.' + k for k in kinds)}.")
        arguments.plot.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(arguments.plot, dpi=120)
        print(f"\nWrote {arguments.plot}")


def _signature(entry: Entry) -> str:
    """The signature without annotations, a parameter a word."""
    parameters = inspect.signature(entry.public).parameters.values()
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))


def _names(text: str | None, default: Sequence[str], others: Container[str] = ()) -> list[str]:
    names = [n.strip() for n in text.split(",") if n.strip()] if text else [n for n in default if n in CATALOGUE]
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
    bench.run(names, size=arguments.size, device=arguments.device, repeats=arguments.repeats, out=arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
