"""Text that comes from outside: control characters made visible, lengths bounded, logs read and trimmed in parts."""
