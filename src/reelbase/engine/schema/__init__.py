"""Which objects and which identity a file has, and should have."""
