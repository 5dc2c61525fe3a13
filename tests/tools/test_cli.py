"""The commands, run in this process with few steps: what they print, what they write, and what they say to a mistake."""

import ast
import contextlib
import csv
import functools
import importlib.util
import inspect
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.__main__ import DATA, domains, families, main
from jloss._core.aliases import names_elsewhere
from jloss._core.display import keywords, signature
from jloss._core.lookup import MissingExtra, UsageError, find_entry, import_extra, option
from tests.tools.conftest import interrupted

PNG = b"\x89PNG"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- list, show


def test_list_prints_every_loss(say):
    status, out, _ = say("list")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert status == 0
    assert listed == set(jloss.CATALOGUE)


def test_list_of_a_family(say):
    _, out, _ = say("list", "--family", "errors")
    assert "huber" in out
    assert "cross_entropy" not in out
    assert out.startswith(f"errors ({len(families()['errors'])})")


def test_list_of_a_domain(say):
    _, out, _ = say("list", "--domain", "regression")
    assert {line.split()[0] for line in out.splitlines()} == {"errors", "robust"} | {e.name for e in domains()["regression"]}
    _, table, _ = say("list", "--domain", "regression", "--markdown")
    assert table.count("| `") == len(domains()["regression"])
    assert "`huber`" in table


def test_unknown_family_gives_the_nearest(say):
    status, out, err = say("list", "--family", "boxs")
    assert (status, out) == (2, "")
    assert err.startswith("jloss: no family is called `boxs`; nearest: boxes; families: ")
    assert say("list", "--domain", "visoin")[2].startswith("jloss: no domain is called `visoin`; nearest: vision; domains: ")
    assert say("list", "--family", "vision")[2].startswith("jloss: no family is called `vision`; `--domain vision` is there; ")


def test_show_prints_signature_docstring_and_shapes(say):
    _, out, _ = say("show", "cross_entropy")
    assert out.startswith("jloss.cross_entropy(\n    logits,\n    labels,\n    *,\n    label_smoothing=0.0,\n")
    for part in (".. math::", "Args:", "Shapes:", "a class index", "https://"):
        assert part in out


@pytest.mark.parametrize("name", ["dpo", "linear_head"])
def test_a_name_may_be_written_as_in_a_program(say, name):
    assert say("show", f"jloss.{name}") == say("show", name)
    assert say("list", f"jloss.{name}") == say("list", name)


def test_rows_of_agents_have_the_sizes_of_their_target():
    from jloss.tools import bench

    for name, shape in (("td_lambda", (64, 1000)), ("vtrace", (64, 1000)), ("retrace", (64, 1000, 4)), ("categorical_td", (4096, 51))):
        assert bench.inputs_of(find_entry(name), bench.ROWS[name], 1 << 20)[0].shape == shape
    assert bench.inputs_of(find_entry("td_lambda"), bench.ROWS["td_lambda"], 1 << 10)[0].shape == (1, 1000)


@pytest.mark.slow
def test_each_command_takes_a_name_as_in_a_program():
    from jloss.tools import check
    from jloss.tools.bench import measure

    assert check.resolve("jloss.huber") == ("jloss", jloss.huber)
    assert find_entry("jloss.huber").public is jloss.huber  # train, new --like
    assert measure("jloss.huber", size=64, repeats=1).loss == "huber"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["huber.png", "huber.PNG"])
def test_show_draws(say, tmp_path, file):
    target = tmp_path / "new" / file
    status, out, _ = say("show", "huber", "--plot", str(target))
    assert status == 0
    assert str(target) in out
    assert target.read_bytes().startswith(PNG)


def test_show_refuses_an_unknown_picture_format(say, tmp_path):
    status, _, err = say("show", "huber", "--plot", str(tmp_path / "huber.docx"))
    assert status == 2
    assert ".png" in err


@pytest.mark.parametrize(("typed", "meant"), [("hubr", "huber"), ("cros_entropy", "cross_entropy"), ("smooth", "smooth_l1")])
def test_unknown_name_gives_the_nearest(say, typed, meant):
    status, out, err = say("show", typed)
    assert (status, out) == (2, "")
    assert err.startswith(f"jloss: no loss is called `{typed}`; nearest: ")
    assert meant in err.split("nearest:")[1]


