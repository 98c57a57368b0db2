"""What is known of a person and lasts: identity, passwords, sessions, links, the mailed links.

Serves /me and the mailed links. Knows nothing of relying parties' requests, of doors or of tokens.
"""
