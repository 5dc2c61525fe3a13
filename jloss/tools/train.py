"""Trains one small network per loss on real data, side by side: the same start, the same batches, only the loss differs.

The data ship inside scikit-learn: digits (ten classes), breast_cancer (two classes), diabetes (numbers).
"""

import csv
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.domains import DOMAINS
from jloss._core.lookup import Stopped, UsageError, find_entry, import_extra, report_progress, stoppable

DEFAULTS = {
    "digits": ("cross_entropy", "softmax_focal", "multi_margin"),
    "breast_cancer": ("sigmoid_cross_entropy", "sigmoid_focal", "hinge"),
    "diabetes": ("squared_error", "absolute_error", "huber"),
}


class Data(NamedTuple):
    """A data set, split; `classes` is 0 where the targets are numbers, which are then measured in `unit`."""

    name: str
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int
    unit: float
    kept: np.ndarray  # training examples per class

    @property
    def targets(self) -> str:
        """What it has, in words."""
        return f"{self.classes} classes" if self.classes else "numbers"


class Feed(NamedTuple):
    """How a loss is fed: the network's width, the loss's inputs, and the prediction that the outputs mean."""

    width: int
    inputs: Callable[[Array, Array], dict[str, Array]]
    predict: Callable[[Array], Array]


class Result(NamedTuple):
    """A row of the table, and the curves behind it."""

    label: str
    loss: float
    train: float
    test: float
    second: float
    milliseconds: float
    gradient_norm: float
    curves: dict[str, list[float]]

    def numbers(self) -> tuple[float, ...]:
        """In the order of the table."""
        return self.train, self.test, self.second, self.loss, self.milliseconds, self.gradient_norm


def load(name: str, *, imbalance: float = 1.0, noise: float = 0.0, seed: int = 0) -> Data:
    """The data set, standardised and split three to one; only the training part is made imbalanced or noisy.

    Args:
        name: ``"digits"``, ``"breast_cancer"`` or ``"diabetes"``.
        imbalance: How many times rarer the last class is than the first; the classes between fall off geometrically.
        noise: The fraction of wrong labels, or of targets that are outliers by ten standard deviations.
        seed: Of the split and of the noise.
    """
    if not 0.0 <= noise <= 1.0:
        raise UsageError(f"--noise is a fraction between 0 and 1, got {noise:g}.")
    if not imbalance >= 1.0:
        raise UsageError(f"--imbalance is a ratio of 1 or more, got {imbalance:g}.")
    bunch = getattr(import_extra("sklearn.datasets", "examples"), f"load_{name}")()
    classes = len(bunch.target_names) if hasattr(bunch, "target_names") else 0
    if imbalance > 1.0 and not classes:
        raise UsageError(f"--imbalance makes classes rare, but {name} has numbers; --noise makes outliers there.")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(bunch.target))
    x, y = bunch.data[order], bunch.target[order]
    held = len(y) // 4
    x, y, test_x, test_y = x[held:], y[held:], x[:held], y[:held]
    if classes:
        rank = np.empty(len(y), int)  # of an example within its class
        for c in range(classes):
            rank[y == c] = np.arange(np.sum(y == c))
        share = imbalance ** (-y / max(classes - 1, 1))
        keep = rank < np.maximum(1, share * np.bincount(y, minlength=classes)[y])
        x, y = x[keep], y[keep]
    center, spread = x.mean(0), x.std(0) + 1e-6
    if name == "digits":
        center, spread = 8.0, 4.0  # one grey scale for all pixels
    unit = 1.0 if classes else float(y.std())
    kept = np.bincount(y, minlength=classes) if classes else np.zeros(0, int)
    wrong = rng.uniform(size=len(y)) < noise
    if classes:
        y = np.where(wrong, (y + rng.integers(1, classes, len(y))) % classes, y)
    else:
        y, test_y = y / unit + 10.0 * wrong, test_y / unit
    numbers = np.int32 if classes else np.float32

    def scaled(values: np.ndarray) -> np.ndarray:
        return ((values - center) / spread).astype(np.float32)

    return Data(name, scaled(x), y.astype(numbers), scaled(test_x), test_y.astype(numbers), classes, unit, kept)


