"""What a core's signature says: its inputs, its options, which of them are traced; and the docstring with their shapes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypedDict, get_args

from jax import Array

from jloss._core.arguments import hints_of
from jloss._core.axes import Dims
from jloss._core.domains import DOMAINS
from jloss._core.lookup import nearest

Reduction = Literal["mean", "sum", "none", "parts"]


class Reduce(TypedDict, total=False):
    """The keywords of every loss.

    Args:
        where: Boolean, one per example. A masked example contributes neither value nor gradient, whatever it holds.
        weights: One per example. The mean is ``sum(w * l) / sum(w)``; an integer weight is a repetition, 0 a removal, also of NaN.
            They have a gradient, at 0 as elsewhere. Weights of both signs (advantages) may sum to nearly 0, and their mean is then
            noise divided by it: take ``"sum"`` and divide by the count. At a sum of exactly 0 the mean is inf or NaN.
        reduction: ``"mean"``; ``"sum"``; ``"none"``, one value per example; ``"parts"``, the pair (total, mass) whose sums
            over micro-batches divide to the exact mean.
        axis_name: Inside `jax.shard_map`, the mesh axis (or axes) over which total and mass are summed.
    """

    where: Array | None
    weights: Array | None
    reduction: Reduction
    axis_name: str | tuple[str, ...] | None


class OverClasses(Reduce, total=False):
    """Keywords of a loss with a class axis: `axis` is its place in the array."""

    axis: int


class Spatial(Reduce, total=False):
    """Keywords of a loss over spatial axes: `spatial_ndim` is their number."""

    spatial_ndim: int


class SpatialOverClasses(Spatial, OverClasses, total=False):
    """Spatial axes and a class axis, all in one example."""


class Datum(Spatial, total=False):
    """Keywords of a loss over one whole datum, which has three axes (an image) unless `spatial_ndim` says otherwise."""


class PerClass(Spatial, total=False):
    """Keywords of a mask loss: `axis` names a class axis, each of whose masks is then an example of its own."""

    axis: int | None


UNREDUCED = object()  # the reduction that transforms of batches ask for: the values, and the `where` and `weights` to reduce them with
DEFAULTS = {"where": None, "weights": None, "reduction": "mean", "axis_name": None, "axis": -1, "spatial_ndim": 2}
DEFAULTS_OF: dict[str, dict[str, Any]] = {"PerClass": {"axis": None}, "Datum": {"spatial_ndim": 3}}  # where they differ


class Parameters(NamedTuple):
    """A core's parameters, sorted by what happens to them."""

    signature: inspect.Signature  # as users see it, with the keywords of the contract written out
    inputs: dict[str, Dims]
    domains: dict[str, str]
    options: dict[str, Any]  # and their defaults
    keywords: frozenset[str]
    traced: frozenset[str]  # inputs, and options annotated `float` or `Array`
    static: dict[str, Any]  # and their annotations


def read_parameters(
    core: Callable[..., Any], dims: Sequence[Dims], words: Sequence[str], limits: Mapping[str, str], constants: Sequence[str] = ()
) -> Parameters:
    """Sorts the parameters of a core; raises TypeError, with the core's line, if they do not fit its signature and its domains."""
    try:
        return _sorted(core, dims, words, limits, constants)
    except TypeError as error:
        raise TypeError(f"{error}{place_of(core)}") from None


def place_of(core: Callable[..., Any]) -> str:
    """The line of its author, to stand under an error."""
    code = getattr(inspect.unwrap(core), "__code__", None)
    return f"\n  at {code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def _sorted(
    core: Callable[..., Any], dims: Sequence[Dims], words: Sequence[str], limits: Mapping[str, str], constants: Sequence[str]
) -> Parameters:
    name = core.__name__
    try:
        signature, keywords = with_keywords(name, inspect.signature(core, eval_str=True))
    except NameError as error:
        raise TypeError(f"{name}: an annotation names {error.name!r}, which its module does not have.") from None
    parameters = list(signature.parameters.values())
    inputs = dict(zip([p.name for p in parameters], dims, strict=False))
    options = {p.name: p.default for p in parameters[len(dims) :] if p.name not in keywords}
    for word in words:
        if word not in DOMAINS:
            raise TypeError(f"{name}: {word!r} is not a domain{nearest(word, DOMAINS)}; domains: {', '.join(DOMAINS)}.")
    if not len(dims) == len(words) == len(inputs):
        text = ",".join(f"({','.join(d)})" for d in dims) + "->()"
        raise TypeError(
            f"{name}: the signature {text!r} has {len(dims)} inputs, the domains {' '.join(words)!r} are {len(words)}, "
            f"and the function has the parameters {', '.join(p.name for p in parameters if p.name not in keywords)}; they do not fit."
        )
    if bare := [p.name for p in parameters if p.name in options and p.annotation is p.empty]:
        raise TypeError(f"{name}: say what the option `{bare[0]}` is: `{bare[0]}: float`, or `int`, `bool`, `str` where it is static.")
    if missing := limits.keys() - options.keys():
        raise TypeError(f"{name}: a limit for `{min(missing)}`, which is no option of it.")
    if missing := {*constants} - inputs.keys():
        raise TypeError(f"{name}: a constant `{min(missing)}`, which is no input of it.")
    traced = inputs.keys() | {p.name for p in parameters if {Array, float} & {p.annotation, *get_args(p.annotation)}}
    static = {p.name: p.annotation for p in parameters if p.name not in traced | {"where", "weights"}}
    return Parameters(signature, inputs, dict(zip(inputs, words, strict=True)), options, frozenset(keywords), frozenset(traced), static)


def with_keywords(name: str, signature: inspect.Signature) -> tuple[inspect.Signature, list[str]]:
    """The signature with ``**reduce: Unpack[Reduce]`` written out as keywords."""
    plain = list(signature.parameters.values())
    last = plain.pop() if plain else None
    if last is None or last.kind is not last.VAR_KEYWORD or not get_args(last.annotation):
        raise TypeError(f"{name}: the last parameter of a loss is `**reduce: Unpack[jloss.Reduce]` (from typing import Unpack).")
    kind = get_args(last.annotation)[0]
    hints = hints_of(kind)
    defaults = DEFAULTS | DEFAULTS_OF.get(kind.__name__, {})
    extra = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=defaults[n], annotation=hints[n]) for n in DEFAULTS if n in hints]
    return signature.replace(parameters=[*plain, *extra], return_annotation=Array), [p.name for p in extra]


def axis_roles(entry: Any) -> dict[str, str]:
    """What `axis` means for each input that it concerns: the place of its class axis ("k"), one mask "each" class, a "shared" mask."""
    per_class = "spatial_ndim" in entry.keywords and not entry.has_classes
    of_mask = {n: "shared" if entry.domains[n] == "mask" else "each" for n, dims in entry.inputs.items() if dims == ("*s",) and per_class}
    return {n: "k" for n, dims in entry.inputs.items() if dims.count("k") == 1} | of_mask


def document(doc: str | None, read: Parameters) -> str | None:
    """The docstring with the shapes and domains that the signature knows."""
    if not doc:
        return doc
    width = max(map(len, read.inputs), default=0)
    shapes = {n: f"({', '.join(('...', *dims))})" for n, dims in read.inputs.items()}
    rows = [f"    {n.ljust(width)}  {shape}, {DOMAINS[read.domains[n]].meaning}" for n, shape in shapes.items()]
    keywords = "`where`, `weights`, `reduction`, `axis_name`: see `jloss.Reduce`."
    return "\n".join([inspect.cleandoc(doc), "", "Shapes:", *rows, "", keywords, ""])
