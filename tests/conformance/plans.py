"""The certification plans of the OpenID Foundation's conformance suite (5.2.4) that we are measured by, and the modules that
clients registered by hand run in them. A module ``oidcc-prompt-login`` has its test in ``test_oidcc_prompt_login``.

Beside each module stands what the suite says of a provider that does all it demands: PASSED; REVIEW where a person looks at
a screenshot of our page; SKIPPED where discovery says that we do not offer what is tried.
"""

from __future__ import annotations

BASIC = {
    "oidcc-server": "PASSED",
    "oidcc-server-client-secret-post": "PASSED",
    "oidcc-response-type-missing": "PASSED",
    "oidcc-userinfo-get": "PASSED",
    "oidcc-userinfo-post-header": "PASSED",
    "oidcc-userinfo-post-body": "PASSED",
    "oidcc-ensure-request-without-nonce-succeeds-for-code-flow": "PASSED",
    "oidcc-scope-profile": "PASSED",
    "oidcc-scope-email": "PASSED",
    "oidcc-scope-address": "PASSED",
    "oidcc-scope-phone": "PASSED",
    "oidcc-scope-all": "PASSED",
    "oidcc-alternate-happy-flow": "PASSED",
    "oidcc-display-page": "PASSED",
    "oidcc-display-popup": "PASSED",
    "oidcc-prompt-login": "REVIEW",
    "oidcc-prompt-none-not-logged-in": "PASSED",
    "oidcc-prompt-none-logged-in": "PASSED",
    "oidcc-max-age-1": "REVIEW",
    "oidcc-max-age-10000": "PASSED",
    "oidcc-ensure-request-with-unknown-parameter-succeeds": "PASSED",
    "oidcc-id-token-hint": "PASSED",
    "oidcc-login-hint": "PASSED",
    "oidcc-ui-locales": "PASSED",
    "oidcc-claims-locales": "PASSED",
    "oidcc-ensure-request-with-acr-values-succeeds": "PASSED",
    "oidcc-codereuse": "PASSED",
    "oidcc-codereuse-30seconds": "PASSED",
    "oidcc-ensure-registered-redirect-uri": "REVIEW",
    "oidcc-ensure-post-request-succeeds": "PASSED",
    "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": "SKIPPED",
    "oidcc-ensure-request-object-with-redirect-uri": "SKIPPED",
    "oidcc-claims-essential": "PASSED",
    "oidcc-refresh-token": "PASSED",
    "oidcc-ensure-request-with-valid-pkce-succeeds": "PASSED",
}
CONFIG = {"oidcc-discovery-endpoint-verification": "PASSED"}
RP_INITIATED_LOGOUT = {
    "oidcc-rp-initiated-logout-discovery-endpoint-verification": "PASSED",
    "oidcc-rp-initiated-logout": "PASSED",
    "oidcc-rp-initiated-logout-no-state": "PASSED",
    "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri": "REVIEW",
    "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": "REVIEW",
    "oidcc-rp-initiated-logout-modified-id-token-hint": "REVIEW",
    "oidcc-rp-initiated-logout-bad-id-token-hint": "REVIEW",
    "oidcc-rp-initiated-logout-no-id-token-hint": "REVIEW",
    "oidcc-rp-initiated-logout-no-params": "REVIEW",
    "oidcc-rp-initiated-logout-only-state": "REVIEW",
    "oidcc-rp-initiated-logout-no-post-logout-redirect-uri": "REVIEW",
}
BACKCHANNEL_LOGOUT = {
    "oidcc-backchannel-logout-discovery-endpoint-verification": "PASSED",
    "oidcc-backchannel-rp-initiated-logout": "PASSED",
}

# Plan → the file of its tests, the modules, and how many the suite counts for clients registered by hand.
PLANS = {
    "oidcc-basic-certification-test-plan": ("test_basic_plan.py", BASIC, 35),
    "oidcc-formpost-basic-certification-test-plan": ("test_basic_plan.py", BASIC, 35),
    "oidcc-config-certification-test-plan": (
        "test_config_plan.py",
        CONFIG,
        1,
    ),
    "oidcc-rp-initiated-logout-certification-test-plan": (
        "test_rp_initiated_logout_plan.py",
        RP_INITIATED_LOGOUT,
        11,
    ),
    "oidcc-backchannel-rp-initiated-logout-certification-test-plan": (
        "test_backchannel_logout_plan.py",
        BACKCHANNEL_LOGOUT,
        2,
    ),
}
