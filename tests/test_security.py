"""What docs/security.md says that cfbench never does, checked in the syntax of every module."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted([*ROOT.glob("cfbench/**/*.py"), *ROOT.glob("plugins/*.py")])
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "pl.read_pickle"}
STARTERS = {
    "cfbench/cli/board/launcher.py",
    "cfbench/data/fetch.py",
    "cfbench/runs/time_limit.py",
    "cfbench/testing/declaration.py",
    "cfbench/tuning/workers.py",
}
"""The modules that start another Python."""


def uses(path):
    """The modules that a module imports, the functions that it calls, and the arguments that it names."""
    imported, calls, arguments = set(), set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call):
            calls.add(ast.unparse(node.func))
            arguments |= {keyword.arg for keyword in node.keywords}
    return imported, calls, arguments


def test_no_module_unpickles_or_evaluates_or_starts_a_shell():
    assert len(MODULES) > 150
    starters = set()
    for path in MODULES:
        name = str(path.relative_to(ROOT))
        imported, calls, arguments = uses(path)
        assert not imported & FORBIDDEN_MODULES, name
        assert not calls & FORBIDDEN_CALLS, name
        assert not arguments & {"shell", "allow_pickle"}, name
        starters |= {name} if "subprocess" in imported else set()
    assert starters == STARTERS
