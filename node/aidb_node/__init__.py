"""The servers of AiDb (primary, cache replica, router) and the embedded engine.

Python decides when a program starts and stops, and what it may call itself; the native module carries every
request.
"""
