"""Local: installs the product on one machine and runs it there, servers included."""
