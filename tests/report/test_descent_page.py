"""The page "From whom?": answers with their corrections, trees as they are drawn, and when there is a page at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from made_descents import answered, descended
from made_results import plain, studied

from natfp_bench.pipeline.result import Result
from natfp_bench.pipeline.result_files import find
from natfp_bench.report import site as report
from natfp_bench.report.descent_figures import SEVERAL, branches, fading_figure, tree_figure
from natfp_bench.report.descent_words import about_descent, fading_sentences, headline, questions
from natfp_bench.results.distances import tree_of
from natfp_bench.results.protocols import Protocol
from natfp_bench.results.trends import trends_of
from natfp_bench.statistics.curves import MIXED, Robustness
from natfp_bench.statistics.dilution import AtShare, Diluted, Dilution
from natfp_bench.statistics.trees import neighbour_joining
from natfp_bench.statistics.verification import Against, Verification, Verified


def apart(replicates: int, levels: int) -> np.ndarray:
    """Distances of runs that are treated at some levels: replicates are far from each other."""
    far = np.kron(1 - np.eye(replicates), np.ones((levels, levels)))
    return np.asarray(far + 0.1 * (1 - np.eye(replicates * levels)))


@pytest.mark.parametrize("seed", range(4))
def test_a_tree_is_laid_out_from_its_middle_with_its_own_lengths(seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = rng.normal(size=(8, 5))
    tree = neighbour_joining(((at[:, None] - at) ** 2).mean(axis=2))
    far = tree.between(tree.length)
    made = branches(tree)
    ends = {one.leaves[0]: one for one in made if not one.joined}
    assert sorted(one.height for one in ends.values()) == list(range(8))
    assert made[0].begins == made[0].ends == 0
    assert sorted(made[0].leaves) == list(range(8))
    assert max(one.ends for one in made) == pytest.approx(far.max() / 2)
    total = sum(one.ends - one.begins for one in made)
    assert total == pytest.approx(sum(tree.length)), "no branch is lost"
    a, b = np.unravel_index(far.argmax(), far.shape)
    assert ends[int(a)].ends + ends[int(b)].ends == pytest.approx(far.max())
    for one in made:
        assert all(min(one.joined) <= one.height <= max(one.joined) for _ in one.joined)


@pytest.mark.parametrize("given", [np.array([[0, 2.0], [2.0, 0]]), np.zeros((4, 4)), 1 - np.eye(3)])
def test_trees_without_inner_branches_or_any_length_are_drawn(given: np.ndarray) -> None:
    made = branches(neighbour_joining(given))
    assert sum(not one.joined for one in made) == len(given)
    assert max(one.ends for one in made) == pytest.approx(given.max() / 2)


def test_the_figure_colours_each_ancestor_and_draws() -> None:
    import altair as alt
    import vl_convert

    result = descended("base_id")
    figure = tree_figure(result, tree_of(result))
    leaves = [row for row in figure.rows if row["model"]]
    assert {row["model"]: row["ancestor"] for row in leaves} == {
        of.name: of.name.split("/")[0] for of in result.variants
    }
    assert [row["ancestor"] for row in figure.rows].count("base1") == 3, "both fine-tunings, and the branch to them"
    assert {row["ancestor"] for row in figure.rows} == {SEVERAL, *result.factor.levels}
    alt.Chart.from_dict({**figure.spec})
    words = "".join(ET.fromstring(vl_convert.vegalite_to_svg(dict(figure.spec))).itertext())
    assert "base0/r0" in words
    assert "distance (bits per token)" in words


def test_the_figure_names_runs_where_they_are_the_ancestors_and_nothing_without_history() -> None:
    treated = descended("prune_id", apart(2, 5))
    assert {row["ancestor"] for row in tree_figure(treated, tree_of(treated)).rows} == {"run r0", "run r1", SEVERAL}
    without = descended("lr_id")
    figure = tree_figure(without, tree_of(without))
    assert {row["ancestor"] for row in figure.rows} == {SEVERAL}
    assert "No history is known" in figure.caption


def test_answers_are_corrected_together_and_say_what_they_are_about() -> None:
    asked = questions([answered("teacher_id", 0.4), answered("base_id", 0.001)])
    base, teacher = asked
    assert [one.result.task.name for one in asked] == ["base_id", "teacher_id"]
    assert (base.answer.lead, teacher.answer.lead) == ("Yes.", "Not shown.")
    assert "names the base model, out of 4, with accuracy 0.60 (95% interval 0.56 to 0.64)" in base.answer.text
    assert "where chance is 0.25; with the likelihoods of the other models it is 0.60" in base.answer.text
    assert "p = 0.004 after correction for the 4 tests of this page (0.001 before)" in base.answer.text
    assert "would have been found with power 0.8" in teacher.answer.text
    assert base.run is None
    assert "the tree is right in 1.00 of them (95% interval over models" in base.tree
    assert base.tree.startswith("The tree shows descent.")
    assert headline(asked) == "2 questions about where models come from: 1 answered with yes, 1 not shown."


def test_of_a_treated_run_it_is_also_asked_which_run_it_was() -> None:
    (one,) = questions([answered("prune_id", 0.001, matrix=apart(5, 5))])
    assert one.run is not None
    assert one.run.lead == "Yes."
    assert "bayes names the run, out of 5, with accuracy 0.50" in one.run.text
    assert "with the likelihoods of these runs it is 0.90" in one.run.text


def test_too_few_models_are_said_to_be_too_few() -> None:
    (one,) = questions([answered("quantization_id", 0.5, replicates=2, smallest=0.5, matrix=apart(2, 2))])
    assert one.answer.verdict == "not testable"
    assert "So few models can give no p below 0.500: more replicates are needed." in one.answer.text
    assert "no interval: two other ancestors would give another tree" in one.tree
    crowd = [answered(task, 0.042, smallest=0.042) for task in ("base_id", "teacher_id")]
    assert all("which is not enough" in one.answer.text for one in questions(crowd))


def test_what_was_not_tested_is_said_to_be_not_tested() -> None:
    (alone,) = questions([descended("base_id", study=studied())])
    assert (alone.answer.lead, "No models were held out" in alone.answer.text) == ("Not tested.", True)
    (fixed,) = questions([answered("base_id", 0.001).model_copy(update={"study": None})])
    assert fixed.answer.lead == "Not tested."
    assert fixed.answer.text.endswith("There is no p-value, because no labels were permuted.")
    assert headline([alone, fixed]) == "2 questions about where models come from: 2 not tested."


def test_what_is_left_of_a_trace_in_changed_texts_is_said() -> None:
    result = answered("base_id", 0.001)
    assert result.study is not None
    rows = [
        Robustness(condition=condition, trained_on=trained, train_texts=1000, accuracy=plain(accuracy))
        for condition, trained, accuracy in (
            ("plain", "plain", 0.6),
            ("lower_case", "plain", 0.59),
            ("truncated", "plain", 0.5),
            ("top-p 0.9", "plain", 0.4),
            (MIXED, "plain", 0.3),
            (MIXED, "transformed", 0.45),
        )
    ]
    study = result.study.model_copy(update={"robustness": tuple(rows)})
    (one,) = questions([result.model_copy(update={"study": study})])
    assert one.disguised == (
        "Texts that were changed: bayes, which learnt from 1,000 plain texts of each model, has accuracy 0.60 on plain "
        "texts, 0.50 on their first halves, 0.40 on texts drawn with top-p 0.9, 0.30 on texts whose second half is by "
        "another model; chance is 0.25. None of this is a test."
    )
    assert questions([result])[0].disguised == ""


def test_published_work_is_compared_with_what_was_seen() -> None:
    same, other = answered("teacher_same_init_id", 0.001, 0.8), answered("teacher_id", 0.001, 0.5)
    (_, found) = questions([same, other])
    assert "the difference is 0.300 (95% interval 0.247 to 0.353), and 0.300 (0.229 to 0.371) with" in found.notes[0]
    assert "the beginning adds to the trace, as that work suggests" in found.notes[0]
    (_, found) = questions([answered("teacher_same_init_id", 0.001, 0.54), other])
    assert "the difference is 0.040 (95% interval -0.013 to 0.093)" in found.notes[0]
    assert "neither confirms that work nor contradicts it" in found.notes[0]
    (alone,) = questions([same])
    assert alone.notes == []


def test_teachers_and_bases_that_are_named_are_set_beside_work_that_found_them_harder() -> None:
    (found,) = questions([answered("teacher_id", 0.001, 0.7)])
    assert "bayes names it with accuracy 0.70" in found.notes[0]
    (found,) = questions([answered("teacher_id", 0.6, 0.25)])
    assert found.notes == [], "nothing to compare"
    base = answered("base_id", 0.001, 0.8)
    (found,) = questions([base])
    assert len(found.notes) == 1, "no pairs were judged"
    against = Against(models=8, auroc=plain(0.99), tpr_at_5_percent_fpr=plain(0.97), tpr_at_1_percent_fpr=None)
    judged = [
        Verified(attributor=who, size=size, others=against)
        for who in ("bayes", "likelihood_reference")
        for size in (1, 10)
    ]
    pairs = Verification(ancestors=4, descendants=8, strangers=0, found=tuple(judged))
    study = base.study.model_copy(update={"verification": pairs})
    (found,) = questions([base.model_copy(update={"study": study})])
    assert "Here bayes accepts a share of 0.97 of the descendants by 10 texts" in found.notes[0]


def test_a_result_without_distances_has_an_answer_and_no_tree() -> None:
    (one,) = questions([answered("base_id", 0.001, mean_kl=None)])
    assert one.drawn is None
    assert one.tree.startswith("There is no tree: base_id, run run0: its variants have no distances")
    assert one.answer.lead == "Yes."


def test_which_results_are_about_descent() -> None:
    assert about_descent(descended("quantization_id"))
    assert about_descent(descended("merge_bases_id"))
    assert not about_descent(descended("lr_id"))


def sweep() -> list[Result]:
    found = []
    for number, share in enumerate((0.1, 0.3, 1.0), 1):
        result = answered("base_far_id", 0.01, 0.9 - 0.4 * share, number=number)
        variants = [
            of.model_copy(update={"settings": {**of.settings, "finetune": {**of.settings["finetune"], "share": share}}})
            for of in result.variants
        ]
        changes = {"overrides": {"finetune.share": share}, "protocol_digest": f"{number:064}"}
        found.append(result.model_copy(update={**changes, "variants": tuple(variants)}))
    return found


def test_a_sweep_over_the_fine_tuning_fades() -> None:
    protocols = [Protocol([(Path(f"none/{place}/result.json"), one)]) for place, one in enumerate(sweep())]
    (trend,) = trends_of(protocols)
    (figure,) = fading_figure(trend, {of.newest.protocol_digest: of for of in protocols})
    bayes = [(row["at"], round(row["value"], 3)) for row in figure.rows if row["series"] == "bayes"]
    assert bayes == [(0.1, 0.813), (0.3, 0.707), (1.0, 0.333)]
    assert {row["series"] for row in figure.rows} == {"bayes", "likelihoods of the other models"}
    said = list(fading_sentences(trend))
    assert said[0].startswith(
        "From fine-tunings of 0.1 to 1 times the training before them, identifiability (0 is chance"
    )
    assert "by bayes goes from 0.81 to 0.33. With each doubling it changes by -0.1" in said[0]
    assert "95% interval" in said[0], "five replicates can be left out"
    assert said[1] == (
        "The ancestor is shown after 3 of 3 lengths (0.1, 0.3, 1.0); the smallest p is 0.030 after correction for the "
        "points of this sweep."
    )
    studied_more = answered("base_far_id", 0.01, 0.5, number=7, overrides={"analysis.disguises": True})
    protocols.append(Protocol([(Path("none/7/result.json"), studied_more)]))
    (trend,) = trends_of(protocols)
    assert trend.over == ("analysis.disguises", "finetune.share")
    (again,) = fading_figure(trend, {of.newest.protocol_digest: of for of in protocols})
    assert len(again.rows) == len(figure.rows), "a point of each length"
    other = trend.model_copy(update={"over": ("finetune.share", "model.width")})
    assert list(fading_figure(other, {})) == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that writes results and returns the files of their site, of two of its pages."""

    def write(results: list[Result]) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("descent")
        for place, result in enumerate(results):
            path = folder / str(place) / "result.json"
            path.parent.mkdir()
            path.write_text(result.to_json())
        pages = list(report.pages(report.read(find([folder]), folder / "store"), ["index-*", "from-whom-*"]))
        return dict(report.render(pages, "natfp-bench report").files)

    return write


