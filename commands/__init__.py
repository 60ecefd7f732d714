"""What the command line does; `__main__` only chooses."""
