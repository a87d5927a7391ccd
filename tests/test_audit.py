"""`make audit`: vulnerabilities are named, and packages that could not be looked up never count as safe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAFE = {"name": "numpy", "version": "2.0", "vulns": []}
UNSAFE = {"name": "torch", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1", "3.0"]}]}
UNKNOWN = {"name": "scipy", "skip_reason": "not found"}


@pytest.fixture
def audit(tmp_path):
    """A function that audits with a pip-audit that writes the given report, or fails as it does without a network."""

    def run(packages, *, pip_status=0):
        for module in ("pip", "pip_audit"):
            (tmp_path / module).mkdir()
            (tmp_path / module / "__init__.py").touch()
        (tmp_path / "pip" / "__main__.py").write_text(f"raise SystemExit({pip_status})", encoding="utf-8")
        report = "" if packages is None else json.dumps({"dependencies": packages})
        (tmp_path / "pip_audit" / "__main__.py").write_text(
            "import sys\nfrom pathlib import Path\n"
            f"Path(sys.argv[sys.argv.index('--output') + 1]).write_text({report!r})\n"
            "sys.exit('ERROR: connection refused')\n",
            encoding="utf-8",
        )
        return subprocess.run(
            [ROOT / ".ci" / "audit", sys.executable], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize(
    ("packages", "status", "output"),
    [
        ([SAFE], 0, "audited 1 of 1 packages, known vulnerabilities: 0\n"),
        ([SAFE, UNSAFE], 1, "torch 2.0: CVE-1, fixed in 2.1, 3.0\naudited 2 of 2 packages, known vulnerabilities: 1\n"),
        ([SAFE, UNKNOWN], 2, "not audited, since pip-audit's data has none of these versions: scipy; try again"),
        (None, 2, "not audited: pip-audit could not reach its data (ERROR: connection refused); try again"),
    ],
)
def test_the_report_decides(packages, status, output, audit):
    result = audit(packages)
    assert result.returncode == status
    assert output in result.stdout
    assert result.stderr == ""


def test_without_pip_audit_nothing_is_audited(audit):
    result = audit([SAFE], pip_status=1)
    assert result.returncode == 2
    assert "not audited: pip-audit cannot be installed" in result.stdout
