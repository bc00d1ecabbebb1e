"""What is live: Redis. Losing it loses no fact, so nothing that is true may import this room; every key expires."""
