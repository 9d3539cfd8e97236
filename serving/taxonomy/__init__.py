"""Store, routing rules and cases, as parts of a migration of the taxonomy."""
