-- What SQLite is told of its tables (../0012_statistics.sql), PostgreSQL finds out by itself.
SELECT 1;
