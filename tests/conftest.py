"""How Hypothesis runs everywhere: what a loaded machine is slow at is not a fault of the code."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "roomlog", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("roomlog")
