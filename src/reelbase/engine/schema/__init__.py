"""The objects and the identity that a file has, and that it should have."""
