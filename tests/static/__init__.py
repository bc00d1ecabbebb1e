"""What lies in static/, without a browser."""
