"""A search that cannot reach a plugin's own default or preset is unfair to it."""

import pytest

from cfbench.runs import registry
from cfbench.tuning.space import declared_space

CONFIGS = [
    (plugin, preset) for plugin in registry.names() for preset in ("defaults", *registry.presets(plugin))
]  # fmt: skip


@pytest.mark.parametrize(("name", "preset"), CONFIGS)
def test_each_number_of_a_default_or_preset_lies_in_the_range_that_is_searched(name, preset):
    plugin = registry.import_plugin(name)
    values = {} if preset == "defaults" else registry.presets(name)[preset]
    config = plugin.config.model_validate(values)
    outside = {}
    for key, dimension in declared_space(plugin).items():
        value, span = getattr(config, key), dimension.range
        if span.choices:  # the search adds the start's value to the choices
            continue
        inside = span.low <= value <= span.high or (span.log and value == 0)  # 0 is "off": no log scale holds it
        if not inside:
            outside[key] = f"{value} is not in {span}"
    assert not outside
