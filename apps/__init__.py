"""Complete systems built on headrace; they use only its public names."""
