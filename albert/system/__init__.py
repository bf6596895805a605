"""The machine and its user: command lines, files, processes, devices, memory, errors."""
