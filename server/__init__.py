"""What the page may ask: routes, origin check, responses."""