# ---------------------------------------------------------------- which loss fits which data

_OUTPUTS = frozenset({"logits", "scores", "predictions", "log_predictions", "log_probs", "probabilities", "p"})
_PER_CLASS: dict[str, Callable[[Array], Array]] = {
    "real": lambda outputs: outputs,
    "prob": lambda outputs: jax.nn.softmax(outputs),
    "log_prob": lambda outputs: jax.nn.log_softmax(outputs),
    "nonnegative": lambda outputs: jax.nn.softmax(outputs),
}
_ONE_AGAINST_REST: dict[str, Callable[[Array], Array]] = {"real": lambda outputs: outputs, "unit": lambda outputs: jax.nn.sigmoid(outputs)}
_NUMBERS: dict[str, Callable[[Array], Array]] = {
    "real": lambda outputs: outputs,
    "positive": lambda outputs: jax.nn.softplus(outputs),
    "nonnegative": lambda outputs: jax.nn.softplus(outputs),
    "above_minus_one": lambda outputs: jax.nn.softplus(outputs),
}


def feed(entry: Entry, data: Data, options: Mapping[str, Any] | None = None) -> Feed:
    """How this loss is fed from this data; a `UsageError` that says why, if it cannot be."""
    if entry.kind != "loss":
        what = {"stateful": "it keeps a state between batches", "penalty": "it is a penalty on parameters"}.get(entry.kind, entry.kind)
        raise _misfit(entry, data, what)
    required = [n for n, p in inspect.signature(entry.public).parameters.items() if n in entry.inputs and p.default is p.empty]
    first, second, *rest = [*required, "", ""][: max(2, len(required))]
    if first not in _OUTPUTS or not second:
        raise _misfit(entry, data, f"it compares {_listing(required)}, not predictions with targets")
    if data.classes:
        return _classify(entry, data, first, second, rest)
    return _estimate(entry, data, first, second, rest, {**entry.options, **(options or {})})


def _classify(entry: Entry, data: Data, first: str, second: str, rest: list[str]) -> Feed:
    k = data.classes
    per_class = entry.inputs[first] == ("k",)
    width = k if per_class or k > 2 else 1
    activations = _PER_CLASS if per_class else _ONE_AGAINST_REST
    activate = activations.get(entry.domains[first]) if entry.inputs[first] in ((), ("k",)) else None
    if activate is None:
        raise _misfit(entry, data, _what(entry, first))

    def hits(labels: Array) -> Array:
        return jax.nn.one_hot(labels, k) if width == k else labels[:, None].astype(jnp.float32)

    encodings: dict[tuple[bool, str], Callable[[Array], Array]] = {
        (False, "sign"): lambda labels: 2 * hits(labels) - 1,
        (False, "unit"): hits,
        (True, "class"): lambda labels: labels,
        (True, "prob"): hits,
        (True, "nonnegative"): hits,
        (True, "unit"): hits,
        (True, "sign"): lambda labels: 2 * hits(labels) - 1,
        (True, "multi_hot"): lambda labels: hits(labels) > 0,
        (True, "log_prob"): lambda labels: jnp.log(0.999 * hits(labels) + 0.001 / k),
    }
    encode = encodings.get((per_class, entry.domains[second]))
    if entry.inputs[second] != (() if entry.domains[second] == "class" else entry.inputs[first]):
        encode = None
    if encode is None:
        raise _misfit(entry, data, _what(entry, second))
    share = np.maximum(data.kept, 1) / max(data.kept.sum(), 1)
    known = {"log_prior": np.log(share), "margins": 0.5 * (share / share.min()) ** -0.25}
    if not known.keys() >= set(rest):
        raise _misfit(entry, data, f"it needs {_listing(rest)}, too")
    shared = {n: jnp.asarray(known[n], jnp.float32) for n in rest}

    def predict(outputs: Array) -> Array:
        return jnp.argmax(outputs, axis=-1) if width == k else (outputs[:, 0] > 0).astype(jnp.int32)

    return Feed(width, lambda outputs, labels: {first: activate(outputs), second: encode(labels), **shared}, predict)


