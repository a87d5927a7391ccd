"""What people see: tables, pages, predictions, numbers and curves."""