def test_show_of_a_name_from_elsewhere(say):
    status, out, _ = say("show", "MSELoss")
    assert status == 0
    assert out.startswith("`MSELoss` is `squared_error` here.\n\njloss.squared_error(\n    predictions,\n    targets,\n    *,\n")
    assert "`l2_loss` is `0.5 * squared_error` here." in say("show", "l2_loss")[1]
    assert say("show", "kl_div")[2] == "jloss: no loss is called `kl_div`; it is `kl_divergence` or `kl_divergence_with_log_targets`.\n"
    assert say("train", "--loss", "mse")[2] == "jloss: no loss is called `mse`; it is `squared_error`.\n"


@pytest.mark.parametrize(
    "name", ["linear_head", "weighted_sum", "permutation_invariant", "gae", "pairwise_iou", "checks", "Datum", "reduce"]
)
def test_show_of_what_is_no_loss(say, name):
    status, out, _ = say("show", name)
    assert status == 0
    assert out.startswith(f"jloss.{name}")
    assert inspect.getdoc(getattr(jloss, name)).partition("\n")[0] in out


def test_show_of_a_transform(say):
    _, out, _ = say("show", "linear_head")
    assert out.startswith("jloss.linear_head(loss, chunk_size=None, backward='cached', *, teacher=False)\n")
    assert say("show", "checks")[1].startswith("jloss.checks(on=True)\n")
    assert "`ohem` is `hardest` here.\n\njloss.hardest(loss, " in say("show", "ohem")[1]
    assert say("train", "--loss", "gae")[2] == "jloss: `gae` is no loss of the catalogue; `python -m jloss show gae` says what it is.\n"
    assert say("show", "gae", "--plot", "gae.png")[2] == "jloss: --plot draws losses; `gae` is none.\n"


def test_list_puts_names_first_and_matches_words_from_their_start(say):
    listed = [line.split()[0] for line in say("list", "ppo")[1].splitlines() if re.match(r"  \w", line)]
    assert listed[0] == "ppo_clip"
    assert "ppo_value" in listed
    for name in listed:
        said = " ".join([name, *names_elsewhere().get(name, []), inspect.getdoc(getattr(jloss, name)).partition("\n")[0]]).lower()
        assert "ppo" in name or re.search("(?<![a-z-])ppo", said), name
    assert "support" not in say("list", "ppo")[1]
    assert re.search(r"\ntransforms and helpers \(\d+\)\n  linear_head ", say("list", "linear")[1])
    assert "\n  hardest " in "\n" + say("list", "ohem")[1]


def test_show_says_what_every_keyword_is(say):
    """One a line in the signature, and each with a sentence, where the labels that are ignored have theirs."""
    for name, entry in jloss.CATALOGUE.items():
        parameters = inspect.signature(entry.public).parameters
        call = ast.parse(f"def {signature(entry).replace('<', '').replace('>', '')}: ...").body[0].args
        assert [a.arg for a in [*call.args, *call.kwonlyargs]] == [*parameters], name
        assert [*keywords(entry)] == [n for n in parameters if n in entry.keywords], name
    _, out, _ = say("show", "cross_entropy")
    assert "\n    label_smoothing=0.0,\n" in out
    assert "To ignore labels of -100: where=labels != -100." in " ".join(out.split())
    assert re.search(r"\n    axis: The axis of the classes; -1 is the last", out)
    assert "For (N, H, W, C) say axis=-1." in " ".join(say("show", "dice")[1].split())
    assert "3 for an image (h, w, c)" in " ".join(say("show", "diffusion")[1].split())
    assert "labels" not in say("show", "huber")[1].partition("Keywords:")[2]


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["mse"], "squared_error"),
        (["FOCAL"], "softmax_focal"),
        (["class weights"], "class_balanced_weights"),
        (["simclr"], "nt_xent"),
        (["pinball"], "quantile"),
        (["aspect", "ratio"], "ciou"),
    ],
)
def test_list_finds_a_word(say, words, there):
    status, out, _ = say("list", *words)
    assert status == 0
    found = {line.split()[0] for line in out.splitlines() if re.match(r"  \w", line)}
    assert there in found or there not in jloss.CATALOGUE
    assert 0 < len(found) < len(jloss.CATALOGUE) / 4
    assert say("list", *words, "--domain", "sequence")[0] == 2 or there in say("list", "--domain", "sequence")[1]


