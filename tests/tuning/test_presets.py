"""Presets that tuning saves: `cfbench run` uses them, and all that the user wrote stays in the file."""

import json
import tomllib

import pytest

from cfbench.errors import PluginError
from cfbench.runs import registry
from cfbench.runs.setup import configure
from cfbench.tuning.presets import save_preset


@pytest.fixture
def file(terminal):
    """The user's own presets of the plugin `bowl`; the file does not exist yet."""
    path = registry.user_presets_file("bowl")
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def save(bowl, file, study_file, make_job):
    """Save x = 1.5 and shape = 4, 2 as the preset of the data set tiny, and return the text of the file."""

    def save_to(text):
        file.write_text(text)
        setup = configure("bowl", dataset="tiny", flags={"x": "1.5", "shape": "4,2"}, preset=None, use_preset=False)
        assert save_preset(setup, make_job(study_file("s")), []) == file
        return file.read_text()

    return save_to


SAVED = {"x": 1.5, "shape": [4, 2]}


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("", {}),
        ("# nothing yet\n", {}),
        ('[mine]\nx = 1.25\nkind = "b"\n', {"mine": {"x": 1.25, "kind": "b"}}),
        ("[mine]\nx = 1.25", {"mine": {"x": 1.25}}),
        ("[tiny]\ny = 0.5\n", {}),
        ('["tiny"]\ny = 0.5\n\n["other"]\nx = 2.0\n', {"other": {"x": 2.0}}),
        ("tiny = {y = 0.5}\nmine = {x = 2.0}\n", {"mine": {"x": 2.0}}),
        ("tiny.y = 0.5\nmine.x = 2.0\n", {"mine": {"x": 2.0}}),
    ],
)
def test_a_saved_preset_replaces_the_old_one_and_the_others_stay(save, text, others):
    assert tomllib.loads(save(text)) == others | {"tiny": SAVED}


def test_comments_above_presets_stay_where_they_are(save):
    text = save("# mine\n\n# above tiny\n[tiny]\ny = 0.5 # old\n\n# above other\n[other]\nx = 2.0 # good\n")
    lines = text.splitlines()
    assert lines[0] == "# mine"
    assert lines[lines.index("# above tiny") + 1].startswith("[tiny] # study s, split random90, 0 trials")
    assert lines[lines.index("# above other") + 1 :] == ["[other]", "x = 2.0 # good"]


def test_the_comment_of_an_earlier_file_on_how_the_preset_was_found_is_replaced(save):
    text = save(
        '# study a, split random90, 3 trials\n["tiny"]\ny = 0.5\n\n# study b, split 1, 1 trial\n["other"]\nx = 2.0\n'
    )
    assert "# study a" not in text
    assert "# study b, split 1, 1 trial\n" in text
    assert text.startswith('["tiny"] # study s, ')


def test_a_presets_file_that_is_not_toml_is_an_error_and_stays(save, file):
    with pytest.raises(PluginError, match="presets of plugin 'bowl'"):
        save("[tiny\n")
    assert file.read_text() == "[tiny\n"


def test_cfbench_run_uses_the_saved_preset_and_still_finds_the_others(bowl, tune, file):
    file.write_text('[mine]\nx = 1.25\nshape = [3, 1]\nkind = "b"\n')
    best = tune("bowl --trials 5 --fix size=3 --save-preset")["best"]["config"]
    assert tomllib.loads(file.read_text())["tiny"] == best
    assert json.loads(bowl("run bowl --json").out)["request"]["config"] == best
    assert json.loads(bowl("run bowl --preset mine --json").out)["request"]["config"]["shape"] == [3, 1]
    assert {"mine", "tiny"} <= set(registry.presets("bowl"))


def test_a_preset_of_another_split_is_used_only_when_it_is_named(bowl, tune, file):
    default = tune("bowl --trials 3 --save-preset")["best"]
    answer = bowl("tune bowl --trials 1 --split random80 --save-preset --json")
    other = json.loads(answer.out)["best"]
    assert "saved as preset tiny-random80 in" in answer.err
    assert "`cfbench run bowl --dataset tiny --split random80 --preset tiny-random80` uses it" in answer.err
    found_default = f"3 trials, validation RMSE {default['valid_rmse']:.4f}"
    found_other = f"1 trial, validation RMSE {other['valid_rmse']:.4f}"
    lines = file.read_text().splitlines()
    assert f"[tiny] # study bowl-tiny-random90, split random90, {found_default}" in lines
    assert f"[tiny-random80] # study bowl-tiny-random80, split random80, {found_other}" in lines
    assert json.loads(bowl("run bowl --json").out)["request"]["config"] == default["config"]


def test_saving_again_says_how_the_new_preset_was_found(bowl, tune, file):
    tune("bowl --trials 3 --save-preset")
    tune("bowl --trials 4 --no-preset --save-preset")
    text = file.read_text()
    assert text.count("# study") == 1
    assert "4 trials" in text


def test_ones_own_preset_wins_over_the_one_that_comes_with_the_plugin(terminal):
    own = registry.user_presets_file("deepae")
    own.parent.mkdir(parents=True)
    own.write_text("[paper-full]\nlr = 0.5\n[mine]\nlr = 0.25\n")
    presets = registry.presets("deepae")
    assert presets["paper-full"] == {"lr": 0.5}
    assert {"mine", "paper-3m"} <= set(presets)
