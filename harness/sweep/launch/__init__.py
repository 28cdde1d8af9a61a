"""Types and checks the `launch:` block of a sweep file and the resources of each trial."""