def test_the_page_has_a_section_for_each_question_and_the_menu_links_to_it(made: Any) -> None:
    changed = {"protocol_digest": "q" * 64, "overrides": {"budget.tokens": 1}}
    files = made([answered("base_id", 0.001), *sweep(), answered("base_id", 0.5, number=9, **changed)])
    page = files["from-whom.html"]
    assert 'href="from-whom.html"' in files["index.html"]
    assert page.count("<h2") == 5, "two questions, the fading, how a tree is drawn, and how this was made"
    assert '<a href="#base-id">Which base model was this model fine-tuned from?</a>' in page
    assert "<strong>Yes.</strong> On models that no classifier has met" in page, "presets as they are come first"
    assert "How fast does an ancestor fade?" in page
    assert page.count('class="figure"') == 3
    assert 'href="tasks/base_id-smoke-' in page
    assert "data/from-whom-tree-base-id.csv" in files


def test_a_result_that_was_studied_further_comes_first(made: Any) -> None:
    plainly, more = (answered("base_id", 0.001, number=number, protocol_digest=f"{number:064}") for number in (1, 2))
    against = Against(models=19, auroc=plain(0.99), tpr_at_5_percent_fpr=None, tpr_at_1_percent_fpr=None)
    one = Verified(
        attributor="bayes", size=10, others=against, strangers=against, recognised=plain(0.7), false_alarms=plain(0.0)
    )
    pairs = Verification(ancestors=4, descendants=8, strangers=19, found=(one,))
    study = more.study.model_copy(update={"verification": pairs})
    started = more.run.model_copy(update={"started": plainly.run.started + "+"})
    more = more.model_copy(update={"study": study, "overrides": {"analysis.strangers": 19}, "run": started})
    assert "Against 19 models of unknown ancestors, bayes shows" in made([more, plainly])["from-whom.html"]
    other = more.model_copy(update={"overrides": {"budget.tokens": 1}})
    assert "unknown ancestors" not in made([other, plainly])["from-whom.html"]


