"""Calls of `torch.nn.functional`'s losses that exercise every keyword; `python -m tests.compat.torch_cases` writes the golden file.

A case is (function, builder); the builder draws NumPy arguments from a fixed seed, so the file holds results only.
"""

import json
import pathlib
import warnings

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden" / "torch.json"


def real(*shape):
    return lambda rng: rng.normal(size=shape)


def unit(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.2, 2.0, shape)


def labels(high, *shape):
    return lambda rng: rng.integers(0, high, shape)


def ignored(high, *shape):
    def build(rng):
        drawn = rng.integers(0, high, shape)
        drawn.reshape(-1)[1] = -100
        return drawn

    return build


def signs(*shape):
    return lambda rng: np.where(rng.uniform(size=shape) < 0.5, -1.0, 1.0)


def prob(*shape, axis=1):
    def build(rng):
        weights = np.exp(rng.normal(size=shape))
        return weights / weights.sum(axis=axis, keepdims=True)

    return build


def log_prob(*shape, axis=1):
    return lambda rng: np.log(prob(*shape, axis=axis)(rng))


def fixed(*values):
    return lambda rng: np.array(values)


REDUCTIONS = [{"reduction": r} for r in ("mean", "sum", "none")]
LEGACY = [{"size_average": False}, {"reduce": False}]


def each(arguments, *settings):
    """One case per reduction with the first settings, and one per further setting."""
    first, *rest = settings or [{}]
    return [(arguments, {**first, **r}) for r in REDUCTIONS] + [(arguments, s) for s in rest]


