"""HTTP without the API: connections, bodies, downloads, server-sent events, addresses."""
