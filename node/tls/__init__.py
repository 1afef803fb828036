"""TLS for what a node listens on and dials: contexts of files, their renewal, who may come in, who is who."""
