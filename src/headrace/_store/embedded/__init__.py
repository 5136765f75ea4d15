"""A real PostgreSQL that headrace starts for you, shared by every process that asks for it.

Everything of one server lives in its data directory (``HEADRACE_DATA``, else ``./.headrace``)::

    start.lock     held by whoever is starting, joining or leaving; short, except in recovery
    users.lock     held (shared) by every process that is using the server
    passwords      of both roles, in libpq's PGPASSFILE format, mode 0600
    postgres-18/   the cluster; the major version is in the name
    socket/        the private directory of the unix socket, mode 0700; or a link to one under
                   the system's temporary directory, when the path does not suit a socket
    server.log     what PostgreSQL says; bounded (the older half is server.log.1)
    location       only for root, see below: where all but the locks really is

**Who may start and stop.** To join, a process takes ``start.lock``, takes ``users.lock`` shared,
and finds the running server or starts one. To leave, it takes ``start.lock`` and tries to make its
``users.lock`` exclusive: if it can, nobody else is left, and it stops the server and waits for it.
Both are ``flock`` locks, so the kernel releases them with the process, however it ends. A process
that was SIGKILLed as the last one leaves the server running; the next to join finds it, and the
last to leave stops it. A forked child lets go of the locks at once: it neither keeps its parent's
server alive nor stops it.

**What counts as running.** Never a bare pid. ``postmaster.pid`` survives a crash, and its number
may since belong to anybody. A process is our server only if it is called ``postgres`` and works in
our cluster's directory; no other process is ever signalled. It is usable once it accepts
connections on our socket and says that its system identifier and its directory are our cluster's.

**What can go wrong.** After a crash PostgreSQL replays its log before it accepts connections, for
as long as that takes: a server that answers "starting up" is waited for. A server process that ends
while it is waited for is reported with the end of its log. A cluster of another major version is
refused with the commands that upgrade it. Two processes that see the directory but not each other
(containers, over a shared volume) share the locks, but one that cannot see the server's process
refuses to guess.

**Root.** PostgreSQL does not run as root. Started by root it runs as the owner of the data
directory, or as ``nobody`` if that is root too. When that user cannot reach the data directory
(below ``/root``, say) or the programs, they are put below ``/var/lib/headrace``: permissions of
directories that are not ours are never changed.
"""

from headrace._store.embedded.programs import find_binaries
from headrace._store.embedded.server import EmbeddedServer
from headrace.errors import EmbeddedError

__all__ = ["EmbeddedError", "EmbeddedServer", "find_binaries"]
