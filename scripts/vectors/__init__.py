"""Conformance vectors, one module a topic; `generate_vectors.py` writes them."""
