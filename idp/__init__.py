"""A standalone OpenID Connect provider.

Folders are the places that a sign-in passes. Imports go only downwards: ``cli`` and ``admin``, then ``oidc`` and
``doors``, then ``login``, then ``accounts``, then the flat floor of this folder. docs/map.md is the way around.
"""

__version__ = "0.1.0"
