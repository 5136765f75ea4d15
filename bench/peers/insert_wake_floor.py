"""The bare INSERT of exactly the row that headrace writes: it wakes workers, so its triggers run at COMMIT."""

from __future__ import annotations

from bench.peers import insert_floor


class Queue(insert_floor.Queue):
    settings = "as insert_floor, but with `wake` set: headrace's triggers run, and notify"
    wake = True
