"""Benchmarks: what a request and a job cost, measured on the whole product.

``make bench`` or ``python -m benchmarks [--quick] [--only NAME]``;
`docs/reference/benchmarks.md` says how to read the table.
"""
