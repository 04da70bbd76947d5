"""Sources of texts: one module for each kind of `plan.settings.SOURCES`, with stages and a `SOURCE`; `kind` first."""
