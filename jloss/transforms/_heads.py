"""Linear heads: what hidden states, kernels and labels become before a loss sees them.

A loss of logits has one head. A loss of two models (a student and its teacher, a policy and its reference) may have one of each; a loss of
log-probabilities has one per sequence, and sequences of one model share its kernel. The inputs of the second model have a prefix:
``teacher_hidden``, ``reference_kernel``.
"""

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core import chunks
from jloss._core.axes import Dims
from jloss._core.catalogue import Entry
from jloss._core.chunks import Backward, chunked_map
from jloss._core.domains import arithmetic_dtype
from jloss._core.log_probs import LogProbs, Steps, log_probs_of
from jloss.numerics import below, log_partition, pick, safe_divide
from jloss.transforms._chunks import in_chunks


class Head(NamedTuple):
    """How one input of a loss comes from hidden states: their logits, or the log-probabilities of labels."""

    feeds: str  # the input of the loss: "teacher_logits", "reference_chosen"
    hidden: str
    prefix: str  # of the model's inputs: "" or "teacher_"
    dims: Dims  # core axes of the hidden states, without their features
    labels: str | None = None  # None: the loss takes logits
    mask: str | None = None  # which steps count, if the loss has steps

    @property
    def kernel(self) -> str:
        return f"{self.prefix}kernel"

    @property
    def bias(self) -> str:
        return f"{self.prefix}bias"

    @property
    def soft_cap(self) -> str:
        return f"{self.prefix}soft_cap"


def heads_of(entry: Entry, teacher: bool) -> list[Head]:
    """The heads of a loss; raises TypeError where it takes neither logits nor log-probabilities."""
    facts = log_probs_of(entry.core)
    if facts is not None:
        heads = [_of_log_probs(entry, facts, name) for name in facts.inputs]
        second = [head for head in heads if head.prefix]
        heads = heads if teacher else [head for head in heads if not head.prefix]
    else:
        first = next(iter(entry.inputs))
        outer, letter = entry.inputs[first][:-1], entry.inputs[first][-1:]
        if entry.domains[first] != "real" or (any(entry.inputs.values()) and not (letter and letter[0].isidentifier())):
            takes = f"{entry.name} takes {first} ({entry.domains[first]})"
            raise TypeError(f"linear_head: needs a loss of logits, such as cross_entropy; {takes}.")
        mask = next((n for n, dims in entry.inputs.items() if entry.domains[n] == "mask" and dims == outer and outer), None)
        alike = [n for n in entry.inputs if n in entry.constants and entry.domains[n] == "real" and entry.inputs[n] == entry.inputs[first]]
        second = [Head(n, f"{n.removesuffix('_logits')}_hidden", f"{n.partition('_')[0]}_", outer, None, mask) for n in alike]
        heads = [Head(first, "hidden", "", outer, None, mask), *(second if teacher else [])]
    if teacher and not second:
        raise TypeError(f"linear_head: `teacher` needs a loss of two models, such as distillation; {entry.name} is of one.")
    return heads


def _of_log_probs(entry: Entry, facts: LogProbs, name: str) -> Head:
    """The head of log-probabilities: `chosen` is of `chosen_hidden` and `chosen_labels`, `log_probs` of `hidden` and `labels`."""
    prefix = "reference_" if name.startswith("reference_") else ""
    sequence = name.removeprefix(prefix).removesuffix("log_probs")
    base = f"{sequence}_" if sequence else ""
    dims = entry.inputs[name]
    if facts.steps is not None:
        used = {letter for dims in entry.inputs.values() for letter in dims}
        free = [letter for letter in "tuvw" if letter not in used]
        order = list(dict.fromkeys(n.removeprefix("reference_") for n in facts.inputs))
        dims = (*dims, free[order.index(name.removeprefix(prefix))])
    mask = f"{base}mask" if dims else None
    if mask in entry.inputs and entry.inputs[mask] != dims:
        raise TypeError(f"linear_head: {entry.name} has an input `{mask}` that is not of the steps of a sequence.")
    return Head(name, f"{prefix}{base}hidden", prefix, dims, f"{base}labels", mask)


class Inputs(NamedTuple):
    """What a loss with heads takes."""

    inputs: dict[str, Dims]
    domains: dict[str, str]
    optional: frozenset[str]  # those that may be None, beside the optional ones of the loss
    constants: frozenset[str]


