"""What is done with a file that no Database has open."""
