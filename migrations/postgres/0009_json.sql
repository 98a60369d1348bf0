-- The functions of SQLite's names for JSON that is taken apart once, and not once for each of its columns:
-- records are written from such.
CREATE FUNCTION jsonb(document TEXT) RETURNS JSONB LANGUAGE SQL IMMUTABLE STRICT AS
$$ SELECT document::jsonb $$;
CREATE FUNCTION json_extract(document JSONB, path TEXT) RETURNS TEXT LANGUAGE SQL IMMUTABLE STRICT AS
$$ SELECT document ->> CAST(btrim(path, '$[]') AS INTEGER) $$;
-- Of nothing it gives no row anyway. Said to be STRICT, it would be planned anew in each statement instead
-- of becoming a part of it.
CREATE FUNCTION json_each(document JSONB) RETURNS TABLE (key BIGINT, value JSONB)
    LANGUAGE SQL IMMUTABLE AS
$$ SELECT n - 1, element FROM jsonb_array_elements(document) WITH ORDINALITY AS e (element, n) $$;
CREATE OR REPLACE FUNCTION json_each(document TEXT) RETURNS TABLE (key BIGINT, value TEXT)
    LANGUAGE SQL IMMUTABLE AS
$$ SELECT n - 1, element
     FROM json_array_elements_text(document::json) WITH ORDINALITY AS e (element, n) $$;
