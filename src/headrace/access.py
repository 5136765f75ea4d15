"""Who may come in, over HTTP: users, API keys, sessions. `app.access`."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from headrace._access import passwords
from headrace._access.tokens import digest, matches, new_key, new_token, prefix_of
from headrace._store.acting import acting, current_actor, process_owner
from headrace._store.recording import ACTIONS, Action, Look, look_at_nothing
from headrace._store.sql import query
from headrace.audit import Audit
from headrace.errors import (
    ConfigurationError,
    SignInRefused,
    TooManyTries,
    UnknownKey,
    UnknownUser,
    did_you_mean,
)

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from headrace._store.database import Database

IDLE = timedelta(hours=12)
"""A session ends when nobody has used it for so long: somebody who works every day signs in once a day."""

ABSOLUTE = timedelta(days=7)
"""A session ends after so long, whatever is done with it: a stolen cookie is worth a week at most."""

LINK = timedelta(hours=1)
NOBODY = "(not signed in)"
MOST_NAME_CHARS = 100

TRIES_SPAN = timedelta(minutes=15)
TRIES_OF_NAME_AND_ADDRESS = 5
TRIES_OF_ADDRESS = 30
TRIES_OF_NAME = 50
"""In a quarter of an hour. A name from anywhere has a wider bound than one from one address, so that a stranger cannot
keep somebody out by trying their name, unless from many addresses."""


class Role(enum.IntEnum):
    """What a caller may do; each role may do what those before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @classmethod
    def named(cls, name: str) -> Role:
        """The role of this name.

        Raises:
            ConfigurationError: There is none.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            known = [role.name.lower() for role in cls]
            raise ConfigurationError(f'there is no role "{name}". {did_you_mean(name, known)}') from None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose key or session it is.

    Attributes:
        name: The user's, or the key's.
        role: What they may do.
        tenant: The only tenant whose jobs they may see and touch; None: all.
    """

    name: str
    role: Role
    tenant: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """An API key, without the key.

    Attributes:
        prefix: The part of it by which it is known.
        name: What whoever made it calls it.
        role: What it may do.
        tenant: The only tenant whose jobs it may see and touch; None: all.
        created_at: When it was made.
        created_by: By whom.
        expires_at: From when on it does not count; None: it does not expire.
        revoked_at: Since when it does not count.
        used_at: When it was last used, to the minute.
    """

    prefix: str
    name: str
    role: Role
    tenant: str | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """A user.

    Attributes:
        name: To sign in with; upper and lower case are the same.
        role: What they may do.
        tenant: The only tenant whose jobs they may see and touch; None: all.
        created_at: When they were added.
        created_by: By whom.
        signed_in_at: When they last signed in.
        has_password: Whether they have chosen one.
        sessions: In how many places they are signed in.
    """

    name: str
    role: Role
    tenant: str | None
    created_at: datetime
    created_by: str
    signed_in_at: datetime | None
    has_password: bool
    sessions: int