def test_list_prints_names_from_elsewhere(say):
    assert re.search(r"\n  squared_error .*\n +elsewhere: mse, mean_squared_error", say("list", "mse")[1])
    assert say("list", "hubber") == (2, "", "jloss: no loss is called or described by `hubber`; nearest: huber, pseudo_huber.\n")


def test_list_for_programs(say):
    rows = json.loads(say("list", "--json")[1], parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [row["name"] for row in rows] == [*jloss.CATALOGUE]
    (row,) = json.loads(say("list", "--json", "huber", "--family", "errors")[1])[:1]
    assert row["name"] == "huber"
    assert row["inputs"]["targets"] == {"axes": [], "values": "real", "required": True}
    assert row["options"] == {"delta": 1.0}
    assert "where" in row["keywords"]


# ---------------------------------------------------------------- no command, versions, wrong options


def test_no_command_prints_help(say):
    status, out, err = say()
    assert (status, err) == (0, "")
    assert all(f"\n    {name} " in out for name in ("train", "list", "show", "check", "bench", "new"))


def test_version(say):
    assert re.fullmatch(r"jloss \d+\.\d+\S*, jax \d+\.\d+\S*, Python 3\.\d+\.\d+\S*\n", say("--version")[1])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("train", "--epochs", "3"), "jloss train: error: no option is called `--epochs`; nearest: --steps; options: --data, --loss,"),
        (("train", "--stps=3"), "jloss train: error: no option is called `--stps`; nearest: --steps"),
        (("bench", "--gpu"), "jloss bench: error: no option is called `--gpu`; nearest: --device; options: --loss, "),
        (("show", "huber", "delta"), "jloss show: error: `delta` is one word too many."),
        (("trian",), "jloss: error: no command is called `trian`; nearest: train; commands: train, list, show, check, bench, new."),
    ],
)
def test_a_wrong_option_shows_the_usage_of_its_command(say, capsys, argv, said):
    with pytest.raises(SystemExit) as stop:
        say(*argv)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith(f"usage: {said.partition(': error')[0]} ")
    assert said in err


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.slow
@pytest.mark.parametrize(("at", "done"), [(1, 0), (2, 1)])
def test_a_stopped_training_writes_what_is_done(say, at_ease, monkeypatch, tmp_path, at, done):
    from jloss.tools import train

    before = signal.getsignal(signal.SIGINT)  # ignored, where the tests run behind a shell
    monkeypatch.setattr(train, "_train_one", interrupted(train._train_one, at))
    status, _, err = say("train", "--loss", "cross_entropy,brier", "--steps", "2", "--out", str(tmp_path / "t"))
    assert (status, err) == (130, f"jloss: stopped; {done} of 2 losses done\n")
    assert [r["loss"] for r in rows(tmp_path / "t" / "table.csv")] == ["cross_entropy"] if done else not (tmp_path / "t").exists()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_a_stopped_benchmark_writes_what_is_done(say, monkeypatch, tmp_path):
    from jloss.tools import bench

    monkeypatch.setattr(bench, "measure", interrupted(bench.measure, 2))
    status, _, err = say("bench", "--loss", "huber,hinge", "--size", "100", "--repeats", "1", "--out", str(tmp_path))
    assert (status, err) == (130, "jloss: stopped; 1 of 2 losses done\n")
    assert [r["loss"] for r in rows(tmp_path / "bench.csv")] == ["huber"]


