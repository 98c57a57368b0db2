"""Every error code of a provider has a reason, and so an owner."""

from __future__ import annotations

import pytest

from idp.doors.social_errors import read_error
from idp.reasons import REASONS


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("access_denied", "social_cancelled"),
        ("user_cancelled_login", "social_cancelled"),
        ("user_cancelled_authorize", "social_cancelled"),
        ("login_required", "social_login_required"),
        ("interaction_required", "social_login_required"),
        ("consent_required", "social_login_required"),
        ("account_selection_required", "social_login_required"),
        ("server_error", "social_unavailable"),
        ("temporarily_unavailable", "social_unavailable"),
        ("invalid_client", "social_misconfigured"),
        ("unauthorized_client", "social_misconfigured"),
        ("invalid_scope", "social_misconfigured"),
        ("redirect_uri_mismatch", "social_misconfigured"),
        ("application_suspended", "social_misconfigured"),
        ("", "social_error_unknown"),
        ("<script>", "social_error_unknown"),
        ("ACCESS_DENIED", "social_error_unknown"),
    ],
)
def test_every_error_has_a_reason(error: str, reason: str) -> None:
    assert read_error(error, "why") == reason
    assert reason in REASONS
