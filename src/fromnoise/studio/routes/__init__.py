"""What is served: one file a view, one line here."""

from __future__ import annotations

from fromnoise.studio.routes import compare, page, playground, report, run, runs

ROUTES = [*page.ROUTES, *runs.ROUTES, *run.ROUTES, *report.ROUTES, *playground.ROUTES, *compare.ROUTES]
