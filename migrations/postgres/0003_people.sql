-- People, grants and pay as they are administered: the same as ../0003_people.sql, which is for
-- SQLite.

ALTER TABLE orgs ADD COLUMN access_version BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orgs ADD COLUMN exports BIGINT NOT NULL DEFAULT 0;

-- Text sorts by its bytes, as on SQLite, whatever the database's locale.
ALTER TABLE employees ALTER COLUMN full_name TYPE TEXT COLLATE "C";
ALTER TABLE grants ALTER COLUMN reach_name TYPE TEXT COLLATE "C";
ALTER TABLE employees ADD COLUMN team TEXT COLLATE "C";
ALTER TABLE employees ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
CREATE INDEX employees_of_team ON employees (org, team, username) WHERE team IS NOT NULL;

ALTER TABLE audit ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';

-- The elements of a JSON array of texts with their positions, as SQLite's function of this name gives
-- them, so that one text of a statement takes a batch of rows on both databases.
CREATE FUNCTION json_each(document TEXT) RETURNS TABLE (key BIGINT, value TEXT)
    LANGUAGE SQL IMMUTABLE STRICT AS
$$ SELECT n - 1, element
     FROM json_array_elements_text(document::json) WITH ORDINALITY AS e (element, n) $$;

-- Whoever changes a grant, from whatever search path, changes this schema's org.
CREATE FUNCTION raise_access_version() RETURNS TRIGGER LANGUAGE plpgsql
    SET search_path FROM CURRENT AS
$$ BEGIN
    UPDATE orgs SET access_version = access_version + 1
     WHERE org = CASE TG_OP WHEN 'DELETE' THEN OLD.org ELSE NEW.org END;
    RETURN NULL;
END $$;
CREATE TRIGGER grants_raise_the_version AFTER INSERT OR UPDATE OR DELETE ON grants
    FOR EACH ROW EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER team_changes_raise_the_version AFTER UPDATE OF team ON employees
    FOR EACH ROW WHEN (OLD.team IS DISTINCT FROM NEW.team)
    EXECUTE FUNCTION raise_access_version();
