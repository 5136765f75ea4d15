"""What people and programs see over HTTP: the API and the dashboard, as one ASGI application.

``headrace serve MODULE:APP`` serves it; `web_app` makes it for mounting in an application of your own, and
`serve_open_app` serves it from a program that does other things, too.
"""

from headrace.web.application import web_app
from headrace.web.serving import Serving, serve_open_app

__all__ = ["Serving", "serve_open_app", "web_app"]
