-- The demo data: user `twilio`, password `ahoy`, and two people's pay.
-- A demo user can sign in only while the server runs with `demo = true`, which it does on loopback alone.

INSERT INTO orgs (org, created_at) VALUES ('twilio', 1627776000000);

INSERT INTO employees (org, username, full_name, created_at) VALUES
    ('twilio', 'jdoe', 'jdoe', 1627776000000),
    ('twilio', 'mturner', 'mturner', 1627776000000);

INSERT INTO users (org, username, password_hash, demo, created_at) VALUES
    ('twilio', 'twilio', '$argon2id$v=19$m=19456,t=2,p=1$55/87R1i4cScCtgbpXhS/w$FYEvqx4Ni/NwA2OHQ4CvmNbhS2s6M9aPnEeKQq0Muvs', 1, 1627776000000);

INSERT INTO grants (org, grant_id, username, permission, reach_kind, reason, granted_by, granted_at) VALUES
    ('twilio', 'demo', 'twilio', 'read', 'org', 'demo data', 'migration', 1627776000000);

INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, note, recorded_by, recorded_at) VALUES
    ('twilio', 'jdoe', '2021-08-01', 1, 200000, 'USD', 'demo data', 'migration', 1627776000000),
    ('twilio', 'mturner', '2021-08-01', 1, 250000, 'USD', 'demo data', 'migration', 1627776000000);
