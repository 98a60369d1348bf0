-- Archives of the audit trail: the same as ../0008_archive.sql, which is for SQLite.

CREATE TABLE audit_archives (
    archive_no  BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      TEXT   NOT NULL UNIQUE CHECK (LENGTH(digest) = 64),
    before_day  TEXT   NOT NULL,
    archived_at BIGINT NOT NULL
);
CREATE TABLE audit_archived (
    chain   BIGINT NOT NULL,
    through BIGINT NOT NULL,
    head    BYTEA  NOT NULL CHECK (LENGTH(head) = 32),
    digest  TEXT   NOT NULL REFERENCES audit_archives (digest),
    PRIMARY KEY (chain, through)
);

CREATE TRIGGER archives_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_archives
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER archived_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_archived
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION end_at_a_record() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS
$$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_records r
                    WHERE (NEW.chain > 0 AND r.chain = NEW.chain AND r.seq = NEW.through
                                         AND r.hash = NEW.head)
                       OR (NEW.chain = 0 AND r.chain IS NULL AND r.record_id = NEW.through)) THEN
        RAISE EXCEPTION 'an archive ends at a record';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER archived_ends_at_a_record BEFORE INSERT ON audit_archived
    FOR EACH ROW EXECUTE FUNCTION end_at_a_record();

DROP TRIGGER audit_is_append_only ON audit_records;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR TRUNCATE ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_unless_archived() RETURNS TRIGGER LANGUAGE plpgsql
    SET search_path FROM CURRENT AS
$$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_archived a
                    WHERE a.chain = COALESCE(OLD.chain, 0)
                      AND a.through >= COALESCE(OLD.seq, OLD.record_id)) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_is_deleted_only_once_archived BEFORE DELETE ON audit_records
    FOR EACH ROW EXECUTE FUNCTION refuse_unless_archived();
DROP TRIGGER subjects_are_append_only ON audit_subjects;
CREATE TRIGGER subjects_are_append_only BEFORE UPDATE OR TRUNCATE ON audit_subjects
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_while_recorded() RETURNS TRIGGER LANGUAGE plpgsql
    SET search_path FROM CURRENT AS
$$ BEGIN
    IF EXISTS (SELECT 1 FROM audit_records r WHERE r.record_id = OLD.record_id) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER subjects_are_deleted_only_with_their_record BEFORE DELETE ON audit_subjects
    FOR EACH ROW EXECUTE FUNCTION refuse_while_recorded();
