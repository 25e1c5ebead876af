"""Plans made by hand that together produce everything there is."""
