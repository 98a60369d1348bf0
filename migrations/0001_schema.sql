-- The schema, for SQLite. migrations/postgres/ holds the same for PostgreSQL.
-- Times (`*_at`) are milliseconds since 1970-01-01 UTC; days are YYYY-MM-DD; flags are 0 or 1.
-- Every key begins with the org, so that no statement can reach another org's rows by accident.

CREATE TABLE orgs (
    org        TEXT   NOT NULL PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who is paid. May exist without a user of the same name, and a user without an employee.
CREATE TABLE employees (
    org        TEXT   NOT NULL REFERENCES orgs (org),
    username   TEXT   NOT NULL,
    full_name  TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org, username)
) STRICT, WITHOUT ROWID;

-- Who signs in.
CREATE TABLE users (
    org           TEXT   NOT NULL REFERENCES orgs (org),
    username      TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,             -- PHC string, Argon2id
    demo          INTEGER NOT NULL DEFAULT 0 CHECK (demo IN (0, 1)),
    created_at    INTEGER NOT NULL,
    disabled_at   INTEGER,
    PRIMARY KEY (org, username)
) STRICT, WITHOUT ROWID;

-- This user may do this over this reach, until the end of a day or until ended.
CREATE TABLE grants (
    org        TEXT   NOT NULL,
    grant_id   TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    permission TEXT   NOT NULL CHECK (permission IN ('read', 'write', 'manage', 'audit')),
    reach_kind TEXT   NOT NULL CHECK (reach_kind IN ('own', 'user', 'team', 'org')),
    reach_name TEXT,                           -- of the user or the team; NULL for own and org
    last_day   TEXT,                           -- the last day on which it holds; NULL for no end
    reason     TEXT   NOT NULL,
    granted_by TEXT   NOT NULL,
    granted_at INTEGER NOT NULL,
    ended_by   TEXT,
    ended_at   INTEGER,
    PRIMARY KEY (org, grant_id),
    FOREIGN KEY (org, username) REFERENCES users (org, username),
    CHECK ((reach_name IS NOT NULL) = (reach_kind IN ('user', 'team'))),
    CHECK ((ended_by IS NULL) = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_of_user ON grants (org, username, permission);

-- Every token belongs to one of these; the token's `jti` is the session's id.
CREATE TABLE sessions (
    org        TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    username   TEXT   NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at   INTEGER,
    PRIMARY KEY (org, session_id),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_user ON sessions (org, username);

-- What somebody is paid from a day on. A correction is a further revision of the same day.
CREATE TABLE rates (
    org            TEXT   NOT NULL,
    username       TEXT   NOT NULL,
    effective_from TEXT   NOT NULL,
    revision       INTEGER NOT NULL CHECK (revision > 0),
    amount_minor   INTEGER NOT NULL,            -- in the currency's smallest unit
    currency       TEXT   NOT NULL CHECK (length(currency) = 3),
    note           TEXT   NOT NULL,
    recorded_by    TEXT   NOT NULL,
    recorded_at    INTEGER NOT NULL,
    PRIMARY KEY (org, username, effective_from, revision),
    FOREIGN KEY (org, username) REFERENCES employees (org, username)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER rates_are_never_changed BEFORE UPDATE ON rates
BEGIN SELECT RAISE(ABORT, 'a rate is never changed: record a further revision'); END;
CREATE TRIGGER rates_are_never_deleted BEFORE DELETE ON rates
BEGIN SELECT RAISE(ABORT, 'a rate is never deleted: record a further revision'); END;

-- INSERT OR REPLACE would delete without asking the trigger before.
CREATE TRIGGER rates_are_never_replaced BEFORE INSERT ON rates
WHEN EXISTS (SELECT 1 FROM rates r WHERE r.org = NEW.org AND r.username = NEW.username
             AND r.effective_from = NEW.effective_from AND r.revision = NEW.revision)
BEGIN SELECT RAISE(ABORT, 'a rate is never replaced: record a further revision'); END;

-- Who did or saw what. Never an amount, a password or a token.
CREATE TABLE audit (
    record_id  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    org        TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    session_id TEXT,                           -- NULL: the operator's command line
    action     TEXT    NOT NULL,
    permission TEXT,                           -- used for a read
    grants     TEXT,                           -- JSON array of grant ids that gave that permission
    subjects   TEXT    NOT NULL,               -- JSON array of the user names whose rows these were
    client     TEXT    NOT NULL,               -- address, or 'local' for the command line
    request_id TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_of_org ON audit (org, record_id);

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit a WHERE a.record_id = NEW.record_id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
