"""Undo of own edits, as ordinary edits: everybody converges, and nobody else's work is lost."""
