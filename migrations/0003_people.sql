-- People, grants and pay as they are administered: teams, versions, export numbers.

-- `access_version` rises with every change of who may do what in the org, whoever makes it. An answer
-- whose rows were read under one version is given only while that stands.
-- `exports` counts the exports, whose numbers stand in file names and in the audit trail.
ALTER TABLE orgs ADD COLUMN access_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE orgs ADD COLUMN exports INTEGER NOT NULL DEFAULT 0;

-- A person is in one team or in none. `version` counts the changes of the person.
ALTER TABLE employees ADD COLUMN team TEXT;
ALTER TABLE employees ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE INDEX employees_of_team ON employees (org, team, username) WHERE team IS NOT NULL;

-- What there is to say of an act beyond who and whom, such as the day from which a rate holds: a
-- JSON object, without amounts. A long answer has several records of one request, each with a part
-- of the subjects.
ALTER TABLE audit ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';


CREATE TRIGGER grants_given_raise_the_version AFTER INSERT ON grants
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER grants_changed_raise_the_version AFTER UPDATE ON grants
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
CREATE TRIGGER grants_deleted_raise_the_version AFTER DELETE ON grants
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = OLD.org; END;
CREATE TRIGGER team_changes_raise_the_version AFTER UPDATE OF team ON employees
WHEN OLD.team IS NOT NEW.team
BEGIN UPDATE orgs SET access_version = access_version + 1 WHERE org = NEW.org; END;
