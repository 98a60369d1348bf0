-- SQLite's function of this name: the elements of a JSON array, each taken apart already.
CREATE FUNCTION jsonb_each(document TEXT) RETURNS TABLE (key BIGINT, value JSONB)
    LANGUAGE SQL IMMUTABLE AS
$$ SELECT n - 1, element
     FROM jsonb_array_elements(document::jsonb) WITH ORDINALITY AS e (element, n) $$;
-- The one before it, which nothing uses any more.
DROP FUNCTION json_each(JSONB);
DROP FUNCTION jsonb(TEXT);
