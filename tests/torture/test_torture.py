"""Every step on the disk of every command fails once, and commands are killed at random moments: nothing is lost.

After each fault the message is one line, what is visible is whole, and the same command then ends in the same bits
without leftovers. docs/reliability.md explains what this promises.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the faults use what Linux offers"),
]
STEPS = int(os.environ.get("CFBENCH_TORTURE_STEPS", "40"))
"""At most so many steps of a command fail, one after the other."""
KILLS = int(os.environ.get("CFBENCH_TORTURE_KILLS", "100"))
"""So many kills of `run deepae`, and half as many of all other commands together."""
SOAK = float(os.environ.get("CFBENCH_TORTURE_SOAK", "120"))
"""So many seconds of random commands in several processes."""
SWEEP = 'datasets = ["tiny"]\n[[plugins]]\nname = "bias"\n[[plugins]]\nname = "mean"\n'
DEEPAE = "run deepae --dataset tiny --hidden 16 --epochs 8 --patience 0"
COMMANDS = {
    "import": "import a.csv --name mine --force",
    "import again": "import b.csv --name mine --force",
    "download": "download tiny --from-file tiny.zip",
    "download again": "download tiny --again --from-file tiny.zip",
    "split and publish": "run bias --dataset tiny --skip-finished",
    "run": DEEPAE,
    "tune": "tune bias --dataset tiny --trials 2",
    "sweep": "sweep s.toml",
    "export": "export split --dataset tiny --out out.csv",
    "import predictions": "import-predictions theirs.csv --plugin-name theirs --dataset tiny",
}
TINY = "download tiny --from-file tiny.zip"
PREPARED = {
    "import again": ["import a.csv --name mine"], "download": [], "import": [],
    "import predictions": [TINY, "run bias --dataset tiny", "export predictions last --out theirs.csv"],
}  # fmt: skip
"""What runs before a command; `download` before all others."""
OTHERS = [name for name in COMMANDS if name != "run"]


@pytest.fixture
def torture(empty_terminal, monkeypatch):
    """A function that prepares for a command and lets a script check what faults leave; returns its last number."""
    folder = empty_terminal.folder
    template = folder / "template"

    def prepare(name):
        template.mkdir()
        for part in ("cards", "tiny.zip"):
            (folder / part).rename(template / part)
        for file, rating in (("a.csv", 1), ("b.csv", 4)):
            (template / file).write_text("".join(f"u{k},i{k % 3},{(k + rating) % 5 + 1}\n" for k in range(9)))
        (template / "s.toml").write_text(SWEEP)
        monkeypatch.chdir(template)
        monkeypatch.setenv("CFBENCH_DATA", str(template / "home"))
        monkeypatch.setattr("cfbench.data.card.SHIPPED_FOLDER", template / "cards")
        for line in PREPARED.get(name, [TINY]):
            assert empty_terminal(line).status == 0

    def run(prepared, script, *arguments):
        prepare(prepared)
        environment = os.environ | {"CFBENCH_DATA": str(folder / "work" / "home"), "COLUMNS": "200"}
        command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
        finished = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=3000
        )
        assert finished.returncode == 0, finished.stderr[-3000:]
        *wrong, count = finished.stdout.strip().splitlines()
        assert not wrong, "\n".join([f"{script} {arguments}", *wrong])
        return int(count)

    return run


def repeat(torture, name, way, count):
    """Let a command fail so often in a way; return how often it did."""
    return torture(name, "driver.py", way, count, 0, COMMANDS[name])


FAULTS = [(name, way) for way in ("full", "size") for name in COMMANDS] + [("tune", "one"), ("sweep", "one")]
"""tests/runs/test_every_write.py and tests/data/test_kills.py let one step of the other commands fail."""


@pytest.mark.parametrize(("name", "way"), FAULTS)
def test_a_step_on_the_disk_that_fails_loses_nothing(torture, name, way):
    assert repeat(torture, name, way, STEPS) >= min(STEPS, 10)


def test_a_training_killed_at_a_random_moment_ends_in_the_same_bits(torture):
    assert repeat(torture, "run", "kill", KILLS) >= KILLS * 0.9


@pytest.mark.parametrize("name", OTHERS)
def test_a_command_killed_at_a_random_moment_loses_nothing(torture, name):
    kills = -(-KILLS // (2 * len(OTHERS)))
    assert repeat(torture, name, "kill", kills) >= kills * 0.9


def test_random_commands_of_several_processes_lose_nothing(torture):
    assert torture("soak", "soak.py", SOAK, 0) > SOAK / 12
