"""Results for readers: tables, Markdown, charts, and a static site.

Read in this order; the room imports base to results, and never cli.

table                   the model of a table, which terminal, Markdown and pages render
result_tables, leaderboard_tables   all tables, with their captions
markdown, regression_formats        documents for GitHub, and formats for CI
charts                  kinds of charts; study_figures and figures make the figures of a result from them
main_figure             one line per factor: on the first page, in the README and in papers
glossary                each word of the report, explained once
page_texts              training curves, sample texts and answers that pages show
pages, site             the pages as records, and the site with its templates
"""
