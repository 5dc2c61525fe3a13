"""What a caller probably wanted, where the shapes and dtypes of a wrong call give it away."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp

from jloss._core.catalogue import Entry


def remedies(entry: Entry, given: Mapping[str, Any]) -> Iterator[str]:
    """Sentences that say what to do, to stand under an error."""
    shapes = {n: value.shape for n, value in given.items() if hasattr(value, "shape") and n in {*entry.inputs, "where", "weights"}}
    floating = {n: jnp.issubdtype(given[n].dtype, jnp.floating) for n in shapes}
    scores = next(iter(entry.inputs))
    if scores not in shapes:
        return
    labels = [n for n in shapes if entry.domains.get(n) == "class" and "k" not in entry.inputs[n]]
    has_classes, sizes = "k" in entry.inputs[scores], shapes[scores]
    without_axis_1 = sizes[:1] + sizes[2:] if len(sizes) > 2 and "axis" not in given else None
    for name in labels:
        if floating[name] and not floating[scores]:
            yield f"Are `{scores}` and `{name}` exchanged?"
        elif has_classes and sizes and shapes[name] == sizes:
            indices = f"`{name}` are class indices, one per example"
            yield f"{indices}. Of one-hot rows: {name}.argmax(-1). For probabilities see soft_cross_entropy."
        elif has_classes and "axis" in entry.keywords and shapes[name] == without_axis_1:
            yield "If the classes are on axis 1, say axis=1."
    axis = given.get("axis", -1)
    classes = (sizes[axis],) if isinstance(axis, int) and -len(sizes) <= axis < len(sizes) else None
    if labels and shapes.get("weights") == classes is not None:
        yield f"If there is one weight per class, w, say weights=w[{labels[0]}]."
    if "where" in shapes and entry.domains.get("mask") == "mask" and shapes["where"] == sizes and entry.inputs["mask"]:
        of = "Pixels" if entry.inputs["mask"] == ("*s",) else "Single items"
        yield f"{of} are masked by `mask`; `where` masks whole examples."


def of_ignored_labels(entry: Entry, value: Any) -> str:
    """How labels to ignore are said here."""
    labels = [n for n, domain in entry.domains.items() if domain == "class"]
    return f"say where={labels[0]} != {value!r}" if labels and isinstance(value, int) else "say it with `where`"