CALLS = {
    "l1_loss": each([real(3, 2), real(3, 2)], {}, {"weight": positive(3, 2)}, *LEGACY),
    "mse_loss": each([real(3, 2), real(3, 2)], {}, {"weight": positive(3, 2)}, *LEGACY),
    "smooth_l1_loss": each([real(3, 2), real(3, 2)], {}, {"beta": 0.3}, {"beta": 0.0}),
    "huber_loss": each([real(3, 2), real(3, 2)], {}, {"delta": 0.4}, {"weight": positive(3, 2)}),
    "cross_entropy": [
        *each([real(4, 5), ignored(5, 4)], {}, {"label_smoothing": 0.2}, {"weight": positive(5)}),
        ([real(4, 5), labels(5, 4)], {"ignore_index": 2}),
        *each([real(4, 5), ignored(5, 4)], {"weight": positive(5), "label_smoothing": 0.3}),
        *each([real(2, 3, 4), labels(3, 2, 4)], {}),
        ([real(5), labels(5)], {}),
        *each([real(2, 3, 4), prob(2, 3, 4)], {}, {"label_smoothing": 0.1}, {"weight": positive(3)}),
    ],
    "nll_loss": [
        *each([log_prob(4, 5), ignored(5, 4)], {}, {"weight": positive(5)}),
        ([log_prob(4, 5), labels(5, 4)], {"ignore_index": 1}),
        *each([log_prob(2, 3, 4, 2), labels(3, 2, 4, 2)], {}),
    ],
    "linear_cross_entropy": each(
        [real(4, 3), real(5, 3), ignored(5, 4)], {}, {"linear_bias": real(5)}, {"weight": positive(5)}, {"label_smoothing": 0.1}
    ),
    "binary_cross_entropy": each([unit(3, 2), unit(3, 2)], {}, {"weight": positive(3, 2)}, {"weight": positive(2)}),
    "binary_cross_entropy_with_logits": each(
        [real(3, 2), unit(3, 2)], {}, {"pos_weight": positive(2)}, {"weight": positive(3, 2)}, *LEGACY
    ),
    "kl_div": each([log_prob(3, 4), prob(3, 4)], {}, {"reduction": "batchmean"})
    + each([log_prob(3, 4), log_prob(3, 4)], {"log_target": True}),
    "poisson_nll_loss": each([real(3, 2), positive(3, 2)], {}, {"full": True})
    + each([positive(3, 2), positive(3, 2)], {"log_input": False}, {"log_input": False, "full": True}),
    "gaussian_nll_loss": [
        *each([real(3, 2), real(3, 2), positive(3, 2)], {}, {"full": True}, {"eps": 1.0}),
        ([real(3, 2), real(3, 2), positive(3, 1)], {}),
    ],
    "ctc_loss": [
        *each(
            [log_prob(6, 3, 4, axis=2), labels(3, 3, 2), fixed(6, 5, 4), fixed(2, 1, 2)], {"blank": 3}, {"blank": 3, "zero_infinity": True}
        ),
        ([log_prob(6, 2, 4, axis=2), fixed(1, 2, 3), fixed(6, 6), fixed(2, 1)], {}),
    ],
    "margin_ranking_loss": each([real(5), real(5), signs(5)], {}, {"margin": 0.5}),
    "hinge_embedding_loss": each([real(5), signs(5)], {}, {"margin": 0.3}),
    "soft_margin_loss": each([real(3, 2), signs(3, 2)], {}),
    "multi_margin_loss": [
        *each([real(4, 5), labels(5, 4)], {}, {"p": 2}, {"margin": 0.4}, {"weight": positive(5)}, {"p": 2, "weight": positive(5)}),
        ([real(5), labels(5)], {}),
    ],
    "multilabel_margin_loss": [
        ([fixed(0.1, 0.2, 0.4, 0.8), fixed(*row)], {}) for row in ((3, 0, -1, 1), (3, -1, 0, 0), (3, 0, 0, 0), (-1, 0, 0, 0), (3, 3, -1, 0))
    ]
    + each([real(3, 4), lambda rng: np.array([[3, 0, -1, 1], [-1, 0, 0, 0], [0, 1, 2, 3]])], {}),
    "multilabel_soft_margin_loss": each([real(3, 4), lambda rng: rng.integers(0, 2, (3, 4)).astype(float)], {}, {"weight": positive(4)}),
    "cosine_embedding_loss": each([real(4, 3), real(4, 3), signs(4)], {}, {"margin": 0.2}),
    "triplet_margin_loss": each([real(4, 3), real(4, 3), real(4, 3)], {}, {"swap": True}, {"p": 1}, {"p": 3}, {"margin": 0.3, "eps": 1e-2}),
    "triplet_margin_with_distance_loss": each([real(4, 3), real(4, 3), real(4, 3)], {}, {"swap": True}, {"margin": 2.0}),
}
# The corners of the formulas: matches, zeros, ends of a range, thresholds, ties, sizes of 1.
NUMBERS = fixed(0.0, 0.5, -0.5, 1.0, -1.0, 2.0)
LOGITS = fixed([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0], [50.0, -50.0, 0.0])
COUNTS = fixed(0.0, 0.5, 1.0, 1.0001, 2.0, 100.0)
FAR = fixed(0.0, 30.0, -30.0, 100.0, -100.0, 1000.0, -1000.0)
ENDS = fixed(0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.5)
FRAMES = log_prob(4, 3, 3, axis=2)
for _name in ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss"):
    CALLS[_name] += [([NUMBERS, fixed(*[0.0] * 6)], {"reduction": "none"})]
for _name in ("l1_loss", "mse_loss", "huber_loss"):
    CALLS[_name] += each([NUMBERS, fixed(*[0.0] * 6)], {"weight": fixed(0.0, 0.1, 0.2, 0.0, 0.1, 0.2)})
