"""The options that commands share."""

from cfbench.cli import options
from cfbench.data import split_definitions


def test_the_default_split_of_commands_is_that_of_the_data_room():
    assert options.DEFAULT_SPLIT == split_definitions.DEFAULT_SPLIT