def inputs_of(entry: Entry, heads: list[Head]) -> Inputs:
    """Hidden states and a kernel per model, labels, whatever else the loss takes, masks, biases."""
    free = iter(d for d in "dfgeab" if not any(d in dims for dims in entry.inputs.values()))
    features = {prefix: next(free) for prefix in dict.fromkeys(head.prefix for head in heads)}
    of_log_probs = heads[0].labels is not None
    letter = "k" if of_log_probs or entry.elementwise else entry.inputs[heads[0].feeds][-1]
    inputs: dict[str, Dims] = {}
    for prefix, feature in features.items():
        inputs |= {head.hidden: (*head.dims, feature) for head in heads if head.prefix == prefix}
        inputs[f"{prefix}kernel"] = (letter, feature)
    labels = {head.labels: head.dims for head in heads if head.labels}
    rest = {n: dims for n, dims in entry.inputs.items() if n not in {head.feeds for head in heads}}
    masks = {head.mask: head.dims for head in heads if head.mask and head.mask not in rest}
    biases = {f"{prefix}bias": (letter,) for prefix in features}
    domains = dict.fromkeys(inputs, "real") | dict.fromkeys(labels, "class") | {n: entry.domains[n] for n in rest}
    domains |= dict.fromkeys(masks, "mask") | dict.fromkeys(biases, "real")
    inputs |= labels | {n: (letter,) if entry.elementwise and not of_log_probs else dims for n, dims in rest.items()} | masks | biases
    second = tuple(prefix for prefix in features if prefix)
    own = inputs.keys() - entry.inputs.keys()
    constants = {n for n in inputs if n in entry.constants or (n in own and second and n.startswith(second) and domains[n] == "real")}
    return Inputs(inputs, domains, frozenset({*masks, *biases}), frozenset(constants))


def document_heads(entry: Entry, heads: list[Head]) -> str:
    """The docstring of the loss, with the arguments of its heads in place of the inputs that come from them."""
    before, section, after = inspect.cleandoc(entry.core.__doc__ or "").partition("\nArgs:\n")
    if not section:
        return before
    gone = "|".join(head.feeds for head in heads)
    after = re.sub(rf"^    (?:{gone}): .*\n(?:     .*\n)*", "", after, flags=re.MULTILINE)
    lines = []
    for prefix in dict.fromkeys(head.prefix for head in heads):
        model = f" of the {prefix.rstrip('_')}; no gradient" if prefix else ""
        lines += [f"{head.hidden}: Features of each token{model}." for head in heads if head.prefix == prefix]
        lines.append(f"{prefix}kernel: A row per class{model}. Tied embeddings as they are; of a Flax `Dense` or `Linear`, ``kernel.T``.")
        lines.append(f"{prefix}bias: One per class.")
        lines.append(f"{prefix}soft_cap: Limit of the logits, ``soft_cap * tanh(logits / soft_cap)``.")
    lines += dict.fromkeys(f"{head.labels}: The token of each step." for head in heads if head.labels)
    lines += dict.fromkeys(f"{head.mask}: Which steps count; all by default." for head in heads if head.labels and head.mask)
    if "\n    class_axis_name:" not in f"\n{after}":
        lines.append("class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.")
    return before + section + "".join(f"    {line}\n" for line in lines) + after


def before_heads(heads: list[Head], given: dict[str, Any]) -> dict[str, Any]:
    """What stands for the inputs of the loss that come from heads, as far as a look at their shapes goes."""
    shapes = {head.feeds: getattr(given.get(head.hidden), "shape", None) for head in heads}
    return {n: jax.ShapeDtypeStruct(shape[:-1], jnp.float32) for n, shape in shapes.items() if shape}


