"""Types and checks the `tune:` block of a sweep file; resolves its search space and the tuned plan."""
