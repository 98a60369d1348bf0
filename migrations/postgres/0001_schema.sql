-- The schema, for PostgreSQL: the same tables as ../0001_schema.sql, which is for SQLite.
-- Times (`*_at`) are milliseconds since 1970-01-01 UTC; days are YYYY-MM-DD; flags are 0 or 1.
-- Every key begins with the org, so that no statement can reach another org's rows by accident.

CREATE TABLE orgs (
    org        TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);

-- Who is paid. May exist without a user of the same name, and a user without an employee.
CREATE TABLE employees (
    org        TEXT   NOT NULL REFERENCES orgs (org),
    username   TEXT COLLATE "C"   NOT NULL,
    full_name  TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org, username)
);

-- Who signs in.
CREATE TABLE users (
    org           TEXT   NOT NULL REFERENCES orgs (org),
    username      TEXT COLLATE "C"   NOT NULL,
    password_hash TEXT   NOT NULL,             -- PHC string, Argon2id
    demo          BIGINT NOT NULL DEFAULT 0 CHECK (demo IN (0, 1)),
    created_at    BIGINT NOT NULL,
    disabled_at   BIGINT,
    PRIMARY KEY (org, username)
);

-- This user may do this over this reach, until the end of a day or until ended.
CREATE TABLE grants (
    org        TEXT   NOT NULL,
    grant_id   TEXT   NOT NULL,
    username   TEXT COLLATE "C"   NOT NULL,
    permission TEXT   NOT NULL CHECK (permission IN ('read', 'write', 'manage', 'audit')),
    reach_kind TEXT   NOT NULL CHECK (reach_kind IN ('own', 'user', 'team', 'org')),
    reach_name TEXT,                           -- of the user or the team; NULL for own and org
    last_day   TEXT COLLATE "C",                           -- the last day on which it holds; NULL for no end
    reason     TEXT   NOT NULL,
    granted_by TEXT   NOT NULL,
    granted_at BIGINT NOT NULL,
    ended_by   TEXT,
    ended_at   BIGINT,
    PRIMARY KEY (org, grant_id),
    FOREIGN KEY (org, username) REFERENCES users (org, username),
    CHECK ((reach_name IS NOT NULL) = (reach_kind IN ('user', 'team'))),
    CHECK ((ended_by IS NULL) = (ended_at IS NULL))
);
CREATE INDEX grants_of_user ON grants (org, username, permission);

-- Every token belongs to one of these; the token's `jti` is the session's id.
CREATE TABLE sessions (
    org        TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    username   TEXT COLLATE "C"   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT,
    PRIMARY KEY (org, session_id),
    FOREIGN KEY (org, username) REFERENCES users (org, username)
);
CREATE INDEX sessions_of_user ON sessions (org, username);

-- What somebody is paid from a day on. A correction is a further revision of the same day.
CREATE TABLE rates (
    org            TEXT   NOT NULL,
    username       TEXT COLLATE "C"   NOT NULL,
    effective_from TEXT COLLATE "C"   NOT NULL,
    revision       BIGINT NOT NULL CHECK (revision > 0),
    amount_minor   BIGINT NOT NULL,            -- in the currency's smallest unit
    currency       TEXT   NOT NULL CHECK (length(currency) = 3),
    note           TEXT   NOT NULL,
    recorded_by    TEXT   NOT NULL,
    recorded_at    BIGINT NOT NULL,
    PRIMARY KEY (org, username, effective_from, revision),
    FOREIGN KEY (org, username) REFERENCES employees (org, username)
);

-- Who did or saw what. Never an amount, a password or a token.
CREATE TABLE audit (
    record_id  BIGINT  NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         BIGINT  NOT NULL,
    org        TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    session_id TEXT,                           -- NULL: the operator's command line
    action     TEXT    NOT NULL,
    permission TEXT,                           -- used for a read
    grants     TEXT,                           -- JSON array of grant ids that gave that permission
    subjects   TEXT    NOT NULL,               -- JSON array of the user names whose rows these were
    client     TEXT    NOT NULL,               -- address, or 'local' for the command line
    request_id TEXT    NOT NULL
);
CREATE INDEX audit_of_org ON audit (org, record_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP; END $$;

CREATE TRIGGER rates_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rates
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
