"""VIEW: what people see: tables, numbers, curves."""
