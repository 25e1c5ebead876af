"""Merging of text: the Eg-walker algorithm over run-length history."""

from roomlog.core.crdt.text.document import TextDocument
from roomlog.core.crdt.text.edit import TextEdit, TextStats

__all__ = ["TextDocument", "TextEdit", "TextStats"]
