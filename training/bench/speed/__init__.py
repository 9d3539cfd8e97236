"""How fast texts are answered on one core, beside other libraries with the same weights and what the core can do."""
