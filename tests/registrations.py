"""The relying parties of the tests: one of each kind, in the format of clients.yaml."""

from __future__ import annotations

from idp.client_record import hash_secret
from tests import canaries

SECRET = canaries.register("c1-secret-not-to-be-found-in-any-log-0001", "client secret")
SECRET_2 = canaries.register("c2-secret-not-to-be-found-in-any-log-0002", "client secret")
ODD_SECRET = canaries.register("odd + %:&ü secret, not to be found in a log", "client secret")

REFERENCES = {"C2_SECRET": SECRET_2, "ODD_SECRET": ODD_SECRET}

CLIENTS = f"""
clients:
  C1:  # confidential, first party
    name: Rendezvous One
    type: web
    redirect_uris: [https://rp1.example/cb, "https://rp1.example/cb?bar=foo", https://rp1.example/other]
    post_logout_redirect_uris: [https://rp1.example/bye]
    backchannel_logout_uri: https://rp1.example/backchannel
    secrets:
      - hash: {hash_secret(SECRET)}
    scopes: [openid, profile, email, address, phone, company, seat, offline_access]
    pkce: optional
    logo_uri: https://rp1.example/logo.png
    policy_uri: https://rp1.example/policy
    tos_uri: https://rp1.example/tos
  C2:  # confidential, third party, pairwise
    name: Rendezvous Two
    type: web
    first_party: false
    subject_type: pairwise
    redirect_uris: [https://rp2.example/cb]
    client_uri: https://rp2.example/
    initiate_login_uri: https://rp2.example/login?from=elsewhere
    post_logout_redirect_uris: [https://rp2.example/bye]
    secrets: ["${{C2_SECRET}}"]
    scopes: [openid, profile, email, offline_access]
  P1:  # public, single page
    name: Public One
    type: spa
    redirect_uris: [https://spa.example/cb]
    post_logout_redirect_uris: [https://spa.example/]
    scopes: [openid, email, offline_access]
  N1:  # native
    name: Native One
    type: native
    redirect_uris: [com.example.app:/cb, http://127.0.0.1/cb]
  ES:  # ES256, signed userinfo, all scopes
    name: Elliptic
    type: web
    redirect_uris: [https://es.example/cb]
    id_token_signed_response_alg: ES256
    userinfo_signed_response_alg: ES256
    secrets: ["${{ODD_SECRET}}"]
  OFF:
    name: Switched off
    type: web
    enabled: false
    redirect_uris: [https://off.example/cb]
    secrets: ["${{C2_SECRET}}"]
"""
