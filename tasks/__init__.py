"""What happens later: Celery and the dispatcher. No Flask."""