@pytest.mark.slow
def test_a_stop_that_a_callback_swallows_is_not_lost(say, at_ease, monkeypatch, tmp_path):
    """jax runs callbacks of the garbage collector, in which Python only prints an exception."""
    from jloss.tools import train

    def swallowing(function=train._train_one):
        def call(*args):
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            return function(*args)

        return call

    monkeypatch.setattr(train, "_train_one", swallowing())
    status, _, err = say("train", "--loss", "cross_entropy,brier", "--steps", "2", "--out", str(tmp_path))
    assert (status, err) == (130, "jloss: stopped; 1 of 2 losses done\n")


# ---------------------------------------------------------------- train


@pytest.mark.slow
def test_train_digits_compares_losses(say, at_ease, tmp_path):
    status, out, _ = say(
        *("train", "--loss", "cross_entropy,softmax_focal", "--option", "softmax_focal.gamma=1.5"),
        *("--steps", "50", "--seed", "1", "--out", str(tmp_path / "a")),
    )
    assert status == 0
    assert re.search(r"^1/2 cross_entropy\n2/2 softmax_focal gamma=1.5$", out, re.M)  # no terminal: a line for each loss that is done
    table = rows(tmp_path / "a" / "table.csv")
    assert [r["loss"] for r in table] == ["cross_entropy", "softmax_focal gamma=1.5"]
    assert all(0.5 < float(r["test acc"]) <= 1 for r in table), table
    assert all(float(r["ms/step"]) > 0 and float(r["grad norm"]) > 0 for r in table)
    assert (tmp_path / "a" / "curves.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_train_is_repeatable_and_the_seed_matters(at_ease):
    from jloss.tools import train

    def final(seed):
        (result,) = train.train(train.load("diabetes", seed=seed), {"huber": {}}, steps=3, batch=16, seed=seed)
        return result.numbers()[:4]

    assert final(0) == final(0) != final(1)


@pytest.mark.slow
def test_outliers_show_why_the_loss_matters(at_ease, tmp_path):
    main(
        [
            "train",
            "--data",
            "diabetes",
            "--loss",
            "squared_error,absolute_error",
            "--noise",
            "0.1",
            "--steps",
            "150",
            "--out",
            str(tmp_path),
        ]
    )
    squared, absolute = (float(r["test MAE"]) for r in rows(tmp_path / "table.csv"))
    assert absolute < 0.9 * squared


@pytest.mark.slow
def test_defaults_of_the_data(at_ease, tmp_path):
    from jloss.tools import train

    assert set(train.DEFAULTS) == set(DATA)
    assert all(set(names) <= set(train.fitting(train.load(data))) for data, names in train.DEFAULTS.items())
    assert main(["train", "--data", "breast_cancer", "--steps", "2", "--noise", "--out", str(tmp_path)]) == 0
    assert [row["loss"] for row in rows(tmp_path / "table.csv")] == list(train.DEFAULTS["breast_cancer"])


def test_imbalance_makes_classes_rare():
    from jloss.tools import train

    plain, tailed = train.load("digits"), train.load("digits", imbalance=20.0)
    assert tailed.kept[0] == plain.kept[0]
    assert plain.kept[-1] / 25 < tailed.kept[-1] < plain.kept[-1] / 15
    assert (tailed.test_y == plain.test_y).all()


def test_noise_only_touches_the_training_part():
    from jloss.tools import train

    plain, noisy = train.load("digits"), train.load("digits", noise=0.3)
    assert (plain.test_y == noisy.test_y).all()
    assert 0.25 < (plain.y != noisy.y).mean() < 0.35


@pytest.mark.slow
def test_every_loss_that_fits_takes_a_step():
    """What `fitting` promises is true, and what it leaves out says why."""
    from jloss.tools import train

    for data in map(train.load, DATA):
        fits = train.fitting(data)
        for name, entry in jloss.CATALOGUE.items():
            if name not in fits:
                with pytest.raises(UsageError, match=rf"^{name} does not fit {data.name}, which has "):
                    train.feed(entry, data)
                continue
            fed = train.feed(entry, data)
            outputs = jnp.asarray(np.random.default_rng(0).normal(size=(8, fed.width)), jnp.float32)
            shapes = jax.eval_shape(
                lambda o, y, fed=fed, entry=entry: (entry.public(**fed.inputs(o, y)), fed.predict(o)), outputs, data.y[:8]
            )
            assert [s.shape for s in shapes] == [(), (8,)], name


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (["--data", "mnist"], ["no data are called `mnist`", "there are digits, breast_cancer, diabetes."]),
        (["--loss", "cros_entropy"], ["no loss is called `cros_entropy`; nearest: cross_entropy"]),
        (
            ["--loss", "huber"],
            ["huber does not fit digits, which has 10 classes: `targets` is any real number.", "\nIt fits --data diabetes.\n"],
        ),
        (
            ["--data", "diabetes", "--loss", "cross_entropy"],
            ["which has numbers: `labels` is a class index.", "\nIt fits --data digits and --data breast_cancer.\n"],
        ),
        (
            ["--loss", "triplet_margin"],
            ["it compares `anchors`, `positives`, `negatives`, not predictions with targets", "Losses that fit digits: "],
        ),
        (["--loss", "cross_entropy", "--option", "cross_entropy.gama=1"], ["cross_entropy has no option `gama`", "label_smoothing=0.0"]),
        (["--loss", "softmax_focal", "--option", "softmax_focal.gamma=big"], ["softmax_focal: `gamma` is a number, got 'big'."]),
        (["--loss", "softmax_focal", "--option", "gamma=1"], ["--option reads LOSS.NAME=VALUE"]),
        (["--loss", "cross_entropy", "--option", "huber.delta=1"], ["huber is not among the losses to train: cross_entropy."]),
        (
            ["--loss", "cross_entropy", "--option", "cross_entropy.label_smoothing=2"],
            ["cross_entropy: `label_smoothing` must be between 0 and 1, got 2."],
        ),
        (["--data", "diabetes", "--imbalance"], ["diabetes has numbers; --noise makes outliers there."]),
        (["--noise", "2"], ["--noise is a fraction between 0 and 1, got 2."]),
        (["--imbalance", "0.5"], ["--imbalance is a ratio of 1 or more, got 0.5."]),
        (["--steps", "0"], ["--steps is 1 or more, got 0."]),
        (["--seed", "-1"], ["--seed is 0 or more, in 63 bits, got -1."]),
        (["--seed", str(2**63)], ["--seed is 0 or more, in 63 bits, got 9223372036854775808."]),
        (["--loss", ","], ["--loss reads names, with commas; got `,`."]),
        (["--loss", ""], ["--loss reads names, with commas; got ``."]),
        (["--loss", "softmax_focal", "--option", "softmax_focal.gamma=None"], ["softmax_focal: `gamma` is a number, got 'None'."]),
        (["--loss", "softmax_focal", "--option", "softmax_focal.gamma={[]: 1}"], ["softmax_focal: `gamma` is a number, got '{[]: 1}'."]),
    ],
)
def test_mistakes_are_told_in_a_line(say, tmp_path, argv, parts):
    status, _, err = say("train", "--out", str(tmp_path), "--steps", "1", *argv)
    assert status == 2
    assert err.startswith("jloss: ")
    for part in parts:
        assert part in err
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- bench


