"""How `headrace doctor` looks and judges."""
