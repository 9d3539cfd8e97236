"""Requests that wait at the same time, computed together by one thread."""