CALLS["smooth_l1_loss"] += [([NUMBERS, fixed(*[0.0] * 6)], {"beta": 0.5})]
CALLS["huber_loss"] += [([NUMBERS, fixed(*[0.0] * 6)], {"delta": 0.5})]
CALLS["cross_entropy"] += [
    *each([LOGITS, fixed(0, 1, 2, 0)], {"weight": fixed(0.0, 1.0, 0.5)}, {"label_smoothing": 1.0}, {"ignore_index": 0}),
    ([LOGITS, fixed(0, 1, 2, 0)], {"weight": fixed(0.0, 1.0, 0.5), "label_smoothing": 0.3, "ignore_index": 1}),
    ([real(2, 1), fixed(0, 0)], {"label_smoothing": 0.5}),
    ([LOGITS, fixed([1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0])], {"weight": fixed(0.0, 1.0, 0.5)}),
]
CALLS["nll_loss"] += [([log_prob(4, 3), fixed(0, 1, 2, 0)], {"weight": fixed(0.0, 1.0, 0.5), "ignore_index": 1})]
CALLS["binary_cross_entropy"] += [([unit(3, 2), unit(3, 2)], {"weight": w}) for w in (positive(3, 1), positive(1), positive())]
CALLS["binary_cross_entropy"] += [([unit(4), fixed(0.0, 1.0, 0.5, 1.0)], {"weight": fixed(0.0, 1.0, 0.5, 2.0)})]
CALLS["binary_cross_entropy_with_logits"] += [
    *[([FAR, ENDS], {"reduction": "none", **k}) for k in ({}, {"pos_weight": fixed(0.0)}, {"pos_weight": fixed(3.0)})],
    *[([real(3, 2), unit(3, 2)], {k: w}) for k in ("weight", "pos_weight") for w in (positive(3, 1), positive(2), positive(1), positive())],
]
CALLS["kl_div"] += [
    ([fixed(-1.0, -2.0, 0.0), fixed(0.0, 1.0, 2.0)], {"reduction": "none"}),
    ([log_prob(3, 4), prob(1, 4)], {}),
    ([log_prob(1, 4), prob(3, 4)], {"reduction": "batchmean"}),
]
CALLS["poisson_nll_loss"] += [
    ([fixed(0.0, 1.0, 2.0, -1.0, 0.0, 5.0), COUNTS], {"full": True, "reduction": "none"}),
    ([fixed(0.0, 1.0, 1e-8, 2.0, 0.5, 90.0), COUNTS], {"log_input": False, "full": True, "reduction": "none"}),
    ([fixed(0.0, 1.0, 1e-8, 2.0, 0.5, 90.0), COUNTS], {"log_input": False, "eps": 0.5, "reduction": "none"}),
    ([real(3, 4), positive(3, 1)], {"full": True}),
    ([real(1, 4), positive(3, 1)], {}),
]
CALLS["gaussian_nll_loss"] += [
    ([NUMBERS, fixed(0.0, 0.0, 0.0, 1.0, 0.0, 0.0), fixed(1e-9, 0.0, 1e-6, 1e-7, 1.0, 2.0)], {"reduction": "none"}),
    *[([real(3, 4), real(*t), positive(*v)], {}) for t, v in (((3, 4), (3,)), ((1, 4), (3, 4)), ((3, 1), (1, 4)), ((3, 1), (3, 1)))],
    ([real(5), real(1), positive(5)], {}),
    ([real(5), real(5), positive()], {}),
    ([real(1), real(5), positive(1)], {}),
]
CALLS["ctc_loss"] += [
    ([FRAMES, fixed([1, 2], [1, 1], [2, 0]), fixed(4, 3, 2), fixed(0, 2, 1)], {}),
    ([FRAMES, fixed([1, 2], [1, 1], [1, 1]), fixed(4, 2, 1), fixed(2, 2, 2)], {"zero_infinity": True}),
    ([FRAMES, fixed(1, 2, 2, 1, 2), fixed(4, 3, 4), fixed(2, 1, 2)], {"reduction": "sum", "zero_infinity": True}),
    ([log_prob(4, 3), fixed(1, 2), fixed(4), fixed(2)], {}),
]
CALLS["margin_ranking_loss"] += [([real(3, 1), real(1, 4), signs(3, 4)], {}), ([real(5), real(5), signs(1)], {"margin": -0.5})]
CALLS["hinge_embedding_loss"] += [([real(3, 1), signs(1, 4)], {}), ([fixed(-1.0, 2.0, 0.0), fixed(-1.0, -1.0, -1.0)], {})]
CALLS["soft_margin_loss"] += [([real(3, 2), signs(1, 2)], {}), ([fixed(0.0, 30.0, -30.0), fixed(1.0, 1.0, 1.0)], {"reduction": "none"})]
CALLS["multi_margin_loss"] += [
    *each([fixed([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [2.0, 1.0, 0.0]), fixed(2, 1, 0)], {}, {"p": 2}, {"margin": 0.0}),
    ([real(3, 1), fixed(0, 0, 0)], {"weight": fixed(2.0)}),
    ([real(4, 3), fixed(0, 1, 2, 0)], {"weight": fixed(0.0, 1.0, 0.5)}),
]
CALLS["multilabel_margin_loss"] += [
    ([fixed(0.0, 1.0, 1.0, 2.0), fixed(*row)], {}) for row in ((0, 1, 2, 3), (3, 3, 3, 3), (1, -1, 2, 2), (1, 0, -1, -1))
]
CALLS["multilabel_soft_margin_loss"] += [
    *[
        ([real(3, 4), lambda rng: rng.integers(0, 2, (3, 4)).astype(float)], {"weight": w})
        for w in (positive(3, 1), positive(1), positive())
    ],
    ([real(3, 4), lambda rng: rng.integers(0, 2, (3, 1)).astype(float)], {}),
    ([FAR, ENDS], {}),
]
CALLS["cosine_embedding_loss"] += [
    *[([real(*a), real(*b), signs(*c)], {}) for a, b, c in (((4, 3), (1, 3), (4,)), ((1, 3), (4, 3), (4,)), ((4, 3), (4, 3), (1,)))],
    ([real(3), real(3), signs()], {}),
]
for _name in ("triplet_margin_loss", "triplet_margin_with_distance_loss"):
    CALLS[_name] += [
        *[
            ([real(*a), real(*b), real(4, 3)], {"swap": k})
            for a, b in (((4, 3), (1, 3)), ((1, 3), (4, 3)), ((1, 3), (1, 3)))
            for k in (False, True)
        ],
        ([fixed([0.0, 0.0], [1.0, 2.0]), fixed([0.0, 0.0], [1.0, 2.0]), fixed([0.5, 0.0], [2.5, 2.0])], {"swap": True, "margin": 3.0}),
    ]
CALLS["triplet_margin_loss"] += [([real(4, 3), real(4, 3), real(4, 3)], {"p": p}) for p in (0.5, 1.5, float("inf"))]

CASES = [(name, i) for name, calls in CALLS.items() for i in range(len(calls))]


def build(name, index):
    """The arguments and keywords of a case, as NumPy."""
    arguments, keywords = CALLS[name][index]
    rng = np.random.default_rng([sum(map(ord, name)), index])
    return [np.asarray(a(rng)) for a in arguments], {k: np.asarray(v(rng)) if callable(v) else v for k, v in keywords.items()}


def cotangent(shape):
    """What the gradient is taken against where nothing is reduced."""
    return 0.5 + np.arange(int(np.prod(shape))).reshape(shape) % 3


def run_torch(name, index):
    """torch's value and its gradient in the first argument."""
    import torch

    arguments, keywords = build(name, index)
    tensors = [torch.tensor(a) for a in arguments]
    tensors[0] = tensors[0].double().requires_grad_()
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in keywords.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = getattr(torch.nn.functional, name)(*tensors, **given)
    (value * torch.tensor(cotangent(tuple(value.shape)))).sum().backward()
    return value.detach().numpy(), tensors[0].grad.numpy()


def main():
    """Writes the golden file."""
    results = {}
    for name, index in CASES:
        value, gradient = run_torch(name, index)
        results[f"{name}/{index}"] = [[float(f"{x:.12g}") for x in np.ravel(a)] for a in (value, gradient)]
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(results, separators=(",", ":")).replace('],"', '],\n"') + "\n")


if __name__ == "__main__":
    main()
