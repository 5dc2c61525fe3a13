"""Value and gradient of every loss against optax, rax and torch: time, memory, compile time, the cost of a bare call.

A row of the benchmark is one declaration: the peers' calls on the same inputs, and where no library has a peer the formula as one
would first write it in JAX ("plain"). Losses without one run alone. All timings are interleaved (jloss, optax, torch, torch, optax,
jloss, ...), and a ratio is the median over the rounds, so that a busy machine slows all alike. Below 1 means that jloss is faster.
"""

import csv
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jloss._core.axes import spatial, split_offset
from jloss._core.backend import hints_of
from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.lookup import Stopped, UsageError, find_entry, import_extra, report_progress, stoppable
from jloss.testing import draw
from jloss.testing.samples import blank_of
from jloss.tools.growth import BATCH, Exponents, letters_of
from jloss.tools.peers import ROWS as ROWS
from jloss.tools.peers import SIZES, Peers

SMALL = 1 << 10  # numbers; most notebooks wait for tracing and compiling, not for arithmetic
SPIN = 6e-3  # seconds for which torch's threads, when they are done, keep a core busy that whoever comes next would be timed without


class Timings(NamedTuple):
    """A row of the table; None where there is no peer."""

    loss: str
    ms: float
    optax_ms: float | None
    optax_ratio: float | None
    torch_ms: float | None
    torch_ratio: float | None
    temporary_mb: float
    optax_temporary_mb: float | None
    moved_mb: float
    optax_moved_mb: float | None
    compile_ms: float
    optax_compile_ms: float | None
    call_us: float
    optax_call_us: float | None
    plain_ms: float | None
    plain_ratio: float | None
    plain_temporary_mb: float | None
    must_mb: float  # the inputs once, and the gradients
    masked_ratio: float  # time with `where` over time without
    rax_ms: float | None
    rax_ratio: float | None
    optax_masked_ratio: float | None  # the same of the peer, whose values go into jnp.mean(values, where=mask)
    compile_ratio: float | None  # time to the first gradient over the peer's
    small_compile_ratio: float | None  # the same for a batch of `SMALL` numbers, as in a notebook
    time_growth: str  # with each size, as an exponent: "k 1.02, batch 0.99"
    memory_growth: str  # of inputs, results and temporaries

    @property
    def best_peer(self) -> float | None:
        """Our time over that of the fastest peer."""
        ratios = [r for r in (self.optax_ratio, self.torch_ratio, self.plain_ratio, self.rax_ratio) if r]
        return max(ratios, default=None)

    @property
    def masked_optax_ratio(self) -> float | None:
        """Our time over the peer's, both with a mask."""
        return self.optax_ratio and self.optax_masked_ratio and self.optax_ratio * self.masked_ratio / self.optax_masked_ratio


