"""Changing the taxonomy: label schema and training data, and the command that migrates everything else with them."""