def test_results_on_other_text_stand_beside_and_are_corrected_together(made: Any) -> None:
    base = answered("base_id", 0.001, preset="quick")
    prose = {"corpus__name": "text:prose.txt", "preset": "quick", "overrides": {"corpus.name": "text:prose.txt"}}
    other = answered("base_id", 0.02, 0.4, number=9, protocol_digest="o" * 64, **prose)
    (one,) = questions([base], [other, answered("teacher_id", 0.001, **prose)])
    assert "after correction for the 3 tests of this page (0.001 before)" in one.answer.text
    ((result, answer),) = one.elsewhere
    assert (result, answer.lead) == (other, "Yes.")
    assert "with accuracy 0.40" in answer.text
    assert "p = 0.020 after correction for the 3 tests of this page (0.020 before)" in answer.text
    page = made([base, other])["from-whom.html"]
    assert page.count("On other text: <strong>Yes.</strong>") == 1
    assert page.count("On other text") == 1
    smoke = made([base, answered("base_id", 0.02, 0.4, protocol_digest="o" * 64, **{**prose, "preset": "smoke"})])
    assert "On other text" not in smoke["from-whom.html"]


def test_shares_of_mixed_texts_have_a_section(made: Any) -> None:
    at = AtShare(
        share=0.1, estimate=0.1, low=0.0, high=0.2, bias=0.0, spread=0.02, coverage=0.95, detected=0.9, uncorrected=None
    )
    found = Diluted(attributor="bayes", texts=100, streams=24, smallest=0.1, at=(at,))
    base = answered("base_id", 0.001, preset="quick")
    study = base.study.model_copy(update={"dilution": Dilution(pairs=12, calibration=500, found=(found,))})
    page = made([base.model_copy(update={"study": study})])["from-whom.html"]
    assert "What share of these texts is by this model?" in page
    assert "Intervals contain the true share in 0.95 of the streams (bayes), where 0.95 is aimed at." in page
    assert "What share of these texts" not in made([base])["from-whom.html"]


def test_without_descent_there_is_no_page(made: Any) -> None:
    files = made([answered("lr_id", 0.001)])
    assert "from-whom.html" not in files
    assert "From whom?" not in files["index.html"]
