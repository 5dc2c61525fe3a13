"""What an error adds where the likely mistake is known."""

import jax
import jax.numpy as jnp
import pytest

import jloss
from jloss.transforms import deep_supervision, tilted
from tests.core.test_arguments import f, i, message


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda: jloss.cross_entropy(f((8, 5)), i(8, 5)), "Of one-hot rows: labels.argmax(-1). For probabilities see soft_cross_entropy."),
        (lambda: jloss.cross_entropy(f((2, 21, 4, 4)), i(2, 4, 4)), "If the classes are on axis 1, say axis=1."),
        (
            lambda: jloss.cross_entropy(f((8, 5)), f((8, 5))),
            "Of one-hot rows: labels.argmax(-1). For probabilities see soft_cross_entropy.",
        ),
        (lambda: jloss.cross_entropy(i(8), f((8, 5))), "Are `logits` and `labels` exchanged?"),
        (lambda: jloss.cross_entropy(f(8), f((8, 5))), "exchanged? Predictions come first; for Keras see jloss.compat.keras.loss."),
        (lambda: jloss.sigmoid_cross_entropy(i(8), f(8)), "are `logits` and `targets` exchanged? Else say logits.astype(float)."),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8, 1)), "If there is one value per example: labels.squeeze(-1)."),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8), class_weight=f(5)), "for one weight per class, w, say weights=w[labels]"),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8), weight=f(5)), "for one weight per class, w, say weights=w[labels]"),
        (lambda: jloss.sigmoid_cross_entropy(f(8), f(8), pos_weight=2.0), "did you mean `positive_weight`?"),
        (lambda: jloss.dice(f((2, 3, 8, 8)), i(2, 8, 8)), "If `targets` are class indices: jax.nn.one_hot(targets, 3, axis=1), axis=1."),
        (lambda: jloss.dice(f((2, 8, 8, 3)), i(2, 8, 8)), "jax.nn.one_hot(targets, 3, axis=-1), axis=-1."),
        (lambda: jloss.dice(f((2, 3, 8, 8)), f((2, 3, 8, 8)), where=jnp.ones((2, 8, 8), bool)), "Pixels are masked by `mask`"),
        (lambda: jloss.sequence_cross_entropy(f((8, 16, 5)), i(8, 16), where=jnp.ones((8, 16), bool)), "Steps are masked by `mask`"),
        (lambda: jloss.triplet_margin(f(3), f(3), f(3), distance_function=jnp.sum), "jloss.compat.torch.triplet_margin_with_distance_loss"),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8), from_logits=True), "unknown keyword `from_logits`; it takes `logits`, always."),
        (lambda: jloss.huber(f(8), f(8), size_average=True), "say reduction='mean', 'sum' or 'none'"),
        (lambda: jloss.kl_divergence(f((8, 5)), f((8, 5)), reduction="batchmean"), "got 'batchmean'. Here it is 'mean'."),
        (lambda: jloss.huber(f(8), f(8), reduction=None), "got None. Here it is 'none'."),
        (lambda: jloss.l1(f(3), f(3)), "It is a penalty of parameters; for errors see absolute_error."),
        (lambda: jloss.l2({"w": f(3), "act": jnp.tanh}), "leaf 'act' of `params` is no array but a "),
        (lambda: jloss.l2({"w": f(3), "act": jnp.tanh}), "`eqx.filter(model, eqx.is_inexact_array)`"),
        (
            lambda: deep_supervision(jloss.huber),
            "argument: 'weights'.\n  expected  deep_supervision(loss, weights, ...)",
        ),
        (lambda: tilted(jloss.huber, ovr=2.0), "tilted: got an unexpected keyword argument 'ovr'."),
        (
            lambda: jloss.hardest(jloss.huber, 0.5)(jnp.ones(2), jnp.zeros(2), delt=1.0),
            "hardest(huber): unknown keyword `delt`; did you mean `delta`?",
        ),
        (lambda: jloss.cross_entropy(f((8, 0)), i(8)), "cross_entropy: `logits` has no classes, got shape (8, 0)."),
        (lambda: jloss.cross_entropy(f((8, 0, 4)), i(8, 4), axis=1), "cross_entropy: `logits` has no classes, got shape (8, 0, 4)."),
        (lambda: jloss.categorical_kl(f((8, 0))), "categorical_kl: `logits` has no classes, got shape (8, 0)."),
        (
            lambda: jloss.hardest(jloss.cross_entropy, 0.5)(f((8, 5)), i(8), ignore_index=-100),
            "hardest(cross_entropy): unknown keyword `ignore_index`; say where=labels != -100.",
        ),
        (
            lambda: jloss.weighted_sum({"near": (1.0, jloss.huber)})(jnp.ones(2), jnp.zeros(2), delt=1.0),
            "weighted_sum(huber): unknown keyword `delt`; did you mean `delta`?",
        ),
        (
            lambda: jloss.regularized(jloss.huber, jloss.l2)(jnp.ones(2), jnp.zeros(2)),
            "regularized(huber): missing a required argument: 'params'.",
        ),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8), weights=f(5)), "If there is one weight per class, w, say weights=w[labels]."),
        (
            lambda: jloss.cross_entropy(f((8, 5, 4)), i(8, 4), axis=1, weights=f(5)),
            "If there is one weight per class, w, say weights=w[labels].",
        ),
        (lambda: jloss.dice(f((2, 4, 4)), f((2, 4, 4)), where=jnp.ones((2, 4, 4), bool)), "Pixels are masked by `mask`; `where` masks"),
        (lambda: jloss.info_nce(f((6, 3)), f((6, 3)), where=jnp.ones((6, 3), bool)), "Single items are masked by `mask`"),
        (lambda: jloss.cross_entropy(f((8, 5)), i(8), ignore_index=-100), "unknown keyword `ignore_index`; say where=labels != -100."),
        (lambda: jloss.huber(f(8), f(8), ignore_index=0), "unknown keyword `ignore_index`; say it with `where`."),
        (lambda: jloss.sequence_cross_entropy(f((8, 16, 5)), i(8, 16), ignore_index=-100), "; say mask=labels != -100."),
        (lambda: jloss.lovasz_softmax(f((2, 4, 4, 3)), i(2, 4, 4), ignore_label=255), "; say mask=labels != 255."),
        (lambda: jloss.dice(f((2, 4, 4)), f((2, 4, 4)), ignore_index=255), "; say it with `mask`."),
        (lambda: jloss.ctc(f((2, 9, 5)), i(2, 4), ignore_index=-1), "; say label_length=(labels != -1).sum(-1)."),
        (lambda: jloss.crf(f((2, 9, 5)), i(2, 9), f((5, 5)), ignore_index=-1), "; say length=(tags != -1).sum(-1)."),
        (
            lambda: jloss.detr(f((2, 5, 4)), f((2, 5, 4)), i(2, 3), f((2, 3, 4)), where=jnp.ones((2, 3), bool)),
            "Targets are masked by `target_mask`; `where` masks whole examples.",
        ),
        (lambda: jloss.flow_matching(f((8, 2)), f((8, 2)), f(8)), "Of vectors: spatial_ndim=1; of sequences (t, d): spatial_ndim=2."),
        (lambda: jloss.dice(f((2, 4, 4)), f((2, 4, 4)), spatial_ndim=7), "`spatial_ndim` is 7: how many axes an image or a volume has."),
        (
            lambda: jloss.grpo(f((8, 5)), f((8, 5)), f(8)),
            "If there is one per response: jnp.broadcast_to(advantages[..., None], log_probs.shape).",
        ),
        (lambda: jloss.linear_head(jloss.cross_entropy)(f((8, 16)), f((16, 5)), i(8)), "as in Flax? kernel.T?"),
        (
            lambda: jloss.linear_head(jloss.distillation)(f((8, 16)), f((5, 16)), f((8, 12)), f((5, 12))),
            "For hidden states and kernel of both models: linear_head(distillation, teacher=True).",
        ),
        (
            lambda: jloss.l2({"kernel": f(3)}, where="kernel"),
            "got 'kernel'. Of leaves whose path has 'kernel': lambda path: 'kernel' in path.",
        ),
        (lambda: jloss.gae(f(4), f(4), f(4)), "gae: `values` have one step more than `rewards`: 5, not 4 as in (4,)."),
        (lambda: jloss.gae(f(4), f(5), f(5)), "gae: `discounts` must have as many steps as `rewards`: 4, not 5 as in (5,)."),
        (lambda: jloss.lambda_returns(f((2, 4)), f((2, 4)), f((2, 5))), "lambda_returns: `next_values` must have as many steps"),
        (lambda: jloss.n_step_returns(f(4), f(3), f(4), 2), "n_step_returns: `discounts` must have as many steps as `rewards`: 4"),
        (lambda: jloss.vtrace_targets(f(5), f(4), f(4), f(4), f(4)), "vtrace_targets: `values` must have as many steps as `rewards`"),
        (
            lambda: jloss.flow_matching(f((8, 64, 16)), f((8, 64, 16)), f(8), weighting="logit_normal"),
            "flow_matching: `time` (8,) has one number per datum, but no batch axis is left in `predictions` (8, 64, 16), "
            "which is one. spatial_ndim=2?",
        ),
        (lambda: jloss.edm(f((4, 4, 3)), f((2, 4, 4, 3)), f(2)), "`sigma` (2,) has one number per datum, but no batch axis is left"),
        (lambda: jloss.info_nce(f((8, 4)), f((8, 4)), tau=0.1), "unknown keyword `tau`; did you mean `temperature`?"),
        (lambda: jloss.distillation(f((8, 4)), f((8, 4)), T=2.0), "unknown keyword `T`; did you mean `temperature`?"),
        (lambda: jloss.ppo_clip(f(8), f(8), f(8), epsilon=0.2), "unknown keyword `epsilon`; did you mean `clip_low`?"),
        (lambda: jloss.dice(f((2, 4, 4)), f((2, 4, 4)), smooth=1.0), "unknown keyword `smooth`; did you mean `smooth_numerator`?"),
        (
            lambda: jloss.binary_cross_entropy(f(8), f(8), from_logits=True),
            "it takes `probabilities`, always; of logits: sigmoid_cross_entropy.",
        ),
        (lambda: jloss.clip(f((8, 4)), f((8, 4)), temperature=0.07), "unknown keyword `temperature`; say scale=1 / temperature."),
        (lambda: jloss.clip(f((8, 4)), f((8, 4)), logit_scale=14.0), "unknown keyword `logit_scale`; did you mean `scale`?"),
        (lambda: jloss.info_nce(f((8, 4)), f((8, 4)), logit_scale=14.0), "unknown keyword `logit_scale`; say temperature=1 / logit_scale."),
        (lambda: jloss.siglip(f((8, 4)), f((8, 4)), logit_bias=-10.0), "unknown keyword `logit_bias`; did you mean `bias`?"),
        (lambda: jloss.arcface(f((8, 4)), i(8), f((5, 4)), s=30.0), "unknown keyword `s`; did you mean `scale`?"),
        (lambda: jloss.arcface(f((8, 4)), i(8), f((5, 4)), m=0.3), "unknown keyword `m`; did you mean `margin`?"),
        (lambda: jloss.kl_divergence(f((8, 4)), f((8, 4)), log_target=True), "see kl_divergence_with_log_targets."),
        (lambda: jloss.q_learning(f((8, 4)), i(8), f(8), f(8), f((8, 4)), gamma=0.9), "`discounts` are gamma * (1 - done)."),
        (lambda: jloss.giou(f((8, 4)), f((8, 4)), box_format="cxcywh"), "boxes are corners (x0, y0, x1, y1); of centres and sizes"),
        (lambda: jloss.sigmoid_focal(f((8, 5)), i(8)), "If `targets` are class indices: jax.nn.one_hot(targets, 5, axis=-1)."),
        (lambda: jloss.sigmoid_cross_entropy(f((2, 5, 4, 4)), i(2, 4, 4)), "jax.nn.one_hot(targets, 5, axis=1)."),
        (lambda: jloss.ctc(f((9, 2, 5)), i(2, 4)), "If time comes first, as in torch: logits.swapaxes(0, 1)."),
        (lambda: jloss.hardest(jloss.huber(f(8), f(8)), 0.5), "not a loss: give the function itself, huber and not huber(...)."),
        (lambda: jloss.seesaw(f((8, 5)), i(8)), "seesaw: `p` is a setting, got shape (8, 5); inputs go to .apply(state, ...)."),
    ],
)
def test_errors_say_what_to_do(call, advice):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert advice in str(error.value)


def test_a_key_among_the_inputs_is_no_obstacle():
    with pytest.raises(ValueError, match=r"sigreg: `\w+` has 1 axes, but needs at least 2"):
        jloss.sigreg(f(4), jax.random.key(0))


def test_labels_of_one_class_are_no_class_indices():
    said = message(ValueError, lambda: jloss.sigmoid_cross_entropy(f((8, 1)), i(8)))
    assert "squeeze(-1)" in said
    assert "one_hot" not in said


def test_an_error_that_gives_nothing_away_has_no_advice():
    assert message(ValueError, lambda: jloss.huber(f(8), f(7))).count("\n") == 2