class Access:
    """Users, API keys and sessions of an app's database: ``app.access``.

    What is done here is recorded in the audit log, as are sign-ins, and those that were refused.
    """

    def __init__(self, database: Callable[[], Awaitable[Database]]) -> None:
        self._database = database

    # -- keys --

    async def create_key(
        self, name: str, *, role: Role, tenant: str | None = None, expires: timedelta | None = None
    ) -> str:
        """Make an API key, and give it: it is not kept, only what recognises it.

        Args:
            name: What it is for.
            role: What it may do.
            tenant: The only tenant whose jobs it may see and touch; None: all.
            expires: It does not count after so long; None: until it is revoked.

        Raises:
            ConfigurationError: A key of this name counts already, or an argument makes no sense.
        """
        _check_name("key", name)
        if expires is not None and expires <= timedelta(0):
            raise ConfigurationError(f'the key "{name}" would have expired already: expires={expires}')
        key, prefix = new_key()
        rows = await self._rows(
            "insert_key", prefix=prefix, name=name, digest=digest(key), role=role.name.lower(), tenant=tenant,
            by=_who(), lasts_s=None if expires is None else expires.total_seconds(),
        )  # fmt: skip
        if not rows:
            raise ConfigurationError(f'there is a key "{name}" already: revoke it, or choose another name')
        return key

    async def list_keys(self) -> Sequence[KeyInfo]:
        """All keys, the latest first; those that do not count any more, too."""
        records = await (await self._database()).records("list_keys")
        return [KeyInfo(**record | {"role": Role.named(record["role"])}) for record in records]

    async def revoke_key(self, name: str) -> None:
        """Let a key, by its name or prefix, count no more: from the next request on.

        Raises:
            UnknownKey: None of this name counts.
        """
        if not await self._rows("revoke_key", name=name):
            known = [key.name for key in await self.list_keys() if key.revoked_at is None]
            raise UnknownKey(f'no key "{name}" counts. {did_you_mean(name, known)}')

    async def check_key(self, key: str, *, now: datetime | None = None) -> Identity | None:
        """Whose key this is, if it counts.

        Args:
            key: The key.
            now: The time, for tests; None: the database's.
        """
        prefix = prefix_of(key)
        rows = await self._rows("find_key", prefix=prefix, now=now) if prefix else []
        kept, name, role, tenant, is_stale = rows[0] if rows else (None, "", "viewer", None, False)
        if not matches(key, kept):
            return None
        if is_stale:
            await self._rows("touch_key", prefix=prefix)
        return Identity(name, Role.named(role), tenant)

    # -- users --

    async def create_user(
        self, name: str, *, role: Role, tenant: str | None = None, password: str | None = None
    ) -> None:
        """Add somebody.

        Args:
            name: To sign in with.
            role: What they may do.
            tenant: The only tenant whose jobs they may see and touch; None: all.
            password: Theirs; without one they need a link of `invite` to choose one.

        Raises:
            ConfigurationError: There is a user of this name.
            InvalidPassword: The password is too short.
        """
        _check_name("user", name)
        kept = None if password is None else await passwords.hash_password(password)
        rows = await self._rows(
            "insert_user", name=name, password=kept, role=role.name.lower(), tenant=tenant, by=_who()
        )
        if not rows:
            raise ConfigurationError(f'there is a user "{name}" already')

    async def list_users(self) -> Sequence[UserInfo]:
        """All users, by name."""
        records = await (await self._database()).records("list_users")
        return [UserInfo(**record | {"role": Role.named(record["role"])}) for record in records]

    async def has_users(self) -> bool:
        """Whether there is anybody who could sign in."""
        return bool(await (await self._database()).value("has_users"))

    async def set_password(self, name: str, password: str) -> None:
        """Give somebody another password, and sign them out everywhere.

        Raises:
            UnknownUser: There is no user of this name.
            InvalidPassword: The password is too short.
        """
        kept = await passwords.hash_password(password)
        if not await self._rows("set_password", name=name, password=kept):
            raise await self._no_user(name)

    async def remove_user(self, name: str) -> None:
        """Remove somebody, and sign them out everywhere.

        Raises:
            UnknownUser: There is no user of this name.
        """
        if not await self._rows("delete_user", name=name):
            raise await self._no_user(name)

    async def invite(self, name: str | None = None) -> str:
        """Make a link's token, with which somebody chooses a password: once, within an hour.

        Args:
            name: Who; None: whoever opens it becomes the first administrator, as long as there is no user.

        Raises:
            UnknownUser: There is no user of this name.
            ConfigurationError: There are users, so no first one is wanted.
        """
        token = new_token()
        if await self._rows("insert_link", digest=digest(token), name=name, lasts_s=LINK.total_seconds()):
            return token
        if name is None:
            raise ConfigurationError("there are users already: invite one of them by name")
        raise await self._no_user(name)

    # -- signing in and out --

    async def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session, for a cookie.

        Args:
            name: Who says to be there.
            password: What they say to prove it.
            address: From where.

        Raises:
            SignInRefused: There is no such user, or it has another password.
            TooManyTries: There were too many tries under this name or from this address; this one was not looked at.
        """
        rows = await self._rows("find_user", name=name) if _is_name(name) else []
        user, kept = rows[0] if rows else (None, None)
        with acting(NOBODY, source="dashboard", address=address):
            await self._count_try(name, address, user)
            fits, better = await passwords.verify(password, kept)
            if user is None or not fits:
                # Not the name that nobody has: it may be a password in the wrong field.
                await self._record_refusal("wrong name or password", user)
                raise SignInRefused("name or password is wrong")
        with acting(user, source="dashboard", address=address):
            if better is not None:
                await self._rows("rehash_password", name=user, password=better, was=kept)
            token = await self._open_session(user, address)
            await self._rows("forget_tries", keys=_try_keys(name, address)[:1])
            return token

    async def find_invited(self, token: str, *, now: datetime | None = None) -> str | None:
        """The name of whoever a link is for, "" for the first administrator; None if it does not count.

        Args:
            token: The link's.
            now: The time, for tests; None: the database's.
        """
        if not token:
            return None
        name: str | None = await (await self._database()).value("find_link", digest=digest(token), now=now)
        return name

    async def accept_invitation(self, token: str, name: str, password: str, address: str) -> str:
        """Choose a password by a link, and sign in: the token of a new session.

        Args:
            token: The link's.
            name: The first administrator's; others have theirs.
            password: The new one.
            address: From where.

        Raises:
            SignInRefused: The link does not count (any more).
            InvalidPassword: The password is too short; the link still counts.
            ConfigurationError: That is no name; the link still counts.
        """
        invited = await self.find_invited(token)
        if invited is None:
            raise SignInRefused("this link does not count: it was used, or is too old. Ask for a new one")
        name = invited or name
        _check_name("user", name)
        kept = await passwords.hash_password(password)
        with acting(name, source="dashboard", address=address):
            rows = await self._rows("use_link", digest=digest(token), name=name, password=kept)
            if not rows:
                raise SignInRefused("this link does not count: it was used, or is too old. Ask for a new one")
            return await self._open_session(rows[0][0], address)

    async def check_session(self, token: str, *, now: datetime | None = None) -> Identity | None:
        """Who is signed in with this token, if anybody.

        Args:
            token: The cookie's.
            now: The time, for tests; None: the database's.
        """
        if not token:
            return None
        rows = await self._rows(
            "find_session", digest=digest(token), now=now, idle_s=IDLE.total_seconds(),
            absolute_s=ABSOLUTE.total_seconds(),
        )  # fmt: skip
        if not rows:
            return None
        name, role, tenant, is_stale = rows[0]
        if is_stale:
            await self._rows("touch_session", digest=digest(token))
        return Identity(name, Role.named(role), tenant)

    async def sign_out(self, token: str) -> None:
        """End a session."""
        if token:
            await self._rows("delete_session", digest=digest(token))

    async def sign_out_everywhere(self, name: str) -> None:
        """End all sessions of a user."""
        await self._rows("delete_sessions", name=name)

    # -- within --

    async def _rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await (await self._database()).rows(statement, **parameters)

    async def _open_session(self, user: str, address: str) -> str:
        token = new_token()
        if not await self._rows("insert_session", digest=digest(token), name=user, address=address):
            raise SignInRefused("name or password is wrong")  # removed in this moment
        return token

    async def _count_try(self, name: str, address: str, user: str | None) -> None:
        ((wait_s, is_first),) = await self._rows(
            "count_tries", keys=_try_keys(name, address), span_s=TRIES_SPAN.total_seconds(),
            bounds=[TRIES_OF_NAME_AND_ADDRESS, TRIES_OF_ADDRESS, TRIES_OF_NAME],
        )  # fmt: skip
        if wait_s > 0:
            if is_first:  # and not once more for each of a million tries
                await self._record_refusal("too many tries", user)
            minutes = max(1, round(wait_s / 60))
            raise TooManyTries(f"too many tries to sign in: try again in {minutes} minutes", wait_s)

    async def _record_refusal(self, why: str, user: str | None) -> None:
        await Audit(self._database).record("session.refused", "user", [user] if user else [], after={"why": why})

    async def _no_user(self, name: str) -> UnknownUser:
        known = [user.name for user in await self.list_users()]
        return UnknownUser(f'there is no user "{name}". {did_you_mean(name, known)}')


def _who() -> str:
    actor = current_actor()
    return actor.by if actor else process_owner()


def _is_name(name: str) -> bool:
    return bool(name) and len(name) <= MOST_NAME_CHARS and name.isprintable() and name == name.strip()


def _check_name(what: str, name: str) -> None:
    if not _is_name(name):
        raise ConfigurationError(
            f"a {what}'s name has 1 to {MOST_NAME_CHARS} characters that can be seen, and no space at its ends; "
            f'"{name[:40]}" is none'
        )


def _try_keys(name: str, address: str) -> list[str]:
    """Under what a try counts: name and address, address, name. Of one length, however long the name is."""
    network = _network(address)
    kinds = (("name and address", f"{name.lower()} {network}"), ("address", network), ("name", name.lower()))
    return [sha256(f"{kind}: {value}".encode("utf-8", "surrogatepass")).hexdigest() for kind, value in kinds]


def _network(address: str) -> str:
    """The address; of IPv6 the /64, of which one customer has all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