def _estimate(entry: Entry, data: Data, first: str, second: str, rest: list[str], options: Mapping[str, Any]) -> Feed:
    activate = _NUMBERS.get(entry.domains[first])
    for name, fits in ((second, entry.domains[second] in _NUMBERS), (first, activate is not None)):
        if not fits or entry.inputs[name] != ():
            raise _misfit(entry, data, _what(entry, name))
    assert activate is not None
    if not {"variances"} >= set(rest):
        raise _misfit(entry, data, f"it needs {_listing(rest)}, too")
    link = jnp.exp if options.get("log_input") else activate
    extra = {n: (lambda outputs: jax.nn.softplus(outputs[:, 1]) + 1e-3) for n in rest}

    def inputs(outputs: Array, targets: Array) -> dict[str, Array]:
        return {first: activate(outputs[:, 0]), second: targets, **{n: make(outputs) for n, make in extra.items()}}

    return Feed(1 + len(rest), inputs, lambda outputs: link(outputs[:, 0]))


def fitting(data: Data) -> list[str]:
    """The names of all losses that can be trained on this data."""
    names = []
    for name, entry in CATALOGUE.items():
        try:
            feed(entry, data)
        except UsageError:
            continue
        names.append(name)
    return names


def _misfit(entry: Entry, data: Data, why: str) -> UsageError:
    return UsageError(f"{entry.name} does not fit {data.name}, which has {data.targets}: {why}.")


def _listing(names: Sequence[str]) -> str:
    return ", ".join(f"`{n}`" for n in names) or "nothing"


def _what(entry: Entry, name: str) -> str:
    """What an input is, in words."""
    dims, meaning = entry.inputs[name], DOMAINS[entry.domains[name]].meaning
    return f"`{name}` is an array ({', '.join(dims)}) per example, {meaning}" if dims else f"`{name}` is {meaning}"


# ---------------------------------------------------------------- training


def train(
    data: Data,
    losses: Mapping[str, Mapping[str, Any]],
    *,
    steps: int = 500,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
    progress: Callable[[str, int], None] = lambda label, done: None,
) -> list[Result]:
    """Trains one network per loss.

    Args:
        data: From `load`.
        losses: The options of each loss, by its name: ``{"huber": {"delta": 0.5}}``.
        steps: Of optax's Adam.
        batch: Examples per step.
        rate: The learning rate.
        seed: Of the weights and of the batches, the same for every loss.
        progress: Called with the label and the steps done, after every step.
    """
    return list(_trained(data, losses, steps, batch, rate, seed, progress))


def _trained(
    data: Data,
    losses: Mapping[str, Mapping[str, Any]],
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    progress: Callable[[str, int], None],
) -> Iterator[Result]:
    """The networks, one after the other, once all losses are known to fit."""
    for name in losses:
        _check(find_entry(name), data, losses[name])
    draws = np.random.default_rng(seed).integers(0, len(data.y), (steps, batch))
    for name, options in losses.items():
        yield _train_one(data, find_entry(name), options, draws, rate, seed, progress)


def _check(entry: Entry, data: Data, options: Mapping[str, Any]) -> None:
    """Before anything is trained: does the loss fit the data, and do its options suit it?"""
    try:
        fed = feed(entry, data, options)
    except UsageError as mistake:
        others = [name for name in DEFAULTS if name != data.name and entry.name in fitting(load(name))]
        if others:
            raise UsageError(f"{mistake}\nIt fits {' and '.join(f'--data {name}' for name in others)}.") from None
        raise UsageError(f"{mistake}\nLosses that fit {data.name}: {', '.join(fitting(data)) or 'none'}.") from None
    outputs = jax.ShapeDtypeStruct((2, fed.width), jnp.float32)
    try:
        jax.eval_shape(lambda outputs, y: entry.public(**fed.inputs(outputs, y), **options), outputs, data.y[:2])
    except ValueError as error:  # an option out of range
        raise UsageError(str(error)) from None


