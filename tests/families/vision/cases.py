"""Losses of torchvision, MONAI, segmentation_models_pytorch and kornia beside ours.

`python -m tests.families.vision.cases` writes the golden file.

A case names a peer, our call and its call on the same NumPy inputs; both are reduced to one number, and the gradient is taken in the
first input. The losses of torchvision and segmentation_models_pytorch are read from their files, since torchvision as a whole loads only
beside the one torch that it was built for.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jloss

GOLDEN = pathlib.Path(__file__).parent / "golden.json"


@functools.cache
def peer(name):
    """The module that has the losses of a peer; ImportError where the peer is not installed."""
    import torch  # noqa: F401

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in ("torchvision", "segmentation_models_pytorch"):
            return by_file(name, {"torchvision": "ops", "segmentation_models_pytorch": "losses"}[name])
        return importlib.import_module(f"{name}.losses")


def by_file(name, folder):
    """The loss files of a package under another name, without the package's own `__init__`."""
    found = importlib.util.find_spec(name)
    if found is None:
        raise ImportError(name)
    root, alias = pathlib.Path(found.submodule_search_locations[0]), f"peer_{name}"
    for place, path in ((alias, root), (f"{alias}.{folder}", root / folder)):
        sys.modules[place] = types.ModuleType(place)
        sys.modules[place].__path__ = [str(path)]
    logs = sys.modules[f"{alias}.utils"] = types.ModuleType(f"{alias}.utils")
    logs._log_api_usage_once = lambda *_: None
    gathered = types.SimpleNamespace()
    for file in sorted((root / folder).glob("*.py")):
        if name != "torchvision" or file.stem.endswith("_loss"):
            module = importlib.import_module(f"{alias}.{folder}.{file.stem}")
            vars(gathered).update({n: f for n, f in vars(module).items() if not n.startswith("_")})
    return gathered


class Case(NamedTuple):
    """What is compared; the calls take the inputs, the peer's also its module in front."""

    peer: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]


RNG = np.random.default_rng(0)


def _boxes(n):
    corner, size = RNG.uniform(0, 10, (n, 2)), RNG.uniform(1, 8, (n, 2))
    return np.concatenate([corner, corner + size], axis=1)


def _softmax(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


P, T = _boxes(12), _boxes(12)
Z = RNG.normal(size=(2, 3, 5, 4))
LABELS = np.stack([RNG.permutation(np.arange(20) % 3).reshape(5, 4) for _ in range(2)])  # every class in every image
ONE_HOT = np.moveaxis(np.eye(3)[LABELS], -1, 1)
PROBS, SOFT = _softmax(Z), _softmax(RNG.normal(size=Z.shape))
MASK = RNG.uniform(0.05, 0.95, (2, 1, 9, 8))
TRUTH = np.zeros((2, 1, 9, 8))
TRUTH[0, 0, 2:6, 3:7], TRUTH[1, 0, 1:8, 2:5] = 1, 1
LINES = RNG.uniform(size=TRUTH.shape)
LOGITS = np.log(MASK / (1 - MASK))
COSTS = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.4], [1.0, 0.4, 0.0]])
WRONG = np.where(TRUTH == 1, 0.1, 0.9) * (0.9 + 0.1 * MASK)  # errors above one half, so that erosion leaves something

per_class = {"axis": 1}


def _softly(loss, **options):
    """Ours, from logits with the classes in axis 1."""
    return lambda z, y: loss(jax.nn.softmax(z, axis=1), y, axis=1, **options)


def _distances(masks):
    return jnp.asarray(jloss.distance_map(np.asarray(masks)))


def _boundary(p, y):
    """MONAI's distance inside is to the last pixel of the mask, not to the first beyond it."""
    signed = _distances(TRUTH)
    return jloss.boundary(p, jnp.where(signed < 0, signed + 1, signed), **per_class)


def _both(p):
    """Background and foreground, whose errors are equal."""
    return abs(p.new_tensor([1.0, 0.0])[:, None, None] - p)