def measure(name: str, *, size: int = 1 << 20, device: str = "cpu", repeats: int = 15) -> Timings:
    """The numbers of one loss.

    Args:
        name: Of the loss.
        size: How many numbers the first input has, about.
        device: A JAX platform.
        repeats: Interleaved timings.
    """
    name = name.removeprefix("jloss.")
    row = ROWS.get(name, Peers())
    entry = entry_of(row.loss) if row.loss else find_entry(name)
    if not can_measure(entry):
        raise UsageError(f"{name} has parameters or a state of its own, so the benchmark has no inputs for it.")
    chip = _device(device)
    arrays = [jax.device_put(a, chip) for a in inputs_of(entry, row, size)]
    small, tiny = ([jax.device_put(a, chip) for a in inputs_of(entry, row, numbers)] for numbers in (SMALL, 1))

    def call(*inputs: Any) -> Any:
        return entry.public(*inputs, **row.options)

    def masked(where: Any, *inputs: Any) -> Any:
        return entry.public(*inputs, **row.options, where=where)

    values = jax.eval_shape(lambda *inputs: entry.public(*inputs, **row.options, reduction="none"), *arrays)
    where = jax.device_put(np.random.default_rng(1).uniform(size=values.shape) < 0.9, chip)
    ours = _compiled(call, arrays, row.gradients)
    kept = _compiled(masked, [where, *arrays], row.gradients, first=1)
    theirs = _compiled(mean_of(row.optax), arrays, row.gradients) if row.optax else None
    theirs_kept = _compiled(masked_mean_of(row.optax), [where, *arrays], row.gradients, first=1) if row.optax else None
    plain = _compiled(mean_of(row.plain), arrays, row.gradients) if row.plain else None
    for_torch = row.torch_inputs(*map(np.asarray, arrays)) if row.torch_inputs else arrays
    torch = _torch(row.torch, for_torch, device, row.gradients) if row.torch else None
    rax = _rax(row.rax, arrays, row.gradients) if row.rax else None
    timed = {
        "jloss": ours.run,
        "masked": kept.run,
        "optax": theirs.run if theirs else None,
        "optax, masked": theirs_kept.run if theirs_kept else None,
        "torch": torch,
        "plain": plain.run if plain else None,
        "rax": rax,
    }
    ms, ratios = _interleaved({by: f for by, f in timed.items() if f}, repeats)
    bare = {"jloss": lambda: jax.block_until_ready(call(*tiny))}
    if row.optax:
        peer = mean_of(row.optax)
        bare["optax"] = lambda: jax.block_until_ready(peer(*tiny))
    call_ms, _ = _interleaved(bare, repeats)
    both = {"jloss": call} | ({"optax": mean_of(row.optax)} if row.optax else {})
    compile_ms, compile_ratio = first_gradients(both, arrays, row.gradients, repeats)
    _, small_compile_ratio = first_gradients(both, small, row.gradients, repeats) if row.optax else ({}, {})
    grown = exponents_of(entry, row, size, chip, repeats)
    return Timings(
        name,
        ms["jloss"],
        ms.get("optax"),
        ratios.get("optax"),
        ms.get("torch"),
        ratios.get("torch"),
        ours.temporary_mb,
        theirs.temporary_mb if theirs else None,
        ours.moved_mb,
        theirs.moved_mb if theirs else None,
        compile_ms["jloss"],
        compile_ms.get("optax"),
        1e3 * call_ms["jloss"],
        1e3 * call_ms["optax"] if row.optax else None,
        ms.get("plain"),
        ratios.get("plain"),
        plain.temporary_mb if plain else None,
        sum(a.nbytes for a in [*arrays, *arrays[: row.gradients]]) / 1e6,
        1 / ratios["masked"],
        ms.get("rax"),
        ratios.get("rax"),
        ratios["optax"] / ratios["optax, masked"] if row.optax else None,
        compile_ratio.get("optax"),
        small_compile_ratio.get("optax"),
        *(", ".join(f"{letter} {e[i]:.2f}" for letter, e in grown.items()) for i in range(2)),
    )


def mean_of(values: Callable[..., Any]) -> Callable[..., Any]:
    """The mean of a peer's values, as its users take it."""
    return lambda *inputs: jnp.mean(values(*inputs))


def masked_mean_of(values: Callable[..., Any]) -> Callable[..., Any]:
    """The same over the examples that a mask keeps."""
    return lambda where, *inputs: jnp.mean(values(*inputs), where=where)


def can_measure(entry: Entry) -> bool:
    """Whether arrays that fit its domains are all that the loss needs."""
    return entry.kind == "loss" and (entry.name in ROWS or not {"tree", "key"} & {*entry.domains.values()})