def _network(features: int, width: int, seed: int) -> Any:
    nnx = import_extra("flax.nnx", "examples")
    rngs, hidden = nnx.Rngs(seed), min(64, 2 * features)
    sizes = [features, hidden, hidden, width]
    first, second, last = (nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes))
    return nnx.Sequential(first, jax.nn.gelu, second, jax.nn.gelu, last)


def _train_one(
    data: Data, entry: Entry, options: Mapping[str, Any], draws: np.ndarray, rate: float, seed: int, progress: Callable[[str, int], None]
) -> Result:
    nnx = import_extra("flax.nnx", "examples")
    fed = feed(entry, data, options)
    graph, parameters = nnx.split(_network(data.x.shape[1], fed.width, seed), nnx.Param)
    optimizer = optax.adam(rate)
    state = optimizer.init(parameters)

    @jax.jit
    def step(parameters: Any, state: Any, x: Array, y: Array) -> Any:
        def objective(parameters: Any) -> Array:
            return entry.public(**fed.inputs(nnx.merge(graph, parameters)(x), y), **options)

        value, gradient = jax.value_and_grad(objective)(parameters)
        updates, state = optimizer.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value, optax.tree.norm(gradient)

    @jax.jit
    def predict(parameters: Any, x: Array) -> Array:
        return fed.predict(nnx.merge(graph, parameters)(x))

    label = " ".join([entry.name, *(f"{n}={v}" for n, v in options.items())])
    every = max(1, len(draws) // 40)
    curves: dict[str, list[float]] = {"step": [], "loss": [], "test": []}
    seconds, values, norms = [], [], []
    metric = accuracy if data.classes else mean_absolute_error
    for done, rows in enumerate(draws, 1):
        x, y = jnp.asarray(data.x[rows]), jnp.asarray(data.y[rows])
        start = time.perf_counter()
        parameters, state, value, norm = jax.block_until_ready(step(parameters, state, x, y))
        seconds.append(time.perf_counter() - start)
        values.append(float(value))
        norms.append(float(norm))
        if done % every == 0 or done in (1, len(draws)):
            curves["step"].append(done)
            curves["loss"].append(float(np.mean(values[-every:])))
            curves["test"].append(metric(data, np.asarray(predict(parameters, data.test_x)), data.test_y))
        progress(label, done)
    train_metric = metric(data, np.asarray(predict(parameters, data.x)), data.y)
    predictions = np.asarray(predict(parameters, data.test_x))
    second = (balanced_accuracy if data.classes else explained)(data, predictions, data.test_y)
    tail = max(1, len(draws) // 10)
    test = curves["test"][-1]
    milliseconds = 1e3 * float(np.median(seconds[1:] or seconds))
    return Result(label, float(np.mean(values[-tail:])), train_metric, test, second, milliseconds, float(np.mean(norms[-tail:])), curves)


def accuracy(data: Data, predictions: np.ndarray, targets: np.ndarray) -> float:
    """The fraction of right classes."""
    return float(np.mean(predictions == targets))


def balanced_accuracy(data: Data, predictions: np.ndarray, targets: np.ndarray) -> float:
    """The mean over the classes of the fraction that is found."""
    return float(np.mean([np.mean(predictions[targets == c] == c) for c in range(data.classes) if np.any(targets == c)]))


def mean_absolute_error(data: Data, predictions: np.ndarray, targets: np.ndarray) -> float:
    """In the units of the data."""
    return float(np.mean(np.abs(predictions - targets))) * data.unit


def explained(data: Data, predictions: np.ndarray, targets: np.ndarray) -> float:
    """R squared: 1 is perfect, 0 is the mean of the targets."""
    return 1.0 - float(np.mean((predictions - targets) ** 2) / np.var(targets))


# ---------------------------------------------------------------- what a person sees


def run(
    data_name: str,
    losses: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    seed: int,
    imbalance: float,
    noise: float,
    out: Path,
) -> list[Result]:
    """Trains with a progress bar, prints the table, and writes it as CSV and the curves as PNG."""
    if steps < 1:
        raise UsageError(f"--steps is 1 or more, got {steps}.")
    if not 0 <= seed < 2**63:
        raise UsageError(f"--seed is 0 or more, in 63 bits, got {seed}.")
    bars = import_extra("rich.progress", "examples")
    console = import_extra("rich.console", "examples").Console()
    import_extra("flax.nnx", "examples")
    import_extra("matplotlib.figure", "plot")
    data = load(data_name, imbalance=imbalance, noise=noise, seed=seed)
    console.print(f"{data_name}: {len(data.y)} examples to train, {len(data.test_y)} to test, {data.targets}", highlight=False)
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    results: list[Result] = []
    with stoppable() as stopped, bars.Progress(*columns, console=console, transient=True) as shown:
        tasks: dict[str, Any] = {}

        def progress(label: str, done: int) -> None:
            if label not in tasks:
                tasks[label] = shown.add_task(label, total=steps)
            shown.update(tasks[label], completed=done)

        for result in _trained(data, losses, steps, 64, 1e-3, seed, progress):
            results.append(result)
            report_progress(console, result.label, len(results), len(losses))
            if stopped():
                break
    if not results:
        raise Stopped(f"stopped; 0 of {len(losses)} losses done")
    out.mkdir(parents=True, exist_ok=True)
    header, rows = table(data, results)
    _print_table(console, header, rows)
    with open(out / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    figure(data, results, imbalance=imbalance, noise=noise).savefig(out / "curves.png", dpi=120)
    console.print(f"Wrote {out / 'table.csv'} and {out / 'curves.png'}", highlight=False, soft_wrap=True)
    if len(results) < len(losses):
        raise Stopped(f"stopped; {len(results)} of {len(losses)} losses done")
    return results


def table(data: Data, results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, as text."""
    metric, second = ("acc", "recall") if data.classes else ("MAE", "R2")
    header = ["loss", f"train {metric}", f"test {metric}", f"test {second}", "final loss", "ms/step", "grad norm"]
    digits = ".4f" if data.classes else ".2f"
    formats = (digits, digits, ".4f", ".4g", ".2f", ".3g")
    rows = [[r.label, *(f"{v:{f}}" for v, f in zip(r.numbers(), formats, strict=True))] for r in results]
    return header, rows


def _print_table(console: Any, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = import_extra("rich.table", "examples").Table()
    for name in header:
        is_name = name == header[0]
        shown.add_column(name, justify="left" if is_name else "right", no_wrap=is_name)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)


def figure(data: Data, results: Sequence[Result], *, imbalance: float = 1.0, noise: float = 0.0) -> Any:
    """The curves: the training loss as a multiple of its start, and the test metric."""
    from jloss.plotting.curves import new_figure

    drawn, (left, right) = new_figure(1, 2)
    logarithmic = all(v > 0 for r in results for v in r.curves["loss"])
    for result in results:
        start = result.curves["loss"][0]
        scale = abs(start) if start and math.isfinite(start) else 1.0
        left.plot(result.curves["step"], [v / scale for v in result.curves["loss"]], label=result.label)
        right.plot(result.curves["step"], result.curves["test"], label=result.label)
    if logarithmic:
        left.set_yscale("log")
    metric = "test accuracy" if data.classes else "test mean absolute error"
    left.set(xlabel="step", ylabel="training loss / its first value", title="training loss")
    right.set(xlabel="step", ylabel=metric, title=metric)
    right.legend(fontsize="small")
    if data.classes:
        right.set_ylim(top=1.0)
    made = [data.name]
    if imbalance > 1:
        made.append(f"classes up to {imbalance:g} times rarer")
    if noise:
        made.append(f"{noise:.0%} {'wrong labels' if data.classes else 'outliers'}")
    drawn.suptitle(", ".join(made))
    return drawn
