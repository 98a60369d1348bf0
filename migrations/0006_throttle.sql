-- Failed sign-ins, so that guessing passwords becomes slow, on every node and across restarts.

-- One row for each counter that has counted a failure and not yet forgotten it. A counter stands for an
-- account, a network, or an account at a network, whether or not there is such an account. It is a keyed
-- hash, since people type passwords where their name belongs.
CREATE TABLE attempts (
    counter   TEXT    NOT NULL PRIMARY KEY,
    failed_at INTEGER NOT NULL,                -- the last failure
    faded_at  INTEGER NOT NULL                 -- when all of them are forgotten: each adds a while
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_by_end ON attempts (faded_at);

-- Where a user has signed in. There, failures from elsewhere do not count against them.
CREATE TABLE known_networks (
    org          TEXT    NOT NULL,
    username     TEXT    NOT NULL,
    network      TEXT    NOT NULL,             -- an IPv4 address, an IPv6 /64, or 'local'
    signed_in_at INTEGER NOT NULL,
    PRIMARY KEY (org, username, network),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
) STRICT, WITHOUT ROWID;
