"""Load on a server: sessions that make it, links that hinder it, scenarios that judge it."""
