-- What SQLite's planner is to think of the tables that have an index by user. Without it, it takes ten rows for
-- one org as for one user, and reads all grants or sessions of an org where it looks for one person's: most
-- databases have one org. Numbers as of a database with 100,000 users; that of any other are near enough.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1 WHERE tbl IN ('users', 'grants', 'sessions');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('users', 'users', '100000 100000 1'),
    ('grants', 'grants', '100000 100000 1'),
    ('grants', 'grants_of_user', '100000 100000 4 2'),
    ('sessions', 'sessions', '100000 100000 1'),
    ('sessions', 'sessions_of_user', '100000 100000 10');
ANALYZE sqlite_schema;
