"""Pictures: the numbers in them, their labels, the axes they give back, and the table of the catalogue."""

import functools
import re
import statistics

import jax
import numpy as np
import pytest

import jloss
from jloss._core.display import arguments, formula, meaning
from jloss._core.lookup import UsageError

pytest.importorskip("matplotlib")
import matplotlib as mpl

mpl.use("agg")

from jloss.plotting.curves import compare, curve, landscape, new_figure, plane_of, values
from jloss.plotting.pictures import describe, gallery, picture


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def lines(axis):
    return {line.get_label(): np.asarray(line.get_xydata()) for line in axis.get_lines()}


@pytest.mark.parametrize("name", ["huber", "cross_entropy", "dice", "giou", "ctc", "kl_divergence", "cosine_distance", "triplet_margin"])
def test_curves_show_numbers(name):
    where, value, slope = values(name, points=5)
    assert where.shape == value.shape == slope.shape == (5,)
    assert np.isfinite([value, slope]).all()
    assert np.ptp(value) > 0.01
    assert np.abs(slope).max() > 0.01


def test_curve_sweeps_an_option():
    left, right = curve(jloss.huber, sweep={"delta": [0.5, 1.0, 2.0]})
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["delta=0.5", "delta=1.0", "delta=2.0"]
    assert left.get_xlabel() == "predictions: estimates   (targets=0)"
    assert (left.get_ylabel(), right.get_ylabel()) == ("loss", "derivative of the loss")
    assert left.get_title(loc="left") == "huber\nSquared error near zero, absolute error beyond delta."
    for delta, points in ((0.5, lines(right)["delta=0.5"]), (2.0, lines(right)["delta=2.0"])):
        np.testing.assert_allclose(points[:, 1], np.clip(points[:, 0], -delta, delta), atol=1e-6)
    with pytest.raises(UsageError, match="huber has no option `dleta`; its options: delta"):
        curve("huber", {"dleta": [1.0]})


def test_compare_draws_on_given_axes():
    figure, axes = new_figure(1, 2)
    same = compare([jloss.huber, functools.partial(jloss.huber, delta=2.0), "squared_error"], axes=axes)
    assert same[0].figure is figure
    assert list(lines(same[0])) == ["huber", "huber delta=2.0", "squared_error"]
    with pytest.raises(UsageError, match="`axes`: 2 wanted, got 1"):
        compare(["huber"], axes=axes[0])


def test_under_outliers_the_median_stays_and_the_mean_goes():
    axis = compare(["squared_error", "absolute_error", "tukey_biweight"], under="outliers")
    learned = {name: points[20] for name, points in lines(axis).items()}  # two fifths of the targets
    normal = [statistics.NormalDist().inv_cdf((i + 0.5) / 100) for i in range(100)]
    targets = np.where(np.arange(100) * 37 % 100 < 40, 10.0, normal)
    np.testing.assert_allclose(learned["squared_error"], [0.4, 0.02 * round(targets.mean() / 0.02)], rtol=1e-6)  # the next candidate
    assert 0.5 < learned["absolute_error"][1] < 1.5
    assert abs(learned["tukey_biweight"][1]) < 0.2
    assert "targets at 10" in axis.get_xlabel()
    with pytest.raises(UsageError, match="cross_entropy: outliers are among real targets"):
        compare(["cross_entropy"], under="outliers")


@pytest.mark.slow
def test_under_imbalance_adjusted_logits_stay_fair():
    axis = compare(["cross_entropy", "sigmoid_cross_entropy", "logit_adjusted"], under="imbalance")
    learned = {name: points[:, 1] for name, points in lines(axis).items()}
    fair = 0.8413447  # the normal distribution up to 1
    assert learned["cross_entropy"][0] < 0.1
    np.testing.assert_allclose(learned["cross_entropy"], learned["sigmoid_cross_entropy"], atol=1e-5)
    # The sample of a hundred quantiles has no tails: 0.0027 where a class is rare, 0.00025 at one half.
    np.testing.assert_allclose(learned["logit_adjusted"], fair, atol=0.003)
    np.testing.assert_allclose([v[-1] for v in learned.values()], fair, atol=0.0003)
    with pytest.raises(UsageError, match="huber: imbalance is of classes"):
        compare(["huber"], under="imbalance")


