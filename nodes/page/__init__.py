"""What the page may ask the pack for: plain functions, each a topic a module."""
