"""Stages: units of work that each leave one entry in the store; one module for each, `stage` first."""
