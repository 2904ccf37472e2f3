"""What is known and what is decided: pure models without I/O, clocks or frameworks."""