def inputs_of(entry: Entry, row: Peers, size: int, letter: str = "", times: int = 1) -> list[np.ndarray]:
    """The required inputs of a batch whose first input has about `size` numbers; then one of its sizes so many times as large."""
    rng = np.random.default_rng(0)
    sizes = {**SIZES, **hints_of(entry.core).sizes, **row.sizes}

    def core(name: str) -> tuple[int, ...]:
        dims = (split_offset(dim) for dim in spatial(entry.inputs[name], entry.spatial_ndim))
        return tuple(int(letter) if letter.isdigit() else sizes.get(letter, 4) + offset for letter, offset in dims)

    names = entry.required
    fitting = max(1, size // math.prod(core(names[0])))
    examples = min(row.examples or fitting, fitting) * (times if letter == BATCH else 1)
    sizes[letter] = sizes.get(letter, 4) * times
    if row.inputs:
        return list(row.inputs(rng, examples))
    given: dict[str, Any] = {"classes": sizes["k"], "steps": sizes["t"], "blank": blank_of(entry, row.options)}
    drawn = (draw(entry.domains[n], core(n), (examples,), rng, **given) for n in names)
    return [a.astype(np.float32) if getattr(a, "dtype", None) == np.float64 else a for a in drawn]


def exponents_of(entry: Entry, row: Peers, size: int, chip: Any, repeats: int) -> dict[str, Exponents]:
    """How time and memory grow from a quarter of the size on, with each size of the loss and with the batch."""
    letters = dict.fromkeys([*([] if row.inputs else letters_of(entry)), BATCH])
    return {letter: _grown(entry, row, [inputs_of(entry, row, size // 4, letter, t) for t in (1, 4)], chip, repeats) for letter in letters}


def _grown(entry: Entry, row: Peers, inputs: Sequence[Sequence[Any]], chip: Any, repeats: int) -> Exponents:
    placed = [[jax.device_put(a, chip) for a in arrays] for arrays in inputs]
    small, large = (_compiled(lambda *given: entry.public(*given, **row.options), arrays, row.gradients) for arrays in placed)
    _, ratios = _interleaved({"jloss": large.run, "small": small.run}, repeats)
    held = [c.temporary_mb + sum(a.nbytes for a in [*g, *g[: row.gradients]]) / 1e6 for c, g in zip((small, large), placed, strict=True)]
    return Exponents(math.log(ratios["small"], 4), math.log(held[1] / held[0], 4))


def first_gradients(functions: Mapping[str, Callable[..., Any]], arrays: Sequence[Any], gradients: int, repeats: int) -> Any:
    """Milliseconds of tracing, lowering and compiling value and gradients, each time anew, and the median of jloss over each peer."""
    rounds = min(repeats, 5)
    times = {by: np.empty(rounds) for by in functions}
    for i in range(rounds):
        for by in list(functions)[:: 1 if i % 2 else -1]:
            jax.clear_caches()
            start = time.perf_counter()
            _lowered(functions[by], arrays, tuple(range(gradients))).compile()
            times[by][i] = time.perf_counter() - start
    return _medians(times)


def _lowered(function: Callable[..., Any], arrays: Sequence[Any], wanted: tuple[int, ...]) -> Any:
    return jax.jit(jax.value_and_grad(lambda *inputs: function(*inputs), wanted)).lower(*arrays)


class _Compiled(NamedTuple):
    run: Callable[[], Any]
    temporary_mb: float
    moved_mb: float


def _compiled(function: Callable[..., Any], arrays: Sequence[Any], gradients: int = 1, first: int = 0) -> _Compiled:
    """Value and gradients for so many inputs from the first, compiled, with what XLA says of it."""
    program = _lowered(function, arrays, tuple(range(first, first + gradients))).compile()
    memory, cost = program.memory_analysis(), program.cost_analysis() or {}
    temporary = getattr(memory, "temp_size_in_bytes", math.nan)
    return _Compiled(lambda: jax.block_until_ready(program(*arrays)), temporary / 1e6, cost.get("bytes accessed", math.nan) / 1e6)


def _rax(function: Callable[..., Any], arrays: Sequence[Any], gradients: int = 1) -> Callable[[], Any] | None:
    """Value and gradients by rax, or None where it is missing."""
    try:
        rax = import_extra("rax", "oracles")
    except ImportError:
        return None
    return _compiled(lambda *inputs: function(rax, *inputs), arrays, gradients).run


def _torch(function: Callable[..., Any], arrays: Sequence[Any], device: str, gradients: int = 1) -> Callable[[], Any] | None:
    """Torch's value and gradients on the same numbers, or None where torch or its device is missing."""
    try:
        torch = import_extra("torch", "oracles")
    except ImportError:
        return None
    on_gpu = device in ("gpu", "cuda")
    if device != "cpu" and not (on_gpu and torch.cuda.is_available()):
        return None
    inputs = [torch.tensor(np.asarray(a), device="cuda" if on_gpu else "cpu") for a in arrays]
    wanted = [a.requires_grad_() for a in inputs[:gradients]]

    def run() -> Any:
        for a in wanted:
            a.grad = None
        function(torch.nn.functional, *inputs).backward()
        if on_gpu:
            torch.cuda.synchronize()
        return [a.grad for a in wanted]

    return run


def _interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of each, and the median of jloss over each peer. A timing is long enough for the clock."""
    taken = {by: _seconds(function, 1) for by, function in functions.items()}
    calls = max(1, min(100, int(2e-3 / max(*taken.values(), 1e-9))))
    rounds = max(repeats, min(20 * repeats, int(1 / max(2 * calls * sum(taken.values()), 1e-9))))  # short rows are the noisy ones
    times = {by: np.empty(rounds) for by in functions}
    for i in range(rounds):
        for by in list(functions)[:: 1 if i % 2 else -1]:  # whoever comes second meets warm caches, or busy threads
            times[by][i] = _seconds(functions[by], calls)
            if by == "torch":
                time.sleep(SPIN)
    return _medians(times)


def _medians(times: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of each, and the median of jloss over each peer, round by round."""
    ratios = {by: float(np.median(times["jloss"] / t)) for by, t in times.items() if by != "jloss"}
    return {by: 1e3 * float(np.median(t)) for by, t in times.items()}, ratios


def _seconds(function: Callable[[], Any], calls: int) -> float:
    function()  # the threads of whoever ran before may still be spinning
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls


def _device(name: str) -> Any:
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        raise UsageError(f"JAX finds no device `{name}` here; it finds {', '.join(sorted({d.platform for d in jax.devices()}))}.") from None


# ---------------------------------------------------------------- what a person sees


def run(names: Sequence[str] | None = None, *, size: int, device: str, repeats: int, out: Path) -> list[Timings]:
    """Measures with a progress bar, prints the table, and writes it as CSV and as a figure.

    Args:
        names: The losses; those that a peer has if None, and all if it is ``["all"]``.
        size: How many numbers the first input has, about.
        device: A JAX platform.
        repeats: Interleaved timings.
        out: The folder of bench.csv, bench.md and bench.png.
    """
    if size < 1 or repeats < 1:
        raise UsageError(f"--size and --repeats are 1 or more, got {size} and {repeats}.")
    bars, tables = import_extra("rich.progress", "examples"), import_extra("rich.table", "examples")
    console = import_extra("rich.console", "examples").Console()
    import_extra("matplotlib.figure", "plot")
    if names == ["all"]:
        names = [*(n for n, e in CATALOGUE.items() if can_measure(e)), *(n for n, row in ROWS.items() if row.loss)]
    names = names or list(ROWS)
    _compiled(jnp.sum, [jax.device_put(jnp.ones(2), _device(device))])  # the first compile of a process starts the compiler
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeRemainingColumn())
    results: list[Timings] = []
    with stoppable() as stopped, bars.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("", total=len(names))
        for name in names:
            if stopped():
                break
            shown.update(task, description=name)
            results.append(measure(name, size=size, device=device, repeats=repeats))
            shown.advance(task)
            report_progress(console, f"{name}: {results[-1].ms:.2f} ms", len(results), len(names))
    if not results:
        raise Stopped(f"stopped; 0 of {len(names)} losses done")
    table = tables.Table(caption=f"{device}, {size} numbers, value and gradient. {LEGEND}")
    for title in TITLES:
        table.add_column(title, justify="left" if title in ("loss", "by") else "right", no_wrap=title == "loss")
    for r in results:
        for row in _rows(r):
            table.add_row(*row)
    console.print(table)
    grown = tables.Table(*("loss", *GROWN), caption=GROWTH)
    for r in results:
        grown.add_row(r.loss, r.time_growth, r.memory_growth)
    console.print(grown)
    console.print(verdict(results), highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "bench.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Timings._fields)
        writer.writerows(["" if v is None else v if isinstance(v, str) else f"{v:.6g}" for v in r] for r in results)
    (out / "bench.md").write_text(markdown(results, size, device))
    figure(results).savefig(out / "bench.png", dpi=120)
    console.print(f"Wrote bench.csv, bench.md and bench.png in {out}", highlight=False, soft_wrap=True)
    if len(results) < len(names):
        raise Stopped(f"stopped; {len(results)} of {len(names)} losses done")
    return results


TITLES = ("loss", "by", "ms", "ratio", "masked", "temp MB", "moved MB", "must MB", "compile ms", "compile ratio", "small", "call us")
GROWN = ("time grows", "memory grows")
LEGEND = (
    "Ratio: the time of jloss over the peer's, below 1 is faster; masked: over the time without a mask. Temp: temporaries that XLA plans; "
    "moved: bytes that it counts; must: inputs and gradients, once. Compile: tracing, lowering and compiling; its ratio, and, small, that "
    f"of {SMALL} numbers. Call: a tiny array, not jitted by the caller."
)
GROWTH = (
    "The exponent with each size and with the batch, from a quarter of it on: 1 is linear, 0 is what it costs to call. Memory: inputs, "
    "gradients and temporaries."
)


def verdict(results: Sequence[Timings]) -> str:
    """The geometric mean over the rows that have a peer, and the rows that lose."""
    ratios = {r.loss: r.best_peer for r in results if r.best_peer}
    if not ratios:
        return "No peer to compare with."
    mean = geometric_mean(list(ratios.values()))
    masked = [r.masked_optax_ratio for r in results if r.masked_optax_ratio]
    slower = [f"{n} ({ratio:.2f})" for n, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > 1]
    said = f"Over {len(ratios)} rows jloss takes {mean:.2f} of the time of the fastest peer (geometric mean)."
    said += f" Slower: {', '.join(slower)}." if slower else " No row is slower."
    if masked:
        mean = geometric_mean(masked)
        said += f" With a mask it takes {mean:.2f} of the time of optax's values in jnp.mean(..., where=mask), over {len(masked)} rows."
    compiled = {r.loss: r.compile_ratio for r in results if r.compile_ratio}
    if compiled:
        mean, small = (
            geometric_mean([*compiled.values()]),
            geometric_mean([r.small_compile_ratio for r in results if r.small_compile_ratio]),
        )
        longest = max(compiled, key=lambda name: compiled[name])
        said += f" The first gradient takes {mean:.2f} of the time of optax's ({small:.2f} of {SMALL} numbers), over {len(compiled)} rows;"
        said += f" longest: {longest} ({compiled[longest]:.2f})."
    return said


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean of ratios: of 1/2 and 2 it is 1."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def markdown(results: Sequence[Timings], size: int, device: str) -> str:
    """The table for a page, with the machine."""
    chip = _device(device)
    versions = [f"jax {jax.__version__}", f"optax {optax.__version__}", f"Python {platform.python_version()}"]
    if any(r.torch_ms for r in results):
        versions.insert(2, f"torch {import_extra('torch', 'oracles').__version__}")
    if any(r.rax_ms for r in results):
        versions.insert(2, f"rax {import_extra('rax', 'oracles').__version__}")
    machine = f"{chip.device_kind if device != 'cpu' else platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    lines = [f"{machine}; {', '.join(versions)}; about {size} numbers a row; value and gradient.", "", LEGEND, "", verdict(results), ""]
    lines += [f"| {' | '.join(TITLES)} |", f"|{' --- |' * 2}{' ---: |' * (len(TITLES) - 2)}"]
    lines += [f"| {' | '.join(row)} |" for r in results for row in _rows(r)]
    lines += ["", GROWTH, "", f"| {' | '.join(('loss', *GROWN))} |", "| --- | --- | --- |"]
    lines += [f"| {r.loss} | {r.time_growth} | {r.memory_growth} |" for r in results]
    return "\n".join(lines) + "\n"


def figure(results: Sequence[Timings]) -> Any:
    """Our time over each peer's, a bar per loss; left of the line jloss is faster."""
    from jloss.plotting.curves import new_figure

    drawn, axis = new_figure(1, 1)
    shown = [r for r in results if r.best_peer]
    drawn.set_size_inches(7.0, 1.4 + 0.34 * max(1, len(shown)))
    places = np.arange(len(shown))
    for offset, peer in ((-0.3, "optax"), (-0.1, "torch"), (0.1, "plain"), (0.3, "rax")):
        ratios = [getattr(r, f"{peer}_ratio") for r in shown]
        bars = [(at + offset, ratio) for at, ratio in zip(places, ratios, strict=True) if ratio]
        if bars:
            axis.barh([at for at, _ in bars], [ratio - 1 for _, ratio in bars], left=1.0, height=0.19, label=f"jloss / {peer}")
    axis.axvline(1.0, color="black", linewidth=1)
    axis.set_yticks(places, [r.loss for r in shown])
    axis.invert_yaxis()
    axis.set(xlabel="time of value and gradient / the peer's", title="jloss against its peers: left of the line it is faster")
    if shown:
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
        axis.legend(fontsize="small")
    return drawn


def _rows(r: Timings) -> list[list[str]]:
    """A line for jloss, and one for each peer."""
    ours = (r.ms, None, r.masked_ratio, r.temporary_mb, r.moved_mb, r.must_mb, r.compile_ms, None, None, r.call_us)
    compiled = (r.optax_compile_ms, r.compile_ratio, r.small_compile_ratio)
    costs = (r.optax_temporary_mb, r.optax_moved_mb, None, *compiled, r.optax_call_us)
    theirs = (r.optax_ms, r.optax_ratio, r.optax_masked_ratio, *costs)
    rows = [[r.loss, "jloss", *map(_text, ours)]]
    if r.optax_ms is not None:
        rows.append(["", "optax", *map(_text, theirs)])
    if r.torch_ms is not None:
        rows.append(["", "torch", *map(_text, (r.torch_ms, r.torch_ratio, *[None] * 8))])
    if r.rax_ms is not None:
        rows.append(["", "rax", *map(_text, (r.rax_ms, r.rax_ratio, *[None] * 8))])
    if r.plain_ms is not None:
        rows.append(["", "plain", *map(_text, (r.plain_ms, r.plain_ratio, None, r.plain_temporary_mb, *[None] * 6))])
    return rows


def _text(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