@pytest.mark.slow
def test_landscape():
    axis = landscape("huber", over=("predictions", "delta"), points=21)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predictions: estimates", "delta")
    assert axis.get_xlim() == (-4.0, 4.0)
    assert landscape("cross_entropy", points=21).get_ylabel() == "logits, of another class"
    assert landscape("giou", points=21).get_xlabel() == "shift to the right, in box widths"
    with pytest.raises(UsageError, match="huber: `dleta` is not one number; there are predictions, targets, delta"):
        landscape("huber", over=("predictions", "dleta"))


@pytest.mark.slow
def test_every_plane_traces():
    """Losses without one say so."""
    planes = 0
    for entry in jloss.CATALOGUE.values():
        try:
            plane = plane_of(entry)
        except UsageError:
            continue
        planes += 1
        given = plane.inputs(*(jax.numpy.asarray(np.float32(np.mean(span))) for span in plane.spans))
        assert jax.eval_shape(lambda given=given, e=entry: e.public(**given)).shape == (), entry.name
    assert planes > 80


@pytest.mark.slow
def test_pictures_of_boxes_and_masks():
    boxes = picture("giou")
    assert boxes.shape == (2, 3)
    assert boxes[1, 2].get_title() == "equal: 0.00"
    assert float(boxes[0, 0].get_title().split()[-1]) > 1  # apart
    assert not boxes[1, 2].texts  # nowhere to go
    assert len(picture("iou")[0, 0].texts) == 0 < len(boxes[0, 0].texts)  # a box apart: giou pulls, iou does not
    masks = picture(jloss.dice)
    assert masks.shape == (2, 4)
    change = masks[1, 0].get_images()[0].get_array()
    assert change[16, 16] > 0 > change[0, 0]  # up inside the target, down outside
    with pytest.raises(UsageError, match="a picture is of two boxes or two masks"):
        picture("huber")


# ---------------------------------------------------------------- what docstrings say


def test_the_catalogue_is_a_table():
    table = jloss.CATALOGUE._repr_html_()
    assert table.count("<tr>") >= len(jloss.CATALOGUE)
    assert table.count(r"$\displaystyle \ell") > 150
    assert "<code>positive_weight</code>" in table or "<code>" in table
    assert not re.search(r"`\w+`|\.\. math", table)
    assert isinstance(jloss.CATALOGUE, dict)


def test_every_formula_reads_as_one():
    for name, entry in jloss.CATALOGUE.items():
        found = formula(entry)
        assert found, name
        assert "\n" not in found, name
        assert found.count("{") - found.count(r"\{") == found.count("}") - found.count(r"\}"), name
        assert len(re.findall(r"\\left(?![a-z])", found)) == len(re.findall(r"\\right(?![a-z])", found)), name


def test_arguments_of_a_docstring():
    assert arguments(jloss.huber).keys() == {"predictions", "targets", "delta"}
    assert arguments(jloss.reduce)["where"] == "Boolean, one per example: the examples to keep."
    assert meaning(jloss.huber, "delta") == "Where the parabola meets the lines"
    assert meaning(jloss.huber, "absent") == ""


@pytest.mark.slow
def test_gallery_and_details_of_a_family():
    for family in ("robust", "likelihood"):
        axes = gallery(family)
        assert [axis.get_title() for axis in axes] == [e.name for e in jloss.CATALOGUE.values() if e.family == family]
        assert len(axes[0].get_lines()) == 2
    assert gallery("tagging").size == 0
    assert "<p>Logarithmic far away" in describe("robust")._repr_html_()
    assert repr(describe("robust")) == "a table of 5 rows"
    with pytest.raises(UsageError, match="no family is called `robus`; nearest: robust"):
        describe("robus")
