-- The audit trail, chained: docs/decisions/0013-the-trail.md says how, byte by byte.

-- The versions under which an answer that is kept in memory holds: `version` rises with every change
-- of what an answer about pay shows, whoever makes it. Apart from `orgs`, so that it is the last row
-- that any change locks.
CREATE TABLE pay_versions (
    org     TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO pay_versions (org) SELECT org FROM orgs;
CREATE TRIGGER orgs_have_a_pay_version AFTER INSERT ON orgs
BEGIN INSERT INTO pay_versions (org) SELECT NEW.org WHERE NOT EXISTS (SELECT 1 FROM pay_versions v WHERE v.org = NEW.org); END;
CREATE TRIGGER rates_raise_the_pay_version AFTER INSERT ON rates
BEGIN UPDATE pay_versions SET version = version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER employees_raise_the_pay_version AFTER INSERT ON employees
BEGIN UPDATE pay_versions SET version = version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER employees_who_go_raise_the_pay_version AFTER DELETE ON employees
BEGIN UPDATE pay_versions SET version = version + 1 WHERE org = OLD.org; END;
CREATE TRIGGER employees_who_change_raise_the_pay_version AFTER UPDATE ON employees
WHEN (OLD.org, OLD.username, OLD.full_name, OLD.team) IS NOT (NEW.org, NEW.username, NEW.full_name, NEW.team)
BEGIN UPDATE pay_versions SET version = version + 1 WHERE org IN (OLD.org, NEW.org); END;

-- Each record stands in one chain; `length` and `head` are those of its last record. Reads and
-- changes have chains of their own, so that neither waits for the other's.
CREATE TABLE audit_chains (
    chain  INTEGER NOT NULL PRIMARY KEY,
    kind   TEXT    NOT NULL CHECK (kind IN ('reads', 'changes')),
    length INTEGER NOT NULL DEFAULT 0,
    head   BLOB    NOT NULL DEFAULT (zeroblob(32)) CHECK (LENGTH(head) = 32)
) STRICT;
INSERT INTO audit_chains (chain, kind) VALUES (1, 'changes'), (2, 'reads');

-- A chain that nobody else is at. On PostgreSQL there may be many, or none; here there is one.
CREATE VIEW chain_for_changes AS
    SELECT chain, length, head FROM audit_chains WHERE kind = 'changes' ORDER BY chain LIMIT 1;
CREATE VIEW chain_for_reads AS
    SELECT chain, length, head FROM audit_chains WHERE kind = 'reads' ORDER BY chain LIMIT 1;

-- Records from before chains have none of these, and their subjects in `names`. Those of all others
-- are the sets whose numbers `sets` holds, as a JSON array.
ALTER TABLE audit RENAME TO audit_records;
ALTER TABLE audit_records RENAME COLUMN subjects TO names;
ALTER TABLE audit_records ADD COLUMN chain INTEGER;
ALTER TABLE audit_records ADD COLUMN seq INTEGER;
ALTER TABLE audit_records ADD COLUMN hash BLOB;
ALTER TABLE audit_records ADD COLUMN sets TEXT NOT NULL DEFAULT '[]';
ALTER TABLE audit_records ADD COLUMN token TEXT;                        -- the name of a script's session
ALTER TABLE audit_records ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';

-- A set of people, under the hash of who they are: whoever sees the same people again needs a number.
CREATE TABLE audit_sets (
    set_no INTEGER NOT NULL PRIMARY KEY,
    org    TEXT    NOT NULL,
    hash   BLOB    NOT NULL UNIQUE CHECK (LENGTH(hash) = 32),
    names  TEXT    NOT NULL                     -- JSON array of user names, sorted
) STRICT;
-- In which sets somebody is.
CREATE TABLE audit_set_members (
    org      TEXT    NOT NULL,
    username TEXT    NOT NULL,
    set_no   INTEGER NOT NULL REFERENCES audit_sets (set_no),
    PRIMARY KEY (org, username, set_no)
) STRICT, WITHOUT ROWID;
-- In which records a set is.
CREATE TABLE audit_subjects (
    set_no    INTEGER NOT NULL REFERENCES audit_sets (set_no),
    record_id INTEGER NOT NULL,
    PRIMARY KEY (set_no, record_id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER sets_have_members AFTER INSERT ON audit_sets
BEGIN
    INSERT INTO audit_set_members (org, username, set_no)
    SELECT NEW.org, j.value, NEW.set_no FROM json_each(NEW.names) j;
END;

-- A record is the next one of its chain.
CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit_records
WHEN NEW.hash IS NULL OR LENGTH(NEW.hash) <> 32 OR NEW.names <> ''
  OR NEW.seq IS NOT (SELECT c.length + 1 FROM audit_chains c WHERE c.chain = NEW.chain)
BEGIN SELECT RAISE(ABORT, 'a record is the next one of its chain'); END;
CREATE TRIGGER audit_moves_the_head AFTER INSERT ON audit_records
BEGIN
    UPDATE audit_chains SET length = NEW.seq, head = NEW.hash WHERE chain = NEW.chain;
    INSERT INTO audit_subjects (set_no, record_id)
    SELECT CAST(j.value AS INTEGER), NEW.record_id FROM json_each(NEW.sets) j;
END;

CREATE TRIGGER chains_only_grow BEFORE UPDATE ON audit_chains
WHEN NEW.chain <> OLD.chain OR NEW.kind <> OLD.kind
  OR NOT (NEW.length = OLD.length + 1 OR (NEW.length = OLD.length AND NEW.head = OLD.head))
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER chains_are_never_deleted BEFORE DELETE ON audit_chains
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER chains_begin_empty BEFORE INSERT ON audit_chains
WHEN NEW.length <> 0 OR NEW.head <> zeroblob(32)
  OR EXISTS (SELECT 1 FROM audit_chains c WHERE c.chain = NEW.chain)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER sets_are_never_changed BEFORE UPDATE ON audit_sets
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER sets_are_never_deleted BEFORE DELETE ON audit_sets
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER sets_are_never_replaced BEFORE INSERT ON audit_sets
WHEN EXISTS (SELECT 1 FROM audit_sets s WHERE s.set_no = NEW.set_no OR s.hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER members_are_never_changed BEFORE UPDATE ON audit_set_members
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER members_are_never_deleted BEFORE DELETE ON audit_set_members
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER subjects_are_never_changed BEFORE UPDATE ON audit_subjects
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER subjects_are_never_deleted BEFORE DELETE ON audit_subjects
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- The trail as it is read: each record with the names of the people whom it is about. Written so that
-- an older `sqlite3` understands it too: it reads no database with a view that it does not.
CREATE VIEW audit AS
    SELECT r.record_id, r.at, r.org, r.actor, r.session_id, r.token, r.action, r.permission, r.grants,
           CASE WHEN r.chain IS NULL THEN r.names
                ELSE '[' || COALESCE((SELECT group_concat(part, ',') FROM (
                                          SELECT SUBSTR(s.names, 2, LENGTH(s.names) - 2) AS part
                                            FROM json_each(r.sets) j
                                            JOIN audit_sets s ON s.set_no = CAST(j.value AS INTEGER)
                                           ORDER BY j.key)), '')
                     || ']' END AS subjects,
           r.detail, r.outcome, r.client, r.request_id, r.chain, r.seq, r.hash
      FROM audit_records r;
