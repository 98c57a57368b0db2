"""The certification plans of the OpenID Foundation's conformance suite (5.2.4) that we are measured by, and the modules that
clients registered by hand run in them. A module ``oidcc-prompt-login`` has its test in ``test_oidcc_prompt_login``."""

from __future__ import annotations

BASIC = (
    "oidcc-server",
    "oidcc-server-client-secret-post",
    "oidcc-response-type-missing",
    "oidcc-userinfo-get",
    "oidcc-userinfo-post-header",
    "oidcc-userinfo-post-body",
    "oidcc-ensure-request-without-nonce-succeeds-for-code-flow",
    "oidcc-scope-profile",
    "oidcc-scope-email",
    "oidcc-scope-address",
    "oidcc-scope-phone",
    "oidcc-scope-all",
    "oidcc-alternate-happy-flow",
    "oidcc-display-page",
    "oidcc-display-popup",
    "oidcc-prompt-login",
    "oidcc-prompt-none-not-logged-in",
    "oidcc-prompt-none-logged-in",
    "oidcc-max-age-1",
    "oidcc-max-age-10000",
    "oidcc-ensure-request-with-unknown-parameter-succeeds",
    "oidcc-id-token-hint",
    "oidcc-login-hint",
    "oidcc-ui-locales",
    "oidcc-claims-locales",
    "oidcc-ensure-request-with-acr-values-succeeds",
    "oidcc-codereuse",
    "oidcc-codereuse-30seconds",
    "oidcc-ensure-registered-redirect-uri",
    "oidcc-ensure-post-request-succeeds",
    "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported",
    "oidcc-ensure-request-object-with-redirect-uri",
    "oidcc-claims-essential",
    "oidcc-refresh-token",
    "oidcc-ensure-request-with-valid-pkce-succeeds",
)
RP_INITIATED_LOGOUT = (
    "oidcc-rp-initiated-logout-discovery-endpoint-verification",
    "oidcc-rp-initiated-logout",
    "oidcc-rp-initiated-logout-no-state",
    "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri",
    "oidcc-rp-initiated-logout-modified-id-token-hint",
    "oidcc-rp-initiated-logout-bad-id-token-hint",
    "oidcc-rp-initiated-logout-no-id-token-hint",
    "oidcc-rp-initiated-logout-no-params",
    "oidcc-rp-initiated-logout-only-state",
    "oidcc-rp-initiated-logout-no-post-logout-redirect-uri",
)
BACKCHANNEL_LOGOUT = (
    "oidcc-backchannel-logout-discovery-endpoint-verification",
    "oidcc-backchannel-rp-initiated-logout",
)

# Plan → the file of its tests, the modules, and how many the suite counts for clients registered by hand.
PLANS = {
    "oidcc-basic-certification-test-plan": ("test_basic_plan.py", BASIC, 35),
    "oidcc-formpost-basic-certification-test-plan": ("test_basic_plan.py", BASIC, 35),
    "oidcc-config-certification-test-plan": (
        "test_config_plan.py",
        ("oidcc-discovery-endpoint-verification",),
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
