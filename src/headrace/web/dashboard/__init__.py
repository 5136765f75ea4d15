"""The dashboard: pages that work without JavaScript, and live with it."""

from fastapi import APIRouter

router = APIRouter()
