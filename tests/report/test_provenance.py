"""Method, caveats and provenance say what was done, as far as it was."""

from dataclasses import replace

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
    assert any(one.startswith("noise: ") for one in method(made.assessed.sets, QUICK))


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
