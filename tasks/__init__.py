"""What a node does: inputs to requests, results to outputs. One file a topic."""
