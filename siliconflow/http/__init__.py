"""Connections, bodies, downloads, forms, server-sent events and addresses."""
