"""Clients and servers that break the rules on purpose."""
