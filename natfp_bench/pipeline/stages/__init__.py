"""Stages: units of work that each leave one entry in the store; one module for each, `stage` first.

A stage is a frozen record. Its fields are all that its output depends on, and its key is their digest. To add a stage,
add a module with a subclass of `Stage`, and name it in `wanted.py`.
"""
