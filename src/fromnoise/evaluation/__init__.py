"""How good samples are: what is measured, how, beside which reference rows, and how it is reported."""
