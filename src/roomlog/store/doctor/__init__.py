"""Looking at a damaged store, and making a whole one of what is left of it."""
