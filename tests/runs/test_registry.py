"""Finding plugins, their presets, and making configs from a command line's text."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from cfbench.contract import format_value
from cfbench.errors import ConfigError, PluginError, UnknownNameError
from cfbench.plugins.bias import PLUGIN as BIAS
from cfbench.plugins.deepae import PLUGIN as DEEPAE
from cfbench.runs import registry


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """A module of another package, announced by an entry point."""

    def add(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        point = EntryPoint(name.replace("_", "-"), name, registry.ENTRY_POINTS)
        monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == registry.ENTRY_POINTS else [])
        registry.locations.cache_clear()

    yield add
    monkeypatch.undo()
    registry.locations.cache_clear()


def test_the_plugins_of_cfbench_are_found_by_their_modules():
    assert {"bias", "deepae"} <= set(registry.names())
    assert registry.load("bias") is BIAS
    assert registry.locate("deepae").package.startswith("cfbench-recsys ")


def test_a_summary_is_read_without_importing_the_module(other_package):
    other_package("gone_wrong", '"""A model that cannot be imported.\n\nMore.\n"""\nraise RuntimeError\n')
    assert registry.locate("gone-wrong").summary == "A model that cannot be imported."


def test_another_package_adds_a_plugin_by_an_entry_point(other_package):
    other_package("other_model", "from cfbench.plugins.bias import PLUGIN")
    assert registry.load("other-model") is BIAS


def test_another_package_cannot_take_the_name_of_a_plugin_of_cfbench(other_package):
    other_package("bias", "PLUGIN = 1")
    assert registry.load("bias") is BIAS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import a_library_nobody_has", "plugin 'their-model' cannot be imported: No module named"),
        ("PLUGINS = []", "plugin 'their-model': module their_model has no PLUGIN; it must export one"),
        ("PLUGIN = 3", "their_model.PLUGIN is a int, expected cfbench.contract.Plugin"),
    ],
)
def test_a_plugin_that_cannot_be_imported_says_why_in_one_line(other_package, monkeypatch, text, message):
    monkeypatch.delitem(__import__("sys").modules, "their_model", raising=False)
    other_package("their_model", text)
    with pytest.raises(PluginError, match=message) as fault:
        registry.load("their-model")
    assert "\n" not in str(fault.value)


def test_the_error_for_an_unknown_plugin_suggests_a_similar_name():
    with pytest.raises(UnknownNameError, match="no plugin 'deepea'; did you mean 'deepae'\\?"):
        registry.load("deepea")


def test_text_becomes_numbers_tuples_and_switches():
    flags = {"hidden": "64, 32", "dropout": "0.5", "refeed": "2", "tied": True, "milestones": ""}
    config, origins = registry.make_config(DEEPAE, {}, flags)
    assert (config.hidden, config.dropout, config.refeed, config.tied, config.milestones) == (
        (64, 32),
        0.5,
        2,
        True,
        (),
    )
    assert origins["hidden"] == "flag"
    assert origins["lr"] == "default"


@pytest.mark.parametrize("milestones", [(), (3,), (3, 5)])
def test_a_tuple_is_read_as_it_is_written(milestones):
    config, _ = registry.make_config(registry.load("deepae"), {}, {"milestones": format_value(milestones)})
    assert config.milestones == milestones


def test_a_flag_overrides_the_preset_and_the_preset_overrides_the_default():
    config, origins = registry.make_config(DEEPAE, {"lr": 0.25, "dropout": 0.5}, {"dropout": "0.1"})
    assert (config.lr, config.dropout, config.refeed) == (0.25, 0.1, 1)
    assert (origins["lr"], origins["dropout"], origins["refeed"]) == ("preset", "flag", "default")


def test_each_wrong_value_is_one_line_of_the_error():
    with pytest.raises(ConfigError) as fault:
        registry.make_config(
            DEEPAE, {}, {"dropout": "2", "hidden": "64,x", "activation": "silu", "hiden": "3", "lr": "nan"}
        )
    choices = "'selu', 'elu', 'relu', 'relu6', 'lrelu', 'tanh', 'sigmoid', 'swish' or 'none'"
    lines = sorted(str(fault.value).splitlines())
    assert lines == [
        f"--activation: should be {choices}, got 'silu'",
        "--dropout: should be less than 1, got '2'",
        "--hidden: should be a valid integer, unable to parse string as an integer, got 'x'",
        "--lr: should be a finite number, got 'nan'",
        "no hyper-parameter 'hiden'; did you mean 'hidden'?",
    ]


SHIPPED_PRESETS = [(name, preset) for name in registry.names() for preset in registry.presets(name)]


@pytest.mark.parametrize(("name", "preset"), SHIPPED_PRESETS)
def test_every_preset_that_ships_is_a_valid_config_with_the_values_of_the_preset(name, preset):
    values = registry.presets(name)[preset]
    _, origins = registry.make_config(registry.load(name), values, {})
    assert {key for key, origin in origins.items() if origin == "preset"} == set(values)


def test_the_preset_with_the_name_of_the_data_set_is_its_default(monkeypatch):
    monkeypatch.setattr(registry, "presets", lambda _: {"tiny": {"lr": 0.5}, "paper": {"lr": 0.1}})
    assert registry.preset("deepae", None, "tiny") == ("tiny", {"lr": 0.5})
    assert registry.preset("als", None, "large") == (None, {})
    assert registry.preset("deepae", "paper", "tiny") == ("paper", {"lr": 0.1})
    with pytest.raises(UnknownNameError, match="no preset 'papr'; did you mean 'paper'\\?; plugin deepae"):
        registry.preset("deepae", "papr", "tiny")


def test_a_plugin_declares_the_preset_of_data_sets_without_one_of_their_own(monkeypatch):
    declared = {"big/old": "a", "big": "b", "*": "c"}
    plugin = replace(registry.load("als"), default_presets=declared)
    monkeypatch.setattr(registry, "import_plugin", lambda _: plugin)
    monkeypatch.setattr(registry, "presets", lambda _: {name: {} for name in ("a", "b", "c", "tiny")})
    places = [("big", "old"), ("big", "new"), ("large", "old"), ("tiny", "old")]
    assert [registry.preset("als", None, *place)[0] for place in places] == ["a", "b", "c", "tiny"]
    assert registry.preset("als", "c", "big", "old")[0] == "c"


def test_the_four_architectures_of_the_paper_are_presets():
    known = registry.presets("deepae")
    papers = {"paper-3m": ((128, 256, 256), 0.65), "paper-6m": ((256, 256, 512), 0.8),
              "paper-1y": ((256, 256, 512), 0.8), "paper-full": ((512, 512, 1024), 0.8)}  # fmt: skip
    for name, (hidden, dropout) in papers.items():
        config, _ = registry.make_config(DEEPAE, known[name], {})
        assert (config.hidden, config.dropout, config.refeed, config.lr) == (hidden, dropout, 1, 0.005)
        assert (config.orientation, config.optimizer, config.batch_size) == ("user", "momentum", 128)
        assert (config.activation, config.milestones, config.weight_decay) == ("selu", (24, 36, 48, 66, 72), 0)


def test_a_plugin_with_a_missing_library_can_be_imported_but_not_loaded(other_package):
    text = "from dataclasses import replace\nfrom cfbench.plugins.bias import PLUGIN\n"
    needs = "{'a_library_nobody_has': 'nobodys-library', 'no.such': 'cfbench-recsys[bayes]', 'numpy': 'numpy'}"
    other_package("needy", f"{text}PLUGIN = replace(PLUGIN, needs={needs})")
    plugin = registry.import_plugin("needy")
    assert registry.missing_libraries(plugin) == {
        "a_library_nobody_has": "nobodys-library",
        "no.such": "cfbench-recsys[bayes]",
    }
    with pytest.raises(PluginError) as fault:
        registry.load("needy")
    assert str(fault.value) == (
        "plugin 'needy' needs a_library_nobody_has and no.such, not installed here; "
        "install with: pip install nobodys-library 'cfbench-recsys[bayes]'"
    )
    assert "needy" not in registry.fold_in_plugins()


def test_a_plugin_whose_module_fails_names_the_error_and_the_package(other_package):
    other_package("falls_over", "raise RuntimeError('two\\nlines')")
    with pytest.raises(PluginError, match="'falls-over' cannot be imported: RuntimeError: two lines; it comes from"):
        registry.load("falls-over")


def test_a_module_that_cannot_be_parsed_has_no_summary(other_package):
    other_package("unparsed", '"""A model."""\ndef')
    assert registry.locate("unparsed").summary == ""


def test_a_name_that_is_not_a_word_of_the_command_line_is_refused(other_package, monkeypatch):
    monkeypatch.setattr(
        registry, "locations", lambda: {"../X": registry.PluginLocation("../X", "x", package="their 1.0")}
    )
    with pytest.raises(PluginError, match=r"their 1\.0 names a plugin '\.\./X'; a name consists of a-z, 0-9 and -"):
        registry.load("../X")


def test_of_two_packages_with_one_name_the_first_is_used_and_the_other_is_reported(other_package, monkeypatch):
    other_package("theirs", "from cfbench.plugins.bias import PLUGIN")
    points = [EntryPoint(name, module, registry.ENTRY_POINTS) for name, module in
              [("mine", "b_pack.model"), ("mine", "a_pack.model"), ("bias", "c_pack.model")]]  # fmt: skip
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    registry.locations.cache_clear()
    assert registry.locate("mine").module == "a_pack.model"
    assert registry.locate("mine").shadowed == ("b_pack",)
    assert registry.locate("bias").shadowed == ("c_pack",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = ", "Invalid value"),
        ("lr = 1", "'lr' is not a table; write it under"),
        ("\xff", "codec can't"),
    ],
)
def test_an_error_in_a_presets_file_names_the_file(other_package, tmp_path, text, message):
    other_package("preset_less", "from cfbench.plugins.bias import PLUGIN")
    (tmp_path / "preset_less.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(PluginError, match=f"presets of plugin 'preset-less', .*preset_less.toml: .*{message}"):
        registry.presets("preset-less")


def test_a_wrong_value_in_a_preset_is_reported_as_the_presets():
    with pytest.raises(ConfigError) as fault:
        registry.make_config(DEEPAE, {"dropout": 2, "lr": -1}, {"lr": "0"})
    assert sorted(str(fault.value).splitlines()) == [
        "--lr: should be greater than 0, got '0'",
        "dropout in the preset: should be less than 1, got 2",
    ]


def test_plugins_that_fold_in_new_users_are_found_by_building_their_models():
    assert "bias" in registry.fold_in_plugins()
