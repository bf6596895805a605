"""What people see: messages, tables, progress bars, pictures."""
