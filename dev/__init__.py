"""What developers use and users never get."""
