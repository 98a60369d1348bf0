-- Archives of the audit trail: docs/decisions/0017-proof-and-archive.md.

-- The files to which old records have gone.
CREATE TABLE audit_archives (
    archive_no  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest      TEXT    NOT NULL UNIQUE CHECK (LENGTH(digest) = 64),  -- SHA-256 of what is signed
    before_day  TEXT    NOT NULL,
    archived_at INTEGER NOT NULL
) STRICT;
-- Up to which record of each chain. Chain 0 are the records from before there were chains, and their
-- place is their number.
CREATE TABLE audit_archived (
    chain   INTEGER NOT NULL,
    through INTEGER NOT NULL,
    head    BLOB    NOT NULL CHECK (LENGTH(head) = 32),
    digest  TEXT    NOT NULL REFERENCES audit_archives (digest),
    PRIMARY KEY (chain, through)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER archives_are_never_changed BEFORE UPDATE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER archives_are_never_deleted BEFORE DELETE ON audit_archives
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER archives_are_never_replaced BEFORE INSERT ON audit_archives
WHEN EXISTS (SELECT 1 FROM audit_archives a
              WHERE a.archive_no = NEW.archive_no OR a.digest = NEW.digest)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER archived_is_never_changed BEFORE UPDATE ON audit_archived
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER archived_is_never_deleted BEFORE DELETE ON audit_archived
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
-- It ends at a record that is there, so that it can be said once and only of what is not gone yet.
CREATE TRIGGER archived_ends_at_a_record BEFORE INSERT ON audit_archived
WHEN NOT EXISTS (SELECT 1 FROM audit_records r
                  WHERE (NEW.chain > 0 AND r.chain = NEW.chain AND r.seq = NEW.through
                                       AND r.hash = NEW.head)
                     OR (NEW.chain = 0 AND r.chain IS NULL AND r.record_id = NEW.through))
BEGIN SELECT RAISE(ABORT, 'an archive ends at a record'); END;

-- Whoever says which archive holds a record may remove it; the tables above keep that they did.
DROP TRIGGER audit_is_never_deleted;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit_records
WHEN NOT EXISTS (SELECT 1 FROM audit_archived a
                  WHERE a.chain = COALESCE(OLD.chain, 0)
                    AND a.through >= COALESCE(OLD.seq, OLD.record_id))
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
DROP TRIGGER subjects_are_never_deleted;
CREATE TRIGGER subjects_are_never_deleted BEFORE DELETE ON audit_subjects
WHEN EXISTS (SELECT 1 FROM audit_records r WHERE r.record_id = OLD.record_id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