CASES = {
    "giou": Case("torchvision", jloss.giou, lambda m, p, t: m.generalized_box_iou_loss(p, t, "mean"), (P, T)),
    "diou": Case("torchvision", jloss.diou, lambda m, p, t: m.distance_box_iou_loss(p, t, "mean"), (P, T)),
    "ciou": Case("torchvision", jloss.ciou, lambda m, p, t: m.complete_box_iou_loss(p, t, "mean"), (P, T)),
    "sigmoid_focal": Case(
        "torchvision",
        lambda z, y: jloss.sigmoid_focal(z, y, alpha=0.25),
        lambda m, z, y: m.sigmoid_focal_loss(z, y, 0.25, 2, "mean"),
        (Z, ONE_HOT),
    ),
    "dice": Case("monai", lambda p, y: jloss.dice(p, y, **per_class), lambda m, p, y: m.DiceLoss()(p, y), (PROBS, ONE_HOT)),
    "dice, squared": Case(
        "monai",
        lambda p, y: jloss.dice(p, y, squared=True, **per_class),
        lambda m, p, y: m.DiceLoss(squared_pred=True)(p, y),
        (PROBS, ONE_HOT),
    ),
    "dice, soft labels": Case(
        "monai",
        lambda p, y: jloss.dice(p, y, soft_labels=True, **per_class),
        lambda m, p, y: m.DiceLoss(soft_label=True)(p, y),
        (PROBS, SOFT),
    ),
    "jaccard": Case(
        "monai",
        lambda p, y: jloss.jaccard(p, y, smooth_numerator=0.05, smooth_denominator=0.05, **per_class),
        lambda m, p, y: m.DiceLoss(jaccard=True, smooth_nr=0.1, smooth_dr=0.1)(p, y),
        (PROBS, ONE_HOT),
    ),
    "tversky": Case(
        "monai",
        lambda p, y: jloss.tversky(p, y, fp_weight=0.3, fn_weight=0.7, **per_class),
        lambda m, p, y: m.TverskyLoss(alpha=0.3, beta=0.7)(p, y),
        (PROBS, ONE_HOT),
    ),
    "generalized_dice": Case(
        "monai",
        lambda p, y: jloss.generalized_dice(p, y, smooth_numerator=0.0, smooth_denominator=0.0, **per_class),
        lambda m, p, y: m.GeneralizedDiceLoss(smooth_nr=0, smooth_dr=0)(p, y),
        (PROBS, ONE_HOT),
    ),
    "wasserstein_dice": Case(
        "monai",
        lambda z, y: _softly(jloss.wasserstein_dice, distances=jnp.asarray(COSTS, jnp.float32))(z, y),
        lambda m, z, y: m.GeneralizedWassersteinDiceLoss(COSTS)(z, y.argmax(1)),
        (Z, ONE_HOT),
    ),
    "mcc": Case("monai", lambda p, y: jloss.mcc(p, y, **per_class), lambda m, p, y: m.MCCLoss(smooth_dr=0)(p, y), (PROBS, ONE_HOT)),
    "hausdorff_dt": Case(
        "monai",
        lambda p, y: jloss.hausdorff_dt(p, y, _distances(MASK), _distances(TRUTH), **per_class),
        lambda m, p, y: m.HausdorffDTLoss()(p, y),
        (MASK, TRUTH),
    ),
    "boundary": Case("monai", _boundary, lambda m, p, y: m.BoundaryLoss()(p, y), (MASK, TRUTH)),
    "cldice": Case(
        "monai",
        lambda p, y: jloss.cldice(p, y, iterations=3, **per_class),
        lambda m, p, y: m.SoftclDiceLoss(iter_=3, smooth=1e-12)(p, y),
        (MASK, LINES),
    ),
    "dice of one image": Case(
        "segmentation_models_pytorch",
        lambda p, y: jloss.dice(p, y, smooth_numerator=0.0, smooth_denominator=0.0, **per_class),
        lambda m, p, y: m.DiceLoss("multiclass", from_logits=False)(p, y.argmax(1)),
        (PROBS[:1], ONE_HOT[:1]),
    ),
    "jaccard of one image": Case(
        "segmentation_models_pytorch",
        lambda p, y: jloss.jaccard(p, y, smooth_numerator=0.0, smooth_denominator=0.0, **per_class),
        lambda m, p, y: m.JaccardLoss("multiclass", from_logits=False)(p, y.argmax(1)),
        (PROBS[:1], ONE_HOT[:1]),
    ),
    "log_dice of one image": Case(
        "segmentation_models_pytorch",
        lambda p, y: jloss.log_dice(p, y, smooth_numerator=0.0, smooth_denominator=0.0, **per_class),
        lambda m, p, y: m.DiceLoss("multiclass", from_logits=False, log_loss=True)(p, y.argmax(1)),
        (PROBS[:1], ONE_HOT[:1]),
    ),
    "focal_tversky of one mask": Case(
        "segmentation_models_pytorch",
        lambda p, y: jloss.focal_tversky(p, y, fp_weight=0.3, fn_weight=0.7, gamma=0.75, **per_class),
        lambda m, p, y: m.TverskyLoss("binary", from_logits=False, alpha=0.3, beta=0.7, gamma=0.75)(p, y),
        (MASK[:1], TRUTH[:1]),
    ),
    "lovasz_softmax": Case(
        "segmentation_models_pytorch",
        lambda z, y: _softly(jloss.lovasz_softmax)(z, jnp.argmax(y, axis=1)),
        lambda m, z, y: m.LovaszLoss("multiclass", per_image=True)(z, y.argmax(1)),
        (Z, ONE_HOT),
    ),
    "lovasz_hinge": Case(
        "segmentation_models_pytorch",
        lambda z, y: jloss.lovasz_hinge(z, y, **per_class),
        lambda m, z, y: m.LovaszLoss("binary", per_image=True)(z, y),
        (LOGITS, TRUTH),
    ),
    "lovasz_softmax, kornia": Case(
        "kornia",
        lambda z, y: _softly(jloss.lovasz_softmax)(z, jnp.argmax(y, axis=1)),
        lambda m, z, y: m.lovasz_softmax_loss(z, y.argmax(1)),
        (Z, ONE_HOT),
    ),
    "lovasz_hinge, kornia": Case(
        "kornia", lambda z, y: jloss.lovasz_hinge(z, y, **per_class), lambda m, z, y: m.lovasz_hinge_loss(z, y[:, 0]), (LOGITS, TRUTH)
    ),
    "tversky, kornia": Case(
        "kornia",
        lambda z, y: _softly(jloss.tversky, fp_weight=0.3, fn_weight=0.7)(z, y),
        lambda m, z, y: m.tversky_loss(z, y.argmax(1), 0.3, 0.7),
        (Z, ONE_HOT),
    ),
    "dice, kornia": Case("kornia", _softly(jloss.dice), lambda m, z, y: m.dice_loss(z, y.argmax(1), "macro"), (Z, ONE_HOT)),
    "softmax_focal": Case(
        "kornia",
        lambda z, y: jloss.softmax_focal(z, jnp.argmax(y, axis=1), axis=1),
        lambda m, z, y: m.focal_loss(z, y.argmax(1), alpha=None).sum() / LABELS.size,
        (Z, ONE_HOT),
    ),
    "hausdorff_er": Case(
        "kornia",
        lambda p, y: jloss.hausdorff_er(p, y, erosions=4, **per_class),
        lambda m, p, y: m.HausdorffERLoss(k=4)(_both(p), y.long()),
        (WRONG, TRUTH),
    ),
}


def run_peer(name):
    """The peer's value and gradient in the first input."""
    import torch

    case = CASES[name]
    dtype = torch.float32 if case.peer == "segmentation_models_pytorch" else torch.float64  # whose Lovasz losses take no other
    first, *rest = (torch.tensor(x, dtype=dtype) for x in case.inputs)
    first.requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = case.theirs(peer(case.peer), first, *rest)
    value.backward()
    return value.item(), first.grad.numpy()


def main():
    """Writes the golden file."""
    names = sorted({case.peer for case in CASES.values()})
    versions = {name: importlib.metadata.version(name) for name in ("torch", *names)}
    lines = [f'"versions":{json.dumps(versions)}']
    for name in CASES:
        value, gradient = run_peer(name)
        found = [float(f"{x:.8g}") for x in (value, *np.ravel(gradient))]
        lines.append(f"{json.dumps(name)}:{json.dumps(found, separators=(',', ':'))}")
    GOLDEN.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
