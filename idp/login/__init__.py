"""What happens between an authorization request and an open session.

Serves /login and /consent. Knows no protocol: neither OAuth parameters beyond what a pending login holds, nor how
a door proves a person.
"""
