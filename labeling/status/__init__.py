"""How labelling stands, and how good the model is on what labelers said."""
