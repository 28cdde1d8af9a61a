"""What several reports share: rows with their statistics, conditions, the table as data, plot style, files."""
