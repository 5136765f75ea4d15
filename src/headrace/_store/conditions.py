"""What a filter means in SQL: each term a condition on a row, whose values are parameters.

Nothing of a filter's text is ever part of a statement: keys choose among the fragments below, values and the parts of
paths are sent beside it. Tables are called j in all statements; unfinished jobs (headrace.job) lack some of what
finished ones have (headrace.job_history), and a term that asks for it does not hold of them.

Text is compared by code points (collation "C"), whatever the database's own: the same filter finds the same jobs
everywhere. `~` takes no notice of the case of ASCII letters, and of no others, for the same reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from headrace._filter import values as read
from headrace._filter.keys import COMPARISONS, CONTAINS, IS, Kind
from headrace._store.sql import for_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from headrace._filter.terms import Term, Value
    from headrace._filter.values import Span
    from headrace.filter import Filter

_OPEN: dict[str, LiteralString] = {
    "state": "j.state",
    "task": "j.task",
    "queue": "j.queue",
    "tag": "j.tags",
    "tenant": "j.tenant",
    "correlation": "j.correlation_id",
    "unique": "j.unique_key",
    "id": "j.id",
    "workflow": "j.workflow_id",
    "worker": "nullif(j.worker_id, 0)",
    "attempts": "j.attempts",
    "priority": "j.priority",
    "created": "j.created_at",
    "age": "j.created_at",
    "run": "j.run_at",
    "started": "nullif(j.claimed_at, '-infinity')",
    "args": "coalesce(j.args, headrace.find_args(j.id, j.created_at))",
    "meta": "j.metadata",
}
_FINISHED: dict[str, LiteralString] = _OPEN | {
    "run": "coalesce(j.run_at, j.created_at)",
    "finished": "j.finished_at",
    "took": "j.finished_at - nullif(j.claimed_at, '-infinity')",
    "result": "j.result",
    "error": "j.error",
    "failure": "headrace.failure_of(j.error, j.task)",
}
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

Fragment = sql.Composable


class Conditions:
    """Makes the conditions of one statement.

    Args:
        schema: The schema's name.
        now: What time it is, for ages and the like.

    Attributes:
        parameters: What has to be sent with them.
        opaque: Whether statistics know nothing of some of them: of what is within JSON, and of parts of texts.
    """

    def __init__(self, schema: str, now: datetime) -> None:
        self._schema = schema
        self._now = now
        self.parameters: dict[str, Any] = {}
        self.opaque = False

    def of(self, wanted: Filter, tenant: str | None, *, finished: bool) -> Fragment:
        """That a row of the history, or of the unfinished jobs, matches, and is the tenant's if there is one."""
        columns = _FINISHED if finished else _OPEN
        self.opaque = any(
            term.operator == CONTAINS or term.of.kind in (Kind.JSON, Kind.ERROR, Kind.FAILURE) or term.key == "tag"
            for term in wanted.terms
        )
        conditions = [self._term(term, columns) for term in wanted.terms]
        if tenant is not None:
            conditions.insert(0, _sql("j.tenant = {}::text", self._given(tenant)))
        return sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true")

    def _given(self, value: Any) -> Fragment:
        name = f"given{len(self.parameters)}"
        self.parameters[name] = value
        return sql.Placeholder(name)

    def _term(self, term: Term, columns: dict[str, LiteralString]) -> Fragment:
        if term.key not in columns:
            holds: Fragment = sql.SQL("false")
        else:
            holds = self._holds(term, self._column(columns[term.key]))
        return _sql("(({}) is not true)" if term.negated else "({})", holds)

    def _column(self, column: LiteralString) -> Fragment:
        return sql.SQL(for_schema(column, self._schema))

    def _holds(self, term: Term, column: Fragment) -> Fragment:  # noqa: PLR0911 - a table of kinds
        kind = Kind.JSON if term.path else term.of.kind
        match kind:
            case Kind.STATE:
                states = [read.read_state(value.text).value for value in term.values]
                return _sql("{} = any({}::{}.job_state[])", column, self._given(states), sql.Identifier(self._schema))
            case Kind.ID:
                return self._is_id(term, column)
            case Kind.FAILURE:
                return _sql("{} = any({}::text[])", column, self._given([value.text for value in term.values]))
            case Kind.NUMBER:
                return self._compared(term, column, read.number_span, read.read_number, "bigint")
            case Kind.DURATION if term.key == "age":
                return self._is_aged(term, column)
            case Kind.DURATION:
                return self._compared(term, column, read.duration_span, read.read_duration, "interval")
            case Kind.MOMENT:
                return self._is_at(term, column)
            case Kind.JSON:
                return self._is_json(term, self._inside(column, term.path))
            case Kind.ERROR:
                return self._is_error(term, column)
            case _ if term.key == "tag":
                return _sql(
                    "exists (select from unnest({}) as t (tag) where {})", column, self._is_text(term, sql.SQL("t.tag"))
                )
            case _:
                return self._is_text(term, column)

    # -- kinds --

    def _is_text(self, term: Term, column: Fragment) -> Fragment:
        if term.operator == CONTAINS:
            return self._contains(term.values, column)
        patterns = [value for value in term.values if term.operator == IS and value.is_pattern]
        texts = [value.text for value in term.values if value not in patterns]
        found: list[Fragment] = []
        if len(texts) == 1:
            found.append(_sql("{} = {}::text", column, self._given(texts[0])))
        elif texts:
            found.append(_sql("{} = any({}::text[])", column, self._given(texts)))
        if patterns:
            found.append(
                _sql("{} like any({}::text[])", column, self._given([_pattern(value.text) for value in patterns]))
            )
        return _any(found)

    def _contains(self, values: Iterable[Value], text: Fragment) -> Fragment:
        return _any(
            _sql('strpos(lower(({}) collate "C"), {}::text) > 0', text, self._given(value.text.translate(_ASCII_LOWER)))
            for value in values
        )

    def _is_id(self, term: Term, column: Fragment) -> Fragment:
        ids = self._given([str(read.read_id(value.text)) for value in term.values])
        return _sql("{} = any({}::uuid[])", column, ids)

    def _compared(
        self,
        term: Term,
        column: Fragment,
        span: Callable[[str], Span[Any]],
        one: Callable[[str], Any],
        kind: LiteralString,
    ) -> Fragment:
        if term.operator in COMPARISONS:
            return self._compare(column, term.operator, one(term.values[0].text), kind)
        return _any(self._within(column, span(value.text), kind) for value in term.values)

    def _compare(self, column: Fragment, operator: str, value: Any, kind: LiteralString) -> Fragment:
        return _sql("{} " + _operator(operator) + " {}::" + kind, column, self._given(value))

    def _within(self, column: Fragment, span: Span[Any], kind: LiteralString) -> Fragment:
        ends = [(">=", span.start), ("<=" if span.closed else "<", span.end)]
        return sql.SQL(" and ").join(
            self._compare(column, operator, end, kind) for operator, end in ends if end is not None
        )

    def _is_at(self, term: Term, column: Fragment) -> Fragment:
        if term.operator not in COMPARISONS:
            return _any(
                self._within(column, read.moment_span(value.text, self._now), "timestamptz") for value in term.values
            )
        moment = read.read_moment(term.values[0].text, self._now)
        # A day is all of its moments: after it is from its end on, up to it is before its end.
        operator, end = {
            ">": (">" if moment.closed else ">=", moment.end),
            ">=": (">=", moment.start),
            "<": ("<", moment.start),
            "<=": ("<=" if moment.closed else "<", moment.end),
        }[term.operator]
        return self._compare(column, operator, end, "timestamptz")

    def _is_aged(self, term: Term, created_at: Fragment) -> Fragment:
        if term.operator in COMPARISONS:
            operator = term.operator.translate(str.maketrans("<>", "><"))
            return self._compare(
                created_at, operator, self._now - read.read_duration(term.values[0].text), "timestamptz"
            )
        return _any(self._is_aged_within(read.duration_span(value.text), created_at) for value in term.values)

    def _is_aged_within(self, ages: Span[Any], created_at: Fragment) -> Fragment:
        ends = [("<=", ages.start), (">=", ages.end)]
        return sql.SQL(" and ").join(
            self._compare(created_at, operator, self._now - age, "timestamptz")
            for operator, age in ends
            if age is not None
        )

    # -- JSON --

    def _inside(self, column: Fragment, path: Sequence[str]) -> Fragment:
        return _sql("({} #> {}::text[])", column, self._given(list(path)))

    def _is_json(self, term: Term, value: Fragment) -> Fragment:
        # Objects and lists have no text: there may be something secret in them.
        text = _sql(
            "case when jsonb_typeof({}) in ('string', 'number', 'boolean') then {} #>> '{{}}' end", value, value
        )
        if term.operator == CONTAINS:
            return self._contains(term.values, text)
        if term.operator in COMPARISONS:
            return self._compare_json(value, text, term.operator, term.values[0])
        return _any(self._equals_json(value, text, term.operator, each) for each in term.values)

    def _equals_json(self, value: Fragment, text: Fragment, operator: str, given: Value) -> Fragment:
        if given.quoted:
            return _sql("{} = to_jsonb({}::text)", value, self._given(given.text))
        if operator == IS and not given.quoted and given.text == "*":
            return _sql("jsonb_typeof({}) <> 'null'", value)
        if operator == IS and given.is_pattern:
            return _sql("({}) like {}::text", text, self._given(_pattern(given.text)))
        if (number := read.json_number(given.text)) is None:
            return _sql("({}) = {}::text", text, self._given(given.text))
        return _sql(
            "case jsonb_typeof({}) when 'number' then {}::numeric = {}::numeric else ({}) = {}::text end",
            value, value, self._given(number), text, self._given(given.text),
        )  # fmt: skip

    def _compare_json(self, value: Fragment, text: Fragment, operator: str, given: Value) -> Fragment:
        number = None if given.quoted else read.json_number(given.text)
        if number is not None:
            compared = self._compare(_sql("{}::numeric", value), operator, number, "numeric")
            return _sql("case when jsonb_typeof({}) = 'number' then {} end", value, compared)
        compared = self._compare(_sql('({}) collate "C"', text), operator, given.text, "text")
        return _sql("case when jsonb_typeof({}) = 'string' then {} end", value, compared)

    def _is_error(self, term: Term, error: Fragment) -> Fragment:
        if term.operator != CONTAINS:
            return self._is_text(term, _sql("({} ->> 'type')", error))
        said = _sql("concat_ws(': ', {} ->> 'type', {} ->> 'message')", error, error)
        return _sql("{} is not null and ({})", error, self._contains(term.values, said))


def _sql(text: LiteralString, *parts: Fragment) -> sql.Composed:
    return sql.SQL(text).format(*parts)


def _any(conditions: Iterable[Fragment]) -> Fragment:
    return sql.SQL(" or ").join(_sql("({})", condition) for condition in conditions)


def _operator(operator: str) -> LiteralString:
    """One of ours, as a literal of ours."""
    return {">": ">", ">=": ">=", "<": "<", "<=": "<="}[operator]


def _pattern(text: str) -> str:
    """A text with asterisks, for LIKE."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")
