-- Records are appended quicker.

-- Whether there are the sets that records name is looked up once for each statement. The foreign key asked for
-- each row, and locked the set each time, which wrote to its page. Nobody needs that lock: a set is never
-- changed or removed, its triggers refuse it.
ALTER TABLE audit_subjects DROP CONSTRAINT audit_subjects_set_no_fkey;
CREATE FUNCTION refuse_unknown_sets() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS
$$ BEGIN
    -- A look-up by number, and not a join, so that it never reads all sets.
    IF EXISTS (SELECT 1 FROM (SELECT DISTINCT a.set_no FROM added a) n
                WHERE (SELECT s.set_no FROM audit_sets s WHERE s.set_no = n.set_no) IS NULL) THEN
        RAISE EXCEPTION 'a record names sets that are there'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER subjects_are_of_sets AFTER INSERT ON audit_subjects
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_sets();

-- SQLite's function of this name: the elements of a JSON array, each taken apart already. (Those for JSONB
-- before it stay for nodes that still run the version before this.)
CREATE FUNCTION jsonb_each(document TEXT) RETURNS TABLE (key BIGINT, value JSONB)
    LANGUAGE SQL IMMUTABLE AS
$$ SELECT n - 1, element
     FROM jsonb_array_elements(document::jsonb) WITH ORDINALITY AS e (element, n) $$;
