"""What a caller probably wanted, where the shapes and dtypes of a wrong call, or its keywords, give it away."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp

from jloss._core.catalogue import Entry

# What other libraries call our keywords.
KEYWORDS_OF_PEERS = {
    "mask": ["where"],
    "sample_weight": ["weights"],
    "dim": ["axis"],
    "smoothing": ["label_smoothing"],
    "pos_weight": ["positive_weight"],
    "tau": ["temperature"],
    "T": ["temperature"],
    "epsilon": ["clip_low"],
    "smooth": ["smooth_numerator"],
    "s": ["scale"],
    "m": ["margin"],
    "logit_scale": ["scale"],
    "logit_bias": ["bias"],
}
RECIPROCALS = {"temperature": "scale", "scale": "temperature", "logit_scale": "temperature"}  # of what multiplies similarities
FORMATS = ("format", "fmt", "in_fmt", "box_format", "bounding_box_format")
OF_LOGITS = {"binary_cross_entropy": "sigmoid_cross_entropy", "nll": "cross_entropy", "log_loss": "cross_entropy"}
REDUCTIONS_OF_PEERS = {
    "batchmean": "mean",
    "elementwise_mean": "mean",
    "sum_over_batch_size": "mean",
    "mean_with_sample_weight": "mean",
    None: "none",
}
ERRORS_LIKE_PENALTIES = {"l1": "absolute_error", "l2": "squared_error"}


def of_shapes(entry: Entry, given: Mapping[str, Any], said: str) -> Iterator[str]:
    """Sentences that say what to do, to stand under an error about shapes or dtypes."""
    shapes = {n: value.shape for n, value in given.items() if hasattr(value, "shape") and n in {*entry.inputs, "where", "weights"}}
    first = next(iter(entry.inputs))
    if first not in shapes:
        return
    yield from _of_dtypes(entry, shapes, {n: given[n].dtype for n in shapes})
    yield from _of_labels(entry, given, shapes)
    yield from _of_kernels(shapes)
    yield from _of_masks(entry, shapes, {n: given[n].dtype for n in shapes}, said)
    if "*s" in entry.inputs[first] and entry.spatial_ndim == 3 and "but needs at least 3" in said and len(shapes[first]) < 3:
        yield "Of vectors: spatial_ndim=1; of sequences (t, d): spatial_ndim=2."
    elif "*s" in entry.inputs[first] and "but needs at least" in said and "spatial_ndim" in given:
        yield f"`spatial_ndim` is {given['spatial_ndim']}: how many axes an image or a volume has."
    if "advantages" in shapes and entry.inputs["advantages"] == ("t",) and len(shapes["advantages"]) + 1 == len(shapes[first]):
        yield f"If there is one per response: jnp.broadcast_to(advantages[..., None], {first}.shape)."
    if "batch axes" in said:
        yield from _of_single_columns(entry, shapes)
        if entry.inputs[first][:1] == ("t",) and len(shapes[first]) == len(entry.inputs[first]) + 1:
            time, batch, *_ = shapes[first]
            if time != batch and any(shapes[n][:1] == (batch,) for n in shapes if n != first):
                yield f"If time comes first, as in torch: {first}.swapaxes(0, 1)."


def _of_dtypes(entry: Entry, shapes: Mapping[str, Any], dtypes: Mapping[str, Any]) -> Iterator[str]:
    """Integers where scores should be: another input was given first, or they are not converted."""
    first = next(iter(entry.inputs))
    whole = not jnp.issubdtype(dtypes[first], jnp.floating) and entry.domains[first] == "real"
    floats = [n for n in shapes if n in entry.inputs and jnp.issubdtype(dtypes[n], jnp.floating)]
    for name in floats:
        is_label = entry.domains[name] == "class" and "k" not in entry.inputs[name]
        if is_label and (whole or len(shapes[name]) > len(shapes[first])):
            yield f"Are `{first}` and `{name}` exchanged? Predictions come first; for Keras see jloss.compat.keras.loss."
            return
    if whole:
        exchanged = f"are `{first}` and `{floats[0]}` exchanged? Else" if floats else "predictions come first, and"
        yield f"Predictions are floating; {exchanged} say {first}.astype(float)."


def _of_labels(entry: Entry, given: Mapping[str, Any], shapes: Mapping[str, Any]) -> Iterator[str]:
    """One-hot rows for labels, classes on another axis, one weight per class."""
    scores = next(iter(entry.inputs))
    labels = [n for n in shapes if entry.domains.get(n) == "class" and "k" not in entry.inputs[n]]
    has_classes, sizes = "k" in entry.inputs[scores], shapes[scores]
    without_axis_1 = sizes[:1] + sizes[2:] if len(sizes) > 2 and "axis" not in given else None
    for name in labels:
        if has_classes and sizes and shapes[name] == sizes:
            indices = f"`{name}` are class indices, one per example"
            yield f"{indices}. Of one-hot rows: {name}.argmax(-1). For probabilities see soft_cross_entropy."
        elif has_classes and "axis" in entry.keywords and shapes[name] == without_axis_1:
            yield "If the classes are on axis 1, say axis=1."
    axis = given.get("axis", -1)
    classes = (sizes[axis],) if isinstance(axis, int) and -len(sizes) <= axis < len(sizes) else None
    if labels and shapes.get("weights") == classes is not None:
        yield f"If there is one weight per class, w, say weights=w[{labels[0]}]."


def _of_masks(entry: Entry, shapes: Mapping[str, Any], dtypes: Mapping[str, Any], said: str) -> Iterator[str]:
    """A mask of pixels or steps in `where`, or class indices in place of a mask for each class."""
    first = next(iter(entry.inputs))
    inside = [n for n in entry.inputs if entry.domains[n] == "mask" and entry.inputs[n]]
    if "`where` has shape" in said and shapes.get("where") and len(inside) == 1:
        mask = inside[0]
        of = {"*s": "Pixels", "t": "Steps"}.get(",".join(entry.inputs[mask]), "Targets" if mask == "target_mask" else "Single items")
        yield f"{of} are masked by `{mask}`; `where` masks whole examples."
    for name in shapes:
        if name not in entry.inputs or name == first or not jnp.issubdtype(dtypes[name], jnp.integer):
            continue
        if "*s" in entry.inputs[name] or entry.domains[name] in ("unit", "multi_hot"):
            sizes, last = shapes[first], len(shapes[first]) - 1
            found = [at for at in range(last, -1, -1) if sizes[:at] + sizes[at + 1 :] == shapes[name] and sizes[at] != 1]
            if found:
                at = -1 if found[0] == last else found[0]
                also = f", axis={at}" if "axis" in entry.keywords else ""
                yield f"If `{name}` are class indices: jax.nn.one_hot({name}, {sizes[found[0]]}, axis={at}){also}."


def _of_kernels(shapes: Mapping[str, Any]) -> Iterator[str]:
    """The kernel of a linear head, as a Flax `Dense` has it."""
    for prefix in ("", "teacher_", "reference_"):
        hidden, kernel = shapes.get(f"{prefix}hidden", ()), shapes.get(f"{prefix}kernel", ())
        if hidden and len(kernel) == 2 and kernel[0] == hidden[-1] != kernel[1]:
            yield f"Is `{prefix}kernel` of (features, classes), as in Flax? {prefix}kernel.T?"


def _of_single_columns(entry: Entry, shapes: Mapping[str, Any]) -> Iterator[str]:
    """An axis of size 1 that the other input does not have."""
    first = next(iter(entry.inputs))
    batch = {n: shapes[n][: len(shapes[n]) - len(entry.inputs[n])] for n in shapes if n in entry.inputs and "*s" not in entry.inputs[n]}
    for name in batch:
        if name != first and first in batch:
            if batch[name] == (*batch[first], 1) and not entry.inputs[name]:
                yield f"If there is one value per example: {name}.squeeze(-1)."
            elif batch[first] == (*batch[name], 1) and not entry.inputs[first]:
                yield f"If there is one value per example: {first}.squeeze(-1)."


def of_keyword(entry: Entry, option: str, value: Any) -> str:
    """How another library's keyword is said here; empty where that is not known."""
    labels = [n for n, domain in entry.domains.items() if domain == "class" and "k" not in entry.inputs[n]]
    first = next(iter(entry.inputs), "")
    if option in ("ignore_index", "ignore_label", "ignore_class") and "where" in entry.keywords:
        known = labels and isinstance(value, int)
        return (
            f"say {of_ignored(entry, labels[0], value)}" if known else f"say it with `{_leaving_out(entry, labels[0] if labels else '')}`"
        )
    if option in ("weight", "class_weight", "class_weights", "alpha") and labels and "k" in entry.inputs[first]:
        return f"for one weight per class, w, say weights=w[{labels[0]}]; `weights` are one per example"
    if option.startswith("distance") and entry.name == "triplet_margin":
        return "for a distance of your own see jloss.compat.torch.triplet_margin_with_distance_loss"
    if option == "from_logits":
        return f"it takes `{first}`, always" + (f"; of logits: {OF_LOGITS[entry.name]}" if value and entry.name in OF_LOGITS else "")
    if option in ("size_average", "reduce"):
        return "say reduction='mean', 'sum' or 'none'"
    if (ours := RECIPROCALS.get(option)) in entry.options and entry.core.__module__.startswith("jloss.representation."):
        return f"say {ours}=1 / {option}"
    if option == "log_target" and entry.name == "kl_divergence":
        return "for targets in logarithms see kl_divergence_with_log_targets"
    if option in ("gamma", "discount", "done", "dones") and "discounts" in entry.inputs:
        return "`discounts` are gamma * (1 - done)"
    if option in FORMATS and "box" in entry.domains.values():
        return "boxes are corners (x0, y0, x1, y1); of centres and sizes: from_center_size"
    return ""


def of_ignored(entry: Entry, labels: str, value: int) -> str:
    """What leaves out the labels of this value: ``"where=labels != -100"``."""
    by = _leaving_out(entry, labels)
    return f"{by}=({labels} != {value!r}).sum(-1)" if entry.domains.get(by) == "length" else f"{by}={labels} != {value!r}"


def _leaving_out(entry: Entry, labels: str) -> str:
    """The argument that leaves labels out: a mask or a length where one example has many of them, else `where`."""
    if labels and not entry.inputs[labels]:
        return "where"
    masks = [n for n, dims in entry.inputs.items() if entry.domains[n] == "mask" and dims and dims == entry.inputs.get(labels, dims)]
    lengths = [n for n in ("label_length", "length") if entry.domains.get(n) == "length"]
    return next(iter([*masks, *lengths]), "where")


def of_value(option: str, value: Any) -> str:
    """How another library's word for an option is said here."""
    known = option == "reduction" and (value is None or isinstance(value, str)) and REDUCTIONS_OF_PEERS.get(value)
    return f" Here it is {known!r}." if known else ""
