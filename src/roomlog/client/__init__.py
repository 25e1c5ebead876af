"""The Python SDK: live documents, offline writes, reconnecting."""
