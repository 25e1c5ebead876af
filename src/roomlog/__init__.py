"""roomlog: a self-hosted room server for local-first, real-time applications."""

__version__ = "0.1.0.dev0"
