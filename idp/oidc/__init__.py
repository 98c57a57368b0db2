"""The OpenID Connect protocol towards relying parties.

Serves /authorize /token /userinfo /introspect /revoke /logout /jwks /.well-known/*. pyop, oic and jwkest are imported
only here. Knows nothing of how a person proved who they are.
"""
