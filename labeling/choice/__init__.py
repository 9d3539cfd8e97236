"""What is worth a person's minute: which items are given to labelers, and why."""
