"""A sixth dialect: this folder and one row of the table are all that it takes."""

from __future__ import annotations

from gridloom_gateway.app import Row
from integration.gateway.toy import routes

ROW = Row(routes.dialect, ("/toy/v1", "/games/toy/v1"), ("/v1", ""))
