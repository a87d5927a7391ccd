"""The memory that is available, from invented files of the system and from a real limit of a process."""

import subprocess
import sys

import pytest

from cfbench.errors import MemoryLimitError
from cfbench.memory import available_memory, require_memory

resource = pytest.importorskip("resource", reason="the system has no limits of this kind")
unlimited = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    or resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY,
    reason="this process has a limit of its own",
)


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 8000 kB\n"}


@unlimited
def test_without_limits_the_free_memory_of_the_machine_is_available(tmp_path):
    assert available_memory(write(tmp_path, MEMINFO)) == 8000 * 1024


@unlimited
@pytest.mark.parametrize("cgroup", ["0::/", "0::/user/job", "0::/host/path/that/a/container/does/not/see"])
def test_a_container_of_version_2_is_limited_and_its_cached_files_are_free(tmp_path, cgroup):
    group = "sys/fs/cgroup" + ("/user/job" if "job" in cgroup else "")
    files = MEMINFO | {
        "proc/self/cgroup": f"{cgroup}\n", f"{group}/memory.max": "2000000\n", f"{group}/memory.current": "1500000\n",
        f"{group}/memory.stat": "anon 900000\ninactive_file 300000\nactive_file 200000\nslab_reclaimable 1000\n",
    }  # fmt: skip
    assert available_memory(write(tmp_path, files)) == 2_000_000 - 1_500_000 + 501_000


@unlimited
def test_the_tightest_group_around_a_process_counts(tmp_path):
    unlimited_group = {"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "5\n"}
    files = MEMINFO | unlimited_group | {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": "700\n", "sys/fs/cgroup/a/memory.high": "600\n",
        "sys/fs/cgroup/a/memory.current": "500\n",
        "sys/fs/cgroup/memory.max": "900\n", "sys/fs/cgroup/memory.current": "100\n",
    }  # fmt: skip
    assert available_memory(write(tmp_path, files)) == 100


@unlimited
def test_a_container_of_version_1_is_limited_and_its_cached_files_are_free(tmp_path):
    group = "sys/fs/cgroup/memory/docker/3f2a"
    files = MEMINFO | {
        "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/docker/3f2a\n0::/\n",
        f"{group}/memory.limit_in_bytes": "3000000\n", f"{group}/memory.usage_in_bytes": "2900000\n",
        f"{group}/memory.stat": "active_file 7\ntotal_inactive_file 40000\ntotal_active_file 2000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "4000000\n",
    }  # fmt: skip
    assert available_memory(write(tmp_path, files)) == 100_000 + 42_000


@unlimited
def test_a_group_that_uses_more_than_its_limit_leaves_nothing(tmp_path):
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "5\n", "sys/fs/cgroup/memory.current": "9\n"}
    assert available_memory(write(tmp_path, files)) == 0


@unlimited
def test_without_proc_the_memory_of_the_machine_counts_and_an_unknown_size_refuses_nothing(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__, raising=False)
    assert available_memory(tmp_path) == 4_096_000
    monkeypatch.delattr(os, "sysconf")  # Windows has no such call
    assert available_memory(tmp_path) is None
    monkeypatch.setattr("cfbench.memory.available_memory", lambda: None)
    require_memory(10**18, "a dream", "sleep")


LIMITED = """
import resource, sys
kind, left = getattr(resource, sys.argv[1]), 300_000_000
used = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("Vm")}
entry = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}[sys.argv[1]]
from cfbench.memory import available_memory
resource.setrlimit(kind, (used[entry] + left, resource.RLIM_INFINITY))
available = available_memory()
assert 0.9 * left < available <= left + 20_000_000, available
block = bytearray(int(0.8 * available))  # what is said to be available can be used
try:
    bytearray(int(1.2 * left))
except MemoryError:
    print("refused")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_is_what_it_can_use(kind):
    process = subprocess.run([sys.executable, "-c", LIMITED, kind], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "refused\n"


def test_too_much_memory_is_refused_with_what_is_needed_what_is_available_and_what_to_do(monkeypatch):
    monkeypatch.setattr("cfbench.memory.available_memory", lambda: 2_000_000_000)
    require_memory(2_000_000_000, "a matrix", "use fewer items")
    with pytest.raises(MemoryLimitError) as caught:
        require_memory(3_456_000_000, "a matrix", "use fewer items")
    assert str(caught.value) == (
        "a matrix needs about 3.5 GB of memory, and 2.0 GB are available here; use fewer items"
    )
