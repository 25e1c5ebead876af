"""Replicated data types: map, counter, list and text."""
