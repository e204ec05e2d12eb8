"""What is served: one file a view, one line here."""

from __future__ import annotations

from fromnoise.studio.routes import (
    compare,
    data,
    microscope,
    new,
    page,
    painting,
    playground,
    report,
    run,
    runs,
    tools,
    trash,
)

ROUTES = [
    *page.ROUTES,
    *runs.ROUTES,
    *compare.ROUTES,
    *new.ROUTES,
    *run.ROUTES,
    *playground.ROUTES,
    *painting.ROUTES,
    *microscope.ROUTES,
    *data.ROUTES,
    *report.ROUTES,
    *tools.ROUTES,
    *trash.ROUTES,
]
