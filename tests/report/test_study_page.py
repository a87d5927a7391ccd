"""The studies of a data set in its page: planted trials, whose history, importance and values are known."""


def test_a_study_shows_its_trials_and_what_matters(planted_runs, plant_study, write_page):
    planted_runs.add("good", 0.5)
    plant_study("mine", "tiny", 12)
    plant_study("elsewhere", "other", 1)
    page = write_page()
    summaries = [summary["text"] for summary in page.all("summary") if "trials in" in summary["text"]]
    best, start = "the best is trial 11, with 0.9000", "the config that it started from has 1.8167"
    assert summaries == [f"mine <b>planted</b> on split random90: 12 trials in 1 m 00 s; {best}; {start}"]
    tips = [title["text"] for title in page.all("title")]
    for number in range(12):
        assert tips.count(f"trial {number}: validation RMSE {0.9 + (11 - number) / 12:.4f}") == 2  # in both drawings
    texts = [text["text"] for text in page.all("text")]
    assert texts.index("rate") < texts.index("none")  # the most important first
    assert {"0.0001", "0.01", "8", "4,2"} <= set(texts)
    headings = [head["text"] for head in page.all("th")]
    assert headings.index("rate") < headings.index("size")
    cells = [cell["text"] for cell in page.all("td")]
    assert "0.001" in cells  # the rate of the best trial
    shares = [float(cell.rstrip("%")) for cell in cells if cell.endswith("%") and "." not in cell]
    assert shares[0] == max(shares) > 50
    assert 99 <= sum(shares) <= 101
    references = {href.removeprefix("#") for href in page.values("href")}
    assert references <= set(page.values("id"))
