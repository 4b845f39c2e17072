"""Celery entry points of the render and caption workers."""