def in_chunks_of_tokens(chunk_size: int | None, backward: Backward, narrow: frozenset[str], heads: list[Head]) -> Callable[..., Any]:
    """How a loss of log-probabilities is evaluated: as many examples at a time as have `chunk_size` tokens, or all, a few steps of each."""

    def evaluate(entry: Entry, given: dict[str, Any], traced: frozenset[str]) -> Any:
        sizes = [(given[head.hidden].shape[:-1], len(head.dims)) for head in heads]
        examples, held = chunk_size, None
        if all(isinstance(size, int) for shape, _ in sizes for size in shape):
            tokens = max(math.prod(shape) for shape, _ in sizes)
            each = max(1, *(math.prod(shape[len(shape) - levels :]) for shape, levels in sizes))
            fewest = chunks.fewest([given[head.hidden].shape[-1] for head in heads])
            limit = chunk_size or max(fewest, -(-tokens // chunks.CHUNKS))
            examples = max(1, limit // each)
            if limit < each:  # a few steps of every sequence at a time: with one sequence after the other, each has a kernel's gradient
                examples = min(limit, max(1, tokens // each))
                held = limit // examples
        part = entry._replace(core=functools.partial(entry.core, held=held))
        return in_chunks(examples, backward, None, narrow)(part, given, traced)

    return evaluate


def fed(heads: list[Head], given: dict[str, Any], steps: Steps | None, class_axis_name: str | None, held: int | None) -> Iterator[Any]:
    """The inputs of the loss that come from heads, by name. `held` is how many steps of a sequence may have their logits at once."""
    for prefix in dict.fromkeys(head.prefix for head in heads):
        of_model = [head for head in heads if head.prefix == prefix]
        kernel, bias, soft_cap = (given[n] for n in (of_model[0].kernel, of_model[0].bias, of_model[0].soft_cap))
        masks = [given[head.mask] if head.mask else None for head in of_model]
        hidden = [_masked(given[head.hidden], mask) for head, mask in zip(of_model, masks, strict=True)]
        named = [head.labels for head in of_model if head.labels]
        if not named:
            yield from ((head.feeds, head_logits(h, kernel, bias, soft_cap)) for head, h in zip(of_model, hidden, strict=True))
            continue
        labels = [_masked(given[name], mask) for name, mask in zip(named, masks, strict=True)]
        each = functools.partial(_label_log_prob, class_axis_name=class_axis_name)
        lengths = [y.shape[-1] if y.ndim else 1 for y in labels]
        if len(of_model) > 1:  # one product, and one gradient of the kernel, for the sequences of a model
            values = _over_steps(each, jnp.concatenate(hidden, -2), jnp.concatenate(labels, -1), (kernel, bias, soft_cap), held)
            parts = jnp.split(values, [sum(lengths[: i + 1]) for i in range(len(lengths) - 1)], axis=-1)
        else:
            parts = [_over_steps(each, hidden[0], labels[0], (kernel, bias, soft_cap), held)]
        for head, mask, part in zip(of_model, masks, parts, strict=True):
            yield head.feeds, part if steps is None else _summed(part, mask, steps)


def _masked(values: Array, mask: Array | None) -> Array:
    """Zeros in the steps that do not count, whatever they hold: 0 * NaN is NaN in the gradient of the kernel."""
    return values if mask is None else jnp.where(jnp.expand_dims(mask, range(mask.ndim, values.ndim)), values, jnp.zeros_like(values))


def _summed(values: Array, mask: Array | None, steps: Steps) -> Array:
    """The sum or the mean over the steps that count."""
    values = values if mask is None else jnp.where(mask, values, 0.0)
    count = jnp.asarray(values.shape[-1] if mask is None else jnp.sum(mask, axis=-1)).astype(values.dtype)
    return jnp.sum(values, axis=-1) if steps == "sum" else safe_divide(jnp.sum(values, axis=-1), count)


def _label_log_prob(hidden: Array, label: Array, model: Any, class_axis_name: str | None) -> Array:
    logits = head_logits(hidden, *model)
    (log_total,), (peak,) = log_partition(logits, axis_name=class_axis_name)
    return below(pick(logits, label, axis_name=class_axis_name), peak) - log_total


def _over_steps(each: Any, hidden: Array, labels: Array, model: Any, held: int | None) -> Array:
    """``each(hidden, label, model)`` of all leading axes, at most `held` of them at once."""

    def function(rows: Any, model: Any, where: Array | None = None) -> Array:
        one = each
        for _ in range(labels.ndim):
            one = jax.vmap(one, in_axes=(0, 0, None))
        return one(*rows, model)

    if held is None or not labels.ndim:
        return function((hidden, labels), model)
    return chunked_map(function, (hidden, labels), model, levels=labels.ndim, chunk_size=held)


def head_logits(hidden: Array, kernel: Array, bias: Array | None, soft_cap: Array | None) -> Array:
    """The logits of one token (or of each of its leading axes), in float32 or wider."""
    wide = arithmetic_dtype((hidden, kernel))
    dtype = hidden.dtype if hidden.dtype == kernel.dtype else wide
    over = (((hidden.ndim - 1,), (kernel.ndim - 1,)), ((), ()))
    logits = lax.dot_general(hidden.astype(dtype), kernel.astype(dtype), over, preferred_element_type=wide)
    if bias is not None:
        logits = logits + jnp.expand_dims(bias.astype(wide), range(logits.ndim - 1))
    return logits if soft_cap is None else soft_cap * jnp.tanh(logits / soft_cap)
