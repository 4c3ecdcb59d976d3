"""OpenSSF Model Signing (OMS) 1.0: the industry's bundle, and the files that it names.

A bundle holds an envelope (DSSE), which holds a statement (in-toto), which lists the files. Bytes
in, values out, and back; who is trusted, and what lies on disk, is judged elsewhere.
"""
