"""Import of published weights: safe reading, one file per layout, fitting to our model, a report of what was done."""
