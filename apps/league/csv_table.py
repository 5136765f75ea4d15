"""Reading one CSV file with a header into rows that know their place."""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.league.complaints import Complaint

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LARGEST_NUMBER = 9999
"""No score or number of goals is larger."""


class BadRowError(Exception):
    """Why a row is refused."""


@dataclass(frozen=True)
class Row:
    """The values of one row by column, and the line on which it begins."""

    line: int
    values: dict[str, str]
    defect: str | None = None
    """Why no value of it can be relied on."""

    def text(self, column: str) -> str:
        """Return a value that is there and that PostgreSQL can hold."""
        if self.defect is not None:
            raise BadRowError(self.defect)
        value = self.values[column]
        if not value:
            raise BadRowError(f"{column} is empty")
        if "\0" in value:
            raise BadRowError(f"{column} contains a NUL character")
        return value

    def number(self, column: str) -> int:
        """Return a whole number, zero or above."""
        value = self.text(column)
        if not re.fullmatch(r"[0-9]+", value):
            raise BadRowError(f"{column} is {value!r}, not a whole number of at least 0")
        # The length first: Python refuses to convert thousands of digits.
        if len(value.lstrip("0")) > len(str(LARGEST_NUMBER)):
            raise BadRowError(f"{column} is larger than {LARGEST_NUMBER}")
        return int(value)

    def date(self, column: str) -> dt.date:
        """Return a date, written 2022-12-18."""
        value = self.text(column)
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            try:
                return dt.date.fromisoformat(value)
            except ValueError:
                pass
        raise BadRowError(f"{column} is {value!r}, not a date like 2022-12-18")


class CsvTable:
    """One file and what is wrong with it: reading goes on after a bad row, to find the others."""

    def __init__(self, file: Path, columns: Sequence[str]) -> None:
        self.name = file.name
        self.complaints: list[Complaint] = []
        self.was_read = False
        """Whether `rows` came to the end of the file."""
        self._file = file
        self.columns = columns

    def complain(self, line: int | None, reason: str) -> None:
        """Note that a line, or the file as a whole, is bad."""
        self.complaints.append(Complaint(self.name, line, reason))

    def rows(self) -> Iterator[Row]:
        """Yield each row that is not empty."""
        text = self._text()
        if text is None:
            return
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not self._is_good(header):
                return
            yield from self._rows(reader, header)
        except csv.Error as error:
            self.complain(reader.line_num, f"not valid CSV: {error}")
            return
        self.was_read = True

    def _text(self) -> str | None:
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            self.complain(None, f"there is no such file in {self._file.parent}")
            return None
        except OSError as error:
            self.complain(None, f"cannot be read: {error.strerror}")
            return None
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.complain(1, "the file is UTF-16; save it as UTF-8")
            return None
        try:
            return data.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.complain(line, f"byte 0x{data[error.start]:02X} is not UTF-8; save the file as UTF-8")
            return None

    def _is_good(self, header: list[str]) -> bool:
        expected = ",".join(self.columns)
        if not any(header):
            self.complain(1, f"there is no header; it should be {expected}")
            return False
        before = len(self.complaints)
        for name in self.columns:
            if name not in header:
                self.complain(1, f"column {name} is missing; the header should be {expected}")
        for name, times in Counter(header).items():
            if name not in self.columns:
                self.complain(1, f"unknown column {name!r}; the header should be {expected}")
            elif times > 1:
                self.complain(1, f"column {name} is there {times} times")
        return len(self.complaints) == before

    def _rows(self, reader: Reader, header: list[str]) -> Iterator[Row]:
        line = reader.line_num + 1
        for values in reader:
            if values:
                defect = None
                if len(values) != len(header):
                    defect = f"{len(values)} values for {len(header)} columns"
                stripped = (value.strip() for value in values)
                yield Row(line, dict(zip(header, stripped, strict=False)), defect)
            line = reader.line_num + 1
