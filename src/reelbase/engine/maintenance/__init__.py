"""What is done with a file as a whole: opening, upgrade, check."""