# -- what the audit log says --


async def _look_at_key(conn: AsyncConnection, schema: str, parameters: Any) -> Look:
    rows = await (await conn.execute(query("look_at_key", schema), {"name": parameters["name"]})).fetchall()
    return Look(rows[0][0] if rows else None)


async def _look_at_user(conn: AsyncConnection, schema: str, parameters: Any) -> Look:
    rows = await (await conn.execute(query("look_at_user", schema), {"name": parameters["name"]})).fetchall()
    return Look(rows[0][0] if rows else None)


def _named(parameters: Any, rows: Any) -> list[str]:
    return [str(rows[0][0] or parameters.get("name") or "")]


def _of_user(parameters: Any, _: Any) -> list[str]:
    return [parameters["name"]]


ACTIONS.update({
    "insert_key": Action("key.create", "key", _named, _look_at_key, setting=True),
    "revoke_key": Action("key.revoke", "key", _named, _look_at_key, setting=True),
    "insert_user": Action("user.create", "user", _named, _look_at_user, setting=True),
    "set_password": Action("user.password", "user", _named, _look_at_user, setting=True),
    "delete_user": Action("user.remove", "user", _named, _look_at_user, setting=True),
    "insert_link": Action("user.invite", "user", _named, look_at_nothing, setting=True, looks_again=False),
    "use_link": Action("user.accept_invitation", "user", _named, _look_at_user, setting=True),
    "insert_session": Action("session.sign_in", "user", _named, look_at_nothing, setting=True, looks_again=False),
    "delete_session": Action("session.sign_out", "user", _named, look_at_nothing, setting=True, looks_again=False),
    "delete_sessions": Action(
        "session.sign_out_everywhere", "user", _of_user, look_at_nothing,
        lambda _, rows, __: {"sessions": rows[0][0]}, setting=True, looks_again=False,
    ),
})  # fmt: skip
