"""Which FIX messages and fields there are, per version. Start at `messages`; `tables` parses it into `for_version`.

What a field means to Penstock does not belong here: see `protocols.fix.terms`.
"""
