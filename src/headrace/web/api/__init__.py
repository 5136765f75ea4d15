"""The HTTP API: one module for each noun."""

from fastapi import APIRouter

router = APIRouter()
