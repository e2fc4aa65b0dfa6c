"""Method, caveats and provenance say what was done, as far as it was."""

from dataclasses import replace

from isodepth.affinity import MEASURES
from isodepth.report.provenance import caveats, method, provenance
from report.made_studies import N_TEXTS, QUICK, Made


def test_the_method_tells_of_what_is_there(made: Made) -> None:
    from_texts = " ".join(method(made.named("parallel").sets, QUICK))
    assert "19 relabellings" in from_texts
    assert "100 resamples" in from_texts
    assert "null model" not in from_texts
    alone = " ".join(method(made.named("alone").sets, QUICK))
    assert "resamples" not in alone
    assert "paper's null model" in alone


def test_other_measures_are_named_in_a_sentence_and_explained_under_provenance(made: Made) -> None:
    (noise,) = (one for one in made.assessed.sets if one.kind.measure == "noise")
    sets = [replace(noise, kind=noise.kind._replace(measure=name)) for name in MEASURES]
    others = [name for name in MEASURES if name != "mutual_knn"]
    (said,) = (one for one in method(sets, QUICK) if "also compared by" in one)
    assert MEASURES[others[0]].title in said
    assert f"and {len(others) - 6} more; what each is stands under provenance" in said
    assert len(said) < 600
    assert "no verdicts; intervals are of means over pairs of models alone" in said
    told = dict(provenance(sets, made.results))
    assert [name for name in told if name.startswith("measure: ")] == [
        f"measure: {name}" for name in others
    ]
    assert told["measure: cka"] == f"{MEASURES['cka'].title}; {MEASURES['cka'].source}"
    (alone,) = (one for one in method([noise], QUICK) if "compared by" in one)
    assert alone.startswith("Layers are compared by noise; what it is stands under provenance.")
    assert dict(provenance([noise], made.results))["measure: noise"] == "noise"


def test_caveats_name_what_must_be_minded(made: Made) -> None:
    stand_in = {"texts": {"name": "leads", "provenance": {"standing": "stand-in for the paper's"}}}
    sets = {**made.results.sets, "plain": replace(made.results["plain"], description=stand_in)}
    missing = [{"what": "dan on plain", "reason": "there is no such model"}]
    results = replace(made.results, sets=sets, manifest={"missing": missing})
    found = caveats(made.named("plain").sets, results, QUICK)
    assert "leads: stand-in for the paper's." in found
    assert "plain: fewer than 500 texts, with which a weak ridge stays undecided." in found
    assert "Missing of what was wanted: dan on plain, because there is no such model" in found
    assert any("5 % of cases" in one for one in found)
    assert any(one.startswith("No control texts") for one in found)


def test_with_controls_and_from_matrices_the_caveats_differ(made: Made) -> None:
    generated = {"texts": {"name": "alone", "provenance": {"source": "generated"}}}
    sets = {**made.results.sets, "alone": replace(made.results["alone"], description=generated)}
    found = caveats(made.named("alone").sets, replace(made.results, sets=sets), QUICK)
    assert not any("No control texts" in one for one in found)
    assert "From matrices alone, how far estimates may be off is not known." in found


def test_provenance_names_texts_models_files_and_versions(made: Made) -> None:
    rows = provenance(made.assessed.sets, made.results)
    assert {type(word) for row in rows for word in row} == {str}
    told = {row[0]: row[1] for row in rows}
    texts = next(iter(made.evidence.values())).texts
    assert texts is not None
    assert told[f"texts: {texts.name}"].startswith(f"texts: {N_TEXTS}; digest: {texts.digest}")
    assert told["model: bob"] == "n layers: 11"
    assert told["imported: alone"] == "file: alone.npz; sha256: abc"
    assert told["version: isodepth"] == "0.1.0"
    assert told["note"] == "a note"
    assert "texts: german" in told
