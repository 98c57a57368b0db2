"""The ways in. Each door is two functions, start and check, and ends in an Identity.

Serves /login/password. Knows nothing of tokens.
"""