@pytest.mark.slow
def test_bench_writes_table_and_figure(say, tmp_path):
    status, out, _ = say("bench", "--loss", "huber,cross_entropy", "--size", "1000", "--repeats", "2", "--out", str(tmp_path))
    assert status == 0
    assert "optax" in out
    assert re.search(r"^1/2 huber: [\d.]+ ms\n2/2 cross_entropy: [\d.]+ ms$", out, re.M)
    table = rows(tmp_path / "bench.csv")
    assert [r["loss"] for r in table] == ["huber", "cross_entropy"]
    assert all(
        float(r[c]) > 0
        for r in table
        for c in ("ms", "optax_ms", "optax_ratio", "compile_ms", "call_us", "moved_mb", "must_mb", "masked_ratio", "optax_masked_ratio")
    )
    assert all(0.05 < float(r[c]) < 20 for r in table for c in ("compile_ratio", "small_compile_ratio"))
    page = (tmp_path / "bench.md").read_text()
    assert re.search(r"The first gradient takes \d\.\d\d of the time of optax's \(\d\.\d\d of 1024 numbers\), over 2 rows; longest: ", page)
    assert "| huber | jloss |" in page
    assert re.search(r"\| cross_entropy \| k -?\d\.\d\d, batch -?\d\.\d\d \| k [01]\.\d\d, batch [01]\.\d\d \|", page)
    assert re.fullmatch(r"batch -?\d\.\d\d", table[0]["time_growth"])
    assert "Over 2 rows jloss takes" in page
    assert (tmp_path / "bench.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_bench_says_how_memory_grows():
    """All similarities of a set exist at once; classes and examples only stand beside each other."""
    from jloss.tools import bench

    grown = {name: bench.measure(name, size=1 << 18, repeats=1).memory_growth for name in ("angular_prototypical", "brier")}
    found = {(name, *pair.split()[:1]): float(pair.split()[1]) for name, said in grown.items() for pair in said.split(", ")}
    assert 1.3 < found["angular_prototypical", "n"] < 2.1
    assert all(0.7 < found[key] < 1.2 for key in (("angular_prototypical", "batch"), ("brier", "k"), ("brier", "batch")))


def test_nobody_is_timed_beside_the_threads_of_torch(monkeypatch):
    from jloss.tools import bench

    heard = []
    monkeypatch.setattr(bench.time, "sleep", lambda seconds: heard.append("wait"))
    bench._interleaved({by: functools.partial(heard.append, by) for by in ("jloss", "masked", "torch", "plain")}, 1)
    assert {after for by, after in itertools.pairwise(heard) if by == "torch"} == {"torch", "wait", "plain"}
    assert sum(pair == ("torch", "plain") for pair in itertools.pairwise(heard)) == 1  # to see how long each takes


def test_show_says_what_grows_faster_than_the_inputs(say):
    assert "\nGrows faster than its inputs:\n    time as n^2.\n" in say("show", "clip")[1]
    assert "    time as n^3; memory as n^2.\n" in say("show", "angular")[1]
    assert "Grows" not in say("show", "huber")[1]


def test_bench_refuses_a_device_that_is_not_there(say, tmp_path):
    status, _, err = say("bench", "--loss", "huber", "--device", "abacus", "--out", str(tmp_path))
    assert (status, err) == (2, "jloss: JAX finds no device `abacus` here; it finds cpu.\n")


@pytest.mark.slow
def test_bench_rows_are_losses_with_peers_of_the_same_value(at_ease):
    """A peer that computes something else would make the comparison meaningless."""
    from jloss.tools import bench

    ignored = {"ctc", "kl_divergence", "kl_divergence_with_log_targets"}
    for name, row in bench.ROWS.items():
        if name not in jloss.CATALOGUE and not row.loss:
            continue
        entry = jloss.entry(row.loss) if row.loss else find_entry(name)
        arrays = bench.inputs_of(entry, row._replace(sizes={"k": 7, "d": 5}), 60)
        ours = float(entry.public(*arrays, **row.options))
        for peer in filter(None, (row.optax, row.plain)):
            if name not in ignored:
                given = [*map(jax.numpy.asarray, arrays)]
                values = jax.eval_shape(peer, *given)
                assert float(bench.mean_of(peer)(*given)) == pytest.approx(ours, rel=1e-4), name
                where = np.arange(values.size).reshape(values.shape) % 3 == 0
                masked = float(entry.public(*given, **row.options, where=where))
                assert float(bench.masked_mean_of(peer)(where, *given)) == pytest.approx(masked, rel=1e-4), name
        if row.rax and importlib.util.find_spec("rax"):
            assert float(row.rax(importlib.import_module("rax"), *map(jax.numpy.asarray, arrays))) == pytest.approx(ours, rel=1e-4), name
        if row.torch:
            torch = sys.modules.get("torch") or pytest.importorskip("torch")
            given = row.torch_inputs(*arrays) if row.torch_inputs else arrays
            theirs = float(row.torch(torch.nn.functional, *(torch.tensor(np.asarray(a)) for a in given)))
            if name not in ignored:
                assert theirs == pytest.approx(ours, rel=1e-4), name


# ---------------------------------------------------------------- the pieces


def test_options_from_text():
    assert option(find_entry("huber"), "delta", "2") == 2
    assert option(find_entry("huber"), "delta", "inf") == float("inf")
    with pytest.raises(UsageError, match=r"huber has no option `dleta`; nearest: delta; its options: delta=1.0."):
        option(find_entry("huber"), "dleta", "2")
    assert option(find_entry("multi_margin"), "p", "2") == 2
    for text, value in {"true": True, "False": False, "FALSE": False}.items():
        assert option(find_entry("poisson_nll"), "full", text) is value
    for text in ("1.5", "two", "True", "None"):
        with pytest.raises(UsageError, match=r"^multi_margin: `p` is static and must be a Python int, got"):
            option(find_entry("multi_margin"), "p", text)


def test_a_missing_extra_says_what_to_install():
    with pytest.raises(MissingExtra, match=r"^surely_absent is not installed; get it with: pip install 'jloss\[examples\]'$"):
        import_extra("surely_absent.inner", "examples")


@pytest.mark.slow
def test_every_loss_has_a_path_to_plot_and_inputs_to_time():
    from jloss.plotting.curves import path_of
    from jloss.tools import bench
    from jloss.tools.peers import Peers

    for name, entry in jloss.CATALOGUE.items():
        if entry.kind != "loss" or "tree" in entry.domains.values():
            with pytest.raises(UsageError, match=f"^{name} has parameters or a state of its own"):
                path_of(entry)
            assert not bench.can_measure(entry)
            continue
        path = path_of(entry)
        assert jax.eval_shape(lambda t, e=entry, p=path: e.public(**p.inputs(t)), jnp.ones(())).shape == (), name
        arrays = bench.inputs_of(entry, bench.ROWS.get(name, Peers()), 64)
        assert jax.eval_shape(entry.public, *arrays).shape == (), name


@pytest.mark.slow
def test_module_and_console_script_run():
    for command in ([sys.executable, "-m", "jloss"], [shutil.which("jloss")]):
        if command[0]:
            done = subprocess.run([*command, "list", "--family", "errors"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "huber" in done.stdout


@pytest.mark.parametrize("encoding", ["cp1251", "ascii", "cp932", "cp437"])
def test_consoles_without_all_letters(monkeypatch, encoding):
    accented = [name for name, entry in jloss.CATALOGUE.items() if not (entry.public.__doc__ or "").isascii()]
    assert {"tweedie_deviance", "renyi_divergence", "wasserstein_1d"} <= {*accented}
    for argv in (["list"], ["list", "--markdown"], *(["show", name] for name in accented)):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        assert main(argv) == 0
        sys.stdout.flush()
        said = raw.getvalue().decode(encoding)
        assert argv[-1] in said if argv[0] == "show" else all(name in said for name in jloss.CATALOGUE)


@pytest.mark.slow
def test_a_russian_console():
    command = [sys.executable, "-m", "jloss", "list", "--family", "divergence"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "cp1251"}, check=False)
    assert done.returncode == 0, done.stderr
    assert b"R?nyi" in done.stdout


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize(
    "argv",
    [
        ("train", "--data", "diabetes", "--loss", "huber", "--steps", "1", "--out"),
        ("bench", "--loss", "huber", "--size", "10", "--repeats", "1", "--out"),
        ("show", "huber", "--plot"),
    ],
)
def test_a_file_in_the_place_of_a_folder(say, tmp_path, argv):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    status, _, err = say(*argv, str(taken / "new" / "plot.png"))
    where = taken / "new" if argv[0] == "show" else taken / "new" / "plot.png"
    assert (status, err) == (2, f"jloss: cannot write into `{where}`: `{taken}` is not a folder.\n")
    assert taken.read_text() == "mine"


def test_a_folder_that_cannot_be_made(say, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "there")

    monkeypatch.setattr(Path, "mkdir", refuse)
    status, _, err = say("show", "huber", "--plot", str(tmp_path / "new" / "huber.png"))
    assert (status, err) == (2, "jloss: `there`: Permission denied.\n")
