"""Sources of texts: a module for each kind in `plan.text_settings`, with stages and a `SOURCE`; `kind` first."""
