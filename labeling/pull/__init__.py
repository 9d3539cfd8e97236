"""Taking in what labelers answered, and making corrections of it."""
