"""Memory: of tensors, of the process, predicted; traffic to and from memory."""
