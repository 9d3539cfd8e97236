"""A Label Studio project and what is known of it, as a part of a migration of the taxonomy."""
