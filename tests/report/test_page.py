"""The page of a leaderboard: its numbers are those of `compare`, it is one closed file, and no text becomes markup."""

import base64
import hashlib
import json
import re
import shlex

HOSTILE = "<script>alert(1)</script> \" ' ]]> <!-- $x_1$ & \x1b]0;owned\x07 \u202e {{ 7 * 7 }} _"
"""Markup, quotes, the ends of other languages, a formula, an escape sequence and a template."""
SHOWN = HOSTILE.replace("\x1b", "␛").replace("\x07", "␇").replace("\u202e", "\ufffd")


def plant_board(runs):
    """Three models: the best has two seeds and a curve, the second is hardly worse, and the third is bad but quick."""
    for seed in (0, 1):
        runs.add("good", 0.50, seed=seed, seconds=90.0, curve=[1.5, 0.9, 0.7 + seed / 100, 0.8], config={"k": 3})
    runs.add("close", 0.505, seconds=20.0)
    runs.add("poor", 1.5, seconds=0.2)


def hashes(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def check_closed(page):
    """Nothing is loaded, only the one script and the one style run, and every reference has its target."""
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    (style,), (script,) = page.all("style"), page.all("script")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'", "style-src": hashes(style["text"]), "script-src": hashes(script["text"]),
        "base-uri": "'none'", "form-action": "'none'",
    }  # fmt: skip
    names = {name for element in page.elements for name in element}
    assert not names & {"style", "src", "srcset", "action", "data", "xlink:href"}
    assert not [name for name in names if name.startswith("on")]
    identities = page.values("id")
    assert len(identities) == len(set(identities))
    references = page.values("href") + re.findall(r"url\(([^)]*)\)", page.source)
    assert {reference.removeprefix("#") for reference in references} <= set(identities)


def test_the_numbers_of_the_page_are_those_of_compare(planted_runs, terminal, write_page):
    plant_board(planted_runs)
    page = write_page()
    check_closed(page)
    (order,) = [[cell for cell in page.elements if "data-order" in cell]]
    rows = json.loads(terminal("compare --json").out)["rows"]
    headings = [head["text"] for head in page.all("th") if "data-sort" in head]
    assert len(order) == len(rows) * len(headings)
    for number, row in enumerate(rows):
        cells = dict(zip(headings, order[number * len(headings) :], strict=False))
        assert cells["plugin"]["text"].split()[0] == row["plugin"]
        assert cells["RMSE"]["text"] == f"{row['score']:.4f}"
        for heading, key in (("place", "place"), ("RMSE", "score"), ("MAE", "mae"), ("fit", "fit_seconds")):
            assert float(cells[heading]["data-order"]) == row[key], key
        assert cells["95 %"]["text"] == f"{row['interval_low']:.4f}–{row['interval_high']:.4f}"
        if number:
            assert cells["to best"]["text"].split()[-1] == f"{row['difference']:+.4f}"
            assert ("≈" in cells["to best"]["text"]) == row["tied"]
    answer = page.all("h1")[0]["text"]
    assert answer.startswith(
        f"good predicts best, with RMSE {rows[0]['score']:.4f}, but that is not sure: close does not"
    )
    assert answer.endswith("its fit takes 1 m 30 s on cpu.")
    check_pairs(page, rows)
    commands = [element["text"] for element in page.all("code")]
    assert "cfbench run good --dataset tiny --split random90 --seed 0 --no-preset" in commands
    assert {"good-0", "good-1", "close-0", "poor-0"} <= {head["text"] for head in page.all("th")}
    again = write_page()
    assert again.source == page.source
    assert len(page.source) < 200_000


def check_pairs(page, rows):
    """Each cell of the matrix has the difference of two scores; with the best model it has its interval too."""
    cells = [cell for cell in page.all("td") if (cell.get("title") or "").endswith("adjusted for all pairs")]
    pairs = [(row, column) for row in range(len(rows)) for column in range(row)]
    assert len(cells) == len(pairs)
    for (row, column), cell in zip(pairs, cells, strict=True):
        assert f"{rows[row]['score'] - rows[column]['score']:+.4f}" in cell["text"]
        if column == 0:
            assert cell["text"].endswith(f"{rows[row]['difference_low']:+.4f} to {rows[row]['difference_high']:+.4f}")


def test_texts_from_outside_stay_text(planted_runs, write_page):
    name = HOSTILE.replace("/", "")
    planted_runs.add(name, 0.5, run=f"{name}-0", title=HOSTILE, config={HOSTILE: HOSTILE}, curve=[2.0, 1.0])
    planted_runs.add("other", 0.9, message=HOSTILE, warning=HOSTILE)
    page = write_page()
    check_closed(page)
    shown = SHOWN.replace("/", "")
    assert page.all("h1")[0]["text"].startswith(f"{shown} predicts best")
    assert [text["text"] for text in page.all("text")].count(shown) == 1
    assert any(title["text"].startswith(f"{shown}: best epoch 2") for title in page.all("title"))
    facts = dict(zip((e["text"] for e in page.all("dt")), (e["text"] for e in page.all("dd")), strict=True))
    assert facts["warning"] == SHOWN
    assert facts["status"] == f"finished: {SHOWN}"
    assert facts[SHOWN] == f"{SHOWN} (flag)"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page.source)
    words = next(shlex.split(code["text"]) for code in page.all("code") if "--seed" in code["text"])
    assert words[:3] == ["cfbench", "run", shown]


def test_a_page_without_ratings_says_what_it_lacks_and_one_without_runs_too(
    planted_runs, terminal, write_page, monkeypatch
):
    assert write_page().all("h1")[0]["text"] == "No model has a score on this split yet."
    planted_runs.add("good", 0.5)
    planted_runs.add("close", 0.505)
    monkeypatch.setenv("CFBENCH_DATA", str(terminal.folder / "elsewhere"))
    page = write_page("--dataset tiny")
    check_closed(page)
    assert "whether that is sure is not known, because the ratings are not downloaded" in page.all("h1")[0]["text"]
    assert "The ratings are not downloaded where this page was made" in page.source
