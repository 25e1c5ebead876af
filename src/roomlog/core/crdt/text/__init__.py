"""Merging of text: the Eg-walker algorithm over run-length history."""

from roomlog.core.crdt.text.document import TextDocument
from roomlog.core.crdt.text.edit import TextEdit, TextStats
from roomlog.core.crdt.text.rebase import rebase_edits

__all__ = ["TextDocument", "TextEdit", "TextStats", "rebase_edits"]
