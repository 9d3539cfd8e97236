"""What the correction loop is worth and how fast it is, measured with a real Label Studio."""
