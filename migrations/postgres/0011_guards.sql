-- What raises versions: the same as ../0011_guards.sql, which is for SQLite.

-- Both orgs of what is moved.
CREATE OR REPLACE FUNCTION raise_access_version() RETURNS TRIGGER LANGUAGE plpgsql
    SET search_path FROM CURRENT AS
$$ BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE orgs SET access_version = access_version + 1 WHERE org = OLD.org;
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.org <> OLD.org) THEN
        UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org;
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER team_changes_raise_the_version AFTER UPDATE OF org, username, team ON employees
    FOR EACH ROW WHEN ((OLD.org, OLD.username, OLD.team) IS DISTINCT FROM (NEW.org, NEW.username, NEW.team))
    EXECUTE FUNCTION raise_access_version();

CREATE TRIGGER demo_users_raise_the_version AFTER UPDATE OF demo ON users
    FOR EACH ROW WHEN (OLD.demo <> NEW.demo) EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER changed_sessions_raise_the_version
    AFTER UPDATE OF org, session_id, username, created_at, expires_at, kind, name, kid ON sessions
    FOR EACH ROW WHEN (
        (OLD.org, OLD.session_id, OLD.username, OLD.created_at, OLD.expires_at, OLD.kind, OLD.name, OLD.kid)
        IS DISTINCT FROM
        (NEW.org, NEW.session_id, NEW.username, NEW.created_at, NEW.expires_at, NEW.kind, NEW.name, NEW.kid))
    EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER users_who_go_raise_the_version AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION raise_access_version();
CREATE TRIGGER sessions_that_go_raise_the_version AFTER DELETE ON sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL) EXECUTE FUNCTION raise_access_version();

CREATE FUNCTION only_rise() RETURNS TRIGGER LANGUAGE plpgsql AS
$$ BEGIN
    RAISE EXCEPTION 'a version only rises';
END $$;
CREATE TRIGGER access_versions_only_rise BEFORE UPDATE OF access_version ON orgs
    FOR EACH ROW WHEN (NEW.access_version < OLD.access_version) EXECUTE FUNCTION only_rise();
CREATE TRIGGER access_versions_are_never_deleted BEFORE DELETE ON orgs
    FOR EACH STATEMENT EXECUTE FUNCTION only_rise();
CREATE TRIGGER pay_versions_only_rise BEFORE UPDATE ON pay_versions
    FOR EACH ROW WHEN (NEW.org <> OLD.org OR NEW.version < OLD.version) EXECUTE FUNCTION only_rise();
CREATE TRIGGER pay_versions_are_never_deleted BEFORE DELETE OR TRUNCATE ON pay_versions
    FOR EACH STATEMENT EXECUTE FUNCTION only_rise();

-- TRUNCATE asks no trigger of rows.
CREATE FUNCTION refuse_truncate() RETURNS TRIGGER LANGUAGE plpgsql AS
$$ BEGIN
    RAISE EXCEPTION '% is not emptied at one go: servers would not notice', TG_TABLE_NAME;
END $$;
CREATE TRIGGER orgs_are_never_emptied BEFORE TRUNCATE ON orgs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER users_are_never_emptied BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER employees_are_never_emptied BEFORE TRUNCATE ON employees
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
CREATE TRIGGER grants_are_never_emptied BEFORE TRUNCATE ON grants
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate();
