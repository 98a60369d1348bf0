-- The versions by which what is remembered is known to be current rise with whatever else it rests on, also
-- where somebody changes the database by a shell.

-- Both orgs of a grant or a person that is moved.
DROP TRIGGER grants_changed_raise_the_version;
CREATE TRIGGER grants_changed_raise_the_version AFTER UPDATE ON grants
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org IN (OLD.org, NEW.org); END;
DROP TRIGGER team_changes_raise_the_version;
CREATE TRIGGER team_changes_raise_the_version AFTER UPDATE OF org, username, team ON employees
WHEN OLD.org <> NEW.org OR OLD.username <> NEW.username OR OLD.team IS NOT NEW.team
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org IN (OLD.org, NEW.org); END;

-- What else is remembered of a session.
CREATE TRIGGER demo_users_raise_the_version AFTER UPDATE OF demo ON users
WHEN OLD.demo <> NEW.demo
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER changed_sessions_raise_the_version
AFTER UPDATE OF org, session_id, username, created_at, expires_at, kind, name, kid ON sessions
WHEN (OLD.org, OLD.session_id, OLD.username, OLD.created_at, OLD.expires_at, OLD.kind, OLD.name, OLD.kid)
     IS NOT (NEW.org, NEW.session_id, NEW.username, NEW.created_at, NEW.expires_at, NEW.kind, NEW.name, NEW.kid)
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org IN (OLD.org, NEW.org); END;
CREATE TRIGGER users_who_go_raise_the_version AFTER DELETE ON users
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = OLD.org; END;
CREATE TRIGGER sessions_that_go_raise_the_version AFTER DELETE ON sessions
WHEN OLD.ended_at IS NULL
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = OLD.org; END;

-- INSERT OR REPLACE would change a row and ask no trigger of changes. (Where one is there already, INSERT …
-- ON CONFLICT DO NOTHING asks these first: so they do nothing, and raise no error.)
CREATE TRIGGER orgs_are_never_replaced BEFORE INSERT ON orgs
WHEN EXISTS (SELECT 1 FROM orgs o WHERE o.org = NEW.org)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER users_are_never_replaced BEFORE INSERT ON users
WHEN EXISTS (SELECT 1 FROM users u WHERE u.org = NEW.org AND u.username = NEW.username)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER employees_are_never_replaced BEFORE INSERT ON employees
WHEN EXISTS (SELECT 1 FROM employees e WHERE e.org = NEW.org AND e.username = NEW.username)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER grants_are_never_replaced BEFORE INSERT ON grants
WHEN EXISTS (SELECT 1 FROM grants g WHERE g.org = NEW.org AND g.grant_id = NEW.grant_id)
BEGIN SELECT RAISE(ABORT, 'a grant is never replaced: end it, and give another'); END;
CREATE TRIGGER sessions_are_never_replaced BEFORE INSERT ON sessions
WHEN EXISTS (SELECT 1 FROM sessions s WHERE s.org = NEW.org AND s.session_id = NEW.session_id)
BEGIN SELECT RAISE(ABORT, 'a session is never replaced: end it'); END;

-- The versions themselves.
CREATE TRIGGER access_versions_only_rise BEFORE UPDATE OF access_version ON orgs
WHEN NEW.access_version < OLD.access_version
BEGIN SELECT RAISE(ABORT, 'a version only rises'); END;
CREATE TRIGGER access_versions_are_never_deleted BEFORE DELETE ON orgs
BEGIN SELECT RAISE(ABORT, 'a version only rises'); END;
CREATE TRIGGER pay_versions_only_rise BEFORE UPDATE ON pay_versions
WHEN NEW.org <> OLD.org OR NEW.version < OLD.version
BEGIN SELECT RAISE(ABORT, 'a version only rises'); END;
CREATE TRIGGER pay_versions_are_never_replaced BEFORE INSERT ON pay_versions
WHEN EXISTS (SELECT 1 FROM pay_versions v WHERE v.org = NEW.org)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER pay_versions_are_never_deleted BEFORE DELETE ON pay_versions
BEGIN SELECT RAISE(ABORT, 'a version only rises'); END;
