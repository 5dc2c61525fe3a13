"""`check`: the laws on a loss, and what they found."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jloss.testing.cases import Case, LawError
from jloss.testing.functions import FUNCTION_LAWS, Plain
from jloss.testing.laws import LAWS
from jloss.testing.samples import Inputs


class Failure(NamedTuple):
    """A broken law: its name, what is wrong, and the inputs that show it."""

    law: str
    message: str
    inputs: Inputs


class Report(NamedTuple):
    """What `check` found; true when every law holds."""

    name: str
    passed: tuple[str, ...]
    failures: tuple[Failure, ...]

    def __bool__(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.passed)} laws hold, {len(self.failures)} broken."]
        for failure in self.failures:
            law = {**LAWS, **FUNCTION_LAWS}[failure.law]
            lines += ["", f"{failure.law}: {(inspect.getdoc(law) or '').partition(chr(10))[0]}", f"  {failure.message}"]
            lines += [
                f"  {n} = {np.array2string(np.asarray(v), precision=6, threshold=12)}"
                for n, v in failure.inputs.items()
                if hasattr(v, "shape")
            ]
            lines += [f"  What to do: {ADVICE[failure.law]}"] if failure.law in ADVICE else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def check(loss: Callable[..., Any] | Case, *, inputs: Sequence[Any] | None = None, laws: Sequence[str] | None = None) -> Report:
    """Runs the laws on a loss and reports which hold, which do not, and with which inputs.

    Args:
        loss: A loss of jloss or your own, written with `jloss.loss`; a `Case` with its own sampler; or, with `inputs`, any
            function of arrays that returns a number or one number per example.
        inputs: For a plain function: the arrays to call it with, batch axis first.
        laws: Names of `LAWS` (of `FUNCTION_LAWS` for a plain function); all by default.

    >>> print(check(huber, laws=["batch_equals_one_by_one"]))
    huber: 1 laws hold, 0 broken.
    """
    if inputs is not None:
        subject: Any = Plain(loss, tuple(np.asarray(x) for x in inputs))  # type: ignore[arg-type]
        name, table = getattr(loss, "__name__", str(loss)), dict[str, Any](FUNCTION_LAWS)
    else:
        subject = loss if isinstance(loss, Case) else Case(loss)
        name, table = subject.entry.name, dict[str, Any](LAWS)
    passed, failures = [], []
    for law in laws or table:
        try:
            table[law](subject)
            passed.append(law)
        except LawError as error:
            failures.append(Failure(law, str(error), error.inputs))
        except Exception as error:  # a loss that jax refuses breaks the law that tried it
            failures.append(Failure(law, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", {}))
    return Report(name, tuple(passed), tuple(failures))


# ---------------------------------------------------------------- plain functions


ADVICE = {
    "batch_equals_one_by_one": "write the core for one example, without reductions over the batch and without branches on shapes.",
    "gradient_is_the_derivative": "look for a single `where` around a singular point, a rounding, a stop_gradient or a hand-written rule.",
    "derivative_is_right": "look for a single `where` around a singular point, a rounding, a stop_gradient or a hand-written rule.",
    "masked_equals_absent": "mask the inputs before the arithmetic, not only the values: 0 * NaN is NaN. `jloss.loss` does both.",
    "integer_weight_is_repetition": "divide by the sum of the weights, not by the count; `jloss.reduce` does.",
    "nothing_kept_is_zero": "guard the division where nothing is left; `jloss.reduce` does.",
    "parts_add_up": "return (total, mass) for `reduction='parts'`; `jloss.reduce` does.",
    "shard_map_equals_one_device": "sum total and mass over `axis_name` before dividing; make scan carries with `zeros_like(input)`.",
    "sharded_batch_gathers_nothing": "do not reshape or sort over batch axes; vmap them.",
    "exports_with_symbolic_batch": "avoid host callbacks, `jnp.prod`, and Python arithmetic on the batch size.",
    "lowers_to_every_platform": "avoid host callbacks and operations of one platform.",
    "half_in_float32_out": "widen the inputs to float32 first; cores written with `jloss.loss` get them widened.",
    "half_gives_float32": "widen the inputs to float32 first; cores written with `jloss.loss` get them widened.",
    "batch_axes_never_broadcast": "require equal batch axes; `jloss.loss` does.",
    "never_broadcasts": "require equal shapes, or write it with `jloss.loss`, which does.",
    "float_options_are_traced": "do not call `float()` on an option, or branch on it in Python.",
    "jit_changes_nothing": "remove hidden state: counters, random numbers without a key, values kept between calls.",
    "traces_and_is_pure": "use `jnp.where` instead of `if`, and remove hidden state.",
    "label_out_of_range_is_nan": "pick the label's score with `jloss.numerics.pick`: plain indexing clamps, `take_along_axis` wraps.",
    "hard_points_have_no_nan": "guard singular points by two `where`s, inside and outside; see `jloss.numerics`.",
    "left_out_is_all_kept": "start with `if mask is None:` a mask of ones, so that there is one formula, not two.",
    "masked_items_are_absent": "divide by the number of items that are kept, and look at what a set of one item gives.",
    "options_matter": "use the option, or remove it.",
    "gradient_at_hard_points": "the slopes of `where`, `abs`, `max` and `sort` add up wrongly at a tie; see `jloss.numerics`.",
    "derivative_at_hard_points": "the slopes of `where`, `abs`, `max` and `sort` add up wrongly at a tie; see `jloss.numerics`.",
    "finite_value_and_gradient": "guard singular points by two `where`s, inside and outside; see `jloss.numerics`.",
    "pickles_by_name": "define the loss at the top of a module.",
}
