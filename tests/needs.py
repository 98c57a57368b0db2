"""Programs that tests run and pip does not bring: a browser, PostgreSQL, web servers.

A test says ``@pytest.mark.needs("postgresql")``. Where the program is missing, the test is left out and the run ends with the
command that brings it; under ``CI=true`` nothing may be left out, so the run does not even begin.
``python tests/needs.py`` (part of ``make test``, standard library only) installs what is missing when it may: as root on Debian.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

# need → {what must be there: Debian packages that bring it}. What has a slash is a path with wildcards, else a program.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "chromium": {"chromium": ("chromium", "fonts-dejavu-core")},
    "postgresql": {"/usr/lib/postgresql/*/bin/postgres": ("postgresql",)},
    "redis": {"redis-server": ("redis-server",)},
    "apache": {
        "apache2": ("apache2",),
        "/usr/lib/apache2/modules/mod_auth_openidc.so": ("libapache2-mod-auth-openidc",),
    },
    "simplesamlphp": {
        "/usr/share/simplesamlphp/www/module.php": ("simplesamlphp",),
        "php": ("php-cli",),
        "/usr/lib/php/*/dom.so": ("php-xml",),
    },
    "nginx": {"nginx": ("nginx-light",)},
    "sqlite": {"sqlite3": ("sqlite3",)},
    "systemd": {"systemd-analyze": ("systemd",)},
    "wrk": {"wrk": ("wrk",)},
    "xmlsec1": {"xmlsec1": ("xmlsec1",)},
}
# Debian keeps servers where an ordinary user's PATH does not look.
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
POLICY = Path("/usr/sbin/policy-rc.d")


def program(name: str) -> str:
    """The path of a program that a need names, also where PATH does not look.

    :raises FileNotFoundError: when it is not installed.
    """
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise FileNotFoundError(name)
    return found


def packages_missing(need: str) -> list[str]:
    """Debian packages to install for one need; empty when it is met."""
    missing = []
    for thing, packages in NEEDS[need].items():
        there = glob.glob(thing) if "/" in thing else shutil.which(thing, path=SEARCH)
        if not there:
            missing += packages
    return missing


def all_missing() -> dict[str, list[str]]:
    """Every need that this machine does not meet, with the Debian packages that would."""
    return {need: packages for need in NEEDS if (packages := packages_missing(need))}


def advice(missing: dict[str, list[str]]) -> str:
    packages = " ".join(sorted({package for row in missing.values() for package in row}))
    return f"sudo apt-get install --no-install-recommends {packages}"


# --- hooks of pytest -------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    missing = all_missing()
    if missing and os.environ.get("CI") == "true":
        import pytest

        raise pytest.UsageError(f"CI=true: nothing may be left out, but this is missing: {advice(missing)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing = all_missing()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needs = {need for mark in item.iter_markers("needs") for need in mark.args}
        if unknown := needs - NEEDS.keys():
            raise ValueError(f"{item.nodeid}: tests/needs.py does not know {sorted(unknown)}")
        (left_out if needs & missing.keys() else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing := all_missing():
        terminalreporter.section("left out")
        terminalreporter.line(f"Tests that need {', '.join(missing)} did not run. To run them too:")
        terminalreporter.line(f"  {advice(missing)}")


# --- the command ---------------------------------------------------------------------------------------------------------


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Keep Debian from starting what it installs: tests start their own servers, on their own ports."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def main() -> int:
    missing = all_missing()
    if not missing:
        return 0
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(
            f"Without root on Debian, tests that need {', '.join(missing)} are left out. To run them too:\n  {advice(missing)}"
        )
        return 0
    packages = sorted({package for row in missing.values() for package in row})
    print(f"Installing for the tests: {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_service_starts():
        for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", *command], env=environment, stdin=subprocess.DEVNULL, check=False)
            if done.returncode:
                print(f"apt-get {command[0]} failed with {done.returncode}", file=sys.stderr)
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
