"""Who may act for which account: keys, proofs, and the hold on clients that fail again and again.

Open `authenticator.py` first: the one place where a proof is judged. How a proof travels (a Logon(A), a header, a
message) belongs to the doors; the text that a client signs is in `protocols.signing`.
"""
