"""Who may act for which account: keys, proofs, and the delay for clients that fail repeatedly.

Open `authenticator.py` first: the one place where a proof is checked. How a proof travels (a Logon(A), a header, a
message) belongs to the doors; the text that a client signs is in `protocols.signing`.
"""
