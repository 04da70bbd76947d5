"""Sources of texts: one module for each kind, with its stages and what a run does about it; `kind` first.

A module is named after its kind, as `source.kind` in the settings, and calls its `SourceKind` `SOURCE`. To add a kind,
add a module and an entry in `plan.settings.SOURCES`.
"""
