"""The operators' idp command: one file per noun. Everything heavy is imported inside the commands, so that
``idp --help`` is instant.
"""
