"""Knobs: the rows of `models.settings.Settings`, by what they are about.

Each names its own environment variable, how its text is read, and what it means.
"""
