"""What people and programs see over HTTP: the API and the dashboard, as one ASGI application.

``headrace serve MODULE:APP`` serves it; `web_app` makes it for mounting in an application of your own.
"""

from headrace.web.application import web_app

__all__ = ["web_app"]
