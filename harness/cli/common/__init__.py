"""What several verbs share: arguments, targets, tables."""
