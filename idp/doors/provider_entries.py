"""``providers.yaml``: at which social providers we are registered, checked strictly and read at start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from idp.clients import Problem
from idp.config import Network
from idp.doors.providers import PROVIDERS, Provider, Registered
from idp.errors import OperatorError


@dataclass(frozen=True)
class ProvidersReading:
    """What the file says: providers by key in its order, and what is wrong, in the order of the lines."""

    providers: dict[str, Registered]
    problems: list[Problem]

    @property
    def errors(self) -> list[Problem]:
        """The problems because of which the file cannot be taken; the others only leave their provider out."""
        return [problem for problem in self.problems if not problem.warning]

    def take(self) -> dict[str, Registered]:
        """The providers, when the file can be taken.

        :raises OperatorError: with every error of the file.
        """
        if self.errors:
            raise OperatorError("\n".join(map(str, self.errors)))
        return self.providers


def read_providers(
    path: Path,
    references: Mapping[str, str],
    *,
    loopback: bool,
    allowed: Sequence[Network] = (),
    known: Mapping[str, Provider] = PROVIDERS,
) -> ProvidersReading:
    """Read and check the file.

    :param references: where ``${NAME}`` is looked up.
    :param loopback: whether our own issuer is on loopback, which alone permits http and loopback addresses.
    :param allowed: private networks that may be reached.
    :param known: the providers of which an entry needs to say nothing but who we are there.
    """
    raise NotImplementedError
