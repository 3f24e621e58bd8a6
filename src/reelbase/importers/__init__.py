"""Import: databases of other applications become databases of this schema. See README.md."""
