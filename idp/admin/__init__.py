"""What administrators and operators see and try: dry runs of connections, and the page of a test trip.

Serves /login/company/try. Knows the doors and what products are told; reaches no signing key.
"""
