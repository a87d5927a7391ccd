"""The tree of errors, its exit codes, and suggestions for unknown names."""

import importlib
import pkgutil

import pytest

import cfbench
from cfbench import errors
from cfbench.errors import CfbenchError, UnknownNameError, UsageError


def documented_tree():
    """The tree in the module's docstring, as (name, name of its parent)."""
    branch, tree = [], []
    for line in errors.__doc__.splitlines():
        words = line.lstrip(" │├└─").split()
        if words and words[0].endswith("Error") and words[0].isidentifier():
            depth = (line.index(words[0]) - 4) // 4
            branch[depth:] = [words[0]]
            tree.append((words[0], branch[depth - 1] if depth else "Exception"))
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    classes = [kind for kind in classes if not issubclass(kind, Warning)]
    assert documented_tree() == [(kind.__name__, kind.__base__.__name__) for kind in classes]
    assert all(kind.__doc__ for kind in classes)


def test_no_other_module_defines_errors_of_the_tree():
    for module in pkgutil.walk_packages(cfbench.__path__, "cfbench."):
        importlib.import_module(module.name)
    queue, classes = [CfbenchError], set()
    while queue:
        kind = queue.pop()
        queue += kind.__subclasses__()
        classes.add(kind)
    modules = {kind.__module__ for kind in classes}
    assert {module for module in modules if module.partition(".")[0] in {"cfbench", "plugins"}} == {"cfbench.errors"}


def test_usage_errors_exit_with_2_and_all_others_with_1():
    for name, _ in documented_tree():
        kind = getattr(errors, name)
        assert kind.exit_code == (2 if issubclass(kind, UsageError) else 1)


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("deepea", ["bias", "deepae"], "did you mean 'deepae'?"),
        ("BIAS", ["bias", "deepae"], "did you mean 'bias'?"),
        ("heat", ["HEAT (1995)"], "did you mean 'HEAT (1995)'?"),
        ("Toy Story", ["Toy Story (1995)", "Story of Us, The (1999)"], "did you mean 'Toy Story (1995)'?"),
        ("quux", ["deepae", "bias"], "there are: bias, deepae"),
        ("", ["deepae", "bias"], "there are: bias, deepae"),
        ("quux", [], "there are none yet"),
        ("quux", iter(["one"]), "there are: one"),
    ],
)
def test_an_unknown_name_gets_the_most_similar_name_or_all_names(name, known, hint):
    assert str(UnknownNameError("thing", name, known)) == f"no thing {name!r}; {hint}"


def test_a_number_gets_no_suggestion():
    message = str(UnknownNameError("user", "944", map(str, range(1, 944))))
    assert message == "no user '944'; there are: 1, 10, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, …"


def test_advice_comes_last_and_a_name_with_a_line_break_stays_on_one_line():
    message = str(UnknownNameError("plugin", "dee\npae", ["deepae"], advice="see `cfbench plugins`"))
    assert message == "no plugin 'dee\\npae'; did you mean 'deepae'?; see `cfbench plugins`"
